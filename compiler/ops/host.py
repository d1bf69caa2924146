"""Nodes as text and back, for package steps that run by their op's reference meaning."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.graph import Graph, Node, Tensor, graph_input
from ..ir.text import parse_graph, print_graph
from .engine import get
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


def prepare(op: str, attributes: str) -> Callable[..., tuple[Any, ...]]:
    """The meaning of the node that `encode` wrote, over arrays (None for an absent operand)."""
    record = json.loads(attributes)
    tensors = {name: Tensor(_decode_array(data)) for name, data in record["tensors"].items()}
    graph = parse_graph(record["graph"], tensors)
    node = next(node for node in graph.nodes if node.op == op)
    regions = [_callable(region) for region in node.regions]

    def meaning(*operands: Any) -> tuple[Any, ...]:
        return get(op).evaluate(*operands, regions=regions, **node.attributes)

    return meaning


def _callable(region: Graph) -> Callable[..., list[Any]]:
    return lambda *arguments: run_graph(region, arguments)


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
