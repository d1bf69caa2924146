"""Quantise, dequantise and integer products: the IR holds the same operands, so little is left to do."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ....compiler.ir.types import DType, f32, u8
from ...build import math, quant, shape
from ...normalise import axis_of
from ..table import converter
from ..tensors import dtype_of
from .linear import explicit_pads, ones, static_window


def _single(parameter: Value | None) -> Value | None:
    """A scale or zero point; a vector of one element as a scalar."""
    return (
        shape.reshape(parameter, shape=()) if parameter is not None and parameter.shape == (1,) else parameter
    )


def _parameters(x: Value, axis: int, *parameters: Value | None) -> tuple[int, list[Value | None]]:
    """The axis, and scale and zero point with those of one element as scalars; without others there is no axis."""
    scalars = [_single(parameter) for parameter in parameters]
    whole = all(parameter is None or parameter.type.rank == 0 for parameter in scalars)
    return (0, scalars) if whole else (axis_of(axis, x.type.rank), list(parameters))


@converter("QuantizeLinear", since=23)
def quantize(x, scale, zero=None, *, axis=1, block_size=0, output_dtype=0, precision=0, saturate=1):
    dtype: DType = u8
    if output_dtype:
        dtype = dtype_of(output_dtype, "its attribute 'output_dtype'")
    elif zero is not None:
        dtype = zero.dtype
    if precision:
        scale = _cast(scale, dtype_of(precision, "its attribute 'precision'"))
    if not scale.dtype.is_float:
        raise UnsupportedError(f"a scale of {scale.type} is not supported", hint="use a float scale")
    axis, (scale, zero) = _parameters(x, axis, scale, zero)
    return quant.quantize(x, scale, zero, axis=axis, dtype=dtype, block=block_size, saturate=bool(saturate))


def _cast(x: Value, dtype: DType) -> Value:
    return x if x.dtype == dtype else math.cast(x, dtype=dtype)


@converter("QuantizeLinear", since=21)
def quantize_21(x, scale, zero=None, *, axis=1, block_size=0, output_dtype=0, saturate=1):
    return quantize(
        x, scale, zero, axis=axis, block_size=block_size, output_dtype=output_dtype, saturate=saturate
    )


@converter("QuantizeLinear", since=19)
def quantize_19(x, scale, zero=None, *, axis=1, saturate=1):
    return quantize(x, scale, zero, axis=axis, saturate=saturate)


@converter("QuantizeLinear", since=13)
def quantize_13(x, scale, zero=None, *, axis=1):
    return quantize(x, scale, zero, axis=axis)


@converter("QuantizeLinear", since=10)
def quantize_10(x, scale, zero=None):
    return quantize(x, scale, zero)


@converter("DequantizeLinear", since=23)
def dequantize(x, scale, zero=None, *, axis=1, block_size=0, output_dtype=0):
    dtype = dtype_of(output_dtype, "its attribute 'output_dtype'") if output_dtype else scale.dtype
    axis, (scale, zero) = _parameters(x, axis, scale, zero)
    return quant.dequantize(x, scale, zero, axis=axis, dtype=dtype, block=block_size)


@converter("DequantizeLinear", since=21)
def dequantize_21(x, scale, zero=None, *, axis=1, block_size=0):
    return dequantize(x, scale, zero, axis=axis, block_size=block_size)


@converter("DequantizeLinear", since=13)
def dequantize_13(x, scale, zero=None, *, axis=1):
    return dequantize(x, scale, zero, axis=axis)


@converter("DequantizeLinear", since=10)
def dequantize_10(x, scale, zero=None):
    return dequantize(x, scale, zero)


@converter("DynamicQuantizeLinear", since=11)
def dynamic_quantize(x):
    return quant.dynamic_quantize(x)


@converter("MatMulInteger", since=10)
def matmul_integer(a, b, a_zero=None, b_zero=None):
    return quant.matmul(a, b, _single(a_zero), _single(b_zero))


@converter("ConvInteger", since=10)
def conv_integer(
    x,
    w,
    x_zero=None,
    w_zero=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    kernel = static_window(w, kernel_shape)
    strides, dilations = ones(strides, len(kernel)), ones(dilations, len(kernel))
    pads = explicit_pads(x, kernel, strides, dilations, pads, auto_pad)
    return quant.conv(
        x, w, _single(x_zero), _single(w_zero), strides=strides, pads=pads, dilations=dilations, groups=group
    )


@converter("QLinearMatMul", since=10)
def qlinear_matmul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    total = quant.matmul(a, b, _single(a_zero), _single(b_zero))
    if a_scale.shape not in ((), (1,)):
        raise UnsupportedError("a scale for each row of its first matrix is not supported")
    return requantised(total, a_scale, b_scale, y_scale, y_zero, total.type.rank - 1)


def requantised(
    total: Value, a_scale: Value, b_scale: Value, y_scale: Value, y_zero: Value, axis: int
) -> Value:
    """The codes of sums of products of codes; `b_scale` is one number, or one for each place along an axis."""
    scales = [_cast(_single(scale) or scale, f32) for scale in (a_scale, b_scale, y_scale)]
    if scales[1].type.rank > 1 or scales[2].type.rank or y_zero.shape not in ((), (1,)):
        raise UnsupportedError(
            "scales of this shape are not supported", hint="use one scale, or one a channel"
        )
    factor = math.div(math.mul(scales[0], scales[1]), scales[2])
    axis = axis if factor.type.rank else 0
    return quant.requantize(total, factor, _single(y_zero), axis=axis, dtype=y_zero.dtype)


@converter("QLinearConv", since=10)
def qlinear_conv(
    x,
    x_scale,
    x_zero,
    w,
    w_scale,
    w_zero,
    y_scale,
    y_zero,
    bias=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    total = conv_integer(
        x,
        w,
        x_zero,
        w_zero,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    if bias is not None:
        total = math.add(total, shape.reshape(bias, shape=(bias.shape[0], *(1,) * (x.type.rank - 2))))
    return requantised(total, x_scale, w_scale, y_scale, y_zero, 1)
