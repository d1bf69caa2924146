"""Mixed precision for a budget: which values to leave unrounded so that the outputs have the signal to noise asked for.

What rounding costs is seen at the outputs, value by value, in a float graph in which each can be rounded by itself; the
errors of several are about the sum of theirs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...ir.graph import Graph, Node, Value, constant, graph_input
from ...ir.types import TensorType, f32, i8
from ...ops import math, quant, shape
from .lowering import Lowering
from .parameters import Parameters
from .points import ABSORBING, Points
from .statistics import Arrays, Runner

_ROUNDS = 8
"""Attempts, each leaving more values unrounded."""

_GAIN = 0.25
"""Decibels that an attempt must gain: with less, what is computed in instead loses as much as 8 bits."""

_SWITCHES = "which values are rounded"


def within(
    budget: float,
    whole: Lowering,
    quantised: Graph,
    points: Points,
    ends: Sequence[Value],
    samples: Sequence[Arrays],
    runner: Runner,
    measured: Callable[[Lowering, Graph], float],
) -> tuple[Lowering, Graph]:
    """The lowering and its graph with as many of the dearest values unrounded as give the outputs `budget` dB, or as
    far as that helps. `whole`: with as few nodes in floats as can be; `measured`: dB of the worst output."""
    best = measured(whole, quantised)
    if best >= budget:
        return whole, quantised
    costs = effects(ends, whole, points, samples, runner)
    found, aim = (whole, quantised), budget
    for _ in range(_ROUNDS):
        floats = whole.decisions.floats | _without_rounding(whole, points, _dearest(costs, aim))
        lowering = Lowering(whole.graph, replace(whole.decisions, floats=floats))
        quantised = lowering.run()
        reached = measured(lowering, quantised)
        if reached < best + _GAIN:
            break
        found, best = (lowering, quantised), reached
        if best >= budget:
            break
        aim += budget - best
    return found


def _dearest(costs: Mapping[Value, np.ndarray], aim: float) -> list[Value]:
    """The fewest values without whose rounding what the others cost leaves every output `aim` dB: the dearest ones."""
    left, spared = dict(costs), []
    while left:
        total = np.sum(list(left.values()), 0)
        worst = int(np.argmax(total))
        if total[worst] <= 10 ** (-aim / 10):
            break
        spared.append(max(left, key=lambda value: left[value][worst]))
        del left[spared[-1]]
    return spared


def _without_rounding(whole: Lowering, points: Points, spared: Sequence[Value]) -> frozenset[Node]:
    """The nodes that have to compute in floats for these values not to be rounded: all that read one, and what makes
    one in 8 bits."""
    floats: set[Node] = set()
    for value, home in points.home.items():
        if home not in spared:
            continue
        if not whole.has_reals(home):
            floats.add(value.node)
        for user, _ in whole.graph.users.get(value, ()):
            if user.op not in ABSORBING or points.home.get(user.result) is not home:
                floats.update(_to_rounding(whole, user))
    return frozenset(floats)


def _to_rounding(whole: Lowering, node: Node) -> Iterator[Node]:
    """A node and what follows until sums become 8-bit numbers: at a bias, a residual or a clip behind it. If that were
    left in integers, what the node gives in floats would be rounded for it."""
    numbers, outputs = whole.numbers(), whole.graph.outputs
    yield node
    while len(node.results) == 1 and node.result not in numbers and node.result not in outputs:
        users = whole.graph.users.get(node.result, ())
        if len(users) != 1:
            break
        node = users[0][0]
        yield node


def effects(
    ends: Sequence[Value], whole: Lowering, points: Points, samples: Sequence[Arrays], runner: Runner
) -> dict[Value, np.ndarray]:
    """For each value that has a range of its own, at each of `ends`: the error where it alone is 8 bits, and the
    weights that it meets, as a share of the signal (both sums of squares over the samples)."""
    rounded = [value for value in whole.numbers() if points.home.get(value) is value]
    run = runner(_switched(ends, whole, points, rounded))
    signal = np.zeros(len(ends))
    errors = np.zeros((len(rounded), len(ends)))
    for sample in samples:
        exact, *ways = (
            run({**sample, _SWITCHES: switches})
            for switches in np.eye(len(rounded) + 1, len(rounded), -1, np.float32)
        )
        signal += [np.square(end, dtype=np.float64).sum() for end in exact]
        errors += [[np.square(a - b, dtype=np.float64).sum() for a, b in zip(exact, way)] for way in ways]
    return dict(zip(rounded, errors / np.maximum(signal, 1e-300), strict=True))


def _switched(ends: Sequence[Value], whole: Lowering, points: Points, rounded: Sequence[Value]) -> Graph:
    """The float graph with an input more: for each value 1 where it is rounded to 8 bits, else 0."""
    graph = whole.graph
    switches = graph_input(_SWITCHES, TensorType(f32, (len(rounded),)))
    on = {
        value: shape.slice_of(switches, starts=(n,), sizes=(1,), steps=(1,))
        for n, value in enumerate(rounded)
    }
    new: dict[Value, Value] = {}
    for node in graph.nodes:
        operands = [None if v is None else new[v] for v in node.operands]
        made = whole.rounded.get(node)
        switch = None if made is None else on.get(points.home.get(node.operands[0]))  # type: ignore[arg-type]
        if switch is not None:
            exact = node.operands[1].constant  # type: ignore[union-attr]
            operands[1] = _blended(operands[1], made.weights - exact, switch)  # type: ignore[union-attr]
        results = node.with_operands(operands).results if operands else node.results
        if switch is not None:
            results = (_blended(results[0], made.shift, switch),)  # type: ignore[union-attr]
        for value, result in zip(node.results, results, strict=True):
            new[value] = result
            if value in on:
                difference = math.sub(_in_8_bits(result, whole.decisions.parameters[value]), result)
                new[value] = _blended(result, difference, on[value])
    return Graph((*graph.inputs, switches), [new[v] for v in ends], [f"end {n}" for n in range(len(ends))])


def _blended(x: Value | None, difference: Value | np.ndarray, switch: Value) -> Value:
    if isinstance(difference, np.ndarray):
        difference = constant(difference.astype(np.float32))
    return math.add(x, math.mul(difference, switch))


def _in_8_bits(x: Value, parameters: Parameters) -> Value:
    scale, zero = constant(np.float32(parameters.scale)), constant(np.int8(parameters.zero))
    return quant.dequantize(quant.quantize(x, scale, zero, axis=0, dtype=i8), scale, zero, axis=0, dtype=f32)
