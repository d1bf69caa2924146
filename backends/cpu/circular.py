"""sin, cos, tan and their inverses on vectors, in f64; `short` polynomials are as precise as f32 needs.

Arguments are reduced by multiples of pi/2: below 2^20 in four parts, so that no digit is lost, beyond in integers
(`remainders.py`), which is rare enough for a branch. Errors in docs/design/vector-math.md.
"""

import math

from . import coefficients as c
from . import remainders
from .lanes import Lanes, choose, two_sum

# pi/2 in parts of 33 bits: times an integer below 2^20 they are exact; the last one is rounded.
_QUARTER_TURN = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487111665e-21, 8.4784276603689e-32)
_HALF_PI = (math.pi / 2, 6.123233995736766e-17)
_MAGIC = 1.5 * 2.0**52
_FAR = 2.0**20


def sin(x: Lanes, short: bool) -> Lanes:
    """The sine."""
    a = x.size()
    r, rest, turns = _reduced(a)
    y = choose((turns & 1).equals(0), _sine(r, rest, short), _cosine(r, rest, short))
    negative = (turns << 62) ^ x.bits()  # bit 1 of the turns and the sign of x
    return (y.bits() ^ (negative & -(1 << 63))).floats()


def cos(x: Lanes, short: bool) -> Lanes:
    """The cosine."""
    r, rest, turns = _reduced(x.size())
    y = choose((turns & 1).equals(0), _cosine(r, rest, short), _sine(r, rest, short))
    return (y.bits() ^ (((turns + 1) << 62) & -(1 << 63))).floats()


def tan(x: Lanes, short: bool) -> Lanes:
    """The tangent."""
    r, rest, turns = _reduced(x.size())
    sine, cosine = _sine(r, rest, short), _cosine(r, rest, short)
    even = (turns & 1).equals(0)
    y = choose(even, sine, -cosine) / choose(even, cosine, sine)
    return (y.bits() ^ (x.bits() & -(1 << 63))).floats()


def _sine(r: Lanes, rest: Lanes, short: bool) -> Lanes:
    z = r * r
    y = (r * z) * z.polynomial(c.SIN_SHORT if short else c.SIN_F64)
    return r + (y if short else y + rest * (1.0 - z * 0.5))


def _cosine(r: Lanes, rest: Lanes, short: bool) -> Lanes:
    z = r * r
    y = (z * z) * z.polynomial(c.COS_SHORT if short else c.COS_F64)
    if short:
        return 1.0 - (z * 0.5 - y)
    half = z * 0.5
    near = 1.0 - half
    return near + (((1.0 - near) - half) + (y - r * rest))


def _reduced(a: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """(r, rest, turns): a = turns * pi/2 + r + rest with r within pi/4 of 0, for a from 0; NaN for infinity."""
    shifted = a.fma(2 / math.pi, _MAGIC)
    n = shifted - _MAGIC
    turns = shifted.bits()
    first, second, third, last = _QUARTER_TURN
    r = a - n * first
    r, rest = two_sum(r, -(n * second))
    r, more = two_sum(r, -(n * third))
    r, rest = two_sum(r, (rest + more) - n * last)
    far = (a >= _FAR) & (a < math.inf)
    return remainders.far_angles(a, far, (r, rest, turns))


def asin(x: Lanes, short: bool) -> Lanes:
    """The arc sine; NaN beyond 1 and -1."""
    a = x.size()
    outer = a > 0.5
    z = choose(outer, (1.0 - a) * 0.5, a * a)
    s = choose(outer, z.root(), a)
    tail = s * (z * z.polynomial(c.ASIN_SHORT if short else c.ASIN_F64))
    if short:
        far = _HALF_PI[0] - (s + tail) * 2.0
    else:
        high, low = _root_parts(s, z)
        far = math.pi / 4 - ((tail * 2.0 - (_HALF_PI[1] - low * 2.0)) - (math.pi / 4 - high * 2.0))
    return choose(outer, far, s + tail).with_sign_of(x)


def acos(x: Lanes, short: bool) -> Lanes:
    """The arc cosine; NaN beyond 1 and -1."""
    a = x.size()
    outer = a > 0.5
    z = choose(outer, (1.0 - a) * 0.5, a * a)
    s = choose(outer, z.root(), x)
    tail = s * (z * z.polynomial(c.ASIN_SHORT if short else c.ASIN_F64))
    high, low = _root_parts(s, z)
    right = (high + (low + tail)) * 2.0
    left = math.pi - ((s + (tail - _HALF_PI[1])) * 2.0)
    far = choose(x < 0.0, left, right)
    return choose(outer, far, _HALF_PI[0] - (x - (_HALF_PI[1] - tail)))


def _root_parts(s: Lanes, z: Lanes) -> tuple[Lanes, Lanes]:
    """sqrt(z) as a sum of two numbers, from its rounded value s."""
    high = (s.bits() & -(1 << 32)).floats()
    total = s + high
    return high, choose(total > 0.0, (z - high * high) / total, 0.0)


def atan(x: Lanes, short: bool) -> Lanes:
    """The arc tangent: of -1/x beyond tan(3 pi/8), of (x - 1)/(x + 1) beyond tan(pi/8), plus a constant."""
    a = x.size()
    outer, middle = a > 1 + math.sqrt(2), a > math.sqrt(2) - 1
    above = choose(outer, -1.0, choose(middle, a - 1.0, a))
    below = choose(outer, a, choose(middle, a + 1.0, 1.0))
    t = above / below
    z = t * t
    tail = t * (z * z.polynomial(c.ATAN_SHORT if short else c.ATAN_F64))
    scale = choose(outer, a.constant(1.0), choose(middle, a.constant(0.5), 0.0))
    y = scale * _HALF_PI[0] + (t + (tail + scale * _HALF_PI[1]))
    return y.with_sign_of(x)
