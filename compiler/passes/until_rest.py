"""Passes that give each other work, repeated until none finds anything."""

from collections import Counter

from ...runtime.records import dataclass
from ..diagnostics import VerifyError
from ..ir.graph import Graph
from .base import Pass, PassResult, run_once


@dataclass(frozen=True, slots=True)
class UntilRest:
    """Runs its passes in turn until a whole round leaves the graph as it was; VerifyError after `rounds`."""

    name: str
    passes: tuple[Pass, ...]
    rounds: int = 20

    def run(self, graph: Graph) -> PassResult:
        total: Counter[str] = Counter()
        for _ in range(self.rounds):
            hits: Counter[str] = Counter()
            for step in self.passes:
                result = run_once(step, graph)
                graph = result.graph
                hits.update(result.hits)
            total += hits
            if not hits:
                return PassResult(graph, total)
        raise VerifyError(
            f"passes do not come to rest after {self.rounds} rounds; still at work: {', '.join(sorted(hits))}"
        )
