"""Nodes, values and graphs. A node is never edited: a rewrite builds new nodes and a new graph around them.

A graph is what its outputs reach; it needs no node list, so dead code does not exist and order is derived. Regions
(bodies of control flow) are graphs of their own: whatever they use comes in through their inputs.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from .dims import Dim
from .location import Location, here
from .types import DType, TensorType, Type, dtype_of


class Tensor:
    """An immutable constant array. Equality and hash are by type and content; the digest is computed once."""

    __slots__ = ("_digest", "array")

    def __init__(self, array: np.ndarray):
        self.array = array if not array.flags.writeable else _frozen(array)
        self._digest: bytes | None = None

    @property
    def type(self) -> TensorType:
        return TensorType(dtype_of(self.array.dtype), self.array.shape)

    @property
    def digest(self) -> bytes:
        """SHA-256 of dtype, shape and content."""
        if self._digest is None:
            state = hashlib.sha256(repr((str(self.array.dtype), self.array.shape)).encode())
            if self.array.dtype == object:
                state.update(repr(self.array.tolist()).encode())
            elif self.array.size:
                state.update(np.ascontiguousarray(self.array).reshape(-1).view(np.uint8).data)
            self._digest = state.digest()
        return self._digest

    @property
    def head(self) -> bytes:
        """The first elements: what differs mostly differs here, which spares hashing the whole."""
        return b"" if self.array.dtype == object else self.array.flat[:64].tobytes()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Tensor) or self.type != other.type:
            return False
        return self.array is other.array or (self.head == other.head and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.type) if self.array.size > 4096 else hash(self.digest)

    def __repr__(self) -> str:
        return f"Tensor({self.type})"


def _frozen(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


Attribute = None | bool | int | float | str | Dim | DType | TensorType | Tensor | tuple["Attribute", ...]


class Node:
    """One operation: op name, operands (None for an absent optional one), attributes, result types, regions."""

    __slots__ = ("attributes", "location", "op", "operands", "regions", "results", "types")

    def __init__(
        self,
        op: str,
        operands: Iterable["Value | None"],
        attributes: Mapping[str, Attribute],
        types: Iterable[Type],
        regions: Iterable["Graph"] = (),
        location: Location | None = None,
    ):
        self.op = op
        self.operands = tuple(operands)
        self.attributes: Mapping[str, Any] = MappingProxyType(dict(attributes))
        self.types = tuple(types)
        self.regions = tuple(regions)
        self.location = here() if location is None else location
        self.results = tuple(Value(self, index) for index in range(len(self.types)))

    @property
    def result(self) -> "Value":
        """The only result; ValueError when there are several."""
        (value,) = self.results
        return value

    def with_operands(self, operands: Iterable["Value | None"]) -> "Node":
        """The same operation on other operands of the same types."""
        return Node(self.op, operands, self.attributes, self.types, self.regions, self.location)

    def __repr__(self) -> str:
        return f"<{self.op} {self.location}>"


class Value:
    """One result of a node."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int):
        self.node = node
        self.index = index

    @property
    def type(self) -> TensorType:
        """The value's type. Sequence and optional types are rare; ops that take them check for them."""
        return self.node.types[self.index]  # type: ignore[return-value]

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def constant(self) -> np.ndarray | None:
        """The array, if this value is a constant."""
        return self.node.attributes["value"].array if self.node.op == "constant" else None

    def __repr__(self) -> str:
        return f"<{self.node.op}#{self.index}: {self.type}>"


def constant(array: Any, dtype: DType | None = None, location: Location | None = None) -> Value:
    """A constant value of `array`'s dtype, or converted to `dtype`."""
    data = np.asarray(array, dtype=dtype.numpy if dtype is not None else None)
    if data.dtype.kind in "US":
        data = data.astype(object)
    tensor = Tensor(data)
    return Node("constant", (), {"value": tensor}, (tensor.type,), location=location).result


def graph_input(name: str, type: Type, location: Location | None = None) -> Value:
    """An input of a graph or region."""
    return Node("input", (), {"name": name}, (type,), location=location).result


class Graph:
    """Inputs and named outputs; nodes are those that the outputs reach, in a fixed topological order."""

    def __init__(
        self,
        inputs: Iterable[Value],
        outputs: Iterable[Value],
        output_names: Iterable[str],
        name: str = "graph",
    ):
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.output_names = tuple(output_names)
        self.name = name

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(value.node.attributes["name"] for value in self.inputs)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that an output needs, operands before users; inputs and constants included."""
        order: dict[Node, None] = dict.fromkeys(value.node for value in self.inputs)
        for output in self.outputs:
            stack: list[tuple[Node, Iterator[Value | None]]] = []
            if output.node not in order:
                stack.append((output.node, iter(output.node.operands)))
            entered = {output.node}
            while stack:
                node, operands = stack[-1]
                for operand in operands:
                    if operand is not None and operand.node not in order and operand.node not in entered:
                        entered.add(operand.node)
                        stack.append((operand.node, iter(operand.node.operands)))
                        break
                else:
                    order[node] = None
                    stack.pop()
        return tuple(order)

    @cached_property
    def users(self) -> Mapping[Value, tuple[tuple[Node, int], ...]]:
        """For each value the nodes that read it, with the operand position."""
        users: dict[Value, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, operand in enumerate(node.operands):
                if operand is not None:
                    users.setdefault(operand, []).append((node, position))
        return {value: tuple(found) for value, found in users.items()}

    def replace(self, outputs: Iterable[Value], inputs: Iterable[Value] | None = None) -> "Graph":
        """The graph with other outputs (and inputs), names kept."""
        return Graph(self.inputs if inputs is None else inputs, outputs, self.output_names, self.name)

    def __repr__(self) -> str:
        return f"<graph {self.name}: {len(self.nodes)} nodes>"
