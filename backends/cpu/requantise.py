"""Requantising vectors of 32-bit sums: lanes in 64 bits two by two where they lie, never widened across the register.

Machines multiply every second 32-bit lane to 64 bits in one instruction, and few shift 64-bit lanes arithmetically.
"""

import re
from collections.abc import Mapping

import numpy as np

from ...compiler.ir.types import DType, f32, i32, i64
from ...compiler.tile.stage import Apply, Const, Expr, Kernel, Load, Stage, apply, rewrite, walk
from ...runtime.records import replace
from .bounds import limits
from .lanes import Lanes, choose
from .literals import vector_type

_LEAST = -(1 << 63)
_LOW_HALF = (1 << 32) - 1
_WHOLE = 3 << 22
"""Beside it f32 has whole numbers only, 2^22 to either side."""
_WHOLE_BITS = 0x4B400000

UPPER, FUSED = "requantize_high", "requantize_fused"
"""Operations that do with less what "requantize" does, where its factors allow it."""


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


def requantized_fused(acc: Lanes, multiplier: Lanes, shift: Lanes, zero: Lanes, *, dtype: DType) -> Lanes:
    """The same by one multiplication and addition of f32s, rounded once, to a whole number; see `_is_single`."""
    offset = _literal(zero)
    assert offset is not None
    factor = (multiplier.to(f32).bits() - (shift << 23)).floats()
    total = acc.to(f32).call("fma", factor, float(_WHOLE + offset))
    return _saturated(total.bits() - _WHOLE_BITS, dtype)


def quicker(kernel: Kernel, constants: Mapping[str, np.ndarray], fuses: bool) -> dict[str, str]:
    """Which operation does for "requantize", by the constant of its shifts, where all that read this one allow it.

    `fuses`: whether the machine rounds a multiplication and addition once.
    """
    found: dict[str, list[str]] = {}
    for expr in (each for stage in kernel.stages for each in walk(stage.body)):
        if not isinstance(expr, Apply) or expr.op != "requantize":
            continue
        acc, multiplier, shift, zero = expr.arguments
        if not isinstance(shift, Load) or shift.access.buffer not in constants:
            continue
        least, most = expr.dtype.limits
        place = int(zero.value) if isinstance(zero, Const) else None  # type: ignore[arg-type]
        shifts, op = constants[shift.access.buffer], expr.op
        if expr.dtype.bits <= 16 and place is not None and least <= place <= most:
            if shifts.min() >= 33 and shift.access.fill is None:
                op = UPPER
            factors = constants.get(multiplier.access.buffer) if isinstance(multiplier, Load) else None
            if fuses and expr.dtype.bits == 8 and factors is not None and factors.shape == shifts.shape:
                size = max(map(abs, limits(kernel, acc, constants)))
                op = FUSED if _is_single(factors, shifts, size) else op
        found.setdefault(shift.access.buffer, []).append(op)
    return {name: ops[0] for name, ops in found.items() if len(set(ops)) == 1 and ops[0] != "requantize"}


def _is_single(multipliers: np.ndarray, shifts: np.ndarray, size: int) -> bool:
    """Whether sums up to `size` are scaled to 8 bits exactly by a factor in f32.

    It has 24 bits, so the multipliers may have no more. No half may come up, which f32 would round to even: halves are
    odd numbers divided by two that are multiples of the multiplier's odd part, so that with a large one they saturate.
    So do sums that f32 can't hold, and none leaves the range of f32's whole numbers but to the side that it is on.
    """
    factors = multipliers.astype(np.int64)
    if factors.min() <= 0:
        return False
    odd = factors // (factors & -factors)
    scales = np.ldexp(factors.astype(np.float64), -shifts.astype(np.int64))
    exact = size < 1 << 24 or scales.min() * (1 << 24) > 1 << 10
    return bool(exact and odd.max() < 1 << 24 and odd.min() > 1 << 10 and size * scales.max() < _WHOLE - 256)


def with_quicker(kernel: Kernel, operations: Mapping[str, str]) -> Kernel:
    """A kernel that requantises by other operations, `operations` as `quicker` finds them, and by shifts for a factor
    of 1."""

    def change(expr: Expr) -> Expr | None:
        if not isinstance(expr, Apply) or expr.op != "requantize":
            return None
        shift = expr.arguments[2]
        op = operations.get(shift.access.buffer) if isinstance(shift, Load) else None
        return _shifted(kernel, expr) if op is None else Apply(op, expr.arguments, expr.dtype)

    bodies = [rewrite(stage.body, change) if _requantises(stage) else stage.body for stage in kernel.stages]
    if all(body is stage.body for body, stage in zip(bodies, kernel.stages, strict=True)):
        return kernel
    stages = zip(kernel.stages, bodies, strict=True)
    return replace(kernel, stages=tuple(replace(stage, body=body) for stage, body in stages))


def _requantises(stage: Stage) -> bool:
    return any(isinstance(expr, Apply) and expr.op == "requantize" for expr in walk(stage.body))


def _shifted(kernel: Kernel, expr: Apply) -> Expr | None:
    """A factor of 1 and numbers known beforehand: half and zero are added, then a shift; None where sums may wrap."""
    acc, *parts = expr.arguments
    if not all(isinstance(part, Const) for part in parts):
        return None
    factor, places, zero = (int(part.value) for part in parts if isinstance(part, Const))  # type: ignore[arg-type]
    if factor != 1 or places > 31:
        return None
    added = (1 << (places - 1)) + (zero << places)
    least, most = i32.limits
    low, high = limits(kernel, acc, {})
    if low + added < least or high + added > most:
        return None
    if isinstance(acc, Apply) and acc.op == "add" and isinstance(last := acc.arguments[1], Const):
        acc, added = acc.arguments[0], added + int(last.value)  # type: ignore[arg-type]
    if not least <= added <= most:
        return None
    value: Expr = apply("shift_right", acc + added, Const(places, i32), dtype=i32)
    least, most = expr.dtype.limits
    return apply("min", apply("max", value, Const(least, i32), dtype=i32), Const(most, i32), dtype=i32).cast(
        expr.dtype
    )


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
