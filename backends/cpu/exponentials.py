"""exp, log, pow, the hyperbolic functions, their inverses and erf on vectors; errors in docs/design/vector-math.md.

f32 exp, log, tanh and erf compute in f32, for networks are full of them. The other f32 functions compute in f64 with
short polynomials and round once. Coefficients: `coefficients.py`.
"""

import math

from ...compiler.ir.types import f32, f64, i32
from . import coefficients as c
from .lanes import Lanes, choose, ordered_sum, two_product, two_sum

_LN2_F32 = (0.693359375, -2.12194440e-4)  # in two parts: a small integer times the first is exact
_LN2_F64 = (0.6931471803691238, 1.9082149292705877e-10)
_TWO_THIRDS = (2 / 3, 3.700743415417188e-17)
_LARGEST = 88.72283172607422  # whose e^x f32 holds
_HUGE = 2.0**28  # from here on 1 + x^2 is x^2, even in f64


def exp(x: Lanes) -> Lanes:
    """e^x in the dtype of x."""
    return _exp(x)


def exp_beside_one(x: Lanes) -> Lanes:
    """e^x in f32 for a sum with 1 or more, where what is below 2^-126 does not count: n is added to the exponent."""
    y, shifted = _parts(choose(x < -87.0, -87.0, x))
    return choose(x > _LARGEST, math.inf, (y.bits() + (shifted.bits() << 23)).floats())


def _exp(x: Lanes, low: Lanes | None = None, halvings: int = 0, short: bool = False) -> Lanes:
    """e^(x + low) / 2^halvings: a power of two in two factors, for range, one of them far from 1."""
    wide = x.dtype == f64
    x = _clamp(x, *((-746.0, 711.0) if wide else (-104.0, 89.0)))
    y, shifted = _parts(x, low, short)
    if x.scalars.scales(x) and not halvings:
        return x.scalars.scale(y, shifted - _magic(wide))
    bias, places, far = (1023, 52, 512) if wide else (127, 23, 64)
    one = bias << places
    bits = shifted.bits() << places
    factor = choose(x.bits() < 0, bits.constant(one + (far << places)), one - (far << places))
    return y * (bits + (factor - (halvings << places))).floats() * (2 * one - factor).floats()


def _magic(wide: bool) -> float:
    """Adding it rounds to an integer, which the low bits then hold, those above being zeros."""
    return 1.5 * 2.0 ** (52 if wide else 23)


def _parts(x: Lanes, low: Lanes | None = None, short: bool = False) -> tuple[Lanes, Lanes]:
    """(e^r, n + magic) with x + low = n ln(2) + r and r within ln(2)/2 of 0."""
    wide = x.dtype == f64
    table = c.EXP_SHORT if short else c.EXP_F64 if wide else c.EXP_F32
    high, rest = _LN2_F64 if wide else _LN2_F32
    shifted = x.fma(math.log2(math.e), _magic(wide))
    n = shifted - _magic(wide)
    r = n.fma(-rest, n.fma(-high, x))
    if low is not None:
        r = r + low
    return (r * r).fma(r.polynomial(table), r) + 1.0, shifted


def _clamp(x: Lanes, low: float, high: float) -> Lanes:
    """Both bounds applied; NaN stays."""
    x = choose(x < low, low, x)
    return choose(x > high, high, x)


def _split(x: Lanes) -> tuple[Lanes, Lanes]:
    """(e, m) with x = 2^e * m and m from sqrt(1/2) to sqrt(2), for positive finite x."""
    wide = x.dtype == f64
    places, bias, tiny = (52, 1023, 2.0**-1022) if wide else (23, 127, 2.0**-126)
    root = 0x3FE6A09E667F3BCD if wide else 0x3F3504F3  # the bits of sqrt(1/2), the bits of 1 below
    one = bias << places
    denormal = x < tiny
    bits = choose(denormal, x * 2.0**places, x).bits()
    moved = bits + (one - root)
    exponent = moved.unsigned_shift(places) - bias
    mantissa = ((moved & ((1 << places) - 1)) + root).floats()
    if wide:  # machines convert vectors of i32
        exponent = exponent.to(i32)
    e = exponent.to(x.dtype)
    return choose(denormal, e - float(places), e), mantissa


def _at_ends(x: Lanes, y: Lanes) -> Lanes:
    """y = log x where x is positive and finite; -inf at 0, NaN below, x itself for inf and NaN."""
    y = choose(x < math.inf, y, x)
    y = choose(x.equals(0.0), -math.inf, y)
    return choose(x < 0.0, math.nan, y)


def log(x: Lanes) -> Lanes:
    """The natural logarithm in the dtype of x."""
    if x.dtype == f64:
        return _log(x)
    e, m = _split(x)
    f = m - 1.0
    square = f * f
    y = f * square * f.polynomial(c.LOG_F32)
    y = e.fma(_LN2_F32[1], y)
    y = square.fma(-0.5, y)
    y = e.fma(_LN2_F32[0], y + f)
    return _at_ends(x, y)


def _log(x: Lanes, short: bool = False) -> Lanes:
    """In f64, through 2 artanh(s) with s = f / (2 + f), f = m - 1."""
    e, m = _split(x)
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    tail = z * z.polynomial(c.LOG_SHORT if short else c.LOG_F64)
    half = f * f * 0.5
    low = s.fma(half + tail, e * _LN2_F64[1])
    return _at_ends(x, e * _LN2_F64[0] - ((half - low) - f))


def _log_of_one_plus(t: Lanes, short: bool, doubled: Lanes | None = None) -> Lanes:
    """log(1 + t) for t from 0; where `doubled` is from 2^28, log(2 * doubled) instead."""
    u, lost = two_sum(t.constant(1.0), t)
    rest = choose(u < math.inf, lost / u, 0.0)
    if doubled is not None:
        big = doubled >= _HUGE
        u, rest = choose(big, doubled, u), choose(big, math.log(2), rest)
    return _log(u, short) + rest


def tanh(x: Lanes) -> Lanes:
    """In the dtype of x."""
    if x.dtype == f32:
        return _odd_rational(x, 9.02, c.TANH_F32, c.TANH_F32_BELOW)
    a = x.size()
    near = _small_sinh(a, False)
    near = near / near.fma(near, 1.0).root()
    far = 1.0 - 2.0 / (_exp(a + a) + 1.0)
    return choose(a < 0.55, near, far).with_sign_of(x)


def erf(x: Lanes) -> Lanes:
    """In the dtype of x."""
    if x.dtype == f32:
        return _odd_rational(x, 3.925, c.ERF_F32, c.ERF_F32_BELOW)
    a = x.size()
    near = a * (a * a).polynomial(c.ERF_F64)
    bounded = choose(a > 6.0, 6.0, a)
    far = 1.0 - _exp(-(bounded * bounded)) * ((bounded - 2.0) / (bounded + 2.0)).polynomial(c.ERFC_F64)
    return choose(a < 1.0, near, far).with_sign_of(x)


def _odd_rational(x: Lanes, bound: float, above: tuple[float, ...], below: tuple[float, ...]) -> Lanes:
    """x * P(x^2) / Q(x^2) below `bound`, exactly 1 with the sign of x from there on, never beyond; NaN stays."""
    square = x * x
    y = x * square.polynomial(above) / square.polynomial(below)
    return _clamp(choose(x.size() >= bound, x, y), -1.0, 1.0)


def _small_sinh(x: Lanes, short: bool) -> Lanes:
    """Up to 1 in size."""
    z = x * x
    return (x * z).fma(z.polynomial(c.SINH_SHORT if short else c.SINH_F64), x)


def sinh(x: Lanes, short: bool) -> Lanes:
    """In f64; `short`: as precise as f32 needs."""
    a = x.size()
    half = _exp(a, halvings=1, short=short)
    return choose(a < 1.0, _small_sinh(a, short), half - 0.25 / half).with_sign_of(x)


def cosh(x: Lanes, short: bool) -> Lanes:
    """In f64; `short`: as precise as f32 needs."""
    half = _exp(x.size(), halvings=1, short=short)
    return half + 0.25 / half


def asinh(x: Lanes, short: bool) -> Lanes:
    """In f64; `short`: as precise as f32 needs."""
    a = x.size()
    t = choose(a >= _HUGE, 1.0, a)
    square = t * t
    t = t + square / ((square + 1.0).root() + 1.0)
    return _log_of_one_plus(t, short, a).with_sign_of(x)


def acosh(x: Lanes, short: bool) -> Lanes:
    """In f64; `short`: as precise as f32 needs. NaN below 1."""
    t = choose(x >= _HUGE, 1.0, x) - 1.0
    y = _log_of_one_plus(t + t.fma(t, t + t).root(), short, x)
    return choose(x < 1.0, math.nan, y)


def atanh(x: Lanes, short: bool) -> Lanes:
    """In f64; `short`: as precise as f32 needs. Infinite at 1 and -1, NaN beyond."""
    a = x.size()
    return (_log_of_one_plus((a + a) / (1.0 - a), short) * 0.5).with_sign_of(x)


def power(x: Lanes, y: Lanes, short: bool) -> Lanes:
    """x^y in f64 as C's pow; `short`: as precise as f32 needs, else the logarithm carries twice the digits."""
    a = x.size()
    high, low = _precise_log(a, short)
    high = choose(a.equals(0.0), -math.inf, choose(a < math.inf, high, a))
    if low is None:
        product, rest = high * y, None
    else:
        product, rest = two_product(high, y)
        rest = choose(product.size() < 1000.0, low.fma(y, rest), 0.0)
    result = _exp(product, rest, short=short)
    whole = y.apply("trunc").equals(y)
    half = y * 0.5
    odd = whole & ~half.apply("trunc").equals(half)
    result = choose(odd, result.with_sign_of(x), result)
    undefined = (x < 0.0) & (a < math.inf) & ~whole
    result = choose(undefined, math.nan, result)
    one = x.equals(1.0) | y.equals(0.0) | (a.equals(1.0) & y.size().equals(math.inf))
    return choose(one, 1.0, result)


def _precise_log(x: Lanes, short: bool) -> tuple[Lanes, Lanes | None]:
    """log x for positive finite x as a sum of two numbers; just one where `short`."""
    if short:
        return _log(x), None
    e, m = _split(x)
    f = m - 1.0
    below = m + 1.0
    s = f / below
    back, lost = two_product(s, below)
    s_low = (((f - back) - lost) - s * (m - (below - 1.0))) / below
    z, z_low = two_product(s, s)
    z_low = (s + s).fma(s_low, z_low)
    cube, cube_low = two_product(s, z)
    cube_low = s.fma(z_low, s_low.fma(z, cube_low))
    third, third_low = two_product(cube, cube.constant(_TWO_THIRDS[0]))
    third_low = cube.fma(_TWO_THIRDS[1], cube_low.fma(_TWO_THIRDS[0], third_low))
    tail = s * z * z * z.polynomial(c.LOG_TAIL_F64)
    high, first = ordered_sum(e * _LN2_F64[0], s + s)
    high, second = two_sum(high, third)
    low = first + second + (third_low + (s_low + s_low) + e * _LN2_F64[1] + tail)
    return ordered_sum(high, low)
