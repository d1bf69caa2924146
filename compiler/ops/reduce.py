"""Reductions over axes, positions of extremes, and cumulative sums and products."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim
from ..ir.types import TensorType, boolean, dtype_of, i64
from ..tile.stage import Affine, apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import Cost, Op, Sample, Tolerance, case, op
from .math import EXTREME
from .rules import NUMBERS, check_axis, extent_value, only, wide, widen
from .scalar import SCALARS

_LOOSE = Tolerance(relative=1e-5, absolute=1e-5)


def lowest(dtype: np.dtype) -> Any:
    """The value that `max` over nothing gives: -inf, the smallest integer, False."""
    kind = dtype_of(dtype)
    return -np.inf if kind.is_float else False if kind == boolean else np.iinfo(dtype).min


def highest(dtype: np.dtype) -> Any:
    """The value that `min` over nothing gives: inf, the largest integer, True."""
    kind = dtype_of(dtype)
    return np.inf if kind.is_float else True if kind == boolean else np.iinfo(dtype).max


def reduced_shape(x: TensorType, axes: tuple[int, ...], keepdims: bool) -> tuple[Dim, ...]:
    """The shape without `axes`, or with extent 1 there."""
    for axis in axes:
        check_axis(axis, x.rank, "axes")
    if len(set(axes)) != len(axes):
        raise TypeRuleError(f"'axes' names an axis twice: {list(axes)}")
    return tuple(1 if n in axes else dim for n, dim in enumerate(x.shape) if keepdims or n not in axes)


def _reduced_type(x: TensorType, *, axes: tuple[int, ...], keepdims: bool) -> TensorType:
    return x.with_shape(reduced_shape(x, axes, keepdims))


def axis_index(s: Stages, x: Ref, axes: tuple[int, ...]) -> tuple[tuple[Affine, ...], tuple[Affine, ...]]:
    """An index over x with reduce dims at `axes`, and its parallel part."""
    index = tuple(s.reduce(extent)[0] if n in axes else s.dims(extent)[0] for n, extent in enumerate(x.shape))
    return index, tuple(part for n, part in enumerate(index) if n not in axes)


def spread(kept: tuple[Affine, ...], rank: int, axes: tuple[int, ...], keepdims: bool) -> tuple[Affine, ...]:
    """The result's index: `kept` in order, with 0 at `axes` if these are kept."""
    if not keepdims:
        return kept
    rest = iter(kept)
    return tuple(Affine() if n in axes else next(rest) for n in range(rank))


def _cost(results: tuple[TensorType, ...], x: TensorType, **_: Any) -> Cost:
    return Cost(operations=x.elements)


def _reduction(
    name: str,
    combine: str,
    kinds: tuple[str, ...] = NUMBERS,
    tolerance: Tolerance = _LOOSE,
    low: float | None = None,
) -> Callable[[Callable[..., Any]], Op]:
    """Declares a reduction that is one monoid over the axes."""

    def stages(s: Stages, x: Ref, *, axes: tuple[int, ...], keepdims: bool) -> None:
        index, kept = axis_index(s, x, axes)
        target = s.results[0][spread(kept, x.rank, axes, keepdims)]
        body = x[index].cast(wide(x.dtype))
        logical = {"max": "or", "min": "and"}.get(combine) if x.dtype == boolean else None
        s.store(target, body, (logical or combine) if axes else None)

    def sample(text: str, *axes: int, keepdims: bool = True) -> Sample:
        bounds = (low, None if low is None else low + 1)
        return case((text, *bounds), axes=axes, keepdims=keepdims)

    samples = [
        sample("f32[4, 5, 6]", 1),
        sample("f32[3, 7, 2]", 0, 2, keepdims=False),
        sample("f64[37]", 0, keepdims=False),
        sample("f16[5, 9]", 1),
        sample("bf16[5, 9]", 0, 1),
        sample("f32[3, 4]"),
        sample("f32[]"),
        case(EXTREME, axes=(0,)),
        case("i32[3, 5]", axes=(1,), keepdims=False),
        case("i64[6]", axes=(0,)),
        case("u8[2, 3]", axes=(0, 1)),
    ]
    if "bool" in kinds:
        samples += [case("bool[5, 2]", axes=(1,)), case("f32[3, 0]", axes=(1,))]
    return op(
        f"reduce.{name}",
        infer=only(kinds, _reduced_type),
        stages=stages,
        cost=_cost,
        tolerance=tolerance,
        samples=samples,
    )


@_reduction("sum", "sum")
def sum_of(x, *, axes: tuple[int, ...], keepdims: bool = True):
    """The sum over the axes; 0 over nothing."""
    wider = widen(x)
    return np.sum(wider, axis=axes, keepdims=keepdims, dtype=wider.dtype).astype(x.dtype, copy=False)


@_reduction("prod", "prod", low=0.5)
def product_of(x, *, axes: tuple[int, ...], keepdims: bool = True):
    """The product over the axes; 1 over nothing."""
    wider = widen(x)
    return np.prod(wider, axis=axes, keepdims=keepdims, dtype=wider.dtype).astype(x.dtype, copy=False)


@_reduction("max", "max", (*NUMBERS, "bool"), Tolerance(0, 0))
def max_of(x, *, axes: tuple[int, ...], keepdims: bool = True):
    """The largest value over the axes, NaN if there is one; over nothing the lowest value that the dtype has."""
    return np.max(x, axis=axes, keepdims=keepdims, initial=lowest(x.dtype)) if axes else x


@_reduction("min", "min", (*NUMBERS, "bool"), Tolerance(0, 0))
def min_of(x, *, axes: tuple[int, ...], keepdims: bool = True):
    """The smallest value over the axes, NaN if there is one; over nothing the highest value that the dtype has."""
    return np.min(x, axis=axes, keepdims=keepdims, initial=highest(x.dtype)) if axes else x


def _mean_stages(s: Stages, x: Ref, *, axes: tuple[int, ...], keepdims: bool) -> None:
    index, kept = axis_index(s, x, axes)
    target = s.results[0][spread(kept, x.rank, axes, keepdims)]
    element = x[index].cast(i64 if x.dtype.is_integer else wide(x.dtype))
    total = s.total("sum", element, kept) if axes else element
    count = lift(prod(extent for axis in axes if isinstance(extent := x.shape[axis], int)), total.dtype)
    for axis in axes:
        if not isinstance(x.shape[axis], int):
            count = count * extent_value(s, x, axis).cast(total.dtype)
    s.store(target, total / count)


@op(
    "reduce.mean",
    infer=only(NUMBERS, _reduced_type),
    stages=_mean_stages,
    cost=_cost,
    tolerance=_LOOSE,
    samples=(
        case("f32[4, 5, 6]", axes=(1,)),
        case("f32[3, 7, 2]", axes=(0, 2), keepdims=False),
        case("f64[37]", axes=(0,)),
        case("f16[5, 9]", axes=(1,)),
        case("bf16[5, 9]", axes=(0, 1), keepdims=False),
        case("f32[3]", axes=()),
        case("i32[3, 5]", axes=(1,)),
        case("u8[300]", axes=(0,)),
        case(EXTREME[1:3], axes=(0,)),
    ),
)
def mean(x, *, axes: tuple[int, ...], keepdims: bool = True):
    """The sum over the axes divided by how many values it has; integers are summed in i64, the mean truncated."""
    wider = x.astype(np.int64) if x.dtype.kind in "iu" else widen(x)
    total = np.sum(wider, axis=axes, keepdims=keepdims, dtype=wider.dtype)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    return np.asarray(SCALARS["div"].numpy(total, total.dtype.type(count))).astype(x.dtype)


def _position_type(x: TensorType, *, axis: int, keepdims: bool, select_last: bool) -> TensorType:
    shape = reduced_shape(x, (axis,), keepdims)
    if x.shape[axis] == 0:
        raise TypeRuleError(f"an axis without elements has no extreme: {x}, axis {axis}")
    return TensorType(i64, shape)


def _position(name: str, combine: str) -> Callable[[Callable[..., Any]], Op]:
    """Declares the position of an extreme: first the extreme, then the first or last index that has it (or NaN)."""

    def stages(s: Stages, x: Ref, *, axis: int, keepdims: bool, select_last: bool) -> None:
        index, kept = axis_index(s, x, (axis,))
        value = x[index].cast(wide(x.dtype))
        found = value.equals(s.total(combine, value, kept))
        if x.dtype.is_float:
            found = apply("or", found, apply("isnan", value, dtype=boolean))
        extent = x.shape[axis]  # behind all positions; an open one has no number yet
        behind = extent if isinstance(extent, int) else np.iinfo(np.int64).max
        nowhere = -1 if select_last else behind
        place = select(found, s.index(index[axis]), lift(nowhere, i64))
        s.store(s.results[0][spread(kept, x.rank, (axis,), keepdims)], place, "max" if select_last else "min")

    return op(
        f"reduce.{name}",
        infer=only((*NUMBERS, "bool"), _position_type),
        stages=stages,
        cost=_cost,
        samples=(
            case("f32[4, 37]", axis=1),
            case("f32[3, 7, 2]", axis=0, keepdims=False, select_last=True),
            case(("i32[5, 9]", 0, 3), axis=1, select_last=True),
            case(("i8[5, 9]", 0, 3), axis=0, keepdims=False),
            case(np.array([[1, np.nan, 3, np.nan], [2, 5, 5, 1]], np.float32), axis=1),
            case(np.array([[1, np.nan, 3, np.nan], [2, 5, 5, 1]], np.float32), axis=1, select_last=True),
            case("f16[6]", axis=0, keepdims=False),
            case("bf16[6]", axis=0, keepdims=False),
        ),
    )


def _find(
    x: np.ndarray, search: Callable[..., Any], axis: int, keepdims: bool, select_last: bool
) -> np.ndarray:
    if not select_last:
        return search(x, axis=axis, keepdims=keepdims)
    return x.shape[axis] - 1 - search(np.flip(x, axis), axis=axis, keepdims=keepdims)


@_position("argmax", "max")
def argmax(x, *, axis: int, keepdims: bool = True, select_last: bool = False):
    """Where along the axis the largest value (or a NaN) stands: the first such index, or the last."""
    return _find(x, np.argmax, axis, keepdims, select_last)


@_position("argmin", "min")
def argmin(x, *, axis: int, keepdims: bool = True, select_last: bool = False):
    """Where along the axis the smallest value (or a NaN) stands: the first such index, or the last."""
    return _find(x, np.argmin, axis, keepdims, select_last)


def _cumulative_type(x: TensorType, *, axis: int, exclusive: bool, reverse: bool) -> TensorType:
    check_axis(axis, x.rank)
    return x


def _cumulative(name: str, combine: str, neutral: int) -> Callable[[Callable[..., Any]], Op]:
    """Declares a running monoid: a scan that reads its own last element."""

    def stages(s: Stages, x: Ref, *, axis: int, exclusive: bool, reverse: bool) -> Any:
        extent = x.shape[axis]
        if reverse and not isinstance(extent, int):
            return NotImplemented
        index = [s.dims(dim)[0] for dim in x.shape]
        step = s.scan(extent)
        back = 1 if reverse else -1
        index[axis] = extent - 1 - step if reverse and isinstance(extent, int) else step
        earlier = [*index[:axis], index[axis] + back, *index[axis + 1 :]]
        y = s.results[0]
        before = y.at(*earlier, fill=neutral).cast(wide(x.dtype))
        value = x.at(*(earlier if exclusive else index), fill=neutral if exclusive else None)
        s.store(y[tuple(index)], apply(combine, before, value.cast(wide(x.dtype))))
        return None

    return op(
        f"reduce.{name}",
        infer=only(NUMBERS, _cumulative_type),
        stages=stages,
        tolerance=_LOOSE,
        samples=(
            case(("f32[4, 7]", 0.5, 1.5), axis=1),
            case(("f32[4, 7]", 0.5, 1.5), axis=0, exclusive=True),
            case(("f64[9]", 0.5, 1.5), axis=0, reverse=True),
            case(("f16[3, 2, 5]", 0.5, 1.5), axis=2, exclusive=True, reverse=True),
            case(("bf16[5]", 0.5, 1.5), axis=0),
            case("i32[6]", axis=0),
            case("i64[2, 1]", axis=1, exclusive=True),
        ),
    )


def _running(
    x: np.ndarray, ufunc: np.ufunc, neutral: int, axis: int, exclusive: bool, reverse: bool
) -> np.ndarray:
    if reverse:
        return np.flip(_running(np.flip(x, axis), ufunc, neutral, axis, exclusive, False), axis)
    if exclusive:
        first = np.full_like(np.take(x, [0] * min(1, x.shape[axis]), axis), neutral)
        x = np.concatenate([first, np.delete(x, -1, axis)], axis) if x.shape[axis] else x
    return ufunc.accumulate(x, axis=axis, dtype=x.dtype)


@_cumulative("cumsum", "add", 0)
def cumsum(x, *, axis: int, exclusive: bool = False, reverse: bool = False):
    """Sums of all elements up to each one (`exclusive`: before it), from the end if `reverse`; rounded at each step."""
    return _running(x, np.add, 0, axis, exclusive, reverse)


@_cumulative("cumprod", "mul", 1)
def cumprod(x, *, axis: int, exclusive: bool = False, reverse: bool = False):
    """Products of all elements up to each one (`exclusive`: before it), from the end if `reverse`; as `cumsum`."""
    return _running(x, np.multiply, 1, axis, exclusive, reverse)
