"""Requantising vectors of 32-bit sums: lanes in 64 bits two by two where they lie, never widened across the register.

Machines multiply every second 32-bit lane to 64 bits in one instruction, and few shift 64-bit lanes arithmetically.
"""

import re
from collections.abc import Collection

from ...compiler.ir.types import DType, i32, i64
from ...compiler.tile.stage import Apply, Const, Expr, Load, rewrite
from .lanes import Lanes, choose
from .literals import vector_type

_LEAST = -(1 << 63)
_LOW_HALF = (1 << 32) - 1


def requantized(acc: Lanes, multiplier: Lanes, shift: Lanes, zero: Lanes, *, dtype: DType) -> Lanes:
    """((acc * multiplier + 2^(shift - 1)) >> shift) + zero in i64, saturated to `dtype`; an even number of i32 lanes.

    What is shifted is moved up by 2^63 first: then zeros may follow, and 2^63 >> shift is taken off again. A factor of
    1 needs no product: what is shifted out last is what rounds.
    """
    one, places, offset = map(_literal, (multiplier, shift, zero))
    if one == 1 and places is not None and places < 32 and offset is not None and abs(offset) < 1 << 16:
        rounding = (acc >> (places - 1)) & 1
        return _saturated((acc >> places) + rounding + zero, dtype)
    wide = []
    for x, m, n, z in zip(*map(_halves, (acc, multiplier, shift, zero)), strict=True):
        half = n.constant(1) << (n + -1)
        least = n.constant(_LEAST)
        shifted = _logical(x * m + (half + least), n)
        wide.append(shifted + (z - _logical(least, n)))
    even, odd = wide
    low = _words((even & _LOW_HALF) | (odd << 32))
    high = _words(even.unsigned_shift(32) | (odd & ~_LOW_HALF))
    fits = high.equals(low >> 31)
    return _saturated(choose(fits, low, (high >> 31) ^ 0x7FFFFFFF), dtype)


def requantized_high(acc: Lanes, multiplier: Lanes, shift: Lanes, zero: Lanes, *, dtype: DType) -> Lanes:
    """The same where shift >= 33 and zero is of 16 bits: 2^(shift - 1) has no bits in the lower word, so that only the
    upper words of the products are wanted."""
    even, odd = (x * m for x, m in zip(*map(_halves, (acc, multiplier)), strict=True))
    upper = _words(even.unsigned_shift(32) | (odd & ~_LOW_HALF))
    places = shift + -32
    half = places.constant(1) << (places + -1)
    return _saturated(((upper + half) >> places) + zero, dtype)


def with_upper_words(body: Expr, shifts: Collection[str]) -> Expr:
    """A stage's body that requantises by upper words where that is enough; `shifts`: buffers of numbers of 33 to 62."""

    def change(expr: Expr) -> Expr | None:
        if not isinstance(expr, Apply) or expr.op != "requantize" or expr.dtype.bits > 16:
            return None
        _, _, shift, zero = expr.arguments
        far = isinstance(shift, Load) and shift.access.buffer in shifts and shift.access.fill is None
        least, most = expr.dtype.limits
        own = isinstance(zero, Const) and isinstance(zero.value, int) and least <= zero.value <= most
        return Apply("requantize_high", expr.arguments, expr.dtype) if far and own else None

    return rewrite(body, change)


def _saturated(value: Lanes, dtype: DType) -> Lanes:
    least, most = dtype.limits
    return value.call("smax", least).call("smin", most).to(dtype)


def _literal(x: Lanes) -> int | None:
    """The number that all lanes are known to hold."""
    found = re.fullmatch(r"splat \(i32 (-?\d+)\)", x.register.text)
    return int(found[1]) if found else None


def _halves(x: Lanes) -> tuple[Lanes, Lanes]:
    """Even and odd lanes of i32 as i64."""
    type = vector_type("i64", x.count // 2)
    text = f"bitcast {x.register.type} {{0}} to {type}"
    words = Lanes(x.scalars, x.scalars.b.pure(type, text, [x.register]), i64, x.count // 2)
    return (words << 32) >> 32, words >> 32


def _logical(x: Lanes, places: Lanes) -> Lanes:
    text = f"lshr {x.register.type} {{0}}, {{1}}"
    register = x.scalars.b.pure(x.register.type, text, [x.register, places.register])
    return Lanes(x.scalars, register, i64, x.count)


def _words(x: Lanes) -> Lanes:
    """The halves of i64 lanes as i32 lanes."""
    type = vector_type("i32", x.count * 2)
    text = f"bitcast {x.register.type} {{0}} to {type}"
    return Lanes(x.scalars, x.scalars.b.pure(type, text, [x.register]), i32, x.count * 2)
