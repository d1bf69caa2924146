"""Names of a graph: every operand defined, nothing defined twice, no cycle. All defects are found at once."""

from collections.abc import Sequence, Set

from ..compiler.diagnostics import Problem
from .source import SourceNode


def check_names(
    location: str, given: Sequence[str], nodes: Sequence[SourceNode], outputs: Sequence[str], outer: Set[str]
) -> list[Problem]:
    """Problems of names in one graph; `given` are its inputs and constants, `outer` what its body may see besides."""
    problems = []
    defined: dict[str, str] = {}
    for name in given:
        if name in defined:
            problems.append(Problem(f"{location}:{name}", "the name is defined twice, by two inputs"))
        defined[name] = "an input or constant"
    for node in nodes:
        for name in filter(None, node.outputs):
            if name in defined:
                message = f"its output '{name}' is already defined by {defined[name]}"
                problems.append(Problem(f"{location}:{node.name}", message, "rename one of them"))
            defined[name] = f"node '{node.name}'"
    for node in nodes:
        for name in filter(None, node.inputs):
            if name not in defined and name not in outer:
                message = f"operand '{name}' is not defined"
                hint = "it is no input, no initializer and no node's output"
                problems.append(Problem(f"{location}:{node.name}", message, hint))
    for name in outputs:
        if name not in defined and name not in outer:
            problems.append(Problem(f"{location}:{name}", "the output is not defined by any node"))
    return problems


def in_order(location: str, nodes: list[SourceNode]) -> tuple[list[SourceNode], list[Problem]]:
    """The nodes with definitions before uses, order kept where it is right; a problem where there is a cycle."""
    producer = {name: index for index, node in enumerate(nodes) for name in node.outputs if name}
    needs = []
    for node in nodes:
        names = (*node.inputs, *(name for graph in node.graphs for name in graph.free()))
        needs.append({producer[name] for name in names if name in producer})
    if all(all(before < index for before in need) for index, need in enumerate(needs)):
        return nodes, []
    users: list[list[int]] = [[] for _ in nodes]
    for index, need in enumerate(needs):
        for before in need:
            users[before].append(index)
    waiting = [len(need) for need in needs]
    ready = [index for index in reversed(range(len(nodes))) if not waiting[index]]
    order = []
    while ready:
        index = ready.pop()
        order.append(nodes[index])
        for user in reversed(users[index]):
            waiting[user] -= 1
            if not waiting[user]:
                ready.append(user)
    if len(order) == len(nodes):
        return order, []
    # Every node that still waits has a predecessor that waits: walking backwards must come round.
    path = [next(index for index, count in enumerate(waiting) if count)]
    while True:
        before = min(index for index in needs[path[-1]] if waiting[index])
        if before in path:
            ring = path[path.index(before) :][::-1]
            first = ring.index(min(ring))
            around = [nodes[index].name for index in (*ring[first:], *ring[: first + 1])]
            shown = " -> ".join(around if len(around) < 9 else [*around[:6], "...", around[-1]])
            return nodes, [
                Problem(f"{location}:{around[0]}", f"nodes form a cycle: {shown}", "a graph must have none")
            ]
        path.append(before)
