"""A graph as package entries and back: its text, and one blob of its larger constants with an index."""

import json
from collections.abc import Callable

import numpy as np

from ..runtime.content import Content
from .diagnostics import CompileError
from .ir.graph import Graph, Tensor
from .ir.text import parse_graph, print_graph
from .ir.types import DTYPES, dtype_of

TEXT, INDEX, BLOB = "graph/graph.ir", "graph/constants.json", "graph/constants.bin"
Entries = dict[str, bytes | Content]


def to_entries(graph: Graph, strip: bool = False) -> Entries:
    """Entries that hold the graph whole; equal graphs give equal bytes.

    `strip`: its text alone, which stays readable where the constants are gone.
    """
    text = print_graph(graph)
    index: dict[str, dict[str, object]] = {}
    parts = {}
    for name, tensor in text.tensors.items():
        dtype = dtype_of(tensor.array.dtype)
        index[name] = {"dtype": dtype.name, "shape": tensor.array.shape}
        if dtype.kind == "string":
            index[name] |= {"items": tensor.array.reshape(-1).tolist()}
        else:
            parts[name] = tensor.array
    blob = Content(list(parts.values()))
    for name, (start, part) in zip(parts, blob.parts(), strict=True):
        index[name] |= {"offset": start, "bytes": part.size}
    entries: Entries = {TEXT: text.text.encode()}
    if not strip:
        blob.sum_ahead()
        entries |= {INDEX: json.dumps(index, sort_keys=True).encode(), BLOB: blob}
    return entries


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
