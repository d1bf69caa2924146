"""Activations, by name in other layers' configurations and as layers; and layers that do nothing when not trained."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ...build import math, nn, reduce, shape
from ...normalise import axes_of
from ..table import layer


def number(value: Any, like: Value) -> Value:
    """A number or array as a constant of a value's dtype."""
    return constant(np.asarray(value, like.dtype.numpy))


def _last(op) -> Callable[[Value], Value]:
    return lambda x: op(x, axis=x.type.rank - 1)


def _gated(x: Value) -> Value:
    """One half of the last axis, gated by the other."""
    half = x.shape[-1] // 2
    sizes, zeros = (*x.shape[:-1], half), (0,) * (x.type.rank - 1)
    a, gate = (shape.slice(x, starts=(*zeros, at), sizes=sizes, steps=(1,) * x.type.rank) for at in (0, half))
    return math.mul(a, math.sigmoid(gate))


def _square_plus(x: Value) -> Value:
    return math.mul(math.add(x, math.sqrt(math.add(math.mul(x, x), number(4, x)))), number(0.5, x))


def _sparse_plus(x: Value) -> Value:
    """0 up to -1, x from 1 on, a parabola between."""
    step = math.add(math.clip(x, number(-1, x), number(1, x)), number(1, x))
    return math.where(math.ge(x, number(1, x)), x, math.mul(math.mul(step, step), number(0.25, x)))


_ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
    "celu": lambda x: math.celu(x),
    "elu": lambda x: math.elu(x),
    "exponential": lambda x: math.exp(x),
    "gelu": lambda x: math.gelu(x),
    "glu": _gated,
    "hard_shrink": lambda x: math.shrink(x, bias=0.0, threshold=0.5),
    "hard_sigmoid": lambda x: math.hard_sigmoid(x, alpha=1 / 6, beta=0.5),
    "hard_sigmoid_2": lambda x: math.hard_sigmoid(x, alpha=0.2, beta=0.5),
    "hard_silu": lambda x: math.hard_swish(x),
    "hard_swish": lambda x: math.hard_swish(x),
    "hard_tanh": lambda x: math.clip(x, number(-1, x), number(1, x)),
    "leaky_relu": lambda x: math.leaky_relu(x, alpha=0.2),
    "linear": lambda x: x,
    "log_sigmoid": lambda x: math.neg(math.softplus(math.neg(x))),
    "log_softmax": _last(nn.log_softmax),
    "mish": lambda x: math.mish(x),
    "relu": lambda x: math.relu(x),
    "relu6": lambda x: math.clip(x, number(0, x), number(6, x)),
    "selu": lambda x: math.selu(x),
    "sigmoid": lambda x: math.sigmoid(x),
    "silu": lambda x: math.silu(x),
    "soft_shrink": lambda x: math.shrink(x, bias=0.5, threshold=0.5),
    "softmax": _last(nn.softmax),
    "softplus": lambda x: math.softplus(x),
    "softsign": lambda x: math.softsign(x),
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": lambda x: math.clip(
        math.hard_sigmoid(x, alpha=0.5, beta=0.5), number(0, x), number(1, x)
    ),
    "squareplus": _square_plus,
    "swish": lambda x: math.silu(x),
    "tanh": lambda x: math.tanh(x),
    "tanh_shrink": lambda x: math.sub(x, math.tanh(x)),
}


def activated(x: Value, activation: Any) -> Value:
    """x under the activation that a configuration names."""
    if activation is None:
        return x
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        named = activation.get("class_name", "?") if isinstance(activation, dict) else activation
        raise UnsupportedError(
            f"its activation '{named}' is not known",
            hint="export it with model.export(), and read the SavedModel",
        )
    return _ACTIVATIONS[activation](x)


@layer("Activation")
def activation_layer(x, *, activation):
    return activated(x, activation)


@layer(
    *(
        "Dropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "GaussianNoise",
        "GaussianDropout",
    ),
    *("AlphaDropout", "ActivityRegularization", "Identity", "StochasticDepth"),
)
def nothing(x, *, rate=0.0, stddev=0.0, l1=0.0, l2=0.0, drop_path_rate=0.0, data_format=None):
    """These do something in training only."""
    return x


@layer("ReLU")
def relu(x, *, max_value=None, negative_slope=0.0, threshold=0.0):
    """max(x, 0) cut at `max_value`; below the threshold the slope times what is missing."""
    if threshold:
        low = math.mul(math.sub(x, number(threshold, x)), number(negative_slope, x))
        out = math.where(math.ge(x, number(threshold, x)), x, low)
        return out if max_value is None else math.min(out, number(max_value, x))
    if negative_slope:
        out = math.leaky_relu(x, alpha=float(negative_slope))
        return out if max_value is None else math.min(out, number(max_value, x))
    return math.relu(x) if max_value is None else math.clip(x, number(0, x), number(max_value, x))


@layer("LeakyReLU")
def leaky_relu(x, *, negative_slope=None, alpha=None):
    """`alpha` is Keras 2's name."""
    slope = negative_slope if negative_slope is not None else 0.3 if alpha is None else alpha
    return math.leaky_relu(x, alpha=float(slope))


@layer("ELU")
def elu(x, *, alpha=1.0):
    return math.elu(x, alpha=float(alpha))


@layer("PReLU")
def prelu(x, alpha, *, shared_axes=None):
    """The slopes have extent 1 on shared axes, so that they broadcast."""
    return math.prelu(x, shape.reshape(alpha, shape=(1, *alpha.shape)))


@layer("Softmax")
def softmax(x, *, axis=(-1,)):
    axes = axes_of((axis,) if isinstance(axis, int) else axis, x.type.rank, "axis")
    if len(axes) == 1:
        return nn.softmax(x, axis=axes[0])
    powers = math.exp(math.sub(x, reduce.max(x, axes=axes)))
    return math.div(powers, reduce.sum(powers, axes=axes))
