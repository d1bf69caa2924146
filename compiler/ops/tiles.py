"""Linear transforms of short tiles along one axis: what fast convolutions (Winograd) are made of.

An axis is seen as overlapping tiles; each tile, a short vector, is multiplied by a small matrix of constants, and its
products stand along a new first axis. `join_tiles` is the way back, for tiles that do not overlap. Integers wrap in
the result's dtype: who builds these ops sees to it that what counts stays in range.
"""

from collections.abc import Sequence

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.types import DType, TensorType, i16, i32
from ..tile.stage import Expr, Load, apply, lift
from ..tile.writer import Ref, Stages
from .engine import Cost, case, op

Matrix = tuple[float, ...]  # row by row


def _rows(name: str, matrix: Matrix, rows: int) -> np.ndarray:
    if rows < 1 or not matrix or len(matrix) % rows:
        raise TypeRuleError(f"{name}: a matrix of {len(matrix)} numbers has no {rows} rows")
    return np.array(matrix).reshape(rows, -1)


def _whole(name: str, dtype: DType, matrix: Matrix) -> None:
    if dtype.is_integer and any(factor != int(factor) for factor in matrix):
        raise TypeRuleError(f"{name}: a matrix for {dtype} has factors that are no integers")


def _axis(name: str, axis: int, rank: int) -> None:
    if not 0 <= axis < rank:
        raise TypeRuleError(f"{name}: axis is {axis}, expected 0 to {rank - 1}")


def _split_type(x: TensorType, *, matrix, rows, axis, step, begin, tiles, dtype, zero):
    _rows("split_tiles", matrix, rows)
    _axis("split_tiles", axis, x.rank)
    result = x.dtype if dtype is None else dtype
    _whole("split_tiles", result, matrix)
    if result != x.dtype and not (result.is_integer and x.dtype.is_integer and result.bits > x.dtype.bits):
        raise TypeRuleError(f"split_tiles: {x} as {result}, expected its own dtype or wider integers")
    if zero and not x.dtype.is_integer:
        raise TypeRuleError(f"split_tiles: 'zero' is {zero}, expected 0 for {x}")
    if step < 1 or tiles < 1:
        raise TypeRuleError(f"split_tiles: {tiles} tiles at steps of {step}, expected at least 1 of each")
    return TensorType(result, (rows, *x.shape[:axis], tiles, *x.shape[axis + 1 :]))


def _combination(factors: Sequence[float], elements: Sequence[Expr]) -> Expr:
    """sum of factor * element, without what is multiplied by 0 or 1."""
    total: Expr | None = None
    for factor, element in zip(factors, elements, strict=True):
        if element.dtype.is_integer:
            factor = int(factor)
        if factor == 0:
            continue
        if total is None:
            total = element if factor == 1 else element * factor
        elif abs(factor) == 1:
            total = total + element if factor == 1 else total - element
        else:
            total = element * factor + total
    return elements[0] * 0 if total is None else total


def _split_stages(s: Stages, x: Ref, *, matrix, rows, axis, step, begin, tiles, dtype, zero) -> None:
    index = s.dims(*x.shape[:axis], tiles, *x.shape[axis + 1 :])
    factors = _rows("split_tiles", matrix, rows)
    taps = [
        _from(
            s.guarded(x, *index[:axis], index[axis] * step + (tap - begin), *index[axis + 1 :], fill=zero),
            s,
            zero,
        )
        for tap in range(factors.shape[1])
    ]
    for row, line in enumerate(factors.tolist()):
        s.store(s.results[0].at(row, *index), _combination(line, taps))


def _from(element: Load, s: Stages, zero: int) -> Expr:
    """element - zero in the dtype of the result."""
    value = element.cast(s.results[0].dtype)
    return value - zero if zero else value


def _products(results: tuple[TensorType, ...], x: TensorType, *, matrix, **_: object) -> Cost:
    return Cost(operations=x.elements * len(matrix))


_FORWARD = (4.0, 0.0, -5.0, 0.0, 1.0, 0.0, 0.0, -4.0, -4.0, 1.0, 1.0, 0.0)


@op(
    "nn.split_tiles",
    infer=_split_type,
    stages=_split_stages,
    cost=_products,
    samples=(
        case("f32[2, 9]", matrix=_FORWARD, rows=2, axis=1, step=4, begin=1, tiles=3),
        case("f64[5, 3]", matrix=(1.0, -1.0, 0.0, 0.0), rows=2, axis=0, step=1, begin=0, tiles=4),
        case("f32[2, 6, 8]", matrix=(0.5, 2.0, 1.0), rows=1, axis=1, step=3, begin=0, tiles=2),
        case("i8[2, 9]", matrix=_FORWARD, rows=2, axis=1, step=4, begin=1, tiles=3, dtype=i16, zero=-128),
        case("u8[3, 7, 2]", matrix=(1.0, -1.0), rows=1, axis=1, step=1, begin=0, tiles=7, dtype=i32),
    ),
)
def split_tiles(
    x,
    *,
    matrix: tuple[float, ...],
    rows: int,
    axis: int,
    step: int,
    begin: int,
    tiles: int,
    dtype: DType | None = None,
    zero: int = 0,
):
    """y[r, .., t, ..] = sum of matrix[r, i] * (x[.., step * t + i - begin, ..] - zero); outside of x there are zeros.

    The result has x's dtype, or a wider one of integers, in which it wraps.
    """
    result = x.dtype if dtype is None else dtype.numpy
    factors = np.array(matrix).reshape(rows, -1)
    reach = step * (tiles - 1) + factors.shape[1]
    around = [(0, 0)] * x.ndim
    around[axis] = (begin, max(0, reach - begin - x.shape[axis]))
    moved = np.moveaxis(np.pad(_exact(x) - zero, around), axis, -1)
    windows = np.lib.stride_tricks.sliding_window_view(moved, factors.shape[1], -1)[
        ..., : reach - factors.shape[1] + 1 : step, :
    ]
    return np.moveaxis(_combinations(factors, windows), -1, axis + 1).astype(result)


def _combinations(factors: np.ndarray, elements: np.ndarray) -> np.ndarray:
    """Sums over the last axis, one for each row of factors along a new first one; what meets 0 may be no number."""
    rows = factors.astype(elements.dtype)
    return np.stack([elements[..., row != 0] @ row[row != 0] for row in rows])


def _exact(x: np.ndarray) -> np.ndarray:
    """The array in a dtype in which a few products are as good as exact."""
    return x.astype(np.int64 if x.dtype.kind in "iu" else np.float64)


def _join_type(x: TensorType, *, matrix, rows, axis, extent, divisor):
    factors = _rows("join_tiles", matrix, rows)
    _axis("join_tiles", axis, x.rank - 1)
    _whole("join_tiles", x.dtype, matrix)
    if divisor < 1 or (divisor > 1 and x.dtype != i32):
        raise TypeRuleError(f"join_tiles: 'divisor' is {divisor} for {x}, expected 1, or more for i32")
    tiles = x.shape[axis + 1]
    if x.shape[0] != factors.shape[1]:
        raise TypeRuleError(f"join_tiles: x is {x}, expected {factors.shape[1]} along its first axis")
    if isinstance(tiles, int) and not rows * (tiles - 1) < extent <= rows * tiles:
        raise TypeRuleError(f"join_tiles: {tiles} tiles of {rows} do not make an axis of {extent}")
    return TensorType(x.dtype, (*x.shape[1 : axis + 1], extent, *x.shape[axis + 2 :]))


def _division(divisor: int) -> tuple[int, int]:
    """Factor and shift that divide what is a multiple of `divisor`, known but for multiples of 2^32."""
    places = (divisor & -divisor).bit_length() - 1
    inverse = pow(divisor >> places, -1, 1 << 32)
    return inverse - (inverse >> 31 << 32), places


def _quotient(value: Expr, divisor: int) -> Expr:
    factor, places = _division(divisor)
    value = value if factor == 1 else value * factor
    return apply("shift_right", value, lift(places, i32)) if places else value


def _join_stages(s: Stages, x: Ref, *, matrix, rows, axis, extent, divisor) -> None:
    index = s.dims(*x.shape[1:])
    factors = _rows("join_tiles", matrix, rows)
    products = [x.at(number, *index) for number in range(factors.shape[1])]
    for row, line in enumerate(factors.tolist()):
        at = (*index[:axis], index[axis] * rows + row, *index[axis + 1 :])
        s.store(s.guarded(s.results[0], *at), _quotient(_combination(line, products), divisor))


@op(
    "nn.join_tiles",
    infer=_join_type,
    stages=_join_stages,
    cost=_products,
    samples=(
        case("f32[3, 2, 4]", matrix=(1.0, 1.0, 0.0, 0.0, 1.0, -1.0), rows=2, axis=1, extent=8),
        case("f32[3, 4, 2]", matrix=(1.0, 1.0, 0.0, 0.0, 1.0, -1.0), rows=2, axis=0, extent=7),
        case("i32[2, 3, 5]", matrix=(24.0, 48.0, -72.0, 24.0), rows=2, axis=0, extent=5, divisor=24),
        case("i32[2, 4]", matrix=(1.0, 3.0), rows=1, axis=0, extent=4),
    ),
)
def join_tiles(x, *, matrix: tuple[float, ...], rows: int, axis: int, extent: int, divisor: int = 1):
    """y[.., rows * t + r, ..] = sum of matrix[r, i] * x[i, .., t, ..], as far as `extent` goes, by `divisor`.

    Sums in i32 may be off by multiples of 2^32, and are multiples of the divisor otherwise. Their quotient is exact
    where its product with the divisor's power of two is within i32.
    """
    factors = np.array(matrix).reshape(rows, -1)
    wide = _exact(np.moveaxis(np.moveaxis(x, axis + 1, -1), 0, -1))
    out = np.moveaxis(_combinations(factors, wide), 0, -1)
    merged = out.reshape(*out.shape[:-2], -1)[..., :extent]
    result = np.moveaxis(merged, -1, axis).astype(x.dtype)
    if divisor == 1:
        return result
    factor, places = _division(divisor)
    return (result.astype(np.int64) * factor).astype(np.int32) >> places
