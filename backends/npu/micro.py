"""The operations of n1's vector programs: meaning, types and cost of each in one table.

i32 arithmetic wraps, f32 follows IEEE 754 with one rounding an operation; NaN propagates. A program's value is an i32
or an f32; narrower types exist in memory, and `cast` and `requantize` limit values to them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import erf
from typing import Any

import numpy as np

from .numbers import round_bf16, to_integer

TYPES = ("i8", "u8", "i16", "i32", "bf16", "f32")
VALUE_TYPES = ("i32", "f32")
SOURCES = ("none", "register", "stream", "immediate")
LIMITS = {
    "i8": (-128, 127),
    "u8": (0, 255),
    "i16": (-(1 << 15), (1 << 15) - 1),
    "i32": (-(1 << 31), (1 << 31) - 1),
}


@dataclass(frozen=True, slots=True)
class MicroOp:
    """`numpy` gets operands of the operation's type and gives a value. `types` are those that it computes in; `cost`
    is a class: "default" takes a cycle a vector, "special" what the chip file says. `to`: it takes the result's type as
    well. `result`: the value's type where it is not the operation's own, or "to"."""

    name: str
    numpy: Callable[..., Any]
    arity: int
    meaning: str
    types: tuple[str, ...] = VALUE_TYPES
    cost: str = "default"
    to: bool = False
    result: str = ""


def _shift_left(x: Any, y: Any) -> Any:
    return np.where((y >= 0) & (y < 32), np.left_shift(x, y & 31), 0).astype(np.int32)


def _shift_right(x: Any, y: Any) -> Any:
    return np.right_shift(x, np.where((y >= 0) & (y < 32), y, 31)).astype(np.int32)


def _requantize(x: Any, multiplier: Any, shift: Any, zero: Any, to: str) -> Any:
    wide = np.multiply(x, multiplier, dtype=np.int64)
    wide += np.left_shift(np.int64(1), np.asarray(shift - 1, np.int64))
    wide >>= shift
    wide += zero
    return np.clip(wide, *LIMITS[to], out=wide).astype(np.int32)


def _scaled(x: Any, y: Any, shift: Any) -> Any:
    wide = np.multiply(x, y, dtype=np.int64)
    return np.right_shift(wide, np.asarray(shift, np.int64)).astype(np.int32)


def _integer_division(x: Any, y: Any) -> Any:
    """Truncated; 0 for a divisor of 0."""
    x, y = np.asarray(x, np.int64), np.asarray(y, np.int64)
    safe = np.where(y == 0, 1, y)
    quotient = np.abs(x) // np.abs(safe)
    return np.where(y == 0, 0, np.where((x < 0) != (y < 0), -quotient, quotient)).astype(np.int32)


def _division(x: Any, y: Any) -> Any:
    if np.asarray(x).dtype.kind == "f":
        return np.divide(x, y)
    return _integer_division(x, y)


def _erf(x: Any) -> Any:
    x = np.asarray(x, np.float32)
    return np.fromiter(map(erf, x.astype(float).ravel()), np.float32, x.size).reshape(x.shape)


def _cast(x: Any, to: str) -> Any:
    """Between i32 and f32, limited to a narrower type; see `to_integer` and `round_bf16`."""
    if to in ("bf16", "f32"):
        x = np.asarray(x).astype(np.float32)
        return round_bf16(x) if to == "bf16" else x
    x = np.asarray(x)
    if x.dtype.kind == "f":
        x = to_integer(x)
    return x if to == "i32" else np.clip(x, *LIMITS[to])


def _round(x: Any) -> Any:
    return np.rint(x) if np.asarray(x).dtype.kind == "f" else x


def _rsqrt(x: Any) -> Any:
    return np.divide(np.float32(1), np.sqrt(x))


_INTEGER, _REAL = ("i32",), ("f32",)

MICRO_OPS: dict[str, MicroOp] = {
    each.name: each
    for each in (
        MicroOp("copy", lambda x: x, 1, "a"),
        MicroOp("cast", _cast, 1, "a as `to`: towards zero and limited to its range", to=True, result="to"),
        MicroOp("add", np.add, 2, "a + b"),
        MicroOp("sub", np.subtract, 2, "a - b"),
        MicroOp("mul", np.multiply, 2, "a * b"),
        MicroOp(
            "mac", lambda a, b, c: np.add(np.multiply(a, b), c), 3, "a * b + c, the product rounded first"
        ),
        MicroOp("max", np.maximum, 2, "the greater of a and b"),
        MicroOp("min", np.minimum, 2, "the smaller of a and b"),
        MicroOp("neg", np.negative, 1, "-a"),
        MicroOp("abs", np.abs, 1, "a without its sign"),
        MicroOp("bit_and", np.bitwise_and, 2, "a & b", _INTEGER),
        MicroOp("bit_or", np.bitwise_or, 2, "a | b", _INTEGER),
        MicroOp("bit_xor", np.bitwise_xor, 2, "a ^ b", _INTEGER),
        MicroOp("shift_left", _shift_left, 2, "a << b; 0 from 32 on", _INTEGER),
        MicroOp("shift_right", _shift_right, 2, "a >> b, arithmetic; as 31 from 32 on", _INTEGER),
        MicroOp("lt", np.less, 2, "1 if a < b, else 0", result="i32"),
        MicroOp("le", np.less_equal, 2, "1 if a <= b, else 0", result="i32"),
        MicroOp("eq", np.equal, 2, "1 if a == b, else 0", result="i32"),
        MicroOp("where", lambda c, x, y: np.where(np.not_equal(c, 0), x, y), 3, "b if a is not 0, else c"),
        MicroOp(
            "requantize",
            _requantize,
            4,
            "((a*b + 2^(c-1)) >> c) + d, limited to `to`; 1 <= c <= 62",
            _INTEGER,
            to=True,
        ),
        MicroOp(
            "scaled", _scaled, 3, "(a*b) >> c in 64 bits, arithmetic, its low 32 bits; c is 0 to 62", _INTEGER
        ),
        MicroOp("lookup", None, 2, "the element number a of the table that stream b is", cost="special"),  # type: ignore[arg-type]
        MicroOp("div", _division, 2, "a / b; of integers towards zero, 0 for b = 0", cost="special"),
        MicroOp("sqrt", np.sqrt, 1, "the square root of a", _REAL, "special"),
        MicroOp("rsqrt", _rsqrt, 1, "1 / sqrt(a), both rounded", _REAL, "special"),
        MicroOp("exp", np.exp, 1, "e to the power a", _REAL, "special"),
        MicroOp("tanh", np.tanh, 1, "the hyperbolic tangent of a", _REAL, "special"),
        MicroOp("erf", _erf, 1, "the error function of a", _REAL, "special"),
        MicroOp("floor", np.floor, 1, "the whole number below a", _REAL),
        MicroOp("round", _round, 1, "the nearest whole number, half to even"),
    )
}
