"""Common subexpressions: equal nodes become one, which carries the locations of both."""

import numpy as np

from isthmus.compiler.ir import Graph, Location, constant
from isthmus.compiler.ir.text import parse_graph, print_graph
from isthmus.compiler.ops import math
from isthmus.compiler.passes import Share


def test_equal_nodes_become_one_with_both_locations() -> None:
    graph = parse_graph(
        'graph "g"(%x: f32[2]) { %a = constant f32[](2) %b = constant f32[](2)'
        '%0 = math.mul(%x, %a) : f32[2] loc("m.onnx", "one") %1 = math.mul(%x, %b) : f32[2] loc("m.onnx", "two")'
        "%2 = math.add(%0, %1) : f32[2] return %2 as y }"
    )
    result = Share().run(graph)
    assert result.hits == {"share constant": 1, "share math.mul": 1}
    assert print_graph(result.graph).text == (
        'graph "g"(%x: f32[2]) {\n'
        "  %1 = constant f32[](2.0)\n"
        '  %2 = math.mul(%x, %1) : f32[2] loc("m.onnx", "one", "two")\n'
        "  %3 = math.add(%2, %2) : f32[2]\n"
        "  return %3 as y\n"
        "}\n"
    )
    assert Share().run(result.graph).graph is result.graph


def test_what_differs_in_anything_stays() -> None:
    graph = parse_graph(
        'graph "g"(%x: f32[2, 2]) { %0 = reduce.sum(%x) {axes = (0), keepdims = true} : f32[1, 2]'
        "%1 = reduce.sum(%x) {axes = (1), keepdims = true} : f32[2, 1]"
        "%a = constant f32[](0.0) %b = constant f32[](-0.0) %c = constant f64[](0.0)"
        "return %0 as p, %1 as q, %a as a, %b as b, %c as c }"
    )
    assert Share().run(graph).graph is graph


def test_random_nodes_stay_apart() -> None:
    draw = "random.uniform() {shape = (3), dtype = f32, low = 0.0, high = 1.0, seed = 7} : f32[3]"
    graph = parse_graph(f'graph "g"() {{ %0 = {draw} %1 = {draw} return %0 as a, %1 as b }}')
    assert Share().run(graph).graph is graph


def test_large_constants_are_one_if_they_are_one_array() -> None:
    weights = np.zeros(5000, np.float32)
    weights.flags.writeable = False
    a, b, c = constant(weights), constant(weights), constant(weights.copy())
    graph = Graph([], [math.neg(a), math.neg(b), math.neg(c)], ["a", "b", "c"])
    outputs = Share().run(graph).graph.outputs
    assert outputs[0] is outputs[1]
    assert outputs[0] is not outputs[2]


def test_regions_are_shared_within() -> None:
    graph = parse_graph(
        'graph "g"(%x: f32[2]) { %0 = test.do(%x) : f32[2] { graph "body"(%x: f32[2]) {'
        "%0 = math.exp(%x) : f32[2] %1 = math.exp(%x) : f32[2] %2 = math.add(%0, %1) : f32[2] return %2 as y } }"
        "return %0 as y }"
    )
    assert Share().run(graph).hits == {"share math.exp": 1}


def test_locations_merge_in_order() -> None:
    x = parse_graph('graph "g"(%x: f32[2]) { return %x as y }').inputs[0]
    nodes = [
        parse_graph(
            f'graph "g"(%x: f32[2]) {{ %0 = math.exp(%x) : f32[2] loc("m", "{name}") return %0 as y }}'
        )
        .outputs[0]
        .node
        for name in "cab"
    ]
    outputs = [
        type(node)(node.op, (x,), node.attributes, node.types, (), node.location).result for node in nodes
    ]
    shared = Share().run(Graph([x], outputs, ["a", "b", "c"])).graph
    assert shared.outputs[0].node.location == Location("m", ("c", "a", "b"))
