"""Elementwise mathematics with numpy broadcasting and no dtype promotion. Activations are in `activation`.

Most ops are one scalar operation: their numpy meaning is the one in `scalar`, and a line here names them. Floats
narrower than f32 are computed in f32 and rounded once (`rules.wide`); integers wrap.
"""

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.types import (
    DTYPES,
    DType,
    TensorType,
    bf16,
    boolean,
    dtype_of,
    f16,
    f32,
    f64,
    i8,
    i32,
    i64,
    string,
    u8,
)
from ..tile.stage import Expr, apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import Op, Sample, case, op
from .rules import (
    NUMBERS,
    broadcast,
    broadcast_shapes,
    compare,
    only,
    per_element,
    pointwise,
    same_dtype,
    same_type,
    scalar,
    widen,
)
from .scalar import SCALARS, cast_array

FLOATS, INTEGERS, BOOL = ("float",), ("int", "uint"), ("bool",)
FINITE = np.array([-2.5, -1.5, -0.5, -0.0, 0.5, 1.5, 2.5, 1e-30], np.float32)
EXTREME = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.5], np.float32)

# Shapes per operand: broadcasting on either side, rank 0, an odd extent, none of them a multiple of a vector.
_SHAPES = {
    1: (("[4, 37]",), ("[]",), ("[3, 1, 5]",)),
    2: (("[4, 5]", "[5]"), ("[3, 1]", "[1, 17]"), ("[]", "[7]")),
}


def samples(
    kinds: Sequence[str], arity: int, low: float | None = None, high: float | None = None
) -> tuple[Sample, ...]:
    """Samples of an elementwise op: every dtype of its kinds on varied shapes; NaN and infinities in operand 0."""
    dtypes = {"float": "f32 f64 f16 bf16", "int": "i32 i64 i8", "uint": "u8", "bool": "bool bool"}
    names = [name for kind in kinds if kind in dtypes for name in dtypes[kind].split()]
    out = [
        case(*((f"{name}{shape}", low, high) for shape in _SHAPES[arity][n % 3]))
        for n, name in enumerate(names)
    ]
    if "float" in kinds:
        out.append(case(EXTREME, *[FINITE[2:]] * (arity - 1)))
    return tuple(out)


def _named(
    name: str,
    doc: str,
    kinds: Sequence[str],
    arity: int,
    scalar_name: str | None,
    low: float | None,
    high: float | None,
) -> Op:
    entry = SCALARS[scalar_name or name]

    def unary(x):
        return entry.numpy(x)

    def binary(x, y):
        return entry.numpy(x, y)

    meaning = unary if arity == 1 else binary
    meaning.__doc__ = doc
    rule = compare if entry.predicate else broadcast
    return op(
        f"math.{name}",
        infer=only(kinds, rule),
        stages=pointwise(scalar(entry.name, boolean if entry.predicate else None)),
        cost=per_element(round(entry.cost)),
        samples=samples(kinds, arity, low, high),
    )(meaning)


def _unary(
    name: str,
    doc: str,
    kinds: Sequence[str] = FLOATS,
    scalar_name: str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Op:
    return _named(name, doc, kinds, 1, scalar_name, low, high)


def _binary(
    name: str,
    doc: str,
    kinds: Sequence[str] = NUMBERS,
    scalar_name: str | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Op:
    return _named(name, doc, kinds, 2, scalar_name, low, high)


_ARITHMETIC = (*NUMBERS, "complex")
_ANY = (*NUMBERS, "bool", "complex", "string")

add = _binary("add", "x + y.", _ARITHMETIC)
sub = _binary("sub", "x - y.", _ARITHMETIC)
mul = _binary("mul", "x * y.", _ARITHMETIC)
div = _binary("div", "x / y; integers truncate towards zero, and x / 0 is 0.", _ARITHMETIC)
mod = _binary("mod", "The remainder that has the divisor's sign; 0 for an integer divisor 0.", low=1, high=9)
fmod = _binary(
    "fmod", "The remainder that has the dividend's sign; 0 for an integer divisor 0.", low=1, high=9
)
maximum = _binary("max", "The larger of x and y; NaN if either is.")
minimum = _binary("min", "The smaller of x and y; NaN if either is.")

neg = _unary("neg", "-x.", _ARITHMETIC)
absolute = _unary("abs", "|x|; the smallest signed integer stays itself.", NUMBERS)
sign = _unary("sign", "-1, 0 or 1 by the sign of x; NaN for NaN.", NUMBERS)
exp = _unary("exp", "e to the power x.")
log = _unary("log", "The natural logarithm.")
sqrt = _unary("sqrt", "The square root; NaN for negative x.")
erf = _unary("erf", "The error function, 2/sqrt(pi) times the integral of exp(-t*t) from 0 to x.")
tanh = _unary("tanh", "The hyperbolic tangent.")
sin = _unary("sin", "The sine of x radians.")
cos = _unary("cos", "The cosine of x radians.")
tan = _unary("tan", "The tangent of x radians.", low=-1.5, high=1.5)
asin = _unary("asin", "The arc sine, in radians.", low=-1, high=1)
acos = _unary("acos", "The arc cosine, in radians.", low=-1, high=1)
atan = _unary("atan", "The arc tangent, in radians.")
sinh = _unary("sinh", "The hyperbolic sine.")
cosh = _unary("cosh", "The hyperbolic cosine.")
asinh = _unary("asinh", "The inverse hyperbolic sine.")
acosh = _unary("acosh", "The inverse hyperbolic cosine; NaN below 1.", low=1, high=9)
atanh = _unary("atanh", "The inverse hyperbolic tangent.", low=-0.9, high=0.9)
floor = _unary("floor", "The largest whole number <= x.")
ceil = _unary("ceil", "The smallest whole number >= x.")
round_even = _unary("round", "The nearest whole number, halves to the even one.")
trunc = _unary("trunc", "x without its fraction.")
isnan = _unary("isnan", "Whether x is NaN.")

eq = _binary("eq", "Whether x equals y; NaN equals nothing.", _ANY)
ne = _binary("ne", "Whether x differs from y.", _ANY)
lt = _binary("lt", "Whether x < y.")
le = _binary("le", "Whether x <= y.")
gt = _binary("gt", "Whether x > y.")
ge = _binary("ge", "Whether x >= y.")
logical_and = _binary("logical_and", "Whether x and y hold.", BOOL, "and")
logical_or = _binary("logical_or", "Whether x or y holds.", BOOL, "or")
logical_xor = _binary("logical_xor", "Whether just one of x and y holds.", BOOL, "xor")
logical_not = _unary("logical_not", "Whether x does not hold.", BOOL, "not")
bit_and = _binary("bit_and", "The bits that x and y both have.", INTEGERS)
bit_or = _binary("bit_or", "The bits that x or y has.", INTEGERS)
bit_xor = _binary("bit_xor", "The bits that just one of x and y has.", INTEGERS)
bit_not = _unary("bit_not", "All bits of x inverted.", INTEGERS)
shift_left = _binary("shift_left", "x * 2**y without the bits that leave; y >= 0.", INTEGERS, low=0, high=9)
shift_right = _binary("shift_right", "x // 2**y, which keeps the sign; y >= 0.", INTEGERS, low=0, high=9)


def _floordiv(x: Expr, y: Expr) -> Expr:
    quotient = x / y
    if x.dtype.is_float:
        return apply("floor", quotient)
    signs = apply("xor", x < 0, y < 0, dtype=boolean)
    inexact = apply("ne", quotient * y, x, dtype=boolean)
    return quotient - apply(
        "and", apply("and", inexact, signs), apply("ne", y, lift(0, y.dtype), dtype=boolean)
    ).cast(x.dtype)


@op(
    "math.floordiv",
    infer=only(NUMBERS, broadcast),
    stages=pointwise(_floordiv),
    cost=per_element(8),
    samples=(
        *samples(NUMBERS, 2),
        case(("i32[9]", -50, 50), ("i32[9]", -4, 5)),
        case(np.array([1.3046875, 7.0], bf16.numpy), np.array([-0.06201171875, 0.0703125], bf16.numpy)),
    ),
)
def floordiv(x, y):
    """x / y rounded down; an integer divided by 0 gives 0."""
    if x.dtype.kind in "iu":
        return np.floor_divide(x, y)
    return np.floor(np.true_divide(widen(x), widen(y))).astype(x.dtype, copy=False)


def _pow_type(x: TensorType, y: TensorType) -> TensorType:
    return TensorType(x.dtype, broadcast_shapes(x.shape, y.shape))


def _pow_body(x: Expr, y: Expr) -> Expr:
    dtype = x.dtype if x.dtype.is_float else f64
    return apply("pow", x.cast(dtype), y.cast(dtype)).cast(x.dtype)


@op(
    "math.pow",
    infer=only(NUMBERS, _pow_type),
    stages=pointwise(_pow_body),
    cost=per_element(30),
    samples=(
        *samples(FLOATS, 2, 0.1, 3),
        case("f32[3, 5]", ("i64[5]", 0, 4)),
        case(("i32[7]", -9, 9), ("i32[]", 0, 5)),
        case(("i64[4]", 1, 9), ("f32[4]", 0, 3)),
        case(("bf16[4]", 1, 9), ("f32[4]", 0, 3)),
    ),
)
def power(x, y):
    """x to the power y, in x's dtype; y may have another one. Integers are raised in f64."""
    dtype = widen(x).dtype if x.dtype.kind not in "iu" else np.dtype(np.float64)
    return cast_array(np.power(x.astype(dtype), y.astype(dtype)), dtype_of(x.dtype))


def _reciprocal(x: Expr) -> Expr:
    return 1 / x


@op(
    "math.reciprocal",
    infer=only((*FLOATS, "complex"), same_type()),
    stages=pointwise(_reciprocal),
    cost=per_element(4),
    samples=samples(FLOATS, 1),
)
def reciprocal(x):
    """1 / x."""
    return np.true_divide(np.ones((), x.dtype), x)


def _isinf_type(x: TensorType, **_: Any) -> TensorType:
    return x.with_dtype(boolean)


def _isinf_body(x: Expr, *, positive: bool, negative: bool) -> Expr:
    if positive and negative:
        return apply("isinf", x, dtype=boolean)
    if not positive and not negative:
        return lift(False, boolean)
    return x.equals(np.inf if positive else -np.inf)


@op(
    "math.isinf",
    infer=only(FLOATS, _isinf_type),
    stages=pointwise(_isinf_body),
    samples=(case(EXTREME), case(EXTREME, negative=False), case(EXTREME, positive=False), case("f16[3, 5]")),
)
def isinf(x, *, positive: bool = True, negative: bool = True):
    """Whether x is infinite, counting the infinities asked for."""
    return (np.equal(x, np.inf) & positive) | (np.equal(x, -np.inf) & negative)


def _where_type(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if condition.dtype != boolean:
        raise TypeRuleError(f"the condition is {condition}, expected bool", hint="insert a cast")
    return TensorType(same_dtype(x, y), broadcast_shapes(condition.shape, x.shape, y.shape))


@op(
    "math.where",
    infer=_where_type,
    stages=pointwise(select, widened=False),
    samples=(
        case("bool[4, 5]", "f32[5]", "f32[4, 1]"),
        case("bool[]", "i64[3]", "i64[]"),
        case("bool[6]", EXTREME, FINITE[2:]),
        case("bool[3, 1]", "bf16[7]", "bf16[3, 7]"),
        case("bool[5]", "string[5]", "string[]"),
        case("bool[5]", "bool[5]", "bool[]"),
    ),
)
def where(condition, x, y):
    """x where the condition holds, else y."""
    return np.where(condition, x, y)


def _clip_type(x: TensorType, low: TensorType | None = None, high: TensorType | None = None) -> TensorType:
    for bound in (low, high):
        if bound is not None and bound != TensorType(x.dtype, ()):
            raise TypeRuleError(f"a bound is {bound}, expected {TensorType(x.dtype, ())}")
    return x


def _clip_body(x: Expr, low: Expr | None, high: Expr | None) -> Expr:
    x = x if low is None else apply("max", x, low)
    return x if high is None else apply("min", x, high)


@op(
    "math.clip",
    infer=only(NUMBERS, _clip_type),
    stages=pointwise(_clip_body),
    cost=per_element(2),
    samples=(
        case("f32[4, 9]", np.float32(-0.5), np.float32(0.5)),
        case("f32[7]", None, np.float32(0)),
        case("bf16[7]", "bf16[]"),
        case("i8[3, 3]", np.int8(-20), np.int8(30)),
        case(EXTREME, np.float32(-1), np.float32(2)),
        case("u8[]", np.uint8(10), np.uint8(5)),
    ),
)
def clip(x, low=None, high=None):
    """min(max(x, low), high): `high` wins where the bounds cross; NaN stays."""
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _cast_type(x: TensorType, *, dtype: DType, saturate: bool) -> TensorType:
    if x.dtype.kind == "complex" and dtype.kind not in ("complex", "string"):
        raise TypeRuleError(f"{x} has no meaning as {dtype}")
    return x.with_dtype(dtype)


def _bound(source: DType, target: DType, saturate: bool) -> float | None:
    """The largest magnitude that a saturating cast leaves as it is; None where the cast does not saturate."""
    if saturate and source.kind in NUMBERS and target.is_float and target.bits <= 8:
        return float(ml_dtypes.finfo(target.numpy).max)
    return None


def cast_body(x: Expr, *, dtype: DType, saturate: bool) -> Expr:
    bound = _bound(x.dtype, dtype, saturate)
    if bound is not None:
        x = x.cast(x.dtype if x.dtype.is_float else f32)
        x = apply("min", apply("max", x, lift(-bound, x.dtype)), lift(bound, x.dtype))
    return x.cast(dtype)


_SCALE = DTYPES["f8e8m0"]


def _cast_stages(s: Stages, x: Ref, *, dtype: DType, saturate: bool) -> Any:
    if dtype == _SCALE:
        return NotImplemented
    return pointwise(cast_body, widened=False)(s, x, dtype=dtype, saturate=saturate)


def _power_of_two(x: np.ndarray, saturate: bool) -> np.ndarray:
    """The power of two at or above x, as block scales are rounded; NaN where there is none and for negative x."""
    fraction, exponent = np.frexp(x.astype(np.float64))
    exponent = np.where(x == 0, -128, np.where(np.isposinf(x), 128, exponent - (fraction == 0.5)))
    bits = np.clip(exponent, -127, 127) + 127
    valid = (x >= 0) & (saturate | (np.abs(exponent) < 128))
    return np.where(valid, bits, 255).astype(np.uint8).view(_SCALE.numpy)


@op(
    "math.cast",
    infer=_cast_type,
    stages=_cast_stages,
    samples=(
        case(("f32[4, 9]", -90, 90), dtype=i8),
        case(("f64[5]", 0, 200), dtype=u8),
        case("f16[3, 5]", dtype=f32),
        case("f32[3, 5]", dtype=bf16),
        case("i64[7]", dtype=f32),
        case("i32[]", dtype=u8),
        case("i8[3, 1, 2]", dtype=i64),
        case("bool[6]", dtype=f16),
        case(EXTREME, dtype=boolean),
        case(np.array([np.nan, np.inf, -np.inf, 1e6, -3.1], np.float32), dtype=DTYPES["f8e4m3fn"]),
        case(np.array([np.nan, np.inf, -1e6, 0.3], np.float32), dtype=DTYPES["f8e5m2"], saturate=False),
        case(("f32[3, 2]", 0, 9), dtype=_SCALE),
        case("f32[5]", dtype=string),
        case(np.array(["1.5", "-INF", "NaN", "2"], object), dtype=f64),
    ),
)
def cast(x, *, dtype: DType, saturate: bool = True):
    """x as another dtype: floats truncate to integers, not 0 is True, floats of 8 bits and less saturate if asked.

    A scale (f8e8m0) is rounded up to a power of two, all other floats to the nearest. What an integer dtype can't hold
    is undefined.
    """
    if dtype == string:
        return np.array([str(value) for value in x.ravel()], object).reshape(x.shape)
    if x.dtype == object:
        x = x.astype(
            np.int64 if dtype.is_integer else np.complex128 if dtype.kind == "complex" else np.float64
        )
    if dtype == _SCALE and x.dtype != dtype.numpy:
        return _power_of_two(x, saturate)
    bound = _bound(dtype_of(x.dtype), dtype, saturate)
    if bound is not None:
        x = np.clip(x.astype(np.result_type(x.dtype, np.float32)), -bound, bound)
    return cast_array(x, dtype)


def _bitcast_type(x: TensorType, *, dtype: DType) -> TensorType:
    if x.dtype.bits != dtype.bits or "string" in (x.dtype.kind, dtype.kind):
        raise TypeRuleError(f"the bits of {x} can't be read as {dtype}: the sizes differ")
    return x.with_dtype(dtype)


def _bitcast_stages(s: Stages, x: Ref, *, dtype: DType) -> Any:
    if boolean in (x.dtype, dtype):  # which takes a whole byte in memory and one bit in registers
        return NotImplemented
    index = s.dims(*x.shape)
    s.store(s.results[0][index], apply("bitcast", x[index], dtype=dtype))
    return None


@op(
    "math.bitcast",
    infer=_bitcast_type,
    stages=_bitcast_stages,
    samples=(
        case("f32[4, 5]", dtype=i32),
        case("i8[]", dtype=u8),
        case("bf16[7]", dtype=DTYPES["u16"]),
        case("u8[5]", dtype=boolean),
    ),
)
def bitcast(x, *, dtype: DType):
    """The bits of x read as another dtype of the same size."""
    return np.ascontiguousarray(x).view(dtype.numpy).reshape(x.shape)
