"""What detectors use: regions of interest, suppression of boxes, convolution at places that the data decide."""

import numpy as np

from ....compiler.diagnostics import ModelError
from ....compiler.ir.graph import constant
from ...build import detection, math, nn, shape
from ..table import converter
from .linear import ones, static_window


@converter("NonMaxSuppression", since=10)
def nms(boxes, scores, most=None, overlap=None, threshold=None, *, center_point_box=0):
    return detection.nms(boxes, scores, most, overlap, threshold, centred=bool(center_point_box))


@converter("RoiAlign", since=16)
def roi_align(
    x,
    rois,
    batches,
    *,
    coordinate_transformation_mode="half_pixel",
    mode="avg",
    output_height=1,
    output_width=1,
    sampling_ratio=0,
    spatial_scale=1.0,
):
    return detection.roi_align(
        x,
        rois,
        batches,
        shape=(output_height, output_width),
        scale=spatial_scale,
        samples=sampling_ratio,
        half_pixel=coordinate_transformation_mode == "half_pixel",
        largest=mode == "max",
    )


@converter("RoiAlign", since=10)
def roi_align_10(
    x, rois, batches, *, mode="avg", output_height=1, output_width=1, sampling_ratio=0, spatial_scale=1.0
):
    return roi_align(
        x,
        rois,
        batches,
        coordinate_transformation_mode="output_half_pixel",
        mode=mode,
        output_height=output_height,
        output_width=output_width,
        sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )


@converter("DeformConv", since=19)
def deform_conv(
    x,
    w,
    offset,
    bias=None,
    mask=None,
    *,
    dilations=None,
    group=1,
    kernel_shape=None,
    offset_group=1,
    pads=None,
    strides=None,
):
    """The elements under the window are sampled where the offsets say; a convolution of 1 x 1 is left.

    The weights' window becomes channels: x [N, C, ...] is sampled to [N, C * K, out...].
    """
    kernel = static_window(w, kernel_shape)
    spatial, count = len(kernel), int(np.prod(kernel))
    strides, dilations = ones(strides, spatial), ones(dilations, spatial)
    pads = tuple(pads) if pads else (0,) * (2 * spatial)
    n, channels, out = x.shape[0], x.shape[1], offset.shape[2:]
    if channels % offset_group or not all(isinstance(extent, int) for extent in out):
        raise ModelError(
            f"{channels} channels of {x.type} do not go into {offset_group} groups of known extents"
        )
    # offsets [N, groups * K * spatial, out...] to [N * groups, K, out..., spatial], the last spatial axis first
    offset = shape.reshape(offset, shape=(n * offset_group, count, spatial, *out))
    order = (0, 1, *range(3, 3 + spatial), 2)
    offset = shape.transpose(offset, perm=order)
    grids = np.meshgrid(*(np.arange(k) * d for k, d in zip(kernel, dilations, strict=True)), indexing="ij")
    window = np.stack([grid.reshape(-1) for grid in grids], -1).reshape(count, *(1,) * spatial, spatial)
    starts = [np.arange(o) * s - p for o, s, p in zip(out, strides, pads[:spatial], strict=True)]
    base = np.stack(np.meshgrid(*starts, indexing="ij"), -1)
    places = math.add(offset, constant(window + base, offset.dtype))
    last_first = constant(np.arange(spatial)[::-1].copy())
    places = shape.gather(places, last_first, axis=2 + spatial)
    places = shape.reshape(places, shape=(n * offset_group, count * out[0], *out[1:], spatial))
    grouped = shape.reshape(x, shape=(n * offset_group, channels // offset_group, *x.shape[2:]))
    sampled = nn.grid_sample(grouped, places, elements=True)
    sampled = shape.reshape(sampled, shape=(n, offset_group, channels // offset_group, count, *out))
    if mask is not None:
        sampled = math.mul(sampled, shape.reshape(mask, shape=(n, offset_group, 1, count, *out)))
    columns = shape.reshape(sampled, shape=(n, channels * count, *out))
    weights = shape.reshape(w, shape=(w.shape[0], w.shape[1] * count, *(1,) * spatial))
    one = (1,) * spatial
    return nn.conv(
        columns, weights, bias, strides=one, pads=(0,) * (2 * spatial), dilations=one, groups=group
    )
