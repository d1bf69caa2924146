"""Linear transforms of short tiles along one axis: what fast convolutions (Winograd) are made of.

An axis is seen as overlapping tiles; each tile, a short vector, is multiplied by a small matrix of constants, and its
products stand along a new first axis. `join_tiles` is the way back, for tiles that do not overlap.
"""

from collections.abc import Sequence

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.types import TensorType
from ..tile.stage import Expr, Load
from ..tile.writer import Ref, Stages
from .engine import Cost, case, op

Matrix = tuple[float, ...]  # row by row


def _rows(name: str, matrix: Matrix, rows: int) -> np.ndarray:
    if rows < 1 or not matrix or len(matrix) % rows:
        raise TypeRuleError(f"{name}: a matrix of {len(matrix)} numbers has no {rows} rows")
    return np.array(matrix).reshape(rows, -1)


def _axis(name: str, axis: int, rank: int) -> None:
    if not 0 <= axis < rank:
        raise TypeRuleError(f"{name}: axis is {axis}, expected 0 to {rank - 1}")


def _split_type(x: TensorType, *, matrix, rows, axis, step, begin, tiles):
    _rows("split_tiles", matrix, rows)
    _axis("split_tiles", axis, x.rank)
    if step < 1 or tiles < 1:
        raise TypeRuleError(f"split_tiles: {tiles} tiles at steps of {step}, expected at least 1 of each")
    return TensorType(x.dtype, (rows, *x.shape[:axis], tiles, *x.shape[axis + 1 :]))


def _combination(factors: Sequence[float], elements: Sequence[Load]) -> Expr:
    """sum of factor * element, without what is multiplied by 0 or 1."""
    total: Expr | None = None
    for factor, element in zip(factors, elements, strict=True):
        if factor == 0:
            continue
        if total is None:
            total = element if factor == 1 else element * factor
        elif abs(factor) == 1:
            total = total + element if factor == 1 else total - element
        else:
            total = element * factor + total
    return elements[0] * 0 if total is None else total


def _split_stages(s: Stages, x: Ref, *, matrix, rows, axis, step, begin, tiles) -> None:
    index = s.dims(*x.shape[:axis], tiles, *x.shape[axis + 1 :])
    factors = _rows("split_tiles", matrix, rows)
    taps = [
        s.guarded(x, *index[:axis], index[axis] * step + (tap - begin), *index[axis + 1 :])
        for tap in range(factors.shape[1])
    ]
    for row, line in enumerate(factors.tolist()):
        s.store(s.results[0].at(row, *index), _combination(line, taps))


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
    ),
)
def split_tiles(x, *, matrix: tuple[float, ...], rows: int, axis: int, step: int, begin: int, tiles: int):
    """y[r, .., t, ..] = sum of matrix[r, i] * x[.., step * t + i - begin, ..]; outside of x there are zeros."""
    factors = np.array(matrix).reshape(rows, -1)
    reach = step * (tiles - 1) + factors.shape[1]
    around = [(0, 0)] * x.ndim
    around[axis] = (begin, max(0, reach - begin - x.shape[axis]))
    moved = np.moveaxis(np.pad(x, around), axis, -1)
    windows = np.lib.stride_tricks.sliding_window_view(moved, factors.shape[1], -1)[
        ..., : reach - factors.shape[1] + 1 : step, :
    ]
    out = np.einsum("...ti,ri->r...t", windows.astype(np.float64), factors)
    return np.moveaxis(out, -1, axis + 1).astype(x.dtype)


def _join_type(x: TensorType, *, matrix, rows, axis, extent):
    factors = _rows("join_tiles", matrix, rows)
    _axis("join_tiles", axis, x.rank - 1)
    tiles = x.shape[axis + 1]
    if x.shape[0] != factors.shape[1]:
        raise TypeRuleError(f"join_tiles: x is {x}, expected {factors.shape[1]} along its first axis")
    if isinstance(tiles, int) and not rows * (tiles - 1) < extent <= rows * tiles:
        raise TypeRuleError(f"join_tiles: {tiles} tiles of {rows} do not make an axis of {extent}")
    return TensorType(x.dtype, (*x.shape[1 : axis + 1], extent, *x.shape[axis + 2 :]))


def _join_stages(s: Stages, x: Ref, *, matrix, rows, axis, extent) -> None:
    index = s.dims(*x.shape[1:])
    factors = _rows("join_tiles", matrix, rows)
    products = [x.at(number, *index) for number in range(factors.shape[1])]
    for row, line in enumerate(factors.tolist()):
        at = (*index[:axis], index[axis] * rows + row, *index[axis + 1 :])
        s.store(s.guarded(s.results[0], *at), _combination(line, products))


@op(
    "nn.join_tiles",
    infer=_join_type,
    stages=_join_stages,
    cost=_products,
    samples=(
        case("f32[3, 2, 4]", matrix=(1.0, 1.0, 0.0, 0.0, 1.0, -1.0), rows=2, axis=1, extent=8),
        case("f32[3, 4, 2]", matrix=(1.0, 1.0, 0.0, 0.0, 1.0, -1.0), rows=2, axis=0, extent=7),
    ),
)
def join_tiles(x, *, matrix: tuple[float, ...], rows: int, axis: int, extent: int):
    """y[.., rows * t + r, ..] = sum of matrix[r, i] * x[i, .., t, ..], as far as `extent` goes."""
    factors = np.array(matrix).reshape(rows, -1)
    out = np.einsum("i...,ri->...r", np.moveaxis(x, axis + 1, -1).astype(np.float64), factors)
    merged = out.reshape(*out.shape[:-2], -1)[..., :extent]
    return np.moveaxis(merged, -1, axis).astype(x.dtype)
