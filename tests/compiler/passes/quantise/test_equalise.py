"""Channels that differ by decades between depthwise and other convolutions, evened out without a change of meaning."""

from typing import Any

import numpy as np
import pytest

from isthmus.compiler.ir import constant
from isthmus.compiler.ops import activation, convolution, math
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes.quantise.equalise import equalised
from isthmus.compiler.passes.quantise.points import find_points
from isthmus.compiler.passes.quantise.statistics import gather, interpreted

from .graphs import graph_of, normal, quantise, samples_for

IMAGE = "f32[1, 3, 8, 8]"
FACTORS = (10.0 ** np.linspace(-2, 2, 8)).astype(np.float32)


def conv(x: Any, w: np.ndarray, bias: np.ndarray, groups: int = 1) -> Any:
    pads = (w.shape[2] // 2,) * 4
    return convolution.conv(
        x, constant(w), constant(bias), strides=(1, 1), pads=pads, dilations=(1, 1), groups=groups
    )


def badly_scaled(x: Any, clip: bool = False) -> Any:
    """A pointwise, a depthwise and a pointwise convolution, the tensors between them scaled by channel."""
    column = FACTORS.reshape(-1, 1, 1, 1)
    y = conv(x, normal(8, 3, 1, 1) * column, normal(8) * FACTORS)
    y = math.clip(y, np.float32(0), np.float32(300)) if clip else activation.relu(y)
    y = conv(y, normal(8, 1, 3, 3) / column * column[::-1], normal(8, seed=2) * FACTORS[::-1], groups=8)
    return conv(activation.relu(y), normal(5, 8, 1, 1) / FACTORS[::-1].reshape(1, -1, 1, 1), normal(5))


@pytest.mark.parametrize("clip", [False, True])
def test_factors_move_and_the_meaning_stays(clip: bool) -> None:
    graph = graph_of(lambda x: badly_scaled(x, clip), IMAGE)
    samples = samples_for(graph)
    seen = gather(graph, find_points(graph), samples, interpreted)
    even = equalised(graph, seen.largest)
    assert even is not graph
    for sample in samples:
        (want,), (got,) = (run_graph(g, list(sample.values())) for g in (graph, even))
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * np.abs(want).max())
    after = gather(even, find_points(even), samples, interpreted)
    depthwise = next(node for node in even.nodes if node.op == "nn.conv" and node.attributes["groups"] > 1)
    sizes = after.largest[depthwise.operands[0]].max(0)  # type: ignore[index]
    assert sizes.max() / sizes.min() < (40 if clip else 4.01)


def test_quantising_needs_it() -> None:
    graph = graph_of(badly_scaled, IMAGE)
    even, uneven = quantise(graph).decibels(), quantise(graph, equalise=False).decibels()
    assert even > 30
    assert uneven < even - 10


def test_channels_that_some_samples_hardly_reach_are_not_taken_for_small() -> None:
    graph = graph_of(badly_scaled, IMAGE)
    samples = samples_for(graph)
    samples[0] = {"x0": samples[0]["x0"] * 1e3}
    for order in (samples, samples[::-1]):
        seen = gather(graph, find_points(graph), order, interpreted)
        assert equalised(graph, seen.largest) is graph


def test_even_channels_are_left_alone() -> None:
    graph = graph_of(
        lambda x: conv(
            activation.relu(conv(x, normal(8, 3, 1, 1), normal(8))), normal(5, 8, 1, 1), normal(5)
        ),
        IMAGE,
    )
    seen = gather(graph, find_points(graph), samples_for(graph), interpreted)
    assert equalised(graph, seen.largest) is graph
