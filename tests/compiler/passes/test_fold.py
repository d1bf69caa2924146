"""Constant folding: what is folded, what is not, and where the result says it comes from."""

import numpy as np

from isthmus.compiler.ir import DTYPES, Graph, Location, Node, TensorType, constant
from isthmus.compiler.ir.text import parse_graph, print_graph
from isthmus.compiler.ir.types import f32
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get, math, quant, shape
from isthmus.compiler.passes import Fold, InlineBranches
from isthmus.compiler.passes.fold import folded


def test_chains_of_constants_become_one_at_the_last_location() -> None:
    graph = parse_graph(
        'graph "g"(%x: f32[2]) { %a = constant f32[2](1, 2) %0 = math.neg(%a) : f32[2] loc("m.onnx", "Neg")'
        '%1 = math.add(%0, %a) : f32[2] loc("m.onnx", "Add") %2 = math.mul(%x, %1) : f32[2] return %2 as y }'
    )
    result = Fold().run(graph)
    assert result.hits == {"fold math.neg": 1, "fold math.add": 1}
    assert print_graph(result.graph).text.splitlines()[1:3] == [
        '  %1 = constant f32[2](0.0, 0.0) loc("m.onnx", "Add")',
        "  %2 = math.mul(%x, %1) : f32[2]",
    ]


def test_nothing_to_fold_gives_the_same_graph() -> None:
    graph = parse_graph('graph "g"(%x: f32[2]) { %0 = math.neg(%x) : f32[2] return %0 as y }')
    assert Fold().run(graph).graph is graph


def test_a_small_constant_is_not_blown_up() -> None:
    graph = parse_graph(
        'graph "g"() { %a = constant f32[](1)'
        "%0 = shape.expand(%a) {shape = (1000000, 1000000)} : f32[1000000, 1000000] return %0 as y }"
    )
    assert Fold().run(graph).graph is graph
    small = parse_graph(
        'graph "g"() { %a = constant f32[](1) %0 = shape.expand(%a) {shape = (100)} : f32[100] return %0 as y }'
    )
    assert Fold(growth=399).run(small).graph is not small
    assert Fold(growth=395).run(small).graph is small


def test_dequantised_weights_are_folded_however_many_they_are() -> None:
    codes = constant(np.ones((64, 64), np.int8))
    graph = Graph([], [quant.dequantize(codes, constant(np.float32(0.5)), axis=0, dtype=f32)], ["y"])
    (y,) = Fold(growth=0).run(graph).graph.outputs
    assert y.constant is not None
    assert y.constant.shape == (64, 64)


def test_what_takes_long_is_left_to_the_run() -> None:
    a = constant(np.ones((64, 64), np.float32))
    graph = Graph([], [math.add(a, a)], ["y"])
    assert Fold(work=4095).run(graph).graph is graph
    assert Fold(work=4096).run(graph).graph is not graph


def test_extents_that_data_decide_are_folded_only_where_operands_bound_them() -> None:
    text = (
        'graph "g"(%x: f32[3]) {{ %a = constant i64[](0) %b = constant i64[](9999999999999) %c = constant i64[](1)'
        "%r = shape.range(%a, %b, %c) : i64[u$0] %k = constant bool[3](true, false, true)"
        "%n = shape.nonzero(%k) : i64[1, u$1] %m = math.neg(%n) : i64[1, u$1] return %m as y, {} as z }}"
    )
    result = Fold().run(parse_graph(text.format("%r")))
    assert result.hits == {"fold shape.nonzero": 1, "fold math.neg": 1}
    assert result.graph.outputs[0].constant.tolist() == [[0, -2]]
    assert result.graph.outputs[1].node.op == "shape.range"


def test_random_numbers_are_not_folded() -> None:
    graph = parse_graph(
        'graph "g"() { %0 = random.uniform() {shape = (3), dtype = f32, low = 0.0, high = 1.0, seed = 7} : f32[3]'
        "return %0 as y }"
    )
    assert Fold().run(graph).graph is graph


def test_a_fault_is_left_to_the_run() -> None:
    graph = parse_graph(
        'graph "g"() { %a = constant f32[2](1, 2) %i = constant i64[](5)'
        "%0 = shape.gather(%a, %i) {axis = 0} : f32[] return %0 as y }"
    )
    assert Fold().run(graph).graph is graph


def test_types_learnt_by_folding_spread() -> None:
    graph = parse_graph(
        'graph "g"(%x: f32[2], %z: f32[]) { %e = shape.expand(%z) {shape = (<u1>)} : f32[u1]'
        "%k = constant bool[3](true, false, true) %n = shape.nonzero(%k) : i64[1, u1]"
        "%t = shape.reshape(%n) {shape = (<u1>)} : i64[u1] %g = shape.gather(%x, %t) {axis = 0} : f32[u1]"
        "%s = math.add(%e, %g) : f32[u1] return %s as y }"
    )
    after = Fold().run(graph).graph
    verify(after, get)
    assert after.outputs[0].type == TensorType(DTYPES["f32"], (2,))
    assert "u1" not in print_graph(after).text


def test_a_symbol_is_learnt_where_it_is_introduced_only() -> None:
    """[u0] + [u1] is typed [u1], which may be 1 at run time: the sum's extent says nothing about u1."""
    graph = parse_graph(
        'graph "g"(%x: f32[N]) { %a = constant f32[2](1, 2) %b = constant f32[1](1) %s = math.add(%a, %b) : f32[N]'
        "%y = math.add(%s, %x) : f32[N] return %y as y }"
    )
    after = Fold().run(graph).graph
    assert after.inputs[0].type == graph.inputs[0].type


def test_regions_are_folded() -> None:
    graph = parse_graph(
        'graph "g"(%x: f32[2]) { %0 = test.do(%x) : f32[2] { graph "body"(%x: f32[2]) {'
        "%a = constant f32[2](1, 2) %0 = math.neg(%a) : f32[2] %1 = math.add(%x, %0) : f32[2] return %1 as y } }"
        "return %0 as y }"
    )
    assert Fold().run(graph).hits == {"fold math.neg": 1}


def test_folded_evaluates_an_expression() -> None:
    value = folded(shape.reshape(math.neg(constant(np.arange(4, dtype=np.float32))), shape=(2, 2)))
    assert value.constant.tolist() == [[0, -1], [-2, -3]]


def test_a_branch_that_a_constant_chooses_is_inlined() -> None:
    branches = [
        parse_graph(f'graph "b"(%x: f32[2]) {{ %0 = {op}(%x) : f32[2] return %0 as y }}')
        for op in ("math.exp", "math.log")
    ]
    x = parse_graph('graph "g"(%x: f32[2]) { return %x as y }').inputs[0]
    for condition, op in ((True, "math.exp"), (False, "math.log")):
        node = Node(
            "control.if", (constant(condition), x), {}, (x.type,), branches, Location("m.onnx", ("If",))
        )
        result = InlineBranches().run(Graph([x], [math.neg(node.result)], ["y"]))
        assert [n.op for n in result.graph.nodes] == ["input", op, "math.neg"]
        assert result.hits == {"if(constant) => branch": 1}
    undecided = Node("control.if", (x, x), {}, (x.type,), branches)
    graph = Graph([x], undecided.results, ["y"])
    assert InlineBranches().run(graph).graph is graph


def test_an_inlined_branch_gets_the_extents_of_its_operands() -> None:
    graph = parse_graph(
        'graph "g"(%x: f32[5]) { %c = constant bool[](true) %0 = control.if(%c, %x) : f32[5] {'
        'graph "then"(%x: f32[n]) { %z = constant f32[](1) %e = shape.expand(%z) {shape = (<n>)} : f32[n]'
        "%0 = math.add(%x, %e) : f32[n] return %0 as y }"
        'graph "else"(%x: f32[n]) { return %x as y } } return %0 as y }'
    )
    verify(graph, get)
    after = InlineBranches().run(graph).graph
    verify(after, get)
    assert [str(node.types[0]) for node in after.nodes] == ["f32[5]", "f32[]", "f32[5]", "f32[5]"]
