"""Contractions, pooling and resizing on quantised operands, in the arithmetic of TFLite's reference kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ...build import math, nn, quant, shape
from ...normalise import channels_first, channels_last
from ..fixed import (
    ONCE,
    TWICE,
    check_same_scale,
    clamped,
    divided,
    dtype_of,
    parameters_of,
    rescaled,
    scale_of,
    zero_of,
)
from ..schema import Operator, Tensor
from ..table import quantised
from .extents import places, static_extent
from .linear import (
    Window,
    pool_window,
    register_convolutions,
    rows_of,
    transposed_pads,
    turned,
    unrowed,
)


def scalar(number: int, like: Value) -> Value:
    """A zero point as an operand."""
    return constant(number, like.dtype)


def output_scales(x: Tensor, w: Tensor, y: Tensor, product_in_single: bool) -> list[float]:
    """What sums of products are multiplied by, one an output channel.

    With one scale for all channels some kernels multiply the operands' scales in single precision first.
    """
    assert w.quantisation is not None
    weights = parameters_of(w).scale
    if product_in_single and len(weights) == 1:
        return [float(scale_of(x) * weights[0]) / float(scale_of(y))]
    return [float(scale_of(x)) * float(scale) / float(scale_of(y)) for scale in weights]


def weight_zero(w: Value, tensor: Tensor) -> Value | None:
    """The weight's zero point as an operand; None for 0, which all symmetric weights have."""
    zeros = parameters_of(tensor).zero
    if not zeros.any():
        return None
    if (zeros != zeros[0]).any():
        raise UnsupportedError("its weight has a zero point a channel", hint="quantise it symmetrically")
    return scalar(int(zeros[0]), w)


def finished(
    total: Value,
    bias: Value | None,
    scales: Sequence[float],
    axis: int,
    y: Tensor,
    activation: str,
    rounding: str = TWICE,
) -> Value:
    """Sums of products plus bias as the quantised result; the output channels lie on `axis`."""
    if bias is not None:
        column = tuple(bias.shape[0] if n == axis else 1 for n in range(total.type.rank))
        total = math.add(total, shape.reshape(bias, shape=column))
    out = rescaled(total, scales, axis, zero_of(y), dtype_of(y), rounding)
    return clamped(out, y, activation)


def _check_types(x: Value, w: Value) -> None:
    if x.dtype.is_float or w.dtype.bits != 8 or x.dtype.bits != 8:
        raise UnsupportedError(
            f"activations of {x.dtype} with weights of {w.dtype} are not supported",
            hint="convert the model in float, or in full 8-bit integers with a representative dataset",
        )


def _convolved(
    x: Value, w: Value, bias: Value | None, window: Window, groups: int, activation: str, origin: Operator
) -> Value:
    """A convolution of channels-last x by w [O, I/groups, H, W]."""
    _check_types(x, w)
    source, weight, y = origin.inputs[0], origin.inputs[1], origin.outputs[0]
    assert source is not None
    assert weight is not None
    total = quant.conv(
        channels_first(x),
        w,
        scalar(zero_of(source), x),
        weight_zero(w, weight),
        groups=groups,
        **window.convolution,
    )
    scales = output_scales(source, weight, y, product_in_single=x.dtype.kind == "uint")
    return channels_last(finished(total, bias, scales, 1, y, activation))


register_convolutions(quantised, _convolved)


@quantised("TRANSPOSE_CONV", newest=5)
def transpose_conv(
    output,
    w,
    x,
    bias=None,
    *,
    padding,
    stride_w,
    stride_h,
    fused_activation_function="NONE",
    quantized_bias_type=0,
    call,
):
    """A convolution of x, spread out by the strides, with the weight turned by half a turn."""
    _check_types(x, w)
    origin = call.node.origin
    weight, source, y = origin.inputs[1], origin.inputs[2], origin.outputs[0]
    strides, zero = (stride_h, stride_w), scalar(zero_of(source), x)
    pads = transposed_pads(output, w, x, strides, padding)
    margins = [w.shape[1 + n % 2] - 1 - pad for n, pad in enumerate(pads)]
    wide = shape.pad(
        _spread(channels_first(x), strides, zero), zero, pads=(0, 0, *margins[:2], 0, 0, *margins[2:])
    )
    total = quant.conv(wide, _half_turn(channels_first(w)), zero, weight_zero(w, weight), **_PLAIN)
    scales = output_scales(source, weight, y, product_in_single=x.dtype.kind == "uint")
    return channels_last(finished(total, bias, scales, 1, y, fused_activation_function))


_PLAIN: dict[str, Any] = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def _half_turn(w: Value) -> Value:
    """A weight [O, I, H, W] with its windows turned."""
    height, width = w.shape[2:]
    return shape.slice(w, starts=(0, 0, height - 1, width - 1), sizes=w.shape, steps=(1, 1, -1, -1))


def _spread(x: Value, strides: Sequence[int], fill: Value) -> Value:
    """x [N, C, H, W] with strides - 1 fillers between rows and columns."""
    n, c, h, w = x.shape
    if tuple(strides) == (1, 1):
        return x
    cells = shape.reshape(x, shape=(n, c, h, 1, w, 1))
    cells = shape.pad(cells, fill, pads=(0,) * 6 + (0, 0, 0, strides[0] - 1, 0, strides[1] - 1))
    rows = shape.reshape(cells, shape=(n, c, h * strides[0], w * strides[1]))
    return shape.slice(
        rows,
        starts=(0,) * 4,
        sizes=(n, c, (h - 1) * strides[0] + 1, (w - 1) * strides[1] + 1),
        steps=(1,) * 4,
    )


@quantised("FULLY_CONNECTED", newest=13)
def fully_connected(
    x,
    w,
    bias=None,
    *,
    fused_activation_function="NONE",
    weights_format="DEFAULT",
    keep_num_dims=False,
    asymmetric_quantize_inputs=False,
    quantized_bias_type=0,
    call,
):
    _check_types(x, w)
    source, weight, y = call.node.origin.inputs[0], call.node.origin.inputs[1], call.node.origin.outputs[0]
    rows = rows_of(x, w, weights_format)
    total = quant.matmul(
        rows, shape.transpose(w, perm=(1, 0)), scalar(zero_of(source), x), weight_zero(w, weight)
    )
    scales = output_scales(source, weight, y, product_in_single=x.dtype.kind == "uint")
    out = finished(total, bias, scales, 1, y, fused_activation_function, ONCE)
    return unrowed(out, x, keep_num_dims)


@quantised("BATCH_MATMUL", newest=5)
def batch_matmul(x, y, *, adj_x=False, adj_y=False, asymmetric_quantize_inputs=False, call):
    _check_types(x, y)
    (left, right), result = call.node.origin.inputs, call.node.origin.outputs[0]
    total = quant.matmul(
        turned(x, adj_x), turned(y, adj_y), scalar(zero_of(left), x), scalar(zero_of(right), y)
    )
    scale = float(scale_of(left) * scale_of(right)) / float(scale_of(result))
    return rescaled(total, [scale], 0, zero_of(result), result.dtype)


@quantised("MAX_POOL_2D", newest=3)
def max_pool_2d(
    x, *, padding, stride_w, stride_h, filter_width, filter_height, fused_activation_function="NONE", call
):
    check_same_scale(call.node.origin)
    window = pool_window(x, padding, stride_w, stride_h, filter_width, filter_height)
    y = channels_last(nn.max_pool(channels_first(x), **window.pooling))
    return clamped(y, call.node.origin.outputs[0], fused_activation_function)


@quantised("AVERAGE_POOL_2D", newest=3)
def average_pool_2d(
    x, *, padding, stride_w, stride_h, filter_width, filter_height, fused_activation_function="NONE", call
):
    """The mean of those that lie inside, rounded; zero points play no part, for both are the same."""
    check_same_scale(call.node.origin)
    window = pool_window(x, padding, stride_w, stride_h, filter_width, filter_height)
    total = quant.sum_pool(channels_first(x), **window.pooling)
    mean = divided(total, constant(_counts(total, x, window)))
    y = channels_last(math.cast(mean, dtype=x.dtype))
    return clamped(y, call.node.origin.outputs[0], fused_activation_function)


def _counts(total: Value, x: Value, window: Window) -> np.ndarray:
    """How many elements each window has inside the image: i32[1, 1, H, W]."""
    counts = np.ones((1, 1, 1, 1), np.int32)
    for n, (kernel, stride, before) in enumerate(
        zip(window.kernel, window.strides, window.pads, strict=False)
    ):
        extent, windows = static_extent(x, 1 + n), static_extent(total, 2 + n)
        starts = places(windows) * stride - before
        inside = np.minimum(starts + kernel, extent) - np.maximum(starts, 0)
        counts = counts * inside.astype(np.int32).reshape((-1, 1) if n == 0 else (-1,))
    return counts
