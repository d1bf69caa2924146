"""Branch and bound over all assignments of small graphs, for latency and for the period of a stream.

Units get their devices in a fixed order, each as it bounds least first; what can't be among the best is cut off.
"""

from bisect import insort
from collections.abc import Sequence

from ...runtime.records import dataclass
from .balance import loads
from .model import Assignment, Model, scheduled

EXACT = 14
"""The most units that are searched exhaustively."""

_LATENCY_NODES, _PERIOD_NODES = 100_000, 30_000
"""Partial assignments that a search looks at, a second's worth: beyond, it gives what it has found."""

_BEST = 24
"""How many of the assignments of least latency are given: kernels that are formed apart cost a little more or less than
the schedule model says, so that the best of them need not come first in it."""

_MARGIN = 1.25
"""How many times the least latency those may take."""


def least_latencies(model: Model, starts: Sequence[Assignment]) -> list[Assignment]:
    """The assignments of least latency, the best first; `starts` are some to begin with."""
    best = sorted({(scheduled(model, each), each) for each in starts})
    stack = [_Bound(model, _quickest(model))]
    for _ in range(_LATENCY_NODES):
        if not stack:
            break
        bound = stack.pop()
        limit = min(best[0][0] * _MARGIN, best[_BEST - 1][0] if len(best) >= _BEST else float("inf"))
        if bound.seconds >= limit:
            continue
        if len(bound.placed) < len(model.seconds):
            stack += sorted(bound.next(), key=lambda each: each.seconds, reverse=True)
            continue
        found = scheduled(model, bound.placed), bound.placed
        if found[0] < limit and found not in best:
            insort(best, found)
    return [assignment for seconds, assignment in best[:_BEST] if seconds <= best[0][0] * _MARGIN]


@dataclass(frozen=True)
class _Bound:
    """What the first units take at least: the longest way through them and the rest, were devices and links free, and
    the busiest device."""

    model: Model
    quickest: list[dict[tuple[int, int], float]]
    placed: Assignment = ()
    ends: tuple[float, ...] = ()
    busy: tuple[float, ...] = ()
    held: tuple[int, ...] = ()
    seconds: float = 0.0

    def next(self) -> list["_Bound"]:
        """The bound with the next unit on each device that runs it, has room, and is reached by what it reads."""
        found = (self._with(device) for device in self.model.choices(len(self.placed)))
        return [bound for bound in found if bound.seconds < float("inf")]

    def _with(self, device: int) -> "_Bound":
        model, unit, count = self.model, len(self.placed), len(self.model.memory)
        cost = model.seconds[unit][device] or 0.0
        end = self._begin(unit, model.memory[device]) + cost
        busy = [*(self.busy or [0.0] * count)]
        held = [*(self.held or [0] * count)]
        busy[device] += cost
        held[device] += model.weights[unit]
        seconds = max(self.seconds, end + model.tails[unit], busy[device])
        if model.limits[device] and held[device] > model.limits[device]:
            seconds = float("inf")
        placed, ends = (*self.placed, device), (*self.ends, end)
        return _Bound(model, self.quickest, placed, ends, tuple(busy), tuple(held), seconds)

    def _begin(self, unit: int, memory: int) -> float:
        model, begin = self.model, 0.0
        for value in model.reads[unit]:
            maker = model.maker.get(value)
            done = 0.0 if maker is None else self.ends[maker]
            source = model.host if maker is None else model.memory[self.placed[maker]]
            begin = max(begin, done + self.quickest[value][source, memory])
        return begin


def _quickest(model: Model) -> list[dict[tuple[int, int], float]]:
    """For each value the least seconds of its way between two memories, by way of others where that is less."""
    memories = range(max(model.memory) + 1)
    found = []
    for value in range(len(model.sizes)):
        best = {(a, b): model.transit(value, a, b) for a in memories for b in memories}
        for via in memories:
            for a, b in best:
                best[a, b] = min(best[a, b], best[a, via] + best[via, b])
        found.append(best)
    return found


def least_period(model: Model, known: Assignment) -> Assignment:
    """Branch and bound on the greatest load: what is placed, or an even share of all work, whichever is more."""
    count, devices = len(model.seconds), len(model.memory)
    least = [min(cost for cost in row if cost is not None) for row in model.seconds]
    best, period = known, max(loads(model, known))
    stack: list[Assignment] = [()]
    for _ in range(_PERIOD_NODES):
        if not stack:
            break
        placed = stack.pop()
        children = []
        for device in model.choices(len(placed)):
            child = (*placed, device)
            busy = loads(model, child)
            share = (sum(busy[:devices]) + sum(least[len(child) :])) / devices
            bound = max(*busy, share)
            if bound < period and len(child) < count:
                children.append((bound, child))
            elif bound < period:
                best, period = child, max(busy)
        children.sort(reverse=True)
        stack += [child for _, child in children]
    return best
