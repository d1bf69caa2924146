"""Algebraic rules on elementwise ops. Only such as give the same bits: NaN, infinities and the sign of zero are kept.

(The one exception is max and min of 0.0 and -0.0, for which no op defines the sign.)

So `x - x` and `x * 0` stay (NaN), `x + 0.0` stays for floats (-0.0), and `x / c` becomes a product only where 1 / c is
exact. Float multiplications are not regrouped here; `normalise` does that for the weights of contractions.
"""

from typing import Any

import numpy as np

from ..ir.graph import Value, constant
from ..ir.types import DType
from ..ops import activation, math, shape
from ..rewrite import AnyOf, As, Attr, Const, Number, Rule, Splat, Var, uniform

X, Y, ANY = Var("x"), Var("y"), "f32[3, 5]"


def keeps_type(x: Value, y: Value, **_: Any) -> bool:
    """Whether x can stand in for y: a constant of a larger shape would have broadcast it."""
    return x.type == y.type


def _adds_nothing(x: Value, y: Value, c: Value) -> bool:
    number = uniform(c)
    neutral = number is not None and number == 0 and (not c.dtype.is_float or bool(np.signbit(number)))
    return neutral and keeps_type(x, y)


def _is_exact_reciprocal(c: Value, **_: Any) -> bool:
    """Powers of two whose reciprocal is a normal number."""
    array = c.constant
    if array is None or c.dtype.name not in ("f32", "f64") or not array.size or not np.isfinite(array).all():
        return False
    mantissa, exponent = np.frexp(array)
    return bool(
        (np.abs(mantissa) == 0.5).all() and (np.abs(exponent) < (120 if c.dtype.bits == 32 else 1000)).all()
    )


def _negated(x: Value, c: Value) -> Value:
    return math.add(x, constant(-c.constant))  # type: ignore[operator]


def _is_signed(x: Value, **_: Any) -> bool:
    return x.dtype.is_float or x.dtype.kind == "int"


_EXACT = {("f16", "f32"), ("f16", "f64"), ("bf16", "f32"), ("bf16", "f64"), ("f32", "f64")}


def holds_all(wide: DType, narrow: DType) -> bool:
    """Whether every value of `narrow` is one of `wide`."""
    if narrow.is_integer and wide.is_integer:
        if narrow.kind == wide.kind:
            return wide.bits >= narrow.bits
        return narrow.kind == "uint" and wide.bits > narrow.bits
    return narrow == wide or (narrow.name, wide.name) in _EXACT or (narrow.kind == "bool" and wide.is_integer)


def _scalar(number: Any, like: Value) -> Value:
    return constant(number, like.dtype)


RULES = (
    Rule(
        "x + 0 => x",
        As("y", math.add(X, Const("c"))),
        lambda x, y, c: x,
        guard=_adds_nothing,
        samples=({"x": "i32[3, 5]", "c": np.zeros(5, np.int32)}, {"x": ANY, "c": np.float32(-0.0)}),
    ),
    Rule(
        "x - c => x + -c",
        math.sub(X, Const("c")),
        _negated,
        guard=_is_signed,
        samples=({"x": ANY, "c": "f32[5]"}, {"x": "i32[3]", "c": "i32[3]"}),
    ),
    Rule(
        "x * 1 => x",
        As("y", AnyOf((math.mul(X, Number(1)), math.div(X, Number(1)), math.power(X, Number(1))))),
        lambda x, y: x,
        guard=keeps_type,
        samples=({"x": ANY}, {"x": "i32[3]"}),
    ),
    Rule(
        "x * -1 => -x",
        As("y", math.mul(X, Number(-1))),
        lambda x, y: math.neg(x),
        guard=lambda x, y: keeps_type(x, y) and _is_signed(x),
        samples=({"x": ANY},),
    ),
    Rule(
        "x / 2**n => x * 2**-n",
        math.div(X, Const("c")),
        lambda x, c: math.mul(x, constant(1 / c.constant)),
        guard=lambda x, c: _is_exact_reciprocal(c),
        samples=({"x": ANY, "c": np.array([0.5, 2, -4, 8, 1], np.float32)},),
    ),
    Rule(
        "1 / x => reciprocal(x)",
        As("y", math.div(Number(1), X)),
        lambda x, y: math.reciprocal(x),
        guard=lambda x, y: keeps_type(x, y) and x.dtype.is_float,
        samples=({"x": ANY},),
    ),
    Rule(
        "pow(x, 2) => x * x",
        As("y", math.power(X, Number(2))),
        lambda x, y: math.mul(x, x),
        guard=lambda x, y: keeps_type(x, y) and x.dtype.is_float,
        samples=({"x": ANY},),
    ),
    Rule(
        "pow(x, -1) => reciprocal(x)",
        As("y", math.power(X, Number(-1))),
        lambda x, y: math.reciprocal(x),
        guard=lambda x, y: keeps_type(x, y) and x.dtype.is_float,
        samples=({"x": ANY},),
    ),
    Rule("-(-x) => x", math.neg(math.neg(X)), lambda x: x, shared=True, samples=({"x": ANY},)),
    Rule(
        "x + -y => x - y",
        math.add(X, math.neg(Y)),
        lambda x, y: math.sub(x, y),
        guard=lambda x, y: x.constant is None and x.dtype.is_float,
        samples=({"x": ANY, "y": "f32[5]"},),
    ),
    Rule(
        "not (not x) => x",
        math.logical_not(math.logical_not(X)),
        lambda x: x,
        shared=True,
        samples=({"x": "bool[7]"},),
    ),
    Rule(
        "x and true => x, spread out",
        As("y", AnyOf((math.logical_and(X, Number(True)), math.logical_or(X, Number(False))))),
        lambda x, y: shape.expand(x, shape=y.shape),
        samples=({"x": "bool[3, 5]"},),
    ),
    Rule(
        "max(x, 0) => relu(x)",
        AnyOf((As("y", math.maximum(X, Number(0))), As("y", math.clip(X, Number(0))))),
        lambda x, y: activation.relu(x),
        guard=keeps_type,
        samples=({"x": ANY},),
    ),
    Rule(
        "relu(relu(x)) => relu(x)",
        activation.relu(activation.relu(X)),
        lambda x: activation.relu(x),
        samples=({"x": ANY},),
    ),
    Rule(
        "min(max(x, a), b) => clip(x, a, b)",
        As("y", math.minimum(math.maximum(X, Splat("a")), Splat("b"))),
        lambda x, y, a, b: math.clip(x, _scalar(a, x), _scalar(b, x)),
        guard=keeps_type,
        samples=({"x": ANY, "a": -0.5, "b": 0.5},),
    ),
    Rule(
        "max(min(x, b), a) => clip(x, a, b)",
        As("y", math.maximum(math.minimum(X, Splat("b")), Splat("a"))),
        lambda x, y, a, b: math.clip(x, _scalar(a, x), _scalar(b, x)),
        guard=lambda x, y, a, b: keeps_type(x, y) and a <= b,
        samples=({"x": ANY, "a": -0.5, "b": 0.5},),
    ),
    Rule(
        "min(relu(x), b) => clip(x, 0, b)",
        AnyOf(
            (
                As("y", math.minimum(activation.relu(X), Splat("b"))),
                As("y", math.clip(activation.relu(X), None, Splat("b"))),
                As("y", math.clip(activation.relu(X), Number(0), Splat("b"))),
            )
        ),
        lambda x, y, b: math.clip(x, _scalar(0, x), _scalar(b, x)),
        guard=keeps_type,
        samples=({"x": ANY, "b": 0.5},),
    ),
    Rule("clip(x) => x", math.clip(X), lambda x: x, samples=({"x": ANY},)),
    Rule(
        "where(true, x, y) => x",
        As("z", math.where(Splat("c"), X, Y)),
        lambda z, c, x, y: x if c else y,
        guard=lambda z, c, x, y: z.type == (x if c else y).type,
        samples=(
            {"c": np.ones(5, bool), "x": ANY, "y": "f32[]"},
            {"c": np.zeros(5, bool), "x": "f32[]", "y": ANY},
        ),
    ),
    Rule(
        "where(c, x, x) => x",
        As("y", math.where(Var("c"), X, X)),
        lambda x, y, c: x,
        guard=keeps_type,
        samples=({"c": "bool[5]", "x": ANY},),
    ),
    Rule(
        "where(not c, x, y) => where(c, y, x)",
        math.where(math.logical_not(Var("c")), X, Y),
        lambda c, x, y: math.where(c, y, x),
        shared=True,
        samples=({"c": "bool[5]", "x": ANY, "y": ANY},),
    ),
    Rule(
        "cast(x) to its own dtype => x",
        As("y", math.cast(X)),
        lambda x, y: x,
        guard=keeps_type,
        samples=({"x": ANY, "math.cast.dtype": math.f32},),
    ),
    Rule(
        "cast(cast(x)) through a wider dtype => cast(x)",
        math.cast(math.cast(X, dtype=Attr("middle")), dtype=Attr("dtype"), saturate=Attr("saturate")),
        lambda x, middle, dtype, saturate: math.cast(x, dtype=dtype, saturate=saturate),
        guard=lambda x, middle, dtype, saturate: holds_all(middle, x.dtype),
        shared=True,
        samples=({"x": "f16[7]", "middle": math.f32, "dtype": math.f16, "saturate": True},),
    ),
)
