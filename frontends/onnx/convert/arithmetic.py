"""Elementwise ops: arithmetic, comparison, logic, bits, activations."""

from functools import reduce as fold

from ....compiler.diagnostics import UnsupportedError
from ...build import math
from ..table import converter, register
from ..tensors import ONNX_DTYPE, dtype_of

_UNARY = {
    "Abs": "abs",
    "Acos": "acos",
    "Acosh": "acosh",
    "Asin": "asin",
    "Asinh": "asinh",
    "Atan": "atan",
    "Atanh": "atanh",
    "BitwiseNot": "bit_not",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "HardSwish": "hard_swish",
    "IsNaN": "isnan",
    "Log": "log",
    "Mish": "mish",
    "Neg": "neg",
    "Not": "logical_not",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Round": "round",
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
    "And": "logical_and",
    "BitwiseAnd": "bit_and",
    "BitwiseOr": "bit_or",
    "BitwiseXor": "bit_xor",
    "Div": "div",
    "Equal": "eq",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "Less": "lt",
    "LessOrEqual": "le",
    "Mul": "mul",
    "Or": "logical_or",
    "PRelu": "prelu",
    "Pow": "pow",
    "Sub": "sub",
    "Xor": "logical_xor",
}
_SINCE = {
    **dict.fromkeys(
        ("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "PRelu", "Pow", "Sub", "Xor"), 7
    ),
    **dict.fromkeys(("Acosh", "Asinh", "Atanh", "Cosh", "Erf", "IsNaN", "Sign", "Sinh"), 9),
    **dict.fromkeys(("Acos", "Asin", "Atan", "Cos", "Sin", "Tan"), 7),
    **dict.fromkeys(("GreaterOrEqual", "LessOrEqual"), 12),
    **dict.fromkeys(("BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Mish"), 18),
    "HardSwish": 14,
    "Round": 11,
}


def _unary(op):
    return lambda x: getattr(math, op)(x)


def _binary(op):
    return lambda x, y: getattr(math, op)(x, y)


for _onnx, _op in _UNARY.items():
    register(_onnx, _unary(_op), _SINCE.get(_onnx, 1))
for _onnx, _op in _BINARY.items():
    register(_onnx, _binary(_op), _SINCE.get(_onnx, 1))


@converter("Clip", since=11)
def clip(x, low=None, high=None):
    return math.clip(x, low, high)


_FLOAT_MAX = 3.4028234663852886e38


@converter("Clip")
def clip_6(x, *, max=_FLOAT_MAX, min=-_FLOAT_MAX):
    """The defaults bound nothing."""
    return math.clip(x, None if min == -_FLOAT_MAX else min, None if max == _FLOAT_MAX else max)


@converter("Sum", "Max", "Min", "Mean")
def variadic(*xs, call):
    """One node of many operands is a chain; the order of additions is the operands'."""
    names = {"Sum": math.add, "Mean": math.add, "Max": math.max, "Min": math.min}
    total = fold(names[call.node.op], xs)
    return math.div(total, len(xs)) if call.node.op == "Mean" and len(xs) > 1 else total


@converter("Mod", since=10)
def mod(x, y, *, fmod=0):
    return math.fmod(x, y) if fmod else math.mod(x, y)


@converter("BitShift", since=11)
def bit_shift(x, y, *, direction):
    return math.shift_left(x, y) if direction == "LEFT" else math.shift_right(x, y)


@converter("IsInf", since=10)
def is_inf(x, *, detect_negative=1, detect_positive=1):
    return math.isinf(x, negative=bool(detect_negative), positive=bool(detect_positive))


@converter("Where", since=9)
def where(condition, x, y):
    return math.where(condition, x, y)


@converter("Cast", since=24)
def cast(x, *, to, saturate=1, round_mode="up"):
    if round_mode != "up" and to == ONNX_DTYPE.get("f8e8m0"):
        raise UnsupportedError(f"round_mode '{round_mode}' is not supported", hint="use 'up'")
    dtype = dtype_of(to, "its attribute 'to'")
    return x if x.dtype == dtype else math.cast(x, dtype=dtype, saturate=bool(saturate))


@converter("Cast", since=19)
def cast_19(x, *, saturate=1, to):
    return cast(x, to=to, saturate=saturate)


@converter("Cast")
def cast_6(x, *, to):
    return cast(x, to=to)


@converter("CastLike", since=24)
def cast_like(x, like, *, saturate=1, round_mode="up"):
    return cast(x, to=ONNX_DTYPE[like.dtype.name], saturate=saturate, round_mode=round_mode)


@converter("CastLike", since=19)
def cast_like_19(x, like, *, saturate=1):
    return cast_like(x, like, saturate=saturate)


@converter("CastLike", since=15)
def cast_like_15(x, like):
    return cast_like(x, like)


@converter("BitCast", since=26)
def bit_cast(x, *, to):
    return math.bitcast(x, dtype=dtype_of(to, "its attribute 'to'"))


@converter("LeakyRelu")
def leaky_relu(x, *, alpha=0.01):
    return math.leaky_relu(x, alpha=alpha)


@converter("Elu")
def elu(x, *, alpha=1.0):
    return math.elu(x, alpha=alpha)


@converter("Celu", since=12)
def celu(x, *, alpha=1.0):
    return math.celu(x, alpha=alpha)


@converter("Selu")
def selu(x, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875):
    return math.selu(x, alpha=alpha, gamma=gamma)


@converter("HardSigmoid")
def hard_sigmoid(x, *, alpha=0.2, beta=0.5):
    return math.hard_sigmoid(x, alpha=alpha, beta=beta)


@converter("ThresholdedRelu", since=10)
def thresholded_relu(x, *, alpha=1.0):
    return math.thresholded_relu(x, alpha=alpha)


@converter("Shrink", since=9)
def shrink(x, *, bias=0.0, lambd=0.5):
    return math.shrink(x, bias=bias, threshold=lambd)


@converter("Gelu", since=20)
def gelu(x, *, approximate="none"):
    return math.gelu(x, approximate=approximate)


@converter("Swish", since=24)
def swish(x, *, alpha=1.0):
    return math.silu(x, alpha=alpha)
