"""Graphs as exporters write them, and the one op each becomes; and look-alikes that must stay."""

import numpy as np
import pytest

from isthmus.compiler.ir import DTYPES, Graph, TensorType, Value, constant, graph_input, symbol
from isthmus.compiler.ir.text import parse_graph
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get, math, norm, reduce, shape
from isthmus.compiler.ops.contract import matmul
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes import RECOGNISE, SIMPLIFY

F32 = DTYPES["f32"]
B, S = symbol("batch"), symbol("sequence")


def tensor(name: str, *extents: object, dtype: str = "f32") -> Value:
    return graph_input(name, TensorType(DTYPES[dtype], extents))


def recognised(inputs: list[Value], output: Value) -> Graph:
    before = Graph(inputs, [output], ["y"])
    after = SIMPLIFY.run(RECOGNISE.run(SIMPLIFY.run(before).graph).graph).graph
    verify(after, get)
    return after


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes if node.op not in ("constant", "input")]


def heads(x: Value, perm: tuple[int, ...]) -> Value:
    return shape.transpose(shape.reshape(x, shape=(*x.shape[:-1], 4, 8)), perm=perm)


def attention_inputs() -> list[Value]:
    return [tensor(name, B, S, 32) for name in "qkv"]


def finish(weights: Value, v: Value) -> Value:
    mixed = shape.transpose(matmul(weights, heads(v, (0, 2, 1, 3))), perm=(0, 2, 1, 3))
    return shape.reshape(mixed, shape=(B, S, 32))


ATTENTION = [
    *("shape.reshape", "shape.transpose") * 3,
    *("nn.attention", "shape.transpose", "shape.reshape"),
]


def test_torch_attention_with_an_added_mask() -> None:
    q, k, v = inputs = attention_inputs()
    mask = tensor("mask", B, 1, 1, S)
    keys = shape.transpose(heads(k, (0, 2, 1, 3)), perm=(0, 1, 3, 2))
    scores = math.mul(matmul(heads(q, (0, 2, 1, 3)), keys), 0.125)
    after = recognised([*inputs, mask], finish(norm.softmax(math.add(scores, mask), axis=3), v))
    assert ops(after) == ATTENTION
    (node,) = (node for node in after.nodes if node.op == "nn.attention")
    assert node.attributes["scale"] == 0.125
    assert node.operands[3] is mask
    assert [v.node.attributes["perm"] for v in node.operands[:3]] == [(0, 2, 1, 3)] * 3


def test_torch_sdpa_splits_the_scale_and_guards_against_nan() -> None:
    q, k, v = inputs = attention_inputs()
    keep = tensor("keep", B, 1, S, S, dtype="bool")
    root = float(np.float32(8**-0.25))
    scores = matmul(
        math.mul(heads(q, (0, 2, 1, 3)), root),
        math.mul(shape.transpose(heads(k, (0, 2, 1, 3)), perm=(0, 1, 3, 2)), root),
    )
    scores = math.where(keep, scores, constant(np.float32(-np.inf)))
    weights = norm.softmax(scores, axis=3)
    weights = math.where(math.isnan(weights), constant(np.float32(0)), weights)
    after = recognised([*inputs, keep], finish(weights, v))
    assert ops(after) == ATTENTION
    (node,) = (node for node in after.nodes if node.op == "nn.attention")
    assert node.attributes["scale"] == pytest.approx(8**-0.5)
    assert node.operands[3] is keep


def test_a_constant_triangle_is_causal() -> None:
    q, k, v = (tensor(name, 1, 2, 5, 8) for name in "qkv")
    triangle = np.where(np.tri(5, dtype=bool), 0, np.finfo(np.float32).min).astype(np.float32)
    scores = matmul(q, shape.transpose(k, perm=(0, 1, 3, 2)))
    weights = norm.softmax(math.add(scores, constant(triangle.reshape(1, 1, 5, 5))), axis=3)
    after = recognised([q, k, v], matmul(weights, v))
    assert ops(after) == ["nn.attention"]
    assert after.outputs[0].node.attributes["causal"] is True
    assert len(after.outputs[0].node.operands) == 3


def test_attention_over_three_axes() -> None:
    q, k, v = (tensor(name, 6, 5, 8) for name in "qkv")
    weights = norm.softmax(math.div(matmul(q, shape.transpose(k, perm=(0, 2, 1))), 3.0), axis=2)
    assert ops(recognised([q, k, v], matmul(weights, v))).count("nn.attention") == 1


def test_attention_whose_weights_are_asked_for_stays() -> None:
    q, k, v = (tensor(name, 1, 2, 5, 8) for name in "qkv")
    weights = norm.softmax(matmul(q, shape.transpose(k, perm=(0, 1, 3, 2))), axis=3)
    graph = Graph([q, k, v], [matmul(weights, v), weights], ["y", "weights"])
    assert "nn.attention" not in ops(RECOGNISE.run(graph).graph)


@pytest.mark.parametrize("axis", [1, 2])
def test_softmax_over_another_axis_is_no_attention(axis: int) -> None:
    q, k, v = (tensor(name, 1, 5, 5, 8) for name in "qkv")
    weights = norm.softmax(matmul(q, shape.transpose(k, perm=(0, 1, 3, 2))), axis=axis)
    assert "nn.attention" not in ops(recognised([q, k, v], matmul(weights, v)))


def test_a_weak_fill_is_no_mask() -> None:
    q, k, v = (tensor(name, 1, 2, 5, 8) for name in "qkv")
    keep = tensor("keep", 5, 5, dtype="bool")
    scores = math.where(keep, matmul(q, shape.transpose(k, perm=(0, 1, 3, 2))), constant(np.float32(-1e4)))
    assert "nn.attention" not in ops(recognised([q, k, v, keep], matmul(norm.softmax(scores, axis=3), v)))


def test_layer_norm_as_torch_decomposes_it() -> None:
    x = tensor("x", B, S, 32)
    centred = math.sub(x, reduce.mean(x, axes=(2,), keepdims=True))
    again = math.sub(x, reduce.mean(x, axes=(2,), keepdims=True))
    variance = reduce.mean(math.power(again, constant(np.float32(2))), axes=(2,), keepdims=True)
    y = math.div(centred, math.sqrt(math.add(variance, 1e-5)))
    scale, bias = (constant(np.linspace(low, 1, 32, dtype=np.float32)) for low in (0.5, -1))
    after = recognised([x], math.add(math.mul(y, scale), bias))
    assert ops(after) == ["nn.layer_norm"]
    assert after.outputs[0].node.attributes["epsilon"] == pytest.approx(1e-5)


def test_rms_norm_as_llama_writes_it() -> None:
    x = tensor("x", B, S, 32)
    power = reduce.mean(math.power(x, constant(np.float32(2))), axes=(2,), keepdims=True)
    y = math.mul(x, math.div(constant(np.float32(1)), math.sqrt(math.add(power, 1e-6))))
    after = recognised([x], math.mul(constant(np.linspace(0.5, 1, 32, dtype=np.float32)), y))
    assert ops(after) == ["nn.rms_norm"]


def test_a_norm_over_leading_axes_stays() -> None:
    x = tensor("x", 4, 8)
    power = reduce.mean(math.mul(x, x), axes=(0,), keepdims=True)
    assert "nn.rms_norm" not in ops(recognised([x], math.div(x, math.sqrt(math.add(power, 1e-6)))))


def gelu(x: Value, root: float, half: float) -> Value:
    return math.mul(math.mul(x, half), math.add(math.erf(math.div(x, root)), 1.0))


@pytest.mark.parametrize(
    ("dtype", "root", "half", "seen"),
    [
        ("f32", 2**0.5, 0.5, True),
        ("f16", 2**0.5, 0.5, True),
        ("bf16", 2**0.5, 0.5, True),
        ("f64", 2**0.5, 0.5, True),
        ("f64", float(np.float32(2**0.5)), 0.5, True),
        ("f32", 1.4143, 0.5, False),
        ("f32", 2**0.5, 0.51, False),
    ],
)
def test_gelu_takes_its_own_constants_only(dtype: str, root: float, half: float, seen: bool) -> None:
    x = tensor("x", B, 7, dtype=dtype)
    assert (ops(recognised([x], gelu(x, root, half))) == ["math.gelu"]) is seen


def test_hard_swish_from_its_pieces() -> None:
    x = tensor("x", 9)
    six = math.minimum(math.maximum(math.add(x, 3.0), 0.0), 6.0)
    assert ops(recognised([x], math.mul(x, math.div(six, 6.0)))) == ["math.hard_swish"]


def test_meaning_is_kept_on_extreme_values() -> None:
    text = (
        'graph "g"(%x: f32[9]) {'
        "%one = constant f32[](1) %n = math.neg(%x) : f32[9] %e = math.exp(%n) : f32[9]"
        "%s = math.add(%e, %one) : f32[9] %sigmoid = math.div(%one, %s) : f32[9]"
        "%silu = math.mul(%x, %sigmoid) : f32[9] return %sigmoid as a, %silu as b }"
    )
    before = parse_graph(text)
    after = RECOGNISE.run(SIMPLIFY.run(before).graph).graph
    assert ops(after)[0] == "math.sigmoid"
    x = np.array([0, -0.0, 1e30, -1e30, np.inf, np.nan, 88, -88, -104], np.float32)
    for want, got in zip(run_graph(before, [x]), run_graph(after, [x]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)
