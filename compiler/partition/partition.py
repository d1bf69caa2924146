"""Where every node of a graph runs in a system: candidates, search, and the plans that the assignment leads to."""

from typing import Protocol

from ...runtime.records import dataclass
from ..ir.graph import Graph
from ..passes.plan import HostStep
from . import search
from .balance import loads
from .candidates import Unit, candidates
from .knowledge import Knowledge
from .model import Assignment, Model, describe, scheduled
from .split import Part, Task, reordered, schedule, split, tasks
from .system import System


class Timed(Protocol):
    """What has a latency and a period, in seconds."""

    @property
    def latency(self) -> float: ...

    @property
    def period(self) -> float: ...


OBJECTIVES = ("latency", "throughput")


@dataclass(frozen=True)
class Choice:
    """An assignment, how it was found, and what the schedule model says of it, in seconds."""

    how: str
    assignment: Assignment
    latency: float
    period: float


class Partition:
    """The partition of one graph, with what was looked at on the way."""

    def __init__(self, graph: Graph, system: System, known: Knowledge, objective: str = "latency"):
        self.graph, self.system, self.known, self.objective = graph, system, known, objective
        found = candidates(graph, system, known)
        self.units, self.layouts = found.units, found.layouts
        self.model: Model = describe(self.units, graph.outputs, system)
        self.choices = self._choices()

    def _choices(self) -> list[Choice]:
        """Assignments worth a look, the most promising first: what the search finds, greedy by priority, and each
        device alone as far as it goes."""
        names = self.model.names
        host = names.index(self.system.host)
        order = [*(n for n in range(len(names)) if n != host), host]
        found = {
            "greedy": search.greedy(self.model, order),
            f"all on {names[host]}": search.greedy(self.model, [host, *order]),
        }
        for first in order[:-1]:
            rest = [host, *(n for n in order if n not in (first, host))]
            found.setdefault(f"{names[first]} first", search.greedy(self.model, [first, *rest]))
        starts = list(found.values())
        if self.objective == "throughput":
            searched = [search.best_throughput(self.model, starts)]
        else:
            searched = search.best_latency(self.model, starts)
        choices: dict[Assignment, Choice] = {}
        for how, assignment in (*found.items(), *(("search", each) for each in searched)):
            choices.setdefault(assignment, self.choice(how, assignment))
        return sorted(choices.values(), key=self.value)

    def choice(self, how: str, assignment: Assignment) -> Choice:
        """An assignment, with what the schedule model says of it."""
        period = max(loads(self.model, assignment))
        return Choice(how, assignment, scheduled(self.model, assignment), period)

    def value(self, choice: Timed) -> tuple[float, float]:
        """What is to be small, first what was asked for."""
        found = (choice.latency, choice.period)
        return found if self.objective == "latency" else found[::-1]

    def where(self, choice: Choice) -> dict[Unit, str]:
        """The device of each unit."""
        return {unit: self.model.names[device] for unit, device in zip(self.units, choice.assignment)}

    def parts(self, choice: Choice) -> tuple[list[Part], list[Task]] | None:
        """The plans of all devices, and their steps in order; None where a device turned out not to run its part, which
        is known from then on."""
        parts = split(self.graph, self.where(choice), self.layouts, self.system, self.known)
        sound = True
        for part in parts:
            for step in part.plan.steps:
                if isinstance(step, HostStep) and part.device.name != self.system.host:
                    nodes = part.nodes(step)
                    reason = self.known.reason(part.device.name, step.node) or step.reason
                    self.known.refuse(part.device.name, nodes[:1], reason)
                    sound = False
        return reordered(parts, schedule(tasks(parts), self.system)) if sound else None
