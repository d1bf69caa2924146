"""Functions: those a model brings, and those by which the standard defines ops."""

import numpy as np
import pytest
from onnx import AttributeProto, helper

from isthmus.compiler.diagnostics import ModelError, UnsupportedError
from isthmus.compiler.ops.interpret import evaluate

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
X = np.array([-2.0, 1.0, 3.0], np.float32)


def function(name, inputs, outputs, nodes, attributes=(), defaults=()):
    return helper.make_function(
        "own", name, inputs.split(), outputs.split(), nodes, OPSETS, list(attributes), list(defaults)
    )


def with_reference(node, name, attribute, kind=AttributeProto.FLOAT):
    node.attribute.append(AttributeProto(name=name, ref_attr_name=attribute, type=kind))
    return node


def model(onnx, nodes, *functions, inputs=None):
    inputs = [onnx.value("x", [3])] if inputs is None else inputs
    return onnx.model(nodes, inputs, functions=list(functions), opsets=OPSETS[1:])


def leaky(onnx, **given):
    body = [with_reference(onnx.node("LeakyRelu", "a", "b"), "alpha", "slope")]
    own = function("Leaky", "a", "b", body, defaults=[helper.make_attribute("slope", 0.5)])
    return model(onnx, [onnx.node("Leaky", "x", "y", "call", domain="own", **given)], own)


@pytest.mark.parametrize(("given", "slope"), [({}, 0.5), ({"slope": 0.25}, 0.25)])
def test_attributes_are_bound_or_default(onnx, given, slope):
    graph = onnx.read(leaky(onnx, **given))
    assert evaluate(graph, {"x": X})["y"].tolist() == np.where(X < 0, X * slope, X).tolist()


def test_an_attribute_that_nobody_gives_is_left_out(onnx):
    body = [with_reference(onnx.node("LeakyRelu", "a", "b"), "alpha", "slope")]
    own = function("Leaky", "a", "b", body, attributes=["slope"])
    graph = onnx.read(model(onnx, [onnx.node("Leaky", "x", "y", domain="own")], own))
    np.testing.assert_allclose(evaluate(graph, {"x": X})["y"], np.where(X < 0, X * 0.01, X), rtol=1e-6)


def test_functions_call_functions_and_locations_tell_the_way(onnx):
    inner = function("Inner", "a", "b", [onnx.node("Neg", "a", "b", "negate")])
    outer = function(
        "Outer", "a", "b", [onnx.node("Inner", "a", "t", "first", domain="own"), onnx.node("Relu", "t", "b")]
    )
    graph = onnx.read(model(onnx, [onnx.node("Outer", "x", "y", "call", domain="own")], outer, inner))
    assert evaluate(graph, {"x": X})["y"].tolist() == [2, 0, 0]
    assert [str(n.location) for n in graph.nodes][1:] == ["test:call/first/negate", "test:call/Relu_1"]


def test_names_inside_a_function_are_its_own(onnx):
    own = function("Own", "a", "b", [onnx.node("Neg", "a", "x"), onnx.node("Relu", "x", "b")])
    nodes = [onnx.node("Own", "x", "t", domain="own"), onnx.node("Add", "t x", "y")]
    assert evaluate(onnx.read(model(onnx, nodes, own)), {"x": X})["y"].tolist() == [0, 1, 3]


def test_operands_may_be_left_out(onnx):
    own = function("Clipped", "a low high", "b", [onnx.node("Clip", "a low high", "b")])
    graph = onnx.read(model(onnx, [onnx.node("Clipped", "x", "y", domain="own")], own))
    assert evaluate(graph, {"x": X})["y"].tolist() == X.tolist()


def test_operands_are_counted(onnx):
    own = function("Own", "a", "b", [onnx.node("Neg", "a", "b")])
    with pytest.raises(ModelError, match="test:call: Own takes 1 operands, got 2"):
        onnx.read(model(onnx, [onnx.node("Own", "x x", "y", "call", domain="own")], own))


def test_undefined_names_inside_a_function(onnx):
    own = function("Own", "a", "b", [onnx.node("Add", "a x", "b", "sum")])
    with pytest.raises(ModelError, match="test:Own/sum: operand 'x' is not defined"):
        onnx.read(model(onnx, [onnx.node("Own", "x", "y", domain="own")], own))


def test_unsupported_ops_inside_a_function_are_located(onnx):
    own = function("Own", "a", "b", [onnx.node("Frobnicate", "a", "b", "inside")])
    nodes = [onnx.node("Own", "x", "t", "one", domain="own"), onnx.node("Own", "t", "y", "two", domain="own")]
    with pytest.raises(UnsupportedError, match=r"test:one/inside: Frobnicate \(opset 18\) is not supported"):
        onnx.read(model(onnx, nodes, own))


def test_the_standards_bodies_are_used_where_no_converter_is(onnx):
    """SwiGLU has a body and no converter; its nodes are located under the one in the file."""
    halves = [onnx.value("a", [3]), onnx.value("b", [3])]
    graph = onnx.read(onnx.model([onnx.node("SwiGLU", "a b", "y", "glu")], halves, opset=28))
    places = {str(n.location) for n in graph.nodes if n.op.startswith("math")}
    assert places
    assert all(place.startswith("test:glu/") for place in places)
    result = evaluate(graph, {"a": X, "b": X * 2})["y"]
    np.testing.assert_allclose(result, X / (1 + np.exp(-X)) * X * 2, rtol=1e-5)
