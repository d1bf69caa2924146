"""Requantising vectors of 32-bit sums: lanes in 64 bits two by two where they lie, never widened across the register.

Machines multiply every second 32-bit lane to 64 bits in one instruction, and few shift 64-bit lanes arithmetically.
"""

from ...compiler.ir.types import DType, i32, i64
from .lanes import Lanes, choose
from .literals import vector_type

_LEAST = -(1 << 63)
_LOW_HALF = (1 << 32) - 1


def requantized(acc: Lanes, multiplier: Lanes, shift: Lanes, zero: Lanes, *, dtype: DType) -> Lanes:
    """((acc * multiplier + 2^(shift - 1)) >> shift) + zero in i64, saturated to `dtype`; an even number of i32 lanes.

    What is shifted is moved up by 2^63 first: then zeros may follow, and 2^63 >> shift is taken off again.
    """
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
    value = choose(fits, low, (high >> 31) ^ 0x7FFFFFFF)
    least_result, most = dtype.limits
    return value.call("smax", least_result).call("smin", most).to(dtype)


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
