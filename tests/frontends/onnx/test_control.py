"""If, Loop and Scan: bodies as regions, what they take from outside, and extents that change."""

import numpy as np
import pytest
from onnx import TensorProto

from isthmus.compiler.diagnostics import ModelError
from isthmus.compiler.ops.interpret import evaluate

X = np.arange(3, dtype=np.float32)


def branches(onnx):
    then = onnx.graph([onnx.node("Add", "x w", "t")], [], [onnx.value("t", None)])
    other = onnx.graph([onnx.node("Neg", "x", "e")], [], [onnx.value("e", None)])
    return onnx.node("If", "flag", "y", then_branch=then, else_branch=other)


def test_a_known_condition_leaves_one_branch(onnx):
    weights = [onnx.tensor("w", X), onnx.tensor("flag", np.array(True))]
    graph = onnx.read(onnx.model([branches(onnx)], [onnx.value("x", [3])], weights=weights))
    assert onnx.ops(graph) == ["math.add"]


@pytest.mark.parametrize("flag", [True, False])
def test_branches_take_what_they_use(onnx, flag):
    inputs = [onnx.value("x", [3]), onnx.value("flag", [1], TensorProto.BOOL)]
    graph = onnx.read(onnx.model([branches(onnx)], inputs, weights=[onnx.tensor("w", X)]))
    (branch,) = (n for n in graph.nodes if n.op == "control.if")
    assert [region.input_names for region in branch.regions] == [("x",), ("x",)]
    result = evaluate(graph, {"x": X, "flag": np.array([flag])})["y"]
    assert result.tolist() == ((X + X) if flag else -X).tolist()


def loop(onnx, nodes, outputs, states):
    flags = [onnx.value("i", [], TensorProto.INT64), onnx.value("c", [], TensorProto.BOOL)]
    inputs = [*flags, *(onnx.value(name, None) for name in states.split())]
    return onnx.graph(nodes, inputs, [onnx.value(name, None) for name in outputs.split()])


def test_a_loop_carries_and_stacks(onnx):
    nodes = [
        onnx.node("Identity", "c", "go"),
        onnx.node("Add", "s x", "next"),
        onnx.node("Neg", "next", "row"),
    ]
    body = loop(onnx, nodes, "go next row", "s")
    inputs = [onnx.value("x", [3]), onnx.value("n", [], TensorProto.INT64)]
    model = onnx.model([onnx.node("Loop", "n _ x", "y rows", body=body)], inputs, "y rows")
    graph = onnx.read(model)
    assert [str(value.type) for value in graph.outputs] == ["f32[3]", "f32[u0, 3]"]
    found = evaluate(graph, {"x": X, "n": np.array(3)})
    assert found["y"].tolist() == (4 * X).tolist()
    assert found["rows"].tolist() == [(-2 * X).tolist(), (-3 * X).tolist(), (-4 * X).tolist()]


def test_a_state_that_grows_has_an_unknown_extent(onnx):
    nodes = [onnx.node("Identity", "c", "go"), onnx.node("Concat", "s x", "next", axis=0)]
    model = onnx.model(
        [onnx.node("Loop", "n _ x", "y", body=loop(onnx, nodes, "go next", "s"))],
        [onnx.value("x", [3]), onnx.value("n", [], TensorProto.INT64)],
    )
    graph = onnx.read(model)
    assert str(graph.outputs[0].type) == "f32[u0]" or graph.outputs[0].type.rank == 1
    assert evaluate(graph, {"x": X, "n": np.array(2)})["y"].tolist() == [*X, *X, *X]


def test_a_state_may_not_change_its_dtype(onnx):
    nodes = [onnx.node("Identity", "c", "go"), onnx.node("Cast", "s", "next", to=TensorProto.INT32)]
    model = onnx.model(
        [onnx.node("Loop", "n _ x", "y", "around", body=loop(onnx, nodes, "go next", "s"))],
        [onnx.value("x", [3]), onnx.value("n", [], TensorProto.INT64)],
    )
    with pytest.raises(
        ModelError, match=r"test:around: a carried value is f32\[3\] before .* i32\[3\] after it"
    ):
        onnx.read(model)


def test_an_empty_sequence_gets_the_type_of_what_is_put_in(onnx):
    nodes = [
        onnx.node("Identity", "c", "go"),
        onnx.node("Add", "i one", "size"),
        onnx.node("Unsqueeze", "size zero", "end"),
        onnx.node("Slice", "x zero end", "part"),
        onnx.node("SequenceInsert", "s part", "next"),
    ]
    outer = [
        onnx.node("SequenceEmpty", "", "empty"),
        onnx.node("Loop", "n _ empty", "parts", body=loop(onnx, nodes, "go next", "s")),
        onnx.node("ConcatFromSequence", "parts", "y", axis=0),
    ]
    weights = [onnx.tensor("one", np.array(1)), onnx.tensor("zero", np.array([0]))]
    inputs = [onnx.value("x", [3]), onnx.value("n", [], TensorProto.INT64)]
    graph = onnx.read(onnx.model(outer, inputs, weights=weights))
    assert evaluate(graph, {"x": X, "n": np.array(3)})["y"].tolist() == [0, 0, 1, 0, 1, 2]


def test_scan(onnx):
    nodes = [onnx.node("Add", "s row", "next"), onnx.node("Mul", "next w", "out")]
    entries = [onnx.value("s", [2]), onnx.value("row", [2])]
    body = onnx.graph(nodes, entries, [onnx.value("next", None), onnx.value("out", None)])
    model = onnx.model(
        [onnx.node("Scan", "start rows", "last outs", body=body, num_scan_inputs=1)],
        [onnx.value("start", [2]), onnx.value("rows", [3, 2])],
        "last outs",
        [onnx.tensor("w", np.float32(10))],
    )
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = evaluate(onnx.read(model), {"start": np.zeros(2, np.float32), "rows": rows})
    assert found["last"].tolist() == rows.sum(0).tolist()
    assert found["outs"].tolist() == (rows.cumsum(0) * 10).tolist()


def test_bodies_are_counted(onnx):
    body = loop(onnx, [onnx.node("Identity", "c", "go")], "go", "")
    model = onnx.model(
        [onnx.node("Loop", "n _ x", "y", "around", body=body)],
        [onnx.value("x", [3]), onnx.value("n", [], TensorProto.INT64)],
    )
    with pytest.raises(ModelError, match="its body has 2 inputs and 1 outputs for 1 carried values"):
        onnx.read(model)
