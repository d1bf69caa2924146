"""Fits the polynomials of the CPU backend's vector math and writes `backends/cpu/coefficients.py`.

    python -m benchmarks.fit_vector_math > backends/cpu/coefficients.py      (needs mpmath; takes about a minute)

Each entry approximates a smooth factor of a function, so that the function's leading terms stay exact; the forms are in
docs/design/vector-math.md. The method is Lawson's: least squares whose weights grow where the error is largest.
"""

import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath as mp

mp.mp.prec = 240  # of the fits; the words of 2 / pi need more
Function = Callable[[mp.mpf], mp.mpf]


@dataclass(frozen=True)
class Fit:
    """`target(t)` by a polynomial in t on [low, high], over one of degree `below`; errors count `weight(t)` times."""

    name: str
    low: mp.mpf
    high: mp.mpf
    degree: int
    target: Function
    weight: Function
    bits: int = 64
    about: str = ""
    below: int = 0


def series(derivative: Callable[[int], mp.mpf], t: mp.mpf) -> mp.mpf:
    """sum over n of derivative(n) * t^n, for t < 1 in size: what closed forms lose to cancellation near 0."""
    total, power = mp.mpf(0), mp.mpf(1)
    for n in range(400):
        term = derivative(n) * power
        total += term
        if n > 4 and abs(term) < mp.mpf(2) ** -150:
            break
        power *= t
    return total


def _exponential(t: mp.mpf) -> mp.mpf:
    """(e^t - 1 - t) / t^2."""
    return series(lambda n: 1 / mp.factorial(n + 2), t)


def _logarithm(t: mp.mpf) -> mp.mpf:
    """(log(1 + t) - t + t^2 / 2) / t^3."""
    return series(lambda n: mp.mpf((-1) ** n) / (n + 3), t)


def _areatangent(skip: int) -> Function:
    """(2 artanh(s) / s without its first `skip` terms) / z^skip, in z = s^2."""
    return lambda z: series(lambda n: mp.mpf(2) / (2 * (n + skip) + 1), z)


def _sine(z: mp.mpf) -> mp.mpf:
    """(sin r - r) / r^3 in z = r^2."""
    return series(lambda n: mp.mpf((-1) ** (n + 1)) / mp.factorial(2 * n + 3), z)


def _cosine(z: mp.mpf) -> mp.mpf:
    """(cos r - 1 + r^2 / 2) / r^4 in z = r^2."""
    return series(lambda n: mp.mpf((-1) ** n) / mp.factorial(2 * n + 4), z)


def _arctangent(z: mp.mpf) -> mp.mpf:
    """(atan t - t) / t^3 in z = t^2."""
    return series(lambda n: mp.mpf((-1) ** (n + 1)) / (2 * n + 3), z)


def _arcsine(z: mp.mpf) -> mp.mpf:
    """(asin s - s) / s^3 in z = s^2."""
    return series(lambda n: mp.binomial(2 * n + 2, n + 1) / mp.mpf(4) ** (n + 1) / (2 * n + 3), z)


def _hyperbolic_sine(z: mp.mpf) -> mp.mpf:
    """(sinh x - x) / x^3 in z = x^2."""
    return series(lambda n: 1 / mp.factorial(2 * n + 3), z)


def _error(z: mp.mpf) -> mp.mpf:
    """erf(x) / x in z = x^2."""
    return 2 / mp.sqrt(mp.pi) * series(lambda n: mp.mpf((-1) ** n) / mp.factorial(n) / (2 * n + 1), z)


def _error_slowly(z: mp.mpf) -> mp.mpf:
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z)


def _tangent(z: mp.mpf) -> mp.mpf:
    return mp.tanh(mp.sqrt(z)) / mp.sqrt(z)


ERROR_CENTRE = 2


def _scaled_complement(t: mp.mpf) -> mp.mpf:
    """exp(x^2) erfc(x) in t = (x - c) / (x + c)."""
    x = ERROR_CENTRE * (1 + t) / (1 - t)
    return mp.exp(x * x) * mp.erfc(x)


def _ratio(x: float) -> mp.mpf:
    return (mp.mpf(x) - ERROR_CENTRE) / (mp.mpf(x) + ERROR_CENTRE)


HALF_LN2 = mp.log(2) / 2 + mp.mpf("1e-4")
QUARTER = mp.mpf("0.786")  # a little more than pi/4
S_SQUARE = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.0001")
EIGHTH = mp.tan(mp.pi / 8) ** 2 * mp.mpf("1.0001")
ONE: Function = lambda t: mp.mpf(1)  # noqa: E731

FITS = (
    Fit("EXP_F32", -HALF_LN2, HALF_LN2, 4, _exponential, lambda t: t * t, 32, "(e^r - 1 - r) / r^2"),
    Fit("EXP_SHORT", -HALF_LN2, HALF_LN2, 5, _exponential, lambda t: t * t),
    Fit("EXP_F64", -HALF_LN2, HALF_LN2, 10, _exponential, lambda t: t * t),
    Fit("LOG_F32", mp.sqrt(0.5) - 1, mp.sqrt(2) - 1, 7, _logarithm, lambda t: t * t, 32,
        "(log(1 + f) - f + f^2 / 2) / f^3"),
    Fit("LOG_SHORT", mp.mpf(0), S_SQUARE, 3, _areatangent(1), ONE, 64, "(2 artanh(s) / s - 2) / s^2 in s^2"),
    Fit("LOG_F64", mp.mpf(0), S_SQUARE, 6, _areatangent(1), ONE),
    Fit("LOG_TAIL_F64", mp.mpf(0), S_SQUARE, 7, _areatangent(2), ONE, 64,
        "(2 artanh(s) / s - 2 - 2 s^2 / 3) / s^4 in s^2"),
    Fit("SIN_SHORT", mp.mpf(0), QUARTER**2, 3, _sine, lambda z: z, 64, "(sin r - r) / r^3 in r^2"),
    Fit("SIN_F64", mp.mpf(0), QUARTER**2, 5, _sine, lambda z: z),
    Fit("COS_SHORT", mp.mpf(0), QUARTER**2, 2, _cosine, lambda z: z * z, 64,
        "(cos r - 1 + r^2 / 2) / r^4 in r^2"),
    Fit("COS_F64", mp.mpf(0), QUARTER**2, 5, _cosine, lambda z: z * z),
    Fit("ATAN_SHORT", mp.mpf(0), EIGHTH, 5, _arctangent, lambda z: z, 64, "(atan t - t) / t^3 in t^2"),
    Fit("ATAN_F64", mp.mpf(0), EIGHTH, 10, _arctangent, lambda z: z),
    Fit("ASIN_SHORT", mp.mpf(0), mp.mpf("0.2501"), 6, _arcsine, lambda z: z, 64,
        "(asin s - s) / s^3 in s^2"),
    Fit("ASIN_F64", mp.mpf(0), mp.mpf("0.2501"), 12, _arcsine, lambda z: z),
    Fit("SINH_SHORT", mp.mpf(0), mp.mpf(1), 3, _hyperbolic_sine, lambda z: z, 64,
        "(sinh x - x) / x^3 in x^2"),
    Fit("SINH_F64", mp.mpf(0), mp.mpf(1), 6, _hyperbolic_sine, lambda z: z),
    Fit("ERF_F64", mp.mpf(0), mp.mpf(1), 11, _error, ONE, 64, "erf(x) / x in x^2"),
    Fit("ERFC_F64", _ratio(1), _ratio(6), 16, _scaled_complement, lambda t: 1 / _scaled_complement(t), 64,
        f"exp(x^2) erfc(x) in (x - {ERROR_CENTRE}) / (x + {ERROR_CENTRE})"),
    Fit("ERF_F32", mp.mpf(0), mp.mpf("3.925") ** 2, 5, _error_slowly, lambda z: 1 / _error_slowly(z), 32,
        "erf(x) / x in x^2", 5),
    Fit("TANH_F32", mp.mpf(0), mp.mpf("9.02") ** 2, 6, _tangent, lambda z: 1 / _tangent(z), 32,
        "tanh(x) / x in x^2", 3),
)  # fmt: skip


def rounded(value: mp.mpf, bits: int) -> float:
    """The nearest f32 or f64."""
    number = float(value)
    return struct.unpack("<f", struct.pack("<f", number))[0] if bits == 32 else number


def lawson(
    fit: Fit, fixed: Sequence[float] = (), rounds: int = 20
) -> tuple[list[mp.mpf], list[mp.mpf], mp.mpf]:
    """Free coefficients of numerator and denominator (without its leading 1), and the largest weighted error.

    `fixed` are the numerator's first coefficients. Least squares on Chebyshev's nodes, where each round multiplies the
    weights by the errors, tends to the minimax fit.
    """
    first, below = len(fixed), fit.below
    columns = fit.degree + 1 - first + below
    count = max(80, 8 * (columns + 1))
    middle, radius = (fit.high + fit.low) / 2, (fit.high - fit.low) / 2
    grid = [middle - radius * mp.cos(mp.pi * (n + mp.mpf("0.5")) / count) for n in range(count)]
    known = [mp.polyval([mp.mpf(c) for c in reversed(fixed)] or [mp.mpf(0)], t) for t in grid]
    values = [fit.target(t) for t in grid]
    scales = [fit.weight(t) for t in grid]
    weights, denominators = [mp.mpf(1)] * count, [mp.mpf(1)] * count
    best: tuple[mp.mpf, list[mp.mpf]] = (mp.inf, [])
    for _ in range(rounds):
        matrix, goal = mp.matrix(count, columns), mp.matrix(count, 1)
        for n, t in enumerate(grid):
            scale = mp.sqrt(weights[n]) * scales[n] / denominators[n]
            for k in range(columns - below):
                matrix[n, k] = t ** (first + k) * scale
            for k in range(below):
                matrix[n, columns - below + k] = -values[n] * t ** (k + 1) * scale
            goal[n] = (values[n] - known[n]) * scale
        solved = list(mp.lu_solve(matrix, goal))
        top, bottom = solved[: columns - below], solved[columns - below :]
        denominators = [mp.polyval([*reversed(bottom), 1], t) for t in grid]
        errors = [
            abs(((k + t**first * mp.polyval(list(reversed(top)), t)) / d - v) * s)
            for t, k, d, v, s in zip(grid, known, denominators, values, scales, strict=True)
        ]
        if max(errors) < best[0]:
            best = (max(errors), solved)
        weights = [w * e for w, e in zip(weights, errors, strict=True)]
        total = sum(weights)
        weights = [w / total * count for w in weights]
    return best[1][: columns - below], best[1][columns - below :], best[0]


def coefficients(fit: Fit) -> tuple[list[float], list[float], mp.mpf]:
    """Numerator and denominator as numbers of the dtype, lowest first, and the error before they were rounded."""
    top, bottom, error = lawson(fit)
    if fit.bits == 32 and not bottom:  # f32's rounding would show: fit what is left after each coefficient
        done: list[float] = []
        while top:
            done.append(rounded(top[0], 32))
            top = lawson(fit, done, rounds=8)[0] if len(top) > 1 else []
        return done, [], error
    return [rounded(c, fit.bits) for c in top], [rounded(c, fit.bits) for c in (1, *bottom) if bottom], error


def _line(name: str, values: Sequence[float]) -> str:
    out, row = [f"{name} = ("], "   "
    for value in values:
        text = f" {value!r},"
        if len(row) + len(text) > 108:
            out.append(row)
            row = "   "
        row += text
    return "\n".join([*out, row, ")  # fmt: skip"])


def main() -> None:
    """Print the module; errors go to standard error."""
    print('"""Polynomial coefficients, lowest first; `benchmarks/fit_vector_math.py` writes this file."""')
    for fit in FITS:
        top, bottom, error = coefficients(fit)
        print(f"{fit.name}: {mp.nstr(error, 3)} = 2^{mp.nstr(mp.log(error, 2), 4)}", file=sys.stderr)
        print(f"\n# {fit.about}" if fit.about else "")
        print(_line(fit.name, top))
        if bottom:
            print(_line(f"{fit.name}_BELOW", bottom))
    mp.mp.prec = 1400
    words = [int(mp.floor(mp.ldexp(2 / mp.pi, 64 * (n + 1)))) & (2**64 - 1) for n in range(19)]
    print("\n# 2 / pi after the binary point, in words of 64 bits")
    print("TWO_OVER_PI = (")
    for n in range(0, len(words), 4):
        print("    " + " ".join(f"0x{word:016X}," for word in words[n : n + 4]))
    print(")  # fmt: skip")


if __name__ == "__main__":
    main()
