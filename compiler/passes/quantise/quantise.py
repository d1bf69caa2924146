"""The pass: ranges from sample inputs or from the model itself, then integers; what is lost is measured if asked."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

import numpy as np

from ....runtime.records import dataclass
from ...diagnostics import Problem, UnsupportedError
from ...ir.graph import Graph, Node, Value
from ..base import Pass, PassResult
from .budget import within
from .equalise import equalised
from .imported import imported_parameters, on_grid
from .lowering import LOWERINGS, Decisions, Lowering, Weights
from .parameters import Parameters
from .points import CONTRACTIONS, Points, find_points, is_real
from .products import narrow_shifts
from .ranges import choose
from .report import Report, Wanted, measure, measure_outputs, real_ends
from .statistics import Arrays, Runner, Statistics, gather, interpreted

PRODUCTS = (*CONTRACTIONS, "nn.attention", "nn.conv_transpose", "nn.einsum")
_COSTED = 2
"""Samples on which it is seen what each value's rounding costs."""


@dataclass(frozen=True)
class Choices:
    """What a user decides about quantising.

    `ranges`: a name of `ranges.METHODS`. `floats`: source nodes that stay in floats. `budget`: dB of signal to noise
    that the outputs are to have; layers that lose most stay in floats until they do. `rest`: "f32", or "bf16" for
    products that stay in floats.
    `equalise`: even out channels between depthwise convolutions and others. `correct`: biases make up for what rounding
    the weights shifts. `report`: measure the errors of all layers.
    """

    ranges: str = "mse"
    floats: tuple[str, ...] = ()
    budget: float | None = None
    rest: str = "f32"
    equalise: bool = True
    correct: bool = True
    report: bool = False


@dataclass(frozen=True)
class Quantise:
    """Float graph to integers. `samples`: inputs by name; `tell` gets the report, if one was asked for; `after`: what
    the graph goes through afterwards that changes its values, which the report then counts."""

    samples: Sequence[Arrays] = ()
    choices: Choices = Choices()
    runner: Runner = interpreted
    tell: Callable[[Report], None] = field(default=lambda report: None)
    after: tuple[Pass, ...] = ()

    @property
    def name(self) -> str:
        return "quantise"

    def run(self, graph: Graph) -> PassResult:
        original = graph
        points = find_points(graph)
        seen = self._seen(graph, points)
        if seen is not None and self.choices.equalise:
            graph = equalised(graph, seen.largest)
            if graph is not original:
                points = find_points(graph)
                seen = self._seen(graph, points)
        named = _named(graph, self.choices.floats)
        decisions = self._decisions(graph, points, seen, named)
        lowering = Lowering(graph, decisions)
        quantised = lowering.run()
        self._require_ranges(graph, lowering, named)
        budget = self.choices.budget
        wanted = Wanted(self.samples[:4], self.runner)
        if budget is not None:

            def measured(lowering: Lowering, quantised: Graph) -> float:
                outputs = measure_outputs(original, graph, lowering, quantised, wanted, self._finished)
                return min(outputs.values(), default=np.inf)

            ends = list(real_ends(graph).values())
            lowering, quantised = within(
                budget, lowering, quantised, points, ends, wanted.samples[:_COSTED], self.runner, measured
            )
        if self.choices.report or budget is not None:
            self.tell(self._reported(original, graph, lowering, quantised, wanted))
        return PassResult(quantised, Counter(f"integer {node.op}" for node in lowering.lowered))

    def _seen(self, graph: Graph, points: Points) -> Statistics | None:
        return gather(graph, points, self.samples, self.runner) if self.samples else None

    def _decisions(
        self, graph: Graph, points: Points, seen: Statistics | None, floats: frozenset[Node]
    ) -> Decisions:
        given = imported_parameters(graph)
        weights = _imported_weights(graph) if given else {}
        parameters = self._parameters(points, seen, given)
        means = seen.means if seen is not None and self.choices.correct else {}
        shifts = narrow_shifts(graph, means) if self.choices.rest == "bf16" else {}
        return Decisions(parameters, weights, means, floats, shifts)

    def _parameters(
        self, points: Points, seen: Statistics | None, given: Mapping[Value, Parameters]
    ) -> dict[Value, Parameters]:
        """By home, then for all values; those that the model itself gives go first."""
        found: dict[Value, Parameters] = {}
        for home in points.homes:
            if seen is not None and seen.histograms[home].seen:
                symmetric = home in points.symmetric
                found[home] = choose(seen.histograms[home], self.choices.ranges, symmetric)
        found |= {value: p for value, p in given.items() if points.home.get(value) == value}
        return {value: found[home] for value, home in points.home.items() if home in found} | dict(given)

    def _require_ranges(self, graph: Graph, lowering: Lowering, named: frozenset[Node]) -> None:
        """Without samples, every product must have its ranges from the model."""
        left = [
            node
            for node in graph.nodes
            if node.op in PRODUCTS
            and node not in lowering.lowered
            and node not in named
            and is_real(node.result)
        ]
        if left and not self.samples:
            raise UnsupportedError(
                "",
                problems=[
                    Problem(
                        str(node.location),
                        f"{node.op} computes in floats, and nothing says in which range its operands lie",
                        "give sample inputs (calibration=, --calibration FILE.npz), or compile with precision bf16",
                    )
                    for node in left
                ],
            )

    def _reported(
        self, original: Graph, graph: Graph, lowering: Lowering, quantised: Graph, wanted: Wanted
    ) -> Report:
        layers, outputs = measure(original, graph, lowering, quantised, wanted, self._finished)
        left = [n for n in graph.nodes if n.op in LOWERINGS and n not in lowering.lowered]
        return Report(
            tuple(layers.values()),
            outputs,
            len(wanted.samples),
            self.choices.ranges,
            len(lowering.lowered),
            tuple(str(node.location) for node in left),
        )

    def _finished(self, graph: Graph) -> Callable[[Arrays], Sequence[np.ndarray]]:
        for step in self.after:
            graph = step.run(graph).graph
        return self.runner(graph)


def _named(graph: Graph, names: Sequence[str]) -> frozenset[Node]:
    """The nodes that come from source nodes of these names; UnsupportedError with names that there are."""
    known = {name for node in graph.nodes if node.op in LOWERINGS for name in node.location.names}
    unknown = [name for name in names if name not in known]
    if unknown:
        some = ", ".join(sorted(known)[:8])
        raise UnsupportedError(
            f"the layers to keep in floats name {', '.join(map(repr, unknown))}, which no quantised node comes from",
            hint=f"nodes are called such as {some}",
        )
    return frozenset(node for node in graph.nodes if set(names) & set(node.location.names))


def _imported_weights(graph: Graph) -> dict[Value, Weights]:
    """Constant weights of products that lie on a grid already."""
    found: dict[Value, Weights] = {}
    for node in graph.nodes:
        w = node.operands[1] if node.op in CONTRACTIONS else None
        if w is None or w.constant is None or not w.dtype.is_float or w in found:
            continue
        axis = 0 if node.op == "nn.conv" else 1 if w.type.rank == 2 else None
        weights = on_grid(w.constant, axis)
        if weights is not None:
            found[w] = weights
    return found
