"""Finding assignments of units to devices: exact for small graphs, a beam and refinement for large ones.

Latency: the units are placed in their order, only the most promising states are followed, and the result is refined by
moving units and runs of them. Throughput: the period of a stream is the greatest load of any device or link, and moves
lower it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

from .balance import Balance, loads
from .exact import EXACT, least_latencies, least_period
from .model import Assignment, Model, State, latency, prefixes

_WIDTH = 48
_MOVES = 3000
"""Assignments that refinement judges at most."""

_REFINED = 4
"""Starts of a search for throughput that are refined."""

_PLACES = 14
"""Decimal places of seconds in which two periods differ: sums in another order end in other bits."""

Judge = Callable[[Sequence[int], Sequence[int], tuple[float, ...]], tuple[float, ...]]
"""(assignment, the units that were moved, first come first, the least value so far) -> what is to be small."""


def greedy(model: Model, priority: Sequence[int]) -> Assignment:
    """Each unit on the first device that runs it: what is done without costs."""
    return tuple(
        next(device for device in priority if model.seconds[unit][device] is not None)
        for unit in range(len(model.seconds))
    )


def best_latency(model: Model, starts: Sequence[Assignment]) -> list[Assignment]:
    """Assignments of least latency, the best first: up to `EXACT` units the best of all, else one that is found."""
    if len(model.seconds) <= EXACT:
        return least_latencies(model, starts)
    known = min(starts, key=lambda each: latency(model, each))
    best = min([*_beam(model), known], key=lambda each: latency(model, each))

    def prepare(assignment: Sequence[int]) -> Judge:
        begun = prefixes(model, assignment)
        return lambda trial, moved, least: (latency(model, trial, least[0], begun[moved[0]]),)

    return [_refined(model, best, (latency(model, best),), prepare)]


def best_throughput(model: Model, starts: Sequence[Assignment]) -> Assignment:
    """The assignment of least period that is found, up to `EXACT` units by branch and bound."""

    def objective(assignment: Sequence[int]) -> tuple[float, ...]:
        return _uneven(loads(model, assignment))

    def prepare(assignment: Sequence[int]) -> Judge:
        balance = Balance(model, assignment)
        return lambda trial, moved, least: _uneven(balance.moved(moved, trial))

    best = sorted([*starts, *_pipelines(model)], key=objective)[:_REFINED]
    refined = [_refined(model, each, objective(each), prepare) for each in best]
    known = min(refined, key=lambda each: (objective(each), latency(model, each)))
    return least_period(model, known) if len(model.seconds) <= EXACT else known


def _uneven(busy: Sequence[float]) -> tuple[float, ...]:
    """The greatest load, then how far from even all are."""
    return round(max(busy), _PLACES), round(sum(each * each for each in busy), _PLACES)


def _children(model: Model, state: State) -> Iterator[State]:
    """The state with the next unit on each device that runs it."""
    for device in model.choices(len(state.placed)):
        child = state.copy()
        if child.place(model, len(state.placed), device):
            yield child


def _beam(model: Model) -> list[Assignment]:
    """The best of the most promising states, unit by unit; one state of each set of devices' times."""
    states = [State(model)]
    for _ in model.seconds:
        children = [child for state in states for child in _children(model, state)]
        children.sort(key=lambda child: (child.bound, sum(child.free)))
        kept: dict[tuple[int, ...], int] = {}
        states = []
        for child in children:
            last = tuple(child.placed[-2:])
            if kept.get(last, 0) < _WIDTH // 4 and len(states) < _WIDTH:
                kept[last] = kept.get(last, 0) + 1
                states.append(child)
    states.sort(key=lambda state: state.finish(model))
    return [tuple(state.placed) for state in states[:2]]


def _pipelines(model: Model) -> list[Assignment]:
    """For each two devices, units cut in two where the longer side is shortest: in their order, so that one value
    crosses, and by what they gain on one of the two, whatever crosses."""
    found = []
    count = len(model.seconds)
    for first, second in permutations(range(len(model.memory)), 2):
        gains = [(model.seconds[u][first] or 0.0) / (model.seconds[u][second] or 1e-9) for u in range(count)]
        for order in (range(count), sorted(range(count), key=gains.__getitem__)):
            place = {unit: number for number, unit in enumerate(order)}
            options = [
                tuple(_either(model, unit, first if place[unit] < cut else second) for unit in range(count))
                for cut in range(0, count + 1, max(1, count // 24))
            ]
            found.append(min(options, key=lambda each: max(loads(model, each))))
    return found


def _either(model: Model, unit: int, device: int) -> int:
    """The device, or the cheapest one where it does not run the unit."""
    if model.seconds[unit][device] is not None:
        return device
    return min(model.choices(unit), key=lambda each: model.seconds[unit][each] or 0.0)


def _refined(
    model: Model, start: Assignment, value: tuple[float, ...], prepare: Callable[[Sequence[int]], Judge]
) -> Assignment:
    """The assignment after moves that improve it, of single units and of runs of neighbours, until none does. `prepare`
    gives the judge of assignments that differ a little from one."""
    best, judge = list(start), prepare(start)
    moves = 0
    improved = True
    while improved and moves < _MOVES:
        improved = False
        for run, device in _moves(model):
            moved = [u for u in run if best[u] != device and model.seconds[u][device] is not None]
            if not moved or moves >= _MOVES:
                continue
            trial = best[:]
            for unit in moved:
                trial[unit] = device
            moves += 1
            found = judge(trial, moved, value)
            if found < value:
                best, value, improved, judge = trial, found, True, prepare(trial)
    return tuple(best)


def _moves(model: Model) -> Iterator[tuple[range, int]]:
    """Runs of neighbours, and the device on which to put what it runs of them."""
    count = len(model.seconds)
    for length in (1, 2, 4, 8, 16):
        for begin in range(0, count - length + 1, max(1, length // 2)):
            for device in range(len(model.memory)):
                yield range(begin, begin + length), device
