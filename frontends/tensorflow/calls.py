"""Functions that call functions: how many nodes a model comes to once all are expanded, found without expanding."""

from collections.abc import Iterable, Mapping
from typing import Any

from ...compiler.diagnostics import ModelError

MOST = 1_000_000
"""Nodes that a model may come to: a tiny file can ask for any number."""


def expanded_size(nodes: Iterable[Any], functions: Mapping[str, Any]) -> int:
    """Nodes of a graph, those of functions counted at each call. Raises ModelError for recursion and for too many."""
    sizes: dict[str, int] = {}
    path: list[str] = []

    def size(nodes: Iterable[Any]) -> int:
        return sum(1 + sum(map(of, callees(node, functions))) for node in nodes)

    def of(name: str) -> int:
        if name in path:
            raise ModelError(
                f"functions call each other in a circle: {' -> '.join([*path[path.index(name) :], name])}"
            )
        if len(path) > 64:
            raise ModelError("functions call each other more than 64 deep", hint="flatten the model")
        if name not in sizes:
            path.append(name)
            sizes[name] = size(functions[name].node_def)
            path.pop()
        return sizes[name]

    total = size(nodes)
    if total > MOST:
        raise ModelError(f"its functions expand to more than {MOST} nodes", hint="simplify them")
    return total


def callees(node: Any, functions: Mapping[str, Any]) -> list[str]:
    """Names of the functions that a node calls."""
    named = [value.func.name for value in node.attr.values() if value.HasField("func")]
    named += [entry.name for value in node.attr.values() for entry in value.list.func]
    return [name for name in (node.op, *named) if name in functions]
