"""What is known of nodes on devices: who runs them, why others do not, what kernels cost, and each device's own plan.

It grows while kernels are tried, and holds for all assignments that are looked at.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from itertools import groupby

from ...runtime.records import dataclass
from ..assemble import calls
from ..diagnostics import Problem, UnsupportedError
from ..ir.graph import Graph, Node, Value
from ..ir.types import TensorType
from ..passes.form import form
from ..passes.plan import HostStep, KernelStep, Plan
from ..rewrite import Trace, apply
from ..tile.canonical import canonical
from .system import Device, System

_ATTEMPTS = 6
REFERENCE_SECONDS, REFERENCE_BYTES = 20e-6, 1e9
"""What a step by reference meaning takes: so long, and so many bytes of operands and results a second."""


@dataclass(frozen=True)
class View:
    """A graph as a device sees it, and where what is new in it came from."""

    graph: Graph
    trace: Trace


@dataclass
class Knowledge:
    """What has been found out about nodes on devices: why a device can't run one, which nodes can't be fused, and what
    kernels cost. Nodes are those of the device's view. It grows while kernels are tried, and is kept over all tries of
    one compilation."""

    refused: dict[str, dict[Node, str]] = field(default_factory=lambda: defaultdict(dict))
    accepted: dict[str, set[Node]] = field(default_factory=lambda: defaultdict(set))
    apart: dict[str, set[Node]] = field(default_factory=lambda: defaultdict(set))
    unjoined: set[Node] = field(default_factory=set)
    """Nodes whose kernels are not counted as one with others."""
    seconds: dict[tuple[str, str], float | str] = field(default_factory=dict)
    pins: dict[Node, str] = field(default_factory=dict)
    alternatives: dict[str, list[tuple[frozenset[str], float]]] = field(default_factory=dict)
    """By device, what kernels of another form of the graph cost there, by the names of their source nodes: the form in
    floats, for a device that is to compute in floats. A unit costs the less of both."""
    views: dict[tuple[str, Graph], View] = field(default_factory=dict)

    def view(self, device: Device, graph: Graph) -> View:
        """The whole graph as a device sees it: with rewrites that are for its own part of it."""
        key = device.name, graph
        if key not in self.views:
            trace = Trace()
            rules = () if device.has_clock else device.rules
            self.views[key] = View(apply(graph, rules, trace=trace)[0], trace)
        return self.views[key]

    def reason(self, device: str, node: Node) -> str | None:
        """Why a device does not run a node of the whole graph; None where it does, or that is not known."""
        refused = self.refused[device]
        views = [view for (name, _), view in self.views.items() if name == device]
        mine = (new for view in views for new, old in view.trace.nodes.items() if node in old)
        return next((refused[each] for each in (node, *mine) if each in refused), None)

    def carry_over(self, device: str, origin: Mapping[Node, Node]) -> None:
        """What is known of a node holds for the one that stands for it."""
        for new, old in origin.items():
            if new.op != old.op:
                continue
            if old in self.accepted[device]:
                self.accepted[device].add(new)
            if old in self.refused[device]:
                self.refused[device][new] = self.refused[device][old]
            if old in self.apart[device]:
                self.apart[device].add(new)

    def supports(self, device: Device, node: Node) -> bool:
        """Whether a device may run a node; why not is noted."""
        if node in self.accepted[device.name]:
            return True
        if node not in self.refused[device.name]:
            reasons = device.backend.refusals(node, device.options)
            if not reasons:
                self.accepted[device.name].add(node)
                return True
            self.refused[device.name][node] = "; ".join(reasons)
        return False

    def refuse(self, device: str, nodes: Collection[Node], reason: str) -> None:
        """A kernel turned out to be beyond a device: its nodes are tried apart, and a single one is refused."""
        if len(nodes) == 1 or self.apart[device].issuperset(nodes):
            self.refused[device].update(dict.fromkeys(nodes, reason))
            self.accepted[device].difference_update(nodes)
        self.apart[device].update(nodes)

    def cut(self, nodes: Collection[Node], system: System) -> bool:
        """Nodes that stay together are to run on several devices: first their kernels are no longer joined, then the
        nodes are tried apart; whether there was something to cut."""
        if not self.unjoined.issuperset(nodes):
            self.unjoined.update(nodes)
            return True
        left = [device for device in system.devices if not self.apart[device.name].issuperset(nodes)]
        for device in left:
            self.apart[device.name].update(nodes)
        return bool(left)

    def cost(self, device: Device, step: KernelStep) -> float:
        """Seconds of a kernel; UnsupportedError where it can't run."""
        key = device.name, canonical(step.kernel)[2]
        if key not in self.seconds:
            try:
                cycles = device.backend.estimate(step.kernel, device.options)
                self.seconds[key] = device.target.seconds(cycles)
            except UnsupportedError as error:
                self.seconds[key] = error.message
        found = self.seconds[key]
        if isinstance(found, str):
            raise UnsupportedError(found)
        return found


def pinned(graph: Graph, pins: Mapping[str, str], system: System) -> dict[Node, str]:
    """The device of each node whose source's name fits a pattern. UnsupportedError for patterns that fit nothing, and
    for devices that there are not."""
    problems, found = [], {}
    names = [device.name for device in system.devices]
    for pattern, device in pins.items():
        if device not in names:
            hint = f"devices are: {', '.join(names)}"
            problems.append(Problem(f"pin '{pattern}={device}'", f"there is no device '{device}'", hint))
        fitting = [
            node
            for node in graph.nodes
            if node.op not in ("input", "constant")
            and any(fnmatchcase(name, pattern) for name in node.location.names)
        ]
        if not fitting:
            hint = "give a source node's name, or a pattern such as layer4*"
            why = "fits no node, or only such as are folded into others"
            problems.append(Problem(f"pin '{pattern}={device}'", why, hint))
        found.update(dict.fromkeys(fitting, device))
    if problems:
        raise UnsupportedError("", problems=problems)
    return found


@dataclass(frozen=True)
class Formed:
    """A device's plan of a graph, the seconds of each step, and the steps, by number, that are one kernel there: these
    share what they take together. What the device can't run stands there as a host step."""

    graph: Graph
    plan: Plan
    seconds: list[float]
    joints: tuple[Sequence[int], ...]


def form_on(graph: Graph, device: Device, known: Knowledge, host: str) -> Formed:
    """A graph as a device runs it."""
    for _ in range(_ATTEMPTS):
        plan = form(
            graph,
            lambda node: known.supports(device, node),
            device.backend.preferences(),
            known.apart[device.name],
        )
        seconds, again = [], False
        for step in plan.steps:
            if isinstance(step, HostStep):
                known.refused[device.name].setdefault(step.node, step.reason)
                seconds.append(reference_seconds(step.node) if device.name == host else float("inf"))
                continue
            try:
                seconds.append(known.cost(device, step))
            except UnsupportedError as error:
                known.refuse(device.name, step.nodes, error.message)
                again = True
        if not again:
            joints = tuple(_joined(plan, seconds, device, known))
            return Formed(graph, plan, seconds, joints)
    raise UnsupportedError(f"kernels for {device.name} can't be formed", hint="report this model")


def _joined(plan: Plan, seconds: list[float], device: Device, known: Knowledge) -> Iterator[Sequence[int]]:
    """Steps that the device runs as one kernel, but for nodes that are to be apart; `seconds` become their shares."""
    apart = known.apart[device.name] | known.unjoined
    for is_run, numbers in groupby(range(len(plan.steps)), lambda n: isinstance(plan.steps[n], KernelStep)):
        if not is_run:
            continue
        run = [(n, step) for n in numbers if isinstance(step := plan.steps[n], KernelStep)]
        for joint in device.backend.joints(calls([step for _, step in run], plan), device.options):
            members = run[joint.first : joint.first + joint.count]
            if all(apart.isdisjoint(step.nodes) for _, step in members):
                share = device.target.seconds(joint.cycles) / sum(seconds[n] for n, _ in members)
                for n, _ in members:
                    seconds[n] *= share
                yield [n for n, _ in members]


def reference_seconds(node: Node) -> float:
    """What a node takes that runs by its meaning."""
    values = [value for value in (*node.operands, *node.results) if value is not None]
    return REFERENCE_SECONDS + sum(map(size, values)) / REFERENCE_BYTES


def size(value: Value) -> int:
    """Bytes of a value; 0 where that is not known."""
    if not isinstance(value.type, TensorType) or not value.type.is_static:
        return 0
    count = 1
    for extent in value.type.static_shape:
        count *= extent
    return count * (value.dtype.bytes if value.dtype.kind != "string" else 0)
