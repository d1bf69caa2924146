"""Reading and writing by index: gather, scatter, one-hot, top-k, reversing parts of sequences.

Indices may be negative, counting from the end. One that is out of range is an error in the numpy meaning; stages clamp
it, so that compiled code never leaves a buffer.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, fresh
from ..ir.types import DType, TensorType, boolean, i64
from ..tile.stage import Affine, Apply, Expr, Load, apply, lift, select
from ..tile.writer import Coordinate, Ref, Stages
from .engine import case, op
from .rules import NUMBERS, check_axis, differ, every, extent_value, only, same_dtype, wide, widen
from .shape import free


def _check_indices(indices: TensorType) -> None:
    if not indices.dtype.is_integer:
        raise TypeRuleError(f"the indices are {indices}, expected an integer dtype")


def _ids(*values: Any) -> np.ndarray:
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
    _check_indices(indices)
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


def _elements_type(x: TensorType, indices: TensorType, *, axis: int) -> TensorType:
    check_axis(axis, x.rank)
    _check_indices(indices)
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
    infer=_elements_type,
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
    return np.take_along_axis(x[part], _counted(indices, x.shape[axis]), axis)


def _counted(indices: np.ndarray, extent: int) -> np.ndarray:
    indices = indices.astype(np.int64)
    if indices.size and not (-extent <= indices.min() and indices.max() < extent):
        raise IndexError(f"an index is outside -{extent} to {extent - 1}")
    return np.where(indices < 0, indices + extent, indices)


def _nd_type(x: TensorType, indices: TensorType, *, batch_dims: int) -> TensorType:
    _check_indices(indices)
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
    infer=_nd_type,
    stages=_nd_stages,
    cost=free,
    samples=(
        case("f32[4, 5]", _ids([0, 1], [3, -1], [2, 2])),
        case("f32[4, 5, 6]", _ids([[3], [-2]])),
        case("bf16[2, 5, 3]", _ids([[4], [0], [1]], [[1], [-5], [3]]), batch_dims=1),
        case("string[3]", _ids([2], [0])),
    ),
)
def gather_nd(x, indices, *, batch_dims: int = 0):
    """Elements or slices of x at the coordinates that the last axis of `indices` lists, after shared batch axes."""
    depth = indices.shape[-1]
    batch = x.shape[:batch_dims]
    counted = [_counted(indices[..., n], x.shape[batch_dims + n]) for n in range(depth)]
    grid = [
        np.arange(size).reshape([-1 if m == n else 1 for m in range(indices.ndim - 1)])
        for n, size in enumerate(batch)
    ]
    return x[(*grid, *counted)]


REDUCTIONS: dict[str, np.ufunc | None] = {
    "none": None,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}

_COMBINES = {"add": "sum", "mul": "prod", "max": "max", "min": "min"}

MOST_COMPARISONS = 1 << 24
"""Comparisons that stages may make to find what belongs where; beyond that the host's way is the faster one."""


def few(*extents: Dim) -> bool:
    """Whether extents are known, and their product is at most MOST_COMPARISONS."""
    return all(isinstance(extent, int) for extent in extents) and prod(extents) <= MOST_COMPARISONS  # type: ignore[arg-type]




def _scatter_type(
    x: TensorType, indices: TensorType, updates: TensorType, *, reduction: str, **_: Any
) -> TensorType:
    _check_indices(indices)
    same_dtype(x, updates)
    if reduction not in REDUCTIONS:
        raise TypeRuleError(f"'reduction' is {reduction!r}, expected one of {', '.join(REDUCTIONS)}")
    return x


def _scatter_elements_type(
    x: TensorType, indices: TensorType, updates: TensorType, *, axis: int, reduction: str
) -> TensorType:
    check_axis(axis, x.rank)
    if updates.rank != indices.rank or any(map(differ, updates.shape, indices.shape)):
        raise TypeRuleError(f"the updates are {updates}, expected the shape of the indices {indices}")
    _elements_type(x, indices, axis=axis)
    return _scatter_type(x, indices, updates, reduction=reduction)


def _identity(reduction: str, dtype: DType) -> float | int:
    if reduction in ("add", "mul"):
        return int(reduction == "mul")
    if dtype.is_float:
        return float("-inf") if reduction == "max" else float("inf")
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if reduction == "max" else limits.max)


def _combined(s: Stages, x: Ref, index: Sequence[Affine], hit: Expr, update: Load, reduction: str) -> None:
    """Every element takes all the updates together that are meant for it."""
    dtype = wide(x.dtype)
    neutral = _identity(reduction, dtype)
    meant = s.total(_COMBINES[reduction], select(hit, update.cast(dtype), neutral), index)
    s.store(s.results[0][index], apply(reduction, x[index].cast(dtype), meant))


def _scatter_elements_stages(
    s: Stages, x: Ref, indices: Ref, updates: Ref, *, axis: int, reduction: str
) -> Any:
    """Every element looks for the updates that are meant for it."""
    if not few(*x.shape, indices.shape[axis]) or (x.dtype == boolean and reduction != "none"):
        return NotImplemented
    table = lookup_table(s, indices, extent_value(s, x, axis))
    index = s.dims(*x.shape)
    (u,) = s.reduce(indices.shape[axis])
    at = (*index[:axis], u, *index[axis + 1 :])
    hit = s.guarded(table, *at, fill=-1).equals(s.index(index[axis]))
    if reduction != "none":
        _combined(s, x, index, hit, s.guarded(updates, *at), reduction)
        return None
    last = s.total("max", select(hit, s.index(u), -1), index)
    new = updates.at(*index[:axis], last, *index[axis + 1 :], fill=False if x.dtype == boolean else 0)
    s.store(s.results[0][index], select(last >= 0, new, x[index]))
    return None


def _scatter(x: np.ndarray, place: tuple[np.ndarray, ...], updates: np.ndarray, reduction: str) -> np.ndarray:
    ufunc = REDUCTIONS[reduction]
    if ufunc is None:
        y = x.copy()
        y[place] = updates
        return y
    y = np.array(widen(x))
    ufunc.at(y, place, widen(updates))
    return y.astype(x.dtype, copy=False)


@op(
    "shape.scatter_elements",
    infer=_scatter_elements_type,
    stages=_scatter_elements_stages,
    samples=(
        case("bool[5, 2]", _ids([4, -5], [0, 0]), "bool[2, 2]", axis=0),
        case("f32[4, 5]", _ids([0, -1, 2, 0, 1]).reshape(1, 5), "f32[1, 5]", axis=0),
        case("f32[3, 4]", _ids([1, 1], [3, 0], [2, -1]), "f32[3, 2]", axis=1, reduction="add"),
        case("i64[6]", _ids(5, 1, 1), "i64[3]", axis=0, reduction="max"),
        case("bf16[3]", _ids(0, 0), "bf16[2]", axis=0, reduction="mul"),
        case("string[3]", _ids(1), "string[1]", axis=0),
    ),
)
def scatter_elements(x, indices, updates, *, axis: int, reduction: str = "none"):
    """x with y[i, indices[i, j], ...] = updates[i, j, ...] (index on `axis`), combined in order by `reduction`."""
    place = list(np.indices(indices.shape))
    place[axis] = _counted(indices, x.shape[axis])
    return _scatter(x, tuple(place), updates, reduction)


def _scatter_nd_type(
    x: TensorType, indices: TensorType, updates: TensorType, *, reduction: str
) -> TensorType:
    part = _nd_type(x, indices, batch_dims=0)
    if updates.rank != part.rank or any(map(differ, updates.shape, part.shape)):
        raise TypeRuleError(f"the updates are {updates}, expected {part} for x {x} and indices {indices}")
    return _scatter_type(x, indices, updates, reduction=reduction)


def _scatter_nd_stages(s: Stages, x: Ref, indices: Ref, updates: Ref, *, reduction: str) -> Any:
    """As for `scatter_elements`; updates are elements or slices here, and one index finds them."""
    *outer, depth = indices.shape
    if not few(*x.shape, *outer) or (x.dtype == boolean and reduction != "none"):
        return NotImplemented
    tables = [lookup_table(s, indices, extent_value(s, x, n), n) for n in range(depth)]  # type: ignore[arg-type]
    index = s.dims(*x.shape)
    place, inner = index[:depth], index[depth:]  # type: ignore[misc]
    turns = s.reduce(*outer)
    hits = [table[turns].equals(s.index(part)) for table, part in zip(tables, place, strict=True)]
    hit = every(*hits)
    if reduction != "none":
        _combined(s, x, index, hit, updates.at(*turns, *inner), reduction)
        return None
    number = Affine()
    for turn, extent in zip(turns, outer, strict=True):
        number = number * extent + turn  # type: ignore[operator]
    last = s.total("max", select(hit, s.index(number), -1), place)
    found: list[Load] = []
    rest: Expr = last
    for extent in reversed(outer):
        found.insert(0, s.value(select(last < 0, last, apply("mod", rest, lift(extent, i64))), place))  # type: ignore[arg-type]
        rest = apply("div", rest, lift(extent, i64))  # type: ignore[arg-type]
    new = updates.at(*found, *inner, fill=False if x.dtype == boolean else 0) if found else updates.at(*inner)
    s.store(s.results[0][index], select(last >= 0, new, x[index]))
    return None


@op(
    "shape.scatter_nd",
    infer=_scatter_nd_type,
    stages=_scatter_nd_stages,
    samples=(
        case("f32[4, 5, 3]", _ids([[0, 1], [3, 4]], [[0, 1], [2, -2]]), "f32[2, 2, 3]"),
        case("bf16[4]", _ids([[1]], [[1]]), "bf16[2, 1]", reduction="mul"),
        case("f32[4, 5]", _ids([0], [-1]), "f32[2, 5]"),
        case("f32[4, 5]", _ids([0, 1], [3, 4], [0, 1]), "f32[3]", reduction="add"),
        case("i32[8]", _ids([1], [2], [1]), "i32[3]", reduction="min"),
        case("string[3]", _ids([2]), "string[1]"),
    ),
)
def scatter_nd(x, indices, updates, *, reduction: str = "none"):
    """x with the elements or slices at the coordinates in the last axis of `indices` replaced or combined."""
    counted = tuple(_counted(indices[..., n], x.shape[n]) for n in range(indices.shape[-1]))
    return _scatter(x, counted, updates, reduction)


def _topk_type(
    x: TensorType, k: TensorType, *, axis: int, largest: bool, sorted: bool, size: Dim | None
) -> tuple[TensorType, TensorType]:
    check_axis(axis, x.rank)
    extent = x.shape[axis]
    if isinstance(size, int) and isinstance(extent, int) and size > extent:
        raise TypeRuleError(f"top {size} of {extent} elements: {x}, axis {axis}")
    shape = (*x.shape[:axis], fresh() if size is None else size, *x.shape[axis + 1 :])
    return x.with_shape(shape), TensorType(i64, shape)


def _topk_stages(
    s: Stages, x: Ref, k: Ref, *, axis: int, largest: bool, sorted: bool, size: Dim | None
) -> Any:
    """An element's place is the number of those that go before it; each place looks for its element."""
    extent = x.shape[axis]
    if size is None or not few(*x.shape, extent):
        return NotImplemented
    index = s.dims(*x.shape)
    (other,) = s.reduce(extent)
    mine = x[index].cast(wide(x.dtype))
    theirs = x.at(*index[:axis], other, *index[axis + 1 :]).cast(wide(x.dtype))
    before, same = theirs > mine if largest else theirs < mine, theirs.equals(mine)
    if x.dtype.is_float:
        nans = apply("isnan", theirs, dtype=boolean), apply("isnan", mine, dtype=boolean)
        ahead, behind = nans if largest else nans[::-1]
        alone = every(ahead, Apply("not", (behind,), boolean))
        before = Apply("or", (before, alone), boolean)
        same = Apply("or", (same, every(*nans)), boolean)
    earlier = every(same, s.index(other) < s.index(index[axis]))
    ahead = Apply("or", (before, earlier), boolean)
    place = s.local(x.shape, i64)
    s.store(place[index], select(ahead, lift(1, i64), 0), "sum")
    values, indices = s.results
    out = s.dims(*values.shape)
    (at,) = s.reduce(extent)
    here = place.at(*out[:axis], at, *out[axis + 1 :]).equals(s.index(out[axis]))
    found = s.total("sum", select(here, s.index(at), 0), out)
    s.store(values[out], x.at(*out[:axis], found, *out[axis + 1 :]))
    s.store(indices[out], found)
    return None


@op(
    "shape.topk",
    infer=only(NUMBERS, _topk_type),
    stages=_topk_stages,
    samples=(
        case("f32[4, 37]", _ids(5), axis=1, size=5),
        case("f32[6, 3]", _ids(2), axis=0, largest=False),
        case(("i64[9]", 0, 4), _ids(9), axis=0, sorted=False),
        case("f16[2, 5]", np.int64(0), axis=1),
        case(np.array([1, np.nan, 3], np.float32), _ids(2), axis=0),
        case(np.array([[1, np.nan, 3, np.nan, 1]], np.float32), _ids(4), axis=1, size=4),
        case(np.array([1, np.nan, 3, 1], np.float16), _ids(4), axis=0, size=4, largest=False),
        case(("u8[5, 2]", 0, 3), _ids(3), axis=0, size=3),
    ),
)
def topk(x, k, *, axis: int, largest: bool = True, sorted: bool = True, size: Dim | None = None):
    """The k largest (or smallest) elements along an axis, in order, and their indices; NaN is the largest.

    Of equal elements the one with the lower index comes first.
    `size` states the results' extent where k is known at compile time. Results are in order for `sorted=False` too.
    """
    count = int(np.reshape(k, ()))
    if not 0 <= count <= x.shape[axis]:
        raise IndexError(f"top {count} of {x.shape[axis]} elements")
    if largest:  # a stable descending order: the flipped order of the flipped axis
        order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    order = np.take(order, np.arange(count), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int64, copy=False)


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
        case(("i32[2, 3]", 0, 9), _ids(7), "i64[2]", axis=0, size=7),
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
    _check_indices(lengths)
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
        case("f32[4, 3, 2]", _ids(4, 1, 2), batch_axis=1, time_axis=0),
        case("i32[2, 5]", _ids(0, 5), batch_axis=0, time_axis=1),
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
