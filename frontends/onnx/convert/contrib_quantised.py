"""Quantised ops of ONNX Runtime (domain com.microsoft): computed on the numbers that the codes stand for."""

from collections.abc import Callable

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ....compiler.ir.types import f32
from ...build import math, nn, quant, reduce, shape
from ...normalise import axis_of
from ..table import converter
from .contrib import MICROSOFT
from .pool import average_pool
from .quantised import dequantize_21, quantize_21


def real(x: Value, scale: Value, zero: Value | None) -> Value:
    """The numbers that codes stand for."""
    return dequantize_21(x, scale, zero)


def coded(x: Value, scale: Value, zero: Value | None) -> Value:
    """The codes of numbers; u8 where no zero point says otherwise."""
    return quantize_21(x, scale, zero)


def _binary(op: Callable[..., Value]) -> Callable[..., Value]:
    def convert(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero=None):
        return coded(op(real(a, a_scale, a_zero), real(b, b_scale, b_zero)), y_scale, y_zero)

    return convert


converter("QLinearAdd", domain=MICROSOFT)(_binary(lambda a, b: math.add(a, b)))
converter("QLinearMul", domain=MICROSOFT)(_binary(lambda a, b: math.mul(a, b)))


@converter("QLinearSigmoid", domain=MICROSOFT)
def sigmoid(x, x_scale, x_zero, y_scale, y_zero=None):
    return coded(math.sigmoid(real(x, x_scale, x_zero)), y_scale, y_zero)


@converter("QLinearLeakyRelu", domain=MICROSOFT)
def leaky_relu(x, x_scale, x_zero, y_scale, y_zero=None, *, alpha=0.01):
    return coded(math.leaky_relu(real(x, x_scale, x_zero), alpha=alpha), y_scale, y_zero)


@converter("QLinearSoftmax", domain=MICROSOFT)
def softmax(x, x_scale, x_zero, y_scale, y_zero, *, axis=-1, opset):
    if opset < 13 and axis_of(axis, x.type.rank) != x.type.rank - 1:
        raise UnsupportedError("a softmax over several axes is not supported", hint="export with opset 13")
    y = nn.softmax(real(x, x_scale, x_zero), axis=axis_of(axis, x.type.rank))
    return coded(y, y_scale, y_zero)


@converter("QLinearConcat", domain=MICROSOFT)
def concat(y_scale, y_zero, *parts, axis):
    values = [real(*parts[n : n + 3]) for n in range(0, len(parts), 3)]
    axis = axis_of(axis, values[0].type.rank)
    return coded(shape.concat(*values, axis=axis) if len(values) > 1 else values[0], y_scale, y_zero)


@converter("QLinearGlobalAveragePool", domain=MICROSOFT)
def global_average_pool(x, x_scale, x_zero, y_scale, y_zero, *, channels_last=0):
    first = 1 if channels_last else 2
    axes = tuple(range(first, first + x.type.rank - 2))
    return coded(reduce.mean(real(x, x_scale, x_zero), axes=axes), y_scale, y_zero)


@converter("QLinearAveragePool", domain=MICROSOFT)
def qlinear_average_pool(
    x,
    x_scale,
    x_zero,
    y_scale,
    y_zero=None,
    *,
    auto_pad="NOTSET",
    ceil_mode=0,
    channels_last=0,
    count_include_pad=0,
    kernel_shape,
    pads=None,
    strides=None,
):
    if channels_last:
        raise UnsupportedError(
            "channels in the last axis are not supported", hint="export with channels first"
        )
    y = average_pool(
        real(x, x_scale, x_zero),
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return coded(y, y_scale, y_zero)


@converter("QuantizeLinear", domain=MICROSOFT)
def quantize(x, scale, zero=None, *, axis=1, block_size=0, saturate=1):
    return quantize_21(x, scale, zero, axis=axis, block_size=block_size, saturate=saturate)


@converter("DequantizeLinear", domain=MICROSOFT)
def dequantize(x, scale, zero=None, *, axis=1, block_size=0):
    return dequantize_21(x, scale, zero, axis=axis, block_size=block_size)


def _single(x: Value | None) -> Value | None:
    return shape.reshape(x, shape=()) if x is not None and x.shape == (1,) else x


@converter("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(a, b, a_scale, b_scale, a_zero=None, b_zero=None, bias=None):
    total = math.cast(quant.matmul(a, b, _single(a_zero), _single(b_zero)), dtype=f32)
    y = math.mul(total, math.mul(_single(a_scale), _single(b_scale)))
    return y if bias is None else math.add(y, bias)


@converter("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(a, b, b_scale, b_zero=None, bias=None):
    codes, scale, zero = quant.dynamic_quantize(a)
    return matmul_integer_to_float(codes, b, scale, b_scale, zero, b_zero, bias)
