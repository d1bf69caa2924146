"""The smallest part of a failing graph that fails: fewer outputs, then values that are given instead of computed."""

from collections.abc import Callable, Sequence
from typing import Any

from isthmus.compiler.ir.graph import Graph, Node, Value, graph_input
from isthmus.compiler.ir.types import TensorType
from isthmus.compiler.ops.interpret import run_graph

Part = tuple[Graph, tuple[Any, ...]]
Fails = Callable[[Graph, Sequence[Any]], bool]

LIMIT = 200
"""Parts that are tried at most."""


def shrink(graph: Graph, inputs: Sequence[Any], fails: Fails) -> Part:
    """A part of the graph that still fails, with arrays for its inputs; the graph itself where no part does.

    Args:
        graph: one that fails.
        inputs: arrays for its inputs, in order.
        fails: whether a graph fails on arrays.
    """
    best: Part = (graph, tuple(inputs))
    tried = 0
    found = True
    while found and tried < LIMIT:
        found = False
        for part in _parts(*best):
            tried += 1
            if fails(*part):
                best, found = part, True
                break
            if tried >= LIMIT:
                break
    return best


def _parts(graph: Graph, inputs: Sequence[Any]) -> "list[Part]":
    """The graph with one thing less, the greatest reductions first."""
    computed = [node for node in graph.nodes if node.op not in ("input", "constant")]
    parts = []
    if len(graph.outputs) > 1:
        parts += [_with_outputs(graph, inputs, [n]) for n in range(len(graph.outputs))]
        parts += [
            _with_outputs(graph, inputs, [m for m in range(len(graph.outputs)) if m != n])
            for n in range(len(graph.outputs))
        ]
    ends = {output.node for output in graph.outputs}
    for node in reversed(computed):
        if node in ends and len(ends) == 1:
            operands = [v for v in node.operands if v is not None and v.node in computed]
            parts += [_part(graph, inputs, [operand], []) for operand in dict.fromkeys(operands)]
    values = [value for node in computed for value in node.results if node not in ends]
    static = [v for v in values if isinstance(v.type, TensorType) and v.type.is_static]
    parts += [_part(graph, inputs, graph.outputs, [value]) for value in reversed(static)]
    return parts


def _with_outputs(graph: Graph, inputs: Sequence[Any], kept: Sequence[int]) -> Part:
    return _part(graph, inputs, [graph.outputs[n] for n in kept], [])


def _part(graph: Graph, inputs: Sequence[Any], outputs: Sequence[Value], cut: Sequence[Value]) -> Part:
    """The graph with other outputs, and with values in `cut` as inputs that have the elements they were computed as."""
    everything = Graph(graph.inputs, cut, [f"c{n}" for n in range(len(cut))])
    given = dict(zip(graph.inputs, inputs, strict=True))
    fresh: dict[Value, Value] = {}
    arrays: dict[Value, Any] = {}
    for n, (value, array) in enumerate(zip(cut, run_graph(everything, list(inputs)), strict=True)):
        name = f"cut{n}"
        while name in graph.input_names:
            name += "_"
        fresh[value] = graph_input(name, value.type)
        arrays[fresh[value]] = array
    built: dict[Node, Node] = {}
    for node in Graph(graph.inputs, outputs, [str(n) for n in range(len(outputs))]).nodes:
        operands = [None if v is None else _now(v, fresh, built) for v in node.operands]
        built[node] = node.with_operands(operands) if operands != list(node.operands) else node
    results = [_now(value, fresh, built) for value in outputs]
    names = [f"y{n}" for n in range(len(results))]
    reached = Graph((), results, names, graph.name).nodes
    kept = [v for v in (*graph.inputs, *fresh.values()) if v.node in reached]
    return Graph(kept, results, names, graph.name), tuple(arrays.get(v, given.get(v)) for v in kept)


def _now(value: Value, fresh: dict[Value, Value], built: dict[Node, Node]) -> Value:
    return fresh[value] if value in fresh else built[value.node].results[value.index]
