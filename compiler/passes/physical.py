"""From drafts to kernels: accesses follow the layouts; what has extent 1 vanishes; what always goes together is one.

The kernels that come out name their dims, stages and buffers by position, so that equal work gives equal kernels.
"""

from collections.abc import Mapping, Sequence
from math import prod

from ...runtime.records import dataclass, replace
from ..ir.types import DType
from ..tile.canonical import canonical
from ..tile.stage import (
    CONSTANT,
    INPUT,
    LOCAL,
    OUTPUT,
    Access,
    Affine,
    Buffer,
    Dim,
    Expr,
    Kernel,
    Load,
    Lookup,
    Repair,
    Stage,
    dim,
    rewrite,
)
from .accesses import Coordinates, digits, extents_of, positions, reach, rename
from .draft import Draft
from .merge import merge_dims
from .plan import Layout
from .shaping import Reshape, Shaping, accesses, dims_in_order

_ROLES = (INPUT, CONSTANT, OUTPUT, LOCAL)


@dataclass(frozen=True, slots=True)
class Placed:
    """What a kernel must know of a value that it reads or writes."""

    layout: Layout
    shape: tuple[int, ...]
    dtype: DType
    constant: bool


class Physical:
    """Drafts as kernels; those of drafts that differ in names only are formed once, for a model repeats its layers."""

    def __init__(self) -> None:
        self._formed: dict[object, tuple[Kernel, dict[str, str]]] = {}

    def kernel(self, draft: Draft, values: Mapping[str, Placed]) -> tuple[Kernel, dict[str, str]]:
        """The draft as a kernel over memory, and the value behind each of its buffers that is not local."""
        plain = _plain(draft, values)
        normal, _, key = canonical(plain)
        own = {new.name: old.name for new, old in zip(normal.buffers, plain.buffers, strict=True)}
        placed = {new: values[old] for new, old in own.items() if old in values}
        whole = (key, tuple(placed.items()))
        if whole not in self._formed:
            self._formed[whole] = _formed(normal, placed)
        kernel, behind = self._formed[whole]
        stages = zip(kernel.stages, plain.stages, strict=True)
        located = tuple(new.located(old.location) for new, old in stages)
        return replace(kernel, stages=located), {new: own[name] for new, name in behind.items()}


def _plain(draft: Draft, values: Mapping[str, Placed]) -> Kernel:
    """The draft's live stages over whole values, still as the graph has them."""
    buffers = dict(draft.locals)
    stages = _live(draft)
    written = draft.writes()
    read = [access.buffer for stage in stages for access in stage.reads if access.buffer not in buffers]
    for name in (*dict.fromkeys(read), *written):
        value = values[name]
        role = OUTPUT if name in written else CONSTANT if value.constant else INPUT
        buffers[name] = Buffer(name, value.layout.shape(value.shape), value.dtype, role)
    return Kernel("draft", tuple(buffers.values()), tuple(stages))


def _formed(kernel: Kernel, values: Mapping[str, Placed]) -> tuple[Kernel, dict[str, str]]:
    buffers = {buffer.name: buffer for buffer in kernel.buffers}
    form = Shaping([_laid_out(stage, values) for stage in kernel.stages], buffers)
    _align(form)
    order = _order_dims(form)
    form.reshape(_ordered_locals(form, order))
    form.reshape(_without_unit_axes(form))
    merge_dims(form)
    form.reshape(_by_digits(form))
    return _named(form, order)


def _live(draft: Draft) -> list[Stage]:
    """The stages that a result depends on: a view that went into a lookup may have left its table unread."""
    stages: list[Stage] = []
    needed = set(draft.writes())
    for stage in reversed(draft.stages):
        if stage.write.buffer in needed:
            stages.insert(0, stage)
            needed.update(access.buffer for access in (*stage.reads, *stage.write.accesses()))
            if stage.repair is not None:
                needed.add(stage.repair.of)
    return stages


def _laid_out(stage: Stage, values: Mapping[str, Placed]) -> Stage:
    """The stage with every access to a value as its layout has it, without fills that are never met."""
    extents = extents_of(stage)

    def change(expr: Expr) -> Expr | None:
        return Load(_moved(expr.access, values, extents), expr.dtype) if isinstance(expr, Load) else None

    return replace(stage, body=rewrite(stage.body, change), write=_moved(stage.write, values, extents))


def _moved(access: Access, values: Mapping[str, Placed], extents: Mapping[str, int]) -> Access:
    index = [
        Lookup(_moved(part.access, values, extents)) if isinstance(part, Lookup) else part
        for part in access.index
    ]
    if access.buffer not in values:
        return replace(access, index=tuple(index))
    layout, shape = values[access.buffer].layout, values[access.buffer].shape
    inside = True
    moved: list[Affine | Lookup] = []
    for axis in layout.order:
        part, (before, after) = index[axis], layout.halo[axis]
        if isinstance(part, Lookup):
            inside = False
            moved.append(part)
            continue
        low, high = reach(part, extents)
        inside = inside and low >= -before and high < shape[axis] + after
        moved.append(part + before)
    return Access(access.buffer, tuple(moved), None if inside else access.fill)


def _align(form: Shaping) -> None:
    """Dims that write a local take the names of those that read it, where these are plain."""
    while any(form.rename(old, new) for old, new in _aligned(form)):
        pass


def _aligned(form: Shaping) -> list[tuple[str, str]]:
    """Pairs of dims that write and read one axis of a local."""
    writes: dict[str, list[Access]] = {}
    for stage in form.stages:
        writes.setdefault(stage.write.buffer, []).append(stage.write)
    pairs: dict[tuple[str, str], None] = {}
    for stage in form.stages:
        for access in stage.reads:
            written = writes.get(access.buffer, [])
            if form.buffers[access.buffer].role != LOCAL or len(written) != 1:
                continue
            for theirs, mine in zip(written[0].index, access.index, strict=True):
                old, new = (part.single if isinstance(part, Affine) else None for part in (theirs, mine))
                if old is not None and new is not None and old != new:
                    pairs[old, new] = None
    return list(pairs)


def _order_dims(form: Shaping) -> list[str]:
    """Put the dims of all stages in one order: as in the results' memory, then as in what is read, largest first."""

    def weight(access: Access) -> tuple[int, int]:
        return _ROLES.index(form.buffers[access.buffer].role), -prod(form.shape(access.buffer))

    found: dict[str, None] = {}
    for stage in form.stages:
        if form.buffers[stage.write.buffer].role == OUTPUT:
            found.update(dict.fromkeys(dims_in_order(stage.write)))
    reads = dict.fromkeys(access for stage in form.stages for access in stage.reads)
    for access in sorted(reads, key=weight):
        found.update(dict.fromkeys(dims_in_order(access)))
    found.update(dict.fromkeys(form.extents))
    order = list(found)
    for n, stage in enumerate(form.stages):
        dims = sorted(stage.dims, key=lambda each: order.index(each.name))
        form.stages[n] = replace(stage, dims=tuple(dims))
    return order


def _ordered_locals(form: Shaping, order: Sequence[str]) -> dict[str, Reshape]:
    """The axes of every local in the order of the dims that it is written by."""
    changes = {}
    for stage in form.stages:
        name = stage.write.buffer
        if form.buffers[name].role == LOCAL and name not in changes:
            names = [part.single if isinstance(part, Affine) else None for part in stage.write.index]
            keys = [-1 if name is None else order.index(name) for name in names]
            changes[name] = _selected(form.shape(name), sorted(range(len(keys)), key=keys.__getitem__))
    return changes


def _without_unit_axes(form: Shaping) -> dict[str, Reshape]:
    """Buffers without the axes of extent 1 on which every index is 0."""
    zero: dict[str, set[int]] = {}
    for stage in form.stages:
        for access in accesses(stage):
            here = {n for n, part in enumerate(access.index) if part == Affine()}
            zero[access.buffer] = zero.get(access.buffer, here) & here
    changes = {}
    for name in form.buffers:
        shape = form.shape(name)
        kept = [n for n, extent in enumerate(shape) if extent != 1 or n not in zero.get(name, ())]
        if len(kept) < len(shape):
            changes[name] = _selected(shape, kept)
    return changes


def _by_digits(form: Shaping) -> dict[str, Reshape]:
    """Constants with an axis for each dim where several step through one, as groups and shuffles of channels do: they
    can be packed in the order of their reader's loops then."""
    constants = (name for name, buffer in form.buffers.items() if buffer.role == CONSTANT)
    return {name: _split(form.shape(name), cuts) for name in constants if any(cuts := _cuts(form, name))}


def _cuts(form: Shaping, name: str) -> list[tuple[int, ...]]:
    """For each axis of a buffer the extents of the dims that step through it in every access, () where one may stay."""
    cuts = []
    for axis, extent in enumerate(form.shape(name)):
        found = [digits(access.index[axis], form.extents, extent) for access in form.on(name)]
        ways = {tuple(size for _, size in each or ()) for each in found}
        way = ways.pop() if len(ways) == 1 else ()
        cuts.append(way if len(way) > 1 else ())
    return cuts


def _split(shape: tuple[int, ...], cuts: Sequence[tuple[int, ...]]) -> Reshape:
    def index(parts: Coordinates) -> Coordinates:
        out: list[Affine | Lookup] = []
        for part, cut in zip(parts, cuts, strict=True):
            outer_first = sorted(part.terms, key=lambda term: -term[1]) if isinstance(part, Affine) else ()
            out.extend([dim(name) for name, _ in outer_first] if cut else [part])
        return tuple(out)

    axes = zip(shape, cuts, strict=True)
    return Reshape(tuple(size for extent, cut in axes for size in cut or (extent,)), index)


def _selected(shape: tuple[int, ...], axes: Sequence[int]) -> Reshape:
    def index(parts: Coordinates) -> Coordinates:
        return tuple(parts[n] for n in axes)

    return Reshape(tuple(shape[n] for n in axes), index)


def _named(form: Shaping, order: Sequence[str]) -> tuple[Kernel, dict[str, str]]:
    """The kernel with positional names: inputs, constants and outputs in order of use, then locals."""
    used = dict.fromkeys(access.buffer for stage in form.stages for access in accesses(stage))
    listed = sorted(used, key=lambda name: _ROLES.index(form.buffers[name].role))
    names = {name: f"b{n}" for n, name in enumerate(listed)}
    dims = {name: f"d{n}" for n, name in enumerate(name for name in order if name in form.extents)}
    values = {name: dim(new) for name, new in dims.items()}

    def access(old: Access) -> Access:
        return rename(old.map(lambda part: part.substitute(values)), names)

    def change(expr: Expr) -> Expr | None:
        return Load(access(expr.access), expr.dtype) if isinstance(expr, Load) else positions(expr, values)

    stages = tuple(
        Stage(
            f"s{n}",
            tuple(Dim(dims[each.name], each.extent, each.kind) for each in stage.dims),
            rewrite(stage.body, change),
            access(stage.write),
            stage.combine,
            stage.repair and Repair(names[stage.repair.of], stage.repair.factor),
            stage.location,
        )
        for n, stage in enumerate(form.stages)
    )
    buffers = tuple(replace(form.buffers[name], name=names[name]) for name in listed)
    behind = {new: name for name, new in names.items() if form.buffers[name].role != LOCAL}
    return Kernel("kernel", buffers, stages), behind
