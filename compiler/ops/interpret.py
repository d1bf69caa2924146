"""The reference interpreter: runs a graph node by node through the ops' numpy meanings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..diagnostics import CompileError, Problem
from ..ir.graph import Graph, Value
from ..ir.types import TensorType
from .engine import get


def run_graph(graph: Graph, arguments: Sequence[Any]) -> list[Any]:
    """Outputs of `graph` for arguments in input order."""
    values: dict[Value, Any] = dict(zip(graph.inputs, arguments, strict=True))
    for node in graph.nodes:
        if node.op == "input":
            continue
        if node.op == "constant":
            values[node.result] = node.attributes["value"].array
            continue
        operands = [None if v is None else values[v] for v in node.operands]
        regions = [_callable(region) for region in node.regions]
        for result, value in zip(
            node.results, get(node.op).evaluate(*operands, regions=regions, **node.attributes), strict=True
        ):
            values[result] = value
    return [values[output] for output in graph.outputs]


def _callable(region: Graph) -> Any:
    return lambda *arguments: run_graph(region, arguments)


def evaluate(graph: Graph, inputs: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Named outputs for named inputs (or a list in input order); the reference that all backends must meet."""
    if not isinstance(inputs, Mapping):
        inputs = dict(zip(graph.input_names, inputs, strict=True))
    missing = [name for name in graph.input_names if name not in inputs]
    unknown = [name for name in inputs if name not in graph.input_names]
    if missing or unknown:
        raise CompileError(
            "",
            problems=[
                *(Problem(name, "the graph has this input, but no value was given") for name in missing),
                *(
                    Problem(name, "no such input", f"the inputs are: {', '.join(graph.input_names)}")
                    for name in unknown
                ),
            ],
        )
    arguments = [
        np.asarray(inputs[value.node.attributes["name"]])
        if isinstance(value.type, TensorType)
        else inputs[value.node.attributes["name"]]
        for value in graph.inputs
    ]
    return dict(zip(graph.output_names, run_graph(graph, arguments), strict=True))
