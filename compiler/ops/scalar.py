"""The scalar operations that stage bodies may name, with their numpy meaning and cost. Backends implement these names.

Arithmetic wraps in integers and follows IEEE 754 in floats; `div` truncates towards zero in integers, `mod` takes the
divisor's sign, `fmod` the dividend's; an integer divided by 0 gives 0; `pow` takes floats; `round` is half to even;
`max` and `min` propagate NaN. `requantize(acc, multiplier, shift, zero)` is
((acc * multiplier + 2^(shift - 1)) >> shift) + zero in 64 bits, saturated to the result's dtype: an i32 by a factor
of 0 <= multiplier < 2^31, 1 <= shift <= 62. `requantize_high` is the same for 33 <= shift and a zero of the result's
dtype, of at most 16 bits: the upper words of the products are enough. `requantize_fused` is the same for results of 8
bits and factors of up to 24 bits that f32 multiplies by and rounds without a difference; who chooses it knows the sums.
"""

from collections.abc import Callable
from math import erf as _erf
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..ir.types import DType, boolean


@dataclass(frozen=True, slots=True)
class Scalar:
    """Meaning on arrays, number of arguments (None: any), whether the result is bool, and relative cost.

    `typed`: the meaning takes the result's dtype as a last argument.
    """

    name: str
    numpy: Callable[..., Any]
    arity: int
    predicate: bool = False
    cost: float = 1.0
    typed: bool = False


def _truncated_division(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if np.asarray(x).dtype.kind not in "iu":
        return np.true_divide(x, y)
    safe = np.where(y == 0, 1, y).astype(np.asarray(y).dtype)
    quotient = np.floor_divide(x, safe)
    inexact = (quotient * safe != x) & ((x < 0) != (safe < 0))
    return np.where(y == 0, 0, quotient + inexact.astype(quotient.dtype)).astype(quotient.dtype)


def _erf_array(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x)
    out = np.fromiter(map(_erf, x.astype(np.float64).ravel()), np.float64, x.size)
    return out.reshape(x.shape).astype(x.dtype)


def _shift_left(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(y < x.dtype.itemsize * 8, np.left_shift(x, y), 0).astype(x.dtype)


def _shift_right(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    beyond = np.where(x < 0, -1, 0).astype(x.dtype)
    return np.where(y < x.dtype.itemsize * 8, np.right_shift(x, y), beyond)


def _round(x: np.ndarray) -> np.ndarray:
    """numpy would round integers in f64."""
    return x if np.asarray(x).dtype.kind in "iub" else np.rint(x)


def _requantize(
    acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, zero: np.ndarray, dtype: DType
) -> np.ndarray:
    acc, multiplier, shift, zero = (
        np.asarray(part).astype(np.int64) for part in (acc, multiplier, shift, zero)
    )
    scaled = (acc * multiplier + np.left_shift(1, shift - 1)) >> shift
    return np.clip(scaled + zero, *dtype.limits)


def _same_bits(x: np.ndarray, dtype: DType) -> np.ndarray:
    return np.asarray(x, order="C").view(dtype.numpy)


SCALARS: dict[str, Scalar] = {
    entry.name: entry
    for entry in (
        Scalar("add", np.add, 2),
        Scalar("sub", np.subtract, 2),
        Scalar("mul", np.multiply, 2),
        Scalar("div", _truncated_division, 2, cost=4),
        Scalar("mod", np.mod, 2, cost=8),
        Scalar("fmod", np.fmod, 2, cost=8),
        Scalar("pow", np.power, 2, cost=30),
        Scalar("max", np.maximum, 2),
        Scalar("min", np.minimum, 2),
        Scalar("neg", np.negative, 1),
        Scalar("abs", np.abs, 1),
        Scalar("sign", np.sign, 1),
        Scalar("exp", np.exp, 1, cost=10),
        Scalar("log", np.log, 1, cost=12),
        Scalar("sqrt", np.sqrt, 1, cost=6),
        Scalar("erf", _erf_array, 1, cost=16),
        Scalar("tanh", np.tanh, 1, cost=14),
        Scalar("sin", np.sin, 1, cost=14),
        Scalar("cos", np.cos, 1, cost=14),
        Scalar("tan", np.tan, 1, cost=20),
        Scalar("asin", np.arcsin, 1, cost=20),
        Scalar("acos", np.arccos, 1, cost=20),
        Scalar("atan", np.arctan, 1, cost=20),
        Scalar("sinh", np.sinh, 1, cost=20),
        Scalar("cosh", np.cosh, 1, cost=20),
        Scalar("asinh", np.arcsinh, 1, cost=20),
        Scalar("acosh", np.arccosh, 1, cost=20),
        Scalar("atanh", np.arctanh, 1, cost=20),
        Scalar("floor", np.floor, 1),
        Scalar("ceil", np.ceil, 1),
        Scalar("round", _round, 1),
        Scalar("trunc", np.trunc, 1),
        Scalar("isnan", np.isnan, 1, predicate=True),
        Scalar("isinf", np.isinf, 1, predicate=True),
        Scalar("eq", np.equal, 2, predicate=True),
        Scalar("ne", np.not_equal, 2, predicate=True),
        Scalar("lt", np.less, 2, predicate=True),
        Scalar("le", np.less_equal, 2, predicate=True),
        Scalar("gt", np.greater, 2, predicate=True),
        Scalar("ge", np.greater_equal, 2, predicate=True),
        Scalar("and", np.logical_and, 2, predicate=True),
        Scalar("or", np.logical_or, 2, predicate=True),
        Scalar("xor", np.logical_xor, 2, predicate=True),
        Scalar("not", np.logical_not, 1, predicate=True),
        Scalar("bit_and", np.bitwise_and, 2),
        Scalar("bit_or", np.bitwise_or, 2),
        Scalar("bit_xor", np.bitwise_xor, 2),
        Scalar("bit_not", np.bitwise_not, 1),
        Scalar("shift_left", _shift_left, 2),
        Scalar("shift_right", _shift_right, 2),
        Scalar("where", np.where, 3),
        Scalar("requantize", _requantize, 4, cost=8, typed=True),
        Scalar("requantize_high", _requantize, 4, cost=5, typed=True),
        Scalar("requantize_fused", _requantize, 4, cost=2, typed=True),
        Scalar("bitcast", _same_bits, 1, cost=0, typed=True),
    )
}
"""`cast` is not in the table, see `cast_array`: its result dtype is an argument. So is that of `bitcast`, which reads
the same bits in another dtype of the same size."""


def cast_array(x: np.ndarray, dtype: DType) -> np.ndarray:
    """Conversion as compiled code does it: floats to ints truncate, out of range wraps as on the host."""
    if dtype == boolean:
        return np.not_equal(x, 0)
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(dtype.numpy)


def apply_scalar(name: str, arguments: list[np.ndarray], dtype: DType) -> np.ndarray:
    """Evaluate one named scalar operation on arrays; the result has `dtype`."""
    if name == "cast":
        return cast_array(arguments[0], dtype)
    entry = SCALARS[name]
    with np.errstate(all="ignore"):
        result = entry.numpy(*arguments, dtype) if entry.typed else entry.numpy(*arguments)
        return np.asarray(result).astype(dtype.numpy, copy=False)
