"""A framework's own graph, as its reader gives it: names, operands by name, attributes. No meaning is attached yet.

Weights stay lazy: a constant is a function that returns an array, usually a view of a mapped file.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

import numpy as np

from ..compiler.ir.dims import Dim
from ..compiler.ir.types import DType
from ..runtime.records import dataclass

Buffer = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class SourceInput:
    """An input of a source graph. `shape` is None where the file gives no rank; containers are outermost first.

    `usual` is the shape that an input without one takes unless the user gives another.
    """

    name: str
    dtype: DType | None = None
    shape: tuple[Dim, ...] | None = None
    containers: tuple[str, ...] = ()
    usual: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class SourceNode:
    """One operation of the framework. "" stands for an absent operand or an output that nobody reads.

    `version` is the op set version that the node is written in; `name` is what errors and locations call it.
    Attribute values are ints, floats, strings, tuples of them, arrays and SourceGraphs. `origin` is the framework's
    own node; `body` gives the graph that defines the node where the model itself brings one.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    version: int = 0
    origin: Any = None
    body: Callable[[], "SourceGraph"] | None = None

    @property
    def graphs(self) -> Iterator["SourceGraph"]:
        """The bodies that the node carries in its attributes."""
        return (value for value in self.attributes.values() if isinstance(value, SourceGraph))

    @property
    def title(self) -> str:
        """The op with its domain, where that is not the default one."""
        return f"{self.domain}.{self.op}" if self.domain else self.op


@dataclass(frozen=True, slots=True)
class SourceGraph:
    """Inputs, nodes in an order that defines before use, constants and the names of the outputs."""

    name: str
    inputs: tuple[SourceInput, ...]
    outputs: tuple[str, ...]
    nodes: tuple[SourceNode, ...]
    constants: Mapping[str, Callable[[], np.ndarray]] = field(default_factory=dict)

    def free(self) -> tuple[str, ...]:
        """Names that the graph reads and does not define, in order of first use; its bodies are counted."""
        defined = {entry.name for entry in self.inputs} | set(self.constants)
        found: dict[str, None] = {}
        for node in self.nodes:
            for name in (*node.inputs, *(name for graph in node.graphs for name in graph.free())):
                if name and name not in defined:
                    found[name] = None
            defined.update(node.outputs)
        found.update(dict.fromkeys(name for name in self.outputs if name not in defined))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A model as read: what errors call it, its graph, and the bytes that it consists of.

    `size` counts its nodes, those of bodies and of the functions that it defines at each call included.
    """

    location: str
    graph: SourceGraph
    size: int
    content: Callable[[], Iterable[Buffer]]

    def digest(self) -> str:
        """SHA-256 of the model's files in order, as hex. Call it after conversion, when all files are known."""
        state = hashlib.sha256()
        for part in self.content():
            state.update(part)
        return state.hexdigest()
