"""What float ops become in integers, and how near the result stays; all by numpy meanings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir import constant
from isthmus.compiler.ir.location import Location, at
from isthmus.compiler.ops import (
    activation,
    attention,
    contract,
    convolution,
    gather,
    math,
    norm,
    pool,
    reduce,
    shape,
)
from isthmus.compiler.ops.interpret import run_graph

from .graphs import graph_of, normal, quantise, samples_for

CONV = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
POOL = {"kernel": (2, 2), "strides": (2, 2), "dilations": (1, 1)}
IMAGE = "f32[1, 4, 6, 6]"


def conv(x: Any, outputs: int = 4, groups: int = 1, seed: int = 3, scale: float = 0.3) -> Any:
    weights = normal(outputs, x.shape[1] // groups, 3, 3, seed=seed, scale=scale)
    return convolution.conv(x, constant(weights), constant(normal(outputs, seed=seed)), **CONV, groups=groups)


def dense(x: Any, outputs: int = 6) -> Any:
    return contract.matmul(x, constant(normal(x.shape[-1], outputs, scale=0.3)))


CASES: dict[str, tuple[Callable[..., Any], tuple[str, ...], str]] = {
    "conv, relu": (lambda x: activation.relu(conv(x)), (IMAGE,), "quant.conv math.add math.relu"),
    "conv, clip": (
        lambda x: math.clip(conv(x), np.float32(0), np.float32(1)),
        (IMAGE,),
        "quant.conv math.add math.clip",
    ),
    "depthwise": (lambda x: conv(x, groups=4), (IMAGE,), "quant.conv math.add"),
    "dense with bias": (
        lambda x: math.add(dense(x), constant(normal(6))),
        ("f32[3, 8]",),
        "quant.matmul math.add",
    ),
    "residual": (
        lambda x: activation.relu(math.add(conv(x), conv(x, seed=5))),
        (IMAGE,),
        "quant.conv quant.conv math.add quant.requantize_fixed quant.accumulate math.add math.relu",
    ),
    "residual beside coarse sums": (
        lambda x: math.add(x, conv(x, x.shape[1], scale=4)),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed quant.add",
    ),
    "residual beside sums of steps too fine for i32": (
        lambda x: math.add(x, conv(x, x.shape[1], scale=1e-9)),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed quant.add",
    ),
    "difference": (
        lambda x: math.sub(conv(x), conv(x, seed=5)),
        (IMAGE,),
        "quant.conv quant.conv math.add quant.requantize_fixed quant.accumulate math.add",
    ),
    "product": (
        lambda x: math.mul(conv(x), conv(x, seed=5)),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed quant.conv math.add quant.requantize_fixed quant.mul",
    ),
    "constant summand": (
        lambda x: math.add(pool.max_pool(conv(x), **POOL, pads=(0,) * 4), constant(normal(4, 3, 3))),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed nn.max_pool quant.add",
    ),
    "gelu": (
        lambda x: activation.gelu(dense(x)),
        ("f32[3, 8]",),
        "quant.matmul math.add quant.requantize_fixed quant.lookup",
    ),
    "shifted and scaled": (
        lambda x: math.mul(math.add(activation.silu(dense(x)), np.float32(0.5)), np.float32(2)),
        ("f32[3, 8]",),
        "quant.matmul math.add quant.requantize_fixed quant.lookup quant.lookup",
    ),
    "pooling": (
        lambda x: pool.avg_pool(
            pool.max_pool(conv(x), **POOL, pads=(0,) * 4), **POOL, pads=(1,) * 4, count_include_pad=True
        ),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed nn.max_pool quant.sum_pool math.add",
    ),
    "global mean, dense": (
        lambda x: dense(shape.reshape(reduce.mean(conv(x), axes=(2, 3)), shape=(1, 4))),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed math.cast reduce.sum math.add quant.requantize_fixed "
        "shape.reshape quant.matmul math.add",
    ),
    "concat": (
        lambda x: shape.concat(conv(x), activation.relu(conv(x, seed=5)), axis=1),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed quant.conv math.add quant.requantize_fixed math.clip shape.concat",
    ),
    "moves": (
        lambda x: shape.pad(
            shape.transpose(shape.slice_of(conv(x), starts=(0, 0, 1, 1), sizes=(1, 4, 4, 4), steps=(1,) * 4),
                            perm=(0, 2, 3, 1)), pads=(0, 1, 1, 0) * 2
        ),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed shape.slice shape.transpose shape.pad",
    ),
    "softmax": (
        lambda x: norm.softmax(dense(x), axis=1),
        ("f32[3, 8]",),
        "quant.matmul math.add quant.requantize_fixed quant.softmax",
    ),
    "layer norm": (
        lambda x: norm.layer_norm(dense(x), constant(normal(6)), constant(normal(6, seed=4)), axis=1, epsilon=1e-5),
        ("f32[3, 8]",),
        "quant.matmul math.add quant.requantize_fixed quant.layer_norm",
    ),
    "rms norm": (
        lambda x: norm.rms_norm(dense(x), constant(normal(6)), axis=1, epsilon=1e-5),
        ("f32[3, 8]",),
        "quant.matmul math.add quant.requantize_fixed quant.rms_norm",
    ),
    "batch norm that stands alone": (
        lambda x: math.add(math.mul(pool.max_pool(conv(x), **POOL, pads=(0,) * 4), constant(normal(4, 1, 1))),
                           constant(normal(4, 1, 1, seed=9))),
        (IMAGE,),
        "quant.conv math.add quant.requantize_fixed nn.max_pool math.cast math.mul math.add",
    ),
    "embedding": (
        lambda ids: math.add(gather.gather(constant(normal(5, 8)), ids, axis=0), constant(normal(3, 8, seed=2))),
        ("i64[3]",),
        "shape.gather quant.add",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_ops_become_integers(name: str) -> None:
    build, types, ops = CASES[name]
    found = quantise(graph_of(build, *types))
    assert found.core == ops.split()
    assert found.decibels() > 30


def test_attention_is_integers_throughout_and_masks_stay_exact() -> None:
    def build(x, keep):
        def heads(seed: int):
            y = contract.matmul(x, constant(normal(8, 8, seed=seed)))
            return shape.transpose(shape.reshape(y, shape=(1, 6, 2, 4)), perm=(0, 2, 1, 3))

        return attention.attention(heads(1), heads(2), heads(3), keep, scale=0.5, causal=True)

    found = quantise(graph_of(build, "f32[1, 6, 8]", "bool[1, 1, 1, 6]"))
    assert "nn.matmul" not in found.ops
    assert found.ops.count("quant.softmax") == 1
    (softmax,) = (node for node in found.after.nodes if node.op == "quant.softmax")
    assert softmax.operands[2] is not None
    assert found.decibels() > 25


def test_additive_masks_are_seen() -> None:
    far = np.triu(np.full((4, 4), -1e9, np.float32), 1)
    found = quantise(
        graph_of(lambda x: norm.softmax(math.add(dense(x, 4), constant(far)), axis=1), "f32[4, 8]")
    )
    (softmax,) = (node for node in found.after.nodes if node.op == "quant.softmax")
    assert softmax.operands[2] is not None
    assert softmax.operands[2].constant.tolist() == (far == 0).tolist()  # type: ignore[union-attr]
    assert found.decibels() > 30


def test_the_only_borders_are_the_models_own() -> None:
    found = quantise(graph_of(lambda x: activation.relu(conv(activation.relu(conv(x)))), IMAGE))
    assert found.ops[0] == "quant.quantize"
    assert found.ops[-2:] == ["quant.dequantize", "math.relu"]


def test_no_range_cuts_off_outputs_that_are_products() -> None:
    graph = graph_of(dense, "f32[3, 8]")
    found = quantise(graph)
    assert "quant.requantize_fixed" not in found.ops
    (weights,) = (node.operands[1].constant for node in graph.nodes if node.op == "nn.matmul")  # type: ignore[union-attr]
    furthest = np.sign(weights.T[:3])  # further than samples come, of elements that are within theirs
    (want,), (got,) = (run_graph(each, [furthest]) for each in (graph, found.after))
    assert want.max() > 1.5 * max(run_graph(graph, list(s.values()))[0].max() for s in found.samples)
    np.testing.assert_allclose(got, want, atol=0.02 * want.max())


def test_unknown_ops_stay_in_floats_between_borders() -> None:
    found = quantise(graph_of(lambda x: conv(reduce.cumsum(conv(x), axis=3)), IMAGE))
    assert found.ops.count("reduce.cumsum") == 1
    assert found.ops.count("quant.quantize") == 2
    assert found.ops.count("quant.dequantize") == 2


def two_layers(x: Any) -> Any:
    with at(Location("m", ("first",))):
        y = activation.relu(conv(x))
    with at(Location("m", ("second",))):
        return conv(y)


def test_named_layers_stay_in_floats() -> None:
    found = quantise(graph_of(two_layers, IMAGE), floats=("second",))
    assert (found.ops.count("quant.conv"), found.ops.count("nn.conv")) == (1, 1)
    with pytest.raises(
        UnsupportedError, match=r"name 'third', which no quantised node comes from; .* first, second"
    ):
        quantise(graph_of(two_layers, IMAGE), floats=("third",))


def test_a_budget_leaves_costly_layers_in_floats() -> None:
    graph = graph_of(two_layers, IMAGE)
    plain = quantise(graph, report=True)
    assert plain.report is not None
    assert plain.report.worst < 55
    held = quantise(graph, budget=55.0)
    assert held.ops.count("nn.conv") >= 1


def test_without_samples_every_product_is_named() -> None:
    with pytest.raises(UnsupportedError) as caught:
        quantise(graph_of(two_layers, IMAGE), [])
    assert [problem.location for problem in caught.value.problems] == ["m:first", "m:second"]
    assert "or compile with precision bf16" in str(caught.value)


def test_reports_name_layers_and_scores_before_a_softmax() -> None:
    def build(x):
        with at(Location("m", ("scores",))):
            y = dense(x)
        return norm.softmax(y, axis=1)

    found = quantise(graph_of(build, "f32[3, 8]"), report=True)
    assert found.report is not None
    assert list(found.report.outputs) == ["y0", "y0 before nn.softmax"]
    assert next(layer.name for layer in found.report.layers) == "m:scores"
    assert "SQNR dB" in str(found.report)
    assert found.report.to_json()["samples"] == 4


def test_biases_make_up_for_rounded_weights() -> None:
    """Inputs far from a mean of 0 turn rounding errors of weights into a shift of the result."""
    graph = graph_of(lambda x: conv(x, outputs=8), IMAGE)
    samples = [{"x0": np.abs(sample["x0"]) + 3} for sample in samples_for(graph)]
    corrected = quantise(graph, samples, ranges="minmax").decibels()
    assert corrected > quantise(graph, samples, ranges="minmax", correct=False).decibels() + 1


def test_sums_that_could_overflow_stay_in_floats() -> None:
    weights = constant(np.ones((200_000, 1), np.float32))
    found = quantise(graph_of(lambda x: contract.matmul(x, weights), "f32[1, 200000]"))
    assert "nn.matmul" in found.ops
