"""Layers that prepare images, as far as they do the same each time."""

from ....compiler.diagnostics import UnsupportedError
from ...build import nn, shape
from ..table import layer
from .dense import back, first, last_of


@layer("Resizing")
def resizing(
    x,
    *,
    height,
    width,
    interpolation="bilinear",
    crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False,
    antialias=False,
    fill_mode=None,
    fill_value=0.0,
    data_format=None,
):
    if (
        crop_to_aspect_ratio
        or pad_to_aspect_ratio
        or antialias
        or interpolation not in ("bilinear", "nearest")
    ):
        raise UnsupportedError("this form of resizing", hint="use plain bilinear or nearest resizing")
    x = first(x, data_format)
    mode = "linear" if interpolation == "bilinear" else "nearest"
    extents = (*x.shape[:2], height, width)
    out = nn.resize(x, shape=extents, mode=mode, coordinates="half_pixel", nearest="round_prefer_ceil")
    return back(out, data_format)


@layer("CenterCrop")
def center_crop(x, *, height, width, data_format=None):
    begin = 1 if last_of(data_format) else 2
    sizes, starts = list(x.shape), [0] * x.type.rank
    for axis, size in ((begin, height), (begin + 1, width)):
        extent = x.shape[axis]
        if not isinstance(extent, int) or extent < size:
            raise UnsupportedError(f"cropping the extent {extent} to {size}", hint="fix it with shapes=")
        starts[axis], sizes[axis] = (extent - size) // 2, size
    return shape.slice(x, starts=tuple(starts), sizes=tuple(sizes), steps=(1,) * x.type.rank)
