"""Rules that see a normalisation, or softmax, in the reductions and arithmetic that exporters write for it."""

from typing import Any

import numpy as np

from ..ir.dims import Dim
from ..ir.graph import Value, constant
from ..ops import math, norm, reduce, shape
from ..rewrite import AnyOf, As, Attr, Const, Maybe, Number, Pattern, Rule, Splat, Var, example
from .affine import along

X = Var("x")
AXES = Attr("axes")


def _ends(x: Value, axes: tuple[int, ...], **_: Any) -> bool:
    """Whether the axes are the last ones, as the norms of the IR have them, and the elements are floats."""
    rank = x.type.rank
    return x.dtype.is_float and bool(axes) and sorted(axes) == list(range(rank - len(axes), rank))


def _over_spread(element: Pattern, again: Pattern) -> AnyOf:
    """element / sqrt(mean(element**2) + eps), as a quotient or as a product with a reciprocal."""
    power = math.add(reduce.mean(math.mul(again, again), axes=AXES, keepdims=True), Splat("eps"))
    spread = math.sqrt(power)
    return AnyOf(
        (
            math.div(element, spread),
            math.mul(element, math.reciprocal(spread)),
            math.mul(element, math.power(power, -0.5)),
        )
    )


_CENTRED = math.sub(X, reduce.mean(X, axes=AXES, keepdims=True))
_EXPONENTIAL = math.exp(math.sub(X, reduce.max_of(X, axes=AXES, keepdims=True)))
_NORM = {"axes": (1,), "eps": 1e-3}


def _inner(c: Value, x: Value, axis: int) -> Value | None:
    """c without leading extents of 1, if it varies along the normalised axes only."""
    lead = max(0, c.type.rank - (x.type.rank - axis))
    if any(dim != 1 for dim in c.shape[:lead]):
        return None
    kept = c.shape[lead:]
    if any(a not in (1, b) for a, b in zip(kept[::-1], x.shape[::-1])):
        return None
    return shape.reshape(c, shape=kept) if lead else c


def _with_scale(op: Any, x: Value, c: Value, axis: int, epsilon: float) -> Value | None:
    scale = _inner(c, x, axis)
    return None if scale is None else op(x, scale, axis=axis, epsilon=epsilon)


def _with_bias(x: Value, s: Value | None, c: Value, axis: int, epsilon: float) -> Value | None:
    bias = _inner(c, x, axis)
    return None if bias is None else norm.layer_norm(x, s, bias, axis=axis, epsilon=epsilon)


def _is_grouped(x: Value, y: Value, shape: tuple[Dim, ...], **_: Any) -> bool:
    """Whether y is x as [N, groups, ...], to be shaped back."""
    channels, groups = x.shape[1] if x.type.rank > 2 else None, y.shape[1]
    whole = isinstance(channels, int) and isinstance(groups, int) and channels % groups == 0
    return whole and shape == x.shape and y.shape[0] == x.shape[0]


def _group_norm(x: Value, y: Value, shape: tuple[Dim, ...], epsilon: float) -> Value:
    channels = x.shape[1]
    assert isinstance(channels, int)
    scale, bias = (constant(np.full(channels, number), x.dtype) for number in (1, 0))
    return norm.group_norm(x, scale, bias, groups=y.shape[1], epsilon=epsilon)


def _scaled_group_norm(y: Value, x: Value, s: Value, b: Value, c: Value, **_: Any) -> Value:
    factor = shape.reshape(c, shape=(c.type.elements,))
    return norm.group_norm(x, math.mul(s, factor), math.mul(b, factor), **y.node.attributes)


def _shifted_group_norm(y: Value, x: Value, s: Value, b: Value, c: Value, **_: Any) -> Value:
    return norm.group_norm(x, s, math.add(b, shape.reshape(c, shape=(c.type.elements,))), **y.node.attributes)


def _varies_by_channel(y: Value, c: Value, **_: Any) -> bool:
    return along(c, y, 1) is not None


def _is_by_row(x: Value, y: Value, axis: int, shape: tuple[Dim, ...]) -> bool:
    """Whether y has the same rows as x, and the axis is the one along them."""
    return shape == x.shape and axis == y.type.rank - 1 and bool(shape) and y.shape[-1] == shape[-1]


_PLAIN: dict[str, Any] = {"axis": Attr("axis"), "epsilon": Attr("epsilon")}
_AFFINE = {"x": "f32[2, 3, 5]", "c": "f32[1, 1, 5]", "s": "f32[5]", "axis": 2, "epsilon": 1e-3}
_GROUP_NORM = As("y", norm.group_norm(X, Const("s"), Const("b")))
_GROUPS = {
    "x": "f32[2, 6, 3]",
    "s": "f32[6]",
    "b": "f32[6]",
    "c": "f32[6, 1]",
    "nn.group_norm.groups": 3,
    "nn.group_norm.epsilon": 1e-3,
}

RULES = (
    Rule(
        "(x - mean) / sqrt(variance + eps) => layer_norm(x)",
        _over_spread(As("d", _CENTRED), Var("d")),
        lambda x, d, axes, eps: norm.layer_norm(x, axis=min(axes), epsilon=float(eps)),
        guard=_ends,
        samples=({"x": "f32[3, 7]", **_NORM},),
    ),
    Rule(
        "x / sqrt(mean(x * x) + eps) => rms_norm(x)",
        _over_spread(X, X),
        lambda x, axes, eps: norm.rms_norm(x, axis=min(axes), epsilon=float(eps)),
        guard=_ends,
        samples=({"x": "f32[3, 7]", **_NORM},),
    ),
    Rule(
        "layer_norm(x) * c => layer_norm(x, c)",
        math.mul(norm.layer_norm(X, **_PLAIN), Const("c")),
        lambda **bound: _with_scale(norm.layer_norm, **bound),
        samples=(_AFFINE,),
    ),
    Rule(
        "layer_norm(x, s) + c => layer_norm(x, s, c)",
        math.add(norm.layer_norm(X, Maybe("s"), **_PLAIN), Const("c")),
        _with_bias,
        samples=(_AFFINE, {**_AFFINE, "s": None}),
    ),
    Rule(
        "rms_norm(x) * c => rms_norm(x, c)",
        math.mul(norm.rms_norm(X, **_PLAIN), Const("c")),
        lambda **bound: _with_scale(norm.rms_norm, **bound),
        samples=(_AFFINE,),
    ),
    Rule(
        "instance_norm over groups => group_norm(x)",
        shape.reshape(
            norm.instance_norm(As("y", shape.reshape(X)), Number(1), Number(0), epsilon=Attr("epsilon")),
            shape=Attr("shape"),
        ),
        _group_norm,
        guard=_is_grouped,
        samples=(
            example(
                lambda x, s, b: shape.reshape(
                    norm.instance_norm(shape.reshape(x, shape=(2, 3, 8)), s, b, epsilon=1e-3),
                    shape=(2, 6, 4),
                ),
                "f32[2, 6, 4]",
                np.ones(3, np.float32),
                np.zeros(3, np.float32),
            ),
        ),
    ),
    Rule(
        "group_norm(x, s, b) * c => group_norm(x, s * c, b * c)",
        math.mul(_GROUP_NORM, Const("c")),
        _scaled_group_norm,
        guard=_varies_by_channel,
        samples=(_GROUPS,),
    ),
    Rule(
        "group_norm(x, s, b) + c => group_norm(x, s, b + c)",
        math.add(_GROUP_NORM, Const("c")),
        _shifted_group_norm,
        guard=_varies_by_channel,
        samples=(_GROUPS,),
    ),
    Rule(
        "reshape(softmax(reshape(x))) => softmax(x)",
        shape.reshape(norm.softmax(As("y", shape.reshape(X)), axis=Attr("axis")), shape=Attr("shape")),
        lambda x, y, axis, shape: norm.softmax(x, axis=x.type.rank - 1),
        guard=_is_by_row,
        samples=(
            example(
                lambda x: shape.reshape(
                    norm.softmax(shape.reshape(x, shape=(6, 4)), axis=1), shape=(2, 3, 4)
                ),
                "f32[2, 3, 4]",
            ),
        ),
    ),
    Rule(
        "exp(x - max) / sum => softmax(x)",
        math.div(As("e", _EXPONENTIAL), reduce.sum_of(Var("e"), axes=AXES, keepdims=True)),
        lambda x, e, axes: norm.softmax(x, axis=axes[0]),
        guard=lambda x, axes, **_: len(axes) == 1,
        samples=({"x": "f32[3, 7]", "axes": (1,)},),
    ),
)
