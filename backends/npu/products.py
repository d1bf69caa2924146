"""The matrix engine's values: `mxu` as one product of numpy's BLAS.

i8 products run as f32: a sum of 1,024 products of two i8 is at most 2^24, which f32 holds exactly; longer sums are cut.
"""

from collections.abc import Mapping

import numpy as np

from .isa import LANE_BYTES, PRODUCT_BYTES, PRODUCTS
from .memories import Memories, Prepared
from .numbers import DTYPES, widened

_EXACT_DEPTH = 1024


def prepare(field: Mapping[str, int], rows: int, cols: int, exact: bool) -> Prepared:
    """The effect of one `mxu` on an array of rows x cols. `exact`: bf16 sums in the stated order, slowly."""
    dtype = PRODUCTS[field["type"]]
    size = PRODUCT_BYTES[field["type"]]
    m1, m0, k2, k1, k0, n = (field[name] for name in ("m1", "m0", "k2", "k1", "k0", "n"))
    depth, tiles = -(-k0 // rows) * rows, -(-n // cols)
    line = size * cols
    a_shape = (m1, m0, k2, k1, k0)
    a_strides = (field["am1"], field["am0"], field["ak2"], field["ak1"], size)
    w_shape = (k2, k1, k0, tiles, cols)
    w_strides = (k1 * depth * line, depth * line, line, k2 * k1 * depth * line, size)
    height, sums = m1 * m0, k2 * k1 * k0
    element = DTYPES[dtype] if dtype != "i8" else np.dtype(np.int8)
    result = DTYPES["i32" if dtype == "i8" else "f32"]
    pitch = LANE_BYTES * (field["pitch"] or n)
    a, w, c, accumulate = field["a"], field["w"], LANE_BYTES * field["c"], bool(field["accumulate"])
    multiply = _integer if dtype == "i8" else np.matmul
    ordered = exact and dtype != "i8"

    def run(memories: Memories) -> None:
        left = np.ndarray(a_shape, element, memories.spa, a, a_strides)
        right = np.ndarray(w_shape, element, memories.spw, w, w_strides)
        if dtype == "i8":
            x = left.astype(np.float32, order="C").reshape(height, sums)
            y = right.astype(np.float32, order="C").reshape(sums, tiles * cols)[:, :n]
        else:
            x = widened(np.ascontiguousarray(left), dtype).reshape(height, sums)
            y = widened(np.ascontiguousarray(right), dtype).reshape(sums, tiles * cols)[:, :n]
        target = np.ndarray((height, n), result, memories.acc, c, (pitch, LANE_BYTES))
        if ordered:
            _ordered(x, y, target, accumulate)
        elif accumulate:
            target += multiply(x, y)
        else:
            target[...] = multiply(x, y)

    return run


def _integer(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The product of whole numbers of i8's range in f32, exact, as i32 that wraps."""
    if x.shape[1] <= _EXACT_DEPTH:
        return np.matmul(x, y).astype(np.int32)
    total = np.zeros((x.shape[0], y.shape[1]), np.int32)
    for begin in range(0, x.shape[1], _EXACT_DEPTH):
        end = begin + _EXACT_DEPTH
        total += np.matmul(x[:, begin:end], y[begin:end]).astype(np.int32)
    return total


def _ordered(x: np.ndarray, y: np.ndarray, target: np.ndarray, accumulate: bool) -> None:
    """target = or += x @ y in f32, products added one after another in the order of the sum."""
    if not accumulate:
        target[...] = 0
    for step in range(x.shape[1]):
        target += x[:, step, None] * y[step]
