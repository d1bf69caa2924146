"""Pooling, over windows and over all of the image."""

from ....compiler.diagnostics import UnsupportedError
from ...build import math, nn, reduce, shape
from ...tensorflow.convert.linear import pads_of
from ..table import layer
from .dense import back, first, last_of, tuples


def _pooling(op):
    def convert(x, *, pool_size=(2, 2), strides=None, padding="valid", data_format=None):
        x = first(x, data_format)
        kernel, steps, ones = tuples(x, pool_size, pool_size if strides is None else strides, 1)
        pads = pads_of(x, kernel, steps, ones, padding.upper())
        return back(op(x, kernel=kernel, strides=steps, pads=pads, dilations=ones), data_format)

    return convert


def _global(op):
    def convert(x, *, data_format=None, keepdims=False):
        axes = range(1, x.type.rank - 1) if last_of(data_format) else range(2, x.type.rank)
        return op(x, axes=tuple(axes), keepdims=keepdims)

    return convert


for _rank in ("1D", "2D", "3D"):
    layer(f"MaxPooling{_rank}")(_pooling(nn.max_pool))
    layer(f"AveragePooling{_rank}")(_pooling(nn.avg_pool))
    layer(f"GlobalMaxPooling{_rank}")(_global(reduce.max))
    if _rank != "1D":
        layer(f"GlobalAveragePooling{_rank}")(_global(reduce.mean))


@layer("GlobalAveragePooling1D", inputs=("inputs", "mask"))
def global_average_1d(x, mask=None, *, data_format=None, keepdims=False):
    """Of the steps that a mask keeps."""
    if mask is None:
        return _global(reduce.mean)(x, data_format=data_format, keepdims=keepdims)
    if not last_of(data_format):
        raise UnsupportedError("a mask with channels first", hint="use channels_last")
    kept = math.cast(shape.reshape(mask, shape=(*mask.shape, 1)), dtype=x.dtype)
    total = reduce.sum(math.mul(x, kept), axes=(1,), keepdims=keepdims)
    return math.div(total, reduce.sum(kept, axes=(1,), keepdims=keepdims))
