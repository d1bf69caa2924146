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
from .quantised import dequantize_21, quantize_21, requantised
from .recurrent import lstm


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


@converter("QLinearWhere", domain=MICROSOFT)
def where(condition, x, x_scale, x_zero, y, y_scale, y_zero, z_scale, z_zero):
    chosen = math.where(condition, real(x, x_scale, x_zero), real(y, y_scale, y_zero))
    return coded(chosen, z_scale, z_zero)


@converter("QGemm", domain=MICROSOFT)
def gemm(
    a,
    a_scale,
    a_zero,
    b,
    b_scale,
    b_zero,
    c=None,
    y_scale=None,
    y_zero=None,
    *,
    alpha=1.0,
    transA=0,
    transB=0,
):
    """`c` counts in units of alpha * a_scale * b_scale; without `y_scale` the result is a float."""
    a, b = (shape.transpose(x, perm=(1, 0)) if flipped else x for x, flipped in ((a, transA), (b, transB)))
    total = quant.matmul(a, b, _single(a_zero), _single(b_zero))
    if c is not None:
        total = math.add(total, c)
    scale = a_scale if alpha == 1 else math.mul(a_scale, alpha)
    if y_scale is not None:
        return requantised(total, scale, b_scale, y_scale, y_zero, 1)
    return math.mul(math.cast(total, dtype=f32), math.mul(_single(scale), _single(b_scale)))


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


@converter("DynamicQuantizeLSTM", domain=MICROSOFT)
def dynamic_quantize_lstm(
    x,
    w,
    r,
    bias=None,
    lengths=None,
    initial_h=None,
    initial_c=None,
    peephole=None,
    w_scale=None,
    w_zero=None,
    r_scale=None,
    r_zero=None,
    *,
    activation_alpha=None,
    activation_beta=None,
    activations=None,
    clip=None,
    direction="forward",
    hidden_size=None,
    input_forget=0,
):
    """An LSTM of the numbers that its weights' codes stand for.

    What they are multiplied with stays in floats: ONNX Runtime rounds it to codes at each step, for the sake of
    integer products, so its results are off by as much.
    """
    return lstm(
        x,
        _weights(w, w_scale, w_zero),
        _weights(r, r_scale, r_zero),
        bias,
        lengths,
        initial_h,
        initial_c,
        peephole,
        activation_alpha=activation_alpha,
        activation_beta=activation_beta,
        activations=activations,
        clip=clip,
        direction=direction,
        input_forget=input_forget,
    )


def _weights(codes: Value, scale: Value, zero: Value) -> Value:
    """Codes [D, in, out] as weights [D, out, in]; scales and zero points are [D] or [D, out]."""
    scale, zero = (shape.reshape(x, shape=(x.shape[0], 1, *(x.shape[1:] or (1,)))) for x in (scale, zero))
    numbers = math.sub(*(math.cast(x, dtype=f32) for x in (codes, zero)))
    return shape.transpose(math.mul(numbers, scale), perm=(0, 2, 1))
