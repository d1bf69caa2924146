"""Pooling and normalisation of images."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ...build import nn
from ...known import ints
from ...normalise import channels_first, channels_last
from ..table import converter
from .linear import is_last, pads_of, spatial


def _pooled(x: Value, op, ksize, strides, padding: str, explicit, data_format: str) -> Value:
    last = is_last(data_format)
    kernel, steps = spatial(ksize, last), spatial(strides, last)
    ones = (1,) * len(kernel)
    x = channels_first(x) if last else x
    pads = pads_of(x, kernel, steps, ones, padding, explicit, last)
    out = op(x, kernel=kernel, strides=steps, pads=pads, dilations=ones)
    return channels_last(out) if last else out


@converter("MaxPool", "MaxPool3D")
def max_pool(x, *, ksize, strides, padding, explicit_paddings=(), data_format="NHWC"):
    return _pooled(x, nn.max_pool, ksize, strides, padding, explicit_paddings, data_format)


@converter("MaxPoolV2")
def max_pool_2(x, ksize, strides, *, padding, data_format="NHWC"):
    return max_pool(
        x,
        ksize=ints(ksize, "ksize"),
        strides=ints(strides, "strides"),
        padding=padding,
        data_format=data_format,
    )


@converter("AvgPool", "AvgPool3D")
def average_pool(x, *, ksize, strides, padding, data_format="NHWC"):
    """Padding is never counted."""
    return _pooled(x, nn.avg_pool, ksize, strides, padding, (), data_format)


@converter("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def batch_norm(
    x,
    scale,
    offset,
    mean,
    variance,
    *,
    epsilon=1e-4,
    exponential_avg_factor=1.0,
    data_format="NHWC",
    is_training=True,
):
    if is_training:
        raise UnsupportedError(
            "it normalises by the batch's own statistics (is_training)", hint="export the model for inference"
        )
    if is_last(data_format):
        return channels_last(nn.batch_norm(channels_first(x), scale, offset, mean, variance, epsilon=epsilon))
    return nn.batch_norm(x, scale, offset, mean, variance, epsilon=epsilon)


@converter("LRN")
def local_response_norm(x, *, depth_radius=5, bias=1.0, alpha=1.0, beta=0.5):
    """The IR's op divides alpha by the size of the window."""
    size = 2 * depth_radius + 1
    out = nn.lrn(channels_first(x), size=size, alpha=alpha * size, beta=beta, bias=bias)
    return channels_last(out)
