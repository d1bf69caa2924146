"""Normalisation and other per-channel arithmetic vanish into weights, and only where they may."""

import numpy as np
import pytest

from isthmus.compiler.ir import DTYPES, Graph, TensorType, Value, constant, graph_input, symbol
from isthmus.compiler.ops import math, norm, shape
from isthmus.compiler.ops.contract import matmul
from isthmus.compiler.ops.convolution import conv
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes import FOLD_AFFINE, SIMPLIFY

F32 = DTYPES["f32"]
RNG = np.random.default_rng(7)
WINDOW = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}


def weights(*extents: int, low: float = -1.0) -> Value:
    return constant(RNG.uniform(low, 1.0, extents).astype(np.float32))


def image(*extents: object) -> Value:
    return graph_input("x", TensorType(F32, extents or (2, 3, 6, 6)))


def ops_after(x: Value, *outputs: Value) -> list[str]:
    """Ops left but constants and inputs, after checking that the outputs kept their values."""
    before = Graph([x], outputs, [f"y{n}" for n in range(len(outputs))])
    after = SIMPLIFY.run(FOLD_AFFINE.run(SIMPLIFY.run(before).graph).graph).graph
    data = RNG.standard_normal([d if isinstance(d, int) else 2 for d in x.shape]).astype(np.float32)
    for want, got in zip(run_graph(before, [data]), run_graph(after, [data]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    return [node.op for node in after.nodes if node.op not in ("constant", "input")]


def batch_norm(x: Value) -> Value:
    c = x.shape[1]
    assert isinstance(c, int)
    return norm.batch_norm(x, weights(c), weights(c), weights(c), weights(c, low=0.2), epsilon=1e-3)


@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_after_conv_is_free(bias: bool) -> None:
    x = image()
    y = conv(x, weights(4, 3, 3, 3), weights(4) if bias else None, **WINDOW)
    assert ops_after(x, math.exp(batch_norm(y))) == ["nn.conv", "math.exp"]


def test_large_weights_are_scaled_in_two_parts(monkeypatch) -> None:
    monkeypatch.setattr("isthmus.compiler.passes.affine._LARGE", 0)
    x = image()
    y = conv(x, weights(5, 3, 3, 3), weights(5), **WINDOW)
    assert ops_after(x, math.exp(batch_norm(y))) == ["nn.conv", "math.exp"]


def test_batch_norm_in_pieces_is_free() -> None:
    x = image()
    y = conv(x, weights(4, 3, 3, 3), **WINDOW)
    mean, variance = weights(4, 1, 1), weights(1, 4, 1, 1, low=0.2)
    y = math.sub(y, mean)
    y = math.mul(y, math.reciprocal(math.sqrt(math.add(variance, 1e-3))))
    y = math.add(math.mul(weights(4, 1, 1), y), weights(4, 1, 1))
    assert ops_after(x, y) == ["nn.conv"]


def test_batch_norm_alone_is_a_product_and_a_sum() -> None:
    x = image(symbol("N"), 3, 4)
    assert ops_after(x, batch_norm(x)) == ["math.mul", "math.add"]


def test_a_conv_that_others_read_stays_as_it_is() -> None:
    x = image()
    y = conv(x, weights(4, 3, 3, 3), **WINDOW)
    assert ops_after(x, math.mul(y, weights(4, 1, 1)), math.exp(y)) == ["nn.conv", "math.mul", "math.exp"]


@pytest.mark.parametrize("extents", [(6, 6), (4, 6, 6), (1, 1, 4, 1, 1), (2, 4, 1, 1)])
def test_what_varies_along_other_axes_stays(extents: tuple[int, ...]) -> None:
    x = image()
    y = conv(x, weights(4, 3, 3, 3), **WINDOW)
    assert ops_after(x, math.mul(y, weights(*extents))) == ["nn.conv", "math.mul"]


def test_an_offset_before_padding_stays() -> None:
    x = image()
    y = conv(math.add(x, weights(3, 1, 1)), weights(4, 3, 3, 3), **WINDOW)
    assert ops_after(x, y) == ["math.add", "nn.conv"]


def test_preprocessing_before_an_unpadded_conv_is_free() -> None:
    x = image()
    scaled = math.div(
        math.sub(x, weights(3, 1, 1)), constant(np.array([0.3, 0.4, 0.5], np.float32).reshape(3, 1, 1))
    )
    y = conv(
        math.mul(math.add(x, weights(3, 1, 1)), weights(3, 1, 1)),
        weights(4, 3, 2, 2),
        **{**WINDOW, "pads": (0,) * 4},
    )
    assert ops_after(x, y) == ["nn.conv"]
    assert ops_after(x, scaled) == ["math.add", "math.div"]


def test_zero_padding_becomes_the_convs_own() -> None:
    x = image()
    padded = shape.pad(x, pads=(0, 0, 1, 2, 0, 0, 0, 1))
    assert ops_after(x, conv(padded, weights(4, 3, 3, 3), **WINDOW)) == ["nn.conv"]
    ones = shape.pad(x, constant(np.float32(1)), pads=(0, 0, 1, 2, 0, 0, 0, 1))
    assert ops_after(x, conv(ones, weights(4, 3, 3, 3), **WINDOW)) == ["shape.pad", "nn.conv"]
    channels = shape.pad(x, pads=(0, 1, 0, 0, 0, 0, 0, 0))
    assert ops_after(x, conv(channels, weights(4, 4, 3, 3), **WINDOW)) == ["shape.pad", "nn.conv"]


def test_a_matrix_product_keeps_its_bias_as_an_addition() -> None:
    x = image(2, 3, 8)
    y = math.mul(math.add(matmul(x, weights(8, 5)), weights(5)), 0.125)
    assert ops_after(x, y) == ["nn.matmul", "math.add"]


def test_a_product_of_two_activations_keeps_its_scale() -> None:
    x = image(2, 3, 3)
    assert ops_after(x, math.mul(matmul(x, x), 0.3)) == ["nn.matmul", "math.mul"]


def test_integers_are_left_alone() -> None:
    x = graph_input("x", TensorType(DTYPES["i32"], (3, 4)))
    y = math.mul(matmul(x, constant(np.ones((4, 2), np.int32))), constant(np.int32(3)))
    graph = Graph([x], [y], ["y"])
    assert FOLD_AFFINE.run(graph).graph is graph
