"""A graph as package entries and back: its text, and one blob of its larger constants with an index."""

import json
from collections.abc import Callable, Mapping

import numpy as np

from ..runtime.memory import zeros
from .diagnostics import CompileError
from .ir.graph import Graph, Tensor
from .ir.text import parse_graph, print_graph
from .ir.types import DTYPES, dtype_of

TEXT, INDEX, BLOB = "graph/graph.ir", "graph/constants.json", "graph/constants.bin"
_ALIGNMENT = 64


def to_entries(graph: Graph) -> dict[str, bytes | np.ndarray]:
    """Entries that hold the graph whole; equal graphs give equal bytes."""
    text = print_graph(graph)
    index: dict[str, object] = {}
    parts: list[tuple[int, np.ndarray]] = []
    size = 0
    for name, tensor in text.tensors.items():
        dtype = dtype_of(tensor.array.dtype)
        if dtype.kind == "string":
            index[name] = {
                "dtype": dtype.name,
                "shape": tensor.array.shape,
                "items": tensor.array.reshape(-1).tolist(),
            }
            continue
        flat = np.ascontiguousarray(tensor.array).reshape(-1).view(np.uint8)
        index[name] = {"dtype": dtype.name, "shape": tensor.array.shape, "offset": size, "bytes": flat.size}
        parts.append((size, flat))
        size += -(-flat.size // _ALIGNMENT) * _ALIGNMENT
    blob = zeros(size)
    for offset, flat in parts:
        blob[offset : offset + flat.size] = flat
    return {TEXT: text.text.encode(), INDEX: json.dumps(index, sort_keys=True).encode(), BLOB: blob}


def without_constants(entries: Mapping[str, bytes | np.ndarray]) -> dict[str, bytes | np.ndarray]:
    """The entries of a stripped package: the text stays readable, the constants are gone."""
    return {name: data for name, data in entries.items() if name not in (INDEX, BLOB)}


def from_entries(read: Callable[[str], np.ndarray], names: tuple[str, ...], location: str) -> Graph:
    """The graph of a package; CompileError when the package was stripped of it."""
    if INDEX not in names or BLOB not in names:
        raise CompileError(
            "the package holds no source constants",
            location=location,
            hint="compile without strip to keep its graph",
        )
    blob = read(BLOB)
    tensors = {}
    for name, facts in json.loads(bytes(read(INDEX))).items():
        shape = tuple(facts["shape"])
        if "items" in facts:
            array = np.array(facts["items"], object).reshape(shape)
        else:
            raw = blob[facts["offset"] : facts["offset"] + facts["bytes"]]
            array = raw.view(DTYPES[facts["dtype"]].numpy).reshape(shape)
        tensors[name] = Tensor(array)
    return parse_graph(bytes(read(TEXT)).decode(), tensors)
