"""Requantising in its cheaper forms equals its meaning: a factor of 1, and shifts that are known to be far."""

import numpy as np
import pytest

import isthmus
from isthmus.backends.cpu.requantise import with_upper_words
from isthmus.compilation import build_model, finish
from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ir.types import DType, i8, i16, i32, u8
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.scalar import apply_scalar
from isthmus.compiler.pipeline import Built
from isthmus.compiler.tile.stage import (
    INPUT,
    OUTPUT,
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
    walk,
)

from .running import Image, Work

_EDGES = np.array(
    [
        *(sign * (1 << n) + near for n in range(31) for sign in (1, -1) for near in (-1, 0, 1)),
        2**31 - 1,
        -(2**31),
    ],
    np.int64,
).astype(np.int32)


def _requantised(x: Expr, shift: Expr, zero: Expr, dtype: DType) -> Expr:
    return Apply("requantize", (x, Const(1, i32), shift, zero), dtype)


def test_a_factor_of_one_needs_no_product() -> None:
    works, wants = [], []
    x = Load(Access("x", (dim("i"),)), i32)
    for dtype in (i8, u8, i16):
        for shift in (1, 2, 21, 30, 31, 32, 40):
            for zero in (0, dtype.limits[0], dtype.limits[1]):
                body = _requantised(x, Const(shift, i32), Const(zero, i32), dtype)
                stage = Stage("s", (Dim("i", _EDGES.size),), body, Access("y", (dim("i"),)))
                buffers = (Buffer("x", _EDGES.shape, i32, INPUT), Buffer("y", _EDGES.shape, dtype, OUTPUT))
                works.append(Work(Kernel("k", buffers, (stage,)), {"x": _EDGES}))
                numbers = [np.array(number, np.int32) for number in (1, shift, zero)]
                wants.append(apply_scalar("requantize", [_EDGES, *numbers], dtype))
    image = Image(works)
    assert image.refused == {}
    for number, want in enumerate(wants):
        assert np.array_equal(image.run(number)["y"], want), works[number].kernel.stages[0].body


def test_upper_words_are_taken_where_shifts_and_zero_allow_it() -> None:
    x, n = Load(Access("x", (dim("i"),)), i32), Load(Access("n", (dim("i"),)), i32)

    def ops(shift: Expr, zero: Expr, dtype: DType) -> set[str]:
        body = with_upper_words(_requantised(x, shift, zero, dtype), {"n"})
        return {expr.op for expr in walk(body) if isinstance(expr, Apply)}

    assert ops(n, Const(-128, i32), i8) == {"requantize_high"}
    for shift, zero, dtype in (
        (x, Const(0, i32), i8),  # not known to be far
        (Const(40, i32), Const(0, i32), i8),
        (n, Const(300, i32), i8),
        (n, x, i8),
        (n, Const(0, i32), i32),
    ):
        assert ops(shift, zero, dtype) == {"requantize"}


@pytest.mark.parametrize("nearest", [33, 32])
def test_a_package_takes_upper_words_of_far_shifts_only(nearest: int) -> None:
    acc = graph_input("acc", parse_type("i32[70, 9]"))
    shifts = np.array([nearest, 33, 34, 38, 41, 50, 60, 61, 62], np.int32)
    factors = np.array([2**30, 2**31 - 1, 1518500250, 0, 1, 2**30, 2**30, 3, 2**31 - 1], np.int32)
    parts = [constant(part) for part in (factors, shifts, np.int8(-7))]
    y = get("quant.requantize_fixed")(acc, *parts, axis=1, dtype=i8)
    built = build_model(isthmus.Model(Graph([acc], [y], ["y"])), "cpu")
    assert isinstance(built, Built)
    bodies = [stage.body for report in built.reports for stage in report.kernel.stages]
    ops = {expr.op for body in bodies for expr in walk(body) if isinstance(expr, Apply)}
    assert ("requantize_high" in ops) == (nearest == 33)
    data = {"acc": np.resize(_EDGES, (70, 9))}
    wanted = isthmus.Model(built.graph).evaluate(data)["y"]
    assert np.array_equal(finish(built).run(data)["y"], wanted)
