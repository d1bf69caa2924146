"""Factors and offsets around a contraction move into its constant weights and bias; batch normalisation first of all.

Float products are regrouped here, with the new weights computed in f64 and rounded once. A matrix product keeps its
bias as an addition, which later becomes an epilogue of its kernel.
"""

from typing import Any

import numpy as np

from ...runtime.background import Background
from ..ir.graph import Value, constant
from ..ops import contract, convolution, math, norm, shape
from ..rewrite import AnyOf, As, Attr, Const, Maybe, Rule, Var, uniform
from .base import Rewrite
from .zero_points import RULES as ZERO_POINTS

_LARGE = 1 << 19
"""Weights of which a second thread makes half: as many take a millisecond."""

X, W, B, C = Var("x"), Const("w"), Maybe("b", constant=True), Const("c")


def along(c: Value, like: Value, axis: int) -> np.ndarray | None:
    """A constant that varies along one axis of `like` only, as f64[extent]; None for any other."""
    array, extent, axis = c.constant, like.shape[axis], axis % like.type.rank
    if array is None or not c.dtype.is_float or array.ndim > like.type.rank or not isinstance(extent, int):
        return None
    aligned = (1,) * (like.type.rank - array.ndim) + array.shape
    if aligned[axis] not in (1, extent) or any(n != 1 for m, n in enumerate(aligned) if m != axis):
        return None
    return np.broadcast_to(array.astype(np.float64).reshape(-1), (extent,))


def _factor(c: Value, like: Value, axis: int) -> np.ndarray:
    """As `along`, after a guard has seen that there is one."""
    factor = along(c, like, axis)
    assert factor is not None
    return factor


def _wide(value: Value) -> np.ndarray:
    assert value.constant is not None
    return value.constant.astype(np.float64)


def _round(array: np.ndarray, like: Value) -> Value:
    return constant(array.astype(like.dtype.numpy))


def _times(w: Value, factor: np.ndarray, parts: tuple[int, ...] | None = None) -> Value:
    """Weights, seen in the shape `parts`, times a factor, as if in f64: each product rounded once, no copy in f64.

    Factors that f32 holds exactly are multiplied in f32: that rounds to the same, in a third of the time. Two threads
    make large ones.
    """
    assert w.constant is not None
    source = w.constant.reshape(w.type.static_shape if parts is None else parts)
    out = np.empty(source.shape, source.dtype)
    with np.errstate(over="ignore"):
        narrow = factor.astype(source.dtype)
    if source.dtype == np.float32 and np.array_equal(narrow, factor):
        factor = narrow
    factor = np.broadcast_to(factor, source.shape)

    def multiply(part: slice) -> None:
        np.multiply(source[part], factor[part], out=out[part], casting="unsafe", dtype=factor.dtype)

    middle = len(source) // 2 if source.size > _LARGE else 0
    beside = Background(lambda: multiply(slice(middle))) if middle else None
    multiply(slice(middle, None))
    if beside is not None:
        beside.result()
    return constant(out.reshape(w.type.static_shape))


def _by_group(y: Value, w: Value) -> tuple[int, ...]:
    """The shape of weights whose first axis is split into groups."""
    groups = y.node.attributes["groups"]
    first, *others = w.type.static_shape
    return (groups, first // groups, *others)


def _bias(b: Value | None, outputs: int) -> np.ndarray:
    return np.zeros(outputs) if b is None else _wide(b)


# The value called y in these patterns is the contraction that the factor or offset c follows.


def _by_channel(y: Value, c: Value, **_: Any) -> bool:
    return along(c, y, 1) is not None


def _scaled_conv(y: Value, x: Value, w: Value, b: Value | None, factor: np.ndarray) -> Value:
    bias = None if b is None else _times(b, factor)
    scaled = _times(w, factor.reshape(-1, *[1] * (w.type.rank - 1)))
    return convolution.conv(x, scaled, bias, **y.node.attributes)


def _scaled_conv_transpose(y: Value, x: Value, w: Value, b: Value | None, factor: np.ndarray) -> Value:
    parts = _by_group(y, w)
    bias = None if b is None else _times(b, factor)
    scaled = _times(w, factor.reshape(parts[0], 1, -1, *[1] * (w.type.rank - 2)), parts)
    return convolution.conv_transpose(x, scaled, bias, **y.node.attributes)


def _shifted(op: Any, y: Value, x: Value, w: Value, b: Value | None, c: Value) -> Value:
    offset = _factor(c, y, 1)
    return op(x, w, _round(_bias(b, len(offset)) + offset, w), **y.node.attributes)


def _by_input(y: Value, w: Value, factor: np.ndarray) -> np.ndarray:
    """One number for each input channel, aligned with the weights [groups, O/groups, C/groups, ...]."""
    return factor.reshape(y.node.attributes["groups"], 1, -1, *[1] * (w.type.rank - 2))


def _conv_of_scaled(y: Value, x: Value, c: Value, w: Value, b: Value | None) -> Value:
    scaled = _times(w, _by_input(y, w, _factor(c, x, 1)), _by_group(y, w))
    return convolution.conv(x, scaled, b, **y.node.attributes)


def _conv_of_shifted(y: Value, x: Value, c: Value, w: Value, b: Value | None) -> Value:
    terms = _wide(w).reshape(_by_group(y, w)) * _by_input(y, w, _factor(c, x, 1))
    moved = terms.reshape(w.shape[0], -1).sum(axis=1)
    return convolution.conv(x, w, _round(_bias(b, len(moved)) + moved, w), **y.node.attributes)


def _pads_space_with_zeros(fill: Value | None, pads: tuple[int, ...], **_: Any) -> bool:
    rank = len(pads) // 2
    zero = fill is None or uniform(fill) == 0
    return zero and min(pads) >= 0 and not any((*pads[:2], *pads[rank : rank + 2]))


def _conv_of_pad(
    y: Value, x: Value, fill: Value | None, pads: tuple[int, ...], w: Value, b: Value | None
) -> Value:
    rank = len(pads) // 2
    spatial = (*pads[2:rank], *pads[rank + 2 :])
    attributes = dict(y.node.attributes)
    attributes["pads"] = tuple(a + b for a, b in zip(attributes["pads"], spatial, strict=True))
    return convolution.conv(x, w, b, **attributes)


def _batch_norm(x: Value, s: Value, b: Value, m: Value, v: Value, epsilon: float) -> Value:
    factor = _wide(s) / np.sqrt(_wide(v) + epsilon)
    column = (-1, *[1] * (x.type.rank - 2))
    scaled = math.mul(x, _round(factor.reshape(column), x))
    return math.add(scaled, _round((_wide(b) - _wide(m) * factor).reshape(column), x))


def _by_column(y: Value, c: Value, w: Value, b: Value | None = None, **_: Any) -> bool:
    fits = b is None or (b.constant is not None and along(b, y, -1) is not None)
    return fits and w.type.rank >= 2 and along(c, y, -1) is not None


CONV = As("y", convolution.conv(X, W, B))
CONV_TRANSPOSE = As("y", convolution.conv_transpose(X, W, B))
MATMUL = As("y", contract.matmul(X, W))
_CONV = {
    "nn.conv.strides": (1, 1),
    "nn.conv.pads": (1, 1, 0, 1),
    "nn.conv.dilations": (1, 1),
    "nn.conv.groups": 2,
}
_SAMPLE = {"x": "f32[1, 4, 5, 5]", "w": "f32[6, 2, 3, 3]", "b": "f32[6]", "c": "f32[6, 1, 1]", **_CONV}
_NO_BIAS = {**_SAMPLE, "b": None, "c": "f32[]"}
_TRANSPOSED = {
    "x": "f32[1, 4, 3]",
    "w": "f32[4, 3, 2]",
    "b": "f32[6]",
    "c": "f32[6, 1]",
    "nn.conv_transpose.strides": (2,),
    "nn.conv_transpose.pads": (0, 1),
    "nn.conv_transpose.dilations": (1,),
    "nn.conv_transpose.output_padding": (0,),
    "nn.conv_transpose.groups": 2,
}
_MATMUL = {"x": "f32[2, 3, 4]", "w": "f32[4, 5]", "b": "f32[5]", "c": ("f32[5]", 0.5, 2.0)}

RULES = (
    Rule(
        "batch_norm(x) => x * s + t",
        norm.batch_norm(X, Const("s"), Const("b"), Const("m"), Const("v"), epsilon=Attr("epsilon")),
        _batch_norm,
        samples=(
            {
                "x": "f32[2, 3, 4]",
                "s": "f32[3]",
                "b": "f32[3]",
                "m": "f32[3]",
                "v": ("f32[3]", 0.1, 2.0),
                "epsilon": 1e-3,
            },
        ),
    ),
    Rule(
        "conv(x, w, b) * c => conv(x, w * c, b * c)",
        math.mul(CONV, C),
        lambda y, x, w, b, c: _scaled_conv(y, x, w, b, _factor(c, y, 1)),
        guard=_by_channel,
        samples=(_SAMPLE, _NO_BIAS),
    ),
    Rule(
        "conv(x, w, b) / c => conv(x, w / c, b / c)",
        math.div(CONV, C),
        lambda y, x, w, b, c: _scaled_conv(y, x, w, b, 1 / _factor(c, y, 1)),
        guard=_by_channel,
        samples=({**_SAMPLE, "c": ("f32[6, 1, 1]", 0.5, 2.0)},),
    ),
    Rule(
        "conv(x, w, b) + c => conv(x, w, b + c)",
        math.add(CONV, C),
        lambda y, x, w, b, c: _shifted(convolution.conv, y, x, w, b, c),
        guard=_by_channel,
        samples=(_SAMPLE, _NO_BIAS),
    ),
    Rule(
        "conv(x * c, w) => conv(x, w * c)",
        As("y", convolution.conv(math.mul(X, C), W, B)),
        _conv_of_scaled,
        guard=lambda x, c, **_: along(c, x, 1) is not None,
        samples=({**_SAMPLE, "c": "f32[4, 1, 1]"},),
    ),
    Rule(
        "conv(x + c, w, b) without padding => conv(x, w, b + w c)",
        As("y", convolution.conv(math.add(X, C), W, B, pads=Attr("pads"))),
        lambda y, x, c, w, b, pads: _conv_of_shifted(y, x, c, w, b),
        guard=lambda x, c, pads, **_: not any(pads) and along(c, x, 1) is not None,
        samples=({**_SAMPLE, "c": "f32[4, 1, 1]", "pads": (0, 0, 0, 0)},),
    ),
    Rule(
        "conv(pad(x), w) => conv(x, w) with padding",
        As(
            "y",
            convolution.conv(shape.pad(X, Maybe("fill"), pads=Attr("pads"), mode="constant"), Var("w"), B),
        ),
        _conv_of_pad,
        guard=_pads_space_with_zeros,
        samples=(
            {**_SAMPLE, "pads": (0, 0, 1, 0, 0, 0, 2, 3)},
            {**_SAMPLE, "fill": np.float32(0), "pads": (0,) * 7 + (1,)},
        ),
    ),
    Rule(
        "conv_transpose(x, w, b) * c => conv_transpose(x, w * c, b * c)",
        math.mul(CONV_TRANSPOSE, C),
        lambda y, x, w, b, c: _scaled_conv_transpose(y, x, w, b, _factor(c, y, 1)),
        guard=_by_channel,
        samples=(_TRANSPOSED,),
    ),
    Rule(
        "conv_transpose(x, w, b) + c => conv_transpose(x, w, b + c)",
        math.add(CONV_TRANSPOSE, C),
        lambda y, x, w, b, c: _shifted(convolution.conv_transpose, y, x, w, b, c),
        guard=_by_channel,
        samples=(_TRANSPOSED,),
    ),
    Rule(
        "(x w) * c => x (w * c)",
        AnyOf((math.mul(MATMUL, C), math.div(MATMUL, As("divisor", C)))),
        lambda y, x, w, c, divisor=None: contract.matmul(
            x, _times(w, _factor(c, y, -1) if divisor is None else 1 / _factor(c, y, -1))
        ),
        guard=_by_column,
        samples=(_MATMUL, {**_MATMUL, "c": np.float32(0.25)}),
    ),
    Rule(
        "(x w + b) * c => x (w * c) + b * c",
        math.mul(math.add(MATMUL, Const("b")), C),
        lambda y, x, w, b, c: math.add(
            contract.matmul(x, _times(w, _factor(c, y, -1))), _round(_wide(b) * _wide(c), b)
        ),
        guard=_by_column,
        samples=(_MATMUL, {**_MATMUL, "c": np.float32(0.25)}),
    ),
    Rule(
        "(x w + b) + c => x w + (b + c)",
        math.add(math.add(MATMUL, Const("b")), C),
        lambda y, x, w, b, c: math.add(y, _round(_wide(b) + _wide(c), b)),
        guard=_by_column,
        samples=(_MATMUL, {**_MATMUL, "c": np.float32(0.25)}),
    ),
    Rule(
        "(x * c) w => x (c * w)",
        As("y", contract.matmul(math.mul(X, C), W)),
        lambda y, x, c, w: contract.matmul(x, _times(w, _factor(c, x, -1)[:, None])),
        guard=lambda y, x, c, w: along(c, x, -1) is not None,
        samples=({**_MATMUL, "c": "f32[4]"},),
    ),
)

FOLD_AFFINE = Rewrite("fold-affine", (*RULES, *ZERO_POINTS))
