"""Rules that see an activation in the arithmetic that exporters write for it."""

from math import pi, sqrt
from typing import Any

from ..ir.graph import Value
from ..ops import activation, math
from ..rewrite import AnyOf, As, Attr, Number, Pattern, Rule, Splat, Var
from .algebra import keeps_type

X = Var("x")
ANY = "f32[3, 5]"


def _near(value: float) -> Number:
    """A constant that exporters write with the digits of its dtype, or a few less."""
    return Number(value, relative=1e-6)


def _is_float(x: Value, y: Value, **_: Any) -> bool:
    return x.dtype.is_float and keeps_type(x, y)


def _halved_product(bracket: Pattern) -> AnyOf:
    """x * 0.5 * bracket, in each order of the two products."""
    return AnyOf(
        (
            math.mul(math.mul(X, Number(0.5)), bracket),
            math.mul(X, math.mul(bracket, Number(0.5))),
            math.mul(math.mul(X, bracket), Number(0.5)),
        )
    )


_ERF = math.erf(AnyOf((math.div(X, _near(sqrt(2))), math.mul(X, _near(sqrt(0.5))))))
_SQUARE = math.mul(X, X)
_CUBE = AnyOf((math.power(X, Number(3)), math.mul(_SQUARE, X)))
_SLOPE = math.add(
    AnyOf((math.mul(_SQUARE, _near(0.044715)), math.mul(math.mul(X, _near(0.044715)), X))), Number(1)
)
_TANH = math.tanh(
    AnyOf(
        (
            math.mul(math.add(X, math.mul(_CUBE, _near(0.044715))), _near(sqrt(2 / pi))),
            math.mul(math.mul(X, _near(sqrt(2 / pi))), _SLOPE),
            math.mul(math.mul(X, _SLOPE), _near(sqrt(2 / pi))),
        )
    )
)
_SIX = math.clip(math.add(X, Number(3)), Number(0), Number(6))
_SIXTH = _near(1 / 6)

RULES = (
    Rule(
        "x / 2 * (1 + erf(x / sqrt(2))) => gelu(x)",
        As(
            "y",
            AnyOf(
                (
                    _halved_product(math.add(_ERF, Number(1))),
                    math.mul(X, math.add(math.mul(_ERF, Number(0.5)), Number(0.5))),
                )
            ),
        ),
        lambda x, y: activation.gelu(x),
        guard=_is_float,
        samples=({"x": ANY},),
    ),
    Rule(
        "x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) => gelu(x) by tanh",
        As("y", _halved_product(math.add(_TANH, Number(1)))),
        lambda x, y: activation.gelu(x, approximate="tanh"),
        guard=_is_float,
        samples=({"x": ANY},),
    ),
    Rule(
        "1 / (1 + exp(-x)) => sigmoid(x)",
        math.reciprocal(As("y", math.add(math.exp(math.neg(X)), Number(1)))),
        lambda x, y: activation.sigmoid(x),
        guard=_is_float,
        samples=({"x": ANY},),
    ),
    Rule(
        "x * sigmoid(a * x) => silu(x)",
        As(
            "y",
            AnyOf(
                (
                    math.mul(X, activation.sigmoid(math.mul(X, Splat("a")))),
                    math.mul(X, activation.sigmoid(X)),
                    math.div(X, math.add(math.exp(math.neg(X)), Number(1))),
                )
            ),
        ),
        lambda x, y, a=1.0: activation.silu(x, alpha=float(a)),
        guard=_is_float,
        samples=({"x": ANY, "a": 1.702},),
    ),
    Rule(
        "clip(x + 3, 0, 6) / 6 => hard_sigmoid(x)",
        As("y", AnyOf((math.div(_SIX, Number(6)), math.mul(_SIX, _SIXTH)))),
        lambda x, y: activation.hard_sigmoid(x, alpha=1 / 6, beta=0.5),
        guard=_is_float,
        samples=({"x": ANY},),
    ),
    Rule(
        "clip(a * x + b, 0, 1) => hard_sigmoid(x)",
        As("y", math.clip(math.add(math.mul(X, Splat("a")), Splat("b")), Number(0), Number(1))),
        lambda x, y, a, b: activation.hard_sigmoid(x, alpha=float(a), beta=float(b)),
        guard=_is_float,
        samples=({"x": ANY, "a": 0.25, "b": 0.5},),
    ),
    Rule(
        "x * hard_sigmoid(x) => hard_swish(x)",
        math.mul(X, activation.hard_sigmoid(X, alpha=Attr("alpha"), beta=0.5)),
        lambda x, alpha: activation.hard_swish(x),
        guard=lambda x, alpha: abs(alpha * 6 - 1) < 1e-6,
        samples=({"x": ANY, "alpha": 1 / 6},),
    ),
    Rule(
        "x * clip(x + 3, 0, 6) / 6 => hard_swish(x)",
        As("y", AnyOf((math.div(math.mul(X, _SIX), Number(6)), math.mul(math.mul(X, _SIX), _SIXTH)))),
        lambda x, y: activation.hard_swish(x),
        guard=_is_float,
        samples=({"x": ANY},),
    ),
    Rule(
        "x * tanh(log(1 + exp(x))) => mish(x)",
        As(
            "y",
            AnyOf(
                (
                    math.mul(X, math.tanh(activation.softplus(X))),
                    math.mul(X, math.tanh(math.log(math.add(math.exp(X), Number(1))))),
                )
            ),
        ),
        lambda x, y: activation.mish(x),
        guard=_is_float,
        samples=({"x": ANY},),
    ),
    Rule(
        "max(x, a * x) => leaky_relu(x)",
        As("y", math.maximum(X, math.mul(X, Splat("a")))),
        lambda x, y, a: activation.leaky_relu(x, alpha=float(a)),
        guard=lambda x, y, a: _is_float(x, y) and 0 < a < 1,
        samples=({"x": ANY, "a": 0.1},),
    ),
    Rule(
        "where(x > 0, x, a * x) => leaky_relu(x)",
        As(
            "y",
            AnyOf(
                (
                    math.where(math.gt(X, Number(0)), X, math.mul(X, Splat("a"))),
                    math.where(math.ge(X, Number(0)), X, math.mul(X, Splat("a"))),
                    math.where(math.lt(X, Number(0)), math.mul(X, Splat("a")), X),
                )
            ),
        ),
        lambda x, y, a: activation.leaky_relu(x, alpha=float(a)),
        guard=_is_float,
        samples=({"x": ANY, "a": 0.1},),
    ),
)
