"""Dense layers, embeddings, convolutions. Images have channels last unless `data_format` says otherwise."""

from ....compiler.ir.graph import Value
from ...build import math, nn, shape
from ...normalise import channels_first, channels_last
from ...tensorflow.convert.linear import depthwise_weight, out_in_first, pads_of, transposed, window_of
from ..table import layer
from .activations import activated


@layer("Dense")
def dense(x, kernel, bias=None, *, units, activation=None, use_bias=True):
    y = nn.matmul(x, kernel)
    return activated(y if bias is None else math.add(y, bias), activation)


@layer("EinsumDense")
def einsum_dense(x, kernel, bias=None, *, equation, output_shape=None, bias_axes=None, activation=None):
    y = nn.einsum(x, kernel, equation=equation)
    return activated(y if bias is None else math.add(y, bias), activation)


@layer("Embedding")
def embedding(x, table, *, output_dim=None):
    return shape.gather(table, x, axis=0)


def last_of(data_format: str | None) -> bool:
    """Whether channels stand last, which is what Keras assumes."""
    return data_format != "channels_first"


def first(x: Value, data_format: str | None) -> Value:
    """An image batch with channels first."""
    return channels_first(x) if last_of(data_format) else x


def back(x: Value, data_format: str | None) -> Value:
    """An image batch as the layer gives it."""
    return channels_last(x) if last_of(data_format) else x


def tuples(x: Value, *values: int | tuple[int, ...]) -> list[tuple[int, ...]]:
    """Strides and the like with an entry for each spatial axis of an image batch; nothing given is 1."""
    spatial = x.type.rank - 2
    return [
        (value,) * spatial if isinstance(value, int) else tuple(value) or (1,) * spatial for value in values
    ]


def _pads(x: Value, window, strides, dilations, padding: str) -> tuple[int, ...]:
    """Pads of an image batch with channels first; "causal" pads the past."""
    if padding.lower() == "causal":
        return (dilations[0] * (window[0] - 1), 0)
    return pads_of(x, window, strides, dilations, padding.upper())


def _convolved(x: Value, weight: Value, bias, strides, padding, dilations, groups: int) -> Value:
    strides, dilations = tuples(x, strides, dilations)
    pads = _pads(x, window_of(weight, slice(2, None)), strides, dilations, padding)
    return nn.conv(x, weight, bias, strides=strides, pads=pads, dilations=dilations, groups=groups)


@layer("Conv1D", "Conv2D", "Conv3D")
def conv(
    x,
    kernel,
    bias=None,
    *,
    filters=None,
    kernel_size=None,
    strides=(),
    padding="valid",
    data_format=None,
    dilation_rate=(),
    groups=1,
    activation=None,
    use_bias=True,
    rank=None,
):
    x = first(x, data_format)
    y = _convolved(x, out_in_first(kernel), bias, strides, padding, dilation_rate, groups)
    return activated(back(y, data_format), activation)


@layer("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise(
    x,
    kernel,
    bias=None,
    *,
    kernel_size=None,
    strides=(),
    padding="valid",
    depth_multiplier=1,
    data_format=None,
    dilation_rate=(),
    activation=None,
    use_bias=True,
    rank=None,
    filters=None,
    groups=1,
):
    x = first(x, data_format)
    y = _convolved(x, depthwise_weight(kernel), bias, strides, padding, dilation_rate, x.shape[1])
    return activated(back(y, data_format), activation)


@layer("SeparableConv1D", "SeparableConv2D")
def separable(
    x,
    depth,
    point,
    bias=None,
    *,
    filters=None,
    kernel_size=None,
    strides=(),
    padding="valid",
    data_format=None,
    dilation_rate=(),
    depth_multiplier=1,
    activation=None,
    use_bias=True,
    rank=None,
    groups=1,
):
    x = first(x, data_format)
    y = _convolved(x, depthwise_weight(depth), None, strides, padding, dilation_rate, x.shape[1])
    y = _convolved(y, out_in_first(point), bias, (), "valid", (), 1)
    return activated(back(y, data_format), activation)


@layer("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def conv_transpose(
    x,
    kernel,
    bias=None,
    *,
    filters=None,
    kernel_size=None,
    strides=(),
    padding="valid",
    output_padding=None,
    data_format=None,
    dilation_rate=(),
    groups=1,
    activation=None,
    use_bias=True,
    rank=None,
):
    """Without an output padding the result is stride times as large ("same"), or as large as the windows reach."""
    x = first(x, data_format)
    strides, dilations = tuples(x, strides, dilation_rate)
    window = window_of(kernel, slice(0, -2))
    wanted, valid = [], padding.lower() == "valid"
    more = (None,) * len(strides) if output_padding is None else tuples(x, output_padding)[0]
    for extent, stride, size, dilation, extra in zip(
        x.shape[2:], strides, window, dilations, more, strict=True
    ):
        reach = dilation * (size - 1) + 1
        if extra is None:
            wanted.append(extent * stride + (max(reach - stride, 0) if valid else 0))
        else:
            wanted.append((extent - 1) * stride + reach - (0 if valid else 2 * (size // 2)) + extra)
    y = transposed(x, out_in_first(kernel), strides, dilations, padding.upper(), wanted)
    if bias is not None:
        y = math.add(y, shape.reshape(bias, shape=(*bias.shape, *(1,) * len(strides))))
    return activated(back(y, data_format), activation)
