"""Activation functions: elementwise bodies of several scalar operations.

Each stands twice: as numpy code, which is its meaning, and as an expression, which compiled code follows.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.types import TensorType
from ..tile.stage import Expr, Number, apply, lift, select
from .engine import Op, Sample, case, op
from .math import EXTREME, FLOATS
from .rules import NUMBERS, broadcast_shapes, only, per_element, pointwise, same_dtype, same_type, widen
from .scalar import SCALARS

_OPERANDS = (
    "f32[4, 37]",
    "f64[3, 1, 5]",
    "f16[9]",
    "bf16[2, 7]",
    ("f32[]", -60, 60),
    ("f32[17]", -9, 9),
    EXTREME,
)

_UNCHANGED = same_type()


def _activation(
    name: str,
    body: Callable[..., Expr],
    cost: int,
    attributes: Sequence[dict[str, Any]] = ({},),
    kinds: Sequence[str] = FLOATS,
    more: tuple[Sample, ...] = (),
    infer: Callable[..., TensorType] = _UNCHANGED,
) -> Callable[[Callable[..., Any]], Op]:
    """Declares an activation of one operand; the samples take each of `attributes` in turn."""
    samples = [case(x, **attributes[n % len(attributes)]) for n, x in enumerate(_OPERANDS)]

    def declare(meaning: Callable[..., Any]) -> Op:
        @functools.wraps(meaning)
        def rounded_once(x, **given):
            return meaning(widen(x), **given).astype(x.dtype, copy=False)

        return op(
            f"math.{name}",
            infer=only(kinds, infer),
            stages=pointwise(body),
            cost=per_element(cost),
            samples=(*samples, *more),
        )(rounded_once)

    return declare


def _apply(name: str, x: Expr, *others: Expr | Number) -> Expr:
    return apply(name, x, *(lift(other, x.dtype) for other in others))


def _max(x: Expr, bound: Number) -> Expr:
    return _apply("max", x, bound)


def _exp(x: Expr) -> Expr:
    return _apply("exp", x)


def _between(x: Expr, low: Number, high: Number) -> Expr:
    return _apply("min", _max(x, low), high)


def _sigmoid(x: Expr) -> Expr:
    return 1 / (1 + _exp(-x))


def _softplus(x: Expr) -> Expr:
    return _max(x, 0) + _apply("log", 1 + _exp(-_apply("abs", x)))


@_activation("sigmoid", _sigmoid, 15)
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


@_activation("relu", lambda x: _max(x, 0), 1, kinds=NUMBERS, more=(case("i32[7]"), case("i8[3, 3]")))
def relu(x):
    """max(x, 0)."""
    return np.maximum(x, np.zeros((), x.dtype))


@_activation("leaky_relu", lambda x, *, alpha: select(x < 0, x * alpha, x), 3, [{}, {"alpha": 0.2}])
def leaky_relu(x, *, alpha: float = 0.01):
    """x, or alpha * x where x is negative."""
    return np.where(x < 0, x * alpha, x)


@_activation("elu", lambda x, *, alpha: select(x < 0, alpha * (_exp(x) - 1), x), 13, [{}, {"alpha": 0.5}])
def elu(x, *, alpha: float = 1.0):
    """x, or alpha * (exp(x) - 1) where x is negative."""
    return np.where(x < 0, alpha * np.expm1(x), x)


@_activation(
    "selu",
    lambda x, *, alpha, gamma: gamma * select(x < 0, alpha * (_exp(x) - 1), x),
    14,
    [{}, {"alpha": 2.0, "gamma": 1.5}],
)
def selu(x, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875):
    """gamma * x, or gamma * alpha * (exp(x) - 1) where x is negative (Klambauer et al., 2017)."""
    return gamma * np.where(x < 0, alpha * np.expm1(x), x)


@_activation(
    "celu", lambda x, *, alpha: select(x < 0, alpha * (_exp(x / alpha) - 1), x), 17, [{}, {"alpha": 0.5}]
)
def celu(x, *, alpha: float = 1.0):
    """x, or alpha * (exp(x / alpha) - 1) where x is negative."""
    return np.where(x < 0, alpha * np.expm1(x / alpha), x)


@_activation(
    "hard_sigmoid",
    lambda x, *, alpha, beta: _between(alpha * x + beta, 0, 1),
    4,
    [{}, {"alpha": 0.5, "beta": 0.6}],
)
def hard_sigmoid(x, *, alpha: float = 0.2, beta: float = 0.5):
    """alpha * x + beta, kept within 0 and 1."""
    return np.clip(alpha * x + beta, 0, 1)


@_activation("hard_swish", lambda x: x * _between(x * (1 / 6) + 0.5, 0, 1), 5)
def hard_swish(x):
    """x times x / 6 + 0.5 kept within 0 and 1."""
    return x * np.clip(x * x.dtype.type(1 / 6) + x.dtype.type(0.5), 0, 1)


def _gelu(x: Expr, *, approximate: str) -> Expr:
    if approximate == "tanh":
        return 0.5 * x * (1 + _apply("tanh", math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))
    return 0.5 * x * (1 + _apply("erf", x * math.sqrt(0.5)))


def _gelu_type(x: TensorType, *, approximate: str) -> TensorType:
    if approximate not in ("none", "tanh"):
        raise TypeRuleError(f"'approximate' is {approximate!r}, expected 'none' or 'tanh'")
    return x


@_activation("gelu", _gelu, 20, [{}, {"approximate": "tanh"}], infer=_gelu_type)
def gelu(x, *, approximate: str = "none"):
    """x times the normal distribution's cumulative function: by erf, or ("tanh") by Hendrycks and Gimpel's formula."""
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + SCALARS["erf"].numpy(x * x.dtype.type(math.sqrt(0.5))))


@_activation("silu", lambda x, *, alpha: x / (1 + _exp(x * -alpha)), 16, [{}, {"alpha": 1.702}])
def silu(x, *, alpha: float = 1.0):
    """x * sigmoid(alpha * x); also called swish."""
    return x / (1 + np.exp(x * -alpha))


@_activation("mish", lambda x: x * _apply("tanh", _softplus(x)), 40)
def mish(x):
    """x * tanh(softplus(x))."""
    return x * np.tanh(np.logaddexp(x, x.dtype.type(0)))


@_activation("softplus", _softplus, 25)
def softplus(x):
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(x, x.dtype.type(0))


@_activation("softsign", lambda x: x / (1 + _apply("abs", x)), 6)
def softsign(x):
    """x / (1 + |x|)."""
    return x / (1 + np.abs(x))


@_activation(
    "thresholded_relu", lambda x, *, alpha: select(x > alpha, x, lift(0, x.dtype)), 2, [{}, {"alpha": 0.3}]
)
def thresholded_relu(x, *, alpha: float = 1.0):
    """x where it is above alpha, else 0."""
    return np.where(x > alpha, x, x.dtype.type(0))


def _shrink(x: Expr, *, bias: float, threshold: float) -> Expr:
    return select(x < -threshold, x + bias, select(x > threshold, x - bias, 0))


@_activation("shrink", _shrink, 5, [{}, {"bias": 0.25, "threshold": 0.7}])
def shrink(x, *, bias: float = 0.0, threshold: float = 0.5):
    """x moved towards 0 by bias, and 0 where |x| <= threshold; NaN gives 0."""
    zero = x.dtype.type(0)
    return np.where(x < -threshold, x + bias, np.where(x > threshold, x - bias, zero))


def _prelu_type(x: TensorType, slope: TensorType) -> TensorType:
    if broadcast_shapes(x.shape, slope.shape) != x.shape:
        raise TypeRuleError(f"slope {slope} does not broadcast to x {x}")
    return x.with_dtype(same_dtype(x, slope))


@op(
    "math.prelu",
    infer=only(NUMBERS, _prelu_type),
    stages=pointwise(lambda x, slope: select(x < 0, x * slope, x)),
    cost=per_element(3),
    samples=(
        case("f32[2, 3, 5, 5]", "f32[3, 1, 1]"),
        case("f16[4, 7]", "f16[]"),
        case("i32[9]", "i32[9]"),
        case(EXTREME, "f32[1]"),
    ),
)
def prelu(x, slope):
    """x, or slope * x where x is negative; slope broadcasts to x."""
    return np.where(x < 0, widen(x) * widen(slope), widen(x)).astype(x.dtype, copy=False)
