"""Elementwise ops: arithmetic, comparison, logic, casts, choices."""

import ml_dtypes

from ....compiler.ir.graph import constant
from ....compiler.ir.types import DType, boolean, f64, u8
from ...angles import arc_tangent
from ...build import math
from ..promotion import cast, floating, tensor, together
from ..schema import Any
from ..table import converter

_FLOAT_UNARY = {
    "acos": "acos",
    "acosh": "acosh",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctanh": "atanh",
    "asin": "asin",
    "asinh": "asinh",
    "atan": "atan",
    "atanh": "atanh",
    "cos": "cos",
    "cosh": "cosh",
    "erf": "erf",
    "exp": "exp",
    "log": "log",
    "reciprocal": "reciprocal",
    "sigmoid": "sigmoid",
    "sin": "sin",
    "sinh": "sinh",
    "special_expit": "sigmoid",
    "sqrt": "sqrt",
    "tan": "tan",
    "tanh": "tanh",
}
_SAME_UNARY = {
    "abs": "abs",
    "ceil": "ceil",
    "floor": "floor",
    "neg": "neg",
    "round": "round",
    "sign": "sign",
    "sgn": "sign",
    "trunc": "trunc",
    "fix": "trunc",
    "negative": "neg",
    "absolute": "abs",
}
_WHOLE = ("ceil", "floor", "round", "trunc", "fix")
_COMPARISONS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}
_LONG_NAMES = {
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
}
_LOGICAL = {"logical_and": "logical_and", "logical_or": "logical_or", "logical_xor": "logical_xor"}
_BITWISE = {
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "__and__": "and",
    "__or__": "or",
    "__xor__": "xor",
}


def _float_unary(op):
    return lambda self: getattr(math, op)(*floating(self))


def _same_unary(name, op):
    def convert(self):
        return self if name in _WHOLE and not self.dtype.is_float else getattr(math, op)(self)

    return convert


def _compared(op):
    return lambda self, other: getattr(math, op)(*_comparable(op, self, other))


def _comparable(op, self, other):
    """Bools have no order in the IR."""
    x, y = together(self, other)
    return (x, y) if x.dtype != boolean or op in ("eq", "ne") else together(x, y, dtype=u8)


def _logical(op):
    return lambda self, other: getattr(math, op)(*together(self, other, dtype=boolean))


def _bitwise(op):
    def convert(self, other):
        x, y = together(self, other)
        return getattr(math, f"{'logical' if x.dtype == boolean else 'bit'}_{op}")(x, y)

    return convert


for _name, _op in _FLOAT_UNARY.items():
    converter(_name)(_float_unary(_op))
for _name, _op in _SAME_UNARY.items():
    converter(_name)(_same_unary(_name, _op))
for _name, _op in {**_COMPARISONS, **_LONG_NAMES}.items():
    converter(_name)(_compared(_op))
for _name, _op in _LOGICAL.items():
    converter(_name)(_logical(_op))
for _name, _op in _BITWISE.items():
    converter(_name)(_bitwise(_op))


@converter("add")
def add(self, other, alpha=1):
    x, y = together(self, other)
    if x.dtype == boolean:
        return math.logical_or(x, y)
    return math.add(x, y if alpha == 1 else math.mul(y, tensor(alpha, y.dtype)))


@converter("sub", "subtract")
def sub(self, other, alpha=1):
    x, y = together(self, other)
    return math.sub(x, y if alpha == 1 else math.mul(y, tensor(alpha, y.dtype)))


@converter("rsub")
def rsub(self, other, alpha=1):
    return sub(other, self, alpha)


@converter("mul", "multiply")
def mul(self, other):
    x, y = together(self, other)
    return math.logical_and(x, y) if x.dtype == boolean else math.mul(x, y)


@converter("div", "divide", "true_divide")
def div(self, other, *, rounding_mode: str | None = None):
    if rounding_mode is None:
        return math.div(*floating(self, other))
    x, y = together(self, other)
    if rounding_mode == "floor":
        return math.floordiv(x, y)
    quotient = math.div(x, y)
    return math.trunc(quotient) if quotient.dtype.is_float else quotient


@converter("floor_divide")
def floor_divide(self, other):
    return math.floordiv(*together(self, other))


@converter("remainder")
def remainder(self, other):
    return math.mod(*together(self, other))


@converter("fmod")
def fmod(self, other):
    return math.fmod(*together(self, other))


@converter("pow")
def pow(self, exponent):
    if exponent == 2:
        return math.mul(self, self)
    return math.pow(*together(self, exponent))


@converter("float_power")
def float_power(self, exponent):
    return math.pow(*together(self, exponent, dtype=f64))


@converter("square")
def square(self):
    return math.mul(self, self)


@converter("rsqrt")
def rsqrt(self):
    return math.reciprocal(math.sqrt(*floating(self)))


@converter("log2")
def log2(self):
    return math.mul(math.log(*floating(self)), 1.4426950408889634)


@converter("log10")
def log10(self):
    return math.mul(math.log(*floating(self)), 0.4342944819032518)


@converter("log1p")
def log1p(self):
    return math.log(math.add(*floating(self, 1)))


@converter("exp2")
def exp2(self):
    return math.exp(math.mul(*floating(self, 0.6931471805599453)))


@converter("expm1")
def expm1(self):
    return math.sub(math.exp(*floating(self)), 1)


@converter("erfc")
def erfc(self):
    x = math.erf(*floating(self))
    return math.sub(tensor(1, x.dtype), x)


@converter("frac")
def frac(self):
    return math.sub(self, math.trunc(self))


@converter("atan2", "arctan2")
def atan2(self, other):
    return arc_tangent(*floating(self, other))


@converter("hypot")
def hypot(self, other):
    x, y = together(self, other)
    return math.sqrt(math.add(math.mul(x, x), math.mul(y, y)))


@converter("logaddexp")
def logaddexp(self, other):
    """The greater one and what the other adds to it; equal infinities are themselves."""
    x, y = together(self, other)
    most = math.max(x, y)
    gap = math.where(math.eq(x, y), constant(0, x.dtype), math.neg(math.abs(math.sub(x, y))))
    return math.add(most, math.log(math.add(math.exp(gap), 1)))


@converter("xlogy", "special_xlogy")
def xlogy(self, other):
    x, y = floating(self, other)
    zero = constant(0, x.dtype)
    product = math.where(math.eq(x, zero), zero, math.mul(x, math.log(y)))
    return math.where(math.isnan(y), y, product)


@converter("logit", "special_logit")
def logit(self, eps: float | None = None):
    (x,) = floating(self)
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return math.log(math.div(x, math.sub(constant(1, x.dtype), x)))


@converter("sinc", "special_sinc")
def sinc(self):
    x = math.mul(*floating(self, 3.141592653589793))
    one = constant(1, x.dtype)
    return math.where(math.eq(x, 0), one, math.div(math.sin(x), x))


@converter("copysign")
def copysign(self, other):
    """The sign of -0.0 is seen in its reciprocal."""
    x, y = floating(self, other)
    size, below = math.abs(x), math.lt(math.where(math.eq(y, 0), math.reciprocal(y), y), 0)
    return math.where(below, math.neg(size), size)


@converter("heaviside")
def heaviside(self, values):
    x, y = together(self, values)
    return math.where(math.eq(x, 0), y, math.where(math.ne(x, x), x, cast(math.gt(x, 0), x.dtype)))


@converter("deg2rad")
def deg2rad(self):
    return math.mul(*floating(self, 0.017453292519943295))


@converter("rad2deg")
def rad2deg(self):
    return math.mul(*floating(self, 57.29577951308232))


@converter("isclose")
def isclose(self, other, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False):
    x, y = floating(self, other)
    near = math.le(math.abs(math.sub(x, y)), math.add(math.mul(math.abs(y), rtol), atol))
    near = math.logical_or(math.logical_and(near, isfinite(y)), math.eq(x, y))
    both = math.logical_and(math.isnan(x), math.isnan(y))
    return math.logical_or(near, both) if equal_nan else near


@converter("maximum", "max.other")
def maximum(self, other):
    return _extreme("max", self, other)


@converter("minimum", "min.other")
def minimum(self, other):
    return _extreme("min", self, other)


@converter("fmax")
def fmax(self, other):
    x, y = together(self, other)
    return math.where(math.isnan(x), y, math.where(math.isnan(y), x, math.max(x, y)))


@converter("fmin")
def fmin(self, other):
    x, y = together(self, other)
    return math.where(math.isnan(x), y, math.where(math.isnan(y), x, math.min(x, y)))


def _extreme(op, self, other):
    x, y = together(self, other)
    if x.dtype == boolean:
        return math.logical_or(x, y) if op == "max" else math.logical_and(x, y)
    return getattr(math, op)(x, y)


@converter("clamp", "clip")
def clamp(self, min=None, max=None):
    x, *_ = together(self, *(bound for bound in (min, max) if bound is not None))
    low, high = (None if bound is None else tensor(bound, x.dtype) for bound in (min, max))
    if all(bound is None or bound.type.rank == 0 for bound in (low, high)):
        return math.clip(x, low, high)
    x = x if low is None else math.max(x, low)
    return x if high is None else math.min(x, high)


@converter("clamp_min")
def clamp_min(self, min):
    return clamp(self, min)


@converter("clamp_max")
def clamp_max(self, max):
    return clamp(self, None, max)


@converter("logical_not")
def logical_not(self):
    return math.logical_not(cast(self, boolean))


@converter("bitwise_not")
def bitwise_not(self):
    return math.logical_not(self) if self.dtype == boolean else math.bit_not(self)


@converter("bitwise_left_shift", "__lshift__")
def left_shift(self, other):
    return math.shift_left(*together(self, other))


@converter("bitwise_right_shift", "__rshift__")
def right_shift(self, other):
    return math.shift_right(*together(self, other))


@converter("isnan")
def isnan(self):
    return math.isnan(self) if self.dtype.is_float else math.ne(self, self)


@converter("isinf")
def isinf(self):
    return math.isinf(self) if self.dtype.is_float else math.ne(self, self)


@converter("isposinf")
def isposinf(self):
    return math.isinf(self, negative=False) if self.dtype.is_float else math.ne(self, self)


@converter("isneginf")
def isneginf(self):
    return math.isinf(self, positive=False) if self.dtype.is_float else math.ne(self, self)


@converter("signbit")
def signbit(self):
    return math.lt(copysign(1.0, self), 0) if self.dtype.is_float else math.lt(self, 0)


@converter("isfinite")
def isfinite(self):
    if not self.dtype.is_float:
        return math.eq(self, self)
    return math.logical_not(math.logical_or(math.isnan(self), math.isinf(self)))


@converter("nan_to_num")
def nan_to_num(self, nan: float | None = None, posinf: float | None = None, neginf: float | None = None):
    largest = float(ml_dtypes.finfo(self.dtype.numpy).max)
    x = math.where(math.isnan(self), tensor(nan or 0.0, self.dtype), self)
    high, low = largest if posinf is None else posinf, -largest if neginf is None else neginf
    x = math.where(math.isinf(self, negative=False), tensor(high, self.dtype), x)
    return math.where(math.isinf(self, positive=False), tensor(low, self.dtype), x)


@converter("where")
def where(condition, self, other):
    return math.where(cast(condition, boolean), *together(self, other))


@converter("masked_fill")
def masked_fill(self, mask, value):
    return math.where(cast(mask, boolean), tensor(value, self.dtype), self)


@converter("lerp")
def lerp(self, end, weight):
    return add(self, mul(weight, math.sub(end, self)))


@converter("addcmul")
def addcmul(self, tensor1, tensor2, *, value=1):
    return add(self, mul(tensor1, tensor2), value)


@converter("addcdiv")
def addcdiv(self, tensor1, tensor2, *, value=1):
    return add(self, div(tensor1, tensor2), value)


@converter("to.dtype")
def to_dtype(self, dtype: DType | None = None, non_blocking: bool = False, copy: bool = False):
    return cast(self, dtype)


@converter("to.device", "to.prim_Device")
def to_device(
    self,
    device: str | None = None,
    dtype: DType | None = None,
    non_blocking: bool = False,
    copy: bool = False,
):
    return cast(self, dtype)


@converter("to.dtype_layout", "_to_copy")
def to_dtype_layout(self, *, dtype: DType | None = None):
    return cast(self, dtype)


@converter("to.other", "type_as")
def to_other(self, other):
    return cast(self, other.dtype)


@converter("_assert_tensor_metadata")
def checked(a, size: Any = None, stride: Any = None, dtype: DType | None = None):
    """What torch checked while it exported holds for every input that the signature allows."""
    return ()


@converter("round.decimals")
def round_decimals(self, *, decimals: int):
    scale = 10.0**decimals
    return math.div(math.round(math.mul(self, scale)), scale)
