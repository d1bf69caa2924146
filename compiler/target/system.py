"""Systems of several devices as data: which chips, which links between them, where inputs and outputs lie.

[system] name, host                  # host: the device at which inputs arrive; by default the first
[device.NAME] target, precision, memory_bytes, launch_us, options
[link.NAME] between = [A, B], bytes_per_cycle, clock_mhz, latency_us
shared = [[A, B], ...]               # devices with one memory: nothing moves between them

A link goes both ways, each way at its full rate.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from ...runtime.errors import Problem
from ...runtime.records import dataclass
from ..diagnostics import CompileError

BYTES_PER_CYCLE, CLOCK_MHZ, LATENCY_US = 16.0, 1000.0, 2.0
"""Of links that nobody has described."""

PRECISIONS = ("", "f32")


@dataclass(frozen=True)
class Member:
    """A device of a system. `target` is what `--target` takes for one device; `options` are the target's own.

    `precision` "f32": where the model is quantised, this device computes in floats, with casts at the border; "" keeps
    the model's precision. `memory_bytes` is what code, constants and activations may take, 0 for no limit; `launch_us`
    what starting a piece of work costs.
    """

    name: str
    target: str
    precision: str = ""
    memory_bytes: int = 0
    launch_us: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Connection:
    """A link between two devices, both ways at once."""

    name: str
    between: tuple[str, str]
    bytes_per_cycle: float = BYTES_PER_CYCLE
    clock_mhz: float = CLOCK_MHZ
    latency_us: float = LATENCY_US

    @property
    def bytes_per_second(self) -> float:
        return self.bytes_per_cycle * self.clock_mhz * 1e6


@dataclass(frozen=True)
class SystemDescription:
    """Devices in the order of the file, links, and groups of devices that share a memory."""

    name: str
    host: str
    members: tuple[Member, ...]
    connections: tuple[Connection, ...] = ()
    shared: tuple[tuple[str, ...], ...] = ()


def default_system(targets: Sequence[str]) -> SystemDescription:
    """A system of these targets, the first its host, with a link between every two."""
    counts: dict[str, int] = {}
    names = []
    for target in targets:
        counts[target] = counts.get(target, 0) + 1
        names.append(target if counts[target] == 1 else f"{target}.{counts[target]}")
    members = tuple(Member(name, target) for name, target in zip(names, targets))
    pairs = [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    connections = tuple(Connection(f"{a}-{b}", (a, b)) for a, b in pairs)
    return SystemDescription("+".join(targets), names[0], members, connections)


def read_system(text: str, source: str) -> SystemDescription:
    """A system from TOML text. CompileError names everything that is wrong with it, by table and field."""
    try:
        record = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CompileError(f"not TOML: {error}", location=source, hint="mend the file at that line") from None
    problems: list[Problem] = []
    for name in record.keys() - {"system", "device", "link", "shared"}:
        hint = "a system file has: system, device, link, shared"
        problems.append(Problem(source, f"unknown table '{name}'", hint))
    header = _fields(record.get("system", {}), _SYSTEM, f"{source}:system", problems)
    devices, links = (
        _tables(record.get(table, {}), f"{source}:{table}", problems) for table in ("device", "link")
    )
    members = [
        Member(name, **{"target": "", **_fields(entry, _DEVICE, f"{source}:device.{name}", problems)})
        for name, entry in devices.items()
    ]
    connections = [
        Connection(name, **{"between": ("", ""), **_fields(entry, _LINK, f"{source}:link.{name}", problems)})
        for name, entry in links.items()
    ]
    shared = record.get("shared", [])
    if not _is_groups(shared):
        problems.append(Problem(f"{source}:shared", f"is {shared!r}", "expected lists of devices' names"))
        shared = []
    host = header.get("host", members[0].name if members else "")
    groups = tuple(tuple(group) for group in shared)
    found = SystemDescription(header.get("name", source), host, tuple(members), tuple(connections), groups)
    problems += [] if problems else _inconsistent(found, source)
    if problems:
        raise CompileError("", problems=problems)
    return found


_SYSTEM = {"name": "text", "host": "text"}
_DEVICE = {
    "target": "text",
    "precision": "precision",
    "memory_bytes": "count",
    "launch_us": "amount",
    "options": "table",
}
_LINK = {"between": "pair", "bytes_per_cycle": "positive", "clock_mhz": "positive", "latency_us": "amount"}
_NEEDED = {"device": ("target",), "link": ("between",)}
_RULES: Mapping[str, tuple[Any, str]] = {
    "text": (lambda v: isinstance(v, str) and bool(v), "a text"),
    "precision": (lambda v: v in PRECISIONS, f"one of {', '.join(map(repr, PRECISIONS))}"),
    "count": (
        lambda v: _is_number(v) and isinstance(v, int) and v >= 0,
        "a whole number that is not negative",
    ),
    "amount": (lambda v: _is_number(v) and v >= 0, "a number that is not negative"),
    "positive": (lambda v: _is_number(v) and v > 0, "a positive number"),
    "table": (lambda v: isinstance(v, dict), "a table"),
    "pair": (lambda v: _is_names(v) and len(v) == 2 and v[0] != v[1], "the names of two devices"),
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_groups(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_names, value))


def _tables(value: Any, location: str, problems: list[Problem]) -> dict[str, Any]:
    """A table of tables; what is none becomes a problem."""
    tables = value if isinstance(value, dict) else {"": value}
    for name, entry in tables.items():
        if not isinstance(entry, dict):
            problems.append(Problem(f"{location}.{name}", f"is {entry!r}", "expected a table"))
    return {name: entry for name, entry in tables.items() if isinstance(entry, dict)}


def _fields(entry: Any, known: Mapping[str, str], location: str, problems: list[Problem]) -> dict[str, Any]:
    """The fields of a table that fit; each that does not becomes a problem."""
    if not isinstance(entry, dict):
        problems.append(Problem(location, f"is {entry!r}", "expected a table"))
        return {}
    found = {}
    for name, value in entry.items():
        if name not in known:
            problems.append(Problem(location, f"unknown field '{name}'", f"fields are: {', '.join(known)}"))
            continue
        fits, rule = _RULES[known[name]]
        if fits(value):
            found[name] = tuple(value) if isinstance(value, list) else value
        else:
            problems.append(Problem(location, f"'{name}' is {value!r}", f"expected {rule}"))
    kind = location.rpartition(":")[2].partition(".")[0]
    missing = [name for name in _NEEDED.get(kind, ()) if name not in entry]
    problems += [
        Problem(location, f"'{name}' is missing", f"give {_RULES[known[name]][1]}") for name in missing
    ]
    return found


def _inconsistent(system: SystemDescription, source: str) -> Iterator[Problem]:
    """What each field alone does not show."""
    names = [member.name for member in system.members]
    known = f"devices are: {', '.join(names) or 'none'}"
    if not names:
        yield Problem(source, "there is no device", "add a table device.NAME")
        return
    if system.host not in names:
        yield Problem(f"{source}:system", f"'host' is '{system.host}'", known)
    for link in system.connections:
        for name in link.between:
            if name not in names:
                yield Problem(f"{source}:link.{link.name}", f"'between' names '{name}'", known)
    for group in system.shared:
        for name in group:
            if name not in names:
                yield Problem(f"{source}:shared", f"it names '{name}'", known)
    joined = [set(link.between) for link in system.connections] + [set(group) for group in system.shared]
    reached = {system.host}
    while found := [group for group in joined if group & reached and not group <= reached]:
        reached.update(*found)
    for name in names:
        if name not in reached:
            yield Problem(f"{source}:device.{name}", "no link leads to it", "add a table link.NAME")
