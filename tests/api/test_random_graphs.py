"""Random graphs, compiled, against their meaning; more of them: `isthmus.testing.random_graphs.run_graphs`."""

import numpy as np
import pytest

from isthmus.compiler.ir.text import parse_graph
from isthmus.testing.random_graphs import Case, draw, judge, run_graphs

FOUND = {
    "a mask over two registers": """graph "random272"(%x: f64[4, 2, 3, 3]) {
  %w = constant f64[1, 2, 1, 1](1.25, -0.5)
  %0 = nn.conv(%x, %w) {strides = (1, 1), pads = (0, 1, 1, 2), dilations = (1, 2), groups = 1} : f64[4, 1, 4, 6]
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
