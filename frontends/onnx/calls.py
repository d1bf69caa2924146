"""Functions that a model defines: who calls whom, and how much that comes to, found without expanding anything."""

from collections import Counter
from collections.abc import Iterable, Mapping

from onnx import FunctionProto, NodeProto

from ...runtime.records import dataclass
from .names import domain_of

MOST = 1_000_000
"""Nodes that a model may have once its own functions are expanded: a tiny file can ask for any number."""

Key = tuple[str, str, str]
"""A local function's domain, name and overload."""


@dataclass(frozen=True, slots=True)
class LocalFunction:
    """A function that the model defines, and the opsets that its nodes are written in."""

    proto: FunctionProto
    versions: Mapping[str, int]

    @property
    def key(self) -> Key:
        return domain_of(self.proto.domain), self.proto.name, self.proto.overload


def calls(nodes: Iterable[NodeProto]) -> Counter[Key]:
    """How often nodes, bodies included, use which op: domain, name and overload."""
    found: Counter[Key] = Counter()
    for node in nodes:
        found[domain_of(node.domain), node.op_type, node.overload] += 1
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found += calls(attribute.g.node)
            for graph in attribute.graphs:
                found += calls(graph.node)
    return found


def recursion(functions: Mapping[Key, LocalFunction]) -> list[list[str]]:
    """Circles of functions, one for each that a walk along the calls comes back to; the first name ends it too."""
    callees = {
        key: sorted(calls(entry.proto.node).keys() & functions.keys()) for key, entry in functions.items()
    }
    rings: list[list[str]] = []
    done: set[Key] = set()
    for start in callees:
        path, pending = [start], [list(callees[start])]
        while path:
            if not pending[-1]:
                done.add(path.pop())
                pending.pop()
                continue
            callee = pending[-1].pop()
            if callee in path:
                rings.append([name for _, name, _ in (*path[path.index(callee) :], callee)])
            elif callee not in done:
                path.append(callee)
                pending.append(list(callees[callee]))
    return rings


def expanded_size(nodes: Iterable[NodeProto], functions: Mapping[Key, LocalFunction]) -> int:
    """Nodes that conversion meets; the functions must not be recursive."""
    sizes: dict[Key, int] = {}

    def size(nodes: Iterable[NodeProto]) -> int:
        total = 0
        for key, count in calls(nodes).items():
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].proto.node)
            total += count * (1 + sizes.get(key, 0))
        return total

    return size(nodes)
