"""Every scalar function on every feature level against references in extended precision, in units in the last place."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from isthmus.compiler.ir.types import DTYPES
from isthmus.compiler.tile.stage import (
    INPUT,
    OUTPUT,
    Access,
    Apply,
    Buffer,
    Const,
    Dim,
    Kernel,
    Load,
    Stage,
    dim,
)

from .running import Image, Work, distinct

LEVELS = distinct(None, "avx2", "x86-64")
EXTENDED = np.longdouble

# Largest error allowed in units in the last place, f32 and f64; what was seen stands in docs/design/vector-math.md.
BOUNDS = {
    "exp": (1.5, 1.0), "log": (1.5, 1.0), "tanh": (6.0, 2.5), "erf": (6.5, 2.5),
    "sin": (0.6, 1.0), "cos": (0.6, 1.0), "tan": (0.6, 2.5),
    "asin": (0.6, 1.5), "acos": (0.6, 1.5), "atan": (0.6, 2.0),
    "sinh": (0.6, 2.5), "cosh": (0.6, 2.0), "asinh": (0.6, 2.5), "acosh": (0.6, 2.5), "atanh": (0.6, 2.5),
    "pow": (0.6, 1.5), "fmod": (0.0, 0.0), "mod": (0.5, 0.5),
}  # fmt: skip
REFERENCES: dict[str, Callable[..., np.ndarray]] = {
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "pow": np.power,
}  # fmt: skip
BINARY = ("pow", "fmod", "mod")


def _special(dtype: type) -> np.ndarray:
    info = np.finfo(dtype)
    sizes = [0.0, info.smallest_subnormal, info.tiny / 3, info.tiny, info.eps / 4, info.eps, 1e-4, 0.25, 0.5,
             np.nextafter(dtype(0.5), dtype(1)), 0.55, 1 - info.epsneg, 1.0, 1 + info.eps, 1.5, 2.0, 3.0, 10.0,
             18.0, 88.7, 88.8, 103.9, 709.7, 709.8, 745.0, 2.0**20, 2.0**27, 2.0**28, 2.0**29, 2.0**53, info.max,
             np.inf]  # fmt: skip
    with np.errstate(over="ignore"):
        values = np.array(sizes).astype(dtype)
    return np.concatenate([values, -values, [dtype(np.nan)]]).astype(dtype)


def arguments(op: str, dtype: type) -> list[np.ndarray]:
    """Specials, then points where the function changes, then all magnitudes."""
    rng = np.random.default_rng(3)
    info = np.finfo(dtype)
    count = 4000
    sign = rng.choice([-1.0, 1.0], count)
    wide = (
        sign * np.exp2(rng.uniform(np.log2(float(info.tiny)), np.log2(float(info.max)) - 1, count))
    ).astype(dtype)
    near = (sign * np.exp2(rng.uniform(-8, 7, count))).astype(dtype)
    unit = rng.uniform(-1, 1, count).astype(dtype)
    multiples = (np.arange(1, 1000) * (np.pi / 4)).astype(dtype)
    one = (1 + sign * np.exp2(rng.uniform(np.log2(float(info.eps)), -1, count))).astype(dtype)
    large = rng.uniform(-750, 750, count).astype(dtype)
    x = np.concatenate([wide, near, unit, multiples, one, large])
    if op not in BINARY:
        return [np.concatenate([_special(dtype), x])]
    special = _special(dtype)
    a, b = (part.ravel() for part in np.meshgrid(special, special))
    y = rng.permutation(x)
    if op == "pow":  # results that are neither 0 nor infinite
        with np.errstate(all="ignore"):
            tame = (
                rng.uniform(-1, 1, x.size) * np.log(float(info.max)) / np.log(np.abs(x.astype(np.float64)))
            ).astype(dtype)
        whole = np.rint(tame)
        return [np.concatenate([a, x, np.abs(x), x]), np.concatenate([b, y, tame, whole])]
    with np.errstate(over="ignore"):
        return [np.concatenate([a, x, x]), np.concatenate([b, y, x * y[::-1]])]


def reference(op: str, values: list[np.ndarray]) -> np.ndarray:
    """In extended precision."""
    with np.errstate(all="ignore"):
        if op == "erf":
            from math import erf

            return np.array([erf(v) for v in values[0]], EXTENDED)
        function = REFERENCES.get(op) or getattr(np, op)
        if op in ("fmod", "mod"):
            return function(*values).astype(EXTENDED)
        return function(*(v.astype(EXTENDED) for v in values))


def kernel(op: str, dtype: str, size: int, arity: int, added: float | None = None) -> Kernel:
    """y[i] = op(x0[i], ..), with what is added to it, if anything."""
    kind = DTYPES[dtype]
    names = [f"x{n}" for n in range(arity)]
    index = (dim("i"),)
    body = Apply(op, tuple(Load(Access(name, index), kind) for name in names), kind)
    if added is not None:
        body = Apply("add", (Const(added, kind), body), kind)
    stage = Stage("s", (Dim("i", size),), body, Access("y", index))
    buffers = [*(Buffer(name, (size,), kind, INPUT) for name in names), Buffer("y", (size,), kind, OUTPUT)]
    return Kernel(op, tuple(buffers), (stage,))


@lru_cache(maxsize=3)
def _image(level: str | None) -> Image:
    works = []
    for op in BOUNDS:
        for dtype in ("f32", "f64"):
            values = arguments(op, DTYPES[dtype].numpy.type)
            arrays = {f"x{n}": v for n, v in enumerate(values)}
            works.append(Work(kernel(op, dtype, values[0].size, len(values)), arrays))
    return Image(works, level)


def ulps(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Distance in units in the last place of the result; inf where one is infinite or NaN and the other not."""
    dtype = got.dtype.type
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = want.astype(dtype)
        spacing = np.maximum(np.spacing(np.abs(rounded)).astype(EXTENDED), EXTENDED(info.smallest_subnormal))
        error = np.abs(got.astype(EXTENDED) - want) / spacing
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    error = np.where(same & ~np.isfinite(rounded), 0, error)
    finite = np.isfinite(got) == np.isfinite(rounded)
    overflow = np.isinf(rounded) & (np.abs(got) == info.max) | np.isinf(got) & (
        np.abs(want) > info.max * (1 - info.eps)
    )
    return np.where(finite & ~np.isnan(error), error, np.where(overflow, 1, np.inf))


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("op", list(BOUNDS))
def test_functions_are_within_their_bounds(op: str, level: str | None) -> None:
    for place, dtype in enumerate(("f32", "f64")):
        image = _image(level)
        number = list(BOUNDS).index(op) * 2 + place
        values = list(image.works[number].arrays.values())
        got = image.run(number)["y"]
        want = reference(op, values)
        error = ulps(got, want)
        worst = int(np.argmax(error))
        assert error[worst] <= BOUNDS[op][place], (
            f"{op} {dtype} of {[v[worst] for v in values]}: {got[worst]}, not {want[worst]}: {error[worst]} ulp"
        )
        zero = (got == 0) & (want == 0) & ~np.isnan(got)
        assert np.array_equal(np.signbit(got[zero]), np.signbit(want[zero])), f"{op} {dtype}: sign of zero"


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("added", [1.0, 2.5, 0.25])
def test_an_exponential_beside_a_number_is_as_exact(added: float, level: str | None) -> None:
    (values,) = arguments("exp", np.float32)
    got = Image([Work(kernel("exp", "f32", values.size, 1, added), {"x0": values})], level).run(0)["y"]
    error = ulps(got, reference("exp", [values]) + EXTENDED(added))
    worst = int(np.argmax(error))
    assert error[worst] <= BOUNDS["exp"][0], f"{values[worst]}: {got[worst]}, {error[worst]} ulp away"
