"""The arithmetic of TFLite's quantised kernels: scales as multiplier and shift, sums brought to 8 bits again.

The kernels compute scales in double or single precision, which decides the last bit of a multiplier, and round twice
or once; each converter says which.
"""

from collections.abc import Sequence
from math import frexp

import numpy as np

from ...compiler.diagnostics import ModelError, UnsupportedError
from ...compiler.ir.graph import Value, constant
from ...compiler.ir.types import DType, i32
from ..build import math, quant
from .activation import bounds
from .schema import Operator, Quantisation, Tensor

TWICE = "twice"
ONCE = "half_up"
"""How `quant.requantize_fixed` rounds: as all reference kernels do, and as that of FULLY_CONNECTED does."""


def multiplier_of(scale: float) -> tuple[int, int]:
    """A scale as multiplier * 2^-shift, the multiplier in [2^30, 2^31); 0 and 62 for one that is too small."""
    fraction, exponent = frexp(scale)
    # halves away from zero; a fraction is not negative
    multiplier = int(np.floor(fraction * 2**31 + 0.5))
    if multiplier == 2**31:
        multiplier, exponent = 2**30, exponent + 1
    if exponent < -31:
        return 0, 62
    if exponent > 30:
        raise UnsupportedError(
            f"the ratio of its scales is {scale:g}, 2^30 is the largest", hint="quantise it again"
        )
    return multiplier, 31 - exponent


def rescaled(
    acc: Value,
    scales: Sequence[float],
    axis: int = 0,
    zero: int = 0,
    dtype: DType = i32,
    rounding: str = TWICE,
) -> Value:
    """acc (i32) times its scale (one, or one a slice along the axis) plus the zero point, in another integer type."""
    return rescaled_by(acc, [multiplier_of(float(scale)) for scale in scales], axis, zero, dtype, rounding)


def rescaled_by(
    acc: Value, factors: Sequence[tuple[int, int]], axis: int, zero: int, dtype: DType, rounding: str = TWICE
) -> Value:
    """The same with multipliers and shifts."""
    pairs = np.array(factors, np.int32)
    parameters = pairs[0] if len(pairs) == 1 else pairs.T
    return quant.requantize_fixed(
        acc,
        constant(parameters[0]),
        constant(parameters[1]),
        constant(zero, dtype),
        axis=axis if len(pairs) > 1 else 0,
        dtype=dtype,
        rounding=rounding,
    )


def rescaled_array(acc: np.ndarray, scale: float) -> np.ndarray:
    """The same on an array, one scale for all."""
    multiplier, shift = multiplier_of(scale)
    out = quant.requantize_fixed.evaluate(
        np.asarray(acc, np.int32),
        np.int32(multiplier),
        np.int32(shift),
        np.int32(0),
        axis=0,
        dtype=i32,
        rounding=TWICE,
    )
    return out[0]


def scale_of(tensor: Tensor) -> np.float32:
    """The only scale of a tensor, in single precision as the file has it."""
    parameters = parameters_of(tensor)
    if parameters.per_channel:
        raise UnsupportedError(
            f"its tensor '{tensor.name}' has a scale a channel", hint="quantise it with one scale"
        )
    return parameters.scale[0]


def limits_of(tensor: Tensor) -> tuple[int, int]:
    """The least and the greatest number that a tensor can hold."""
    return dtype_of(tensor).limits


def dtype_of(tensor: Tensor) -> DType:
    """The element type of a tensor that holds quantised numbers; damaged files may give it another."""
    if tensor.dtype is None or not tensor.dtype.is_integer:
        raise ModelError(f"its tensor '{tensor.name}' does not hold integers", hint="convert the model again")
    return tensor.dtype


def zero_of(tensor: Tensor) -> int:
    return int(parameters_of(tensor).zero[0])


def parameters_of(tensor: Tensor) -> Quantisation:
    """A tensor's quantisation. Raises UnsupportedError where it has none."""
    if tensor.quantisation is None:
        raise UnsupportedError(
            f"its tensor '{tensor.name}' has no scale, others have (dynamic-range or float16 quantisation)",
            hint="convert the model in float, or in full integers with a representative dataset",
        )
    return tensor.quantisation


def check_same_scale(origin: Operator) -> None:
    """Refuse an op that would have to bring its quantised operands to another scale, where its kernel does not."""
    found = [tensor.quantisation for tensor in origin.tensors if tensor.is_narrow]
    if any(quantisation is not None and not quantisation.same(found[0]) for quantisation in found):
        raise UnsupportedError(
            "its operands and results have different scales or zero points",
            hint="convert the model again with a newer converter",
        )


def shifted(x: Value, zero: int) -> Value:
    """x - zero in i32."""
    wide = math.cast(x, dtype=i32)
    return math.sub(wide, zero) if zero else wide


def levels(tensor: Tensor) -> np.ndarray:
    """Every value of a tensor's 8-bit type, from the least to the greatest, in i32."""
    low, high = limits_of(tensor)
    return np.arange(low, high + 1, dtype=np.int32)


def activation_limits(tensor: Tensor, activation: str) -> tuple[int, int]:
    """The least and the greatest value that a fused activation leaves, in a tensor's own numbers."""
    low, high = limits_of(tensor)
    least, greatest = bounds(activation)

    def place(real: float) -> int:
        ratio = np.float32(real) / scale_of(tensor)
        return zero_of(tensor) + int(np.sign(ratio) * np.floor(np.abs(ratio) + np.float32(0.5)))

    return (
        low if least is None else max(low, place(least)),
        high if greatest is None else min(high, place(greatest)),
    )


def clamped(x: Value, tensor: Tensor, activation: str) -> Value:
    """A quantised result after the activation fused into its op."""
    limits = activation_limits(tensor, activation)
    return x if limits == limits_of(tensor) else math.clip(x, *(constant(limit, x.dtype) for limit in limits))


def divided(x: Value, by: Value | int) -> Value:
    """x / by for integers, by > 0, rounded to the nearest, halves away from zero."""
    half = math.div(by, 2) if isinstance(by, Value) else constant(by // 2, x.dtype)
    return math.div(math.add(x, math.where(math.gt(x, 0), half, math.neg(half))), by)
