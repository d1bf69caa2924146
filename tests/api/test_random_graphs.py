"""Random graphs, compiled, against their meaning; more of them: `isthmus.testing.random_graphs.run_graphs`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isthmus.compiler.ir.text import parse_graph
from isthmus.testing import random_graphs
from isthmus.testing.random_graphs import Case, draw, judge, run_graphs

FOUND = {
    "a mask over two registers": """graph "random272"(%x: f64[4, 2, 3, 3]) {
  %w = constant f64[1, 2, 1, 1](1.25, -0.5)
  %0 = nn.conv(%x, %w) {strides = (1, 1), pads = (0, 1, 1, 2), dilations = (1, 2), groups = 1} : f64[4, 1, 4, 6]
  return %0 as y
}""",
    "weights of which each product reads a part": """graph "random1628"(%x: f32[3, 1, 2], %w: f32[1, 6, 2]) {
  %r = constant f32[1, 6, 2](0.5, -1.25, 0.75, 0.25, -0.5, 1.5, 1.0, -0.75, 0.125, 2.0, -1.5, 0.375)
  %0, %1 = nn.gru(%x, %w, %r) {direction = "forward", activations = (), alphas = (), betas = (),
    clip = none, linear_before_reset = false} : f32[3, 1, 1, 2], f32[1, 1, 2]
  return %0 as y
}""",
}
"""What random graphs have shown to be wrong, made small; all of it is right now."""


@pytest.mark.parametrize("name", FOUND)
def test_what_was_wrong_stays_right(name: str) -> None:
    graph = parse_graph(FOUND[name])
    rng = np.random.default_rng(0)
    inputs = tuple(rng.standard_normal(v.shape).astype(v.dtype.numpy) for v in graph.inputs)
    assert judge(Case(graph, inputs)) == ""


def test_compiled_random_graphs_equal_their_meaning() -> None:
    assert run_graphs(range(40)) == []


def test_a_seed_gives_one_graph_and_seeds_differ() -> None:
    texts = [[str(node.op) for node in draw(seed).graph.nodes] for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len({tuple(text) for text in texts}) > 1


def test_a_failure_is_made_small_and_told_with_its_seed(
    monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    """Here whatever holds a product of matrices fails."""

    def judged(case: Case, target: str) -> str:
        return "a product" if any(node.op == "nn.matmul" for node in case.graph.nodes) else ""

    monkeypatch.setattr(random_graphs, "judge", judged)
    with_one = [seed for seed in range(12) if judged(draw(seed), "cpu")]
    found = command("conformance", "--graphs", 12)
    assert found.status == 1
    seeds = [line.split(":")[0] for line in found.out.splitlines() if line.startswith("seed ")]
    assert seeds == [f"seed {seed}" for seed in with_one]
    assert f"12 random graphs, seeds 0 to 11, on cpu: {len(with_one)} differ" in found.out
    smallest = run_graphs(with_one[:1])[0].smallest
    assert smallest.count(" = ") - smallest.count(" = constant") == 1
