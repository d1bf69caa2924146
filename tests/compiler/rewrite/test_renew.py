"""Nodes on new operands: what is known of extents spreads, and nothing is claimed of symbols that inputs own."""

from isthmus.compiler.ir import DTYPES, Graph, Node, TensorType, graph_input, symbol
from isthmus.compiler.ir.text import parse_graph, print_graph
from isthmus.compiler.ops import math, shape
from isthmus.compiler.rewrite.renew import Renewal, substituted

F32 = DTYPES["f32"]
N, U = symbol("N"), symbol("u0")


def test_the_same_operands_give_the_same_node() -> None:
    x = graph_input("x", TensorType(F32, (N,)))
    node = math.exp(x).node
    assert Renewal().renew(node, (x,), ()) is node


def test_operands_of_the_same_type_need_no_inference() -> None:
    x, y = (graph_input(name, TensorType(F32, (N,))) for name in "xy")
    node = Node("test.unknown", (x,), {"a": 1}, (x.type,))
    assert Renewal().renew(node, (y,), ()).operands == (y,)


def test_better_known_operands_give_better_known_results() -> None:
    x, y = graph_input("x", TensorType(F32, (N, 2))), graph_input("y", TensorType(F32, (3, 2)))
    assert Renewal().renew(shape.transpose(x, perm=(1, 0)).node, (y,), ()).types == (TensorType(F32, (2, 3)),)


def test_a_symbol_becomes_known_where_it_is_introduced() -> None:
    renewal = Renewal()
    source = Node("test.source", (), {}, (TensorType(F32, (U,)),))
    renewal.define(source, [graph_input("y", TensorType(F32, (7,)))])
    assert renewal.dims == {"u0": 7}
    passing = math.exp(source.result).node
    other = Renewal()
    other.define(passing, [graph_input("y", TensorType(F32, (7,)))])
    assert not other.dims


def test_what_is_known_reaches_attributes_types_and_regions() -> None:
    renewal = Renewal()
    renewal.dims["u0"] = 7
    graph = parse_graph(
        'graph "g"(%x: f32[]) { %0 = shape.expand(%x) {shape = (<u0>, <2*u0>)} : f32[u0, 2*u0]'
        '%1 = test.do(%0) : sequence<f32[u0]> { graph "body"(%x: f32[u0, 2*u0]) { return %x as y } } return %1 as y }'
    )
    text = print_graph(renewal.finish(graph)).text
    assert "u0" not in text
    assert text.count("7, 14") == 3


def test_finishing_keeps_what_does_not_mention_a_symbol() -> None:
    renewal = Renewal()
    renewal.dims["u0"] = 7
    x = graph_input("x", TensorType(F32, (N,)))
    graph = Graph([x], [math.exp(x)], ["y"])
    assert renewal.finish(graph) is graph


def test_substitution_keeps_other_attributes() -> None:
    assert substituted((U, (U * 2, "u0", None, 1.5)), {"u0": 3}) == (3, (6, "u0", None, 1.5))
