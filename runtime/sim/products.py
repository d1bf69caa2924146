"""Values of arrays of multipliers: a product of strided views as one product of numpy's BLAS.

i8 products run as f32: a sum of 1,024 products of two i8 is at most 2^24, which f32 holds exactly; longer sums are cut.
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np

from .access import Access
from .memories import Memories, Prepared
from .numbers import DTYPES, widened

EXACT_DEPTH = 1024
"""Products of i8 whose sum f32 holds exactly."""


class View(NamedTuple):
    """Elements in a scratchpad: its name, byte address, extents, and strides in bytes."""

    memory: str
    base: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def access(self, bytes: int, write: bool = False) -> Access:
        """What it touches; elements have so many bytes."""
        return Access(self.memory, write, self.base, bytes, tuple(zip(self.shape, self.strides)))

    def at(self, base: int, memories: Memories, dtype: np.dtype) -> np.ndarray:
        """The elements if it began there, not copied."""
        return np.ndarray(self.shape, dtype, memories.near[self.memory], base, self.strides)


Multiply = Callable[[int, int, int, Memories], None]
"""A product of views that begin at given addresses: what products have in common that differ in those alone."""


def prepare(
    type: str, rows: int, a: View, w: View, c: View, accumulate: bool, exact: bool = False
) -> Prepared:
    """The effect of a product; see `multiply`."""
    return partial(multiply(type, rows, a, w, c, accumulate, exact), a.base, w.base, c.base)


def multiply(
    type: str, rows: int, a: View, w: View, c: View, accumulate: bool, exact: bool = False
) -> Multiply:
    """c = or += a @ w. The first `rows` dims of `a` are rows, the others the sum; `w` is [the sum, column tiles, cols],
    of which the columns beyond c's are left out; `c` is [rows, n] of i32 or f32.

    `type` is i8 or bf16. `exact`: bf16 sums in the order of the sum, one rounding an addition, slowly.
    """
    height, sums, n = c.shape[0], prod(a.shape[rows:]), c.shape[1]
    columns = prod(w.shape[-2:])
    element = DTYPES[type] if type != "i8" else np.dtype(np.int8)
    result = DTYPES["i32" if type == "i8" else "f32"]
    product = _integer if type == "i8" else np.matmul
    ordered = exact and type != "i8"

    def run(at_a: int, at_w: int, at_c: int, memories: Memories) -> None:
        left, right = a.at(at_a, memories, element), w.at(at_w, memories, element)
        x = _real(left, type).reshape(height, sums)
        y = _real(right, type).reshape(sums, columns)[:, :n]
        target = c.at(at_c, memories, result)
        if ordered:
            _ordered(x, y, target, accumulate)
        elif accumulate:
            target += product(x, y)
        else:
            target[...] = product(x, y)

    return run


def _real(elements: np.ndarray, type: str) -> np.ndarray:
    """As f32, one after another."""
    if type == "i8":
        return elements.astype(np.float32, order="C")
    return widened(np.ascontiguousarray(elements), type)


def _integer(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The product of whole numbers of i8's range in f32, exact, as i32 that wraps."""
    if x.shape[1] <= EXACT_DEPTH:
        return np.matmul(x, y).astype(np.int32)
    total = np.zeros((x.shape[0], y.shape[1]), np.int32)
    for begin in range(0, x.shape[1], EXACT_DEPTH):
        end = begin + EXACT_DEPTH
        total += np.matmul(x[:, begin:end], y[begin:end]).astype(np.int32)
    return total


def _ordered(x: np.ndarray, y: np.ndarray, target: np.ndarray, accumulate: bool) -> None:
    """target = or += x @ y in f32, products added one after another in the order of the sum."""
    if not accumulate:
        target[...] = 0
    for step in range(x.shape[1]):
        target += x[:, step, None] * y[step]
