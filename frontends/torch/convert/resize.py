"""Interpolation and sampling at given places."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ...build import math, nn, shape
from ...signals import static_extent
from ..schema import Any, Dims
from ..table import converter


def _resized(x: Value, output_size: Dims | None, scales, mode: str, align: bool, **form) -> Value:
    """x with its last axes resized. Coordinates follow given scales, else the sizes (torch, recompute_scale_factor)."""
    spatial = x.type.rank - 2
    if output_size is None:
        sizes: tuple[Dim, ...] = tuple(_times(d, s) for d, s in zip(x.shape[2:], scales, strict=True))
    else:
        sizes = tuple(output_size)
    used = (1.0, 1.0, *(float(s) for s in scales)) if scales and None not in scales and not align else ()
    coordinates = "align_corners" if align else form.pop("coordinates", "half_pixel")
    if len(sizes) != spatial:
        raise UnsupportedError(f"{len(sizes)} sizes for {x.type} are not supported", hint="give one an axis")
    return nn.resize(x, shape=(*x.shape[:2], *sizes), scales=used, mode=mode, coordinates=coordinates, **form)


def _times(extent: Dim, scale: float) -> Dim:
    if isinstance(extent, int):
        return int(extent * scale)
    if scale != int(scale):
        raise UnsupportedError(
            f"'{extent}' times {scale} is not known", hint="fix the dimension with shapes="
        )
    return extent * int(scale)


@converter("upsample_nearest1d.vec", "upsample_nearest2d.vec", "upsample_nearest3d.vec")
def nearest(input, output_size: Dims | None = None, scale_factors: Any = None):
    return _resized(
        input, output_size, scale_factors, "nearest", False, coordinates="asymmetric", nearest="floor"
    )


@converter("_upsample_nearest_exact1d.vec", "_upsample_nearest_exact2d.vec")
def nearest_exact(input, output_size: Dims | None = None, scale_factors: Any = None):
    """The pixel whose centre is nearest, the later one at the middle."""
    return _resized(input, output_size, scale_factors, "nearest", False, nearest="round_prefer_ceil")


@converter("upsample_linear1d.vec", "upsample_bilinear2d.vec", "upsample_trilinear3d.vec")
def linear(input, output_size: Dims | None, align_corners: bool, scale_factors: Any = None):
    return _resized(input, output_size, scale_factors, "linear", align_corners)


@converter("upsample_bicubic2d.vec")
def cubic(input, output_size: Dims | None, align_corners: bool, scale_factors: Any = None):
    return _resized(input, output_size, scale_factors, "cubic", align_corners)


@converter("_upsample_bilinear2d_aa.vec")
def linear_antialias(input, output_size: Dims | None, align_corners: bool, scale_factors: Any = None):
    return _resized(
        input, output_size, scale_factors, "linear", align_corners, antialias=True, exclude_outside=True
    )


@converter("_upsample_bicubic2d_aa.vec")
def cubic_antialias(input, output_size: Dims | None, align_corners: bool, scale_factors: Any = None):
    return _resized(
        input,
        output_size,
        scale_factors,
        "cubic",
        align_corners,
        antialias=True,
        exclude_outside=True,
        cubic_a=-0.5,
    )


def _scales(*scales: float | None):
    return scales if None not in scales else None


@converter("upsample_nearest1d")
def nearest1d(self, output_size: Dims, scales: float | None = None):
    return nearest(self, output_size, _scales(scales))


@converter("upsample_nearest2d")
def nearest2d(self, output_size: Dims, scales_h: float | None = None, scales_w: float | None = None):
    return nearest(self, output_size, _scales(scales_h, scales_w))


@converter("upsample_bilinear2d")
def bilinear2d(
    self, output_size: Dims, align_corners: bool, scales_h: float | None = None, scales_w: float | None = None
):
    return linear(self, output_size, align_corners, _scales(scales_h, scales_w))


@converter("upsample_bicubic2d")
def bicubic2d(
    self, output_size: Dims, align_corners: bool, scales_h: float | None = None, scales_w: float | None = None
):
    return cubic(self, output_size, align_corners, _scales(scales_h, scales_w))


@converter("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(input, grid, interpolation_mode: int, padding_mode: int, align_corners: bool):
    mode = ("linear", "nearest", "cubic")[interpolation_mode]
    padding = ("zeros", "border", "reflection")[padding_mode]
    if (mode, padding) == ("cubic", "border"):
        return _cubic_at_border(input, grid, align_corners)
    return nn.grid_sample(input, grid, mode=mode, padding=padding, align_corners=align_corners)


def _cubic_at_border(x: Value, grid: Value, align: bool) -> Value:
    """torch moves each of the four elements onto the border, `nn.grid_sample` the place between them, as ONNX does.

    With two elements more on each side that is the same.
    """
    height, width = (static_extent(x, axis) for axis in (2, 3))
    extents = np.array([width, height], grid.dtype.numpy)
    last = extents - 1
    scale, offset = last / 2 if align else extents / 2, last / 2
    places = math.add(math.mul(grid, constant(scale)), constant(offset + 2))
    wider = shape.pad(x, pads=(0, 0, 2, 2, 0, 0, 2, 2), mode="edge")
    return nn.grid_sample(wider, places, mode="cubic", padding="border", elements=True)
