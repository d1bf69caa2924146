"""bf16: products in bf16, everything else as it was, within what three digits allow."""

from typing import Any

import numpy as np

from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ir.types import bf16, f32
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import activation, attention, contract, convolution, get, math, norm, pool
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes import SIMPLIFY
from isthmus.compiler.passes.narrow import NARROW

CONV = {"strides": (1, 1), "pads": (1,) * 4, "dilations": (1, 1)}


def narrowed(build: Any, *types: str) -> tuple[Graph, Graph]:
    inputs = [graph_input(f"x{n}", parse_type(text)) for n, text in enumerate(types)]
    before = Graph(inputs, [build(*inputs)], ["y"])
    after = SIMPLIFY.run(NARROW.run(before).graph).graph
    verify(after, get)
    return before, after


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def assert_near(before: Graph, after: Graph) -> None:
    arguments = [normal(*value.type.static_shape) for value in before.inputs]
    (want,), (got,) = (run_graph(graph, arguments) for graph in (before, after))
    assert got.dtype == np.float32
    assert np.abs(got - want).max() <= 2e-2 * np.abs(want).max()


def conv(x: Any) -> Any:
    return convolution.conv(x, constant(normal(4, x.shape[1], 3, 3)), constant(normal(4)), **CONV)


def test_products_are_narrow_and_what_is_exact_between_them() -> None:
    def build(x):
        y = pool.max_pool(
            activation.relu(conv(x)), kernel=(2, 2), strides=(2, 2), pads=(0,) * 4, dilations=(1, 1)
        )
        return conv(y)

    before, after = narrowed(build, "f32[1, 3, 8, 8]")
    ops = [node.op for node in after.nodes if node.op not in ("constant", "input")]
    assert ops == ["math.cast", "nn.conv", "math.relu", "nn.max_pool", "nn.conv", "math.cast"]
    weights = [v.dtype for n in after.nodes if n.op == "nn.conv" for v in n.operands if v is not None]
    assert set(weights) == {bf16}
    assert_near(before, after)


def test_what_lies_between_products_is_kept_in_bf16_alone() -> None:
    """A residual is computed in f32 and rounded once; both who follow read that."""

    def build(x):
        y = activation.relu(math.add(conv(conv(x)), conv(x)))
        return math.add(conv(y), y)

    before, after = narrowed(build, "f32[1, 4, 8, 8]")
    (first, last) = (node for node in after.nodes if node.op == "math.add")
    assert [v.node.op for v in first.operands] == ["math.cast"] * 2
    assert first.result.dtype == f32
    (kept,) = (node for node in after.nodes if node.op == "math.relu")
    assert kept.result.dtype == bf16
    assert last.operands[1].node.operands == (kept.result,)
    assert_near(before, after)


def test_a_result_of_the_model_is_not_rounded_for_products() -> None:
    x = graph_input("x", parse_type("f32[4, 8]"))
    y = math.add(contract.matmul(x, constant(normal(8, 8))), constant(normal(8)))
    before = Graph([x], [y, contract.matmul(y, constant(normal(8, 8)))], ["y", "z"])
    after = SIMPLIFY.run(NARROW.run(before).graph).graph
    assert after.outputs[0].node.op == "math.add"
    assert after.outputs[0].dtype == f32


def test_sums_norms_and_softmax_stay_wide() -> None:
    def build(x):
        y = math.add(contract.matmul(x, constant(normal(8, 8))), x)
        return norm.softmax(norm.layer_norm(y, None, None, axis=1, epsilon=1e-5), axis=1)

    before, after = narrowed(build, "f32[4, 8]")
    types = {node.op: node.result.dtype for node in after.nodes}
    assert types["nn.matmul"] == bf16
    assert [types[op] for op in ("math.add", "nn.layer_norm", "nn.softmax")] == [f32] * 3
    assert_near(before, after)


def test_attention_takes_its_mask_along() -> None:
    mask = constant(np.triu(np.full((5, 5), -1e9, np.float32), 1))
    before, after = narrowed(
        lambda q, k, v: attention.attention(q, k, v, mask, scale=0.5), *["f32[1, 2, 5, 4]"] * 3
    )
    (node,) = (node for node in after.nodes if node.op == "nn.attention")
    assert {v.dtype for v in node.operands if v is not None} == {bf16}
    assert_near(before, after)


def test_other_types_are_left_alone() -> None:
    before, _ = narrowed(lambda x: contract.matmul(x, x), "f64[3, 3]")
    assert NARROW.run(before).graph.outputs[0].dtype.name == "f64"
    assert not NARROW.run(before).hits
