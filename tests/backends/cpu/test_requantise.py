"""Requantising in its cheaper forms equals its meaning: a factor of 1, shifts that are known to be far, one of f32."""

import numpy as np
import pytest

import isthmus
from isthmus.backends.cpu.requantise import FUSED, UPPER, quicker, with_quicker
from isthmus.compilation import build_model, finish
from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ir.types import DType, i8, i16, i32, u8
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.fixed import fixed_point
from isthmus.compiler.ops.scalar import apply_scalar
from isthmus.compiler.pipeline import Built
from isthmus.compiler.tile.stage import (
    CONSTANT,
    INPUT,
    LOCAL,
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
    apply,
    dim,
    walk,
)
from isthmus.compiler.tile.text import print_stage

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


_MOST = (1 << 24) - 1


def _kernel(body: Expr) -> Kernel:
    """A kernel that reads a product of 8-bit values, factors "m", shifts "n" and numbers "x" of 32 bits."""
    at, size = (dim("i"),), (Dim("i", 4),)
    bytes_ = [Load(Access(name, at), i8).cast(i32) for name in ("a", "b")]
    sums = Stage("p", size, bytes_[0] * bytes_[1], Access("sums", at))
    stage = Stage("s", size, body, Access("y", at))
    buffers = (
        *(Buffer(name, (4,), i8, INPUT) for name in ("a", "b")),
        Buffer("x", (4,), i32, INPUT),
        *(Buffer(name, (4,), i32, CONSTANT) for name in ("m", "n")),
        Buffer("sums", (4,), i32, LOCAL),
        Buffer("y", (4,), body.dtype, OUTPUT),
    )
    return Kernel("k", buffers, (sums, stage))


_SUMS, _X, _M, _N = (Load(Access(name, (dim("i"),)), i32) for name in ("sums", "x", "m", "n"))
_FINE = {"m": np.full(4, (1 << 23 | 12345) << 7, np.int32), "n": np.array([33, 40, 36, 38], np.int32)}


def _chosen(body: Expr, fuses: bool, **constants: np.ndarray) -> str:
    kernel = _kernel(body)
    stages = with_quicker(kernel, quicker(kernel, _FINE | constants, fuses)).stages
    (op,) = {e.op for e in walk(stages[-1].body) if isinstance(e, Apply) and "re" in e.op}
    return op


def test_upper_words_are_taken_where_shifts_and_zero_allow_it() -> None:
    def op(shift: Expr, zero: Expr, dtype: DType, **constants: np.ndarray) -> str:
        return _chosen(Apply("requantize", (_X, _M, shift, zero), dtype), False, **constants)

    assert op(_N, Const(-128, i32), i8) == UPPER
    for shift, zero, dtype in (
        (_X, Const(0, i32), i8),  # not known to be far
        (Const(40, i32), Const(0, i32), i8),
        (_N, Const(300, i32), i8),
        (_N, _X, i8),
        (_N, Const(0, i32), i32),
    ):
        assert op(shift, zero, dtype) == "requantize"
    assert op(_N, Const(0, i32), i8, n=np.array([32, 40, 40, 40], np.int32)) == "requantize"


def test_sums_that_leave_room_are_shifted() -> None:
    """The half and the zero point are added to what is added anyway."""

    def body(acc: Expr, factor: int = 1, shift: int = 20, zero: int = -128) -> str:
        kernel = _kernel(apply("requantize", acc, *(Const(n, i32) for n in (factor, shift, zero)), dtype=i8))
        return print_stage(with_quicker(kernel, {}).stages[-1])

    added = 77 + (1 << 19) - (128 << 20)
    assert f"shift_right(add(sums[i], {added}:i32), 20:i32)" in body(_SUMS + 77)
    assert "requantize" not in body(_SUMS)
    for refused in (body(_X), body(_SUMS, shift=31), body(_SUMS, factor=3), body(_SUMS, shift=40)):
        assert "requantize" in refused


def test_f32_requantises_what_it_scales_exactly() -> None:
    def op(acc: Expr, dtype: DType = i8, fuses: bool = True, **constants: np.ndarray) -> str:
        return _chosen(Apply("requantize", (acc, _M, _N, Const(-3, i32)), dtype), fuses, **constants)

    def factors(first: int) -> np.ndarray:
        return np.array([first, *_FINE["m"][1:]], np.int32)

    assert op(_SUMS) == op(_SUMS + _SUMS) == FUSED
    assert op(_SUMS, u8) == "requantize"  # whose zero it has not
    assert op(_SUMS, i16) == op(_SUMS, fuses=False) == UPPER
    assert op(_X) == UPPER  # these sums could leave the numbers beside which f32 has whole ones only
    small = np.full(4, 40, np.int32)
    assert op(_X, n=small) == FUSED
    assert (
        op(_X, n=np.full(4, 47, np.int32)) == UPPER
    )  # sums that f32 doesn't hold, and they need not saturate
    assert op(_SUMS, n=np.full(4, 47, np.int32)) == FUSED
    for multiplier in (0, 1 << 30, 513 << 20, (1 << 30) + 1):  # none, halves may come up, more than 24 bits
        assert op(_SUMS, m=factors(multiplier), n=small) == UPPER


@pytest.mark.parametrize("dtype", [i8, u8])
def test_fused_results_turn_where_the_meaning_does(dtype: DType) -> None:
    """All sums around each of the 255 steps, for factors of all sizes that are served."""
    rng = np.random.default_rng(0)
    found = fixed_point(np.ldexp(rng.uniform(0.5, 1, 14), np.arange(-15, -1)))
    assert found is not None
    scales = found[0] / np.exp2(found[1])
    steps = np.arange(-300, 301)[:, None] - 0.5
    sums = np.concatenate([np.floor(steps / scales) + near for near in (-1, 0, 1, 2)])
    sums = np.concatenate([sums, [[-_MOST] * 14, [_MOST] * 14]])
    acc = graph_input("acc", parse_type(f"i32[{len(sums)}, 14]"))
    wide = get("math.clip")(acc, *(constant(np.int32(end)) for end in (-_MOST, _MOST)))
    zero = 7 if dtype == u8 else -128
    parts = [constant(part) for part in (*found, np.array(zero, dtype.numpy))]
    y = get("quant.requantize_fixed")(wide, *parts, axis=1, dtype=dtype)
    built = build_model(isthmus.Model(Graph([acc], [y], ["y"])), "cpu")
    assert isinstance(built, Built)
    bodies = [stage.body for report in built.reports for stage in report.kernel.stages]
    assert FUSED in {expr.op for body in bodies for expr in walk(body) if isinstance(expr, Apply)}
    data = {"acc": sums.astype(np.int32)}
    wanted = isthmus.Model(built.graph).evaluate(data)["y"]
    assert len(np.unique(wanted)) == 256
    assert np.array_equal(finish(built).run(data)["y"], wanted)


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


def test_products_of_a_calibrated_network_are_requantised_by_the_quickest_operation() -> None:
    """Factors that its channels make are those that f32 multiplies by exactly, each with a shift of its own."""
    rng = np.random.default_rng(0)
    x = graph_input("x", parse_type("f32[1, 8, 12, 12]"))
    weights = constant(rng.standard_normal((16, 8, 3, 3)).astype(np.float32) / 8)
    how = {"strides": (1, 1), "pads": (1,) * 4, "dilations": (1, 1)}
    y = get("math.relu")(get("nn.conv")(x, weights, **how))
    z = get("nn.conv")(y, constant(rng.standard_normal((16, 16, 3, 3)).astype(np.float32) / 12), **how)
    graph = Graph([x], [get("math.relu")(z)], ["y"])
    samples = [{"x": rng.standard_normal((1, 8, 12, 12)).astype(np.float32)} for _ in range(4)]
    package = isthmus.compile(graph, precision="int8", calibration=samples)
    built = build_model(package.graph, "cpu")
    assert isinstance(built, Built)
    bodies = [stage.body for report in built.reports for stage in report.kernel.stages]
    ops = {expr.op for body in bodies for expr in walk(body) if isinstance(expr, Apply)}
    assert FUSED in ops
    assert "requantize" not in ops
