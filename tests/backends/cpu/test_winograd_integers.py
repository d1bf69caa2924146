"""Fast convolutions of 8-bit values equal the direct ones in every bit, on the worst of values too, or are refused."""

from dataclasses import replace

import numpy as np
import pytest

import isthmus
from isthmus.backends.cpu import backend
from isthmus.backends.cpu.machine import select
from isthmus.backends.cpu.target import describe
from isthmus.backends.cpu.winograd import FORMS, Form
from isthmus.backends.cpu.winograd_integers import pays, rules, whole, whole_form_for
from isthmus.compiler.ir import Graph, Value, constant, graph_input
from isthmus.compiler.ir.types import DType, i8, u8
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.rewrite import apply, sample_graphs

_RNG = np.random.default_rng(3)
_RULES = rules(backend.target({"level": "avx2"}))


def _conv(shape: str, w: np.ndarray, fill: int = 0, pads: tuple[int, ...] = (1, 1, 1, 1)) -> Value:
    x = graph_input("x", parse_type(shape))
    attributes = {"strides": (1, 1), "pads": pads, "dilations": (1, 1), "groups": 1, "fill": fill}
    return get("quant.conv")(x, constant(w), **attributes)


def _weights(*shape: int) -> np.ndarray:
    return _RNG.integers(-127, 128, (*shape, 3, 3)).astype(np.int8)


def _graph(y: Value) -> Graph:
    return Graph([y.node.operands[0]], [y], ["y"])


def _values(x: Value) -> np.ndarray:
    """Numbers of the whole range, its ends half of the time."""
    least, most = x.dtype.limits
    drawn = _RNG.integers(least, most + 1, x.type.static_shape)
    ends = _RNG.choice([least, most], x.type.static_shape)
    return np.where(_RNG.random(drawn.shape) < 0.5, drawn, ends).astype(x.dtype.numpy)


def test_the_rule_keeps_its_samples_exactly() -> None:
    for before in sample_graphs(_RULES[0]):
        after, hits = apply(before, _RULES)
        verify(after, get)
        assert hits == {_RULES[0].name: 1}
        inputs = [_values(v) for v in before.inputs]
        wanted, got = (isthmus.Model(g).evaluate(inputs)[before.output_names[0]] for g in (before, after))
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("level", ["avx2", "x86-64"])
@pytest.mark.parametrize(
    ("dtype", "fill", "extents", "pads"),
    [(i8, -128, "14, 14", (1, 1, 1, 1)), (i8, 127, "9, 17", (0, 2, 1, 1)), (u8, 0, "21, 8", (2, 1, 0, 1))],
    ids=str,
)
def test_compiled_code_is_exact(
    level: str, dtype: DType, fill: int, extents: str, pads: tuple[int, ...]
) -> None:
    y = _conv(f"{dtype}[1, 35, {extents}]", _weights(33, 35), fill, pads)
    data = _values(y.node.operands[0])
    package = isthmus.compile(isthmus.Model(_graph(y)), options={"level": level})
    assert "quant.einsum" in {node.op for node in package.graph.graph.nodes}
    assert package.manifest.fallbacks == ()
    np.testing.assert_array_equal(package.run([data])["y"], isthmus.Model(_graph(y)).evaluate([data])["y"])


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"F{form.m}")
def test_forms_in_integers_are_the_real_ones(form: Form) -> None:
    exact = whole(form)
    assert exact.scale == {2: 2**2, 4: 24**2}[form.m]
    for row in range(form.m + 2):
        real = np.outer(form.output[:, row], form.weight[row])
        np.testing.assert_allclose(
            np.outer(exact.output[:, row], exact.weight[row]), real * exact.scale**0.5, atol=1e-12
        )


def test_it_is_used_where_results_fit_beside_the_scale() -> None:
    def form(w: np.ndarray) -> int | None:
        y = _conv(f"i8[1, {w.shape[1]}, 16, 16]", w)
        found = whole_form_for(y, y.node.operands[1], 5)
        return found and found.m

    assert form(_weights(32, 64)) == 4
    assert form(np.full((32, 100, 3, 3), 127, np.int8)) == 4
    assert form(np.full((32, 128, 3, 3), 127, np.int8)) == 2  # 64 times its sums would pass 32 bits
    assert form(np.full((32, 2000, 3, 3), 127, np.int8)) is None
    assert form(_weights(16, 64)) is None


def test_it_is_left_to_machines_without_faster_operations_on_bytes() -> None:
    for level, wanted in (("x86-64", True), ("avx2", True), ("avx512", True), ("amx", False)):
        assert pays(backend.target({"level": level})) is wanted, level
    for level, feature in (("avx512", "avx512vnni"), ("avx2", "avxvnni")):
        machine = select(level, None)
        assert not pays(describe(replace(machine, features=machine.features | {feature})))
    y = _conv("i8[1, 32, 8, 8]", _weights(32, 32))

    def ops(**options: str) -> set[str]:
        package = isthmus.compile(isthmus.Model(_graph(y)), options=options)
        return {node.op for node in package.graph.graph.nodes}

    assert "quant.conv" in ops(level="amx") & ops(level="avx2", winograd="off")
    assert "quant.conv" not in ops(level="avx2")
