"""Random graphs, compiled, against their meaning; more of them: `isthmus.testing.random_graphs.run_graphs`."""

from isthmus.testing.random_graphs import draw, run_graphs


def test_compiled_random_graphs_equal_their_meaning() -> None:
    assert run_graphs(range(40)) == []


def test_a_seed_gives_one_graph_and_seeds_differ() -> None:
    texts = [[str(node.op) for node in draw(seed).graph.nodes] for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len({tuple(text) for text in texts}) > 1
