"""Structural identity: keys of attributes that tell 1, 1.0 and true apart, and equality of whole graphs.

Python's own equality will not do: it holds 0.0 and -0.0 equal, and NaN different from itself.
"""

import struct
from collections.abc import Hashable, Mapping
from typing import Any

from .dims import Expr
from .graph import Graph, Node, Value
from .types import TensorType


def attribute_key(value: Any) -> Hashable:
    """A hashable stand-in for an attribute: equal exactly when type and content, bit for bit, are."""
    if isinstance(value, float):
        return ("float", struct.pack("<d", value))
    if isinstance(value, tuple):
        return tuple(map(attribute_key, value))
    return (type(value).__name__, value)


def attributes_key(attributes: Mapping[str, Any]) -> Hashable:
    """As `attribute_key`, for all the attributes of a node."""
    return tuple((name, attribute_key(attributes[name])) for name in sorted(attributes))


def same_graph(a: Graph, b: Graph, *, locations: bool = False) -> bool:
    """Whether two graphs are the same up to the identity of their nodes: structure, names, types, constants.

    Sharing counts: one node read twice differs from two equal nodes. Graph names don't count, nor do locations
    unless asked for.
    """
    if (a.input_names, a.output_names, len(a.nodes)) != (b.input_names, b.output_names, len(b.nodes)):
        return False
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    if [numbers_a[v] for v in a.outputs] != [numbers_b[v] for v in b.outputs]:
        return False
    return all(
        _same_node(x, y, numbers_a, numbers_b, locations) for x, y in zip(a.nodes, b.nodes, strict=True)
    )


def _numbers(graph: Graph) -> dict[Value | None, int]:
    numbers: dict[Value | None, int] = {None: -1}
    for node in graph.nodes:
        for result in node.results:
            numbers[result] = len(numbers)
    return numbers


def _same_node(
    a: Node, b: Node, numbers_a: dict[Value | None, int], numbers_b: dict[Value | None, int], locations: bool
) -> bool:
    return (
        a.op == b.op
        and [numbers_a[v] for v in a.operands] == [numbers_b[v] for v in b.operands]
        and a.types == b.types
        and (not locations or a.location == b.location)
        and attributes_key(a.attributes) == attributes_key(b.attributes)
        and len(a.regions) == len(b.regions)
        and all(same_graph(x, y, locations=locations) for x, y in zip(a.regions, b.regions, strict=True))
    )


def compatible(a: Any, b: Any) -> bool:
    """Whether two types agree as far as they are known: a symbolic dimension may turn out to be any."""
    if isinstance(a, TensorType) and isinstance(b, TensorType):
        return (
            a.dtype == b.dtype
            and a.rank == b.rank
            and all(
                x == y or isinstance(x, Expr) or isinstance(y, Expr)
                for x, y in zip(a.shape, b.shape, strict=True)
            )
        )
    return type(a) is type(b) and not isinstance(a, TensorType) and compatible(a.element, b.element)
