"""Control flow that constants decide: the branch that is taken stands in place of the choice."""

from collections import Counter
from collections.abc import Sequence

from ...runtime.records import dataclass
from ..ir.graph import Graph, Value
from ..rewrite.renew import Renewal
from .base import PassResult


@dataclass(frozen=True, slots=True)
class InlineBranches:
    """Replaces `control.if` on a constant condition by the nodes of the branch taken."""

    @property
    def name(self) -> str:
        return "inline-branches"

    def run(self, graph: Graph) -> PassResult:
        hits: Counter[str] = Counter()
        return PassResult(_run(graph, hits), hits)


def _run(graph: Graph, hits: Counter[str]) -> Graph:
    if not any(node.regions for node in graph.nodes):
        return graph
    new: dict[Value, Value] = {}
    renewal = Renewal()
    for old in graph.nodes:
        operands = [None if v is None else new[v] for v in old.operands]
        node = renewal.renew(old, operands, [_run(region, hits) for region in old.regions])
        results: tuple[Value, ...] = node.results
        if node.op == "control.if" and node.operands[0] is not None and node.operands[0].constant is not None:
            region = node.regions[0 if node.operands[0].constant.reshape(-1)[0] else 1]
            results = inlined(region, [value for value in node.operands[1:] if value is not None])
            hits["if(constant) => branch"] += 1
        renewal.define(old, results)
        new.update(zip(old.results, results, strict=True))
    if all(new[value] is value for value in graph.outputs):
        return graph
    return renewal.finish(graph.replace([new[value] for value in graph.outputs]))


def inlined(region: Graph, arguments: Sequence[Value]) -> tuple[Value, ...]:
    """The values that a region gives, its nodes built on arguments; its own symbols get the arguments' extents."""
    renewal = Renewal()
    for inner, outer in zip(region.inputs, arguments, strict=True):
        renewal.define(inner.node, [outer])
    region = renewal.finish(region)
    new = dict(zip(region.inputs, arguments, strict=True))
    for old in region.nodes:
        if old.op != "input":
            operands = [None if v is None else new[v] for v in old.operands]
            new.update(zip(old.results, renewal.renew(old, operands, old.regions).results, strict=True))
    return tuple(new[value] for value in region.outputs)
