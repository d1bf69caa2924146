"""Functions of one 8-bit value: tables of 256, computed here as TFLite's reference kernels compute each entry."""

from collections.abc import Callable

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ...build import math, quant
from ..fixed import activation_limits, dtype_of, levels, rescaled_array, scale_of, zero_of
from ..schema import Operator, Tensor
from ..table import quantised


def table(x: Value, origin: Operator, function: Callable[[np.ndarray, Tensor, Tensor], np.ndarray]) -> Value:
    """A function of each element: it gets all values of the operand's type and both tensors."""
    before, after = origin.inputs[0], origin.outputs[0]
    assert before is not None
    dtype = dtype_of(after)
    if x.dtype.bits != 8:
        raise UnsupportedError(f"activations of {x.dtype} are not supported", hint="quantise to 8 bits")
    with np.errstate(all="ignore"):
        entries = function(levels(before), before, after)
    return quant.lookup(x, constant(np.clip(entries, *dtype.limits).astype(dtype.numpy)))


def _rounded(x: np.ndarray) -> np.ndarray:
    """The nearest whole number, halves away from zero."""
    return np.trunc(x + np.copysign(x.dtype.type(0.5), x))


def by_floats(
    function: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray, Tensor, Tensor], np.ndarray]:
    """A table through real numbers in single precision, as the kernels with lookup tables fill theirs."""

    def entries(q: np.ndarray, x: Tensor, y: Tensor) -> np.ndarray:
        real = (q - zero_of(x)).astype(np.float32) * scale_of(x)
        value = function(real).astype(np.float32) * (np.float32(1) / scale_of(y))
        return np.nan_to_num(_rounded(value), nan=0, posinf=2e9, neginf=-2e9) + np.float32(zero_of(y))

    return entries


def _erf(x: np.ndarray) -> np.ndarray:
    return math.erf.evaluate(x.astype(np.float64))[0]


def _by_table(op: str, newest: int, function: Callable[[np.ndarray], np.ndarray]) -> None:
    @quantised(op, newest=newest)
    def convert(x, *, call):
        return table(x, call.node.origin, by_floats(function))


_by_table("LOGISTIC", 3, lambda x: 1 / (1 + np.exp(-x)))
_by_table("TANH", 3, np.tanh)
_by_table("EXP", 2, np.exp)
_by_table("LOG", 2, np.log)


@quantised("GELU", newest=2)
def gelu(x, *, approximate=False, call):
    def real(v: np.ndarray) -> np.ndarray:
        if approximate:
            return (
                np.float32(0.5)
                * v
                * (1 + np.tanh(np.float32(0.7978845608) * (v + np.float32(0.044715) * v**3)))
            )
        return np.float32(0.5) * v * (1 + _erf(v * np.float32(0.70710678118654752440)).astype(np.float32))

    return table(x, call.node.origin, by_floats(real))


@quantised("RELU", "RELU6", "RELU_N1_TO_1", newest=3)
def relu(x, *, call):
    def entries(q: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
        scale = float(scale_of(before) / scale_of(after))
        value = rescaled_array(q - zero_of(before), scale) + zero_of(after)
        return np.clip(value, *activation_limits(after, call.node.op))

    return table(x, call.node.origin, entries)


@quantised("LEAKY_RELU", newest=2)
def leaky_relu(x, *, alpha=0.0, call):
    def entries(q: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
        offset = q - zero_of(before)
        negative = float(scale_of(before) * np.float32(alpha) / scale_of(after))
        positive = float(scale_of(before) / scale_of(after))
        sign = -1 if negative < 0 else 1
        low = sign * rescaled_array(offset, abs(negative))
        return np.where(offset >= 0, rescaled_array(offset, positive), low) + zero_of(after)

    return table(x, call.node.origin, entries)


@quantised("ABS", newest=5)
def absolute(x, *, call):
    def entries(q: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
        value = np.abs(q - zero_of(before))
        if scale_of(before) != scale_of(after):
            value = rescaled_array(value, float(scale_of(before) / scale_of(after)))
        return value + zero_of(after)

    return table(x, call.node.origin, entries)


@quantised("RSQRT", newest=3)
def rsqrt(x, *, call):
    """The kernel's two roundings: 20 fractional bits between the root and the scale."""

    def entries(q: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
        offset = q - zero_of(before)
        scale = 1 / (np.sqrt(float(scale_of(before))) * float(scale_of(after)))
        roots = _rounded(2.0**20 / np.sqrt(np.maximum(offset, 1).astype(np.float64)))
        value = rescaled_array(roots, scale / 2**20) + zero_of(after)
        # 0 gives the greatest value; what is below has no root, and the kernel refuses it
        return np.where(offset > 0, value, 127 if after.dtype.kind == "int" else 255)  # type: ignore[union-attr]

    return table(x, call.node.origin, entries)


@quantised("HARD_SWISH")
def hard_swish(x, *, call):
    return table(x, call.node.origin, _hard_swish)


def _hard_swish(q: np.ndarray, before: Tensor, after: Tensor) -> np.ndarray:
    """In 16-bit fixed point with 7 fractional bits: x times min(max(x + 3, 0), 6) / 6."""
    fine = scale_of(before) * np.float32(1 / 128)
    output, output_exponent = _multiplier_16(float(fine / scale_of(after)))
    relu_like, exponent = _multiplier_16(float(fine / np.float32(3 / 32768)))
    value = (q - zero_of(before)) << 7
    scaled = _high_16(value, output)
    gate = value
    if exponent > 0:
        gate = _saturated_16(gate << (exponent - 1))
    gate = _high_16(gate, relu_like)
    if exponent > 0:
        gate = _saturated_16(gate << 1)
    if exponent < 0:
        gate = _halved(gate, -exponent)
    gate = (gate + (1 << 15)) >> 1
    product_ = np.trunc(gate * scaled / (1 << 15)).astype(np.int32)
    return _halved(product_, -output_exponent) + zero_of(after)


def _multiplier_16(scale: float) -> tuple[int, int]:
    """A scale as a 15-bit multiplier and an exponent."""
    fraction, exponent = np.frexp(scale)
    wide = int(np.floor(fraction * 2**31 + 0.5))
    if wide == 2**31:
        wide, exponent = 2**30, exponent + 1
    return (32767 if wide >= 2**31 - 1 - 2**15 else (wide + 2**15) >> 16), int(exponent)


def _high_16(a: np.ndarray, b: int) -> np.ndarray:
    """2 * a * b / 2^16, rounded to the nearest, halves up."""
    return (a.astype(np.int32) * b + (1 << 14)) >> 15


def _saturated_16(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(1 << 15), (1 << 15) - 1)


def _halved(x: np.ndarray, times: int) -> np.ndarray:
    """x / 2^times, rounded to the nearest, halves away from zero."""
    return x if times == 0 else (x + (1 << times - 1) - (x < 0)) >> times
