"""Elementwise ops on floats and plain integers: arithmetic, comparisons, logic, activations, casts."""

from collections.abc import Callable
from functools import reduce as fold

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value
from ...build import math, nn, shape
from ..activation import activated
from ..table import converter


def _binary(op: str, build: Callable[[Value, Value], Value], newest: int) -> None:
    """An op with two operands that broadcast and a fused activation."""

    @converter(op, newest=newest)
    def convert(x, y, *, fused_activation_function="NONE", pot_scale_int16=True):
        return activated(build(x, y), fused_activation_function)


_binary("ADD", lambda x, y: math.add(x, y), 5)
_binary("SUB", lambda x, y: math.sub(x, y), 5)
_binary("MUL", lambda x, y: math.mul(x, y), 7)
_binary("DIV", lambda x, y: math.div(x, y), 3)


def _plain(op: str, newest: int, build: Callable[..., Value]) -> None:
    """An op without options, on as many operands as it takes."""

    @converter(op, newest=newest)
    def convert(*operands):
        return build(*operands)


for _op, _newest, _build in (
    ("ABS", 5, lambda x: math.abs(x)),
    ("CEIL", 1, lambda x: math.ceil(x)),
    ("COS", 1, lambda x: math.cos(x)),
    ("ELU", 1, lambda x: math.elu(x)),
    ("EQUAL", 4, lambda x, y: math.eq(x, y)),
    ("EXP", 2, lambda x: math.exp(x)),
    ("FLOOR", 1, lambda x: math.floor(x)),
    ("FLOOR_DIV", 3, lambda x, y: math.floordiv(x, y)),
    ("FLOOR_MOD", 2, lambda x, y: math.mod(x, y)),
    ("GREATER", 2, lambda x, y: math.gt(x, y)),
    ("GREATER_EQUAL", 3, lambda x, y: math.ge(x, y)),
    ("HARD_SWISH", 1, lambda x: math.hard_swish(x)),
    ("LESS", 3, lambda x, y: math.lt(x, y)),
    ("LESS_EQUAL", 2, lambda x, y: math.le(x, y)),
    ("LOG", 2, lambda x: math.log(x)),
    ("LOGICAL_AND", 1, lambda x, y: math.logical_and(x, y)),
    ("LOGICAL_NOT", 1, lambda x: math.logical_not(x)),
    ("LOGICAL_OR", 1, lambda x, y: math.logical_or(x, y)),
    ("LOGISTIC", 3, lambda x: math.sigmoid(x)),
    ("MAXIMUM", 4, lambda x, y: math.max(x, y)),
    ("MINIMUM", 4, lambda x, y: math.min(x, y)),
    ("NEG", 1, lambda x: math.neg(x)),
    ("NOT_EQUAL", 3, lambda x, y: math.ne(x, y)),
    ("POW", 1, lambda x, y: math.pow(x, y)),
    ("PRELU", 1, lambda x, slope: math.prelu(x, slope)),
    ("RELU", 3, lambda x: math.relu(x)),
    ("RELU6", 3, lambda x: math.clip(x, 0.0, 6.0)),
    ("RELU_0_TO_1", 1, lambda x: math.clip(x, 0.0, 1.0)),
    ("RELU_N1_TO_1", 1, lambda x: math.clip(x, -1.0, 1.0)),
    ("ROUND", 1, lambda x: math.round(x)),
    ("RSQRT", 3, lambda x: math.reciprocal(math.sqrt(x))),
    ("SIGN", 2, lambda x: math.sign(x)),
    ("SIN", 1, lambda x: math.sin(x)),
    ("SQRT", 1, lambda x: math.sqrt(x)),
    ("SQUARE", 1, lambda x: math.mul(x, x)),
    ("TANH", 3, lambda x: math.tanh(x)),
    ("ZEROS_LIKE", 1, lambda x: math.mul(x, 0)),
):
    _plain(_op, _newest, _build)


@converter("SQUARED_DIFFERENCE", newest=2)
def squared_difference(x, y):
    difference = math.sub(x, y)
    return math.mul(difference, difference)


@converter("ADD_N")
def add_n(*xs):
    return fold(math.add, xs)


@converter("LEAKY_RELU", newest=2)
def leaky_relu(x, *, alpha=0.0):
    return math.leaky_relu(x, alpha=alpha)


@converter("GELU", newest=2)
def gelu(x, *, approximate=False):
    return math.gelu(x, approximate="tanh" if approximate else "none")


@converter("SOFTMAX", newest=3)
def softmax(x, *, beta=0.0):
    scaled = x if beta == 1 else math.mul(x, float(beta))
    return nn.softmax(scaled, axis=x.type.rank - 1)


@converter("LOG_SOFTMAX", newest=2)
def log_softmax(x):
    return nn.log_softmax(x, axis=x.type.rank - 1)


@converter("CAST", newest=7)
def cast(x, *, in_data_type=None, out_data_type=None, call):
    dtype = call.node.origin.outputs[0].dtype
    if dtype is None:
        raise UnsupportedError("its result's type is not known to this build", hint="cast to another type")
    return x if x.dtype == dtype else math.cast(x, dtype=dtype)


@converter("DEQUANTIZE", newest=6)
def dequantize(x, *, call):
    """Without parameters it only widens: weights that are stored as f16."""
    return math.cast(x, dtype=call.node.origin.outputs[0].dtype)


@converter("SELECT_V2", newest=2, moves=True)
def select(condition, x, y):
    return math.where(condition, x, y)


@converter("SELECT", newest=4, moves=True)
def select_1(condition, x, y):
    """A vector of conditions chooses whole slices along the first axis."""
    if condition.type.rank == 1 and x.type.rank > 1:
        condition = shape.reshape(condition, shape=(condition.shape[0], *(1,) * (x.type.rank - 1)))
    return math.where(condition, x, y)
