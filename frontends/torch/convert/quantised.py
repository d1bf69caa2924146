"""The quantise and dequantise steps that torch's quantiser writes around float ops."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType, f32
from ...build import math, quant
from ...normalise import axis_of
from ..promotion import cast, tensor
from ..table import converter

_RANGES = {
    "i8": (-128, 127),
    "u8": (0, 255),
    "i16": (-32768, 32767),
    "u16": (0, 65535),
    "i32": (-(2**31), 2**31 - 1),
}


def _scale(scale) -> Value:
    return cast(scale, f32) if isinstance(scale, Value) else constant(scale, f32)


def _quantised(x, scale, zero_point, axis: int, low: int, high: int, dtype: DType) -> Value:
    """A range that is narrower than the dtype's is kept by a clip."""
    if dtype.name not in _RANGES:
        raise UnsupportedError(
            f"quantised values of {dtype} are not supported", hint="quantise to int8 or uint8"
        )
    y = quant.quantize(x, _scale(scale), tensor(zero_point, dtype), axis=axis, dtype=dtype)
    return y if (low, high) == _RANGES[dtype.name] else math.clip(y, tensor(low, dtype), tensor(high, dtype))


@converter("quantize_per_tensor", domain="quantized_decomposed")
def quantize_per_tensor(input, scale, zero_point, quant_min: int, quant_max: int, dtype: DType):
    return _quantised(input, scale, zero_point, 0, quant_min, quant_max, dtype)


@converter("dequantize_per_tensor", domain="quantized_decomposed")
def dequantize_per_tensor(
    input, scale, zero_point, quant_min: int, quant_max: int, dtype: DType, *, out_dtype: DType | None = None
):
    return quant.dequantize(
        input, _scale(scale), tensor(zero_point, input.dtype), axis=0, dtype=out_dtype or f32
    )


@converter("quantize_per_channel", domain="quantized_decomposed")
def quantize_per_channel(input, scales, zero_points, axis: int, quant_min: int, quant_max: int, dtype: DType):
    axis = axis_of(axis, input.type.rank)
    return _quantised(input, scales, zero_points, axis, quant_min, quant_max, dtype)


@converter("dequantize_per_channel", domain="quantized_decomposed")
def dequantize_per_channel(
    input,
    scales,
    zero_points,
    axis: int,
    quant_min: int,
    quant_max: int,
    dtype: DType,
    *,
    out_dtype: DType | None = None,
):
    axis = axis_of(axis, input.type.rank)
    zero = None if zero_points is None else tensor(zero_points, input.dtype)
    return quant.dequantize(input, _scale(scales), zero, axis=axis, dtype=out_dtype or f32)
