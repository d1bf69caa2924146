"""Fourier transforms as matrix products with constant matrices, and the scatters of windows and caches."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i64
from ...build import math, nn, shape
from ...extents import positions
from ...known import ints, wanted
from ...normalise import axis_of
from ..table import converter
from ..tensors import dtype_of
from .linear import ones

MOST = 2**24
"""Elements of a transform's matrix: a product beyond that is the wrong way to compute it."""


def _static(x: Value, axis: int) -> int:
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
    given = _static(x, axis)
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


@converter("DFT", since=20)
def dft(x, dft_length=None, axis=None, *, inverse=0, onesided=0):
    length = None if dft_length is None else ints(dft_length, "dft_length")[0]
    return transform(x, -2 if axis is None else ints(axis, "axis")[0], length, bool(inverse), bool(onesided))


@converter("DFT", since=17)
def dft_17(x, dft_length=None, *, axis=1, inverse=0, onesided=0):
    length = None if dft_length is None else ints(dft_length, "dft_length")[0]
    return transform(x, axis, length, bool(inverse), bool(onesided))


@converter("STFT", since=17)
def stft(signal, frame_step, window=None, frame_length=None, *, onesided=1):
    """Frames are gathered, windowed and transformed: [batch, frames, frequencies, 2]."""
    if signal.type.rank == 2:
        signal = shape.reshape(signal, shape=(*signal.shape, 1))
    step, extent = ints(frame_step, "frame_step")[0], _static(signal, 1)
    if frame_length is not None:
        length = ints(frame_length, "frame_length")[0]
    elif window is not None:
        length = _static(window, 0)
    else:
        raise ModelError("it needs 'window' or 'frame_length'")
    if step < 1 or not 1 <= length <= extent:
        raise ModelError(f"frames of {length} every {step} do not fit a signal of {extent}")
    starts = np.arange(0, extent - length + 1, step)
    frames = shape.gather(signal, constant(starts[:, None] + np.arange(length)), axis=1)
    if window is not None:
        frames = math.mul(frames, shape.reshape(window, shape=(1, 1, length, 1)))
    return transform(frames, 2, None, False, bool(onesided) and signal.shape[-1] == 1)


@converter("Col2Im", since=18)
def col2im(x, image_shape, block_shape, *, dilations=None, pads=None, strides=None):
    """Every element of every block is added to the place of the image that it came from."""
    image, block = ints(image_shape, "image_shape"), ints(block_shape, "block_shape")
    spatial = len(image)
    strides, dilations = ones(strides, spatial), ones(dilations, spatial)
    pads = tuple(pads) if pads else (0,) * (2 * spatial)
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


@converter("TensorScatter", since=24)
def tensor_scatter(cache, update, write_indices=None, *, axis=-2, mode="linear"):
    """Rows of `update` go into the cache from a place on that each batch element has of its own."""
    rank = cache.type.rank
    axis = axis_of(axis, rank)
    place = positions(update, axis)
    if write_indices is not None:
        first = shape.reshape(write_indices, shape=(write_indices.shape[0], *(1,) * (rank - 1)))
        place = math.add(place, math.cast(first, dtype=i64) if first.dtype != i64 else first)
    if mode == "circular":
        place = math.mod(place, _static(cache, axis))
    indices = shape.expand(place, shape=update.shape)
    return shape.scatter_elements(cache, indices, update, axis=axis, reduction="none")


@converter("MelWeightMatrix", since=17)
def mel_weights(bins, dft_length, sample_rate, lower, upper, *, output_datatype=1):
    """Triangles whose corners lie at equal distances on the mel scale 2595 log10(1 + f / 700): [frequencies, bins]."""
    count, length = ints(bins, "num_mel_bins")[0], ints(dft_length, "dft_length")[0]
    rate = ints(sample_rate, "sample_rate")[0]
    low, high = (_number(edge, name) for edge, name in ((lower, "lower"), (upper, "upper")))
    if min(count, length, rate) < 1 or (length // 2 + 1) * count > MOST:
        raise UnsupportedError(f"{count} bins of {length} elements at {rate} are not supported")
    edges = 2595 * np.log10(1 + np.array([low, high]) / 700)
    mels = edges[0] + np.arange(count + 2) * ((edges[1] - edges[0]) / (count + 2))
    corners = np.floor_divide((length + 1) * 700 * (10 ** (mels / 2595) - 1), rate).astype(np.int64)
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    at = np.arange(length // 2 + 1)[:, None]
    rising = np.where(peak == left, at == peak, (at - left) / np.maximum(peak - left, 1))
    falling = (right - at) / np.maximum(right - peak, 1)
    weights = np.where((left <= at) & (at <= peak), rising, 0)
    weights = np.where(
        (peak <= at) & (at < right) & (right > peak), np.where(at == peak, 1, falling), weights
    )
    return constant(weights, dtype_of(output_datatype, "its attribute 'output_datatype'"))


def _number(value: Value, name: str) -> float:
    array = wanted(value)
    if array is None or array.size != 1:
        raise UnsupportedError(
            f"its operand '{name}' must be a number known when the model is compiled",
            hint="make it a constant",
        )
    return float(array.reshape(-1)[0])
