"""Rewrites for chips that compute in integers alone: a backend puts them into what its `rules()` gives.

Requantising by a float scale becomes fixed point, which is not exact: the factor is off by at most 2^-23 of itself and
halves are rounded up instead of to even, so a result may differ by 1 where the scaled sum lies halfway between two
integers, or within 2^-23 of itself from there.
"""

from typing import Any

import numpy as np

from ..ir.graph import Value, constant
from ..ir.types import i8, u8
from ..ops import fixed, quant
from ..ops.fixed import fixed_point
from ..rewrite import As, Const, Rule, Var


def _fixed(acc: Value, scale: Value, zero: Value, y: Value) -> Value | None:
    factors = None if (scale.constant <= 0).any() else fixed_point(scale.constant.astype(np.float64))  # type: ignore[operator,union-attr]
    if factors is None:
        return None
    multiplier, shift = map(constant, factors)
    axis, dtype = y.node.attributes["axis"], y.dtype
    return fixed.requantize_fixed(acc, multiplier, shift, zero, axis=axis, dtype=dtype)


def _one_shift(acc: Value, multiplier: Value, shift: Value, zero: Value, y: Value) -> Value | None:
    """None where a factor would lose bits: those of `fixed_point` may be 2^7 apart."""
    factors, shifts = multiplier.constant, shift.constant
    assert factors is not None
    assert shifts is not None
    if not shifts.ndim or not shifts.size or y.node.attributes["rounding"] != "half_up":
        return None
    least = shifts.min()
    common = factors >> (shifts - least)
    if (common << (shifts - least) != factors).any():
        return None
    return fixed.requantize_fixed(acc, constant(common), constant(least), zero, **y.node.attributes)


def _is_narrow(y: Value, **_: Any) -> bool:
    return y.dtype.name in ("i8", "u8", "i16", "i32")


RULES = (
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

ONE_SHIFT = (
    Rule(
        "shifts of factors close to each other => one",
        As("y", fixed.requantize_fixed(Var("acc"), Const("multiplier"), Const("shift"), Var("zero"))),
        _one_shift,
        samples=(
            {
                "acc": ("i32[4, 5]", -90000, 90000),
                "multiplier": np.array([2**30, 5 << 28, 3 << 29, 2**30], np.int32),
                "shift": np.array([40, 41, 44, 47], np.int32),
                "zero": np.int8(-3),
                "quant.requantize_fixed.axis": 0,
                "quant.requantize_fixed.dtype": i8,
            },
        ),
    ),
)
"""Exact; a vector engine then has one parameter less to fetch for each channel. The CPU has its factors in f32, where
shifts by channel cost nothing."""
