"""Resizing of images and moves between space and depth; batches of images have channels last."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import floordiv
from ....compiler.ir.graph import Value, constant
from ...build import nn, shape
from ...known import dims, ints
from ..table import converter
from .linear import is_last


def _resized(x: Value, size: Value, align: bool, half: bool, **form) -> Value:
    extents = dims(size) or ints(size, "size")
    if len(extents) != 2 or x.type.rank != 4:
        raise ModelError(f"it resizes {x.type} to {len(extents)} extents, expected images [N, H, W, C] and 2")
    coordinates = "align_corners" if align else "half_pixel" if half else "asymmetric"
    return nn.resize(x, shape=(x.shape[0], *extents, x.shape[3]), coordinates=coordinates, **form)


@converter("ResizeBilinear")
def resize_bilinear(x, size, *, align_corners=False, half_pixel_centers=False):
    return _resized(x, size, align_corners, half_pixel_centers, mode="linear")


@converter("ResizeNearestNeighbor")
def resize_nearest(x, size, *, align_corners=False, half_pixel_centers=False):
    """floor((i + 0.5) * scale), round(i * scale) with corners aligned, else floor(i * scale)."""
    nearest = "round_prefer_ceil" if align_corners or half_pixel_centers else "floor"
    return _resized(x, size, align_corners, half_pixel_centers, mode="nearest", nearest=nearest)


_TABLE = 1024
"""Steps between two pixels for which TensorFlow tabulates the cubic kernel."""


@converter("ResizeBicubic")
def resize_bicubic(x, size, *, align_corners=False, half_pixel_centers=False):
    """Keys' kernel with a = -0.5 without what lies outside; older graphs take a = -0.75 and repeat the edge."""
    extents = ints(size, "size")
    for axis, out in zip((1, 2), extents, strict=True):
        extent = x.shape[axis]
        if not isinstance(extent, int):
            raise UnsupportedError(f"resizing the extent '{extent}'", hint="fix it with shapes=")
        scale = (extent - 1) / (out - 1) if align_corners and out > 1 else extent / out
        indices, weights = _cubic(extent, out, scale, half_pixel_centers)
        x = nn.resample(x, constant(indices), constant(weights), axis=axis)
    return x


def _cubic(extent: int, out: int, scale: float, half: bool) -> tuple[np.ndarray, np.ndarray]:
    """Which four pixels make each result, and their weights: [out, 4]. The kernel is rounded to the table's steps."""
    place = np.arange(out, dtype=np.float32)
    place = (
        (place + np.float32(0.5)) * np.float32(scale) - np.float32(0.5) if half else place * np.float32(scale)
    )
    first = np.floor(place)
    offset = np.rint((place - first) * _TABLE)
    near, far = offset / _TABLE, 1 - offset / _TABLE
    a = -0.5 if half else -0.75
    inner = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (near, far)]
    outer = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (near + 1, far + 1)]
    weights = np.stack([outer[0], inner[0], inner[1], outer[1]], axis=1)
    wanted = first[:, None].astype(np.int64) + np.arange(-1, 3)
    indices = np.clip(wanted, 0, extent - 1)
    if half:
        weights = np.where(wanted == indices, weights, 0)
        weights = weights / weights.sum(axis=1, keepdims=True)
    return indices, weights.astype(np.float32)


@converter("DepthToSpace")
def depth_to_space(x, *, block_size, data_format="NHWC"):
    _last_only(data_format)
    (n, h, w, c), b = x.shape, block_size
    cells = shape.reshape(x, shape=(n, h, w, b, b, c // (b * b)))
    cells = shape.transpose(cells, perm=(0, 1, 3, 2, 4, 5))
    return shape.reshape(cells, shape=(n, h * b, w * b, c // (b * b)))


@converter("SpaceToDepth")
def space_to_depth(x, *, block_size, data_format="NHWC"):
    _last_only(data_format)
    (n, h, w, c), b = x.shape, block_size
    cells = shape.reshape(x, shape=(n, h // b, b, w // b, b, c))
    cells = shape.transpose(cells, perm=(0, 1, 3, 2, 4, 5))
    return shape.reshape(cells, shape=(n, h // b, w // b, c * b * b))


def _last_only(data_format: str) -> None:
    if not is_last(data_format):
        raise UnsupportedError(f"data_format '{data_format}' is not supported", hint="use NHWC")


@converter("SpaceToBatchND")
def space_to_batch(x, block_shape, paddings):
    blocks = ints(block_shape, "block_shape")
    margins = ints(shape.reshape(paddings, shape=(2 * len(blocks),)), "paddings")
    tail = (0,) * (x.type.rank - 1 - len(blocks))
    x = shape.pad(x, pads=(0, *margins[0::2], *tail, 0, *margins[1::2], *tail))
    split = [x.shape[0]]
    for extent, block in zip(x.shape[1:], blocks, strict=False):
        split += [floordiv(extent, block), block]
    rest = x.shape[1 + len(blocks) :]
    cells = shape.reshape(x, shape=(*split, *rest))
    count = len(blocks)
    inner, outer = [2 * n + 2 for n in range(count)], [2 * n + 1 for n in range(count)]
    after = range(1 + 2 * count, cells.type.rank)
    cells = shape.transpose(cells, perm=(*inner, 0, *outer, *after))
    batch = x.shape[0]
    for block in blocks:
        batch = batch * block
    return shape.reshape(cells, shape=(batch, *(split[1::2]), *rest))


@converter("BatchToSpaceND")
def batch_to_space(x, block_shape, crops):
    blocks = ints(block_shape, "block_shape")
    count, factor = len(blocks), 1
    cuts = ints(shape.reshape(crops, shape=(2 * count,)), "crops")
    for block in blocks:
        factor *= block
    batch, extents, rest = floordiv(x.shape[0], factor), x.shape[1 : 1 + count], x.shape[1 + count :]
    cells = shape.reshape(x, shape=(*blocks, batch, *extents, *rest))
    pairs = [axis for n in range(count) for axis in (count + 1 + n, n)]
    cells = shape.transpose(cells, perm=(count, *pairs, *range(2 * count + 1, cells.type.rank)))
    whole = tuple(extent * block for extent, block in zip(extents, blocks, strict=True))
    out = shape.reshape(cells, shape=(batch, *whole, *rest))
    starts = (0, *cuts[0::2], *(0 for _ in rest))
    kept = (extent - begin - end for extent, begin, end in zip(whole, cuts[0::2], cuts[1::2], strict=True))
    return shape.slice(out, starts=starts, sizes=(batch, *kept, *rest), steps=(1,) * out.type.rank)
