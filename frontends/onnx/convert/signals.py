"""Fourier transforms, the scatters of windows and caches, and the mel scale."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i64
from ...build import math, shape
from ...extents import positions
from ...known import ints, wanted
from ...normalise import axis_of
from ...signals import MOST, folded, static_extent, transform
from ..table import converter
from ..tensors import dtype_of
from .linear import ones


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
    step, extent = ints(frame_step, "frame_step")[0], static_extent(signal, 1)
    if frame_length is not None:
        length = ints(frame_length, "frame_length")[0]
    elif window is not None:
        length = static_extent(window, 0)
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
    image, block = ints(image_shape, "image_shape"), ints(block_shape, "block_shape")
    strides, dilations = ones(strides, len(image)), ones(dilations, len(image))
    return folded(x, image, block, strides, dilations, tuple(pads) if pads else (0,) * (2 * len(image)))


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
        place = math.mod(place, static_extent(cache, axis))
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
