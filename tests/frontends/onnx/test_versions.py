"""Which form of an op a node gets: the newest that its opset knows, or a refusal."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from isthmus.compiler.diagnostics import ModelError, UnsupportedError
from isthmus.compiler.ops.interpret import evaluate


def run(onnx, node, opset, *weights):
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    graph = onnx.read(onnx.model([node], [onnx.value("x", [2, 3, 4])], weights=weights, opset=opset))
    return x, evaluate(graph, {"x": x})["y"]


@pytest.mark.parametrize("opset", [6, 7, 12])
def test_attribute_forms(onnx, opset):
    x, y = run(onnx, onnx.node("Softmax", "x", "y"), opset)
    flat = np.exp(x.reshape(2, 12) - x.reshape(2, 12).max(1, keepdims=True))
    np.testing.assert_allclose(y.reshape(2, 12), flat / flat.sum(1, keepdims=True), rtol=1e-5)
    _, y = run(onnx, onnx.node("ReduceSum", "x", "y", axes=[-1], keepdims=0), opset)
    assert y.tolist() == x.sum(-1).tolist()


@pytest.mark.parametrize("opset", [13, 18, 28])
def test_operand_forms(onnx, opset):
    x, y = run(onnx, onnx.node("Softmax", "x", "y"), opset)
    np.testing.assert_allclose(y.sum(-1), np.ones((2, 3)), rtol=1e-5)
    _, y = run(onnx, onnx.node("ReduceSum", "x a", "y", keepdims=0), opset, onnx.tensor("a", np.array([-1])))
    assert y.tolist() == x.sum(-1).tolist()


def test_forms_of_other_opsets_are_refused(onnx):
    with pytest.raises(ModelError, match="takes 1 operands, got 2"):
        run(onnx, onnx.node("ReduceSum", "x a", "y"), 7, onnx.tensor("a", np.array([0])))
    with pytest.raises(ModelError, match="has no attribute 'axes'"):
        run(onnx, onnx.node("ReduceSum", "x", "y", axes=[0]), 13)


def test_opsets_before_and_after_those_known(onnx):
    for opset in (1, 5, 29, 10**9):
        with pytest.raises(
            UnsupportedError, match=rf"^test: it is written in opset {opset}, known are opsets 6 to 28"
        ):
            run(onnx, onnx.node("Relu", "x", "y"), opset)


def test_one_way_broadcasting(onnx):
    """Before opset 7 the second operand's axes were matched from `axis` on."""
    x, y = run(
        onnx, onnx.node("Add", "x w", "y", broadcast=1, axis=1), 6, onnx.tensor("w", np.ones(3, np.float32))
    )
    assert y.tolist() == (x + 1).tolist()


def test_the_standard_domain_has_two_names(onnx):
    model = onnx.model([onnx.node("Relu", "x", "y", domain="ai.onnx")], [onnx.value("x", [2])])
    assert onnx.ops(onnx.read(model)) == ["math.relu"]


def test_constants_may_be_inputs_as_well(onnx):
    """Format version 3 listed initializers among the inputs."""
    inputs = [onnx.value("x", [2]), onnx.value("w", [2])]
    model = onnx.model(
        [onnx.node("Add", "x w", "y")], inputs, weights=[onnx.tensor("w", np.ones(2, np.float32))]
    )
    assert onnx.read(model).input_names == ("x",)


def test_nodes_out_of_order_are_sorted(onnx):
    nodes = [onnx.node("Neg", "a", "y"), onnx.node("Relu", "x", "a")]
    assert onnx.ops(onnx.read(onnx.model(nodes, [onnx.value("x", [2])]))) == ["math.relu", "math.neg"]


def test_objects_and_files_give_the_same_graph(onnx, tmp_path):
    model = onnx.model([onnx.node("Relu", "x", "y", "r")], [onnx.value("x", ["N", 2])])
    (tmp_path / "test").write_bytes(model.SerializeToString())
    graphs = [onnx.read(source) for source in (model, tmp_path / "test")]
    texts = [[(n.op, str(n.types[0]), n.location.names) for n in graph.nodes] for graph in graphs]
    assert texts[0] == texts[1]


def test_names_of_dimensions(onnx):
    extents = ["batch", "past + new", "2*heads", "a b", None, 3]
    model = onnx.model([onnx.node("Relu", "x", "y")], [onnx.value("x", extents), onnx.value("k", ["past"])])
    assert str(onnx.read(model).outputs[0].type) == "f32[batch, new + past, 2*heads, a_b, u0, 3]"
    bound = onnx.read(model, shapes={"x": (1, 8, 4, 5, 6, 3), "k": (5,)})
    assert bound.outputs[0].shape == (1, 8, 4, 5, 6, 3)
    with pytest.raises(
        ModelError, match=r"x: got 8 for dimension 1, which leaves new and past open in 'new \+ past'"
    ):
        onnx.read(model, shapes={"x": (1, 8, 4, 5, 6, 3)})


def test_extents_that_exporters_leave_without_a_name_are_independent(onnx):
    model = onnx.model(
        [onnx.node("Relu", "x", "y")], [onnx.value("x", ["?", "?", "-1", "-1", "None", "None", "n"])]
    )
    assert str(onnx.read(model).outputs[0].type) == "f32[u0, u1, u2, u3, u4, u5, n]"
    assert onnx.read(model, shapes={"x": range(1, 8)}).outputs[0].shape == (1, 2, 3, 4, 5, 6, 7)


def test_locations_name_the_file_and_the_node(onnx, tmp_path):
    nodes = [onnx.node("Relu", "x", "a", "named"), onnx.node("Neg", "a", "y")]
    (tmp_path / "m.onnx").write_bytes(onnx.model(nodes, [onnx.value("x", [2])]).SerializeToString())
    graph = onnx.read(tmp_path / "m.onnx")
    assert [str(n.location) for n in graph.nodes] == ["m.onnx:x", "m.onnx:named", "m.onnx:Neg_1"]


def test_sequence_inputs(onnx):
    info = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["N"])
    graph = onnx.read(onnx.model([onnx.node("SequenceLength", "x", "y")], [info]))
    assert str(graph.inputs[0].type) == "sequence<f32[N]>"
    assert evaluate(graph, {"x": [np.ones(2, np.float32)] * 3})["y"] == 3
