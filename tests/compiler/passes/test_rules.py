"""Every rule of every pass against its own samples: it matches them, and the outputs mean the same afterwards.

Nothing here knows a rule by name: a new rule is tested by standing in a pass's table.
"""

import numpy as np
import pytest

from isthmus.compiler.ir import Graph, TensorType
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes import CANONICALISE, EXPAND, FOLD_AFFINE, RECOGNISE
from isthmus.compiler.passes.base import Rewrite
from isthmus.compiler.passes.products import PRODUCTS
from isthmus.compiler.passes.quantise import PREPARE
from isthmus.compiler.rewrite import Rule, apply, sample_graphs
from isthmus.compiler.target.attention import RULES as ATTENTION_RULES
from isthmus.compiler.target.integers import ONE_SHIFT
from isthmus.compiler.target.integers import RULES as INTEGER_RULES

INTEGERS = Rewrite("integers", (*INTEGER_RULES, *ONE_SHIFT))
ATTENTION = Rewrite("attention", ATTENTION_RULES)
TABLES = (CANONICALISE, RECOGNISE, FOLD_AFFINE, EXPAND, PRODUCTS, PREPARE, INTEGERS, ATTENTION)
RULES = [pytest.param(rule, id=rule.name) for table in TABLES for rule in table.rules]


def random_inputs(graph: Graph, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)

    def array(type: TensorType) -> np.ndarray:
        if type.dtype.is_float:
            return rng.standard_normal(type.static_shape).astype(type.dtype.numpy)
        return rng.integers(0, 2 if type.dtype.kind == "bool" else 9, type.static_shape).astype(
            type.dtype.numpy
        )

    return [array(value.type) for value in graph.inputs]


def assert_same_meaning(before: Graph, after: Graph, seed: int = 0) -> None:
    """Within a few roundings: rules may regroup the arithmetic of floats where their table says so."""
    arguments = random_inputs(before, seed)
    for want, got in zip(run_graph(before, arguments), run_graph(after, arguments), strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_matches_its_samples_and_keeps_their_meaning(rule: Rule) -> None:
    assert rule.samples, "a rule needs a sample"
    for number, before in enumerate(sample_graphs(rule)):
        verify(before, get)
        after, hits = apply(before, [rule])
        assert hits[rule.name] >= 1
        verify(after, get)
        assert_same_meaning(before, after, seed=number)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_rules_of_one_pass_come_to_rest_on_the_samples_of_all(table) -> None:
    for other in TABLES:
        for rule in other.rules:
            for before in sample_graphs(rule):
                result = table.run(before)
                assert_same_meaning(before, result.graph)
                assert not table.run(result.graph).hits


def test_rules_are_told_apart_by_name() -> None:
    names = [rule.name for table in TABLES for rule in table.rules]
    assert len(set(names)) == len(names)
    assert all(" => " in name for name in names)
