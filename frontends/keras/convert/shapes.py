"""Layers that move, add and remove elements."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import constant
from ...build import math, nn, reduce, shape
from ...normalise import reshape_target
from ...tensorflow.convert.images import resize_bicubic
from ..table import layer
from .activations import number
from .dense import back, first, last_of


@layer("Flatten")
def flatten(x, *, data_format=None):
    if not last_of(data_format) and x.type.rank > 2:
        x = shape.transpose(x, perm=(0, *range(2, x.type.rank), 1))
    return shape.reshape(x, shape=(x.shape[0], product(x.shape[1:])))


@layer("Reshape")
def reshape(x, *, target_shape):
    return shape.reshape(x, shape=(x.shape[0], *reshape_target(x.shape[1:], target_shape, zero_copies=False)))


@layer("Permute")
def permute(x, *, dims):
    return shape.transpose(x, perm=(0, *dims))


@layer("RepeatVector")
def repeat_vector(x, *, n):
    row = shape.reshape(x, shape=(x.shape[0], 1, x.shape[1]))
    return shape.expand(row, shape=(x.shape[0], n, x.shape[1]))


def _pairs(value, spatial: int) -> list[tuple[int, int]]:
    """Amounts before and after each spatial axis: one number, a pair for each, or one number for each."""
    if isinstance(value, int):
        return [(value, value)] * spatial
    if spatial == 1 and all(isinstance(item, int) for item in value):
        return [(value[0], value[1])] if len(value) == 2 else [(value[0], value[0])]
    return [(item, item) if isinstance(item, int) else (item[0], item[1]) for item in value]


@layer("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def zero_padding(x, *, padding=(1, 1), data_format=None):
    pairs = _pairs(padding, x.type.rank - 2)
    pairs = [(0, 0), *pairs, (0, 0)] if last_of(data_format) else [(0, 0), (0, 0), *pairs]
    return shape.pad(x, pads=(*(begin for begin, _ in pairs), *(end for _, end in pairs)))


@layer("Cropping1D", "Cropping2D", "Cropping3D")
def cropping(x, *, cropping=(1, 1), data_format=None):
    pairs = _pairs(cropping, x.type.rank - 2)
    pairs = [(0, 0), *pairs, (0, 0)] if last_of(data_format) else [(0, 0), (0, 0), *pairs]
    sizes = tuple(extent - begin - end for extent, (begin, end) in zip(x.shape, pairs, strict=True))
    return shape.slice(x, starts=tuple(begin for begin, _ in pairs), sizes=sizes, steps=(1,) * x.type.rank)


@layer("UpSampling1D", "UpSampling2D", "UpSampling3D")
def up_sampling(x, *, size=(2, 2), data_format=None, interpolation="nearest"):
    spatial = x.type.rank - 2
    factors = (size,) * spatial if isinstance(size, int) else tuple(size)
    if interpolation == "bicubic" and last_of(data_format):
        extents = constant(np.array([x.shape[1] * factors[0], x.shape[2] * factors[1]], np.int32))
        return resize_bicubic(x, extents, half_pixel_centers=True)
    if interpolation not in ("nearest", "bilinear"):
        raise UnsupportedError(f"interpolation '{interpolation}'", hint="use nearest, bilinear or bicubic")
    x = first(x, data_format)
    sizes = (*x.shape[:2], *(extent * factor for extent, factor in zip(x.shape[2:], factors, strict=True)))
    mode = "nearest" if interpolation == "nearest" else "linear"
    out = nn.resize(x, shape=sizes, mode=mode, coordinates="half_pixel", nearest="round_prefer_ceil")
    return back(out, data_format)


@layer("Masking")
def masking(x, *, mask_value=0.0):
    """Steps that hold nothing but this value become 0; which ones, operations beside the layer say."""
    kept = math.cast(math.ne(x, number(mask_value, x)), dtype=x.dtype)
    return math.mul(x, reduce.max(kept, axes=(x.type.rank - 1,), keepdims=True))
