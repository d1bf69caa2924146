"""What constants decide of shapes is stated once it is known; each op keeps its meaning."""

import numpy as np
import pytest

from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ir.types import f32, i64
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.interpret import evaluate
from isthmus.compiler.passes import Settle


def ids(*values: int):
    return constant(np.array(values, np.int64))


X = graph_input("x", parse_type("f32[4, 6]"))
SETTLED = {
    "reshape": lambda: get("shape.reshape_dynamic")(X, ids(0, -1, 3), rank=3),
    "reshape zero": lambda: get("shape.reshape_dynamic")(X, ids(-1), rank=1, allow_zero=True),
    "expand": lambda: get("shape.expand_dynamic")(X, ids(2, 1, 6), rank=3),
    "slice": lambda: get("shape.slice_dynamic")(X, ids(-2, 1), ids(9, -1), ids(1, 0), ids(1, 2)),
    "slice back": lambda: get("shape.slice_dynamic")(X, ids(5), ids(-99), ids(-1), ids(-2)),
    "pad": lambda: get("shape.pad_dynamic")(X, ids(1, 2), constant(np.ones(1, "f")), ids(-1)),
    "pad all": lambda: get("shape.pad_dynamic")(X, ids(1, 0, -1, 2), mode="edge"),
    "tile": lambda: get("shape.tile_dynamic")(X, ids(2, 1)),
    "topk": lambda: get("shape.topk")(X, ids(2), axis=1)[0],
    "onehot": lambda: get("shape.onehot")(
        get("math.cast")(X, dtype=i64), ids(3), constant(np.array([0, 1], "f")), axis=2
    ),
}


@pytest.mark.parametrize("name", SETTLED)
def test_constants_settle_what_an_op_gives(name: str) -> None:
    graph = Graph([X], [SETTLED[name]()], ["y"])
    assert not graph.outputs[0].type.is_static
    result = Settle().run(graph)
    verify(result.graph, get)
    assert sum(result.hits.values()) == 1
    assert result.graph.outputs[0].type.is_static
    x = [np.arange(24, dtype="f").reshape(4, 6)]
    np.testing.assert_array_equal(evaluate(result.graph, x)["y"], evaluate(graph, x)["y"])


def test_a_range_is_settled_without_being_made() -> None:
    ends = [constant(value, i64) for value in (0, 10**12, 1)]
    first = graph_input("x", parse_type("i64[]"))
    graph = Graph([first], [get("shape.range")(*ends)], ["y"])
    assert Settle().run(graph).graph.outputs[0].shape == (10**12,)


def test_operands_that_fit_nothing_are_left_to_the_run() -> None:
    for y in (
        get("shape.slice_dynamic")(X, ids(0), ids(1), ids(7)),
        get("shape.expand_dynamic")(X, ids(5, 5), rank=2),
        get("shape.tile_dynamic")(X, graph_input("n", parse_type("i64[2]"))),
    ):
        inputs = [X, *(v for v in y.node.operands if v is not None and v.node.op == "input" and v is not X)]
        graph = Graph(inputs, [y], ["y"])
        assert Settle().run(graph).graph is graph


def test_types_of_what_follows_become_known() -> None:
    y = get("math.neg")(get("shape.tile_dynamic")(X, ids(2, 1)))
    assert Settle().run(Graph([X], [y], ["y"])).graph.outputs[0].type == parse_type("f32[8, 6]")
    assert f32 == y.dtype
