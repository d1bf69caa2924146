"""Nodes as text and back, for package steps that run by their op's reference meaning."""

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..diagnostics import CompileError
from ..ir.graph import Graph, Node, Tensor, graph_input
from ..ir.text import parse_graph, print_graph
from .interpret import run_graph


def encode(node: Node) -> str:
    """One node, regions included, as text: a graph whose inputs are the node's operands."""
    inputs = [None if v is None else graph_input(f"x{n}", v.type) for n, v in enumerate(node.operands)]
    copy = node.with_operands(inputs)
    names = [f"y{n}" for n in range(len(copy.results))]
    text = print_graph(
        Graph([v for v in inputs if v is not None], copy.results, names, "step"), locations=False
    )
    tensors = {name: _encode_array(tensor.array) for name, tensor in text.tensors.items()}
    return json.dumps({"graph": text.text, "tensors": tensors}, sort_keys=True)


def prepare(op: str, attributes: str) -> Callable[[Sequence[Any], Mapping[str, int]], Sequence[Any]]:
    """The meaning of the node that `encode` wrote: its results for operands (None for an absent one) and the extents of
    the program's symbols.

    Raises CompileError when the text describes another op, as a package of another version may.
    """
    record = json.loads(attributes)
    tensors = {name: Tensor(_decode_array(data)) for name, data in record["tensors"].items()}
    graph = parse_graph(record["graph"], tensors)
    found = [node.op for node in graph.nodes if node.op != "input"]
    if found != [op]:
        raise CompileError(
            f"expected one {op}, got {', '.join(found) or 'nothing'}",
            location=op,
            hint="recompile the model with this version",
        )

    # an optional value may be absent although the node has the operand
    present = [int(name.removeprefix("x")) for name in graph.input_names]

    def meaning(operands: Sequence[Any], symbols: Mapping[str, int]) -> Sequence[Any]:
        return run_graph(graph, [operands[n] for n in present], symbols)

    return meaning


def _encode_array(array: np.ndarray) -> str:
    if array.dtype == object:
        return "json:" + json.dumps([list(array.shape), array.reshape(-1).tolist()])
    raw = io.BytesIO()
    np.save(raw, array.view(np.uint8) if array.dtype.kind == "V" else array, allow_pickle=False)
    return f"{array.dtype.name}:" + base64.b64encode(raw.getvalue()).decode()


def _decode_array(text: str) -> np.ndarray:
    kind, _, data = text.partition(":")
    if kind == "json":
        shape, items = json.loads(data)
        return np.array(items, object).reshape(shape)
    array = np.load(io.BytesIO(base64.b64decode(data)), allow_pickle=False)
    return array if array.dtype.name == kind else array.view(np.dtype(kind))
