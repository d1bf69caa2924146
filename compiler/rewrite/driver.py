"""Applies rules until none matches. Graphs are rebuilt around what changed; untouched nodes stay the same objects."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Any

from ...runtime.records import dataclass
from ..diagnostics import VerifyError
from ..ir.compare import compatible
from ..ir.graph import Graph, Node, Value
from ..ir.location import at
from .pattern import Match, roots
from .renew import Renewal
from .rule import Rule

SWEEPS = 200
REPEATS = 100


@dataclass(frozen=True)
class Trace:
    """Where what rewriting made came from: the nodes of the graph before by each new node, the value of the graph
    before by each new value that stands for it. What is not in here is as it was. Dimensions must be known."""

    nodes: dict[Node, tuple[Node, ...]] = field(default_factory=dict)
    values: dict[Value, Value] = field(default_factory=dict)

    def sources(self, node: Node) -> tuple[Node, ...]:
        """The nodes that a node was made of: itself, where it is an old one."""
        return self.nodes.get(node, (node,))

    def made(self, node: Node, of: Iterable[Node]) -> None:
        """Note of which nodes a new one was made."""
        self.nodes.setdefault(node, tuple(dict.fromkeys(old for each in of for old in self.sources(each))))


def apply(
    graph: Graph, rules: Iterable[Rule], *, sweeps: int = SWEEPS, trace: Trace | None = None
) -> tuple[Graph, Counter[str]]:
    """The graph with every rule applied wherever it matches, regions included, and how often each rule did; `trace`
    gets where the new nodes come from.

    Rules are tried at each node in the order given, operands before users, again and again until a whole sweep finds
    nothing. VerifyError names the rules when that does not happen within `sweeps`, and a rule that changes a type.
    """
    index = _index(tuple(rules))
    total: Counter[str] = Counter()
    trace = Trace() if trace is None else trace
    for _ in range(sweeps):
        sweep = _Sweep(graph, index, sweeps, trace)
        graph = sweep.run()
        total += sweep.hits
        if not sweep.hits:
            return graph, total
    raise _restless(sweep.hits, f"{sweeps} sweeps over graph '{graph.name}'")


@lru_cache(maxsize=256)
def _index(rules: tuple[Rule, ...]) -> Mapping[str, Sequence[Rule]]:
    """The rules by the ops that they may match, in the order given; passes apply the same ones again and again."""
    index: dict[str, list[Rule]] = {}
    for rule in rules:
        for op in sorted(roots(rule.pattern)):
            index.setdefault(op, []).append(rule)
    return index


def _restless(hits: Iterable[str], when: str) -> VerifyError:
    names = ", ".join(f"'{name}'" for name in sorted(set(hits)))
    return VerifyError(
        f"rewriting does not come to rest after {when}; still at work: {names}",
        hint="one of these rules undoes another, or matches what it builds",
    )


class _Sweep:
    """One pass over a graph. `uses` counts the readers of each value of the new graph, outputs included."""

    def __init__(self, graph: Graph, index: Mapping[str, Sequence[Rule]], sweeps: int, trace: Trace):
        self.graph = graph
        self.index = index
        self.sweeps = sweeps
        self.trace = trace
        self.hits: Counter[str] = Counter()
        self.uses: Counter[Value] = Counter()
        self.known: set[Node] = set()
        self.renewal = Renewal()

    def run(self) -> Graph:
        readers = Counter({value: len(users) for value, users in self.graph.users.items()})
        readers.update(self.graph.outputs)
        new: dict[Value, Value] = {}
        for old in self.graph.nodes:
            node = self.rebuild(old, new)
            self.known.add(node)
            results = self.settle(node)
            self.renewal.define(old, results)
            for before, after in zip(old.results, results, strict=True):
                new[before] = after
                self.uses[after] += readers[before]
                if after.node in self.trace.nodes:
                    self.trace.values.setdefault(after, self.trace.values.get(before, before))
        if all(new[value] is value for value in self.graph.outputs):
            return self.renewal.finish(self.graph)
        return self.renewal.finish(self.graph.replace([new[value] for value in self.graph.outputs]))

    def rebuild(self, node: Node, new: Mapping[Value, Value]) -> Node:
        operands = [None if v is None else new[v] for v in node.operands]
        regions = node.regions
        if regions:
            rewritten = [_region(region, self.index, self.sweeps) for region in regions]
            self.hits.update({n: c for _, hits in rewritten for n, c in hits.items()})
            regions = tuple(region for region, _ in rewritten)
        renewed = self.renewal.renew(node, operands, regions)
        if renewed is not node:
            self.trace.made(renewed, (node,))
        return renewed

    def settle(self, node: Node) -> tuple[Value, ...]:
        """What stands for the node's results once no rule matches there any more."""
        recent: list[str] = []
        results = node.results
        while True:
            hit = self.try_rules(node)
            if hit is None:
                return results
            rule, matched, replacement = hit
            recent.append(rule.name)
            self.hits[rule.name] += 1
            if len(recent) > REPEATS:
                raise _restless(recent[-REPEATS // 2 :], f"{REPEATS} rewrites of one node, {node.location}")
            is_new = replacement[0].node not in self.known
            self.adopt(replacement, node, matched)
            results, node = replacement, replacement[0].node
            if not is_new or node.results != results:
                return results

    def try_rules(self, node: Node) -> tuple[Rule, Sequence[Node], tuple[Value, ...]] | None:
        for rule in self.index.get(node.op, ()):
            for match in rule.matches(node):
                if not rule.shared and not self.is_private(match, node):
                    continue
                built = self.build(rule, match, node)
                if built is not None:
                    return rule, match.nodes, built
        return None

    def is_private(self, match: Match, root: Node) -> bool:
        """Whether the nodes inside the match are read by the match only."""
        inside = Counter(v for node in match.nodes for v in node.operands if v is not None)
        return all(
            self.uses[result] <= inside[result]
            for node in match.nodes
            if node is not root
            for result in node.results
        )

    def build(self, rule: Rule, match: Match, root: Node) -> tuple[Value, ...] | None:
        merged = match.nodes[0].location.merge(*(node.location for node in match.nodes[1:]))
        with at(merged):
            built: Any = rule.build(**match.bindings)
        if built is None:
            return None
        values = built if isinstance(built, tuple) else (built,)
        if len(values) != len(root.results):
            raise VerifyError(
                f"rule '{rule.name}' gives {len(values)} values for the {len(root.results)} of {root.op}",
                location=str(root.location),
            )
        for value, type in zip(values, root.types, strict=True):
            if not compatible(value.type, type):
                raise VerifyError(
                    f"rule '{rule.name}' changes the type of {root.op} from {type} to {value.type}",
                    location=str(root.location),
                )
        return values

    def adopt(self, values: tuple[Value, ...], replaced: Node, matched: Sequence[Node]) -> None:
        """Count the uses that new nodes make, then give back those that die with the replaced node."""
        fresh = [value.node for value in values if value.node not in self.known]
        while fresh:
            node = fresh.pop()
            if node in self.known:
                continue
            self.known.add(node)
            self.trace.made(node, matched)
            for operand in node.operands:
                if operand is not None:
                    self.uses[operand] += 1
                    if operand.node not in self.known:
                        fresh.append(operand.node)
        # the values themselves are about to be read: they must outlive the release
        self.uses.update(values)
        if not any(self.uses[result] > 0 for result in replaced.results):
            self.release(replaced)
        self.uses.subtract(values)

    def release(self, node: Node) -> None:
        dying = [node]
        while dying:
            for operand in dying.pop().operands:
                if operand is None:
                    continue
                self.uses[operand] -= 1
                if not any(self.uses[result] > 0 for result in operand.node.results):
                    dying.append(operand.node)


def _region(region: Graph, index: Mapping[str, Sequence[Rule]], sweeps: int) -> tuple[Graph, Counter[str]]:
    sweep = _Sweep(region, index, sweeps, Trace())
    return sweep.run(), sweep.hits
