"""Writing by index and finding what is largest. As stages, every result looks for what belongs to it.

That takes more comparisons than a host's pointers would, and none of it waits for another: it pays where they are few.
Indices are as in `gather.py`.
"""

from math import prod
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, fresh
from ..ir.types import DType, TensorType, boolean, i64
from ..tile.stage import Affine, Apply, Expr, Load, apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import case, op
from .gather import check_indices, counted, elements_type, ids, lookup_table, nd_type
from .rules import NUMBERS, check_axis, differ, every, extent_value, only, same_dtype, wide, widen

MOST_COMPARISONS = 1 << 24
"""Comparisons that stages may make to find what belongs where; beyond that the host's way is the faster one."""


def few(*extents: Dim) -> bool:
    """Whether extents are known, and their product is at most MOST_COMPARISONS."""
    known = [extent for extent in extents if isinstance(extent, int)]
    return len(known) == len(extents) and prod(known) <= MOST_COMPARISONS


REDUCTIONS: dict[str, np.ufunc | None] = {
    "none": None,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}

_COMBINES = {"add": "sum", "mul": "prod", "max": "max", "min": "min"}


def _scatter_type(
    x: TensorType, indices: TensorType, updates: TensorType, *, reduction: str, **_: Any
) -> TensorType:
    check_indices(indices)
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
    elements_type(x, indices, axis=axis)
    return _scatter_type(x, indices, updates, reduction=reduction)


def _identity(reduction: str, dtype: DType) -> float | int:
    if reduction in ("add", "mul"):
        return int(reduction == "mul")
    if dtype.is_float:
        return float("-inf") if reduction == "max" else float("inf")
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if reduction == "max" else limits.max)


def _combined(s: Stages, x: Ref, index: tuple[Affine, ...], hit: Expr, update: Load, reduction: str) -> None:
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
        case("bool[5, 2]", ids([4, -5], [0, 0]), "bool[2, 2]", axis=0),
        case("f32[4, 5]", ids([0, -1, 2, 0, 1]).reshape(1, 5), "f32[1, 5]", axis=0),
        case("f32[3, 4]", ids([1, 1], [3, 0], [2, -1]), "f32[3, 2]", axis=1, reduction="add"),
        case("i64[6]", ids(5, 1, 1), "i64[3]", axis=0, reduction="max"),
        case("bf16[3]", ids(0, 0), "bf16[2]", axis=0, reduction="mul"),
        case("string[3]", ids(1), "string[1]", axis=0),
    ),
)
def scatter_elements(x, indices, updates, *, axis: int, reduction: str = "none"):
    """x with y[i, indices[i, j], ...] = updates[i, j, ...] (index on `axis`), combined in order by `reduction`."""
    place = list(np.indices(indices.shape))
    place[axis] = counted(indices, x.shape[axis])
    return _scatter(x, tuple(place), updates, reduction)


def _scatter_nd_type(
    x: TensorType, indices: TensorType, updates: TensorType, *, reduction: str
) -> TensorType:
    part = nd_type(x, indices, batch_dims=0)
    if updates.rank != part.rank or any(map(differ, updates.shape, part.shape)):
        raise TypeRuleError(f"the updates are {updates}, expected {part} for x {x} and indices {indices}")
    return _scatter_type(x, indices, updates, reduction=reduction)


def _scatter_nd_stages(s: Stages, x: Ref, indices: Ref, updates: Ref, *, reduction: str) -> Any:
    """As for `scatter_elements`; updates are elements or slices here, and one index finds them."""
    *outer, depth = indices.shape
    if (
        not isinstance(depth, int)
        or not few(*x.shape, *outer)
        or (x.dtype == boolean and reduction != "none")
    ):
        return NotImplemented
    tables = [lookup_table(s, indices, extent_value(s, x, n), n) for n in range(depth)]
    index = s.dims(*x.shape)
    place, inner = index[:depth], index[depth:]
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
        case("f32[4, 5, 3]", ids([[0, 1], [3, 4]], [[0, 1], [2, -2]]), "f32[2, 2, 3]"),
        case("bf16[4]", ids([[1]], [[1]]), "bf16[2, 1]", reduction="mul"),
        case("f32[4, 5]", ids([0], [-1]), "f32[2, 5]"),
        case("f32[4, 5]", ids([0, 1], [3, 4], [0, 1]), "f32[3]", reduction="add"),
        case("i32[8]", ids([1], [2], [1]), "i32[3]", reduction="min"),
        case("string[3]", ids([2]), "string[1]"),
    ),
)
def scatter_nd(x, indices, updates, *, reduction: str = "none"):
    """x with the elements or slices at the coordinates in the last axis of `indices` replaced or combined."""
    places = tuple(counted(indices[..., n], x.shape[n]) for n in range(indices.shape[-1]))
    return _scatter(x, places, updates, reduction)


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
        case("f32[4, 37]", ids(5), axis=1, size=5),
        case("f32[6, 3]", ids(2), axis=0, largest=False),
        case(("i64[9]", 0, 4), ids(9), axis=0, sorted=False),
        case("f16[2, 5]", np.int64(0), axis=1),
        case(np.array([1, np.nan, 3], np.float32), ids(2), axis=0),
        case(np.array([[1, np.nan, 3, np.nan, 1]], np.float32), ids(4), axis=1, size=4),
        case(np.array([1, np.nan, 3, 1], np.float16), ids(4), axis=0, size=4, largest=False),
        case(("u8[5, 2]", 0, 3), ids(3), axis=0, size=3),
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
