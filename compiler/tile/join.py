"""Kernels that follow one another as one: what the first writes and only the second reads becomes a local of both.

Two kernels may see the array between them under different shapes, as rows and columns or as positions: dims are split
until both see the finer one. Dims that write and read an axis plainly then take one name.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

from ...runtime.records import replace
from .stage import (
    LOCAL,
    Access,
    Affine,
    Buffer,
    Dim,
    Expr,
    Index,
    Kernel,
    Load,
    Lookup,
    Stage,
    dim,
    rewrite,
)


def join(first: Kernel, second: Kernel, result: str, operand: str) -> Kernel | None:
    """Both kernels' stages over one set of buffers, in which the first one's `result` is the second one's `operand`.

    Names of the second get "_" behind them; None where the two do not see one array, or a stage repairs an earlier one.
    """
    if any(stage.repair is not None for stage in (*first.stages, *second.stages)):
        return None
    shape = common_shape(first.buffer(result).static_shape, second.buffer(operand).static_shape)
    if shape is None or first.buffer(result).dtype != second.buffer(operand).dtype:
        return None
    mark = _mark(first)
    read = operand + mark
    one, two = seen_as(first, result, shape), seen_as(_renamed(second, mark), read, shape)
    if one is None or two is None or not _is_plain(one, result):
        return None
    two = _aligned(one, result, two, read)
    local = replace(one.buffer(result), role=LOCAL)
    buffers = [local if b.name == result else b for b in one.buffers]
    buffers += [b for b in two.buffers if b.name != read]
    stages = tuple(map(_buffers_renamed({read: result}), two.stages))
    return Kernel(f"{first.name}+{second.name}", tuple(buffers), (*one.stages, *stages))


def _is_plain(kernel: Kernel, name: str) -> bool:
    """Whether a buffer is written by one stage, a plain dim along each axis, as a local must be."""
    writers = kernel.writers(name)
    index = writers[0].write.index if len(writers) == 1 else ()
    return all(isinstance(part, Affine) and part.single is not None for part in index) and len(writers) == 1


def common_shape(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...] | None:
    """The coarsest shape of which both are made by joining neighbouring axes; None where there is none."""
    left, right = ([extent for extent in shape if extent != 1] for shape in (one, other))
    out: list[int] = []
    while left and right:
        a, b = left.pop(0), right.pop(0)
        small, large = min(a, b), max(a, b)
        if large % small:
            return None
        out.append(small)
        if large > small:
            (left if a > b else right).insert(0, large // small)
    return None if left or right else tuple(out)


def seen_as(kernel: Kernel, name: str, shape: Sequence[int]) -> Kernel | None:
    """The kernel with a buffer under a finer shape, its dims split; None where an axis is not walked along plainly."""
    while True:
        old = kernel.buffer(name).static_shape
        if 1 in old and 1 not in shape:
            return None
        axis = next((n for n, (a, b) in enumerate(zip(old, shape)) if a != b), None)
        if axis is None:
            return kernel if len(old) == len(shape) else None
        outer = shape[axis]
        accesses = [a for s in kernel.stages for a in every_access(s) if a.buffer == name]
        dims = {
            part.single if isinstance(part, Affine) else None for part in (a.index[axis] for a in accesses)
        }
        if len(dims) != 1 or None in dims:
            return None
        (split,) = dims
        assert split is not None
        if kernel.dims[split].size != old[axis] or old[axis] % outer:
            return None
        new = split_dim(kernel, split, (outer, old[axis] // outer))
        if new is None or new.buffer(name).static_shape == old:
            return None
        kernel = new


def split_dim(kernel: Kernel, name: str, extents: Sequence[int]) -> Kernel | None:
    """The kernel with a dim as several, outermost first, and every buffer axis that it alone walks along split too.

    None where a local's axis would be walked along by several dims.
    """
    parts = [f"{name}.{n}" for n in range(len(extents))]
    value = Affine.of([(part, prod(extents[n + 1 :])) for n, part in enumerate(parts)])
    walked: dict[tuple[str, int], bool] = {}
    for stage in kernel.stages:
        for access in every_access(stage):
            for axis, part in enumerate(access.index):
                if isinstance(part, Affine):
                    plain = part == dim(name) and kernel.buffer(access.buffer).shape[axis] == prod(extents)
                    walked[access.buffer, axis] = walked.get((access.buffer, axis), True) and plain
                    if not plain and name in part.dims and kernel.buffer(access.buffer).role == LOCAL:
                        return None
    cut = {place for place, plain in walked.items() if plain}
    if any(
        (access.buffer, axis) in cut and not isinstance(part, Affine)
        for stage in kernel.stages
        for access in every_access(stage)
        for axis, part in enumerate(access.index)
    ):
        return None

    def index(access: Access) -> Access:
        found: list[Affine | Lookup] = []
        for axis, part in enumerate(access.index):
            if isinstance(part, Lookup):
                found.append(Lookup(index(part.access)))
            elif (access.buffer, axis) in cut:
                found += map(dim, parts)
            else:
                found.append(part.substitute({name: value}))
        return replace(access, index=tuple(found))

    def change(expr: Expr) -> Expr | None:
        if isinstance(expr, Load):
            return Load(index(expr.access), expr.dtype)
        return Index(expr.affine.substitute({name: value})) if isinstance(expr, Index) else None

    def dims(stage: Stage) -> tuple[Dim, ...]:
        return tuple(
            new
            for old in stage.dims
            for new in (
                [Dim(part, extent, old.kind) for part, extent in zip(parts, extents)]
                if old.name == name
                else [old]
            )
        )

    stages = tuple(
        replace(s, dims=dims(s), body=rewrite(s.body, change), write=index(s.write)) for s in kernel.stages
    )
    return Kernel(kernel.name, tuple(_cut(b, cut, extents) for b in kernel.buffers), stages)


def _cut(buffer: Buffer, cut: set[tuple[str, int]], extents: Sequence[int]) -> Buffer:
    shape = tuple(
        new
        for axis, old in enumerate(buffer.shape)
        for new in (extents if (buffer.name, axis) in cut else (old,))
    )
    return replace(buffer, shape=shape)


def every_access(stage: Stage) -> tuple[Access, ...]:
    """All accesses of a stage, those of looked-up coordinates too."""
    return (*stage.reads, stage.write)


def _mark(kernel: Kernel) -> str:
    """A suffix that no name of the kernel has."""
    names = [*kernel.dims, *(s.name for s in kernel.stages), *(b.name for b in kernel.buffers)]
    return "_" * (1 + max(len(name) - len(name.rstrip("_")) for name in names))


def _renamed(kernel: Kernel, suffix: str) -> Kernel:
    """The kernel with a suffix at the names of all dims, stages and buffers."""
    stages = tuple(
        replace(_dims_renamed(stage, {d.name: d.name + suffix for d in stage.dims}), name=stage.name + suffix)
        for stage in kernel.stages
    )
    names = {b.name: b.name + suffix for b in kernel.buffers}
    buffers = tuple(replace(b, name=names[b.name]) for b in kernel.buffers)
    return Kernel(kernel.name, buffers, tuple(map(_buffers_renamed(names), stages)))


def _dims_renamed(stage: Stage, names: Mapping[str, str]) -> Stage:
    dims = tuple(replace(d, name=names.get(d.name, d.name)) for d in stage.dims)
    return stage.substitute({old: dim(new) for old, new in names.items()}, dims)


def _buffers_renamed(names: Mapping[str, str]) -> Callable[[Stage], Stage]:
    def move(access: Access) -> Access:
        index = tuple(Lookup(move(p.access)) if isinstance(p, Lookup) else p for p in access.index)
        return replace(access, buffer=names.get(access.buffer, access.buffer), index=index)

    def change(expr: Expr) -> Expr | None:
        return Load(move(expr.access), expr.dtype) if isinstance(expr, Load) else None

    return lambda stage: replace(stage, body=rewrite(stage.body, change), write=move(stage.write))


def _aligned(one: Kernel, result: str, two: Kernel, operand: str) -> Kernel:
    """The second kernel, its dims named as those of the first that write what they read, where both walk plainly."""
    (write,) = (stage.write for stage in one.writers(result))
    reads = [a for s in two.stages for a in every_access(s) if a.buffer == operand]
    names: dict[str, str] = {}
    for axis, part in enumerate(write.index):
        mine = part.single if isinstance(part, Affine) else None
        theirs = {p.single if isinstance(p, Affine) else None for p in (a.index[axis] for a in reads)}
        other = next(iter(theirs)) if len(theirs) == 1 else None
        if mine is None or other is None or mine in names.values() or other in names:
            continue
        if one.dims[mine].size == two.dims[other].size and one.dims[mine].kind == two.dims[other].kind:
            names[other] = mine
    return Kernel(two.name, two.buffers, tuple(_dims_renamed(stage, names) for stage in two.stages))
