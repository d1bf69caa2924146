"""Resizing of images [N, H, W, C], on floats and on quantised operands."""

from functools import reduce as fold

import numpy as np

from ....compiler.diagnostics import ModelError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import f32, i32
from ...build import math, nn, shape
from ...known import ints
from ..fixed import check_same_scale, divided
from ..table import converter, quantised
from .extents import places, static_extent


def coordinates_of(align_corners: bool, half_pixel_centers: bool) -> str:
    """Where the places of the result lie in the operand, as `nn.resize` calls it."""
    if align_corners:
        return "align_corners"
    return "half_pixel" if half_pixel_centers else "asymmetric"


def _sizes(size: Value) -> tuple[int, int]:
    """Height and width of the result."""
    height, width = ints(size, "size")
    if min(height, width) < 1:
        raise ModelError(f"its size is {height} x {width}, expected 1 or more")
    return height, width


@converter("RESIZE_BILINEAR", newest=4)
def resize_bilinear(x, size, *, align_corners=False, half_pixel_centers=False):
    height, width = _sizes(size)
    return nn.resize(
        x,
        shape=(x.shape[0], height, width, x.shape[3]),
        mode="linear",
        coordinates=coordinates_of(align_corners, half_pixel_centers),
    )


@converter("RESIZE_NEAREST_NEIGHBOR", newest=4, moves=True)
def resize_nearest(x, size, *, align_corners=False, half_pixel_centers=False):
    """Each axis is a lookup: the kernels round in f32, which decides ties."""
    for axis, extent in enumerate(_sizes(size), 1):
        x = shape.gather(x, constant(_nearest(x, axis, extent, align_corners, half_pixel_centers)), axis=axis)
    return x


def _nearest(x: Value, axis: int, extent: int, align_corners: bool, half_pixel: bool) -> np.ndarray:
    have = static_extent(x, axis)
    scale = np.float32(have) / np.float32(extent)
    if align_corners and extent > 1:
        scale = np.float32(have - 1) / np.float32(extent - 1)
    at = (places(extent).astype(np.float32) + np.float32(0.5 if half_pixel else 0)) * scale
    # the kernel's rounding is half away from zero, and places are not negative
    at = np.floor(at + np.float32(0.5)) if align_corners else np.floor(at)
    return np.clip(at, 0, have - 1).astype(np.int32)


@quantised("RESIZE_BILINEAR", newest=4)
def resize_bilinear_integer(x, size, *, align_corners=False, half_pixel_centers=False, call):
    """The kernel for i8 mixes by shares of 1024 and rounds once; the one for u8 mixes and rounds in f32."""
    check_same_scale(call.node.origin)
    signed = x.dtype.kind == "int"
    axes = []
    for axis, extent in enumerate(_sizes(size), 1):
        first, second, share = (_shares if signed else _float_shares)(
            static_extent(x, axis), extent, align_corners, half_pixel_centers
        )
        along = tuple(extent if n == axis else 1 for n in range(4))
        weights = (1024 - share if signed else 1 - share, share)
        axes.append([(constant(at), constant(w.reshape(along))) for at, w in zip((first, second), weights)])
    wide = math.cast(x, dtype=i32 if signed else f32)
    corners = []
    # columns outside, rows inside: in f32 the order of the sum decides ties
    for column, across in axes[1]:
        for row, down in axes[0]:
            corner = shape.gather(shape.gather(wide, row, axis=1), column, axis=2)
            corners.append(math.mul(math.mul(corner, down), across))
    total = fold(math.add, corners)
    rounded = divided(total, 1 << 20) if signed else math.floor(math.add(total, 0.5))
    return math.cast(rounded, dtype=x.dtype)


def _shares(have: int, extent: int, align_corners: bool, half_pixel: bool) -> tuple[np.ndarray, ...]:
    """Two neighbours and the share of the second, in 1024ths, for each place of the result."""
    span, steps = (have - 1, extent - 1) if align_corners and extent > 1 else (have, extent)
    scale = (1024 * span + steps // 2) // steps
    at = places(extent) * scale
    if half_pixel:
        at = at + scale // 2 - 512
    # integer division that truncates: before the first pixel lies only -1023 to -1, which becomes 0
    first = np.maximum(np.trunc(at / 1024), 0).astype(np.int32)
    second = np.minimum(np.trunc((at + 1023) / 1024), have - 1).astype(np.int32)
    return first, second, (at - 1024 * first).astype(np.int32)


def _float_shares(have: int, extent: int, align_corners: bool, half_pixel: bool) -> tuple[np.ndarray, ...]:
    """The same in single precision."""
    span, steps = (have - 1, extent - 1) if align_corners and extent > 1 else (have, extent)
    scale, half = np.float32(span) / np.float32(steps), np.float32(0.5 if half_pixel else 0)
    at = (places(extent).astype(np.float32) + half) * scale - half
    first = np.maximum(np.floor(at), 0).astype(np.int32)
    return first, np.minimum(np.ceil(at), have - 1).astype(np.int32), at - first.astype(np.float32)
