"""Elementwise ops and reductions on quantised operands, in the arithmetic of TFLite's reference kernels."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import f32, i32
from ...build import math, quant, reduce, shape
from ...known import ints
from ..fixed import (
    check_same_scale,
    clamped,
    dtype_of,
    multiplier_of,
    rescaled,
    rescaled_array,
    rescaled_by,
    scale_of,
    shifted,
    zero_of,
)
from ..schema import Tensor
from ..table import quantised
from .integer_tables import table
from .layout import blocked
from .parts import padded, pairs_of
from .reductions import axes_operand


@quantised("QUANTIZE", newest=4)
def quantize(x, *, call):
    """From real numbers; or from one quantisation to another."""
    before, after = call.node.origin.inputs[0], call.node.origin.outputs[0]
    if x.dtype.is_float:
        return _quantized(x, after)
    scale = float(scale_of(before)) / float(scale_of(after))
    if x.dtype.bits > 8 or after.dtype.bits > 8:
        return rescaled(shifted(x, zero_of(before)), [scale], 0, zero_of(after), after.dtype)
    return table(
        x, call.node.origin, lambda q, *_: rescaled_array(q - zero_of(before), scale) + zero_of(after)
    )


def _quantized(x: Value, tensor: Tensor) -> Value:
    """Halves are rounded away from zero, which `quant.quantize` does not do."""
    dtype = dtype_of(tensor)
    ratio = math.div(x, constant(scale_of(tensor)))
    whole = math.trunc(math.add(ratio, math.mul(math.sign(ratio), 0.5)))
    low, high = dtype.limits
    value = math.clip(math.add(whole, float(zero_of(tensor))), float(low), float(high))
    return math.cast(value, dtype=dtype)


@quantised("DEQUANTIZE", newest=6)
def dequantize(x, *, call):
    tensor = call.node.origin.inputs[0]
    parameters = tensor.quantisation
    axis = parameters.axis if parameters.per_channel else 0
    scale, zero = parameters.scale, parameters.zero.astype(x.dtype.numpy)
    if not parameters.per_channel:
        scale, zero = scale[0], zero[0]
    return quant.dequantize(x, constant(scale), constant(zero), axis=axis, dtype=f32)


@quantised("SOFTMAX", newest=3)
def softmax(x, *, beta=0.0, call):
    """Exponentials come from a table by the distance to the greatest value; the rest is single precision."""
    before, after = call.node.origin.inputs[0], call.node.origin.outputs[0]
    axis = x.type.rank - 1
    wide = math.cast(x, dtype=i32)
    distance = math.sub(reduce.max(wide, axes=(axis,)), wide)
    scale = -scale_of(before) * np.float32(beta)
    entries = np.exp(scale * np.arange(256, dtype=np.float32)).astype(np.float32)
    powers = shape.gather(constant(entries), distance, axis=0)
    total = math.mul(reduce.sum(powers, axes=(axis,)), constant(scale_of(after)))
    shares = math.mul(powers, math.reciprocal(total))
    low, high = after.dtype.limits
    whole = math.floor(math.add(shares, 0.5))
    # the kernel for u8 takes the zero point for 0, as it is for every softmax
    zero = float(zero_of(after)) if after.dtype.kind == "int" else 0.0
    return math.cast(math.clip(math.add(whole, zero), float(low), float(high)), dtype=after.dtype)


def _summed(op: str, newest: int, sign: int) -> None:
    """ADD and SUB: both operands on a common finer scale, 20 bits below, then the sum on the result's."""

    @quantised(op, newest=newest)
    def convert(x, y, *, fused_activation_function="NONE", pot_scale_int16=True, call):
        (left, right), result = call.node.origin.inputs, call.node.origin.outputs[0]
        twice = float(np.float32(2) * max(scale_of(left), scale_of(right)))
        a, b = (_finer(value, tensor, twice, 20) for value, tensor in ((x, left), (y, right)))
        total = math.add(a, b) if sign > 0 else math.sub(a, b)
        scale = twice / (2**20 * float(scale_of(result)))
        out = rescaled(total, [scale], 0, zero_of(result), result.dtype)
        return clamped(out, result, fused_activation_function)


_summed("ADD", 5, 1)
_summed("SUB", 5, -1)


def _finer(x: Value, tensor: Tensor, common: float, bits: int) -> Value:
    """x - zero on the scale `common` / 2^bits."""
    if x.dtype.bits != 8:
        raise UnsupportedError(f"activations of {x.dtype} are not supported", hint="quantise to 8 bits")
    wide = math.mul(shifted(x, zero_of(tensor)), 1 << bits)
    return rescaled(wide, [float(scale_of(tensor)) / common])


@quantised("MUL", newest=7)
def mul(x, y, *, fused_activation_function="NONE", call):
    (left, right), result = call.node.origin.inputs, call.node.origin.outputs[0]
    total = math.mul(shifted(x, zero_of(left)), shifted(y, zero_of(right)))
    scale = float(scale_of(left) * scale_of(right) / scale_of(result))
    out = rescaled(total, [scale], 0, zero_of(result), result.dtype)
    return clamped(out, result, fused_activation_function)


@quantised("SQUARED_DIFFERENCE", newest=2)
def squared_difference(x, y, *, call):
    (left, right), result = call.node.origin.inputs, call.node.origin.outputs[0]
    twice = float(np.float32(2) * max(scale_of(left), scale_of(right)))
    difference = math.sub(_finer(x, left, twice, 7), _finer(y, right, twice, 7))
    scale = twice * twice / (2**14 * float(scale_of(result)))
    return rescaled(math.mul(difference, difference), [scale], 0, zero_of(result), result.dtype)


def _chosen(op: str, name: str) -> None:
    @quantised(op, newest=4)
    def convert(x, y, *, call):
        check_same_scale(call.node.origin)
        return getattr(math, name)(x, y)


_chosen("MAXIMUM", "max")
_chosen("MINIMUM", "min")


@quantised("MEAN", newest=3)
def mean(x, axes, *, keep_dims=False, call):
    before, after = call.node.origin.inputs[0], call.node.origin.outputs[0]
    reduced = axes_operand(x, axes)
    count = product(x.shape[axis] for axis in reduced)
    if not isinstance(count, int):
        raise UnsupportedError(f"it averages over '{count}' elements", hint="fix the dimension with shapes=")
    total = reduce.sum(shifted(x, zero_of(before)), axes=reduced, keepdims=bool(keep_dims))
    factor = _shared(float(scale_of(before)) / float(scale_of(after)), count)
    return rescaled_by(total, [factor], 0, zero_of(after), after.dtype)


def _shared(scale: float, count: int) -> tuple[int, int]:
    """A scale divided by a number of elements: the division cuts off what the multiplier can't hold."""
    multiplier, shift = multiplier_of(scale)
    bits = min(count.bit_length() - 1, 32, 62 - shift)
    return (multiplier << bits) // count, shift + bits


@quantised("SUM", newest=2)
def total(x, axes, *, keep_dims=False, call):
    before, after = call.node.origin.inputs[0], call.node.origin.outputs[0]
    found = reduce.sum(shifted(x, zero_of(before)), axes=axes_operand(x, axes), keepdims=bool(keep_dims))
    return rescaled(found, [float(scale_of(before) / scale_of(after))], 0, zero_of(after), after.dtype)


@quantised("PAD", newest=4)
def pad(x, amounts, *, call):
    check_same_scale(call.node.origin)
    return padded(x, amounts, constant(zero_of(call.node.origin.inputs[0]), x.dtype))


@quantised("SPACE_TO_BATCH_ND", newest=4)
def space_to_batch(x, blocks, amounts, *, call):
    check_same_scale(call.node.origin)
    zero = constant(zero_of(call.node.origin.inputs[0]), x.dtype)
    return blocked(x, ints(blocks, "block_shape"), pairs_of(amounts, "paddings"), zero)
