"""Loops of few turns are written out; those whose turns the data decide, or are many, stay."""

import numpy as np
import pytest

from isthmus.compiler.ir import Graph, TensorType, constant, graph_input
from isthmus.compiler.ir.types import boolean, f32, i64
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import control, get, math
from isthmus.compiler.ops.interpret import evaluate
from isthmus.compiler.passes import Unroll

LINE = TensorType(f32, (4,))


def running_sum(**how: object) -> Graph:
    """Scan over x [3, 4]: the state grows by each row; the rows of the result are the states."""
    state, row = graph_input("state", LINE), graph_input("row", LINE)
    total = math.add(state, row)
    body = Graph([state, row], [total, math.neg(total)], ["total", "seen"], "body")
    first, x = graph_input("first", LINE), graph_input("x", TensorType(f32, (3, 4)))
    results = control.scan(first, x, states=1, inputs=1, regions=[body], **how)
    return Graph([first, x], list(results), ["last", "rows"])


def counting(trip: int | None, limit: float) -> Graph:
    """Loop that adds 1 to x while the turn is below `limit`."""
    turn, flag = graph_input("turn", TensorType(i64, ())), graph_input("flag", TensorType(boolean, ()))
    held = graph_input("held", LINE)
    goes_on = math.lt(math.add(turn, 1), int(limit))
    body = Graph([turn, flag, held], [goes_on, math.add(held, 1.0), held], ["on", "next", "row"], "body")
    x = graph_input("x", LINE)
    most = None if trip is None else constant(trip, i64)
    return Graph([x], list(control.loop(most, None, x, states=1, scans=1, regions=[body])), ["last", "rows"])


@pytest.mark.parametrize("how", [{}, {"reverse": (True,), "output_reverse": (True,), "output_axes": (1,)}])
def test_a_scan_becomes_its_turns(how: dict[str, object]) -> None:
    graph = running_sum(**how)
    result = Unroll().run(graph)
    verify(result.graph, get)
    assert result.hits == {"control.scan => its turns": 1}
    assert not any(node.regions for node in result.graph.nodes)
    inputs = [np.ones(4, "f"), np.arange(12, dtype="f").reshape(3, 4)]
    for name, want in evaluate(graph, inputs).items():
        np.testing.assert_array_equal(evaluate(result.graph, inputs)[name], want)


@pytest.mark.parametrize(("trip", "limit", "turns"), [(3, 9, 3), (9, 2, 2), (None, 4, 4)])
def test_a_loop_whose_condition_follows_from_constants_becomes_its_turns(trip, limit, turns) -> None:
    graph = counting(trip, limit)
    result = Unroll().run(graph)
    verify(result.graph, get)
    assert not any(node.regions for node in result.graph.nodes)
    assert result.graph.outputs[1].shape == (turns, 4)
    x = [np.zeros(4, "f")]
    np.testing.assert_array_equal(evaluate(result.graph, x)["rows"], evaluate(graph, x)["rows"])


def test_many_turns_and_turns_that_data_decide_stay() -> None:
    graph = running_sum()
    assert Unroll(nodes=5).run(graph).graph is graph
    endless = counting(None, 10**6)
    assert Unroll().run(endless).graph is endless
    none = counting(0, 5)
    assert Unroll().run(none).graph is none
