"""The reference interpreter: runs a graph node by node through the ops' numpy meanings."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..diagnostics import CompileError, Problem, UnsupportedError
from ..ir.dims import Expr, substitute, symbols
from ..ir.graph import Graph, Node, Value
from ..ir.types import TensorType, Type
from .engine import REGISTRY, Op


def run_graph(graph: Graph, arguments: Sequence[Any], extents: Mapping[str, int] | None = None) -> list[Any]:
    """Outputs of `graph` for arguments in input order; `extents` holds what is known of its symbols beforehand."""
    values: dict[Value, Any] = dict(zip(graph.inputs, arguments, strict=True))
    known = dict(extents or {})
    for value in graph.inputs:
        _learn(value, values[value], known)
    for node in graph.nodes:
        if node.op == "input":
            continue
        if node.op == "constant":
            values[node.result] = node.attributes["value"].array
            continue
        operands = [None if v is None else values[v] for v in node.operands]
        regions = [Body(region, known) for region in node.regions]
        attributes = {name: _specialised(value, known) for name, value in node.attributes.items()}
        results = _op(node).evaluate(*operands, regions=regions, **attributes)
        for result, value in zip(node.results, results, strict=True):
            values[result] = value
            _learn(result, value, known)
    return [values[output] for output in graph.outputs]


def _op(node: Node) -> Op:
    """The node's op; UnsupportedError when no module that declares it has been imported."""
    if node.op not in REGISTRY:
        raise UnsupportedError(
            f"there is no op '{node.op}' here",
            location=str(node.location),
            hint="import the module that declares it, or install what the model was compiled with",
        )
    return REGISTRY[node.op]


@dataclass(frozen=True, slots=True)
class Body:
    """A region as an op's meaning calls it, and the types of its results; `extents` are those of outer symbols."""

    region: Graph
    extents: Mapping[str, int] = field(default_factory=dict)

    @property
    def types(self) -> tuple[Type, ...]:
        return tuple(value.type for value in self.region.outputs)

    def __call__(self, *arguments: Any) -> list[Any]:
        return run_graph(self.region, arguments, self.extents)


def _learn(value: Value, array: Any, known: dict[str, int]) -> None:
    """Take the extents of symbols from an array's shape; a loop's symbols change from one turn to the next."""
    if isinstance(value.type, TensorType):
        for dim, extent in zip(value.type.shape, np.shape(array)):
            if isinstance(dim, Expr) and symbols(dim) == {str(dim)}:
                known[str(dim)] = extent


def _specialised(attribute: Any, known: Mapping[str, int]) -> Any:
    """An attribute with the symbols in it replaced by their extents."""
    if isinstance(attribute, tuple):
        return tuple(_specialised(item, known) for item in attribute)
    return substitute(attribute, known) if isinstance(attribute, Expr) else attribute


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
