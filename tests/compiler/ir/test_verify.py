"""The verifier lists every violation, with its location, and passes what ops build."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import VerifyError
from isthmus.compiler.ir import DTYPES, Graph, Location, Node, Tensor, TensorType, graph_input, symbol
from isthmus.compiler.ir.text import parse_graph
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get

F32 = DTYPES["f32"]


def problems(graph: Graph) -> list[str]:
    with pytest.raises(VerifyError) as caught:
        verify(graph, get)
    return [str(problem) for problem in caught.value.problems]


def test_what_ops_build_is_valid() -> None:
    verify(
        parse_graph(
            'graph "main"(%x: f32[N, 3], %y: f32[3]) {'
            "  %0 = math.add(%x, %y) : f32[N, 3]"
            "  %1 = reduce.sum(%0) {axes = (1), keepdims = false} : f32[N]"
            "  return %1 as y }"
        ),
        get,
    )


def test_a_symbol_may_turn_out_to_be_any_extent() -> None:
    verify(parse_graph('graph "g"(%x: f32[4]) { %0 = math.neg(%x) : f32[N] return %0 as y }'), get)


def test_all_problems_are_listed_with_their_locations() -> None:
    graph = parse_graph(
        'graph "main"(%x: f32[2], %y: f32[3]) {'
        '  %0 = math.add(%x, %y) : f32[3] loc("m.onnx", "Add_1")'
        '  %1 = math.nothing(%0) : f32[3] loc("m.onnx", "Nothing_2")'
        '  %2 = math.exp(%1) : f32[4] loc("m.onnx", "Exp_3")'
        "  return %2 as y, %1 as y }"
    )
    assert problems(graph) == [
        "main: two outputs are called 'y'",
        "m.onnx:Add_1: shapes [2] and [3] do not broadcast",
        "m.onnx:Nothing_2: no op is called 'math.nothing'",
        "m.onnx:Exp_3: math.exp is typed f32[4], but its rule says f32[3]",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("%0 = math.add(%x) : f32[2]", "math.add needs operand 'y'"),
        ("%0 = math.add(%x, _) : f32[2]", "math.add needs operand 'y'"),
        ("%0 = math.exp(%x, %x) : f32[2]", "math.exp takes at most 1 operands, got 2"),
        ("%0 = reduce.sum(%x) {axes = (0)} : f32[1]", "lacks keepdims"),
        ("%0 = reduce.sum(%x) {axes = 0, keepdims = true} : f32[1]", "attribute 'axes' is 0"),
        ("%0 = math.exp(%x) {a = 1} : f32[2]", "math.exp has no attribute 'a'"),
        ("%0 = math.exp(%x) : f64[2]", "math.exp is typed f64[2], but its rule says f32[2]"),
        ("%0 = math.exp(%x) : sequence<f32[2]>", "math.exp is typed sequence<f32[2]>"),
    ],
)
def test_each_kind_of_mistake_in_a_node(text: str, says: str) -> None:
    (problem,) = problems(parse_graph(f'graph "g"(%x: f32[2]) {{ {text} return %0 as y }}'))
    assert says in problem


def test_inputs_are_named_once_and_belong_to_their_graph() -> None:
    a, b, c = (graph_input("x", TensorType(F32, ())) for _ in range(3))
    y = get("math.add")(get("math.add")(a, b), c)
    assert problems(Graph([a, b, b], [y], ["y"])) == [
        "graph: two inputs are called 'x'",
        "graph: one value is listed twice among the inputs",
        "graph:input: input 'x' belongs to another graph; regions take what they use as inputs",
    ]


def test_outputs_have_names() -> None:
    x = graph_input("x", TensorType(F32, ()))
    assert problems(Graph([x], [x], [])) == ["graph: 1 outputs have 0 names"]


def test_constants_hold_what_their_type_says() -> None:
    tensor = Tensor(np.zeros(3, np.float32))
    where = Location("m.onnx", ("w",))
    wrong = Node("constant", (), {"value": tensor}, (TensorType(F32, (4,)),), location=where)
    none = Node("constant", (), {"value": 3}, (TensorType(F32, (4,)),), location=where)
    assert problems(Graph([], [wrong.result, none.result], ["y", "z"])) == [
        "m.onnx:w: a constant of type f32[4] holds f32[3]",
        "m.onnx:w: a constant holds 3, not a tensor",
    ]


def test_regions_are_checked_and_isolated() -> None:
    outer = graph_input("x", TensorType(F32, (symbol("N"),)))
    leaking = Graph([], [get("math.exp")(outer)], ["y"], "body")
    node = Node("test.do", (outer,), {}, (outer.type,), (leaking,))
    assert problems(Graph([outer], node.results, ["y"])) == [
        "graph:test.do: no op is called 'test.do'",
        "graph:test.do.0:input: input 'x' belongs to another graph; regions take what they use as inputs",
    ]
