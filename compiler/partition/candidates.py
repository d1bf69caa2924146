"""What can run where, and at what cost: units of nodes that all devices compute together, with seconds on each device.

Every device forms its own kernels from the whole graph as it sees it: what it fuses decides what a node costs there. A
unit is what the kernels of all devices hold together, so that no border between devices cuts a kernel.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ...runtime.records import dataclass
from ..diagnostics import Problem, UnsupportedError
from ..ir.graph import Graph, Node, Value
from ..passes.plan import HostStep, KernelStep, accesses
from ..rewrite import Trace
from .knowledge import Formed, Knowledge, form_on, size
from .system import System


@dataclass(frozen=True, eq=False)
class Unit:
    """Nodes that stay together. `seconds` on each device that runs them, `reads` values of other units, inputs and
    outputs of the graph with them."""

    nodes: tuple[Node, ...]
    seconds: Mapping[str, float]
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]
    bytes: int = 0
    otherwise: frozenset[str] = frozenset()
    """Devices on which the other form of the graph costs less, and counts."""

    @property
    def sources(self) -> frozenset[str]:
        """The names of the source nodes."""
        return frozenset(name for node in self.nodes for name in node.location.names)

    @property
    def name(self) -> str:
        """The source nodes."""
        names = dict.fromkeys(name for node in self.nodes for name in node.location.names)
        return "+".join(names) or "+".join(dict.fromkeys(node.op for node in self.nodes))


@dataclass(frozen=True)
class Candidates:
    """Units in topological order, and for each device the order of axes in which it likes a value to lie."""

    units: tuple[Unit, ...]
    layouts: Mapping[str, Mapping[Value, tuple[int, ...]]]


def candidates(graph: Graph, system: System, known: Knowledge) -> Candidates:
    """What can run where. UnsupportedError for nodes that nothing runs."""
    while True:
        found = _candidates(graph, system, known)
        torn = [unit for unit in found.units if len(_pins(unit, known)) > 1]
        # a pin's device may lack what the nodes beside the pinned one need
        homeless = [unit for unit in found.units if not unit.seconds and unit not in torn]
        cut = [known.cut(unit.nodes, system) for unit in (*torn, *homeless)]
        if any(cut):
            continue
        if not torn:
            _require_homes(found.units, known)
            return found
        names = dict.fromkeys(name for unit in torn for node in unit.nodes for name in node.location.names)
        hint = "pin them to one device"
        raise UnsupportedError("can't be cut where pins want it", location=", ".join(names), hint=hint)


def _pins(unit: Unit, known: Knowledge) -> set[str]:
    """The devices to which nodes of a unit are pinned."""
    return {known.pins[node] for node in unit.nodes if node in known.pins}


def _candidates(graph: Graph, system: System, known: Knowledge) -> Candidates:
    import networkx

    nodes = [node for node in graph.nodes if node.op not in ("input", "constant")]
    place = {node: number for number, node in enumerate(nodes)}
    together = networkx.Graph()
    together.add_nodes_from(nodes)
    costs: dict[str, list[tuple[Node, float]]] = {}
    barred: dict[str, set[Node]] = {}
    layouts: dict[str, dict[Value, tuple[int, ...]]] = {}
    for device in system.devices:
        view = known.view(device, graph)
        formed = form_on(view.graph, device, known, system.host)
        plan = formed.plan
        costs[device.name], groups = _charged(formed, view.trace)
        barred[device.name] = {node for node, name in known.pins.items() if name != device.name}
        if device.name != system.host:
            hosted = (step.node for step in plan.steps if isinstance(step, HostStep))
            barred[device.name].update(old for node in hosted for old in view.trace.sources(node))
        layouts[device.name] = {
            view.trace.values.get(array.value, array.value): array.layout.order
            for array in plan.arrays.values()
            if array.is_static
        }
        for group in groups:
            networkx.add_path(together, group)
    parts = [sorted(part, key=place.__getitem__) for part in networkx.connected_components(together)]
    units = _described(_acyclic(parts, graph), graph, costs, barred)
    for name, kernels in known.alternatives.items():
        units = _with_alternatives(units, name, kernels)
    return Candidates(units, layouts)


def _with_alternatives(
    units: Sequence[Unit], device: str, kernels: Sequence[tuple[frozenset[str], float]]
) -> tuple[Unit, ...]:
    """The units at the cost of another form on a device, where it is less; each kernel counts for the unit with which
    it shares most source nodes."""
    sources = [unit.sources for unit in units]
    seconds = [0.0] * len(units)
    matched = [False] * len(units)
    for names, cost in kernels:
        shared = [len(names & own) for own in sources]
        if max(shared, default=0):
            place = shared.index(max(shared))
            seconds[place] += cost
            matched[place] = True
    found = []
    for unit, other, there in zip(units, seconds, matched, strict=True):
        if there and other < unit.seconds.get(device, 0.0):
            unit = replace(unit, seconds={**unit.seconds, device: other}, otherwise=unit.otherwise | {device})
        found.append(unit)
    return tuple(found)


def _charged(formed: Formed, trace: Trace) -> tuple[list[tuple[Node, float]], list[list[Node]]]:
    """Costs of a device's plan by a node of the whole graph that pays for each step, and such nodes that its kernels
    hold together.

    A view that went into several kernels belongs to none of them. Copies that layouts ask for are paid by what made
    the value, or by its reader where it came from outside.
    """
    plan = formed.plan
    place = {node for node in formed.graph.nodes if node.op not in ("input", "constant")}
    often = Counter(
        node for step in plan.steps if isinstance(step, KernelStep) for node in step.nodes if node in place
    )
    readers: dict[str, Node] = {}
    for step in reversed(plan.steps):
        nodes = step.nodes if isinstance(step, KernelStep) else (step.node,)
        for name in accesses(step)[0]:
            readers.update((name, node) for node in nodes if node in place)
    costs: list[tuple[Node, float]] = []
    held: dict[int, list[Node]] = {}
    for number, (step, cost) in enumerate(zip(plan.steps, formed.seconds, strict=True)):
        if isinstance(step, HostStep):
            costs.append((trace.sources(step.node)[-1], cost))
            continue
        own = [node for node in step.nodes if node in place]
        if not own:  # a copy
            made = [v.node for node in step.nodes for v in node.operands if v is not None and v.node in place]
            own = made or [readers[name] for name in accesses(step)[1] if name in readers]
        single = [node for node in own if often[node] < 2] or own[-1:]
        if single:
            sources = [old for node in single for old in trace.sources(node)]
            costs.append((sources[-1], cost))
            held[number] = sources
    for joint in formed.joints:
        first, *others = (number for number in joint if number in held)
        for number in others:
            held[first] += held.pop(number)
    return costs, list(held.values())


def _acyclic(parts: list[list[Node]], graph: Graph) -> list[list[Node]]:
    """Parts in topological order, first come first; those that wait for each other become one."""
    import networkx

    owner = {node: number for number, part in enumerate(parts) for node in part}
    quotient = networkx.DiGraph()
    quotient.add_nodes_from(range(len(parts)))
    for node, number in owner.items():
        for value in node.operands:
            if value is not None and owner.get(value.node, number) != number:
                quotient.add_edge(owner[value.node], number)
    place = {node: number for number, node in enumerate(graph.nodes)}
    merged = networkx.condensation(quotient)
    joined = {
        number: sorted(
            (n for part in merged.nodes[number]["members"] for n in parts[part]), key=place.__getitem__
        )
        for number in merged.nodes
    }
    order = networkx.lexicographical_topological_sort(merged, key=lambda number: place[joined[number][-1]])
    return [joined[number] for number in order]


def _described(
    parts: Iterable[list[Node]],
    graph: Graph,
    costs: Mapping[str, list[tuple[Node, float]]],
    barred: Mapping[str, set[Node]],
) -> tuple[Unit, ...]:
    parts = list(parts)
    owner = {node: number for number, part in enumerate(parts) for node in part}
    seconds: list[dict[str, float]] = [
        {device: 0.0 for device, nodes in barred.items() if nodes.isdisjoint(part)} for part in parts
    ]
    for device, entries in costs.items():
        for node, cost in entries:
            if device in seconds[owner[node]]:
                seconds[owner[node]][device] += cost
    outputs = set(graph.outputs)
    found = []
    for number, part in enumerate(parts):
        operands = [v for node in part for v in node.operands if v is not None]
        reads = [v for v in operands if v.node.op != "constant" and owner.get(v.node) != number]
        writes = [
            value
            for node in part
            for value in node.results
            if value in outputs or any(owner[user] != number for user, _ in graph.users.get(value, ()))
        ]
        constants = {v for v in operands if v.node.op == "constant"}
        found.append(
            Unit(
                tuple(part),
                seconds[number],
                tuple(dict.fromkeys(reads)),
                tuple(writes),
                sum(map(size, constants)),
            )
        )
    return tuple(found)


def _require_homes(found: Iterable[Unit], known: Knowledge) -> None:
    problems = []
    for unit in found:
        if unit.seconds:
            continue
        (pin,) = _pins(unit, known)
        reasons = dict.fromkeys(why for node in unit.nodes if (why := known.reason(pin, node)))
        why = f"is pinned to {pin}, which does not run it: {'; '.join(reasons) or 'not alone'}"
        problems.append(Problem(str(unit.nodes[-1].location), why, "leave out the pin"))
    if problems:
        raise UnsupportedError("", problems=problems)
