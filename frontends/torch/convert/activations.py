"""Activation functions."""

from ...build import math, shape
from ..promotion import tensor
from ..table import converter
from .arithmetic import clamp
from .parts import chunk


def _unary(op):
    return lambda self: getattr(math, op)(self)


for _name, _op in {
    "hardswish": "hard_swish",
    "mish": "mish",
    "relu": "relu",
    "selu": "selu",
    "silu": "silu",
}.items():
    converter(_name)(_unary(_op))


@converter("relu6")
def relu6(self):
    return clamp(self, 0, 6)


@converter("hardtanh")
def hardtanh(self, min_val=-1, max_val=1):
    return clamp(self, min_val, max_val)


@converter("gelu")
def gelu(self, *, approximate: str = "none"):
    return math.gelu(self, approximate=approximate)


@converter("leaky_relu")
def leaky_relu(self, negative_slope: float = 0.01):
    return math.leaky_relu(self, alpha=negative_slope)


@converter("rrelu")
def rrelu(self, lower: float = 0.125, upper: float = 1 / 3, training: bool = False):
    return math.leaky_relu(self, alpha=(lower + upper) / 2)


@converter("elu")
def elu(self, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0):
    x = self if input_scale == 1 else math.mul(self, input_scale)
    y = math.elu(x, alpha=alpha)
    return y if scale == 1 else math.mul(y, scale)


@converter("celu")
def celu(self, alpha: float = 1.0):
    return math.celu(self, alpha=alpha)


@converter("prelu")
def prelu(self, weight):
    """One slope for all, or one a channel (axis 1)."""
    spatial = (1,) * max(self.type.rank - 2, 0)
    return math.prelu(self, shape.reshape(weight, shape=(*weight.shape, *spatial)))


@converter("softplus")
def softplus(self, beta: float = 1.0, threshold: float = 20.0):
    x = math.mul(self, beta) if beta != 1 else self
    y = math.softplus(x)
    y = math.div(y, beta) if beta != 1 else y
    return math.where(math.gt(x, threshold), self, y)


@converter("hardsigmoid")
def hardsigmoid(self):
    return math.hard_sigmoid(self, alpha=1 / 6, beta=0.5)


@converter("log_sigmoid")
def log_sigmoid(self):
    return math.neg(math.softplus(math.neg(self)))


@converter("hardshrink")
def hardshrink(self, lambd: float = 0.5):
    return math.shrink(self, bias=0.0, threshold=lambd)


@converter("softshrink")
def softshrink(self, lambd: float = 0.5):
    return math.shrink(self, bias=lambd, threshold=lambd)


@converter("threshold")
def threshold(self, threshold: float, value: float):
    return math.where(math.gt(self, threshold), self, tensor(value, self.dtype))


@converter("glu")
def glu(self, dim: int = -1):
    x, gate = chunk(self, 2, dim)
    return math.mul(x, math.sigmoid(gate))
