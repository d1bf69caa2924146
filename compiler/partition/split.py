"""From an assignment to a plan of each device: the graph is cut, every part formed as a whole, all kernels ordered.

A part may hold pieces that wait for other devices in between: its kernels are then called in several segments. Forming
never makes a cycle of waiting: a kernel takes in only what nothing else reads.
"""

from collections.abc import Iterable, Mapping, Sequence

from ...runtime.records import dataclass
from ..ir.graph import Graph, Node, Value, graph_input
from ..ir.location import at
from ..ir.types import TensorType
from ..ops.engine import get
from ..passes.assemble import ordered
from ..passes.plan import HostStep, Plan, Step, accesses
from .candidates import Unit
from .knowledge import Knowledge, form_on, size
from .order import in_order, readers
from .system import Device, System


@dataclass(frozen=True, eq=False)
class Part:
    """What one device computes: its graph, its plan and the seconds of each step.

    `values` are the whole graph's values by the plan's names, where a border or the user sees them; `origin` gives the
    node of the whole graph, as the device sees it, of each node that had to be made anew.
    """

    device: Device
    graph: Graph
    plan: Plan
    seconds: Sequence[float]
    values: Mapping[str, Value]
    origin: Mapping[Node, Node]

    def nodes(self, step: Step) -> tuple[Node, ...]:
        """The nodes of the whole graph, as the device sees it, that a step computes."""
        own = (step.node,) if isinstance(step, HostStep) else step.nodes
        return tuple(self.origin.get(node, node) for node in own)


@dataclass(frozen=True, eq=False)
class Task:
    """A step of a part, by number. `reads` and `writes` name arrays: of the device, or values of the whole graph."""

    part: Part
    number: int
    reads: tuple[object, ...]
    writes: tuple[object, ...]

    @property
    def step(self) -> Step:
        return self.part.plan.steps[self.number]

    @property
    def seconds(self) -> float:
        return self.part.seconds[self.number]


Order = tuple[int, ...]


def split(
    graph: Graph,
    where: Mapping[Unit, str],
    layouts: Mapping[str, Mapping[Value, Order]],
    system: System,
    known: Knowledge,
) -> list[Part]:
    """The part of each device that has something to do, and of the host."""
    homes = {node: device for unit, device in where.items() for node in unit.nodes}
    orders = _orders(graph, homes, layouts)
    found = [_Cut(graph, homes, orders, device, system, known).part() for device in system.devices]
    return [part for part in found if part is not None]


def _orders(
    graph: Graph, homes: Mapping[Node, str], layouts: Mapping[str, Mapping[Value, Order]]
) -> dict[Value, Order]:
    """For each value that crosses a border, the order of its axes there: its first reader's, or its maker's."""
    found: dict[Value, Order] = {}
    outputs = set(graph.outputs)
    for node, device in homes.items():
        for value in node.results:
            readers = [homes[user] for user, _ in graph.users.get(value, ()) if homes[user] != device]
            likes = [layouts[name][value] for name in (*readers, device) if value in layouts[name]]
            if readers and likes and value not in outputs:
                found[value] = likes[0]
    return found


class _Cut:
    """One device's part of a graph as it sees it: nodes made anew where their operands come from elsewhere. `homes` and
    `orders` are of nodes and values of the graph itself."""

    def __init__(
        self,
        graph: Graph,
        homes: Mapping[Node, str],
        orders: Mapping[Value, Order],
        device: Device,
        system: System,
        known: Knowledge,
    ):
        view = known.view(device, graph)
        self.graph, self.trace = view.graph, view.trace
        nodes = (node for node in self.graph.nodes if node.op not in ("input", "constant"))
        self.homes = {node: homes[self.trace.sources(node)[-1]] for node in nodes}
        self.orders = orders
        self.device, self.system, self.known = device, system, known
        self.inputs: dict[Value, Value] = {}  # what comes in, and the input that stands for it
        self.made: dict[Value, Value] = {}
        self.origin: dict[Node, Node] = {}
        self.leaving: list[Value] = []

    def part(self) -> Part | None:
        """The part, formed; None where the device has nothing to do."""
        is_host = self.device.name == self.system.host
        for node in self.graph.nodes:
            if self.homes.get(node) == self.device.name:
                self._take(node)
        outputs = dict.fromkeys(self.graph.outputs)
        passed = [v for v in outputs if v.node.op in ("input", "constant")] if is_host else []
        users = self.graph.users
        unread = [v for v in self.graph.inputs if is_host and v not in outputs and not users.get(v)]
        if not self.origin and not passed and not unread:
            return None
        for value in unread:
            self._here(value)
        results = [*self.leaving, *passed]
        shown = [self._turned(value) for value in results]
        own = Graph(self.inputs.values(), shown, [f"y{n}" for n in range(len(shown))])
        self.known.carry_over(self.device.name, self.origin)
        formed = form_on(own, self.device, self.known, self.system.host)
        plan = formed.plan
        seen = dict(zip(plan.inputs, map(self._known_as, self.inputs))) | {
            name: self._known_as(value)
            for name, value in zip(plan.outputs, results)
            if value.node.op != "constant"
        }
        return Part(self.device, own, plan, formed.seconds, seen, self.origin)

    def _known_as(self, value: Value) -> Value:
        """The graph's own value for one of the device's view."""
        return self.trace.values.get(value, value)

    def _take(self, node: Node) -> None:
        operands = tuple(None if value is None else self._here(value) for value in node.operands)
        new = node if operands == node.operands else node.with_operands(operands)
        self.origin[new] = node
        self.made.update(zip(node.results, new.results))
        outputs, users = set(self.graph.outputs), self.graph.users
        self.leaving += [
            value
            for value in node.results
            if value in outputs
            or any(self.homes[user] != self.device.name for user, _ in users.get(value, ()))
        ]

    def _here(self, value: Value) -> Value:
        """A value as this device has it; what comes from elsewhere becomes an input."""
        if value.node.op == "constant" or value in self.made:
            return self.made.get(value, value)
        if value.node.op == "input":
            self.inputs[value] = self.made[value] = value
            return value
        order = self.orders.get(self._known_as(value))
        name = f"x{len(self.inputs)}"
        if order is None:
            self.inputs[value] = self.made[value] = graph_input(name, value.type)
        else:
            shape = tuple(value.shape[axis] for axis in order)
            source = self.inputs[value] = graph_input(name, TensorType(value.dtype, shape))
            self.made[value] = self._transposed(value, source, tuple(map(order.index, range(len(order)))))
        return self.made[value]

    def _turned(self, value: Value) -> Value:
        """A value as it leaves."""
        order = self.orders.get(self._known_as(value))
        return self._here(value) if order is None else self._transposed(value, self._here(value), order)

    def _transposed(self, value: Value, source: Value, order: Order) -> Value:
        if order == tuple(range(len(order))):
            return source
        with at(value.node.location):
            turned = get("shape.transpose")(source, perm=order)
        self.origin[turned.node] = value.node
        return turned


def tasks(parts: Iterable[Part]) -> list[Task]:
    """The steps of all parts, by what they read and write: values of the whole graph, or a device's own arrays."""
    found = []
    for part in parts:
        roots = part.plan.roots

        def name(array: str, part: Part = part, roots: Mapping[str, str] = roots) -> object:
            if array in part.values:
                return part.values[array]
            root = roots.get(array, array)
            return part.values.get(root, (part.device.name, root))

        for number, step in enumerate(part.plan.steps):
            reads, writes = accesses(step)
            constant = {a for a in reads if part.plan.arrays[a].place == "constant"}
            found.append(
                Task(
                    part,
                    number,
                    tuple(dict.fromkeys(name(a) for a in reads if a not in constant)),
                    tuple(name(a) for a in writes),
                )
            )
    return found


def schedule(everything: Sequence[Task], system: System) -> list[Task]:
    """All tasks in the order of `in_order`."""
    maker = {value: n for n, task in enumerate(everything) for value in task.writes}
    before = [{maker[value] for value in task.reads if value in maker} for task in everything]

    def arrival(source: int, reader: int, done: float) -> float:
        return _arrival(everything[source], everything[reader], done, system)

    seconds = [task.seconds for task in everything]
    devices = [task.part.device.name for task in everything]
    return [everything[n] for n in in_order(seconds, devices, before, readers(before), arrival)]


def _arrival(maker: Task, reader: Task, done: float, system: System) -> float:
    """When what one task made is where another needs it, were all links free."""
    source, target = maker.part.device.memory, reader.part.device.memory
    if source == target:
        return done
    count = sum(size(v) for v in maker.writes if v in reader.reads and isinstance(v, Value))
    return done + sum(link.latency + link.busy(count) for link in system.routes[source, target])


def reordered(parts: Sequence[Part], order: Sequence[Task]) -> tuple[list[Part], list[Task]]:
    """The parts with their steps in that order, their memory planned for it, and the tasks by their new numbers."""
    new: dict[str, Part] = {}
    for part in parts:
        own = [task.number for task in order if task.part is part]
        plan = ordered(part.plan, own)
        seconds = [part.seconds[number] for number in own]
        new[part.device.name] = Part(part.device, part.graph, plan, seconds, part.values, part.origin)
    count = dict.fromkeys(new, 0)
    found = []
    for task in order:
        device = task.part.device.name
        found.append(Task(new[device], count[device], task.reads, task.writes))
        count[device] += 1
    return list(new.values()), found
