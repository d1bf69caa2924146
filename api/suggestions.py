"""Edits of a model or a system that would move work to accelerators, each tried by compiling it.

Three kinds: a pin is left out; a device's memory is larger; a node that accelerators refuse is replaced by one of the
same shape that they run, which tells what a substitute for it would be worth.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from isthmus.compiler.diagnostics import CompileError
from isthmus.compiler.ir.graph import Graph, Node, Value
from isthmus.compiler.ir.location import at
from isthmus.compiler.ops import get
from isthmus.compiler.partition.system import System
from isthmus.compiler.pipeline import Options
from isthmus.compiler.system_build import SystemBuilt, Wishes, build_system
from isthmus.runtime.records import dataclass
from isthmus.system_explanation import Suggestion

MOST = 4
"""Edits that are tried."""


@dataclass(frozen=True)
class _Edit:
    what: str
    why: str
    graph: Graph
    system: System
    wishes: Wishes
    worth: float


def suggest(built: SystemBuilt, wishes: Wishes, tool_version: str) -> tuple[Suggestion, ...]:
    """The edits that make the model faster, the best first; what they cost was compiled, not guessed."""
    before = _value(built)
    found = []
    for edit in sorted(_edits(built, wishes), key=lambda each: -each.worth)[:MOST]:
        try:
            after = build_system(edit.graph, edit.system, Options(), edit.wishes, tool_version=tool_version)
        except CompileError:
            continue
        if _value(after) < before:
            found.append(Suggestion(edit.what, edit.why, before, _value(after)))
    return tuple(sorted(found, key=lambda each: each.after))


def _value(built: SystemBuilt) -> float:
    latency = built.partition.objective == "latency"
    return built.chosen.latency if latency else built.chosen.period


def _edits(built: SystemBuilt, wishes: Wishes) -> Iterator[_Edit]:
    graph, system = built.graph, built.system
    for pattern, chosen in wishes.pins.items():
        pins = {name: where for name, where in wishes.pins.items() if name != pattern}
        moved = sum(
            unit.seconds.get(chosen, 0.0)
            for unit in built.partition.units
            if any(built.partition.known.pins.get(node) == chosen for node in unit.nodes)
        )
        what = f"leave out --pin '{pattern}={chosen}'"
        yield _Edit(what, "the search may place them", graph, system, replace(wishes, pins=pins), moved)
    for device in system.devices:
        if device.memory_bytes:
            devices = tuple(replace(d, memory_bytes=0) if d is device else d for d in system.devices)
            what = f"give {device.name} more than {device.memory_bytes:,} bytes of memory"
            worth = sum(unit.seconds.get(system.host, 0.0) for unit in built.partition.units)
            yield _Edit(what, "its memory is full", graph, replace(system, devices=devices), wishes, worth)
    yield from _substitutes(built, wishes)


def _substitutes(built: SystemBuilt, wishes: Wishes) -> Iterator[_Edit]:
    """For each constraint that keeps nodes off the accelerators: those nodes as ones that they run."""
    host, known = built.system.host, built.partition.known
    groups: dict[tuple[str, str], list[Node]] = {}
    worth: dict[tuple[str, str], float] = {}
    for unit in built.partition.units:
        accelerators = [device.name for device in built.system.devices if device.name != host]
        if any(name in unit.seconds for name in accelerators):
            continue
        for node in unit.nodes:
            reasons = {why for name in accelerators if (why := known.reason(name, node))}
            if reasons and _substitute(node, node.operands) is not None:
                key = node.op, sorted(reasons)[0]
                groups.setdefault(key, []).append(node)
                worth[key] = worth.get(key, 0.0) + unit.seconds.get(host, 0.0)
    for (op, reason), nodes in groups.items():
        names = dict.fromkeys(name for node in nodes for name in node.location.names)
        what = f"replace {op} in {', '.join(list(names)[:4])}{', ...' if len(names) > 4 else ''}"
        yield _Edit(what, reason, _replaced(built.graph, nodes), built.system, wishes, worth[op, reason])


def _substitute(node: Node, operands: Any) -> Value | None:
    """A node of the same type that every accelerator runs, None where there is none so simple."""
    first = operands[0] if operands else None
    if len(node.results) != 1 or first is None or first.type != node.types[0]:
        return None
    with at(node.location):
        return get("math.max")(first, first)


def _replaced(graph: Graph, nodes: list[Node]) -> Graph:
    chosen = set(nodes)
    new: dict[Value, Value] = {}
    for node in graph.nodes:
        operands = tuple(None if value is None else new.get(value, value) for value in node.operands)
        if node in chosen:
            substitute = _substitute(node, operands)
            assert substitute is not None
            new[node.result] = substitute
        elif operands != node.operands:
            new.update(zip(node.results, node.with_operands(operands).results))
    return graph.replace([new.get(value, value) for value in graph.outputs])
