"""Dimensions that only the data decide get names u0, u1, ... in graph order, so that two reads give the same text."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..compiler.ir.dims import Dim, Expr, substitute, symbol, symbols
from ..compiler.ir.graph import Graph, Node, Value
from ..compiler.ir.types import OptionalType, SequenceType, TensorType, Type


def rename_fresh(graph: Graph) -> Graph:
    """The graph with every `prefix$number` symbol renamed; the graph itself when there is none."""
    names: dict[str, None] = {}
    for dim in _graph_dims(graph):
        names.update(dict.fromkeys(sorted(symbols(dim), key=_age)))
    fresh = [name for name in names if "$" in name]
    if not fresh:
        return graph
    free = (f"u{n}" for n in range(len(names) + len(fresh)) if f"u{n}" not in names)
    values = {name: symbol(new) for name, new in zip(fresh, free, strict=False)}
    return _rebuild(graph, values)


def _age(name: str) -> tuple[int, str]:
    _, mark, number = name.partition("$")
    return (int(number) if mark and number.isdigit() else -1, name)


def _dims(item: Any) -> Iterator[Expr]:
    if isinstance(item, Expr):
        yield item
    elif isinstance(item, TensorType):
        yield from _dims(item.shape)
    elif isinstance(item, SequenceType | OptionalType):
        yield from _dims(item.element)
    elif isinstance(item, tuple):
        for part in item:
            yield from _dims(part)


def _graph_dims(graph: Graph) -> Iterator[Expr]:
    for node in graph.nodes:
        yield from _dims(node.types)
        yield from _dims(tuple(node.attributes.values()))
        for region in node.regions:
            yield from _graph_dims(region)


def _renamed(item: Any, values: Mapping[str, Dim]) -> Any:
    if isinstance(item, Expr):
        return substitute(item, values)
    if isinstance(item, TensorType):
        return item.substitute(values)
    if isinstance(item, SequenceType | OptionalType):
        return type(item)(_renamed(item.element, values))
    if isinstance(item, tuple):
        return tuple(_renamed(part, values) for part in item)
    return item


def _rebuild(graph: Graph, values: Mapping[str, Dim]) -> Graph:
    new: dict[Value, Value] = {}

    def moved(items: Iterable[Value | None]) -> list[Any]:
        return [None if item is None else new[item] for item in items]

    for node in graph.nodes:
        types: tuple[Type, ...] = _renamed(node.types, values)
        attributes = {name: _renamed(value, values) for name, value in node.attributes.items()}
        regions = [_rebuild(region, values) for region in node.regions]
        copy = Node(node.op, moved(node.operands), attributes, types, regions, node.location)
        new.update(zip(node.results, copy.results, strict=True))
    return graph.replace(moved(graph.outputs), moved(graph.inputs))
