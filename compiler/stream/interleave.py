"""Instructions of all kernels in the order in which engines can take them up.

Kernels follow one another, so at the end of each engines wait for the last results, and at the next one's beginning for
the first. Here an engine goes on with whatever is ready: of the next kernel too, where that touches nothing that is
still needed. The order is that of a simple clock, which knows what instructions take but not how transfers share home:
weights that come far ahead slow down what is needed now, so there is a second order without such loads; of many
instructions that one alone, as each order takes long to be timed, and it was the quicker one for ResNet-50 and
MobileNetV2 on n1-128.
"""

from collections.abc import Collection, Iterator, Sequence

from ...runtime.records import dataclass
from ...runtime.sim.events import Work
from ...runtime.sim.fields import Instruction
from .sync import Touched, predecessors

EARLY = 24_000
"""Cycles by which the second order's loads precede what needs them, as this clock counts: transfers that share home
take twice as long."""

MANY = 1024
"""Instructions beyond which there is one order where two differ."""

PATIENCE = 20
"""Cycles that an engine waits for an instruction rather than take one that stands behind it."""


def interleaved(
    records: Sequence[Instruction], touched: Touched, work: Work, loads: Collection[str]
) -> list[list[int]]:
    """The positions of instructions in better orders; `work` is what each takes, `loads` are the queues of loads."""
    clock = _Clock(work, list(predecessors(records, touched)))
    for _ in records:
        clock.step()
    later = list(clock.begin)
    for position, record in enumerate(records):
        if record.queue in loads and clock.after[position]:
            needed = min(clock.begin[other] for other in clock.after[position])
            later[position] = max(later[position], needed - EARLY)
    times = [clock.begin, later] if later != clock.begin else [later]
    return [_sorted(each) for each in (times if len(records) <= MANY else times[-1:])]


def _sorted(times: Sequence[float]) -> list[int]:
    """Positions by time."""
    return sorted(range(len(times)), key=lambda position: (times[position], position))


@dataclass(frozen=True, slots=True)
class _Costs:
    """What one instruction takes: preparation, time on the engine, the end of it in which the engine accepts the next
    one, and what passes until it is complete."""

    lead: float
    busy: float
    overlap: float
    tail: float

    @staticmethod
    def of(work: Work) -> Iterator["_Costs"]:
        columns = (work.lead, work.busy + work.transfer, work.overlap, work.tail)
        return map(_Costs, *(each.tolist() for each in columns))


@dataclass(slots=True)
class _Engine:
    """Instructions that could begin, since all before them have, and when the engine accepts one and is free."""

    open: list[int]
    accepts: float = 0.0
    free: float = 0.0
    next: tuple[float, int] | None = None


class _Clock:
    """Takes up one instruction after another, always the one that can begin first."""

    def __init__(self, work: Work, before: Sequence[Sequence[int]]):
        self.costs = list(_Costs.of(work))
        self.engine_of = work.engine.tolist()
        self.left = list(map(len, before))
        self.after: list[list[int]] = [[] for _ in before]
        for position, others in enumerate(before):
            for other in others:
                self.after[other].append(position)
        self.ready, self.begin = [0.0] * len(before), [0.0] * len(before)
        self.engines = {number: _Engine([]) for number in sorted(set(self.engine_of))}
        for position, count in enumerate(self.left):
            if not count:
                self.engines[self.engine_of[position]].open.append(position)
        for engine in self.engines.values():
            self.look(engine)

    def look(self, engine: _Engine) -> None:
        """Find what an engine takes up next: of what can begin soon the first in order, else what begins first."""
        soon = engine.free + PATIENCE
        turns = ((self.earliest(engine, position), position) for position in engine.open)
        engine.next = min(turns, key=lambda turn: (max(turn[0], soon), turn[1]), default=None)

    def earliest(self, engine: _Engine, position: int) -> float:
        accepted = max(self.ready[position], engine.accepts)
        return max(accepted + self.costs[position].lead, engine.free)

    def step(self) -> None:
        """Take up one instruction."""
        engine = min((e for e in self.engines.values() if e.next is not None), key=lambda e: e.next)  # type: ignore[arg-type, return-value]
        assert engine.next is not None
        begin, position = engine.next
        costs = self.costs[position]
        engine.open.remove(position)
        engine.free = begin + costs.busy
        engine.accepts = max(begin, engine.free - costs.overlap)
        self.begin[position] = begin
        touched = [engine]
        for other in self.after[position]:
            self.left[other] -= 1
            self.ready[other] = max(self.ready[other], engine.free + costs.tail)
            if not self.left[other]:
                mine = self.engines[self.engine_of[other]]
                mine.open.append(other)
                touched.append(mine)
        for each in {id(each): each for each in touched}.values():
            self.look(each)
