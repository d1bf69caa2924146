"""Fourier transforms as products with constant matrices, and windows folded back into images: what frameworks share."""

from collections.abc import Sequence

import numpy as np

from ..compiler.diagnostics import ModelError, UnsupportedError
from ..compiler.ir.dims import product
from ..compiler.ir.graph import Value, constant
from .build import nn, shape
from .normalise import axis_of

MOST = 2**24
"""Elements of a transform's matrix: a product beyond that is the wrong way to compute it."""


def static_extent(x: Value, axis: int) -> int:
    extent = x.shape[axis]
    if not isinstance(extent, int):
        raise UnsupportedError(f"its extent '{extent}' must be known", hint="fix the dimension with shapes=")
    return extent


def _matrix(length: int, parts: int, inverse: bool, onesided: bool) -> np.ndarray:
    """[frequencies or samples in, parts in, out, parts out]: one transform of numbers with 1 or 2 parts."""
    half = length // 2 + 1
    rows = half if inverse and onesided else length
    columns = half if onesided and not inverse else length
    angle = 2 * np.pi * (np.outer(np.arange(rows), np.arange(columns)) % length) / length
    cos, sin = np.cos(angle), np.sin(angle) * (1 if inverse else -1)
    # (re + i im) (cos + i sin)
    full = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], 1)
    if inverse:
        full /= length
        if onesided:  # what is left out mirrors what is there: all but the ends count twice
            full[1 : rows - (length % 2 == 0)] *= 2
            full = full[..., :1]
    return full[:, :parts]


def transform(x: Value, axis: int, length: int | None, inverse: bool, onesided: bool) -> Value:
    """The Fourier transform of x [..., 1 or 2] along an axis; real and imaginary parts are the last axis."""
    rank, parts = x.type.rank, x.shape[-1]
    if parts not in (1, 2) or rank < 2:
        raise ModelError(f"its input is {x.type}, expected a last axis of 1 (real) or 2 (complex)")
    axis = axis_of(axis, rank)
    if axis == rank - 1:
        raise ModelError("its axis is the one of real and imaginary parts")
    given = static_extent(x, axis)
    if length is None:
        length = 2 * (given - 1) if inverse and onesided else given
    if length < 1:
        raise ModelError(f"its length is {length}, expected 1 or more")
    if (length // 2 + 1 if onesided else length) * length * 4 > MOST:
        raise UnsupportedError(f"a length of {length} is not supported", hint="split the transform")
    matrix = _matrix(length, parts, inverse, onesided)
    rows, _, columns, out = matrix.shape
    missing = rows - given
    if missing:
        pads = [0] * (2 * rank)
        pads[rank + axis] = missing
        x = shape.pad(x, pads=tuple(pads))
    order = (*(n for n in range(rank) if n not in (axis, rank - 1)), axis, rank - 1)
    moved = shape.transpose(x, perm=order)
    rest = moved.shape[:-2]
    flat = shape.reshape(moved, shape=(product(rest), rows * parts))
    weights = constant(matrix.reshape(rows * parts, columns * out), x.dtype)
    result = shape.reshape(nn.matmul(flat, weights), shape=(*rest, columns, out))
    return shape.transpose(result, perm=tuple(order.index(n) for n in range(rank)))


def folded(
    x: Value,
    image: Sequence[int],
    block: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> Value:
    """[N, C * window, windows] as images [N, C, ...]: every element is added to the place that it came from.

    `pads` are begins, then ends.
    """
    spatial = len(image)
    padded = [image[n] + pads[n] + pads[n + spatial] for n in range(spatial)]
    blocks = [(padded[n] - dilations[n] * (block[n] - 1) - 1) // strides[n] + 1 for n in range(spatial)]
    inside, count = int(np.prod(block)), int(np.prod(blocks))
    if x.type.rank != 3 or x.shape[1] % inside or x.shape[2] != count:
        raise ModelError(f"its input is {x.type}, expected [N, C * {inside}, {count}]")
    place = np.zeros((1, 1), np.int64)
    for n in range(spatial):
        line = np.arange(block[n])[:, None] * dilations[n] + np.arange(blocks[n]) * strides[n]
        place = (place[:, None, :, None] * padded[n] + line[None, :, None, :]).reshape(
            place.shape[0] * block[n], place.shape[1] * blocks[n]
        )
    batch, channels = x.shape[0], x.shape[1] // inside
    values = shape.reshape(x, shape=(batch, channels, inside * count))
    indices = shape.expand(constant(place.reshape(1, 1, -1)), shape=values.shape)
    zeros = shape.expand(constant(0, x.dtype), shape=(batch, channels, int(np.prod(padded))))
    summed = shape.scatter_elements(zeros, indices, values, axis=2, reduction="add")
    whole = shape.reshape(summed, shape=(batch, channels, *padded))
    return shape.pad(whole, pads=(0, 0, *(-p for p in pads[:spatial]), 0, 0, *(-p for p in pads[spatial:])))
