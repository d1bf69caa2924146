"""Names of outputs: from the tree that torch packs a module's results into, where that is a dict or has fields."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..source import SourceNode
from .nodes import Ref, aten


def named_outputs(spec: str, values: Sequence[str | None]) -> tuple[tuple[str, ...], tuple[SourceNode, ...]]:
    """Names of the outputs that are tensors, and the nodes that give the values these names.

    `spec` is the tree of all results as torch writes it in JSON; without names in it they are `output_0`, ...
    """
    paths = leaves(spec)
    if len(paths) != len(values):
        paths = [f"output_{n}" for n in range(len(values))]
    found: dict[str, str] = {}
    for path, value in zip(paths, values, strict=True):
        if value is not None:
            name = path or "output_0"
            while name in found or name in values:
                name += "_"
            found[name] = value
    return tuple(found), tuple(output(name, value) for name, value in found.items())


def output(name: str, value: str) -> SourceNode:
    """The node that gives a value the name of an output."""
    return aten("result", (name,), (Ref(value),), domain="isthmus")


def leaves(spec: str) -> list[str]:
    """A name for each leaf of a tree specification in JSON: `[1, {"type", "context", "children_spec"}]`."""
    try:
        _, tree = json.loads(spec)
        return ["_".join(path) for path in _paths(tree, ())]
    except (ValueError, TypeError, KeyError):
        return []


def _paths(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    children = tree["children_spec"]
    if tree["type"] is None:
        yield path
        return
    keys = _keys(tree["context"], len(children))
    plain = not path and keys is None
    for index, child in enumerate(children):
        part = keys[index] if keys is not None else f"output_{index}" if plain else str(index)
        yield from _paths(child, (*path, part))


def _keys(context: Any, count: int) -> list[str] | None:
    """The keys of a dict, from its context, which is JSON in a string or a list; None for tuples and lists."""
    for _ in range(2):
        if isinstance(context, str):
            context = json.loads(context)
    if isinstance(context, list) and len(context) == count and all(isinstance(key, str) for key in context):
        return context
    return None
