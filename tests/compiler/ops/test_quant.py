"""Quantised arithmetic: rounding, saturation, padding with the zero point, and what is refused."""

from typing import Any

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import Value, constant, graph_input
from isthmus.compiler.ir.types import f32, i8, i32, u8
from isthmus.compiler.ops import REGISTRY, quant
from isthmus.compiler.ops.engine import parse_type

CONV = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}


def x(text: str) -> Value:
    return graph_input("x", parse_type(text))


def test_halves_round_to_even_before_the_zero_point_is_added() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, 1000, -1000], np.float32)
    got = quant.quantize.evaluate(values, np.float32(1), np.uint8(3), axis=0, dtype=u8)[0]
    assert got.tolist() == [3, 5, 5, 3, 255, 0]


def test_quantise_and_dequantise_meet_within_half_a_step() -> None:
    values = np.linspace(-1, 1, 201).astype(np.float32)
    scale, zero = np.float32(2 / 255), np.uint8(128)
    y = quant.quantize.evaluate(values, scale, zero, axis=0, dtype=u8)[0]
    back = quant.dequantize.evaluate(y, scale, zero, axis=0, dtype=f32)[0]
    inside = (y > 0) & (y < 255)
    assert np.abs(back - values)[inside].max() <= scale / 2 * 1.001


def test_a_known_zero_point_is_the_fill_of_one_stage() -> None:
    weights = constant(np.zeros((1, 1, 3, 3), np.int8))
    known = quant.conv_integer(x("u8[1, 1, 4, 4]"), weights, constant(np.uint8(77)), **CONV)
    kernel = REGISTRY["quant.conv"].kernel(known.node)
    assert kernel is not None
    assert [stage.combine for stage in kernel.stages] == ["sum"]
    assert {access.fill for access in kernel.stages[0].reads if access.buffer == "x0"} == {77}
    unknown = quant.conv_integer(x("u8[1, 1, 4, 4]"), weights, x("u8[]"), **CONV)
    kernel = REGISTRY["quant.conv"].kernel(unknown.node)
    assert kernel is not None
    assert [stage.combine for stage in kernel.stages] == [None, "sum"]


def test_a_zero_point_moves_into_a_bias_by_the_fill() -> None:
    rng = np.random.default_rng(3)
    data = rng.integers(-128, 128, (1, 3, 6, 5)).astype(np.int8)
    weights = rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    want = quant.conv_integer.evaluate(data, weights, np.int8(-77), **CONV)[0]
    bias = 77 * weights.astype(np.int32).sum((1, 2, 3)).reshape(-1, 1, 1)
    got = quant.conv_integer.evaluate(data, weights, **CONV, fill=-77)[0] + bias
    np.testing.assert_array_equal(got, want)


def test_zero_points_of_zero_cost_nothing() -> None:
    y = quant.matmul(x("u8[2, 3]"), x("i8[3, 4]"), constant(np.uint8(0)), constant(np.zeros(4, np.int8)))
    kernel = REGISTRY["quant.matmul"].kernel(y.node)
    assert kernel is not None
    assert {access.buffer for access in kernel.stages[0].reads} == {"x0", "x1"}


def test_dynamic_quantisation_covers_zero() -> None:
    y, scale, zero = quant.dynamic_quantize.evaluate(np.array([2, 3], np.float32))
    assert (y.tolist(), float(scale), int(zero)) == ([170, 255], pytest.approx(3 / 255), 0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: quant.quantize(x("f32[2]"), x("i8[]"), axis=0, dtype=u8),
            r"the scale is i8\[\], expected a float",
        ),
        (
            lambda: quant.quantize(x("f32[2]"), x("f32[3]"), axis=0, dtype=u8),
            r"the scale is f32\[3\], expected shape",
        ),
        (
            lambda: quant.quantize(x("f32[2]"), x("f32[]"), x("i8[]"), axis=0, dtype=u8),
            "expected the result's dtype",
        ),
        (lambda: quant.quantize(x("f32[2]"), x("f32[]"), axis=0, dtype=i32), "can't be quantised to i32"),
        (lambda: quant.quantize(x("f32[2]"), x("f32[]"), axis=0, dtype=u8, block=-1), "'block' is -1"),
        (
            lambda: quant.dequantize(x("i8[2]"), x("f32[]"), x("u8[]"), axis=0, dtype=f32),
            "expected the dtype of i8",
        ),
        (lambda: quant.dequantize(x("i8[2]"), x("f32[]"), axis=0, dtype=i8), "is no float dtype"),
        (
            lambda: quant.requantize(x("i8[2]"), x("f32[]"), x("i8[]"), axis=0, dtype=i8),
            "requantize takes i32",
        ),
        (lambda: quant.dynamic_quantize(x("f64[2]")), "dynamic_quantize takes f32"),
        (lambda: quant.matmul(x("i32[2, 2]"), x("i8[2, 2]")), "of 8 bits or less"),
        (
            lambda: quant.matmul(x("u8[2, 2]"), x("i8[2, 2]"), x("i8[]")),
            r"a zero point is i8\[\], expected the dtype",
        ),
        (
            lambda: quant.matmul(x("u8[2, 3]"), x("i8[3, 4]"), x("u8[3]")),
            r"expected shape \[\], \[2\] or \[2, 1\]",
        ),
        (
            lambda: quant.conv_integer(x("u8[1, 1, 4, 4]"), x("i8[1, 1, 3, 3]"), x("u8[1]"), **CONV),
            "one number",
        ),
        (
            lambda: quant.conv_integer(x("u8[1, 1, 4, 4]"), x("i8[1, 1, 3, 3]"), None, x("i8[2]"), **CONV),
            r"w_zero is i8\[2\], expected shape \[\] or \[1\]",
        ),
        (
            lambda: quant.conv_integer(x("u8[1, 1, 4, 4]"), x("i8[1, 1, 3, 3]"), **CONV, fill=256),
            "'fill' is 256",
        ),
    ],
)
def test_refused(build: Any, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        build()
