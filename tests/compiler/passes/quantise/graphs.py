"""Small float graphs, quantised with random samples by the numpy meanings alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.compiler.ir import Graph, Value, graph_input
from isthmus.compiler.ir.verify import verify
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.passes import SIMPLIFY
from isthmus.compiler.passes.precision import to_int8
from isthmus.compiler.passes.quantise import Choices, Report, interpreted

Samples = list[dict[str, np.ndarray]]


@dataclass(frozen=True)
class Quantised:
    """A graph before and after, and the report if one was asked for."""

    before: Graph
    after: Graph
    report: Report | None
    samples: Samples

    @property
    def ops(self) -> list[str]:
        return [node.op for node in self.after.nodes if node.op not in ("input", "constant")]

    @property
    def core(self) -> list[str]:
        """The ops without those at the borders."""
        borders = ("quant.quantize", "quant.dequantize")
        return [op for op in self.ops if op not in borders]

    def decibels(self) -> float:
        """Signal to noise of all outputs over the samples."""
        signal = error = 0.0
        for sample in self.samples:
            arguments = list(sample.values())
            for want, got in zip(
                run_graph(self.before, arguments), run_graph(self.after, arguments), strict=True
            ):
                signal += float((want.astype(np.float64) ** 2).sum())
                error += float(((want.astype(np.float64) - got) ** 2).sum())
        return float(10 * np.log10(signal / max(error, 1e-30)))


def graph_of(build: Callable[..., Any], *types: str) -> Graph:
    inputs = [graph_input(f"x{n}", parse_type(text)) for n, text in enumerate(types)]
    built = build(*inputs)
    outputs = built if isinstance(built, tuple) else (built,)
    return Graph(inputs, outputs, [f"y{n}" for n in range(len(outputs))])


def samples_for(graph: Graph, count: int = 4, seed: int = 1) -> Samples:
    rng = np.random.default_rng(seed)

    def array(value: Value) -> np.ndarray:
        if value.dtype.is_integer:
            return rng.integers(0, 5, value.type.static_shape).astype(value.dtype.numpy)
        if value.dtype.kind == "bool":
            return rng.integers(0, 4, value.type.static_shape) > 0
        return rng.standard_normal(value.type.static_shape).astype(np.float32)

    return [{name: array(v) for name, v in zip(graph.input_names, graph.inputs)} for _ in range(count)]


def quantise(graph: Graph, samples: Samples | None = None, **choices: Any) -> Quantised:
    """Through the passes of precision int8."""
    given = samples_for(graph) if samples is None else samples
    reports: list[Report] = []
    after = graph
    for step in to_int8(SIMPLIFY, given, Choices(**choices), interpreted, reports.append):
        after = step.run(after).graph
    verify(after, get)
    return Quantised(graph, after, reports[-1] if reports else None, given or samples_for(graph))


def normal(*shape: int, seed: int = 7, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)
