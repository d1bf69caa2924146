"""One node as text and back as a function: how a package carries the steps that run by their reference meaning.

The runtime imports this module, by name, only for programs that have such steps.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from ..diagnostics import CompileError
from ..ir.graph import Graph, Node, Tensor, graph_input
from ..ir.text import Text, parse_graph, print_graph
from ..ir.types import DTYPES
from .interpret import run_graph


def encode(node: Node) -> str:
    """A node with its attributes, regions and constants, less its operands: what `HostStep.attributes` holds."""
    inputs = [None if v is None else graph_input(f"x{i}", v.type) for i, v in enumerate(node.operands)]
    alone = node.with_operands(inputs)
    names = [f"y{i}" for i in range(len(alone.results))]
    printed = print_graph(Graph([v for v in inputs if v is not None], alone.results, names), locations=False)
    tensors = {name: _pack(tensor.array, tensor.type.dtype.name) for name, tensor in printed.tensors.items()}
    return json.dumps({"text": printed.text, "tensors": tensors}, sort_keys=True)


def prepare(op: str, attributes: str) -> Callable[..., tuple[Any, ...]]:
    """The function of all operands (None for absent ones) that `encode` described; returns a tuple of results.

    Raises CompileError when the text describes another op or none, which a package of another version may do.
    """
    record = json.loads(attributes)
    tensors = {name: Tensor(_unpack(*packed)) for name, packed in record["tensors"].items()}
    graph = parse_graph(Text(record["text"], tensors))
    found = [node.op for node in graph.nodes if node.op not in ("input", "constant")]
    if op != "constant" and found != [op]:
        raise CompileError(
            f"expected one {op}, got {', '.join(found) or 'nothing'}",
            location=op,
            hint="recompile the model with this version",
        )

    def meaning(*operands: Any) -> tuple[Any, ...]:
        return tuple(run_graph(graph, [operand for operand in operands if operand is not None]))

    return meaning


def _pack(array: np.ndarray, dtype: str) -> tuple[str, tuple[int, ...], str]:
    return dtype, array.shape, base64.b64encode(array.tobytes()).decode()


def _unpack(dtype: str, shape: list[int], data: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data), DTYPES[dtype].numpy).reshape(shape)
