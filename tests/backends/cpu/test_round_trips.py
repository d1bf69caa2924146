"""Values that are narrowed and widened in one kernel: floats throughout, and the same bits."""

import numpy as np
import pytest

import isthmus
from isthmus.backends.cpu.round_trips import in_floats
from isthmus.compilation import build_model, finish
from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ir.types import DType, bf16, f32, f64, i8, i16, u8, u16
from isthmus.compiler.ops import math, quant
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.pipeline import Built
from isthmus.compiler.tile.stage import (
    INPUT,
    OUTPUT,
    Access,
    Apply,
    Buffer,
    Dim,
    Expr,
    Kernel,
    Load,
    Stage,
    apply,
    dim,
    lift,
    walk,
)

_HALVES = np.arange(-300, 300, 0.5)
_EDGES = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, -1e-30, 0.49999997, 3e9, -3e9, 3e38])
_INPUTS = np.concatenate([_HALVES, _EDGES, _EDGES, 300 * _HALVES, 65535.5 - _HALVES])


@pytest.mark.parametrize(
    ("dtype", "zeros"),
    [(u8, (0, 124, 255)), (i8, (0, 5, -128)), (u16, (40000,)), (i16, (-32768,))],
    ids=str,
)
def test_what_is_dequantised_at_once_stays_in_floats(dtype: DType, zeros: tuple[int, ...]) -> None:
    x = graph_input("x", parse_type(f"f32[{_INPUTS.size}]"))
    results = []
    for zero in (None, *zeros):
        for scale in (0.5, 0.0123):
            parameters = [constant(np.float32(scale))]
            parameters += [] if zero is None else [constant(np.asarray(zero, dtype.numpy))]
            q = quant.quantize(x, *parameters, axis=0, dtype=dtype)
            results.append(quant.dequantize(q, *parameters, axis=0, dtype=f32))
    built = build_model(isthmus.Model(Graph([x], results, [f"y{n}" for n in range(len(results))])), "cpu")
    assert isinstance(built, Built)
    bodies = [stage.body for report in built.reports for stage in report.kernel.stages]
    assert not any(expr.dtype.is_integer for body in bodies for expr in walk(body))
    data = {"x": _INPUTS.astype(np.float32)}
    wanted, found = isthmus.Model(built.graph).evaluate(data), finish(built).run(data)
    for name in wanted:
        assert found[name].tobytes() == wanted[name].tobytes(), name


def _quantised(low: float, high: float, value: Expr) -> Expr:
    clipped = apply("min", apply("max", value, lift(low, value.dtype)), lift(high, value.dtype))
    return clipped.cast(u8).cast(f32)


_X = Load(Access("x", (dim("i"),)), f32)


@pytest.mark.parametrize(
    "body",
    [
        _quantised(0, 255, _X),  # not a whole number
        _quantised(0, 256, apply("round", _X)),  # wraps
        _quantised(1, 255, apply("round", _X)),  # NaN would be 1
        apply("round", _X).cast(u8).cast(f32),
        _quantised(0, 255, apply("round", _X.cast(f64))),  # may be rounded by the last cast
        (apply("round", _X).cast(u8) + 1).cast(f32),  # wraps
    ],
    ids=lambda body: "",
)
def test_what_could_differ_keeps_its_integers(body: Expr) -> None:
    kernel = _kernel(body)
    assert in_floats(kernel) is kernel


def _kernel(body: Expr) -> Kernel:
    stage = Stage("s", (Dim("i", 8),), body, Access("y", (dim("i"),)))
    return Kernel("k", (Buffer("x", (8,), f32, INPUT), Buffer("y", (8,), body.dtype, OUTPUT)), (stage,))


_TRIP = _X.cast(bf16).cast(f32)


def test_bounds_do_not_take_a_rounding_of_their_own() -> None:
    bounded = apply("min", apply("max", _TRIP, lift(-0.5, f32)), lift(6.0, f32)).cast(bf16)
    (stage,) = in_floats(_kernel(bounded)).stages
    assert [expr.op for expr in walk(stage.body) if isinstance(expr, Apply)] == ["max", "min", "cast"]


def test_values_that_are_rounded_once_are_those_that_are_rounded_twice() -> None:
    near = np.arange(-(1 << 17), 1 << 17, 37, np.int32)
    codes = [near + np.float32(bound).view(np.int32) for bound in (0.5, -0.5, 6.0, 1e-38, 3.3e38)]
    data = {"x": np.concatenate([_EDGES.astype(np.float32), *(code.view(np.float32) for code in codes)])}
    x = graph_input("x", parse_type(f"f32[{data['x'].size}]"))
    trip = math.cast(math.cast(x, dtype=bf16), dtype=f32)
    results = [
        math.cast(math.clip(trip, constant(np.float32(low)), constant(np.float32(6))), dtype=bf16)
        for low in (0.0, -0.5)
    ]
    built = build_model(isthmus.Model(Graph([x], results, ["a", "b"])), "cpu")
    assert isinstance(built, Built)
    wanted, found = isthmus.Model(built.graph).evaluate(data), finish(built).run(data)
    for name in wanted:
        assert np.array_equal(found[name].astype("f4"), wanted[name].astype("f4"), equal_nan=True), name


@pytest.mark.parametrize(
    "body",
    [
        _TRIP,  # read as f32
        apply("max", _TRIP, lift(0.1, f32)).cast(bf16),  # bf16 has no such bound
        (_TRIP + 1.0).cast(bf16),
        apply("max", _TRIP, _X).cast(bf16),
        apply("max", _X.cast(f64).cast(bf16).cast(f32), lift(0.0, f32)).cast(bf16),
    ],
    ids=lambda body: "",
)
def test_what_could_differ_is_rounded_twice(body: Expr) -> None:
    kernel = _kernel(body)
    assert in_floats(kernel).stages[0].body == body
