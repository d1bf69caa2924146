"""Reading by index: gather, one-hot, reversing parts of sequences.

Indices may be negative, counting from the end. One that is out of range is an error in the numpy meaning; stages clamp
it, so that compiled code never leaves a buffer.
"""

from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, fresh
from ..ir.types import TensorType, i64
from ..tile.stage import Expr, apply, lift, select
from ..tile.writer import Coordinate, Ref, Stages
from .engine import case, op
from .rules import NUMBERS, check_axis, differ, extent_value
from .shape import free


def check_indices(indices: TensorType) -> None:
    if not indices.dtype.is_integer:
        raise TypeRuleError(f"the indices are {indices}, expected an integer dtype")


def ids(*values: Any) -> np.ndarray:
    return np.array(values, np.int64)


def in_range(value: Expr, extent: Expr) -> Expr:
    """An index as i64 within 0 and extent - 1, negative ones counted from the end."""
    value = value.cast(i64)
    value = select(value < 0, value + extent, value)
    return apply("max", apply("min", value, extent - 1), lift(0, i64))


def lookup_table(s: Stages, indices: Ref, extent: Expr, last: int | None = None) -> Ref:
    """A local with the indices in range; `last` picks one coordinate of the innermost axis."""
    shape = indices.shape if last is None else indices.shape[:-1]
    table = s.local(shape, i64)
    index = s.dims(*shape)
    s.store(table[index], in_range(indices.at(*index, *([] if last is None else [last])), extent))
    return table


def _gather_type(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
    check_axis(axis, x.rank)
    check_indices(indices)
    return x.with_shape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def _gather_stages(s: Stages, x: Ref, indices: Ref, *, axis: int) -> None:
    y = s.results[0]
    table = lookup_table(s, indices, extent_value(s, x, axis))
    index = s.dims(*y.shape)
    place = table[index[axis : axis + indices.rank]]
    s.store(y[index], x.at(*index[:axis], place, *index[axis + indices.rank :]))


@op(
    "shape.gather",
    infer=_gather_type,
    stages=_gather_stages,
    cost=free,
    samples=(
        case("f32[7, 5]", ("i64[2, 3]", 0, 7), axis=0),
        case("f32[2, 9, 3]", ("i32[4]", -9, 9), axis=1),
        case("i8[5]", np.int64(-1), axis=0),
        case("bf16[4, 6]", ("i64[0]", 0, 1), axis=1),
        case("bool[3, 4, 5]", ("u8[1, 6]", 0, 5), axis=2),
        case("string[5]", ("i64[2]", 0, 5), axis=0),
    ),
)
def gather(x, indices, *, axis: int):
    """x with its `axis` replaced by the axes of `indices`, whose values say which slices to take."""
    return np.take(x, indices, axis)


def elements_type(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
    check_axis(axis, x.rank)
    check_indices(indices)
    if indices.rank != x.rank:
        raise TypeRuleError(f"the indices are {indices}, expected the rank of x {x}")
    for n, (extent, size) in enumerate(zip(x.shape, indices.shape)):
        if n != axis and isinstance(extent, int) and isinstance(size, int) and size > extent:
            raise TypeRuleError(f"the indices {indices} are larger than x {x} on axis {n}")
    return x.with_shape(indices.shape)


def _elements_stages(s: Stages, x: Ref, indices: Ref, *, axis: int) -> None:
    table = lookup_table(s, indices, extent_value(s, x, axis))
    index = s.dims(*indices.shape)
    s.store(s.results[0][index], x.at(*index[:axis], table[index], *index[axis + 1 :]))


@op(
    "shape.gather_elements",
    infer=elements_type,
    stages=_elements_stages,
    cost=free,
    samples=(
        case("f32[4, 5]", ("i64[2, 5]", -4, 4), axis=0),
        case("f16[3, 7]", ("i32[3, 9]", 0, 7), axis=1),
        case("i64[6]", ("i64[3]", -6, 6), axis=0),
        case("string[2, 2]", ("i64[2, 1]", 0, 2), axis=1),
    ),
)
def gather_elements(x, indices, *, axis: int):
    """y[i, j, ...] = x[i, indices[i, j, ...], ...], the index standing on `axis`."""
    part = tuple(slice(None) if n == axis else slice(size) for n, size in enumerate(indices.shape))
    return np.take_along_axis(x[part], counted(indices, x.shape[axis]), axis)


def counted(indices: np.ndarray, extent: int) -> np.ndarray:
    indices = indices.astype(np.int64)
    if indices.size and not (-extent <= indices.min() and indices.max() < extent):
        raise IndexError(f"an index is outside -{extent} to {extent - 1}")
    return np.where(indices < 0, indices + extent, indices)


def nd_type(x: TensorType, indices: TensorType, *, batch_dims: int) -> TensorType:
    check_indices(indices)
    depth = indices.shape[-1] if indices.rank else 0
    if not isinstance(depth, int) or not (
        depth > 0 and batch_dims + depth <= x.rank and batch_dims < indices.rank
    ):
        raise TypeRuleError(
            f"the indices {indices} don't fit x {x} with {batch_dims} batch axes: their last axis counts coordinates"
        )
    for a, b in zip(x.shape[:batch_dims], indices.shape):
        if differ(a, b):
            raise TypeRuleError(f"the batch axes of x {x} and the indices {indices} differ")
    return x.with_shape((*indices.shape[:-1], *x.shape[batch_dims + depth :]))


def _nd_stages(s: Stages, x: Ref, indices: Ref, *, batch_dims: int) -> None:
    y = s.results[0]
    depth: int = indices.shape[-1]  # type: ignore[assignment]
    index = s.dims(*y.shape)
    outer = index[: indices.rank - 1]
    place: list[Coordinate] = [
        lookup_table(s, indices, extent_value(s, x, batch_dims + n), n)[outer] for n in range(depth)
    ]
    s.store(y[index], x.at(*index[:batch_dims], *place, *index[indices.rank - 1 :]))


@op(
    "shape.gather_nd",
    infer=nd_type,
    stages=_nd_stages,
    cost=free,
    samples=(
        case("f32[4, 5]", ids([0, 1], [3, -1], [2, 2])),
        case("f32[4, 5, 6]", ids([[3], [-2]])),
        case("bf16[2, 5, 3]", ids([[4], [0], [1]], [[1], [-5], [3]]), batch_dims=1),
        case("string[3]", ids([2], [0])),
    ),
)
def gather_nd(x, indices, *, batch_dims: int = 0):
    """Elements or slices of x at the coordinates that the last axis of `indices` lists, after shared batch axes."""
    depth = indices.shape[-1]
    batch = x.shape[:batch_dims]
    places = [counted(indices[..., n], x.shape[batch_dims + n]) for n in range(depth)]
    grid = [
        np.arange(size).reshape([-1 if m == n else 1 for m in range(indices.ndim - 1)])
        for n, size in enumerate(batch)
    ]
    return x[(*grid, *places)]


def _onehot_type(
    indices: TensorType, depth: TensorType, values: TensorType, *, axis: int, size: Dim | None
) -> TensorType:
    check_axis(axis, indices.rank + 1)
    if indices.dtype.kind not in NUMBERS or values.rank != 1 or differ(values.shape[0], 2):
        raise TypeRuleError(f"onehot takes numbers and values [off, on], got {indices} and {values}")
    return values.with_shape(
        (*indices.shape[:axis], fresh() if size is None else size, *indices.shape[axis:])
    )


def _onehot_stages(s: Stages, indices: Ref, depth: Ref, values: Ref, *, axis: int, size: Dim | None) -> Any:
    if size is None:
        return NotImplemented
    y = s.results[0]
    index = s.dims(*y.shape)
    chosen = indices.at(*index[:axis], *index[axis + 1 :]).cast(i64)
    extent = depth.at(*[0] * depth.rank).cast(i64)
    chosen = select(chosen < 0, chosen + extent, chosen)
    s.store(y[index], select(s.index(index[axis]).equals(chosen), values[1], values[0]))
    return None


@op(
    "shape.onehot",
    infer=_onehot_type,
    stages=_onehot_stages,
    cost=free,
    samples=(
        case(("i64[5]", -6, 6), np.int64(6), "f32[2]", axis=1, size=6),
        case(("i32[2, 3]", 0, 9), ids(7), "i64[2]", axis=0, size=7),
        case(np.array([0.0, 2.0, -1.0], np.float32), np.float32(3), "bf16[2]", axis=1, size=3),
        case(np.int64(1), np.int64(4), "bool[2]", axis=0),
    ),
)
def onehot(indices, depth, values, *, axis: int, size: Dim | None = None):
    """values[1] where the new axis's index is the one that `indices` holds, else values[0]; out of range: never.

    `size` states the new axis's extent where depth is known at compile time.
    """
    extent = int(np.reshape(depth, ()))
    chosen = np.expand_dims(indices.astype(np.int64), axis)
    chosen = np.where(chosen < 0, chosen + extent, chosen)
    shape = [-1 if n == axis else 1 for n in range(indices.ndim + 1)]
    return np.where(np.arange(extent).reshape(shape) == chosen, values[1], values[0]).astype(values.dtype)


def _reverse_type(x: TensorType, lengths: TensorType, *, batch_axis: int, time_axis: int) -> TensorType:
    check_axis(batch_axis, x.rank, "batch_axis")
    check_axis(time_axis, x.rank, "time_axis")
    check_indices(lengths)
    if batch_axis == time_axis or lengths.rank != 1 or differ(lengths.shape[0], x.shape[batch_axis]):
        raise TypeRuleError(f"reverse_sequence: lengths {lengths} don't fit axis {batch_axis} of x {x}")
    return x


def _reverse_stages(s: Stages, x: Ref, lengths: Ref, *, batch_axis: int, time_axis: int) -> None:
    b, t = s.dims(x.shape[batch_axis], x.shape[time_axis])
    table = s.local((x.shape[batch_axis], x.shape[time_axis]), i64)
    length, time = lengths[b].cast(i64), s.index(t)
    source = select(time < length, length - 1 - time, time)
    s.store(table[b, t], in_range(source, extent_value(s, x, time_axis)))
    index = s.dims(*x.shape)
    place: list[Coordinate] = list(index)
    place[time_axis] = table[index[batch_axis], index[time_axis]]
    s.store(s.results[0][index], x.at(*place))


@op(
    "shape.reverse_sequence",
    infer=_reverse_type,
    stages=_reverse_stages,
    cost=free,
    samples=(
        case("f32[4, 3, 2]", ids(4, 1, 2), batch_axis=1, time_axis=0),
        case("i32[2, 5]", ids(0, 5), batch_axis=0, time_axis=1),
    ),
)
def reverse_sequence(x, lengths, *, batch_axis: int, time_axis: int):
    """x with the first lengths[b] time steps of each batch entry in reverse order."""
    time = np.arange(x.shape[time_axis])
    length = lengths.astype(np.int64)[:, None]
    table = np.where(time < length, length - 1 - time, time)
    shape = [1] * x.ndim
    shape[batch_axis], shape[time_axis] = table.shape
    return np.take_along_axis(x, (table if batch_axis < time_axis else table.T).reshape(shape), time_axis)
