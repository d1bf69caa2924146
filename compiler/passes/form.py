"""Forming kernels: which nodes are computed together, in which layouts, from and to where in memory.

The rules see access maps only: views and widening casts go into their readers; an elementwise consumer goes into its
producer; a cheap elementwise producer goes into its only reader; what reads back the rows that were reduced stays with
the reduction.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from ...runtime.records import replace
from ..ir.graph import Graph, Node, Value
from ..ir.types import TensorType
from ..ops.engine import REGISTRY
from ..ops.scalar import SCALARS
from ..tile.stage import Stage
from .accesses import applications, domain, factors, innermost, is_elementwise, loads_of
from .assemble import assemble
from .draft import Draft, Drafting, is_widening, view_source
from .fuse import Fusion
from .plan import DEFAULT, HostStep, Plan, Preferences
from .rows import follow

Entry = Draft | HostStep


def form(
    graph: Graph,
    supports: Callable[[Node], bool],
    preferences: Preferences = DEFAULT,
    apart: Collection[Node] = (),
) -> Plan:
    """The graph as steps over arrays in memory.

    `supports` says whether the target can compile a node's stages. Nodes without stages, with shapes that only the
    data decide, or without elements run by their numpy meaning. Nodes in `apart` are fused with no other.
    """
    names = {value: f"v{n}" for n, value in enumerate(v for node in graph.nodes for v in node.results)}
    forming = Forming(graph, names, supports, preferences, apart)
    forming.inline_views()
    forming.fuse()
    return assemble(graph, names, list(forming.entries()), forming.drafting, preferences, forming.hits)


class Forming:
    """The entries of a plan under change, in an order in which producers come before readers."""

    def __init__(
        self,
        graph: Graph,
        names: dict[Value, str],
        supports: Callable[[Node], bool],
        preferences: Preferences,
        apart: Collection[Node],
    ):
        self.preferences = preferences
        self.apart = set(apart)
        self.hits: Counter[str] = Counter()
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.drafting = Drafting(names)
        self.fusion = Fusion(self.drafting, self.shapes)
        self.slots: list[Entry | None] = []
        self.producer: dict[str, int] = {}
        self.users: dict[str, dict[int, None]] = {}
        self.constants = {name for value, name in names.items() if value.constant is not None}
        self.required = {names[value] for value in graph.outputs}
        for node in graph.nodes:
            if node.op in ("input", "constant"):
                continue
            for entry in _entries(node, names, self.drafting, supports):
                if isinstance(entry, HostStep):
                    self.required.update(name for name in entry.operands if name is not None)
                self.slots.append(None)
                self.put(len(self.slots) - 1, entry)
        static = {name: value.type for value, name in names.items() if _is_static(value)}
        self.shapes.update((name, each.static_shape) for name, each in static.items())
        self.bits = {name: each.dtype.bits for name, each in static.items()}

    def entries(self) -> Iterator[Entry]:
        """What is left, in order."""
        return (entry for entry in self.slots if entry is not None)

    def put(self, place: int, entry: Entry | None) -> None:
        """Replace an entry."""
        old = self.slots[place]
        for name in _reads(old):
            self.users[name].pop(place, None)
        for name in _writes(old):
            if self.producer.get(name) == place:
                del self.producer[name]
        self.slots[place] = entry
        for name in _reads(entry):
            self.users.setdefault(name, {})[place] = None
        for name in _writes(entry):
            self.producer[name] = place

    def draft(self, place: int) -> Draft | None:
        """The draft at a place, if there is one that may be fused."""
        entry = self.slots[place]
        if not isinstance(entry, Draft) or not self.apart.isdisjoint(entry.nodes):
            return None
        return entry

    def inline_views(self) -> None:
        """Views go into all their readers, where each of them can take them, and so do casts that widen numbers, so
        that memory holds the narrow ones, but not into factors, which would be cast again and again."""
        for place in range(len(self.slots)):
            view = self.draft(place)
            if view is None or view.writes()[0] in self.required:
                continue
            moves = view_source(view) is not None
            if not moves and not is_widening(view):
                continue
            (value,) = view.writes()
            changed: dict[int, Draft] = {}
            for user in self.users.get(value, {}):
                reader = self.draft(user)
                if reader is None or (not moves and _multiplies(reader, value)):
                    break
                new = self.fusion.inline(view, reader, value)
                if new is None:
                    break
                changed[user] = new
            else:
                self.put(place, None)
                for user, new in changed.items():
                    self.put(user, new)
                self.hits["inline view"] += 1

    def fuse(self) -> None:
        """Elementwise drafts go into their producers, cheap ones into their only reader."""
        for place in range(len(self.slots)):
            while self.draft(place) is not None and (
                self._take_producer(place, elementwise=True)
                or self._join_producer(place)
                or self._follow_rows(place)
                or self._take_producer(place, elementwise=False)
            ):
                pass

    def _single(self, value: str) -> int | None:
        """The place of the producer of a value that has one reader and need not be stored for others."""
        place = self.producer.get(value)
        if place is None or value in self.required or len(self.users[value]) != 1:
            return None
        producer = self.draft(place)
        return place if producer is not None and producer.writes() == (value,) else None

    def _take_producer(self, place: int, elementwise: bool) -> bool:
        """Inline an elementwise producer; `elementwise`: only if this draft is elementwise throughout."""
        consumer = self.draft(place)
        assert consumer is not None
        if elementwise and not all(map(is_elementwise, consumer.stages)):
            return False
        for value in consumer.reads():
            source = self._single(value)
            producer = None if source is None else self.draft(source)
            if producer is None or source is None or not self._is_cheap(producer, consumer, value):
                continue
            new = self.fusion.inline(producer, consumer, value)
            if new is not None:
                self._fuse(source, place, new, "inline producer")
                return True
        return False

    def _is_cheap(self, producer: Draft, consumer: Draft, value: str) -> bool:
        """Whether computing the value where it is read costs less than storing it."""
        if not all(map(is_elementwise, producer.stages)):
            return False
        if _multiplies(consumer, value):
            return False
        if cost(producer.stages[-1]) < self.preferences.inline_cost:
            return True
        points = sum(domain(stage) for stage in consumer.stages if loads_of(stage, value))
        return points <= domain(producer.stages[-1])

    def _join_producer(self, place: int) -> bool:
        """An elementwise draft goes into a producer: contractions first, then what writes the widest numbers, which
        need not be stored then, then the latest."""
        consumer = self.draft(place)
        assert consumer is not None
        if not all(map(is_elementwise, consumer.stages)):
            return False
        sources = [(value, self._single(value)) for value in consumer.reads()]
        found = [(value, source) for value, source in sources if source is not None]
        found.sort(
            key=lambda pair: (_contracts(self.slots[pair[1]]), self.bits[pair[0]], pair[1]), reverse=True
        )
        pieces = sum(stage.write.buffer not in consumer.locals for stage in consumer.stages)
        for value, source in found:
            producer = self.draft(source)
            assert producer is not None
            if pieces > 1 and _contracts(producer):
                continue  # a result in several pieces (concat) has no one loop nest around it
            new = self.fusion.absorb(producer, consumer, value, self._whole(producer, consumer, value))
            if new is not None:
                self._fuse(source, place, new, "absorb consumer")
                return True
        return False

    def _follow_rows(self, place: int) -> bool:
        """Stay with a producer that reduces the rows which this draft reads as well."""
        consumer = self.draft(place)
        assert consumer is not None
        for value in consumer.reads():
            source = self._single(value)
            producer = None if source is None else self.draft(source)
            if producer is None or source is None or _contracts(producer):
                continue
            new = follow(
                producer, consumer, value, self.shapes[value], self.drafting, self.preferences.row_bytes
            )
            if new is not None:
                self._fuse(source, place, new, "follow rows")
                return True
        return False

    def _fuse(self, source: int, place: int, new: Draft, how: str) -> None:
        self.put(source, None)
        self.put(place, new)
        self.hits[how] += 1

    def _whole(self, producer: Draft, consumer: Draft, value: str) -> Collection[str]:
        """The dims that a producer keeps as they are: a contraction the innermost one, which is vectorised."""
        if not _contracts(producer):
            return ()
        if view_source(consumer) is not None:
            return producer.extents()
        found = innermost(producer.stages, producer.writer(value).write, self.constants.__contains__)
        return () if found is None else found[:1]


def cost(stage: Stage) -> float:
    """The cost of one element of a stage, in additions."""
    return sum(SCALARS[node.op].cost for node in applications(stage.body))


def _multiplies(draft: Draft, value: str) -> bool:
    """Whether a contraction of the draft reads the value: what it reads is read again and again."""
    return any(factors(stage) for stage in draft.stages if loads_of(stage, value))


def _contracts(entry: Entry | None) -> bool:
    return isinstance(entry, Draft) and any(factors(stage) for stage in entry.stages)


def _entries(
    node: Node, names: Mapping[Value, str], drafting: Drafting, supports: Callable[[Node], bool]
) -> Sequence[Entry]:
    tensors = [value for value in (*node.operands, *node.results) if value is not None]
    if not all(map(_is_static, tensors)):
        reason = "its shapes are known at run time only"
    elif node.op not in REGISTRY or any(0 in value.shape for value in tensors):
        reason = "it has no elements"
    else:
        reason = f"the target has no code for {node.op}"
        pieces = drafting.pieces(node)
        if all(map(supports, pieces)):
            reason = f"{node.op} has no stages"
            drafts = [
                replace(each, nodes=(node,)) for each in map(drafting.draft, pieces) if each is not None
            ]
            if len(drafts) == len(pieces):
                return drafts
    operands = tuple(None if value is None else names[value] for value in node.operands)
    return [HostStep(node, operands, tuple(names[value] for value in node.results), reason)]


def _is_static(value: Value) -> bool:
    return isinstance(value.type, TensorType) and value.type.is_static


def _reads(entry: Entry | None) -> tuple[str, ...]:
    if isinstance(entry, Draft):
        return entry.reads()
    return () if entry is None else tuple(dict.fromkeys(name for name in entry.operands if name is not None))


def _writes(entry: Entry | None) -> tuple[str, ...]:
    if isinstance(entry, Draft):
        return entry.writes()
    return () if entry is None else entry.results
