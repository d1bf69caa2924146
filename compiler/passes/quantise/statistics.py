"""Running the float graph on sample inputs and keeping what decides the ranges: histograms, and means of channels."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ....runtime.records import dataclass
from ...ir.graph import Graph, Value
from ...ir.types import TensorType
from ...ops import shape
from ...ops.interpret import run_graph
from .points import Points, channel_means
from .ranges import Histogram

Arrays = Mapping[str, np.ndarray]
Runner = Callable[[Graph], Callable[[Arrays], Sequence[np.ndarray]]]
"""Makes of a graph what runs it: inputs by name to outputs in order."""


def interpreted(graph: Graph) -> Callable[[Arrays], Sequence[np.ndarray]]:
    """The runner that needs no backend: the ops' numpy meanings."""
    return lambda inputs: run_graph(graph, [inputs[name] for name in graph.input_names])


@dataclass(frozen=True)
class Statistics:
    """What was seen of each observed value; `means` [C] and `largest` [2, C] by channel, of inputs of contractions: the
    largest of samples of even number, and of odd number."""

    histograms: Mapping[Value, Histogram]
    means: Mapping[Value, np.ndarray]
    largest: Mapping[Value, np.ndarray]


def observed(graph: Graph, values: Sequence[Value], runner: Runner) -> Callable[[Arrays], list[np.ndarray]]:
    """A function that gives some values of a graph for its inputs."""
    computed = [value for value in dict.fromkeys(values) if value.node.op != "input"]
    names = [f"v{n}" for n in range(len(computed))]
    images = _images(graph).intersection(computed)
    outputs = [shape.transpose(v, perm=(0, 2, 3, 1)) if v in images else v for v in computed]
    run = runner(Graph(graph.inputs, outputs, names, f"{graph.name} observed"))

    def all_values(inputs: Arrays) -> list[np.ndarray]:
        arrays = dict(zip(computed, run(inputs), strict=True))
        found = {v: np.moveaxis(array, -1, 1) if v in images else array for v, array in arrays.items()}
        given = {value: inputs[name] for value, name in zip(graph.inputs, graph.input_names)}
        return [found[value] if value in found else given[value] for value in values]

    return all_values


def _images(graph: Graph) -> set[Value]:
    """What two-dimensional convolutions give, and what is made of that with its axes kept.

    Machines hold channels last. In its own order each would have to be transposed to be seen, by code that is compiled
    for this alone: as much as all the rest.
    """
    images: set[Value] = set()
    for node in graph.nodes:
        kept = node.op.startswith(("math.", "nn.")) and not images.isdisjoint(node.operands)
        if node.op == "nn.conv" or kept:
            images.update(v for v in node.results if isinstance(v.type, TensorType) and v.type.rank == 4)
    return images


def gather(graph: Graph, points: Points, samples: Sequence[Arrays], runner: Runner) -> Statistics:
    """Run all samples through the graph and count."""
    values = list(dict.fromkeys((*points.homes, *points.channelled)))
    run = observed(graph, values, runner)
    histograms = {value: Histogram() for value in points.homes}
    sums: dict[Value, np.ndarray] = {}
    largest: dict[Value, np.ndarray] = {}
    for number, sample in enumerate(samples):
        for value, array in zip(values, run(sample), strict=True):
            if value in histograms:
                histograms[value].add(array)
            axis = points.channelled.get(value)
            if axis is not None:
                others = tuple(n for n in range(array.ndim) if n != axis)
                sums[value] = sums.get(value, 0.0) + channel_means(array, axis)
                halves = largest.setdefault(value, np.zeros((2, array.shape[axis])))
                half = halves[number % 2]
                np.maximum(half, np.abs(array).max(others), out=half)
    means = {value: total / len(samples) for value, total in sums.items()}
    return Statistics(histograms, means, largest)
