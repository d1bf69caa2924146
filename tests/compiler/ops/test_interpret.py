"""The reference interpreter where shapes are symbolic: attributes take the extents that the arguments have."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import CompileError, UnsupportedError
from isthmus.compiler.ir import Graph, Location, Node, TensorType, Value, graph_input, symbol
from isthmus.compiler.ir.types import boolean, f32, i64
from isthmus.compiler.ops import dynamic, math, shape
from isthmus.compiler.ops.interpret import evaluate

N, M = symbol("N"), symbol("M")


def graph(*outputs: Value, inputs: tuple[Value, ...]) -> Graph:
    return Graph(inputs, outputs, [f"y{n}" for n in range(len(outputs))])


def test_symbols_in_attributes_are_bound_by_the_inputs() -> None:
    x = graph_input("x", TensorType(f32, (N, M, 4)))
    flat = shape.reshape(x, shape=(N * M, 4))
    wide = shape.expand(shape.reshape(flat, shape=(1, N * M * 4)), shape=(N + 1, N * M * 4))
    out = evaluate(graph(flat, wide, inputs=(x,)), {"x": np.ones((2, 3, 4), np.float32)})
    assert out["y0"].shape == (6, 4)
    assert out["y1"].shape == (3, 24)


def test_symbols_of_data_dependent_results_are_bound_when_these_are_known() -> None:
    x = graph_input("x", TensorType(boolean, (N,)))
    found = dynamic.nonzero(x)
    flat = shape.reshape(found, shape=(found.shape[1],))
    total = math.mul(flat, shape.expand(np.int64(2), shape=flat.shape))
    out = evaluate(graph(total, inputs=(x,)), [np.array([True, False, True, True])])
    assert out["y0"].tolist() == [0, 4, 6]


def test_inputs_that_are_missing_or_unknown_are_named() -> None:
    x = graph_input("x", TensorType(i64, (2,)))
    with pytest.raises(CompileError, match="x: the graph has this input"):
        evaluate(graph(x, inputs=(x,)), {})
    with pytest.raises(CompileError, match=r"z: no such input; the inputs are: x"):
        evaluate(graph(x, inputs=(x,)), {"x": np.zeros(2, np.int64), "z": np.zeros(1)})


def test_ops_that_nobody_declared_are_named() -> None:
    x = graph_input("x", TensorType(i64, (2,)))
    node = Node("stranger.op", (x,), {}, (x.type,), location=Location("m.onnx", ("first",)))
    with pytest.raises(UnsupportedError, match=r"^m.onnx:first: there is no op 'stranger.op' here; import"):
        evaluate(graph(node.result, inputs=(x,)), [np.zeros(2, np.int64)])
