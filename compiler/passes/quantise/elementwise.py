"""Lowering of elementwise ops: sums and products of two, functions of one number as tables, clips as saturation."""

import numpy as np

from ...ir.graph import Node, Value, constant
from ...ir.types import i32
from ...ops import fixed, math
from ...ops.fixed import fixed_point
from .forms import Clipped, Form, Made, Stored, Sums, Unfit, table_of
from .lowering import Lowering, evaluated, lowers
from .parameters import HIGH, LOW, Parameters, common_shift

_FUNCTIONS = """
sigmoid leaky_relu elu selu celu hard_sigmoid hard_swish gelu silu mish softplus softsign thresholded_relu shrink neg
abs sign exp log sqrt erf tanh sin cos tan asin acos atan sinh cosh asinh acosh atanh floor ceil round trunc reciprocal
"""

_FINE = 64
"""Steps of a sum in one of 8-bit numbers beside it, at least: what is lost of these is less than what rounding them to
8 bits has cost, but for the largest ones."""

_CODES = np.arange(LOW, HIGH + 1, dtype=np.int8)


def _number(value: Value | None) -> float | None:
    """The number that a constant of one element holds."""
    if value is None or value.constant is None or value.constant.size != 1:
        return None
    return float(value.constant.reshape(()))


def _table(lowering: Lowering, node: Node, position: int) -> Form | None:
    """A function of the operand at `position`, the others being numbers, as a table of its 256 values."""
    x = node.operands[position]
    assert x is not None
    if not lowering.is_integer(x) or x.shape != node.result.shape:
        return None
    source = lowering.stored(x)
    if source is None:
        return None
    reals = source.parameters.reals(_CODES).astype(np.float32)
    operands = [
        None if v is None else reals if n == position else v.constant.reshape(())  # type: ignore[union-attr]
        for n, v in enumerate(node.operands)
    ]
    values = evaluated(node, *operands)

    def make(parameters: Parameters) -> Value:
        return table_of(source.value, parameters.quantised(values))

    return Made(make)


@lowers(*(f"math.{name}" for name in _FUNCTIONS.split()))
def function(lowering: Lowering, node: Node) -> Form | None:
    return _table(lowering, node, 0)


@lowers("math.pow")
def power(lowering: Lowering, node: Node) -> Form | None:
    return _table(lowering, node, 0) if _number(node.operands[1]) is not None else None


@lowers("math.relu", "math.clip")
def clip(lowering: Lowering, node: Node) -> Form | None:
    """Taken up by what is clipped where nobody else reads that."""
    x, low, high = (*node.operands, None, None)[:3]
    assert x is not None
    bounds = (0.0, np.inf) if node.op == "math.relu" else (_bound(low, -np.inf), _bound(high, np.inf))
    if None in bounds or not lowering.is_integer(x):
        return None
    form = lowering.form(x)
    if form is None or isinstance(form, Stored):
        return _table(lowering, node, 0)
    return Clipped(form, *bounds)  # type: ignore[arg-type]


def _bound(value: Value | None, default: float) -> float | None:
    return default if value is None else _number(value)


@lowers("math.add")
def add(lowering: Lowering, node: Node) -> Form | None:
    return _sum(lowering, node, 1)


@lowers("math.sub")
def sub(lowering: Lowering, node: Node) -> Form | None:
    return _sum(lowering, node, -1)


def _sum(lowering: Lowering, node: Node, sign: int) -> Form | None:
    a, b = node.operands
    assert a is not None
    assert b is not None
    biased = _biased(lowering, node, a, b, sign)
    if biased is not None:
        return biased
    if not (lowering.is_integer(a) or lowering.is_integer(b)):
        return None
    for position, other in ((0, b), (1, a)):
        if _number(other) is not None:
            return _table(lowering, node, position)
    residual = _residual(lowering, node, a, b, sign)
    if residual is not None:
        return residual
    left, right = lowering.stored(a), lowering.stored(b)
    if left is None or right is None:
        return None

    def make(parameters: Parameters) -> Value:
        factors = [left.parameters.scale / parameters.scale, sign * right.parameters.scale / parameters.scale]
        shift = common_shift(factors, 2**31 / 255)
        if shift is None:
            raise Unfit("a factor of the sum is too large")
        ma, mb = (int(np.rint(factor * 2.0**shift)) for factor in factors)
        if 255 * (abs(ma) + abs(mb)) >= 2**31:
            shift, ma, mb = shift - 1, ma >> 1, -(-mb >> 1)
        offset = -(left.parameters.zero * ma + right.parameters.zero * mb)
        return fixed.add(
            left.value,
            right.value,
            multipliers=(ma, mb),
            offset=offset,
            shift=shift,
            zero_point=parameters.zero,
        )

    return Made(make)


def _biased(lowering: Lowering, node: Node, a: Value, b: Value, sign: int) -> Form | None:
    """A constant taken up by sums that nothing else reads."""
    for x, other in ((a, b), (b, a) if sign > 0 else (a, b)):
        form = lowering.form(x)
        if isinstance(form, Sums) and other.constant is not None and x.shape == node.result.shape:
            return form.plus(sign * other.constant.astype(np.float64))
    return None


def _residual(lowering: Lowering, node: Node, a: Value, b: Value, sign: int) -> Form | None:
    """8-bit numbers taken up by sums that nothing else reads, as multiples of their steps, where these are fine enough:
    of two such sums by those with the finer ones."""
    ways = [(a, b, sign), *([(b, a, 1)] if sign > 0 else [])]
    found: list[tuple[float, Sums, Value, int]] = []
    for x, other, factor in ways:
        form, parameters = lowering.form(x), lowering.parameters(other)
        if isinstance(form, Sums) and parameters is not None and x.shape == other.shape == node.result.shape:
            found.append((float(np.max(form.scales)) / parameters.scale, form, other, factor))
    for coarse, form, other, factor in sorted(found, key=lambda each: each[0]):
        source = lowering.stored(other) if coarse * _FINE <= 1 else None
        taken = None if source is None else form.beside(source, factor)
        if taken is not None:
            return taken
    return None


@lowers("math.mul")
def mul(lowering: Lowering, node: Node) -> Form | None:
    a, b = node.operands
    assert a is not None
    assert b is not None
    for position, (x, other) in enumerate(((a, b), (b, a))):
        if other.constant is not None:
            scaled = _scaled(lowering, node, position, x, other.constant.astype(np.float64))
            if scaled is not None:
                return scaled
    if not (lowering.is_integer(a) or lowering.is_integer(b)):
        return None
    left, right = lowering.stored(a), lowering.stored(b)
    if left is None or right is None:
        return None

    def make(parameters: Parameters) -> Value:
        factors = fixed_point(left.parameters.scale * right.parameters.scale / parameters.scale)
        if factors is None:
            raise Unfit("the factor of the product is too large")
        zeros = (left.parameters.zero, right.parameters.zero)
        return fixed.mul(
            left.value,
            right.value,
            zeros=zeros,
            multiplier=int(factors[0]),
            shift=int(factors[1]),
            zero_point=parameters.zero,
        )

    return Made(make)


@lowers("math.div")
def div(lowering: Lowering, node: Node) -> Form | None:
    x, divisor = node.operands
    assert x is not None
    assert divisor is not None
    if divisor.constant is None or not divisor.constant.all():
        return None
    return _scaled(lowering, node, 0, x, 1 / divisor.constant.astype(np.float64))


def _by_channel(source: Stored, x: Value, factor: np.ndarray) -> Form | None:
    """8-bit numbers times one number a slice along an axis, such as a norm that stands alone."""
    shape = (1,) * (x.type.rank - factor.ndim) + factor.shape
    axes = [n for n, extent in enumerate(shape) if extent != 1]
    if len(axes) != 1 or not factor.all():
        return None
    signs = np.sign(factor.reshape(shape)).astype(np.int32)
    sums = math.cast(source.value, dtype=i32)
    if (signs < 0).any():
        sums = math.mul(sums, constant(signs))
    scales = np.abs(factor.reshape(-1)) * source.parameters.scale
    return Sums(sums, scales, axes[0], -source.parameters.zero * signs.astype(np.float64), -LOW)


def _scaled(lowering: Lowering, node: Node, position: int, x: Value, factor: np.ndarray) -> Form | None:
    """A product with a constant: sums and 8-bit numbers keep their values, only their scale changes."""
    if not lowering.is_integer(x) or x.shape != node.result.shape:
        return None
    form = lowering.form(x)
    if isinstance(form, Sums):
        return form.times(factor)
    source = lowering.stored(x)
    if factor.size != 1:
        return None if source is None else _by_channel(source, x, factor)
    if source is None or not factor.reshape(()) > 0:
        return _table(lowering, node, position)
    scale = float(np.float32(source.parameters.scale * float(factor.reshape(()))))
    return Stored(source.value, Parameters(scale, source.parameters.zero))
