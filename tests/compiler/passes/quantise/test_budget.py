"""Mixed precision: what each value's rounding costs, and the fewest that are left unrounded for a budget."""

from typing import Any

import numpy as np
import pytest

from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ops import activation, contract, convolution, math, reduce
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.passes.quantise.budget import effects
from isthmus.compiler.passes.quantise.lowering import Decisions, Lowering
from isthmus.compiler.passes.quantise.points import find_points
from isthmus.compiler.passes.quantise.products import narrow_shifts
from isthmus.compiler.passes.quantise.ranges import choose
from isthmus.compiler.passes.quantise.statistics import gather, interpreted

from .graphs import graph_of, normal, quantise, samples_for

IMAGE = "f32[1, 6, 8, 8]"


def conv(x: Any, outputs: int, seed: int) -> Any:
    weights = normal(outputs, x.shape[1], 3, 3, seed=seed, scale=(9 * x.shape[1]) ** -0.5)
    bias = constant(normal(outputs, seed=seed, scale=0.2))
    return convolution.conv(
        x, constant(weights), bias, strides=(1, 1), pads=(1,) * 4, dilations=(1, 1), groups=1
    )


def network(x: Any) -> Any:
    """Two residual blocks and an average."""
    y = activation.relu(conv(x, 8, 1))
    for seed in (2, 4):
        inner = activation.relu(conv(y, 8, seed))
        y = activation.relu(math.add(y, conv(inner, 8, seed + 1)))
    return reduce.mean(conv(y, 10, 6), axes=(2, 3))


def test_costs_of_values_add_up_to_that_of_all() -> None:
    graph = graph_of(network, IMAGE)
    points, samples = find_points(graph), samples_for(graph, 8)
    seen = gather(graph, points, samples, interpreted)
    parameters = {home: choose(seen.histograms[home], "mse", False) for home in points.homes}
    whole = Lowering(
        graph, Decisions({v: parameters[home] for v, home in points.home.items()}, means=seen.means)
    )
    whole.run()
    costs = effects(graph.outputs, whole, points, samples, interpreted)
    assert len(costs) == 7  # the input, each product's operand, and the mean's
    predicted = -10 * np.log10(sum(cost[0] for cost in costs.values()))
    assert predicted == pytest.approx(quantise(graph, samples).decibels(), abs=1.5)


def test_a_higher_budget_is_met_with_more_products_in_floats() -> None:
    graph = graph_of(network, IMAGE)
    whole = quantise(graph, report=True).report
    assert whole is not None
    left = []
    for more in (2, 6):
        found = quantise(graph, budget=whole.worst + more)
        assert found.report is not None
        assert found.report.worst >= whole.worst + more
        left.append(found.ops.count("nn.conv"))
    assert 0 < left[0] < left[1] < 6


def test_a_budget_that_cannot_be_met_leaves_the_rest_in_integers() -> None:
    found = quantise(graph_of(network, IMAGE), budget=200.0, rest="bf16")
    assert found.report is not None
    assert 35 < found.report.worst < 200


def test_biases_make_up_for_weights_in_bf16() -> None:
    """Inputs far from a mean of 0 turn rounding errors of weights into a shift of the result."""
    graph = graph_of(lambda x: conv(x, 8, 1), IMAGE)
    samples = [{"x0": np.abs(sample["x0"]) + 3} for sample in samples_for(graph)]
    corrected, plain = (
        quantise(graph, samples, budget=200.0, rest="bf16", correct=correct).decibels()
        for correct in (True, False)
    )
    assert corrected > plain + 1


def test_only_constant_weights_have_biases_for_what_bf16_takes_from_them() -> None:
    """A product of two inputs, of which one meets weights elsewhere too, has none."""
    x, y = (graph_input(name, parse_type("f32[8, 8]")) for name in "xy")
    known, other = contract.matmul(x, constant(normal(8, 8))), contract.matmul(x, y)
    graph = Graph([x, y], [known, other], ["a", "b"])
    assert narrow_shifts(graph, {x: np.ones(8)}).keys() == {known.node}
