"""A chip as data: memories and engines, read from TOML with inheritance. Numbers only; no code knows a chip's name.

Units: bytes, bytes per cycle, cycles. `managed` is "explicit" (software places tiles) or "cache" (a hold emits no copy
unless it has a layout). An engine with `registers` is an outer-product engine: its accumulators live in registers.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..diagnostics import CompileError


@dataclass(frozen=True)
class Memory:
    """`usable` is the share of a cache that a tile may count on; `bandwidth` is towards the engines, bytes per cycle.
    `run_overhead`: bytes of bandwidth that starting a contiguous run costs."""

    name: str
    bytes: int = 0
    managed: str = "explicit"
    private: bool = False
    home: bool = False
    usable: float = 1.0
    line: int = 64
    bandwidth: float = 8.0
    run_overhead: float = 0.0


@dataclass(frozen=True)
class Engine:
    """What an engine does ("contract" or "elementwise") and what it costs; `tile/cost.py` has the formulas."""

    name: str
    does: str
    lanes: int = 1
    registers: int = 0
    issue: float = 1.0
    loads: float = 1.0
    latency: float = 1.0
    accumulators: str = ""
    turn_overhead: float = 0.0
    tile_overhead: float = 0.0


@dataclass(frozen=True)
class Target:
    """One chip. `memories` are ordered from the engines outwards."""

    name: str
    kind: str
    cores: int = 1
    clock_mhz: float = 1000.0
    memories: Mapping[str, Memory] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)

    def engine(self, does: str) -> Engine:
        """The engine that does one kind of work; CompileError when there is none."""
        for engine in self.engines.values():
            if engine.does == does:
                return engine
        raise CompileError(
            f"target {self.name} has no engine that does '{does}'", hint="add one to the chip file"
        )

    @property
    def home(self) -> Memory:
        """The memory where operands and results live."""
        return next(memory for memory in self.memories.values() if memory.home)


_TABLES: dict[str, tuple[str, type]] = {"memory": ("memories", Memory), "engine": ("engines", Engine)}


def read_target(text: str, source: str, base: Callable[[str], str] | None = None, **overrides: Any) -> Target:
    """A target from TOML text. `inherits` names another file, whose text `base` gives; `overrides` replace fields.

    An override is a table as in the file, e.g. engine={"fma": {"lanes": 8}}.
    """
    record = _inherited(text, source, base)
    record = _merged(record, overrides)
    header = record.pop("target", {})
    values: dict[str, Any] = _checked(header, Target, f"{source}:target")
    for table, (name, kind) in _TABLES.items():
        entries = record.pop(table, {})
        values[name] = {
            key: kind(name=key, **_checked(entry, kind, f"{source}:{table}.{key}"))
            for key, entry in entries.items()
        }
    if record:
        known = ", ".join(["target", *_TABLES])
        raise CompileError(
            f"unknown table '{next(iter(record))}'", location=source, hint=f"a chip file has: {known}"
        )
    target = Target(**values)
    if not any(memory.home for memory in target.memories.values()):
        raise CompileError(
            "no memory is marked home",
            location=source,
            hint="say home = true for the one that holds operands",
        )
    return target


def _inherited(text: str, source: str, base: Callable[[str], str] | None) -> dict[str, Any]:
    try:
        record = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CompileError(f"not TOML: {error}", location=source) from None
    parent = record.pop("inherits", None)
    if parent is None:
        return record
    if base is None:
        raise CompileError(f"inherits '{parent}', but no chip files are known here", location=source)
    return _merged(_inherited(base(parent), parent, base), record)


def _merged(record: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(record)
    for key, value in changes.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def _checked(values: Mapping[str, Any], kind: type, location: str) -> dict[str, Any]:
    """The values of one table, every field known and of the right kind."""
    known = {f.name: f.default for f in fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise CompileError(
                f"unknown field '{name}'",
                location=location,
                hint=f"fields are: {', '.join(sorted(set(known) - {'name'}))}",
            )
        default = known[name]
        numeric = isinstance(default, int | float) and not isinstance(default, bool)
        if numeric and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise CompileError(
                f"'{name}' is {value!r}", location=location, hint="expected a number that is not negative"
            )
        if isinstance(default, bool) and not isinstance(value, bool):
            raise CompileError(f"'{name}' is {value!r}", location=location, hint="expected true or false")
    return dict(values)
