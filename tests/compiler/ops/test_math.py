"""Corner cases of elementwise ops that samples filled from a seed don't reach, and what their type rules refuse."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import DTYPES, TensorType, Value, graph_input
from isthmus.compiler.ops import Op, activation, math
from isthmus.compiler.ops.engine import parse_type


def x(text: str, name: str = "x") -> Value:
    return graph_input(name, parse_type(text))


def run(op: Op, *arrays: Any, **attributes: Any) -> Any:
    return op.evaluate(*(np.asarray(a) for a in arrays), **op.bind(attributes))[0]


@pytest.mark.parametrize(
    ("op", "a", "b", "want"),
    [
        (math.div, [-7, 7, 5, -128], [2, -2, 0, -1], [-3, -3, 0, -128]),
        (math.floordiv, [-7, 7, 5, -6], [2, -2, 0, 3], [-4, -4, 0, -2]),
        (math.mod, [-7, 7, -7, 5], [3, -3, -3, 0], [2, -2, -1, 0]),
        (math.fmod, [-7, 7, -7, 5], [3, -3, -3, 0], [-1, 1, -1, 0]),
        (math.add, [127, -128], [1, -1], [-128, 127]),
        (math.shift_left, [1, 1, 3], [7, 8, 1], [-128, 0, 6]),
        (math.shift_right, [-128, -1, 64], [7, 8, 9], [-1, -1, 0]),
    ],
)
def test_integer_arithmetic(op: Op, a: list[int], b: list[int], want: list[int]) -> None:
    got = run(op, np.array(a, np.int8), np.array(b, np.int8))
    assert got.tolist() == want
    assert got.dtype == np.int8


def test_round_takes_halves_to_even() -> None:
    assert run(math.round_even, np.array([0.5, 1.5, -2.5], np.float32)).tolist() == [0, 2, -2]


def test_narrow_floats_are_rounded_once() -> None:
    """In bf16 1 + 2**-8 is 1 again, so x * sigmoid(x) rounded at each step would differ."""
    values = np.linspace(-4, 4, 99).astype(ml_dtypes.bfloat16)
    wide = values.astype(np.float32)
    want = (wide / (1 + np.exp(-wide))).astype(ml_dtypes.bfloat16)
    assert (run(activation.silu, values) == want).all()


@pytest.mark.parametrize(
    ("value", "dtype", "saturate", "want"),
    [
        (1e6, "f8e4m3fn", True, 448.0),
        (-np.inf, "f8e4m3fn", True, -448.0),
        (1e6, "f8e4m3fn", False, np.nan),
        (1e6, "f8e5m2", False, np.inf),
        (np.nan, "f8e5m2", True, np.nan),
        (1.1, "f8e8m0", True, 2.0),
        (0.0, "f8e8m0", True, 2.0**-127),
        (0.0, "f8e8m0", False, np.nan),
        (np.inf, "f8e8m0", True, 2.0**127),
        (-1.0, "f8e8m0", True, np.nan),
        (-2.9, "i8", True, -2),
        (0.1, "bool", True, True),
    ],
)
def test_cast(value: float, dtype: str, saturate: bool, want: Any) -> None:
    got = run(math.cast, np.float32(value), dtype=DTYPES[dtype], saturate=saturate)
    assert got.dtype == DTYPES[dtype].numpy
    np.testing.assert_equal(got.astype(np.float64), np.float64(want))


def test_clip_lets_high_win() -> None:
    assert run(math.clip, np.float32(0), np.float32(3), np.float32(-3)) == -3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: math.add(x("f32[2]"), x("f64[2]")),
            "operands have different dtypes: f32, f64; insert a cast",
        ),
        (lambda: math.add(x("f32[2]"), x("f32[3]")), r"shapes \[2\] and \[3\] do not broadcast"),
        (
            lambda: math.add(x("bool[2]"), x("bool[2]")),
            r"an operand is bool\[2\], expected a dtype of kind float or int",
        ),
        (lambda: math.exp(x("i32[2]")), r"an operand is i32\[2\], expected a dtype of kind float"),
        (lambda: math.logical_not(x("i32[2]")), "expected a dtype of kind bool"),
        (lambda: math.bit_and(x("f32[2]"), x("f32[2]")), "expected a dtype of kind int or uint"),
        (
            lambda: math.where(x("i32[2]"), x("f32[2]"), x("f32[2]")),
            r"the condition is i32\[2\], expected bool",
        ),
        (lambda: math.clip(x("f32[2]"), x("f32[1]")), r"a bound is f32\[1\], expected f32\[\]"),
        (lambda: math.cast(x("c64[2]"), dtype=DTYPES["f32"]), r"c64\[2\] has no meaning as f32"),
        (lambda: math.bitcast(x("f32[2]"), dtype=DTYPES["i8"]), "the sizes differ"),
        (
            lambda: activation.prelu(x("f32[2]"), x("f32[3, 2]")),
            r"slope f32\[3, 2\] does not broadcast to x f32\[2\]",
        ),
        (lambda: activation.gelu(x("f32[2]"), approximate="sigmoid"), "'approximate' is 'sigmoid', expected"),
    ],
)
def test_refused(build: Any, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        build()


def test_a_number_becomes_a_constant_of_the_operands_dtype() -> None:
    y = math.mul(x("f16[3]"), 2.5)
    assert y.type == TensorType(DTYPES["f16"], (3,))
    constant = y.node.operands[1].constant
    assert constant is not None
    assert constant.dtype == np.float16


def test_narrow_floats_are_divided_and_raised_wide() -> None:
    bf16 = ml_dtypes.bfloat16
    quotient = run(math.floordiv, np.array([1.3046875], bf16), np.array([-0.06201171875], bf16))
    assert (quotient.dtype, float(quotient[0])) == (bf16, -22.0)  # in bf16 the quotient would be -21 exactly
    power = run(math.power, np.array([9], bf16), np.array([2.7], np.float32))
    assert power[0] == np.float32(9.0 ** np.float32(2.7)).astype(bf16)
