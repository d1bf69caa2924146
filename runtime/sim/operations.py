"""The operations of vector programs: meaning and types of each in one table, of which a chip has those it names.

i32 and i64 arithmetic wraps, f32 follows IEEE 754 with one rounding an operation; NaN propagates. Values of a program
are i32, f32 or i64; narrower types exist in memory, and `cast` and `requantize` limit values to them.
"""

from collections.abc import Callable
from math import erf
from typing import Any

import numpy as np

from ..errors import ExecutionError
from ..records import dataclass
from .numbers import round_bf16, to_integer

TYPES = ("i8", "u8", "i16", "i32", "bf16", "f32", "i64")
VALUE_TYPES = ("i32", "f32", "i64")
LIMITS = {
    "i8": (-128, 127),
    "u8": (0, 255),
    "i16": (-(1 << 15), (1 << 15) - 1),
    "i32": (-(1 << 31), (1 << 31) - 1),
}
_LARGEST_ROOT = 3037000499  # of a number of 63 bits
_EXACT_SHIFT, _EXACT_ZERO = 44, 255


@dataclass(frozen=True, slots=True)
class Operation:
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
    bits = _bits(x)
    return np.where((y >= 0) & (y < bits), np.left_shift(x, y & (bits - 1)), 0).astype(x.dtype)


def _shift_right(x: Any, y: Any) -> Any:
    bits = _bits(x)
    return np.right_shift(x, np.where((y >= 0) & (y < bits), y, bits - 1)).astype(x.dtype)


def _bits(x: Any) -> int:
    return 8 * x.dtype.itemsize


def _requantize(x: Any, multiplier: Any, shift: Any, zero: Any, to: str) -> Any:
    if to in ("i8", "u8") and _most(shift) <= _EXACT_SHIFT and _most(abs(zero)) <= _EXACT_ZERO:
        return _requantize_bytes(x, multiplier, shift, zero, to)
    wide = np.multiply(x, multiplier, dtype=np.int64)
    wide += np.left_shift(np.int64(1), np.asarray(shift - 1, np.int64))
    wide >>= shift
    wide += zero
    return np.clip(wide, *LIMITS[to], out=wide).astype(np.int32)


def _requantize_bytes(x: Any, multiplier: Any, shift: Any, zero: Any, to: str) -> Any:
    """The same by f64, several times as fast. What is not limited lies below 2^9 in steps of 2^-44 at the finest, which
    53 bits hold; what is rounded lies beyond, and rounding keeps it there."""
    low, high = LIMITS[to]
    scaled = np.multiply(x, np.ldexp(multiplier.astype(np.float64), -shift))
    scaled += zero + 0.5
    np.floor(scaled, out=scaled)
    np.maximum(scaled, low, out=scaled)
    np.minimum(scaled, high, out=scaled)
    return scaled.astype(np.int32)


def _most(x: Any) -> Any:
    return x if isinstance(x, np.generic) else np.maximum.reduce(x, axis=None)


def _rescale(x: Any, multiplier: Any, shift: Any, zero: Any, addend: Any, to: str) -> Any:
    return _requantize(np.add(x, addend), multiplier, shift, zero, to)


def _lookup(index: Any, table: Any) -> Any:
    if index.size and not 0 <= index.min() <= index.max() < len(table):
        wrong = index.min() if index.min() < 0 else index.max()
        raise ExecutionError(f"index {wrong} is outside a table of {len(table)}", location="lookup")
    return table[index]


def _truth(comparison: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: comparison(x, y).astype(np.int32)


def _scaled(x: Any, y: Any, shift: Any) -> Any:
    wide = np.multiply(x, y, dtype=np.int64)
    return np.right_shift(wide, np.asarray(shift, np.int64)).astype(np.int32)


def _integer_division(x: Any, y: Any) -> Any:
    """Truncated; 0 for a divisor of 0; the least number by -1 wraps."""
    safe = np.where(y == 0, 1, y).astype(x.dtype)
    quotient = np.floor_divide(x, safe)
    quotient = quotient + ((quotient * safe != x) & ((x < 0) != (safe < 0)))
    return np.where(y == 0, 0, quotient).astype(x.dtype)


def _root(x: Any) -> Any:
    """The square root rounded down, exact in 64 bits; 0 of a negative number."""
    x = np.asarray(x, np.int64)
    root = np.sqrt(np.maximum(x, 0).astype(np.float64)).astype(np.int64)
    root -= (root > _LARGEST_ROOT) | (root * root > x)
    return np.maximum(root + ((root < _LARGEST_ROOT) & ((root + 1) ** 2 <= x)), 0)


def _division(x: Any, y: Any) -> Any:
    if np.asarray(x).dtype.kind == "f":
        return np.divide(x, y)
    return _integer_division(x, y)


def _erf(x: Any) -> Any:
    x = np.asarray(x, np.float32)
    return np.fromiter(map(erf, x.astype(float).ravel()), np.float32, x.size).reshape(x.shape)


def _cast(x: Any, to: str) -> Any:
    """See the table; `to_integer` and `round_bf16` say how reals are rounded."""
    x = np.asarray(x)
    if to in ("bf16", "f32"):
        x = x.astype(np.float32)
        return round_bf16(x) if to == "bf16" else x
    if x.dtype.kind == "f":
        x = to_integer(x)
    if to == "i64":
        return x.astype(np.int64)
    return (x if to == "i32" else np.clip(x, *LIMITS[to])).astype(np.int32)


def _round(x: Any) -> Any:
    return np.rint(x) if np.asarray(x).dtype.kind == "f" else x


def _rsqrt(x: Any) -> Any:
    return np.divide(np.float32(1), np.sqrt(x))


_INTEGER, _WHOLE, _REAL = ("i32",), ("i32", "i64"), ("f32",)

OPERATIONS: dict[str, Operation] = {
    each.name: each
    for each in (
        Operation("copy", lambda x: x, 1, "a"),
        Operation(
            "cast",
            _cast,
            1,
            "a as `to`: towards zero, limited; i64 to i32: the low bits",
            to=True,
            result="to",
        ),
        Operation("add", np.add, 2, "a + b"),
        Operation("sub", np.subtract, 2, "a - b"),
        Operation("mul", np.multiply, 2, "a * b"),
        Operation(
            "mac", lambda a, b, c: np.add(np.multiply(a, b), c), 3, "a * b + c, the product rounded first"
        ),
        Operation("max", np.maximum, 2, "the greater of a and b"),
        Operation("min", np.minimum, 2, "the smaller of a and b"),
        Operation("neg", np.negative, 1, "-a"),
        Operation("abs", np.abs, 1, "a without its sign"),
        Operation("bit_and", np.bitwise_and, 2, "a & b", _WHOLE),
        Operation("bit_or", np.bitwise_or, 2, "a | b", _WHOLE),
        Operation("bit_xor", np.bitwise_xor, 2, "a ^ b", _WHOLE),
        Operation("shift_left", _shift_left, 2, "a << b; 0 for b outside the bits of a", _WHOLE),
        Operation("shift_right", _shift_right, 2, "a >> b, arithmetic; b outside: the sign", _WHOLE),
        Operation("lt", _truth(np.less), 2, "1 if a < b, else 0", result="i32"),
        Operation("le", _truth(np.less_equal), 2, "1 if a <= b, else 0", result="i32"),
        Operation("eq", _truth(np.equal), 2, "1 if a == b, else 0", result="i32"),
        Operation("where", lambda c, x, y: np.where(np.not_equal(c, 0), x, y), 3, "b if a is not 0, else c"),
        Operation(
            "requantize",
            _requantize,
            4,
            "((a*b + 2^(c-1)) >> c) + d, limited to `to`; 1 <= c <= 62",
            _INTEGER,
            to=True,
        ),
        Operation(
            "rescale",
            _rescale,
            5,
            "(((a+e)*b + 2^(c-1)) >> c) + d, limited to `to`; a+e wraps, 1 <= c <= 62",
            _INTEGER,
            to=True,
        ),
        Operation(
            "scaled", _scaled, 3, "(a*b) >> c in 64 bits, arithmetic, its low 32 bits; c is 0 to 62", _INTEGER
        ),
        Operation("lookup", _lookup, 2, "the element number a of the table that stream b is", cost="special"),
        Operation("div", _division, 2, "a / b; of integers towards zero, 0 for b = 0", cost="special"),
        Operation(
            "isqrt", _root, 1, "the square root of a rounded down; 0 of less than 0", ("i64",), "special"
        ),
        Operation("sqrt", np.sqrt, 1, "the square root of a", _REAL, "special"),
        Operation("rsqrt", _rsqrt, 1, "1 / sqrt(a), both rounded", _REAL, "special"),
        Operation("exp", np.exp, 1, "e to the power a", _REAL, "special"),
        Operation("tanh", np.tanh, 1, "the hyperbolic tangent of a", _REAL, "special"),
        Operation("erf", _erf, 1, "the error function of a", _REAL, "special"),
        Operation("floor", np.floor, 1, "the whole number below a", _REAL),
        Operation("round", _round, 1, "the nearest whole number, half to even"),
        Operation("log", np.log, 1, "the natural logarithm of a", _REAL, "special"),
    )
}
