"""Bounds of integers in kernels: sums, what wraps, and what is not looked into."""

import numpy as np
import pytest

from isthmus.backends.cpu.bounds import limits
from isthmus.compiler.ir.types import i8, i32
from isthmus.compiler.tile.stage import (
    CONSTANT,
    INPUT,
    LOCAL,
    OUTPUT,
    REDUCE,
    Access,
    Apply,
    Buffer,
    Const,
    Dim,
    Expr,
    Kernel,
    Load,
    Stage,
    dim,
)

_AT = (dim("i"),)
_WHOLE = i32.limits
_X, _W = (Load(Access(name, (dim("i"), dim("k"))), i8).cast(i32) for name in "xw")
_SUMS, _BIAS, _EDGE = (
    Load(Access(name, _AT, fill), i32) for name, fill in (("sums", None), ("bias", None), ("sums", 0))
)


def _kernel(combine: str, terms: int) -> Kernel:
    dims = (Dim("i", 4), Dim("k", terms, REDUCE))
    buffers = (
        Buffer("x", (4, terms), i8, INPUT),
        Buffer("w", (4, terms), i8, CONSTANT),
        Buffer("bias", (4,), i32, CONSTANT),
        Buffer("sums", (4,), i32, LOCAL),
        Buffer("y", (4,), i32, OUTPUT),
    )
    sums = Stage("s", dims, _X * _W, Access("sums", _AT), combine)
    return Kernel("k", buffers, (sums, Stage("t", dims[:1], _SUMS, Access("y", _AT))))


@pytest.mark.parametrize(
    ("expr", "low", "high"),
    [
        (_SUMS, -127 * 128 * 10, 128 * 128 * 10),
        (_SUMS + _BIAS, -127 * 128 * 10 - 5, 128 * 128 * 10 + 7),
        (_BIAS - _BIAS, -12, 12),
        (Apply("max", (_BIAS, Const(0, i32)), i32), 0, 7),
        (Apply("shift_right", (_BIAS, Const(1, i32)), i32), -3, 3),
        (_SUMS * _SUMS, *_WHOLE),  # wraps
        (Apply("shift_right", (_SUMS * _SUMS, Const(6, i32)), i32), -(1 << 25), (1 << 25) - 1),
        (Apply("shift_right", (_BIAS, _BIAS), i32), *_WHOLE),
        (_EDGE, *_WHOLE),
        (Apply("neg", (_BIAS,), i32), *_WHOLE),
    ],
)
def test_limits(expr: Expr, low: int, high: int) -> None:
    assert limits(_kernel("sum", 10), expr, {"bias": np.array([3, -5, 7, 0])}) == (low, high)


def test_limits_of_what_is_not_bounded() -> None:
    assert limits(_kernel("sum", 1 << 18), _SUMS, {}) == _WHOLE
    assert limits(_kernel("max", 10), _SUMS, {}) == _WHOLE
    assert limits(_kernel("sum", 10), _BIAS, {}) == _WHOLE
