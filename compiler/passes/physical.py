"""From drafts to kernels: accesses follow the layouts, axes and dims that always go together become one.

The kernels that come out name their dims, stages and buffers by position, so that equal work gives equal kernels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from ..ir.types import DType
from ..tile.stage import (
    CONSTANT,
    INPUT,
    LOCAL,
    OUTPUT,
    SCAN,
    Access,
    Affine,
    Buffer,
    Dim,
    Expr,
    Index,
    Kernel,
    Load,
    Lookup,
    Repair,
    Stage,
    dim,
    rewrite,
    walk,
)
from .accesses import reach, rename
from .draft import Draft
from .plan import Layout


@dataclass(frozen=True, slots=True)
class Placed:
    """What a kernel must know of a value that it reads or writes."""

    layout: Layout
    shape: tuple[int, ...]
    dtype: DType
    constant: bool


def physical(draft: Draft, values: Mapping[str, Placed]) -> tuple[Kernel, dict[str, str]]:
    """The draft as a kernel over memory, and the value behind each of its buffers that is not local."""
    stages = laid_out(draft, values)
    buffers = dict(draft.locals)
    written = draft.writes()
    for name in (*draft.reads(), *written):
        value = values[name]
        role = OUTPUT if name in written else CONSTANT if value.constant else INPUT
        buffers[name] = Buffer(name, value.layout.shape(value.shape), value.dtype, role)
    form = _Form(list(stages), buffers)
    form.align()
    form.order_dims()
    form.order_locals()
    form.drop_unit_axes()
    form.merge()
    return form.kernel()


def laid_out(draft: Draft, values: Mapping[str, Placed]) -> tuple[Stage, ...]:
    """The draft's stages with every access to a value as its layout has it."""

    def move(access: Access, extents: Mapping[str, int]) -> Access:
        index = [
            Lookup(move(part.access, extents)) if isinstance(part, Lookup) else part for part in access.index
        ]
        if access.buffer not in values:
            return replace(access, index=tuple(index))
        layout, logical = values[access.buffer].layout, values[access.buffer].shape
        inside = True
        moved: list[Affine | Lookup] = []
        for axis in layout.order:
            part, (before, after) = index[axis], layout.halo[axis]
            if isinstance(part, Affine):
                low, high = reach(part, extents)
                inside &= low >= -before and high < logical[axis] + after
                part = part + before
            else:
                inside = inside and access.fill is None
            moved.append(part)
        return Access(access.buffer, tuple(moved), None if inside else access.fill)

    out = []
    for stage in draft.stages:
        extents = {each.name: each.extent for each in stage.dims}

        def change(expr: Expr, extents: Mapping[str, int] = extents) -> Expr | None:  # type: ignore[assignment]
            return Load(move(expr.access, extents), expr.dtype) if isinstance(expr, Load) else None

        out.append(replace(stage, body=rewrite(stage.body, change), write=move(stage.write, extents)))  # type: ignore[arg-type]
    return tuple(out)


def accesses(stage: Stage) -> Iterator[Access]:
    """Everything that a stage reads or writes, accesses inside lookups too."""
    yield from stage.reads
    yield from stage.write.accesses()


class _Form:
    """A kernel under change."""

    def __init__(self, stages: list[Stage], buffers: dict[str, Buffer]):
        self.stages = stages
        self.buffers = buffers
        self.extents: dict[str, int] = {d.name: d.extent for s in stages for d in s.dims}  # type: ignore[misc]

    def align(self) -> None:
        """Dims that write a local take the names of those that read it, where these are plain."""
        while any(self._rename(old, new) for old, new in self._aligned()):
            pass

    def _aligned(self) -> list[tuple[str, str]]:
        """Pairs of dims that write and read one axis of a local."""
        writes: dict[str, list[Access]] = {}
        for stage in self.stages:
            writes.setdefault(stage.write.buffer, []).append(stage.write)
        pairs: dict[tuple[str, str], None] = {}
        for stage in self.stages:
            for access in stage.reads:
                written = writes.get(access.buffer, [])
                if self.buffers[access.buffer].role != LOCAL or len(written) != 1:
                    continue
                for mine, theirs in zip(access.index, written[0].index, strict=True):
                    names = [part.single if isinstance(part, Affine) else None for part in (theirs, mine)]
                    if names[0] is not None and names[1] is not None and names[0] != names[1]:
                        pairs[names[0], names[1]] = None
        return list(pairs)

    def _rename(self, old: str, new: str) -> bool:
        """One dim's name for another's, unless some stage has both."""
        if self.extents[old] != self.extents[new]:
            return False
        if any({old, new} <= {each.name for each in stage.dims} for stage in self.stages):
            return False
        for n, stage in enumerate(self.stages):
            dims = [replace(each, name=new) if each.name == old else each for each in stage.dims]
            self.stages[n] = stage.substitute({old: dim(new)}, dims)
        del self.extents[old]
        return True

    def order_dims(self) -> None:
        """Dims of all stages in one order: as in the results' memory, then as in what is read, largest first."""
        found: dict[str, None] = {}
        for stage in self.stages:
            if self.buffers[stage.write.buffer].role == OUTPUT:
                found.update(dict.fromkeys(_dims_in_order(stage.write)))
        reads = dict.fromkeys(access for stage in self.stages for access in stage.reads)
        for access in sorted(reads, key=lambda access: self._weight(access)):
            found.update(dict.fromkeys(_dims_in_order(access)))
        found.update(dict.fromkeys(self.extents))
        self.order = {name: n for n, name in enumerate(found)}
        self.stages = [
            replace(stage, dims=tuple(sorted(stage.dims, key=lambda each: self.order[each.name])))
            for stage in self.stages
        ]

    def _weight(self, access: Access) -> tuple[int, int]:
        buffer = self.buffers[access.buffer]
        kind = (INPUT, CONSTANT, OUTPUT, LOCAL).index(buffer.role)
        return (kind, -prod(buffer.shape))  # type: ignore[arg-type]

    def order_locals(self) -> None:
        """The axes of every local in the order of the dims that it is written by."""
        for name, buffer in list(self.buffers.items()):
            if buffer.role != LOCAL:
                continue
            index = next(stage.write.index for stage in self.stages if stage.write.buffer == name)
            keys = [
                self.order[part.single] if isinstance(part, Affine) and part.single else -1 for part in index
            ]
            axes = sorted(range(len(index)), key=lambda n, keys=keys: keys[n])
            self._reshape(
                name,
                tuple(buffer.shape[n] for n in axes),
                lambda index, axes=axes: tuple(index[n] for n in axes),
            )

    def _reshape(self, name: str, shape: Sequence[int], change) -> None:
        """Another shape for a buffer; `change` maps the indices on it."""

        def move(access: Access) -> Access:
            index = tuple(
                Lookup(move(part.access)) if isinstance(part, Lookup) else part for part in access.index
            )
            if access.buffer == name:
                index = tuple(change(index))
            return Access(access.buffer, index, access.fill)

        self.buffers[name] = replace(self.buffers[name], shape=tuple(shape))
        self._map(move, name)

    def _map(self, move, name: str | None = None) -> None:
        def change(expr: Expr) -> Expr | None:
            return Load(move(expr.access), expr.dtype) if isinstance(expr, Load) else None

        for n, stage in enumerate(self.stages):
            if name is None or any(access.buffer == name for access in accesses(stage)):
                self.stages[n] = replace(stage, body=rewrite(stage.body, change), write=move(stage.write))

    def _on(self, name: str) -> list[Access]:
        """All accesses of a buffer."""
        return list(dict.fromkeys(a for stage in self.stages for a in accesses(stage) if a.buffer == name))

    def drop_unit_axes(self) -> None:
        """Axes of extent 1 vanish where every index on them is 0."""
        for name, buffer in list(self.buffers.items()):
            found = self._on(name)
            kept = [
                n
                for n, extent in enumerate(buffer.shape)
                if extent != 1 or any(access.index[n] != Affine() for access in found)
            ]
            if len(kept) < len(buffer.shape):
                self._reshape(
                    name,
                    [buffer.shape[n] for n in kept],
                    lambda index, kept=kept: [index[n] for n in kept],
                )

    def merge(self) -> None:
        """Dims that step through every buffer as one counter become one."""
        while any(self._merge(outer, inner) for outer, inner in self._candidates()):
            pass

    def _candidates(self) -> list[tuple[str, str]]:
        """Pairs of dims that are neighbours in some access."""
        pairs: dict[tuple[str, str], None] = {}
        for stage in self.stages:
            for access in accesses(stage):
                names = _dims_in_order(access)
                pairs.update(dict.fromkeys(pairwise(names)))
        return list(pairs)

    def _merge(self, outer: str, inner: str) -> bool:
        """Make two dims one, the inner one counting faster; False where some access forbids it."""
        if outer == inner:
            return False
        radix = self.extents[inner]
        spans: dict[str, tuple[int, int]] = {}
        for stage in self.stages:
            kinds = {each.name: each.kind for each in stage.dims if each.name in (outer, inner)}
            if not kinds:
                continue
            if len(kinds) == 1 or kinds[outer] != kinds[inner] or kinds[outer] == SCAN:
                return False
            for expr in walk(stage.body):
                if isinstance(expr, Index) and not _nests(expr.affine, outer, inner, radix):
                    return False
            for access in accesses(stage):
                span = self._span(access, outer, inner)
                if span is None:
                    return False
                if span and spans.setdefault(access.buffer, span) != span:
                    return False
        for name, (first, last) in spans.items():
            if first != last and not self._can_join(name, first, last, outer, inner):
                return False
        for name, (first, last) in spans.items():
            if first != last:
                self._join(name, first, last)
        self._replace(outer, inner, radix)
        return True

    def _span(self, access: Access, outer: str, inner: str) -> tuple[int, int] | tuple[()] | None:
        """The axes from the outer to the inner dim; () where neither occurs, None where they can't be merged."""
        axes: dict[str, list[int]] = {outer: [], inner: []}
        for n, part in enumerate(access.index):
            if isinstance(part, Affine):
                for name in axes:
                    if name in part.dims:
                        axes[name].append(n)
        if not axes[outer] and not axes[inner]:
            return ()
        if len(axes[outer]) != 1 or len(axes[inner]) != 1:
            return None
        first, last = axes[outer][0], axes[inner][0]
        if first > last:
            return None
        shape = self.buffers[access.buffer].shape
        stride = prod(shape[first + 1 : last + 1])  # type: ignore[arg-type]
        a, b = access.index[first], access.index[last]
        assert isinstance(a, Affine)
        assert isinstance(b, Affine)
        nests = a.coefficient(outer) * stride == b.coefficient(inner) * self.extents[inner]
        return (first, last) if nests else None

    def _can_join(self, name: str, first: int, last: int, outer: str, inner: str) -> bool:
        """Whether the axes first .. last of a buffer may become one: never left, never looked up, plain in locals."""
        buffer = self.buffers[name]
        for access in self._on(name):
            parts = access.index[first : last + 1]
            if buffer.role == LOCAL and parts != (dim(outer), dim(inner)):
                return False
            if any(isinstance(part, Lookup) for part in parts):
                return False
            if access.fill is None:
                continue
            for part, extent in zip(parts, buffer.shape[first:], strict=False):
                low, high = reach(part, self.extents)  # type: ignore[arg-type]
                if low < 0 or high >= extent:  # type: ignore[operator]
                    return False
        return True

    def _join(self, name: str, first: int, last: int) -> None:
        shape: tuple[int, ...] = self.buffers[name].shape  # type: ignore[assignment]

        def change(index: tuple[Affine, ...]) -> list[Affine]:
            total = Affine()
            for part, extent in zip(index[first : last + 1], shape[first : last + 1], strict=True):
                total = total * extent + part
            return [*index[:first], total, *index[last + 1 :]]

        self._reshape(name, (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :]), change)

    def _replace(self, outer: str, inner: str, radix: int) -> None:
        """radix * outer + inner becomes outer everywhere."""

        def affine(part: Affine) -> Affine:
            if inner not in part.dims:
                return part
            step = part.coefficient(inner)
            rest = [(name, c) for name, c in part.terms if name not in (outer, inner)]
            return Affine.of([*rest, (outer, step)], part.const)

        def change(expr: Expr) -> Expr | None:
            if isinstance(expr, Load):
                return Load(expr.access.map(affine), expr.dtype)
            return Index(affine(expr.affine)) if isinstance(expr, Index) else None

        extent = self.extents[outer] * radix
        self.extents[outer] = extent
        for n, stage in enumerate(self.stages):
            if all(each.name != inner for each in stage.dims):
                continue
            dims = tuple(
                replace(each, extent=extent) if each.name == outer else each
                for each in stage.dims
                if each.name != inner
            )
            self.stages[n] = replace(
                stage, dims=dims, body=rewrite(stage.body, change), write=stage.write.map(affine)
            )

    def kernel(self) -> tuple[Kernel, dict[str, str]]:
        """The kernel with positional names: inputs, constants and outputs in order of use, then locals."""
        used = dict.fromkeys(access.buffer for stage in self.stages for access in accesses(stage))
        ranks = (INPUT, CONSTANT, OUTPUT, LOCAL)
        sorted_names = sorted(used, key=lambda name: ranks.index(self.buffers[name].role))
        names = {name: f"b{n}" for n, name in enumerate(sorted_names)}
        present = {each.name for stage in self.stages for each in stage.dims}
        dims = {name: f"d{n}" for n, name in enumerate(name for name in self.order if name in present)}
        values = {name: dim(new) for name, new in dims.items()}

        def change(expr: Expr) -> Expr | None:
            if isinstance(expr, Load):
                moved = expr.access.map(lambda part: part.substitute(values))
                return Load(rename(moved, names), expr.dtype)
            return Index(expr.affine.substitute(values)) if isinstance(expr, Index) else None

        stages = tuple(
            Stage(
                f"s{n}",
                tuple(Dim(dims[each.name], each.extent, each.kind) for each in stage.dims),
                rewrite(stage.body, change),
                rename(stage.write.map(lambda part: part.substitute(values)), names),
                stage.combine,
                stage.repair and Repair(names[stage.repair.of], stage.repair.factor),
            )
            for n, stage in enumerate(self.stages)
        )
        buffers = tuple(replace(self.buffers[name], name=names[name]) for name in sorted_names)
        behind = {new: name for name, new in names.items() if self.buffers[name].role != LOCAL}
        return Kernel("kernel", buffers, stages), behind


def _nests(part: Affine, outer: str, inner: str, radix: int) -> bool:
    return part.coefficient(outer) == part.coefficient(inner) * radix


def _dims_in_order(access: Access) -> list[str]:
    """The dims of an access as they step through memory, outermost first."""
    names: dict[str, None] = {}
    for part in access.index:
        if isinstance(part, Affine):
            names.update(dict.fromkeys(n for n, _ in sorted(part.terms, key=lambda term: -abs(term[1]))))
    return list(names)
