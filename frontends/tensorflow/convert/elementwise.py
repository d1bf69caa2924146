"""Elementwise ops: arithmetic, comparison, logic, bits, casts, activations; and ops that pass their operand on."""

from functools import reduce as fold

import numpy as np

from ....compiler.ir.graph import Value, constant
from ...angles import arc_tangent
from ...build import math, nn, reduce, shape
from ..table import converter

_UNARY = {
    "Abs": "abs",
    "Acos": "acos",
    "Acosh": "acosh",
    "Asin": "asin",
    "Asinh": "asinh",
    "Atan": "atan",
    "Atanh": "atanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Elu": "elu",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Inv": "reciprocal",
    "Invert": "bit_not",
    "IsInf": "isinf",
    "IsNan": "isnan",
    "Log": "log",
    "LogicalNot": "logical_not",
    "Neg": "neg",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Rint": "round",
    "Round": "round",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
}
_BINARY = {
    "Add": "add",
    "AddV2": "add",
    "BitwiseAnd": "bit_and",
    "BitwiseOr": "bit_or",
    "BitwiseXor": "bit_xor",
    "Div": "div",
    "FloorDiv": "floordiv",
    "FloorMod": "mod",
    "Greater": "gt",
    "GreaterEqual": "ge",
    "LeftShift": "shift_left",
    "Less": "lt",
    "LessEqual": "le",
    "LogicalAnd": "logical_and",
    "LogicalOr": "logical_or",
    "Maximum": "max",
    "Minimum": "min",
    "Mod": "fmod",
    "Mul": "mul",
    "Pow": "pow",
    "RealDiv": "div",
    "RightShift": "shift_right",
    "Sub": "sub",
    "TruncateDiv": "div",
    "TruncateMod": "fmod",
}


def _unary(op):
    return lambda x: getattr(math, op)(x)


def _binary(op):
    return lambda x, y: getattr(math, op)(x, y)


for _name, _op in _UNARY.items():
    converter(_name)(_unary(_op))
for _name, _op in _BINARY.items():
    converter(_name)(_binary(_op))


@converter("Identity", "StopGradient", "PreventGradient", "Snapshot", "ReadVariableOp")
def identity(x, *, message="", dtype=None):
    """A handle to a variable is the variable's value here, so that reading it is nothing."""
    return x


@converter("PlaceholderWithDefault", "EnsureShape", "CheckNumerics")
def unchecked(x, *, shape=None, message=""):
    """Shapes and numbers that the model was written for are not checked again."""
    return x


@converter("IdentityN")
def identity_n(*xs):
    return xs


def scalar(value: float, like: Value) -> Value:
    """A number as a constant of a value's dtype."""
    return constant(np.array(value, like.dtype.numpy))


@converter("Square")
def square(x):
    return math.mul(x, x)


@converter("SquaredDifference")
def squared_difference(x, y):
    return square(math.sub(x, y))


@converter("Rsqrt")
def rsqrt(x):
    return math.reciprocal(math.sqrt(x))


@converter("Erfc")
def erfc(x):
    return math.sub(scalar(1, x), math.erf(x))


@converter("Atan2")
def atan2(y, x):
    return arc_tangent(y, x)


@converter("Log1p")
def log1p(x):
    return math.log(math.add(x, scalar(1, x)))


@converter("Expm1")
def expm1(x):
    return math.sub(math.exp(x), scalar(1, x))


@converter("IsFinite")
def is_finite(x):
    return math.logical_not(math.logical_or(math.isinf(x), math.isnan(x)))


@converter("Relu6")
def relu6(x):
    return math.clip(x, scalar(0, x), scalar(6, x))


@converter("LeakyRelu")
def leaky_relu(x, *, alpha=0.2):
    return math.leaky_relu(x, alpha=alpha)


@converter("ClipByValue")
def clip_by_value(x, low, high):
    return math.max(math.min(x, high), low)


@converter("DivNoNan")
def div_no_nan(x, y):
    return _zero_where(math.eq(y, scalar(0, y)), math.div(x, y))


@converter("MulNoNan")
def mul_no_nan(x, y):
    return _zero_where(math.eq(y, scalar(0, y)), math.mul(x, y))


@converter("Xdivy")
def xdivy(x, y):
    return _zero_where(math.eq(x, scalar(0, x)), math.div(x, y))


@converter("Xlogy")
def xlogy(x, y):
    return _zero_where(math.eq(x, scalar(0, x)), math.mul(x, math.log(y)))


def _zero_where(condition: Value, x: Value) -> Value:
    return math.where(condition, scalar(0, x), x)


@converter("Equal")
def equal(x, y, *, incompatible_shape_error=True):
    return math.eq(x, y)


@converter("NotEqual")
def not_equal(x, y, *, incompatible_shape_error=True):
    return math.ne(x, y)


@converter("SelectV2")
def select(condition, x, y):
    return math.where(condition, x, y)


@converter("Select")
def select_1(condition, x, y):
    """A vector of conditions picks rows."""
    if condition.type.rank == 1 and x.type.rank > 1:
        condition = shape.reshape(condition, shape=(condition.shape[0], *(1,) * (x.type.rank - 1)))
    return math.where(condition, x, y)


@converter("AddN", "AccumulateNV2")
def add_n(*xs, N=1, shape=None):
    return fold(math.add, xs)


@converter("Cast")
def cast(x, *, DstT, Truncate=False):
    return x if x.dtype == DstT else math.cast(x, dtype=DstT)


@converter("Bitcast")
def bitcast(x, *, type):
    return math.bitcast(x, dtype=type)


@converter("BiasAdd")
def bias_add(x, bias, *, data_format="NHWC"):
    if data_format.startswith("NC"):
        bias = shape.reshape(bias, shape=(*bias.shape, *(1,) * (x.type.rank - 2)))
    return math.add(x, bias)


@converter("BiasAddV1")
def bias_add_1(x, bias):
    return math.add(x, bias)


@converter("L2Loss")
def l2_loss(x):
    total = reduce.sum(math.mul(x, x), axes=tuple(range(x.type.rank)), keepdims=False)
    return math.mul(total, scalar(0.5, x))


@converter("Softmax")
def softmax(x):
    return nn.softmax(x, axis=x.type.rank - 1)


@converter("LogSoftmax")
def log_softmax(x):
    return nn.log_softmax(x, axis=x.type.rank - 1)
