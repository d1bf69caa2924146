"""Sampling at coordinates that are data (spatial transformers). The meaning is that of ONNX's GridSample."""

from collections.abc import Sequence
from functools import reduce
from itertools import product as combinations
from operator import mul

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.types import TensorType, boolean, i64
from ..tile.stage import Affine, Expr, Load, apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import Cost, Tolerance, case, op
from .resize import cubic
from .rules import differ, extent_value, same_dtype, wide, widen

TAPS = {"nearest": 1, "linear": 2, "cubic": 4}
PADDING = ("zeros", "border", "reflection")
CUBIC_A = -0.75


def _type(
    x: TensorType, grid: TensorType, *, mode: str, padding: str, align_corners: bool, elements: bool
) -> TensorType:
    if mode not in TAPS or padding not in PADDING:
        raise TypeRuleError(
            f"grid_sample: mode is '{mode}', padding '{padding}', expected {', '.join(TAPS)} and {', '.join(PADDING)}"
        )
    if x.rank < 3 or grid.rank != x.rank or differ(grid.shape[-1], x.rank - 2):
        raise TypeRuleError(
            f"grid_sample: x {x} and grid {grid} are not [N, C, ...] and [N, ..., spatial rank]"
        )
    if differ(x.shape[0], grid.shape[0]):
        raise TypeRuleError(f"grid_sample: x {x} and grid {grid} have different batches")
    if not same_dtype(x, grid).is_float:
        raise TypeRuleError(f"grid_sample needs floats, got {x}", hint="insert a cast")
    return x.with_shape((*x.shape[:2], *grid.shape[1:-1]))


def _cost(results: tuple[TensorType, ...], x: TensorType, *_: TensorType, mode: str, **__: object) -> Cost:
    return Cost(operations=results[0].elements * (2 * TAPS[mode] ** (x.rank - 2) + 8))


def _limits(extent: Expr, align_corners: bool) -> tuple[Expr, Expr]:
    """The coordinates of the outer edges."""
    return lift(0.0 if align_corners else -0.5, extent.dtype), extent - (1.0 if align_corners else 0.5)


def _reflected(at: Expr, low: Expr, high: Expr) -> Expr:
    """The coordinate folded back into low..high as often as needed."""
    span = high - low
    turn = apply("fmod", apply("abs", at - low), span * 2.0)
    folded = low + apply("min", turn, span * 2.0 - turn)
    return select(apply("or", at < low, at > high, dtype=boolean), folded, at)


def _clamped(at: Expr, extent: Expr) -> Expr:
    return apply("min", apply("max", at, lift(0.0, at.dtype)), extent - 1.0)


def _cubic_weight(distance: Expr) -> Expr:
    a, t = CUBIC_A, apply("abs", distance)
    near = (t * (a + 2) - (a + 3)) * t * t + 1.0
    far = ((t * a - 5 * a) * t + 8 * a) * t - 4 * a
    return select(t <= 1.0, near, select(t < 2.0, far, 0.0))


def _axis_stages(
    s: Stages,
    position: Expr,
    extent: Expr,
    over: Sequence[Affine],
    mode: str,
    padding: str,
    align_corners: bool,
    elements: bool,
) -> tuple[Load, Load | None]:
    """For one axis the index of each tap and its weight (None: nearest), as locals over `over` and the taps."""
    low, high = _limits(extent, align_corners)
    if elements:
        at = position
    elif align_corners:
        at = (position + 1.0) * 0.5 * (extent - 1.0)
    else:
        at = ((position + 1.0) * extent - 1.0) * 0.5
    if mode == "nearest":
        at = apply("round", at)
    if padding == "reflection":
        at = _reflected(at, low, high)
    elif padding == "border":
        beyond = apply("or", at < low, at > high, dtype=boolean)
        at = select(beyond, _clamped(at, extent), at)
    if mode == "nearest":
        index, taps, weight = at, over, None
    else:
        at = s.value(at, over)
        (tap,) = s.dims(TAPS[mode])
        taps = [*over, tap]
        index = apply("floor", at) + s.index(tap - (TAPS[mode] // 2 - 1)).cast(at.dtype)
        distance = at - index
        raised = 1.0 - apply("abs", distance) if mode == "linear" else _cubic_weight(distance)
        weight = s.value(raised, taps)
        if padding == "reflection":
            index = _reflected(index, low, high)
    if padding == "border":
        index = _clamped(index, extent)
    return s.value(index.cast(i64), taps), weight


def _stages(
    s: Stages, x: Ref, grid: Ref, *, mode: str, padding: str, align_corners: bool, elements: bool
) -> None:
    y = s.results[0]
    dtype = wide(x.dtype)
    n, c, *positions = s.dims(*y.shape)
    over = [n, *positions]
    indices: list[Load] = []
    weights: list[Load] = []
    for axis in range(x.rank - 2):
        position = grid.at(n, *positions, x.rank - 3 - axis).cast(dtype)
        extent = extent_value(s, x, 2 + axis).cast(dtype)
        index, weight = _axis_stages(s, position, extent, over, mode, padding, align_corners, elements)
        indices.append(index)
        weights += [] if weight is None else [weight]
    element = x.at(n, c, *indices, fill=0.0)
    if mode == "nearest":
        s.store(y.at(n, c, *positions), element)
    else:
        s.store(y.at(n, c, *positions), element.cast(dtype) * reduce(mul, weights), "sum")


@op(
    "nn.grid_sample",
    infer=_type,
    stages=_stages,
    cost=_cost,
    tolerance=Tolerance(relative=1e-4, absolute=1e-4),
    samples=(
        case("f32[2, 3, 5, 7]", ("f32[2, 4, 3, 2]", -1.3, 1.3)),
        case("f64[1, 2, 5, 4]", ("f64[1, 3, 3, 2]", -3.0, 3.0), mode="cubic", padding="reflection"),
        case(
            "f32[1, 1, 4, 3, 5]",
            ("f32[1, 2, 2, 3, 3]", -1.5, 1.5),
            mode="nearest",
            padding="border",
            align_corners=True,
        ),
        case("f32[2, 3, 9]", ("f32[2, 4, 1]", -2.0, 2.0), padding="reflection", align_corners=True),
        case("f32[1, 2, 5, 4]", ("f32[1, 3, 3, 2]", -2.0, 6.0), elements=True),
        case("f16[1, 2, 4, 4]", ("f16[1, 3, 2, 2]", -1.1, 1.1), padding="border"),
    ),
)
def grid_sample(
    x,
    grid,
    *,
    mode: str = "linear",
    padding: str = "zeros",
    align_corners: bool = False,
    elements: bool = False,
):
    """x [N, C, ...] at the coordinates grid [N, out..., spatial rank]: y [N, C, out...].

    Coordinates run from -1 to 1 over the extent, the last axis first; -1 and 1 are the centres of the outer elements
    if `align_corners`, else their outer edges; with `elements` they count elements instead. Outside is zero, the
    border element, or reflected.
    """
    taps = TAPS[mode]
    data, places = widen(x), widen(grid)
    steps, weights = [], []
    for axis, size in enumerate(x.shape[2:]):
        place = places[..., x.ndim - 3 - axis]
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        at = (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2
        at = place if elements else at

        def reflect(at, low=low, high=high):
            turn = np.fmod(np.abs(at - low), 2 * (high - low))
            folded = low + np.minimum(turn, 2 * (high - low) - turn)
            return np.where((at < low) | (at > high), folded, at)

        at = np.rint(at) if mode == "nearest" else at
        if padding == "reflection":
            at = reflect(at)
        elif padding == "border":
            at = np.where((at < low) | (at > high), np.clip(at, 0, size - 1), at)
        index = at[..., None] if taps == 1 else np.floor(at)[..., None] + np.arange(taps) - (taps // 2 - 1)
        distance = at[..., None] - index
        weights.append(1 - np.abs(distance) if mode == "linear" else cubic(distance, CUBIC_A))
        if padding == "reflection" and taps > 1:
            index = reflect(index)
        if padding == "border":
            index = np.clip(index, 0, size - 1)
        steps.append(index.astype(np.int64))
    flat = data.reshape(*x.shape[:2], -1)
    total = np.zeros((*x.shape[:2], int(np.prod(grid.shape[1:-1]))), data.dtype)
    for chosen in combinations(range(taps), repeat=x.ndim - 2):
        flat_index = np.zeros((x.shape[0], 1, total.shape[2]), np.int64)
        inside, weight = np.ones(flat_index.shape, bool), np.ones(flat_index.shape, data.dtype)
        for size, index, factor, tap in zip(x.shape[2:], steps, weights, chosen, strict=True):
            at = index[..., tap].reshape(flat_index.shape)
            flat_index = flat_index * size + np.clip(at, 0, size - 1)
            inside &= (at >= 0) & (at < size)
            if taps > 1:
                weight = weight * factor[..., tap].reshape(weight.shape)
        total += np.where(inside, np.take_along_axis(flat, flat_index, 2), 0) * weight
    return total.reshape(*x.shape[:2], *grid.shape[1:-1]).astype(x.dtype, copy=False)
