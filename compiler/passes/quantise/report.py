"""How much quantising has cost: signal to noise of every layer and of the outputs, against the float graph."""

from collections.abc import Mapping, Sequence

import numpy as np

from ....runtime.records import dataclass
from ...ir.graph import Graph, Value
from .forms import Stored
from .lowering import Lowering
from .points import is_real
from .statistics import Arrays, Runner, observed


class Noise:
    """Sums of squares of a signal and of its error, over any number of arrays."""

    def __init__(self) -> None:
        self.signal = 0.0
        self.error = 0.0

    def add(self, want: np.ndarray, got: np.ndarray) -> None:
        want = want.astype(np.float64)
        self.signal += float((want * want).sum())
        self.error += float(((got - want) ** 2).sum())

    @property
    def decibels(self) -> float:
        """10 log10(signal / error); infinite where there is no error."""
        if self.error == 0:
            return float("inf")
        return float(10 * np.log10(max(self.signal, 1e-300) / self.error))


@dataclass(frozen=True, slots=True)
class LayerError:
    """A value's place in the source, the op that makes it, its signal-to-noise ratio in dB, scale and zero point."""

    name: str
    op: str
    decibels: float
    scale: float
    zero: int


@dataclass(frozen=True)
class Report:
    """What was quantised and at what loss: `layers` in order, `outputs` by name (last products too, not only what a
    softmax makes of them)."""

    layers: tuple[LayerError, ...]
    outputs: dict[str, float]
    samples: int
    method: str
    integer_nodes: int
    float_nodes: tuple[str, ...]

    @property
    def worst(self) -> float:
        """The least signal-to-noise ratio of an output in dB."""
        return min(self.outputs.values(), default=float("inf"))

    def to_json(self) -> dict[str, object]:
        return {
            "samples": self.samples,
            "ranges": self.method,
            "integer_nodes": self.integer_nodes,
            "float_nodes": list(self.float_nodes),
            "outputs": {name: round(value, 2) for name, value in self.outputs.items()},
            "layers": [
                {
                    "name": e.name,
                    "op": e.op,
                    "sqnr_db": round(e.decibels, 2),
                    "scale": e.scale,
                    "zero": e.zero,
                }
                for e in self.layers
            ],
        }

    def __str__(self) -> str:
        lines = [f"{'SQNR dB':>8}  {'scale':>10} {'zero':>5}  layer"]
        lines += [f"{e.decibels:8.2f}  {e.scale:10.3g} {e.zero:5}  {e.name} ({e.op})" for e in self.layers]
        lines += [f"{value:8.2f}  {'':16}  output {name}" for name, value in self.outputs.items()]
        if self.float_nodes:
            lines.append(f"in floats: {', '.join(self.float_nodes)}")
        return "\n".join(lines)


class Wanted:
    """What the values of float graphs are for each sample, computed when they are first asked for."""

    def __init__(self, samples: Sequence[Arrays], runner: Runner):
        self.samples, self.runner = samples, runner
        self.known: dict[Value, list[np.ndarray]] = {}

    def of(self, graph: Graph, values: Sequence[Value]) -> list[list[np.ndarray]]:
        """For each value an array a sample."""
        missing = [value for value in dict.fromkeys(values) if value not in self.known]
        if missing:
            run = observed(graph, missing, self.runner)
            found = [run(sample) for sample in self.samples]
            self.known.update((value, [each[n] for each in found]) for n, value in enumerate(missing))
        return [self.known[value] for value in values]


def measure_outputs(
    original: Graph, graph: Graph, lowering: Lowering, quantised: Graph, wanted: Wanted, runner: Runner
) -> dict[str, float]:
    """Signal to noise in dB of the outputs (before a last softmax) of `graph`, quantised, against those of `original`,
    over the samples. `runner` runs the quantised graph."""
    return _measure(original, graph, lowering, quantised, {}, wanted, runner)[1]


def measure(
    original: Graph, graph: Graph, lowering: Lowering, quantised: Graph, wanted: Wanted, runner: Runner
) -> tuple[dict[Value, LayerError], dict[str, float]]:
    """Errors of all values that `graph` and the quantised one have, and `measure_outputs`."""
    numbers = {
        value: form
        for value, form in lowering.numbers().items()
        if is_real(value) and value.node.op != "input"
    }
    noise, outputs = _measure(original, graph, lowering, quantised, numbers, wanted, runner)
    layers = {
        value: LayerError(
            str(value.node.location),
            value.node.op,
            noise[value].decibels,
            form.parameters.scale,
            form.parameters.zero,
        )
        for value, form in numbers.items()
    }
    return layers, outputs


def _measure(
    original: Graph,
    graph: Graph,
    lowering: Lowering,
    quantised: Graph,
    numbers: Mapping[Value, Stored],
    wanted: Wanted,
    runner: Runner,
) -> tuple[dict[Value, Noise], dict[str, float]]:
    ends = real_ends(original)
    reals = [lowering.real(value) for value in real_ends(graph).values()]
    want = wanted.of(graph, list(numbers))
    want_ends = wanted.of(original, list(ends.values()))
    got = observed(quantised, [*(form.value for form in numbers.values()), *reals], runner)
    noise = {value: Noise() for value in numbers}
    outputs = {name: Noise() for name in ends}
    for place, sample in enumerate(wanted.samples):
        found = got(sample)
        for (value, form), arrays, b in zip(numbers.items(), want, found):
            noise[value].add(arrays[place], form.parameters.reals(b))
        for name, arrays, b in zip(ends, want_ends, found[len(numbers) :]):
            outputs[name].add(arrays[place], b)
    return noise, {name: each.decibels for name, each in outputs.items()}


def real_ends(graph: Graph) -> dict[str, Value]:
    """The real outputs, and in front of a softmax that ends the network its scores."""
    ends: dict[str, Value] = {}
    for name, value in zip(graph.output_names, graph.outputs):
        if not is_real(value):
            continue
        ends[name] = value
        (source,) = value.node.operands[:1] or (None,)
        if value.node.op in ("nn.softmax", "nn.log_softmax") and is_real(source):
            ends[f"{name} before {value.node.op}"] = source  # type: ignore[assignment]
    return ends
