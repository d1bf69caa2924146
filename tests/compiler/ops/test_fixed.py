"""Fixed-point arithmetic: rounding against exact fractions, and how near each op comes to real numbers."""

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import Value, graph_input
from isthmus.compiler.ir.types import f32, i8, i16, i32, u8
from isthmus.compiler.ops import fixed, fixed_rows
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.scalar import apply_scalar

POOL = {"kernel": (2, 2), "strides": (2, 2), "pads": (0,) * 4, "dilations": (1, 1)}
NORM = {"axis": 1, "epsilon": 1, "fraction": 10, "shift": 10, "zero_point": 0}


def x(text: str) -> Value:
    return graph_input("x", parse_type(text))


def all_bytes() -> np.ndarray:
    return np.arange(-128, 128, dtype=np.int8)


def test_requantize_rounds_halves_up_and_saturates() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        acc, m = (int(n) for n in rng.integers((-(2**31), 0), 2**31))
        shift, zero = int(rng.integers(1, 63)), int(rng.integers(-128, 128))
        exact = floor(Fraction(acc * m, 2**shift) + Fraction(1, 2)) + zero
        got = apply_scalar("requantize", [np.asarray(n) for n in (acc, m, shift, zero)], i16)
        assert int(got) == min(max(exact, -(2**15)), 2**15 - 1)


def _halves_away(value: Fraction) -> int:
    return floor(abs(value) + Fraction(1, 2)) * (1 if value > 0 else -1)


def test_rounding_twice() -> None:
    """SaturatingRoundingDoublingHighMul to the nearest, halves up; RoundingDivideByPOT with halves away from zero."""
    rng = np.random.default_rng(2)
    acc = rng.integers(-(2**24), 2**24, 400).astype(np.int32)
    acc[:6] = [-(2**30), 2**30, -1, 1, 3, -3]
    for m, shift in ((2**30, 33), (1518500250, 40), (2**31 - 1, 31), (2**30, 32), (1073741825, 29)):
        got = fixed.requantize_fixed.evaluate(
            acc, np.int32(m), np.int32(shift), np.int32(3), axis=0, dtype=i32, rounding="twice"
        )[0]
        for a, value in zip(acc.tolist(), got.tolist(), strict=True):
            shifted = int(np.int32(a) << np.int32(max(31 - shift, 0)))
            high = floor(Fraction(shifted * m, 2**31) + Fraction(1, 2))
            want = _halves_away(Fraction(high, 2 ** max(shift - 31, 0))) + 3
            assert value == min(max(want, -(2**31)), 2**31 - 1), (a, m, shift)


def test_the_roundings_differ_at_negative_halves() -> None:
    acc = np.array([-2, 2], np.int32)
    parameters = (np.int32(2**30), np.int32(32), np.int8(0))
    up = fixed.requantize_fixed.evaluate(acc, *parameters, axis=0, dtype=i8)[0]
    away = fixed.requantize_fixed.evaluate(acc, *parameters, axis=0, dtype=i8, rounding="twice")[0]
    assert (up.tolist(), away.tolist()) == ([0, 1], [-1, 1])


def test_a_sum_is_within_a_step_of_reals() -> None:
    a, b = np.meshgrid(all_bytes(), all_bytes())
    sa, sb, sy, za, zb, zy = 0.02, 0.031, 0.04, -5, 17, 3
    shift = 22
    ma, mb = round(sa * 2**shift / sy), round(sb * 2**shift / sy)
    got = fixed.add.evaluate(
        a, b, multipliers=(ma, mb), offset=-(za * ma + zb * mb), shift=shift, zero_point=zy
    )[0]
    real = ((a.astype(float) - za) * sa + (b.astype(float) - zb) * sb) / sy + zy
    assert np.abs(got - np.clip(real, -128, 127)).max() <= 0.501


def test_a_product_is_within_a_step_of_reals() -> None:
    a, b = np.meshgrid(all_bytes(), all_bytes())
    factor = 0.02 * 0.03 / 0.05
    got = fixed.mul.evaluate(a, b, zeros=(4, -9), multiplier=round(factor * 2**36), shift=36, zero_point=-7)[
        0
    ]
    real = (a.astype(float) - 4) * (b.astype(float) + 9) * factor - 7
    assert np.abs(got - np.clip(real, -128, 127)).max() <= 0.501


@pytest.mark.parametrize(("scale", "out"), [(0.05, 1 / 256), (0.2, 1 / 256), (0.01, 1 / 2048)])
def test_softmax_is_within_a_step_of_reals(scale: float, out: float) -> None:
    rng = np.random.default_rng(3)
    data = rng.integers(-128, 128, (40, 60)).astype(np.int8)
    table = np.rint(2.0**15 * np.exp(-np.arange(256) * scale)).astype(np.int32)
    shift = 22 if out == 1 / 256 else 19
    got = fixed_rows.softmax.evaluate(data, table, axis=1, numerator=round(2**shift / out), shift=shift)[0]
    raised = np.exp((data - 127.0) * scale)
    real = raised / raised.sum(1, keepdims=True) / out - 128
    assert np.abs(got - np.clip(real, -128, 127)).max() <= 0.6


@pytest.mark.parametrize("elements", [8, 768])
@pytest.mark.parametrize("spread", [1.5, 50])
def test_norms_are_within_a_step_of_reals(elements: int, spread: float) -> None:
    rng = np.random.default_rng(4)
    data = np.clip(np.rint(rng.normal(10, spread, (12, elements))), -128, 127).astype(np.int8)
    gamma, beta = rng.uniform(0.5, 1.5, elements), rng.normal(size=elements)
    scale_x, scale_y, shift, epsilon = 0.03, 0.05, 18, 1e-5
    given: dict[str, Any] = {
        "axis": 1,
        "epsilon": round(epsilon * (elements / scale_x) ** 2),
        "shift": shift,
        "zero_point": 4,
    }
    given["fraction"] = fixed_rows.fraction_of(elements, given["epsilon"])
    factors = np.rint(gamma * 2 ** (shift - 10) / scale_y).astype(np.int32)
    summands = np.rint(beta * 2**shift / scale_y).astype(np.int32)
    norm = fixed_rows.layer_norm.evaluate(data, factors, summands, **given)[0]
    rms = fixed_rows.rms_norm.evaluate(data, factors, summands, **given, x_zero=-20)[0]
    real = data * scale_x
    centred = real - real.mean(1, keepdims=True)
    shifted = (data + 20.0) * scale_x
    for got, value in ((norm, centred), (rms, shifted)):
        unit = value / np.sqrt((value**2).mean(1, keepdims=True) + epsilon)
        want = (unit * gamma + beta) / scale_y + 4
        assert np.abs(got - np.clip(want, -128, 127)).max() <= 0.6


def test_a_row_without_variance_gives_beta() -> None:
    data = np.full((1, 6), 9, np.int8)
    beta = np.arange(6, dtype=np.int32) << 10
    got = fixed_rows.layer_norm.evaluate(data, np.full(6, 77, np.int32), beta, **(NORM | {"epsilon": 0}))[0]
    assert got.tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: fixed.requantize_fixed(x("i8[2]"), x("i32[]"), x("i32[]"), x("i8[]"), axis=0, dtype=i8),
            "requantize_fixed takes i32",
        ),
        (
            lambda: fixed.requantize_fixed(x("i32[2]"), x("i32[]"), x("i32[]"), x("u8[]"), axis=0, dtype=i8),
            r"got i8, u8\[\]",
        ),
        (
            lambda: fixed.requantize_fixed(
                x("i32[2]"), x("i32[]"), x("i32[]"), x("f32[]"), axis=0, dtype=f32
            ),
            "gives i8, u8, i16 or i32",
        ),
        (
            lambda: fixed.requantize_fixed(
                x("i32[2]"), x("i32[]"), x("i32[]"), x("i8[]"), axis=0, dtype=i8, rounding="down"
            ),
            "'rounding' is 'down', expected one of half_up, twice",
        ),
        (
            lambda: fixed.requantize_fixed(x("i32[2]"), x("i32[3]"), x("i32[]"), x("i8[]"), axis=0, dtype=i8),
            r"the multiplier is i32\[3\], expected shape \[\] or \[2\]",
        ),
        (
            lambda: fixed.add(x("i8[2]"), x("u8[2]"), multipliers=(1, 1), offset=0, shift=1, zero_point=0),
            "expected one dtype, i8 or u8",
        ),
        (
            lambda: fixed.add(x("i8[2]"), x("i8[2]"), multipliers=(1, 1), offset=0, shift=63, zero_point=0),
            "'shift' is 63, expected 1 to 62",
        ),
        (
            lambda: fixed.add(
                x("i8[2]"), x("i8[2]"), multipliers=(2**22, -(2**23)), offset=0, shift=1, zero_point=0
            ),
            "too large for a sum in i32",
        ),
        (
            lambda: fixed.mul(x("i8[2]"), x("i8[2]"), zeros=(0, 0), multiplier=2**31, shift=1, zero_point=0),
            "'multiplier' is 2147483648",
        ),
        (
            lambda: fixed.sum_pool(x("u8[1, 1, 4, 4]"), **POOL, fill=-1),
            "'fill' is -1, expected a value of u8",
        ),
        (lambda: fixed.lookup(x("i8[2]"), x("i8[255]")), r"the table is i8\[255\], expected 256 integers"),
        (lambda: fixed.lookup(x("i16[2]"), x("i8[256]")), "expected one dtype, i8 or u8"),
        (lambda: fixed_rows.softmax(x("i8[2, 2]"), x("i8[256]"), axis=1), r"expected i32\[256\]"),
        (
            lambda: fixed_rows.softmax(x("i8[2, 2]"), x("i32[256]"), axis=1, numerator=2**31),
            "'numerator' is 2147483648",
        ),
        (
            lambda: fixed_rows.softmax(x("i8[2, 2]"), x("i32[256]"), x("bool[3, 2]"), axis=1),
            r"do not broadcast",
        ),
        (
            lambda: fixed_rows.softmax(x("i8[2, 2]"), x("i32[256]"), x("i8[2, 2]"), axis=1),
            r"the mask is i8\[2, 2\], expected bool",
        ),
        (lambda: fixed_rows.softmax(x("i8[65536]"), x("i32[256]"), axis=0), "rows of 65536 elements"),
        (lambda: fixed_rows.layer_norm(x("i8[1, 32769]"), x("i32[32769]"), **NORM), "rows of 32769 elements"),
        (lambda: fixed_rows.layer_norm(x("u8[1, 8]"), x("i32[1]"), **NORM), "expected i32 of the normalised"),
        (
            lambda: fixed_rows.layer_norm(x("u8[1, 8]"), x("i32[8]"), **(NORM | {"fraction": 16})),
            "'fraction' 16, expected",
        ),
    ],
)
def test_refused(build: Any, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        build()


def test_unsigned_bytes_keep_their_dtype() -> None:
    y = fixed.add(x("u8[2]"), x("u8[2]"), multipliers=(1, 1), offset=0, shift=1, zero_point=0)
    assert y.dtype == u8
