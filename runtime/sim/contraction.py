"""Sums of products of two streams of bytes, where they are products of matrices: exact by numpy's BLAS in f32."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from .products import EXACT_DEPTH

Contract = Callable[[np.ndarray, np.ndarray], np.ndarray]


def contraction(
    counts: Sequence[int], left: Sequence[int], right: Sequence[int], reduced: Sequence[int]
) -> Contract | None:
    """What gives of two i8 arrays the sums of their products along the `reduced` dims, which keep extent 1, as i32.

    `counts` are the extents of all dims, `left` and `right` those of the arrays, 1 for a dim along which one does not
    move. None where there are no rows or no columns, a sum is along a dim that moves one of the two alone, or f32 does
    not hold the sums exactly.
    """
    dims: dict[tuple[bool, bool, bool], list[int]] = {}
    for axis, count in enumerate(counts):
        kind = (left[axis] > 1, right[axis] > 1, axis in reduced)
        dims.setdefault(kind if count > 1 else _STILL, []).append(axis)
    batch, rows, columns, depth, still = (dims.pop(kind, []) for kind in _KINDS)
    terms = prod(counts[axis] for axis in depth)
    if dims or not rows or not columns or terms > EXACT_DEPTH:
        return None
    many, height, width = (prod(counts[axis] for axis in axes) for axes in (batch, rows, columns))
    order = (*batch, *rows, *columns, *depth, *still)
    extents = [1 if axis in depth else counts[axis] for axis in order]
    back = np.argsort(order)

    def run(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        a = x.transpose(*batch, *rows, *depth, *columns, *still).astype(np.float32, order="C")
        b = y.transpose(*batch, *depth, *columns, *rows, *still).astype(np.float32, order="C")
        sums = np.matmul(a.reshape(many, height, terms), b.reshape(many, terms, width))
        return sums.astype(np.int32).reshape(extents).transpose(back)

    return run


_STILL = (False, False, False)
_KINDS = ((True, True, False), (True, False, False), (False, True, False), (True, True, True), _STILL)
"""Whether the left and the right one move along a dim, and whether it is summed: batch, rows, columns, sum, neither."""
