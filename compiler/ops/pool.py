"""Pooling windows over the spatial axes of [N, C, ...]. Pads are all begins, then all ends.

Rounding the output extent up (ceil mode) is extra end padding here: part of `pads` where the padding value decides
alone, a separate `overhang` in the average, whose divisor never counts it.
"""

from functools import reduce
from math import prod
from operator import mul
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.types import DType, TensorType, boolean, dtype_of, i64
from ..tile.stage import Affine, Apply, Expr, apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import Cost, Tolerance, case, op
from .rules import every, extent_value, wide, widen
from .window import Window, check_entries, padding_of


def window_type(
    x: TensorType,
    *,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    overhang: tuple[int, ...] = (),
    **_: object,
) -> TensorType:
    spatial = x.rank - 2
    if spatial < 1 or x.dtype == boolean:
        raise TypeRuleError(f"pooling needs numbers [N, C, ...], got {x}")
    check_entries("pooling", spatial, kernel=kernel, strides=strides, pads=pads, dilations=dilations)
    check_entries("pooling", spatial, overhang=overhang or (0,) * spatial)
    if min(*pads, *overhang, 0) < 0:
        raise TypeRuleError("pooling: pads and overhang must not be negative")
    extents = Window(kernel, strides, dilations, padding_of(pads, overhang)).extents("pooling", x)
    return TensorType(x.dtype, (*x.shape[:2], *extents))


def _float_window_type(x: TensorType, **attributes: Any) -> TensorType:
    if not x.dtype.is_float:
        raise TypeRuleError(f"this pooling needs floats, got {x}", hint="insert a cast")
    return window_type(x, **attributes)


def window_cost(
    results: tuple[TensorType, ...], x: TensorType, *, kernel: tuple[int, ...], **_: object
) -> Cost:
    return Cost(operations=results[0].elements * int(np.prod(kernel)))


def lowest(dtype: DType) -> float | int:
    """The identity of max in a dtype."""
    return -float("inf") if dtype.is_float else int(np.iinfo(dtype.numpy).min)


def _max_stages(s: Stages, x: Ref, *, kernel, strides, pads, dilations) -> None:
    y = s.results[0]
    window = Window(kernel, strides, dilations, padding_of(pads)).within_reach(x.shape[2:])
    outer, positions, taps = s.dims(*y.shape[:2]), s.dims(*y.shape[2:]), s.reduce(*window.kernel)
    element = window.read(s, x, outer, positions, taps, lowest(x.dtype))
    s.store(y[(*outer, *positions)], element, "max")


@op(
    "nn.max_pool",
    infer=window_type,
    stages=_max_stages,
    cost=window_cost,
    samples=(
        case("f32[1, 3, 9, 11]", kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), dilations=(1, 1)),
        case("f32[2, 5, 13]", kernel=(4,), strides=(3,), pads=(0, 2), dilations=(2,)),
        case("f64[1, 2, 5, 6, 7]", kernel=(2, 1, 3), strides=(1, 2, 2), pads=(0,) * 6, dilations=(1, 1, 2)),
        case("f32[1, 2, 3]", kernel=(9,), strides=(1,), pads=(14, 2), dilations=(2,)),
        case("i8[1, 2, 5, 5]", kernel=(2, 2), strides=(2, 2), pads=(0, 0, 1, 1), dilations=(1, 1)),
    ),
)
def max_pool(
    x,
    *,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
):
    """Largest element of each window; padding never wins."""
    window = Window(kernel, strides, dilations, padding_of(pads)).within_reach(x.shape[2:])
    parts = window.slices(x, lowest(dtype_of(x.dtype)))
    out = next(parts).copy()
    for part in parts:
        np.maximum(out, part, out=out)
    return out


def _indices_type(x: TensorType, **attributes: Any) -> tuple[TensorType, TensorType]:
    values = window_type(x, **attributes)
    return values, values.with_dtype(i64)


def _indices_stages(s: Stages, x: Ref, *, kernel, strides, pads, dilations) -> Any:
    """The largest element of each window, then the first place where it stands; NaN stands for every NaN."""
    extents = [extent for extent in x.shape if isinstance(extent, int)]
    if len(extents) < x.rank:
        return NotImplemented
    y, places = s.results
    window = Window(kernel, strides, dilations, padding_of(pads))
    outer, positions = s.dims(*y.shape[:2]), s.dims(*y.shape[2:])
    index, least = (*outer, *positions), lowest(x.dtype)
    largest = s.total("max", window.read(s, x, outer, positions, s.reduce(*window.kernel), least), index)
    taps = s.reduce(*window.kernel)
    element = window.read(s, x, outer, positions, taps, least)
    same = element.equals(largest)
    if x.dtype.is_float:
        nans = every(*(apply("isnan", e, dtype=boolean) for e in (element, largest)))
        same = Apply("or", (same, nans), boolean)
    at, inside = Affine(), [same]
    steps = window.places(positions, taps)
    for part, extent, (before, after) in zip((*outer, *steps), extents, ((0, 0), (0, 0), *window.padding)):
        at = at * extent + part
        if before or after:
            inside += [s.index(part) >= 0, s.index(part) < extent]
    s.store(places[index], select(every(*inside), s.index(at), prod(extents)), "min")
    s.store(y[index], largest)
    return None


@op(
    "nn.max_pool_indices",
    infer=_indices_type,
    stages=_indices_stages,
    cost=window_cost,
    samples=(
        case("f32[1, 3, 9, 11]", kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), dilations=(1, 1)),
        case("i8[2, 5, 13]", kernel=(4,), strides=(3,), pads=(0, 2), dilations=(2,)),
        case(
            np.array([[[np.nan, 1, 1, -np.inf, np.nan, np.nan]]], np.float32),
            kernel=(2,),
            strides=(1,),
            pads=(1, 0),
            dilations=(1,),
        ),
    ),
)
def max_pool_indices(
    x,
    *,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
):
    """Max pooling with, for each window, the row-major position in all of x of its first largest element."""
    where = np.arange(x.size, dtype=np.int64).reshape(x.shape)
    window = Window(kernel, strides, dilations, padding_of(pads))
    values = places = np.empty(0)
    for part, place in zip(
        window.slices(x, lowest(dtype_of(x.dtype))), window.slices(where, -1), strict=True
    ):
        if not places.size:
            values, places = part, place
            continue
        wins = (place >= 0) & ((places < 0) | (part > values) | ((part != part) & (values == values)))
        values, places = np.where(wins, part, values), np.where(wins, place, places)
    return values, places


def _divisor(
    s: Stages, x: Ref, positions: tuple[Affine, ...], *, kernel, strides, pads, dilations, include, overhang
) -> Expr | int:
    """How many elements count in the window at `positions`.

    Per axis: all of the window where no window reaches what does not count, else the length of an intersection.
    """
    dtype = wide(x.dtype)
    spatial = len(kernel)
    constant, divisor = 1, lift(1, dtype)
    for n, position in enumerate(positions):
        before, after = pads[n], pads[spatial + n]
        if not (overhang[n] if include else before or after or overhang[n]):
            constant *= kernel[n]
            continue
        size = x.shape[2 + n]
        low, extra = (-before, after) if include else (0, 0)
        high = lift(size + extra, i64) if isinstance(size, int) else extent_value(s, x, 2 + n) + extra
        start = position * strides[n] - before
        if dilations[n] == 1:
            first = apply("max", s.index(start), lift(low, i64))
            last = apply("min", s.index(start + kernel[n]), high)
            count = (last - first).cast(dtype)
        else:
            (tap,) = s.reduce(kernel[n])
            at = s.index(start + tap * dilations[n])
            counts = apply("and", at >= low, at < high, dtype=boolean)
            count = s.total("sum", select(counts, lift(1, dtype), 0), [position])
        divisor = divisor * count
    return constant if divisor == lift(1, dtype) else divisor * constant


def _avg_stages(s: Stages, x: Ref, *, kernel, strides, pads, dilations, count_include_pad, overhang) -> None:
    y = s.results[0]
    overhang = overhang or (0,) * len(kernel)
    dtype = wide(x.dtype)
    window = Window(kernel, strides, dilations, padding_of(pads, overhang)).within_reach(x.shape[2:])
    outer, positions, taps = s.dims(*y.shape[:2]), s.dims(*y.shape[2:]), s.reduce(*window.kernel)
    divisor = _divisor(
        s,
        x,
        positions,
        kernel=kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        include=count_include_pad,
        overhang=overhang,
    )
    index = (*outer, *positions)
    element = window.read(s, x, outer, positions, taps).cast(dtype)
    if isinstance(divisor, int):
        s.store(y[index], element * (1 / divisor), "sum")
    else:
        s.store(y[index], s.total("sum", element, index) / divisor)


@op(
    "nn.avg_pool",
    infer=_float_window_type,
    stages=_avg_stages,
    cost=window_cost,
    samples=(
        case("f32[1, 3, 9, 11]", kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), dilations=(1, 1)),
        case(
            "f32[1, 2, 7, 8]",
            kernel=(3, 3),
            strides=(2, 2),
            pads=(1, 0, 1, 1),
            dilations=(1, 1),
            count_include_pad=True,
            overhang=(0, 1),
        ),
        case("f64[2, 5, 13]", kernel=(4,), strides=(3,), pads=(1, 2), dilations=(2,)),
        case("f32[2, 5, 7, 7]", kernel=(7, 7), strides=(1, 1), pads=(0,) * 4, dilations=(1, 1)),
        case(
            "f32[1, 2, 2, 3]",
            kernel=(64, 48),
            strides=(64, 48),
            pads=(0,) * 4,
            dilations=(1, 1),
            overhang=(62, 45),
        ),
        case("f16[1, 2, 5, 6, 7]", kernel=(2, 1, 3), strides=(1, 2, 2), pads=(0,) * 6, dilations=(1, 1, 2)),
    ),
)
def avg_pool(
    x,
    *,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    count_include_pad: bool = False,
    overhang: tuple[int, ...] = (),
):
    """Mean of each window. `pads` count in the divisor if `count_include_pad`; `overhang`, added to the end, never."""
    padding = padding_of(pads, overhang)
    data = widen(x)
    spatial = len(kernel)
    ones = np.ones((1, 1, *x.shape[2:]), data.dtype)
    if count_include_pad:
        ones = np.pad(ones, [(0, 0), (0, 0), *padding_of(pads)], constant_values=1)
        counted = tuple((0, padding[n][1] - pads[spatial + n]) for n in range(spatial))
    else:
        counted = padding
    total = _sum_of_windows(Window(kernel, strides, dilations, padding), data)
    count = _sum_of_windows(Window(kernel, strides, dilations, counted), ones)
    return (total / count).astype(x.dtype, copy=False)


def _sum_of_windows(window: Window, x: np.ndarray) -> np.ndarray:
    return reduce(np.add, window.within_reach(x.shape[2:]).slices(x))


def _lp_type(x: TensorType, *, p: int, **attributes: Any) -> TensorType:
    if p < 1:
        raise TypeRuleError(f"lp_pool: 'p' is {p}, expected 1 or more")
    return _float_window_type(x, **attributes)


def _lp_stages(s: Stages, x: Ref, *, kernel, strides, pads, dilations, p) -> None:
    y = s.results[0]
    dtype = wide(x.dtype)
    window = Window(kernel, strides, dilations, padding_of(pads)).within_reach(x.shape[2:])
    outer, positions, taps = s.dims(*y.shape[:2]), s.dims(*y.shape[2:]), s.reduce(*window.kernel)
    index = (*outer, *positions)
    element = window.read(s, x, outer, positions, taps).cast(dtype)
    size = element if p % 2 == 0 else apply("abs", element)
    total: Expr = s.total("sum", reduce(mul, [size] * p), index)
    if p > 1:
        total = apply("sqrt", total) if p == 2 else apply("exp", apply("log", total) * (1 / p))
    s.store(y[index], total)


@op(
    "nn.lp_pool",
    infer=_lp_type,
    stages=_lp_stages,
    cost=window_cost,
    tolerance=Tolerance(relative=2e-5),
    samples=(
        case("f32[1, 3, 9, 11]", kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), dilations=(1, 1), p=2),
        case("f64[2, 5, 13]", kernel=(4,), strides=(3,), pads=(1, 2), dilations=(2,), p=3),
        case("f32[2, 5, 13]", kernel=(4,), strides=(1,), pads=(0, 0), dilations=(1,), p=1),
    ),
)
def lp_pool(
    x,
    *,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    p: int,
):
    """(sum of |x|^p in each window)^(1/p)."""
    data = widen(x)
    raised = data * data if p == 2 else np.abs(data) ** p
    total = _sum_of_windows(Window(kernel, strides, dilations, padding_of(pads)), raised)
    return (np.sqrt(total) if p == 2 else total ** (1 / p)).astype(x.dtype, copy=False)
