"""Integer-only arithmetic on 8-bit values, for chips without floats: every result is exact and free of order.

All rescaling is the scalar operation `requantize(acc, multiplier, shift, zero)`:
((acc * multiplier + 2^(shift - 1)) >> shift) + zero in 64 bits, saturated to the result's dtype. Sums and products
before it are in i32, which wraps: who builds these ops chooses multipliers that keep them in range. What is said here
is normative for simulators and hardware.
"""

from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.types import DType, TensorType, i8, i16, i32, i64, u8
from ..tile.stage import Expr, apply, lift
from ..tile.writer import Ref, Stages
from .engine import case, op
from .pool import window_cost, window_type
from .quant import EXACT, check_parameter, element_of, spread_parameter
from .rules import broadcast_shapes, per_element
from .scalar import apply_scalar
from .window import Window, padding_of

ROUNDINGS = ("half_up", "twice")
_NARROW = (i8, u8, i16, i32)


def check_shift(name: str, shift: int) -> None:
    if not 1 <= shift <= 62:
        raise TypeRuleError(f"{name}: 'shift' is {shift}, expected 1 to 62")


def check_eight_bits(name: str, *operands: TensorType) -> DType:
    """The one 8-bit dtype of all operands."""
    dtypes = {operand.dtype for operand in operands}
    if len(dtypes) > 1 or not dtypes <= {i8, u8}:
        listed = ", ".join(map(str, operands))
        raise TypeRuleError(f"{name}: operands are {listed}, expected one dtype, i8 or u8")
    return operands[0].dtype


def fixed_point(factors: np.ndarray | float) -> tuple[np.ndarray, np.ndarray] | None:
    """Positive factors as multiplier / 2^shift: multiplier i32 of 31 bits, shift i32 of 1 to 62.

    The relative error is at most 2^-23, more only for factors below 2^-32. A factor that is not exact has an odd number
    of 24 bits: f32 multiplies by it without another error, and no product of a sum lies halfway between two results of
    8 bits. None where a factor is 2^30 or more.
    """
    fraction, exponent = np.frexp(np.asarray(factors, np.float64))
    exact = np.ldexp(fraction, 24)
    whole = np.floor(exact).astype(np.int64)
    multiplier = np.where(whole == exact, whole, whole | 1) << 7
    shift = 31 - exponent.astype(np.int64)
    beyond = np.clip(shift - 62, 0, 62)
    multiplier, shift = multiplier >> beyond, shift - beyond
    if (shift < 1).any():
        return None
    return multiplier.astype(np.int32), shift.astype(np.int32)


def requantized(acc: np.ndarray, multiplier: Any, shift: Any, zero: Any, dtype: DType) -> np.ndarray:
    """The scalar operation on arrays that broadcast."""
    return apply_scalar("requantize", [acc, *map(np.asarray, (multiplier, shift, zero))], dtype)


def requantize_body(
    acc: Expr, multiplier: Expr | int, shift: Expr | int, zero: Expr | int, dtype: DType
) -> Expr:
    """The scalar operation in a stage."""
    return apply("requantize", acc, *(lift(part, i32) for part in (multiplier, shift, zero)), dtype=dtype)


def _requantize_type(acc, multiplier, shift, zero_point, *, axis, dtype, rounding):
    if acc.dtype != i32 or multiplier.dtype != i32 or shift.dtype != i32:
        raise TypeRuleError(
            f"requantize_fixed takes i32 with an i32 multiplier and shift, got {acc}, {multiplier}, {shift}"
        )
    if dtype not in _NARROW or zero_point.dtype != dtype:
        raise TypeRuleError(
            f"requantize_fixed gives i8, u8, i16 or i32 with its zero point, got {dtype}, {zero_point}"
        )
    if rounding not in ROUNDINGS:
        raise TypeRuleError(f"'rounding' is {rounding!r}, expected one of {', '.join(ROUNDINGS)}")
    for name, parameter in (("multiplier", multiplier), ("shift", shift), ("zero point", zero_point)):
        check_parameter(acc, parameter, f"the {name}", axis, 0)
    return acc.with_dtype(dtype)


def _requantize_stages(
    s: Stages, acc: Ref, multiplier: Ref, shift: Ref, zero_point: Ref, *, axis, dtype, rounding
) -> None:
    index = s.dims(*acc.shape)
    m, n, zero = (
        element_of(part, index, axis, 0).cast(i32) if part.scalar is None else lift(part.scalar, i32)
        for part in (multiplier, shift, zero_point)
    )
    value = acc[index]
    if rounding == "half_up":
        result = requantize_body(value, m, n, zero, dtype)
    else:
        result = _saturated(_twice_rounded(value, m, n) + zero.cast(i64), dtype)
    s.store(s.results[0][index], result)


def _twice_rounded(value: Expr, multiplier: Expr, shift: Expr) -> Expr:
    left = apply("max", 31 - shift, lift(0, i32))
    right = apply("max", shift - 31, lift(0, i32)).cast(i64)
    scaled = apply("shift_left", value, left).cast(i64)
    high = apply("shift_right", scaled * multiplier.cast(i64) + (1 << 30), lift(31, i64))
    half = apply("shift_right", apply("shift_left", lift(1, i64), right), lift(1, i64))
    below_zero = apply("shift_right", high, lift(63, i64))  # -1 or 0
    return apply("shift_right", high + apply("max", half + below_zero, lift(0, i64)), right)


def _saturated(value: Expr, dtype: DType) -> Expr:
    low, high = (lift(limit, value.dtype) for limit in dtype.limits)
    return apply("min", apply("max", value, low), high).cast(dtype)


def _twice_rounded_array(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    left, right = np.maximum(31 - shift, 0), np.maximum(shift - 31, 0).astype(np.int64)
    scaled = (acc << left).astype(np.int32).astype(np.int64)
    high = (scaled * multiplier + (1 << 30)) >> 31
    mask = (1 << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


@op(
    "quant.requantize_fixed",
    infer=_requantize_type,
    stages=_requantize_stages,
    cost=per_element(8),
    tolerance=EXACT,
    samples=(
        case(("i32[4, 5]", -90000, 90000), np.int32(1518500250), np.int32(41), np.int8(-3), axis=0, dtype=i8),
        case(
            ("i32[2, 3, 4]", -90000, 90000),
            ("i32[3]", 2**30, 2**31 - 1),
            ("i32[3]", 38, 42),
            "u8[3]",
            axis=1,
            dtype=u8,
        ),
        case(
            np.array([-(2**31), 2**31 - 1, -3, -1, 1, 3], np.int32),
            np.int32(2**31 - 1),
            np.int32(32),
            np.int16(7),
            axis=0,
            dtype=i16,
        ),
        case(("i32[9]", -9000, 9000), np.int32(2**30), np.int32(29), np.int32(0), axis=0, dtype=i32),
        case(
            ("i32[2, 40]", -900, 900),
            ("i32[2]", 2**30, 2**31 - 1),
            np.array([28, 36], np.int32),
            np.int8(5),
            axis=0,
            dtype=i8,
            rounding="twice",
        ),
    ),
)
def requantize_fixed(
    acc, multiplier, shift, zero_point, *, axis: int, dtype: DType, rounding: str = "half_up"
):
    """acc * multiplier / 2^shift + zero_point, rounded and saturated; each parameter is [] or [acc.shape[axis]].

    0 <= multiplier < 2^31 and 1 <= shift <= 62. "half_up" is ((acc * multiplier + 2^(shift - 1)) >> shift) in 64
    bits. "twice" rounds twice, as TensorFlow Lite's MultiplyByQuantizedMultiplier: h = (a * multiplier + 2^30) >> 31
    with a = acc << max(31 - shift, 0) in 32 bits, then h / 2^max(shift - 31, 0) to the nearest, halves away from 0.
    """
    m, n, zero = (spread_parameter(part, acc, axis, 0) for part in (multiplier, shift, zero_point))
    if rounding == "half_up":
        return requantized(acc, m, n, zero, dtype)
    value = _twice_rounded_array(acc, m.astype(np.int64), n) + zero.astype(np.int64)
    return np.clip(value, *dtype.limits).astype(dtype.numpy)


def _add_type(a, b, *, multipliers, offset, shift, zero_point):
    check_shift("quant.add", shift)
    if 255 * sum(map(abs, multipliers)) >= 2**31 or abs(offset) >= 2**31:
        raise TypeRuleError(
            f"quant.add: multipliers {multipliers} or the offset {offset} are too large for a sum in i32"
        )
    return TensorType(check_eight_bits("quant.add", a, b), broadcast_shapes(a.shape, b.shape))


def _add_stages(s: Stages, a: Ref, b: Ref, *, multipliers, offset, shift, zero_point) -> None:
    result = s.results[0]
    index = s.dims(*result.shape)
    left, right = (
        part.broadcast(index).cast(i32) * factor for part, factor in zip((a, b), multipliers, strict=True)
    )
    s.store(result[index], requantize_body(left + right + offset, 1, shift, zero_point, result.dtype))


@op(
    "quant.add",
    infer=_add_type,
    stages=_add_stages,
    cost=per_element(8),
    tolerance=EXACT,
    samples=(
        case(
            "i8[3, 37]",
            "i8[3, 37]",
            multipliers=(3145728, 2097152),
            offset=-9437184,
            shift=22,
            zero_point=-7,
        ),
        case("u8[2, 3, 5]", "u8[3, 1]", multipliers=(1 << 20, -(1 << 21)), offset=5, shift=20, zero_point=90),
    ),
)
def add(a, b, *, multipliers: tuple[int, int], offset: int, shift: int, zero_point: int):
    """requantize(a * multipliers[0] + b * multipliers[1] + offset, 1, shift, zero_point), the sum in i32; broadcasts.

    For scales sa, sb, sy and zero points za, zb: multipliers (sa, sb) * 2^shift / sy, offset -(za * ma + zb * mb). A
    difference has a negative multiplier. The sum stays in range where 255 * (|ma| + |mb|) < 2^31.
    """
    left, right = (
        part.astype(np.int32) * np.int32(factor) for part, factor in zip((a, b), multipliers, strict=True)
    )
    return requantized(
        left + right + np.int32(offset), 1, shift, zero_point, i8 if a.dtype == np.int8 else u8
    )


def _accumulate_type(acc, x, steps, *, axis):
    check_eight_bits("quant.accumulate", x)
    if acc.dtype != i32 or steps.dtype != i32 or acc.shape != x.shape:
        raise TypeRuleError(
            f"quant.accumulate takes i32 with 8-bit numbers of its shape and i32 steps, got {acc}, {x}, {steps}"
        )
    check_parameter(acc, steps, "the steps", axis, 0)
    return acc


def _accumulate_stages(s: Stages, acc: Ref, x: Ref, steps: Ref, *, axis) -> None:
    index = s.dims(*acc.shape)
    s.store(s.results[0][index], acc[index] + x[index].cast(i32) * element_of(steps, index, axis, 0))


@op(
    "quant.accumulate",
    infer=_accumulate_type,
    stages=_accumulate_stages,
    cost=per_element(2),
    tolerance=EXACT,
    samples=(
        case(("i32[4, 5]", -90000, 90000), "i8[4, 5]", np.int32(-3000), axis=0),
        case(("i32[2, 3, 4]", -90000, 90000), "u8[2, 3, 4]", ("i32[3]", -9000, 9000), axis=1),
    ),
)
def accumulate(acc, x, steps, *, axis: int):
    """acc + x * steps in i32, which wraps: 8-bit numbers taken up by a sum.

    `steps` is [] or [acc.shape[axis]]: how many steps of the sum are one of the numbers.
    """
    return acc + x.astype(np.int32) * spread_parameter(steps, acc, axis, 0)


def _mul_type(a, b, *, zeros, multiplier, shift, zero_point):
    check_shift("quant.mul", shift)
    if not 0 <= multiplier < 2**31:
        raise TypeRuleError(f"quant.mul: 'multiplier' is {multiplier}, expected 0 to 2^31 - 1")
    return TensorType(check_eight_bits("quant.mul", a, b), broadcast_shapes(a.shape, b.shape))


def _mul_stages(s: Stages, a: Ref, b: Ref, *, zeros, multiplier, shift, zero_point) -> None:
    result = s.results[0]
    index = s.dims(*result.shape)
    left, right = (part.broadcast(index).cast(i32) - zero for part, zero in zip((a, b), zeros, strict=True))
    s.store(result[index], requantize_body(left * right, multiplier, shift, zero_point, result.dtype))


@op(
    "quant.mul",
    infer=_mul_type,
    stages=_mul_stages,
    cost=per_element(9),
    tolerance=EXACT,
    samples=(
        case("i8[3, 37]", "i8[37]", zeros=(-3, 11), multiplier=1700000000, shift=38, zero_point=-20),
        case("u8[2, 3, 5]", "u8[3, 1]", zeros=(128, 0), multiplier=2**30, shift=37, zero_point=128),
    ),
)
def mul(a, b, *, zeros: tuple[int, int], multiplier: int, shift: int, zero_point: int):
    """requantize((a - zeros[0]) * (b - zeros[1]), multiplier, shift, zero_point); broadcasts."""
    left, right = (part.astype(np.int32) - np.int32(zero) for part, zero in zip((a, b), zeros, strict=True))
    return requantized(left * right, multiplier, shift, zero_point, i8 if a.dtype == np.int8 else u8)


def _sum_pool_type(x, *, fill, **attributes):
    dtype = check_eight_bits("quant.sum_pool", x)
    if not dtype.limits[0] <= fill <= dtype.limits[1]:
        raise TypeRuleError(f"quant.sum_pool: 'fill' is {fill}, expected a value of {dtype}")
    return window_type(x, **attributes).with_dtype(i32)


def _sum_pool_stages(s: Stages, x: Ref, *, kernel, strides, pads, dilations, fill) -> None:
    y = s.results[0]
    window = Window(kernel, strides, dilations, padding_of(pads))
    outer, positions, taps = s.dims(*y.shape[:2]), s.dims(*y.shape[2:]), s.reduce(*kernel)
    s.store(y[(*outer, *positions)], window.read(s, x, outer, positions, taps, fill).cast(i32), "sum")


@op(
    "quant.sum_pool",
    infer=_sum_pool_type,
    stages=_sum_pool_stages,
    cost=window_cost,
    tolerance=EXACT,
    samples=(
        case("i8[1, 3, 9, 11]", kernel=(3, 3), strides=(2, 2), pads=(1,) * 4, dilations=(1, 1), fill=-9),
        case("u8[2, 5, 13]", kernel=(4,), strides=(3,), pads=(0, 2), dilations=(2,), fill=128),
    ),
)
def sum_pool(
    x,
    *,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    fill: int = 0,
):
    """The sum of each window of x [N, C, ...] in i32, padding counted as `fill`.

    An average is this and a `quant.requantize_fixed` whose multiplier holds the share of one element.
    """
    parts = Window(kernel, strides, dilations, padding_of(pads)).slices(x, fill)
    return sum((part.astype(np.int32) for part in parts), np.int32(0))


def _lookup_type(x, table):
    check_eight_bits("quant.lookup", x)
    if table.shape != (256,) or not table.dtype.is_integer:
        raise TypeRuleError(f"quant.lookup: the table is {table}, expected 256 integers")
    return x.with_dtype(table.dtype)


def place_of(s: Stages, x: Ref) -> Ref:
    """A local with the places in a table of 256 that values of x have: x - the least value of its dtype."""
    places = s.local(x.shape, i32)
    index = s.dims(*x.shape)
    s.store(places[index], x[index].cast(i32) - x.dtype.limits[0])
    return places


def _lookup_stages(s: Stages, x: Ref, table: Ref) -> None:
    places = place_of(s, x)
    index = s.dims(*x.shape)
    s.store(s.results[0][index], table[places[index]])


@op(
    "quant.lookup",
    infer=_lookup_type,
    stages=_lookup_stages,
    cost=per_element(2),
    tolerance=EXACT,
    samples=(
        case(("i8[3, 37]", -128, 128), "i8[256]"),
        case(("u8[2, 3, 5]", 0, 256), "u8[256]"),
        case(("i8[7]", -128, 128), ("i32[256]", -(2**31), 2**31)),
    ),
)
def lookup(x, table):
    """table[x + 128], for u8 table[x]: any function of one 8-bit value."""
    return table[x.astype(np.int32) - (128 if x.dtype == np.int8 else 0)]
