"""Rebuilding nodes on other operands. Where an operand's type became better known, so do the types that follow."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..ir.dims import Dim, Expr, substitute, symbols
from ..ir.graph import Graph, Node, Value
from ..ir.location import at
from ..ir.types import OptionalType, SequenceType, TensorType, Type
from ..ops.engine import get


class Renewal:
    """Gives the nodes of a graph new operands, and remembers which symbols have turned out to be known dimensions."""

    def __init__(self) -> None:
        self.dims: dict[str, Dim] = {}

    def renew(self, node: Node, operands: Sequence[Value | None], regions: Sequence[Graph]) -> Node:
        """The node itself where nothing changed, else one like it, types inferred anew if operands' types changed."""
        if all(a is b for a, b in zip(operands, node.operands, strict=True)) and all(
            a is b for a, b in zip(regions, node.regions, strict=True)
        ):
            return node
        same_types = all(
            a is None or b is None or a.node.types[a.index] == b.node.types[b.index]
            for a, b in zip(operands, node.operands, strict=True)
        )
        # a region takes operands whose types are better known than those that it declares
        if same_types or regions:
            return Node(node.op, operands, node.attributes, node.types, regions, node.location)
        attributes = {name: substituted(value, self.dims) for name, value in node.attributes.items()}
        with at(node.location):
            inferred = get(node.op).build(operands, attributes)
        types = [_better_known(old, new) for old, new in zip(node.types, inferred.types, strict=True)]
        return Node(node.op, operands, attributes, types, (), node.location)

    def define(self, node: Node, results: Sequence[Value]) -> None:
        """Learn from what came to stand for a node's results which extent the symbols have that the node introduced."""
        for old, new in zip(node.results, results, strict=True):
            if old is new or not isinstance(old.type, TensorType) or old.type == new.type:
                continue
            for before, after in zip(old.shape, new.shape, strict=True):
                name = _name(before)
                if name is not None and before != after and not _is_fresh(after) and _introduces(node, name):
                    self.dims[name] = after

    def finish(self, graph: Graph) -> Graph:
        """The graph with what was learnt put in everywhere, also in attributes of nodes that came before."""
        return with_dims(graph, self.dims) if self.dims else graph


def substituted(item: Any, dims: Mapping[str, Dim]) -> Any:
    """An attribute or type with symbols replaced."""
    if isinstance(item, Expr):
        return substitute(item, dims)
    if isinstance(item, TensorType):
        return item.substitute(dims)
    if isinstance(item, SequenceType | OptionalType):
        return type(item)(substituted(item.element, dims))
    if isinstance(item, tuple):
        return tuple(substituted(part, dims) for part in item)
    return item


def with_dims(graph: Graph, dims: Mapping[str, Dim]) -> Graph:
    """The graph with symbols replaced, in the types and attributes of all its nodes and in its regions."""
    new: dict[Value, Value] = {}
    for node in graph.nodes:
        operands = [None if v is None else new[v] for v in node.operands]
        types = tuple(substituted(type, dims) for type in node.types)
        attributes = {name: substituted(value, dims) for name, value in node.attributes.items()}
        regions = [with_dims(region, dims) for region in node.regions]
        same = types == node.types and all(a is b for a, b in zip(operands, node.operands, strict=True))
        if same and attributes == node.attributes and all(a is b for a, b in zip(regions, node.regions)):
            renewed = node
        else:
            renewed = Node(node.op, operands, attributes, types, regions, node.location)
        new.update(zip(node.results, renewed.results, strict=True))
    if all(new[value] is value for value in (*graph.outputs, *graph.inputs)):
        return graph
    return graph.replace([new[value] for value in graph.outputs], [new[value] for value in graph.inputs])


def _better_known(old: Type, new: Type) -> Type:
    """One of two types of the same value: a fresh symbol says nothing that the old one does not."""
    if not isinstance(old, TensorType) or not isinstance(new, TensorType) or old == new:
        return old
    pairs = zip(old.shape, new.shape, strict=True)
    return new.with_shape(tuple(a if isinstance(a, int) or _is_fresh(b) else b for a, b in pairs))


def _introduces(node: Node, name: str) -> bool:
    """Whether the node is where a symbol comes from: no operand has an extent in it."""
    types = [value.type for value in node.operands if value is not None]
    return not any(
        name in symbols(dim) for type in types if isinstance(type, TensorType) for dim in type.shape
    )


def _name(dim: Dim) -> str | None:
    if isinstance(dim, Expr) and len(dim.terms) == 1:
        (monomial, coefficient), *_ = dim.terms
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], str):
            return monomial[0]
    return None


def _is_fresh(dim: Dim) -> bool:
    """Whether the dimension is a symbol that an op has just made up; see `ir.dims.fresh`."""
    name = _name(dim)
    return name is not None and "$" in name
