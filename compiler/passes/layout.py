"""In which order the axes of each value lie in memory, which views are aliases, which values get a halo.

Decided on access maps only. The innermost axis of a contraction's result is the one that its second operand, weights
where there are any, brings along (channels last); all else follows the largest tensor that it is computed from.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import partial
from math import prod

from ...runtime.records import dataclass
from ..ir.graph import Node, Value
from ..tile.stage import REDUCE, Access, Affine, Dim, Load, Lookup, Stage, dim, rewrite
from .accesses import factors, innermost, rename
from .alias import ordered_by, seen_as, steps
from .draft import Draft, Drafting, view_source
from .halo import halos
from .plan import HostStep, Layout, Preferences

Entry = Draft | HostStep


@dataclass(frozen=True)
class Layouts:
    """Entries, copies at borders among them; the layout of each value in memory; what shares a value's memory.

    `values` names also those that exist only because a value lies in memory twice. `roots` gives, for a value that has
    no memory of its own, the one whose memory it is.
    """

    entries: tuple[Entry, ...]
    values: Mapping[str, Value]
    layouts: Mapping[str, Layout]
    roots: Mapping[str, str] = field(default_factory=dict)


def choose(
    entries: Iterable[Entry],
    values: Mapping[str, Value],
    inputs: Sequence[str],
    outputs: Sequence[str],
    drafting: Drafting,
    preferences: Preferences,
) -> Layouts:
    """Layouts for all values that entries read or write."""
    choice = _Choice(entries, values, inputs, outputs, drafting, preferences)
    choice.orders()
    choice.constants()
    if preferences.halo:
        choice.halo()
    return Layouts(tuple(choice.entries), choice.values, choice.layouts, choice.resolved())


class _Choice:
    def __init__(
        self,
        entries: Iterable[Entry],
        values: Mapping[str, Value],
        inputs: Sequence[str],
        outputs: Sequence[str],
        drafting: Drafting,
        preferences: Preferences,
    ):
        self.entries: list[Entry] = list(entries)
        self.values = dict(values)
        self.drafting = drafting
        self.preferences = preferences
        self.inputs = set(inputs)
        self.outputs = set(outputs)
        self.layouts: dict[str, Layout] = {}
        self.roots: dict[str, str] = {}
        # what the caller or numpy sees is row-major
        self.hosted = {n for e in self.entries if isinstance(e, HostStep) for n in e.results}
        self.seen = {n for e in self.entries if isinstance(e, HostStep) for n in e.operands if n is not None}
        for name in (*self.inputs, *self.hosted, *self.outputs, *self.seen):
            if self._is_static(name):
                self.layouts[name] = Layout.plain(self.values[name].type.rank)

    def _is_static(self, name: str) -> bool:
        type = self.values[name].type
        return getattr(type, "is_static", False)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name].type.static_shape

    def _is_constant(self, name: str) -> bool:
        return name in self.values and self.values[name].constant is not None

    # --- orders ----------------------------------------------------------------------------------------------

    def orders(self) -> None:
        """Fix the order of every written value, producers first; views become aliases where they can."""
        readers: dict[str, list[Draft]] = {}
        for entry in self.entries:
            if isinstance(entry, Draft):
                for name in entry.reads():
                    readers.setdefault(name, []).append(entry)
        done: list[Entry] = []
        renamed: dict[str, str] = {}
        for entry in self.entries:
            if isinstance(entry, HostStep):
                done.append(entry)
                continue
            entry = with_buffers(entry, {old: new for old, new in renamed.items() if old in entry.reads()})
            if self._alias(entry):
                continue
            copies: list[Draft] = []
            for name in entry.writes():
                order = self._order(entry, name, readers.get(name, []))
                if name not in self.layouts:
                    self.layouts[name] = _plain_halo(order)
                elif self._needs_border(entry, name):
                    inner = renamed[name] = self._twin(name)
                    self.layouts[inner] = _plain_halo(order)
                    entry = with_buffers(entry, {name: inner})
                    copies.append(self._copy(inner, name, self.values[inner].node))
            done += [entry, *copies]
        self.entries = done

    def _twin(self, name: str) -> str:
        """A further value for the same elements."""
        twin = self.drafting.fresh(f"{name}_")
        value = self.values[name]
        self.values[twin] = Node("copy", (value,), {}, (value.type,), location=value.node.location).result
        return twin

    def _copy(self, source: str, target: str, node: Node) -> Draft:
        """A draft that moves all elements from one value to another of the same shape."""
        shape, value = self.shape(target), self.values[target]
        dims = [Dim(self.drafting.fresh("d"), extent) for extent in shape]
        index = tuple(dim(each.name) if each.extent != 1 else Affine() for each in dims)
        stage = Stage(
            self.drafting.fresh("s"),
            tuple(each for each in dims if each.extent != 1),
            Load(Access(source, index), value.dtype),
            Access(target, index),
        )
        return Draft((stage,), {}, (node,))

    def _needs_border(self, draft: Draft, name: str) -> bool:
        """Whether a contraction would write its result across the memory of one that must be row-major."""
        found = self._innermost(draft, name)
        if found is None:
            return False
        after = self.shape(name)[found[1] + 1 :]
        return prod(after) > 1

    def _innermost(self, draft: Draft, name: str) -> tuple[str, int] | None:
        """The dim that is best innermost in a written value, and its axis; None where nothing asks for one."""
        if not self.preferences.channels_last:
            return None
        return innermost(draft.stages, draft.writer(name).write, self._is_constant)

    def _order(self, draft: Draft, name: str, readers: Sequence[Draft]) -> tuple[int, ...]:
        """The axes of a written value, outermost first."""
        found = self._innermost(draft, name)
        rank = len(self.shape(name))
        if found is None:
            order = self._following(draft, name)
            inner = self._reduced_by(name, readers) if self.preferences.sums_inside else ()
            return tuple(sorted(order, key=lambda n: n in inner))
        _, last = found
        axes = [n for n in range(rank) if n != last]
        inner = self._reduced_by(name, readers)
        axes.sort(key=lambda n: n in inner)
        return (*axes, last)

    def _reduced_by(self, name: str, readers: Sequence[Draft]) -> set[int]:
        """The axes of a value that contractions sum over as a whole: they lie best side by side."""
        for reader in readers:
            for stage in reader.stages:
                if not factors(stage):
                    continue
                reduced = {each.name for each in stage.dims if each.kind == REDUCE}
                for access in stage.reads:
                    if access.buffer == name:
                        return {
                            n
                            for n, part in enumerate(access.index)
                            if isinstance(part, Affine) and part.dims and set(part.dims) <= reduced
                        }
        return set()

    def _following(self, draft: Draft, name: str) -> tuple[int, ...]:
        """The order in which the axes of a written value step through the largest tensor that it comes from."""
        rank = len(self.shape(name))
        bases: list[tuple[tuple[bool, int], Stage, Access]] = []
        for stage in draft.stages:
            if stage.write.buffer != name:
                continue
            dims = {each.name for each in stage.dims}
            for other in draft.stages:
                for access in (each for read in other.reads for each in _stepped(draft, read)):
                    if access.buffer in draft.locals or not dims & set(access.dims):
                        continue
                    size = prod(self.shape(access.buffer))
                    bases.append(((not self._is_constant(access.buffer), size), stage, access))
        if not bases:
            return tuple(range(rank))
        _, stage, base = max(bases, key=lambda entry: entry[0])
        moved = self.steps(base)
        strides = {}
        for n, part in enumerate(stage.write.index):
            known = [moved[d] for d in part.dims if d in moved] if isinstance(part, Affine) else []
            if known:
                strides[n] = min(known)
        return ordered_by(strides, rank)

    def steps(self, access: Access) -> dict[str, int]:
        """How many elements of memory each dim of an access steps over."""
        shape = self.shape(access.buffer)
        layout = self.layouts.get(access.buffer, Layout.plain(len(shape)))
        return steps(access, shape, layout.order)

    # --- aliases ---------------------------------------------------------------------------------------------

    def _alias(self, draft: Draft) -> bool:
        """Make the result of a view another name of its source's memory, if it has the same elements in a row."""
        source = view_source(draft)
        if source is None or self._is_constant(source):
            return False
        (target,) = draft.writes()
        root = self.root(source)
        family = {root, *(name for name in self.roots if self.root(name) == root)}
        if target in self.outputs | self.seen and root in self.inputs | self.hosted | self.outputs:
            return False
        if target in self.outputs and family & self.seen:
            return False  # numpy sees arrays of the arena, each with a shape of its own
        order = seen_as(draft.stages[0], self.shape(source), self.layouts[source].order, self.shape(target))
        if order is None:
            return False
        if target in self.layouts and not _same(order, self.layouts[target].order, self.shape(target)):
            return False
        self.layouts.setdefault(target, _plain_halo(order))
        if target in self.outputs:
            self.roots[root] = target
        else:
            self.roots[target] = root
        return True

    def root(self, name: str) -> str:
        """The value whose memory a value lies in."""
        while name in self.roots:
            name = self.roots[name]
        return name

    def resolved(self) -> dict[str, str]:
        return {name: self.root(name) for name in self.roots}

    # --- constants -------------------------------------------------------------------------------------------

    def constants(self) -> None:
        """Each reader gets its constants in the order in which it steps through them."""
        names: dict[tuple[str, tuple[int, ...]], str] = {}
        for place, entry in enumerate(self.entries):
            if isinstance(entry, HostStep):
                continue
            renamed = {}
            for name in entry.reads():
                if not self._is_constant(name):
                    continue
                order = self._constant_order(entry, name)
                if name not in self.layouts:
                    self.layouts[name] = _plain_halo(order)
                    names[name, order] = name
                if _same(order, self.layouts[name].order, self.shape(name)):
                    continue
                if (name, order) not in names:
                    twin = names[name, order] = self.drafting.fresh(f"{name}_")
                    self.values[twin] = self.values[name]
                    self.layouts[twin] = _plain_halo(order)
                renamed[name] = names[name, order]
            if renamed:
                self.entries[place] = with_buffers(entry, renamed)

    def _constant_order(self, draft: Draft, name: str) -> tuple[int, ...]:
        """Axes that are looked up or kept first, as in the result; then reduced ones, as in the other operand.

        Innermost is the dim that is so in the result: of weights for each channel, which all else goes along with.
        """
        result = draft.writes()[-1]
        write = draft.writer(result).write
        stage, access = next(
            (stage, access) for stage in draft.stages for access in stage.reads if access.buffer == name
        )
        last = self._innermost(draft, result)
        reduced = {each.name for each in stage.dims if each.kind == REDUCE}
        others = [a for a in stage.reads if a.buffer != name and a.buffer in self.values]
        read = self.steps(max(others, key=lambda a: prod(self.shape(a.buffer)))) if others else {}
        written = self.steps(write)
        lanes = {name for name, step in written.items() if step == 1} if reduced else set()
        if last is not None:
            lanes = {last[0]}
        kept = stage.write.index if stage.write.buffer not in self.values else ()
        if kept and reduced and lanes.isdisjoint(each.name for each in stage.dims):
            lanes = set(getattr(kept[-1], "dims", ()))  # a local lies as it is declared

        def key(axis: int) -> tuple[int, int, int]:
            part = access.index[axis]
            if isinstance(part, Lookup) or not part.terms:
                return (0, 0, axis)
            dims = set(part.dims)
            if dims & lanes:
                return (3, 0, axis)
            if dims & reduced:
                return (2, -min(read.get(d, 0) for d in dims), axis)
            return (1, -min(written.get(d, 0) for d in dims), axis)

        return tuple(sorted(range(len(access.index)), key=key))

    # --- halo ------------------------------------------------------------------------------------------------

    def halo(self) -> None:
        """Values that are read past their edges as zeros get zeros around them, constants too; inputs are copied."""
        shared = {*self.roots, *self.roots.values()}
        fixed = self.inputs | self.hosted | self.outputs | self.seen
        drafts = [entry for entry in self.entries if isinstance(entry, Draft)]
        wanted = halos(drafts, {name: self.shape(name) for name in self.values if self._is_static(name)})
        copies: list[Entry] = []
        for name, halo in wanted.items():
            if name in self.inputs and name not in self.outputs | self.seen and name not in shared:
                twin = self._twin(name)
                self.layouts[twin] = Layout(self.layouts[name].order, halo)
                copies.append(self._copy(name, twin, self.values[twin].node))
                self.entries = [
                    with_buffers(entry, {name: twin}) if isinstance(entry, Draft) else entry
                    for entry in self.entries
                ]
            elif name not in fixed | shared:
                self.layouts[name] = Layout(self.layouts[name].order, halo)
        self.entries = [*copies, *self.entries]


def _stepped(draft: Draft, access: Access) -> Iterator[Access]:
    """The accesses whose tensors are stepped through: of a table that is only looked up, those that say where."""
    lookups = [part.access for part in access.index if isinstance(part, Lookup)]
    if not lookups or len(lookups) < len(access.index):
        yield access
        return
    for each in lookups:
        if each.buffer not in draft.locals:
            yield from _stepped(draft, each)
            continue
        writer = draft.writer(each.buffer)
        values = {
            part.single: at
            for part, at in zip(writer.write.index, each.index, strict=True)
            if isinstance(part, Affine) and isinstance(at, Affine) and part.single is not None
        }
        for read in writer.reads:
            yield from _stepped(draft, read.map(partial(Affine.substitute, values=values)))


def with_buffers(draft: Draft, names: Mapping[str, str]) -> Draft:
    """The draft reading and writing other values."""
    if not names:
        return draft

    def change(expr: object) -> Load | None:
        return Load(rename(expr.access, names), expr.dtype) if isinstance(expr, Load) else None

    stages = tuple(
        Stage(
            stage.name,
            stage.dims,
            rewrite(stage.body, change),
            rename(stage.write, names),
            stage.combine,
            stage.repair,
            stage.location,
        )
        for stage in draft.stages
    )
    return Draft(stages, draft.locals, draft.nodes)


def _plain_halo(order: Sequence[int]) -> Layout:
    return Layout(tuple(order), ((0, 0),) * len(order))


def _same(a: Sequence[int], b: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether two orders put all elements in the same places."""
    return [n for n in a if shape[n] != 1] == [n for n in b if shape[n] != 1]
