"""Shape ops whose result's extents are known only once their operands' values are: opaque, with fresh symbols.

Where a shape is known when a model is compiled the ops in `shape` state it as an attribute; those have stages.
"""

from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, fresh
from ..ir.types import TensorType, boolean, i64
from ..tile.writer import Ref, Stages
from .engine import case, op
from .rules import NUMBERS, check_axis, only, same_dtype, wide, widen
from .shape import check_pad_mode, free, pad


def _check_vectors(*vectors: TensorType | None) -> None:
    for vector in vectors:
        if vector is not None and not (vector.dtype.is_integer and vector.rank == 1):
            raise TypeRuleError(
                f"an operand that counts or places elements is {vector}, expected a vector of integers"
            )


def _ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _reshape_type(x: TensorType, shape: TensorType, *, rank: int, allow_zero: bool) -> TensorType:
    _check_vectors(shape)
    return x.with_shape(tuple(fresh() for _ in range(rank)))


@op(
    "shape.reshape_dynamic",
    infer=_reshape_type,
    cost=free,
    samples=(
        case("f32[4, 6]", _ids(2, -1, 3), rank=3),
        case("i64[2, 3, 5]", _ids(0, 15), rank=2),
        case("f32[0, 3]", _ids(3, 0), rank=2, allow_zero=True),
        case("u8[1, 1]", _ids(), rank=0),
    ),
)
def reshape_dynamic(x, shape, *, rank: int, allow_zero: bool = False):
    """x under the shape that an operand states: -1 stands for what is left, 0 (unless allowed) for x's own extent."""
    return np.reshape(
        x, [x.shape[n] if size == 0 and not allow_zero else int(size) for n, size in enumerate(shape)]
    )


def _expand_type(x: TensorType, shape: TensorType, *, rank: int) -> TensorType:
    _check_vectors(shape)
    if rank < x.rank:
        raise TypeRuleError(f"{x} can't be expanded to rank {rank}")
    own = ((1,) * (rank - x.rank)) + x.shape
    return x.with_shape(tuple(dim if isinstance(dim, int) and dim != 1 else fresh() for dim in own))


@op(
    "shape.expand_dynamic",
    infer=_expand_type,
    cost=free,
    samples=(
        case("f32[3, 1]", _ids(2, 1, 6), rank=3),
        case("i8[]", _ids(5), rank=1),
        case("bool[4, 3]", _ids(3), rank=2),
    ),
)
def expand_dynamic(x, shape, *, rank: int):
    """x repeated by numpy broadcasting with the shape that an operand states."""
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _slice_type(
    x: TensorType,
    starts: TensorType,
    ends: TensorType,
    axes: TensorType | None = None,
    steps: TensorType | None = None,
) -> TensorType:
    _check_vectors(starts, ends, axes, steps)
    count = starts.shape[0] if axes is None else x.rank  # with axes, any axis may be cut
    count = count if isinstance(count, int) else x.rank
    if count > x.rank:
        raise TypeRuleError(f"{count} slices of {x}")
    return x.with_shape(tuple(fresh() if n < count else dim for n, dim in enumerate(x.shape)))


@op(
    "shape.slice_dynamic",
    infer=_slice_type,
    cost=free,
    samples=(
        case("f32[5, 9]", _ids(1, -4), _ids(1000, -1)),
        case("i32[5, 9]", _ids(8), _ids(-1000), _ids(-1), _ids(-3)),
        case("bf16[5]", _ids(3), _ids(2), _ids(0)),
    ),
)
def slice_dynamic(x, starts, ends, axes=None, steps=None):
    """x[start:end:step] on each of the axes (default: the first ones), with Python's rules for what is out of range."""
    axes = range(len(starts)) if axes is None else axes.tolist()
    steps = [1] * len(starts) if steps is None else steps.tolist()
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts.tolist(), ends.tolist(), steps, strict=True):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _pad_type(
    x: TensorType,
    pads: TensorType,
    value: TensorType | None = None,
    axes: TensorType | None = None,
    *,
    mode: str,
) -> TensorType:
    _check_vectors(pads, axes)
    check_pad_mode(mode)
    if value is not None and (same_dtype(x, value), value.shape) not in ((x.dtype, ()), (x.dtype, (1,))):
        raise TypeRuleError(f"the padding value is {value}, expected one {x.dtype}")
    return x.with_shape(tuple(fresh() for _ in x.shape))


@op(
    "shape.pad_dynamic",
    infer=_pad_type,
    cost=free,
    samples=(
        case("f32[3, 5]", _ids(1, 0, 2, 3), np.float32(7)),
        case("i64[3, 5]", _ids(2, -1), None, _ids(-1)),
        case("f32[4]", _ids(2, 2), mode="reflect"),
    ),
)
def pad_dynamic(x, pads, value=None, axes=None, *, mode: str = "constant"):
    """As `shape.pad` on the axes given (default: all), with pads that an operand states: begins, then ends."""
    chosen = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    full = [0] * (2 * x.ndim)
    for n, axis in enumerate(chosen):
        full[axis], full[axis + x.ndim] = int(pads[n]), int(pads[n + len(chosen)])
    return pad.meaning(x, None if value is None else np.reshape(value, ()), pads=tuple(full), mode=mode)


def _tile_type(x: TensorType, repeats: TensorType) -> TensorType:
    _check_vectors(repeats)
    return x.with_shape(tuple(fresh() for _ in x.shape))


@op(
    "shape.tile_dynamic",
    infer=_tile_type,
    cost=free,
    samples=(case("f32[2, 3]", _ids(2, 1)), case("i8[4]", _ids(0))),
)
def tile_dynamic(x, repeats):
    """x set side by side along each axis as often as an operand states."""
    return np.tile(x, repeats.tolist())


def _range_type(start: TensorType, limit: TensorType, delta: TensorType, *, size: Dim | None) -> TensorType:
    dtype = same_dtype(start, limit, delta)
    if start.rank or limit.rank or delta.rank:
        raise TypeRuleError(f"range takes numbers of shape [], got {start}, {limit} and {delta}")
    return TensorType(dtype, (fresh() if size is None else size,))


def _range_stages(s: Stages, start: Ref, limit: Ref, delta: Ref, *, size: Dim | None) -> Any:
    if size is None:
        return NotImplemented
    (i,) = s.dims(size)
    dtype = wide(start.dtype)
    s.store(s.results[0][i], start.at().cast(dtype) + s.index(i).cast(dtype) * delta.at().cast(dtype))
    return None


@op(
    "shape.range",
    infer=only(NUMBERS, _range_type),
    stages=_range_stages,
    samples=(
        case(np.int64(2), np.int64(17), np.int64(3), size=5),
        case(np.float32(1), np.float32(-2.5), np.float32(-0.5), size=7),
        case(np.int32(3), np.int32(3), np.int32(1)),
        case(np.float16(0), np.float16(2), np.float16(0.25)),
    ),
)
def range_of(start, limit, delta, *, size: Dim | None = None):
    """start, start + delta, ... before limit. `size` states how many where that is known at compile time."""
    first, last, step = widen(start), widen(limit), widen(delta)
    count = max(0, int(np.ceil((last.astype(np.float64) - first) / step)))
    return (first + np.arange(count).astype(step.dtype) * step).astype(start.dtype)


def _nonzero_type(x: TensorType) -> TensorType:
    return TensorType(i64, (x.rank, fresh()))


@op(
    "shape.nonzero",
    infer=_nonzero_type,
    samples=(
        case("bool[3, 5]"),
        case(("i32[7]", -1, 2)),
        case(np.array([np.nan, 0, -0.0], np.float32)),
        case("f32[]"),
    ),
)
def nonzero(x):
    """The indices of the elements that are not 0, in row-major order, one column each: i64[rank, count]."""
    found = np.nonzero(np.atleast_1d(x))
    return np.stack(found).astype(np.int64) if x.ndim else np.empty((0, len(found[0])), np.int64)


def _compress_type(x: TensorType, condition: TensorType, *, axis: int | None) -> TensorType:
    if condition.dtype != boolean or condition.rank != 1:
        raise TypeRuleError(f"the condition is {condition}, expected a vector of bool")
    if axis is None:
        return x.with_shape((fresh(),))
    check_axis(axis, x.rank)
    return x.with_shape(tuple(fresh() if n == axis else dim for n, dim in enumerate(x.shape)))


@op(
    "shape.compress",
    infer=_compress_type,
    samples=(
        case("f32[4, 5]", "bool[4]", axis=0),
        case("i64[3, 2]", "bool[5]"),
        case("string[3]", "bool[2]", axis=0),
    ),
)
def compress(x, condition, *, axis: int | None = None):
    """The slices along an axis, or the elements of x flattened, for which the condition holds; it may be shorter."""
    return np.compress(condition, x, axis)


def _unique_type(x: TensorType, *, axis: int | None, sorted: bool) -> tuple[TensorType, ...]:
    count = fresh()
    if axis is None:
        values, inverse = x.with_shape((count,)), x.elements
    else:
        check_axis(axis, x.rank)
        values = x.with_shape(tuple(count if n == axis else dim for n, dim in enumerate(x.shape)))
        inverse = x.shape[axis]
    counts = TensorType(i64, (count,))
    return values, counts, TensorType(i64, (inverse,)), counts


@op(
    "shape.unique",
    infer=_unique_type,
    samples=(
        case(("i64[9]", 0, 4)),
        case(("i32[9]", 0, 4), sorted=False),
        case(("f32[3, 2]", 0, 1), axis=1),
        case(np.array([[2, 1], [0, 0], [2, 1]], np.int8), axis=0, sorted=False),
        case("string[9]"),
    ),
)
def unique(x, *, axis: int | None = None, sorted: bool = True):
    """Distinct elements, or slices along an axis: themselves, where each first stands, which one each is, their counts.

    In ascending order, or, where not `sorted`, in the order of first appearance.
    """
    values, first, inverse, counts = np.unique(x, True, True, True, axis)
    if not sorted:
        order = np.argsort(first, kind="stable")
        rank = np.argsort(order)
        values = np.take(values, order, 0 if axis is None else axis)
        first, inverse, counts = first[order], rank[inverse.reshape(-1)], counts[order]
    return values, *(found.reshape(-1).astype(np.int64) for found in (first, inverse, counts))
