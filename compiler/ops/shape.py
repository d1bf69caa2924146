"""Ops that move elements about without computing: reshape, transpose, slice, concat, pad, expand, tile, trilu.

Shapes, axes and starts are attributes. What only the data decide is in `dynamic`; lookups by index are in `gather`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, product
from ..ir.types import TensorType, boolean, i64
from ..tile.stage import Affine, Expr, Load, apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import Cost, case, op
from .rules import broadcast_shapes, check_axis, extent_value, numbers, same_dtype


def free(results: tuple[TensorType, ...], *_: Any, **__: Any) -> Cost:
    """Cost of moving elements: no arithmetic."""
    return Cost()


def _reshape_type(x: TensorType, *, shape: tuple[Dim, ...]) -> TensorType:
    have, want = x.elements, product(shape)
    if isinstance(have, int) and isinstance(want, int) and have != want:
        raise TypeRuleError(f"{x} has {have} elements, the shape [{', '.join(map(str, shape))}] has {want}")
    return x.with_shape(shape)


def refine(a: Sequence[Dim], b: Sequence[Dim]) -> tuple[list[Dim], list[list[int]], list[list[int]]] | None:
    """The coarsest row-major shape that both shapes are groupings of, and for each shape its axes' parts, outer first.

    None where there is none, as for [6, 4] and [8, 3].
    """
    parts: list[Dim] = []
    groups: tuple[list[list[int]], list[list[int]]] = ([[] for _ in a], [[] for _ in b])
    shapes, axes = (a, b), [len(a), len(b)]
    left: list[Dim] = [1, 1]
    while True:
        for side in (0, 1):
            while left[side] == 1 and axes[side]:
                axes[side] -= 1
                left[side] = shapes[side][axes[side]]
        if left == [1, 1]:
            break
        part = _divisor(*left)
        if part is None:
            return None
        for side in (0, 1):
            groups[side][axes[side]].insert(0, len(parts))
            left[side] = left[side] // part
        parts.append(part)
    return parts, *groups


def _divisor(a: Dim, b: Dim) -> Dim | None:
    """The smaller of two extents if it is known to divide the other one and is not 1."""
    for small, large in ((a, b), (b, a)):
        if small not in (0, 1) and (large // small) * small == large:
            return small
    return None


def _reshape_stages(s: Stages, x: Ref, *, shape: tuple[Dim, ...]) -> Any:
    y = s.results[0]
    refined = refine(x.shape, y.shape)
    if refined is None:
        return NotImplemented
    parts, *groups = refined
    index = s.dims(*reversed(parts))[::-1]
    source, target = (
        [join([index[n] for n in axis], [parts[n] for n in axis]) for axis in g] for g in groups
    )
    if None in source or None in target:
        return NotImplemented
    s.store(y.at(*target), x.at(*source))  # type: ignore[arg-type]
    return None


def join(index: Sequence[Affine], extents: Sequence[Dim]) -> Affine | None:
    """One coordinate from parts of it, outer first; None where an inner extent is not a number."""
    total = Affine()
    for part, extent in zip(index, extents, strict=True):
        if total.terms and not isinstance(extent, int):
            return None
        total = total * (extent if isinstance(extent, int) else 1) + part
    return total


@op(
    "shape.reshape",
    infer=_reshape_type,
    stages=_reshape_stages,
    cost=free,
    samples=(
        case("f32[4, 6]", shape=(2, 2, 3, 2)),
        case("f32[2, 3, 5, 7]", shape=(6, 35)),
        case("i8[6, 4]", shape=(8, 3)),
        case("bool[1, 5, 1]", shape=(5,)),
        case("f64[]", shape=(1, 1)),
        case("string[2, 3]", shape=(6,)),
        case("f16[3, 0]", shape=(0, 7)),
        case("i64[12, 5]", shape=(3, 20)),
    ),
)
def reshape(x, *, shape: tuple[Dim, ...]):
    """The elements of x in row-major order under another shape."""
    return np.reshape(x, numbers(shape))


def _transpose_type(x: TensorType, *, perm: tuple[int, ...]) -> TensorType:
    if sorted(perm) != list(range(x.rank)):
        raise TypeRuleError(f"'perm' is {list(perm)}, expected a permutation of {x.rank} axes")
    return x.with_shape(tuple(x.shape[axis] for axis in perm))


def _transpose_stages(s: Stages, x: Ref, *, perm: tuple[int, ...]) -> None:
    y = s.results[0]
    index = s.dims(*y.shape)
    s.store(y[index], x[tuple(index[perm.index(axis)] for axis in range(x.rank))])


@op(
    "shape.transpose",
    infer=_transpose_type,
    stages=_transpose_stages,
    cost=free,
    samples=(
        case("f32[3, 5, 7]", perm=(2, 0, 1)),
        case("u8[4, 9]", perm=(1, 0)),
        case("bf16[2, 1, 3, 4]", perm=(0, 2, 3, 1)),
        case("bool[]", perm=()),
    ),
)
def transpose(x, *, perm: tuple[int, ...]):
    """x with axis `perm[n]` as its axis n."""
    return np.transpose(x, perm)


def _slice_type(
    x: TensorType, *, starts: tuple[Dim, ...], sizes: tuple[Dim, ...], steps: tuple[int, ...]
) -> TensorType:
    if not len(starts) == len(sizes) == len(steps) == x.rank:
        raise TypeRuleError(
            f"slice of {x} needs a start, a size and a step for each axis, got "
            f"{len(starts)}, {len(sizes)} and {len(steps)}"
        )
    for axis, (start, size, step) in enumerate(zip(starts, sizes, steps)):
        extent = x.shape[axis]
        if not (isinstance(start, int) and isinstance(size, int) and isinstance(extent, int)) or size == 0:
            continue
        last = start + (size - 1) * step
        if size < 0 or not (0 <= start < extent and 0 <= last < extent):
            raise TypeRuleError(f"slice: indices {start} to {last} of axis {axis} are outside {x}")
    return x.with_shape(sizes)


def _slice_stages(
    s: Stages, x: Ref, *, starts: tuple[Dim, ...], sizes: tuple[Dim, ...], steps: tuple[int, ...]
) -> Any:
    offsets = [start for start in starts if isinstance(start, int)]
    if len(offsets) < len(starts):
        return NotImplemented
    index = s.dims(*sizes)
    s.store(s.results[0][index], x.at(*(i * step + offset for i, offset, step in zip(index, offsets, steps))))
    return None


@op(
    "shape.slice",
    infer=_slice_type,
    stages=_slice_stages,
    cost=free,
    samples=(
        case("f32[5, 9]", starts=(1, 0), sizes=(3, 5), steps=(1, 2)),
        case("i64[7]", starts=(6,), sizes=(7,), steps=(-1,)),
        case("bf16[4, 5, 6]", starts=(0, 4, 5), sizes=(4, 2, 3), steps=(1, -2, -2)),
        case("bool[3]", starts=(1,), sizes=(0,), steps=(1,)),
        case("string[5]", starts=(1,), sizes=(2,), steps=(3,)),
    ),
)
def slice_of(x, *, starts: tuple[Dim, ...], sizes: tuple[Dim, ...], steps: tuple[int, ...]):
    """Every step-th element from `starts`, `sizes` of them: y[i] = x[start + i * step] on each axis."""
    bounds = zip(numbers(starts), numbers(sizes), steps)
    index = [start + np.arange(size) * step for start, size, step in bounds]
    return x[np.ix_(*index)] if index else x


def _concat_type(*xs: TensorType, axis: int) -> TensorType:
    if not xs:
        raise TypeRuleError("concat needs an operand")
    first, dtype = xs[0], same_dtype(*xs)
    check_axis(axis, first.rank)
    shape = list(first.shape)
    for x in xs[1:]:
        if x.rank != first.rank:
            raise TypeRuleError(f"concat of {first} and {x}: the ranks differ")
        for n, (a, b) in enumerate(zip(shape, x.shape)):
            if n == axis:
                shape[n] = a + b
            elif isinstance(a, int) and isinstance(b, int) and a != b:
                raise TypeRuleError(f"concat of {first} and {x} along axis {axis}: axis {n} differs")
            elif isinstance(b, int):
                shape[n] = b
    return TensorType(dtype, tuple(shape))


def _concat_stages(s: Stages, *xs: Ref, axis: int) -> Any:
    y, offset = s.results[0], 0
    for x in xs:
        if x.shape[axis] != 0:
            index = s.dims(*x.shape)
            place = list(index)
            place[axis] = place[axis] + offset
            s.store(y.at(*place), x[index])
        extent = x.shape[axis]
        if not isinstance(extent, int):
            return None if x is xs[-1] else NotImplemented  # nothing may follow what has no known end
        offset += extent
    return None


@op(
    "shape.concat",
    infer=_concat_type,
    stages=_concat_stages,
    cost=free,
    samples=(
        case("f32[2, 3]", "f32[2, 5]", "f32[2, 1]", axis=1),
        case("i32[3]", "i32[4]", axis=0),
        case("bf16[2, 0, 3]", "bf16[2, 2, 3]", axis=1),
        case("u8[1, 5]", axis=0),
        case("string[2]", "string[1]", axis=0),
    ),
)
def concat(*xs, axis: int):
    """The operands one after the other along an axis."""
    return np.concatenate(xs, axis)


MODES = ("constant", "reflect", "edge", "wrap")


def check_pad_mode(mode: str) -> None:
    """Refuses what is no way of padding."""
    if mode not in MODES:
        raise TypeRuleError(f"'mode' is {mode!r}, expected one of {', '.join(MODES)}")


def _pad_type(
    x: TensorType, value: TensorType | None = None, *, pads: tuple[int, ...], mode: str
) -> TensorType:
    if len(pads) != 2 * x.rank:
        raise TypeRuleError(
            f"'pads' has {len(pads)} entries, expected {2 * x.rank}: all begins, then all ends"
        )
    check_pad_mode(mode)
    if value is not None and value != TensorType(x.dtype, ()):
        raise TypeRuleError(f"the padding value is {value}, expected {TensorType(x.dtype, ())}")
    shape = tuple(dim + pads[n] + pads[n + x.rank] for n, dim in enumerate(x.shape))
    for dim, extent in zip(shape, x.shape):
        if isinstance(dim, int) and (dim < 0 or (mode != "constant" and extent == 0 and dim)):
            raise TypeRuleError(f"{x} can't be padded by {list(pads)} in mode '{mode}'")
    return x.with_shape(shape)


def _pad_stages(s: Stages, x: Ref, value: Ref | None, *, pads: tuple[int, ...], mode: str) -> Any:
    y = s.results[0]
    index = s.dims(*y.shape)
    source = [part - pads[n] for n, part in enumerate(index)]
    padded = [n for n in range(x.rank) if pads[n] > 0 or pads[n + x.rank] > 0]
    if mode == "constant":
        s.store(y[index], _filled(s, x, value, source, padded))
        return None
    if not all(isinstance(x.shape[n], int) for n in padded):
        return NotImplemented
    lookups: list[Any] = list(source)
    for n in padded:
        table = s.local([y.shape[n]], i64)
        s.store(table[index[n]], _reflected(s.index(source[n]), x.shape[n], mode))  # type: ignore[arg-type]
        lookups[n] = table[index[n]]
    s.store(y[index], x.at(*lookups))
    return None


def _filled(s: Stages, x: Ref, value: Ref | None, source: list[Affine], padded: list[int]) -> Expr:
    """x where it has an element, else the value: a fill where that is known, a comparison of indices where not."""
    known = 0 if value is None else value.scalar
    zero = False if x.dtype == boolean else 0
    if not padded:
        return x.at(*source)
    if known is not None:
        return x.at(*source, fill=bool(known) if x.dtype == boolean else known)
    assert value is not None
    inside: Expr = lift(True, boolean)
    for n in padded:
        position = s.index(source[n])
        inside = apply("and", inside, apply("and", position >= 0, position < extent_value(s, x, n)))
    return select(inside, x.at(*source, fill=zero), value.at())


def _reflected(position: Expr, extent: int, mode: str) -> Expr:
    """The index inside [0, extent) that a position outside stands for."""
    if extent == 1:
        return position * 0
    if mode == "edge":
        return apply("min", apply("max", position, lift(0, i64)), lift(extent - 1, i64))
    if mode == "wrap":
        return apply("mod", position, lift(extent, i64))
    folded = apply("mod", position, lift(2 * (extent - 1), i64))
    return apply("min", folded, 2 * (extent - 1) - folded)


@op(
    "shape.pad",
    infer=_pad_type,
    stages=_pad_stages,
    cost=free,
    samples=(
        case("f32[3, 5]", pads=(1, 0, 2, 3)),
        case("f32[3, 5]", "f32[]", pads=(1, -2, 0, 4)),
        case("u8[4]", np.uint8(7), pads=(-1, 3)),
        case("bool[3]", np.bool_(True), pads=(1, 1)),
        case("i64[2, 3]", pads=(0, -1, -1, 0)),
        case("f32[4, 5]", pads=(2, 3, 1, 4), mode="reflect"),
        case("f16[3]", pads=(7, 9), mode="reflect"),
        case("bf16[4, 3]", pads=(2, -1, 0, 2), mode="edge"),
        case("f32[2, 3]", pads=(0, 4, 0, 5), mode="wrap"),
        case("f32[1, 3]", pads=(2, 0, 1, 0), mode="reflect"),
        case("f32[]", pads=(), mode="edge"),
        case("string[2]", np.array("z", object), pads=(1, 0)),
    ),
)
def pad(x, value=None, *, pads: tuple[int, ...], mode: str = "constant"):
    """x with elements added (or, where negative, removed) before and after each axis: value, or 0, or x repeated."""
    begins, ends = pads[: x.ndim], pads[x.ndim :]
    widths = [(max(0, begin), max(0, end)) for begin, end in zip(begins, ends)]
    if not any(map(any, widths)):
        pass  # numpy refuses no widths at all, which is what rank 0 has
    elif mode == "constant":
        value = ("" if x.dtype == object else 0) if value is None else value
        x = np.pad(x, widths, constant_values=value)
    else:
        x = np.pad(x, widths, mode=mode)  # type: ignore[call-overload]
    return x[tuple(slice(max(0, -b), n - max(0, -e)) for b, e, n in zip(begins, ends, x.shape))]


def _expand_type(x: TensorType, *, shape: tuple[Dim, ...]) -> TensorType:
    return x.with_shape(broadcast_shapes(x.shape, shape))


def _expand_stages(s: Stages, x: Ref, *, shape: tuple[Dim, ...]) -> None:
    y = s.results[0]
    index = s.dims(*y.shape)
    s.store(y[index], x.broadcast(index))


@op(
    "shape.expand",
    infer=_expand_type,
    stages=_expand_stages,
    cost=free,
    samples=(
        case("f32[3, 1]", shape=(2, 1, 6)),
        case("i8[]", shape=(5,)),
        case("bool[4, 1, 3]", shape=(1, 7, 1)),
        case("string[1]", shape=(3,)),
    ),
)
def expand(x, *, shape: tuple[Dim, ...]):
    """x repeated by numpy broadcasting with `shape`; an axis of x stays where `shape` has 1."""
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, numbers(shape)))


def _tile_type(x: TensorType, *, repeats: tuple[int, ...]) -> TensorType:
    if len(repeats) != x.rank or min(repeats, default=0) < 0:
        raise TypeRuleError(f"'repeats' is {list(repeats)}, expected {x.rank} counts >= 0 for {x}")
    return x.with_shape(tuple(dim * count for dim, count in zip(x.shape, repeats)))


def _tile_stages(s: Stages, x: Ref, *, repeats: tuple[int, ...]) -> Any:
    index = s.dims(*x.shape)
    target = list(index)
    for axis, (extent, count) in enumerate(zip(x.shape, repeats)):
        if count == 1:
            continue
        if not isinstance(extent, int):
            return NotImplemented
        (turn,) = s.dims(count)
        target[axis] = turn * extent + index[axis]
    s.store(s.results[0].at(*target), x[index])
    return None


@op(
    "shape.tile",
    infer=_tile_type,
    stages=_tile_stages,
    cost=free,
    samples=(
        case("f32[2, 3]", repeats=(2, 3)),
        case("i64[5]", repeats=(1,)),
        case("u8[]", repeats=()),
        case("string[2]", repeats=(2,)),
        case("bf16[3, 1]", repeats=(1, 4)),
    ),
)
def tile(x, *, repeats: tuple[int, ...]):
    """x set side by side `repeats` times along each axis."""
    return np.tile(x, repeats)


def _of_type(x: TensorType) -> TensorType:
    return TensorType(i64, (x.rank,))


@op("shape.of", infer=_of_type, cost=free, samples=(case("f32[4, 0, 3]"), case("i8[]"), case("string[2]")))
def shape_of(x):
    """The shape of x as i64[rank]."""
    return np.array(x.shape, np.int64)


def _trilu_type(x: TensorType, *, upper: bool, k: int) -> TensorType:
    if x.rank < 2:
        raise TypeRuleError(f"trilu needs rank 2 or more, got {x}")
    return x


def _trilu_stages(s: Stages, x: Ref, *, upper: bool, k: int) -> None:
    index = s.dims(*x.shape)
    diagonal = s.index(index[-1] - index[-2])
    value: Load = x[index]
    zero = lift(False if x.dtype == boolean else 0, x.dtype)
    s.store(s.results[0][index], select(diagonal >= k if upper else diagonal <= k, value, zero))


@op(
    "shape.trilu",
    infer=_trilu_type,
    stages=_trilu_stages,
    cost=free,
    samples=(
        case("f32[4, 5]"),
        case("i64[2, 5, 3]", upper=False, k=-1),
        case("bool[3, 3]", k=1),
        case("bf16[3, 4]", upper=False, k=2),
    ),
)
def trilu(x, *, upper: bool = True, k: int = 0):
    """x with 0 below (or, for `upper=False`, above) the k-th diagonal of its last two axes."""
    return np.triu(x, k) if upper else np.tril(x, k)
