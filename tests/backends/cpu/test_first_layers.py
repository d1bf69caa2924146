"""First layers as convolutions of rows: the same meaning, and only where an engine gains by them."""

import numpy as np
import pytest

import isthmus
from isthmus.backends.cpu.first_layers import RULES, pays
from isthmus.backends.cpu.machine import select
from isthmus.backends.cpu.target import describe
from isthmus.compiler.ir import constant, graph_input
from isthmus.compiler.ir.graph import Graph, Value
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import convolution, get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.rewrite import apply, sample_graphs


def conv(x: str, weights: tuple[int, ...], **changes: object) -> Value:
    given = graph_input("x", parse_type(x))
    numbers = np.random.default_rng(5).standard_normal(weights).astype(given.dtype.numpy)
    how = {"strides": (2, 2), "pads": (3, 3, 2, 2), "dilations": (1, 1), "groups": 1, **changes}
    return convolution.conv(given, constant(numbers), **how)


def hits(value: Value) -> int:
    return sum(apply(Graph([value.node.operands[0]], [value], ["y"]), RULES)[1].values())


def test_the_rule_keeps_the_meaning_of_its_samples() -> None:
    rng = np.random.default_rng(7)
    for before in sample_graphs(RULES[0]):
        after, found = apply(before, RULES)
        verify(after, get)
        assert found == {RULES[0].name: 1}
        inputs = [rng.standard_normal(v.type.static_shape).astype(v.dtype.numpy) for v in before.inputs]
        wanted, got = (isthmus.Model(g).evaluate(inputs)[before.output_names[0]] for g in (before, after))
        assert (
            np.abs((got - wanted).astype(np.float32)).max() <= 1e-2 * np.abs(wanted.astype(np.float32)).max()
        )


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (conv("bf16[1, 3, 12, 12]", (8, 3, 7, 7)), 1),
        (conv("bf16[1, 5, 12, 12]", (8, 5, 7, 7)), 0),  # long enough by themselves
        (conv("bf16[1, 1, 12, 12]", (8, 1, 7, 7)), 0),  # what the rule makes
        (conv("bf16[1, 4, 12, 12]", (8, 2, 3, 3), groups=2), 0),
        (conv("bf16[1, 3, 12, 12]", (8, 3, 3, 3), dilations=(1, 2)), 0),
        (conv("f32[1, 3, 12, 12]", (8, 3, 7, 7)), 0),
    ],
)
def test_only_few_channels_of_bf16_are_merged(value: Value, count: int) -> None:
    assert hits(value) == count


def test_machines_without_products_of_neighbours_keep_them() -> None:
    assert pays(describe(select("amx", None)))
    assert not pays(describe(select("avx2", None)))
