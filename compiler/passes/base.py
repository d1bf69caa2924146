"""What a pass is: a frozen dataclass with a name, whose fields are its options, and `run` from graph to graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A pass that is a set of rules."""

    name: str
    rules: tuple[Rule, ...]

    def run(self, graph: Graph) -> PassResult:
        rewritten, hits = apply(graph, self.rules)
        return PassResult(rewritten, hits)
