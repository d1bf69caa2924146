"""Floats of 8 and 4 bits and integers below a byte, one to a byte in memory: from and to the types that registers hold.

A number's bits are moved to where f32 has them; a product with a power of two corrects the exponent, subnormals
included. (OCP OFP8 1.0, OCP MX 1.0; on the fnuz formats, NaN and overflow ml_dtypes has the last word.)
"""

import math

from ...compiler.ir.types import DType, f32, i8, i32, u8
from ...runtime.records import dataclass
from .lanes import Lanes, choose


@dataclass(frozen=True, slots=True)
class Format:
    """Bits of the mantissa, exponent bias, and the codes (without sign) of the largest number, of what lies beyond it,
    and of NaN; `unsigned_zero`: the code of negative zero is the only NaN."""

    mantissa: int
    bias: int
    largest: int
    beyond: int
    nan: int
    unsigned_zero: bool = False


FORMATS = {
    "f8e4m3fn": Format(3, 7, 0x7E, 0x7F, 0x7F),
    "f8e4m3fnuz": Format(3, 8, 0x7F, 0x80, 0x80, True),
    "f8e5m2": Format(2, 15, 0x7B, 0x7C, 0x7E),
    "f8e5m2fnuz": Format(2, 16, 0x7F, 0x80, 0x80, True),
    "f4e2m1": Format(1, 1, 0x7, 0x7, 0x8),
}
_SCALE = "f8e8m0"


def is_narrow(dtype: DType) -> bool:
    """Whether a dtype is one of these."""
    return dtype.name in FORMATS or dtype.name == _SCALE or (dtype.is_integer and dtype.bits < 8)


def widened(x: Lanes) -> Lanes:
    """The values as f32, i8 or u8."""
    if x.dtype.is_integer:
        whole = x.as_dtype(i8 if x.dtype.kind == "int" else u8)
        places = 8 - x.dtype.bits
        return (whole << places) >> places if x.dtype.kind == "int" else whole & (2**x.dtype.bits - 1)
    word = x.convert("zext", i32)
    if x.dtype.name == _SCALE:
        least = choose(word.equals(0), word.constant(1 << 22), word << 23)
        return choose(word.equals(255), word.constant(0x7FC00000), least).floats()
    form, sign = FORMATS[x.dtype.name], 1 << (x.dtype.bits - 1)
    code = word & (sign - 1)
    value = (code << (23 - form.mantissa)).floats() * 2.0 ** (127 - form.bias)
    if form.unsigned_zero:
        value = choose(word.equals(form.nan), math.nan, value)
    elif x.dtype.bits == 8:
        value = choose(code > form.largest, math.nan, value)
        if form.beyond != form.nan:
            value = choose(code.equals(form.beyond), math.inf, value)
    return (value.bits() | ((word & sign) << (32 - x.dtype.bits))).floats()


def narrowed(x: Lanes, dtype: DType) -> Lanes:
    """f32, i8 or u8 values as one of these types: floats rounded to the nearest, ties to even; integers cut."""
    if dtype.is_integer:
        return (x & (2**dtype.bits - 1)).as_dtype(dtype)
    if dtype.name == _SCALE:
        return _scale(x, dtype)
    form, shift = FORMATS[dtype.name], 23 - FORMATS[dtype.name].mantissa
    bits = x.bits()
    size = bits & 0x7FFFFFFF
    half = (1 << (shift - 1)) - 1
    rounded = size + half + (size.unsigned_shift(shift) & 1)
    code = rounded.unsigned_shift(shift) - ((127 - form.bias) << form.mantissa)
    # below the least normal number the codes count multiples of the least number: adding 2**23 rounds to a multiple
    least = (size.floats() * 2.0 ** (form.bias - 1 + form.mantissa) + 2.0**23).bits() & 0x7FFFFF
    code = choose(size < ((128 - form.bias) << 23), least, code)
    code = choose(code > form.largest, form.beyond, code)
    code = choose(x.is_nan(), form.nan, code)
    sign = bits.unsigned_shift(31) << (dtype.bits - 1)
    signed = code | sign
    if form.unsigned_zero:
        signed = choose(code.equals(0), 0, signed)
    return signed.convert("trunc", dtype)


def _scale(x: Lanes, dtype: DType) -> Lanes:
    """Numbers as powers of two, ties up; what is not positive is NaN, as in ml_dtypes."""
    bits = x.bits()
    code = choose(bits > 1 << 22, (bits + (1 << 22)).unsigned_shift(23), 0)
    positive = choose(bits > 0, code, 255)
    return choose(x.is_nan(), 255, positive).convert("trunc", dtype)


def register_type(dtype: DType) -> DType:
    """The dtype in which values are computed on their way from or to a narrow one."""
    if dtype.is_integer:
        return i8 if dtype.kind == "int" else u8
    return f32
