"""Chip files: a `Target` from TOML, with inheritance. A bad file gets the field, the value and the rule.

inherits = "NAME"                  # optional: another chip file, whose tables are taken over and changed
[target] name, kind, cores, clock_mhz
[memory.NAME] ...  [engine.NAME] ...  [engine.NAME.mapping.NAME] cycles, load, fill, drain
[control] ...  [limits] ...  [resources] ...  [energy] ...  [calibration] ...
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from ...runtime.errors import IsthmusError, Problem
from ...runtime.sim.formula import formula
from ..diagnostics import CompileError
from .description import Control, Dataflow, Engine, Memory, Target, figures

_TABLES: dict[str, tuple[str, type]] = {"memory": ("memories", Memory), "engine": ("engines", Engine)}
_FREE = ("limits", "resources", "energy", "calibration")
_KNOWN = ("target", *_TABLES, "control", *_FREE)
_NAMES_OF_FORMULAS = ("m", "m0", "m1", "n", "k", "k_tiles", "n_tiles", "runs", "size")
_POSITIVE = frozenset(
    [
        "cores",
        "clock_mhz",
        "lanes",
        "issue",
        "loads",
        "line",
        "bandwidth",
        "banks",
        "channels",
        "interleave",
        "burst",
        "page",
        "outstanding",
        "pixels",
        "rows",
        "cols",
        "weight_banks",
        "planes",
        "mac_per_cycle",
        "special_per_cycle",
        "transpose_factor",
        "queue_depth",
        "semaphores",
    ]
)
_CHOICES = {
    "managed": ("explicit", "cache"),
    "does": ("contract", "elementwise", "load", "store"),
}

Base = Callable[[str], str]
"""The text of a chip file by its name."""


def read_target(text: str, source: str, base: Base | None = None, **overrides: Any) -> Target:
    """A target from TOML text. `inherits` names another file, whose text `base` gives; `overrides` replace fields.

    An override is a table as in the file, e.g. engine={"fma": {"lanes": 8}}.

    Raises:
        CompileError: everything that is wrong with the file, each with its table and field.
    """
    record = _merged(_inherited(text, source, base, ()), overrides)
    problems: list[Problem] = []
    header = record.pop("target", {})
    if not {"name", "kind"} <= header.keys():
        problems.append(Problem(f"{source}:target", "name or kind is missing", "give both"))
    values: dict[str, Any] = {
        **dict.fromkeys(("name", "kind"), ""),
        **_checked(header, Target, f"{source}:target", problems),
    }
    for table, (name, kind) in _TABLES.items():
        values[name] = {
            key: _entry(kind, key, entry, f"{source}:{table}.{key}", problems)
            for key, entry in record.pop(table, {}).items()
        }
    values["control"] = Control(**_checked(record.pop("control", {}), Control, f"{source}:control", problems))
    for name in _FREE:
        values[name] = _numbers(record.pop(name, {}), f"{source}:{name}", problems)
    for name in record:
        problems.append(Problem(source, f"unknown table '{name}'", f"a chip file has: {', '.join(_KNOWN)}"))
    target = Target(**values)
    problems += _inconsistent(target, source)
    if problems:
        raise CompileError("", problems=problems)
    return target


def _inherited(text: str, source: str, base: Base | None, children: tuple[str, ...]) -> dict[str, Any]:
    try:
        record = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CompileError(f"not TOML: {error}", location=source, hint="mend the file at that line") from None
    parent = record.pop("inherits", None)
    if parent is None:
        return record
    if base is None or not isinstance(parent, str):
        raise CompileError(
            f"inherits {parent!r}, but no chip files are known here",
            location=source,
            hint="write the chip out",
        )
    if parent in children:
        raise CompileError(
            f"inherits '{parent}', which inherits this file", location=source, hint="break the circle"
        )
    return _merged(_inherited(base(parent), parent, base, (*children, parent)), record)


def _merged(record: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(record)
    for key, value in changes.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out


def _entry(kind: type, name: str, entry: Mapping[str, Any], location: str, problems: list[Problem]) -> Any:
    """A memory or an engine, its mappings with it."""
    values = dict(entry)
    mappings = values.pop("mapping", {}) if kind is Engine else {}
    checked = _checked(values, kind, location, problems)
    if kind is Engine:
        if "does" not in values:
            problems.append(Problem(location, "'does' is missing", f"one of {', '.join(_CHOICES['does'])}"))
        checked["mapping"] = {
            key: Dataflow(name=key, **_checked(each, Dataflow, f"{location}.mapping.{key}", problems))
            for key, each in mappings.items()
        }
        checked.setdefault("does", "")
    return kind(name=name, **checked)


def _checked(values: Mapping[str, Any], kind: type, location: str, problems: list[Problem]) -> dict[str, Any]:
    """The values of one table that fit; each that does not becomes a problem."""
    tables = ("memories", "engines", "control", *_FREE) if kind is Target else ()
    known = {f.name: f for f in fields(kind) if f.name not in tables}
    out = {}
    for name, value in values.items():
        if name not in known:
            names = ", ".join(sorted(set(known) - {"name"}))
            problems.append(Problem(location, f"unknown field '{name}'", f"fields are: {names}"))
            continue
        default = known[name].default
        rule = _broken(name, value, "" if default is MISSING else default)
        if rule:
            problems.append(Problem(location, f"'{name}' is {value!r}", f"expected {rule}"))
        else:
            out[name] = tuple(value) if isinstance(value, list) else value
    return out


def _broken(name: str, value: Any, default: Any) -> str:
    """What a field's value should have been; "" where it is that."""
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"one of {', '.join(_CHOICES[name])}"
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            return "a number that is not negative"
        if isinstance(default, int) and not isinstance(value, int):
            return "a whole number"
        return "a positive number" if name in _POSITIVE and value == 0 else ""
    if isinstance(default, tuple) or name in ("reads", "writes", "types"):
        return (
            ""
            if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
            else "a list of names"
        )
    return "" if isinstance(value, str) else "a text"


def _numbers(values: Mapping[str, Any], location: str, problems: list[Problem]) -> dict[str, Any]:
    """A table of free names with numbers."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            problems.append(Problem(location, f"'{name}' is {value!r}", "expected a number"))
    return dict(values)


def _inconsistent(target: Target, source: str) -> Iterator[Problem]:
    """What each field alone does not show."""
    if not any(memory.home for memory in target.memories.values()):
        yield Problem(source, "no memory is marked home", "say home = true for the one that holds operands")
    for memory in target.memories.values():
        if not memory.home and not memory.bytes:
            yield Problem(f"{source}:memory.{memory.name}", "'bytes' is missing", "say how much it holds")
    for engine in target.engines.values():
        location = f"{source}:engine.{engine.name}"
        for role in ("reads", "writes", "a", "b", "accumulators"):
            value = getattr(engine, role)
            for name in value if isinstance(value, tuple) else (value,):
                if name and name not in target.memories:
                    yield Problem(
                        location,
                        f"'{role}' names the memory '{name}'",
                        f"memories are: {', '.join(target.memories)}",
                    )
        names = dict.fromkeys(_NAMES_OF_FORMULAS, 1) | figures(engine)
        for mapping in engine.mapping.values():
            for name in ("cycles", "load", "fill", "drain"):
                try:
                    formula(getattr(mapping, name), f"{location}.mapping.{mapping.name}:{name}")(**names)
                except IsthmusError as error:
                    yield from error.problems
