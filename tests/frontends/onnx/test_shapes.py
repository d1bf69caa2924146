"""Shapes that a model computes: resolved while reading wherever constants and symbols tell them."""

import numpy as np
import pytest
from onnx import TensorProto

from isthmus.compiler.diagnostics import ModelError
from isthmus.compiler.ops.interpret import evaluate


def heads(onnx):
    """The chain that exporters write for [batch, sequence, 12] -> [batch, sequence, 3, 4]."""
    nodes = [
        onnx.node("Shape", "x", "s"),
        onnx.node("Gather", "s zero", "b"),
        onnx.node("Gather", "s one", "n"),
        onnx.node("Unsqueeze", "b axis", "b1"),
        onnx.node("Unsqueeze", "n axis", "n1"),
        onnx.node("Concat", "b1 n1 three rest", "target", axis=0),
        onnx.node("Reshape", "x target", "y"),
    ]
    numbers = {"zero": 0, "one": 1, "axis": [0], "three": [3], "rest": [-1]}
    weights = [onnx.tensor(name, np.array(number, np.int64)) for name, number in numbers.items()]
    return onnx.model(nodes, [onnx.value("x", ["batch", "sequence", 12])], weights=weights)


def test_a_symbolic_reshape_chain_leaves_one_op(onnx):
    graph = onnx.read(heads(onnx))
    assert onnx.ops(graph) == ["shape.reshape"]
    assert str(graph.outputs[0].type) == "f32[batch, sequence, 3, 4]"


def test_binding_makes_it_static(onnx):
    graph = onnx.read(heads(onnx), shapes={"x": (2, 5, 12)})
    assert graph.outputs[0].shape == (2, 5, 3, 4)


def test_arithmetic_on_extents(onnx):
    """Half the sequence, as in `x[:, : x.shape[1] // 2]`; and an even extent halves exactly."""
    nodes = [
        onnx.node("Shape", "x", "n", start=1, end=2),
        onnx.node("Div", "n two", "half"),
        onnx.node("Slice", "x zero half one", "y"),
    ]
    numbers = {"two": [2], "zero": [0], "one": [1]}
    weights = [onnx.tensor(name, np.array(number, np.int64)) for name, number in numbers.items()]
    model = onnx.model(nodes, [onnx.value("x", ["N", "2*S"])], weights=weights)
    assert str(onnx.read(model).outputs[0].type) == "f32[N, S]"
    odd = onnx.read(onnx.model(nodes, [onnx.value("x", ["N", "S"])], weights=weights))
    x = np.arange(14, dtype=np.float32).reshape(2, 7)
    assert evaluate(odd, {"x": x})["y"].tolist() == x[:, :3].tolist()


def test_expand_by_a_masked_shape(onnx):
    """Expand(x, Where(target == -1, 1, target)), which one exporter writes for `expand(-1, 4)`."""
    nodes = [
        onnx.node("Shape", "x", "s"),
        onnx.node("Concat", "s four", "target", axis=0),
        onnx.node("Equal", "target minus", "unset"),
        onnx.node("Where", "unset ones target", "extents"),
        onnx.node("Unsqueeze", "x axis", "column"),
        onnx.node("Expand", "column extents", "y"),
    ]
    numbers = {"four": [4], "minus": [-1, -1], "ones": [1, 1], "axis": [1]}
    weights = [onnx.tensor(name, np.array(number, np.int64)) for name, number in numbers.items()]
    graph = onnx.read(onnx.model(nodes, [onnx.value("x", ["N"])], weights=weights))
    assert str(graph.outputs[0].type) == "f32[N, 4]"
    assert onnx.ops(graph) == ["shape.reshape", "shape.expand"]


def test_what_only_the_data_tell_stays_dynamic(onnx):
    inputs = [onnx.value("x", [2, 6]), onnx.value("target", [3], TensorProto.INT64)]
    graph = onnx.read(onnx.model([onnx.node("Reshape", "x target", "y")], inputs))
    assert onnx.ops(graph) == ["shape.reshape_dynamic"]
    assert str(graph.outputs[0].type) == "f32[u0, u1, u2]"
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert evaluate(graph, {"x": x, "target": np.array([3, 0 + 2, -1])})["y"].shape == (3, 2, 2)


def test_two_reads_give_the_same_names(onnx):
    nodes = [
        onnx.node("NonZero", "x", "a"),
        onnx.node("NonZero", "x", "b"),
        onnx.node("Concat", "a b", "y", axis=1),
    ]
    model = onnx.model(nodes, [onnx.value("x", ["N", None])])
    texts = [[str(value.type) for n in onnx.read(model).nodes for value in n.results] for _ in range(2)]
    assert texts[0] == texts[1]
    assert not any("$" in text for text in texts[0])


def test_fixed_operands_are_constants(onnx):
    inputs = [onnx.value("x", [2, 6]), onnx.value("target", [3], TensorProto.INT64)]
    model = onnx.model([onnx.node("Reshape", "x target", "y")], inputs)
    graph = onnx.read(model, constants={"target": [3, 2, 2]})
    assert graph.input_names == ("x",)
    assert graph.outputs[0].shape == (3, 2, 2)
    with pytest.raises(ModelError, match=r"target: got 2 for dimension 0, the model declares 3"):
        onnx.read(model, constants={"target": [3, 4]})


def test_a_constant_of_a_huge_shape_is_not_made(onnx):
    nodes = [onnx.node("ConstantOfShape", "s", "big"), onnx.node("ReduceSum", "big", "y")]
    weights = [onnx.tensor("s", np.array([1 << 20, 1 << 20]))]
    graph = onnx.read(onnx.model(nodes, [], weights=weights))
    assert graph.outputs[0].shape == (1, 1)


def test_sequences_of_known_parts_vanish(onnx):
    nodes = [
        onnx.node("SplitToSequence", "x two", "parts", axis=1),
        onnx.node("SequenceAt", "parts last", "a"),
        onnx.node("SequenceLength", "parts", "count"),
        onnx.node("Cast", "count", "n", to=TensorProto.FLOAT),
        onnx.node("ConcatFromSequence", "parts", "b", axis=0, new_axis=0),
        onnx.node("Mul", "a n", "y"),
    ]
    weights = [onnx.tensor("two", np.array(2)), onnx.tensor("last", np.array(-1))]
    graph = onnx.read(onnx.model(nodes, [onnx.value("x", ["N", 6])], "y b", weights))
    assert not any("sequence" in op for op in onnx.ops(graph))
    assert [str(value.type) for value in graph.outputs] == ["f32[N, 2]", "f32[3*N, 2]"]
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    found = evaluate(graph, {"x": x})
    assert found["y"].tolist() == (3 * x[:, 4:]).tolist()
    assert found["b"].tolist() == np.concatenate(np.split(x, 3, 1)).tolist()
