"""What a pass is: a frozen dataclass with a name, whose fields are its options, and `run` from graph to graph."""

from collections.abc import Mapping
from dataclasses import field
from typing import Protocol
from weakref import WeakKeyDictionary

from ...runtime.records import dataclass
from ..ir.graph import Graph
from ..rewrite import Rule, apply


@dataclass(frozen=True, slots=True)
class PassResult:
    """The new graph (the same object if nothing was found), and how often each rule or change was made."""

    graph: Graph
    hits: Mapping[str, int] = field(default_factory=dict)


class Pass(Protocol):
    """A step of the pipeline."""

    @property
    def name(self) -> str: ...

    def run(self, graph: Graph) -> PassResult:
        """The graph after this pass; the meaning of every output is kept."""
        ...


_IN_ORDER: WeakKeyDictionary[Graph, list[Pass]] = WeakKeyDictionary()


def run_once(step: Pass, graph: Graph) -> PassResult:
    """What a pass gives; without running it where it has left this very graph as it was before."""
    known = _IN_ORDER.setdefault(graph, [])
    if any(step is other for other in known):
        return PassResult(graph)
    result = step.run(graph)
    if result.graph is graph and not result.hits:
        known.append(step)
    return result


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A pass that is a set of rules."""

    name: str
    rules: tuple[Rule, ...]

    def run(self, graph: Graph) -> PassResult:
        rewritten, hits = apply(graph, self.rules)
        return PassResult(rewritten, hits)
