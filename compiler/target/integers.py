"""Rewrites for chips that compute in integers alone: a backend puts them into what its `rules()` gives.

Zero points of products move into a bias, which is exact. Requantising by a float scale becomes fixed point, which is
not: the factor is off by at most 2^-23 of itself and halves are rounded up instead of to even, so a result may differ
by 1 where the scaled sum lies halfway between two integers, or within 2^-23 of itself from there.
"""

from typing import Any

import numpy as np

from ..ir.graph import Value, constant
from ..ir.types import u8
from ..ops import fixed, math, quant
from ..ops.fixed import fixed_point
from ..rewrite import As, Const, Maybe, Rule, Var


def _fixed(acc: Value, scale: Value, zero: Value, y: Value) -> Value | None:
    factors = None if (scale.constant <= 0).any() else fixed_point(scale.constant.astype(np.float64))  # type: ignore[operator,union-attr]
    if factors is None:
        return None
    multiplier, shift = map(constant, factors)
    axis, dtype = y.node.attributes["axis"], y.dtype
    return fixed.requantize_fixed(acc, multiplier, shift, zero, axis=axis, dtype=dtype)


def _is_narrow(y: Value, **_: Any) -> bool:
    return y.dtype.name in ("i8", "u8", "i16", "i32")


def _number(zero: Value | None) -> int:
    return 0 if zero is None else int(zero.constant.reshape(()))  # type: ignore[union-attr]


def _shifted(w: Value, zero: Value | None, column: tuple[int, ...]) -> np.ndarray | None:
    """Constant weights less their zero points, as i8; None where they don't fit."""
    array = w.constant
    assert array is not None
    if zero is not None:
        places = column if zero.type.rank else ()
        array = array.astype(np.int16) - zero.constant.astype(np.int16).reshape(places)  # type: ignore[union-attr]
    fits = array.min(initial=0) >= -127 and array.max(initial=0) <= 127
    return array.astype(np.int8) if fits else None


def _conv(x: Value, w: Value, y: Value, zx: Value | None = None, zw: Value | None = None) -> Value | None:
    number = _number(zx)
    fill = number + y.node.attributes["fill"]
    if (number == 0 and zw is None) or not x.dtype.limits[0] <= fill <= x.dtype.limits[1]:
        return None
    weights = _shifted(w, zw, (-1, *(1,) * (w.type.rank - 1)))
    if weights is None:
        return None
    given = {**y.node.attributes, "fill": fill}
    sums = quant.conv_integer(x, constant(weights), **given)
    bias = -number * weights.astype(np.int32).reshape(len(weights), -1).sum(1)
    return math.add(sums, constant(bias.astype(np.int32).reshape(-1, *(1,) * (x.type.rank - 2))))


def _matmul(x: Value, w: Value, y: Value, zx: Value | None = None, zw: Value | None = None) -> Value | None:
    if w.type.rank != 2 or (zx is not None and zx.type.rank):
        return None
    number = _number(zx)
    weights = _shifted(w, zw, (1, -1)) if number or zw is not None else None
    if weights is None:
        return None
    bias = -number * weights.astype(np.int32).sum(0)
    return math.add(quant.matmul(x, constant(weights)), constant(bias.astype(np.int32)))


_ZEROS = (Maybe("zx", constant=True), Maybe("zw", constant=True))

ZERO_POINTS = (
    Rule(
        "convolution with zero points => fill and bias",
        As("y", quant.conv_integer(Var("x"), Const("w"), *_ZEROS)),
        _conv,
        samples=(
            {
                "x": "u8[1, 3, 5, 4]",
                "w": ("i8[4, 3, 3, 3]", -60, 60),
                "zx": np.uint8(120),
                "zw": ("i8[4]", -60, 60),
                "quant.conv.strides": (1, 1),
                "quant.conv.pads": (1, 1, 0, 1),
                "quant.conv.dilations": (1, 1),
            },
        ),
    ),
    Rule(
        "matrix product with zero points => bias",
        As("y", quant.matmul(Var("x"), Const("w"), *_ZEROS)),
        _matmul,
        samples=({"x": "u8[2, 5, 7]", "w": ("u8[7, 3]", 60, 180), "zx": np.uint8(99), "zw": np.uint8(128)},),
    ),
)
"""Exact."""

FIXED_POINT = (
    Rule(
        "requantize => requantize_fixed",
        As("y", quant.requantize(Var("acc"), Const("scale"), Const("zero"))),
        _fixed,
        _is_narrow,
        samples=(
            {
                "acc": ("i32[4, 5]", -900, 900),
                "scale": np.float32(0.37),
                "zero": np.uint8(100),
                "quant.requantize.axis": 0,
                "quant.requantize.dtype": u8,
            },
        ),
    ),
)
"""Within 1 of the result, at ties and next to them."""

RULES = (*ZERO_POINTS, *FIXED_POINT)
