"""The order of an entry point's instructions, with the programs that they use and the tokens between them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...runtime.records import dataclass
from ...runtime.sim.dram import Dram
from ...runtime.sim.errors import EncodingError
from ...runtime.sim.events import Control, Work, simulate
from ...runtime.sim.fields import Instruction
from ...runtime.sim.memories import home
from ..diagnostics import UnsupportedError
from ..target.description import Target
from .ahead import loads_ahead
from .instructions import Instructions
from .interleave import interleaved
from .programs import Pending
from .sync import Touched, synchronise

MOST = 4096
"""Instructions beyond which kernels follow one another: engines seldom wait for the next one then, and loops, which
make them few, want orders that repeat."""

_Turn = tuple[int, Instruction | Pending]
"""An instruction, whose program may have no number yet, with the number of its kernel."""
_Numbered = tuple[int, Instruction, bool]
"""One whose program is defined before it, and whether it is no such definition."""


@dataclass(frozen=True)
class Ordered:
    """Instructions with programs and tokens, the kernel of each, and the cycles that they take; infinite where the
    clock was not asked."""

    records: list[Instruction]
    kernels: list[int]
    cycles: float = float("inf")


class Orders:
    """Orders of instructions on one chip."""

    def __init__(self, instructions: Instructions, target: Target):
        self.instructions, self.target = instructions, target
        self.isa, self.record = instructions.isa, target.record()
        self.touched = Touched(instructions.context(self.record))
        self.known: dict[object, Ordered] = {}
        self.loads = [engine.name for engine in target.engines.values() if engine.does == "load"]

    def best(self, kernels: Sequence[Sequence[Instruction | Pending]]) -> Ordered:
        """The instructions of kernels that follow one another: one kernel after the other, or interleaved where the
        clock says that this is quicker, on chips that want it; of the same instructions the same again.
        UnsupportedError where semaphores do not suffice."""
        turns = [(number, each) for number, written in enumerate(kernels) for each in written]
        if self.instructions.costs is None or len(turns) > MOST:
            return self._finished(self._in_turn(turns))
        asked = tuple([(number, _content(each)) for number, each in turns])
        if asked not in self.known:
            self.known[asked] = self._quickest(turns)
        return self.known[asked]

    def _quickest(self, turns: Sequence[_Turn]) -> Ordered:
        in_turn = self._in_turn(turns)
        try:
            given = self._numbered(turns)
            work = self._work([record for _, record, _ in given])
            others = self._interleaved(turns, given, work) if self.instructions.interleaved else []
            orders = [in_turn, *(order for order in others if order != in_turn)]
            timed = [self._timed(order, given, work) for order in orders]
        except (EncodingError, UnsupportedError):  # fields or semaphores that do not suffice
            return self._finished(in_turn)
        best = min(reversed(range(len(timed))), key=lambda number: timed[number].cycles)
        if best == len(timed) - 1:
            return timed[best]
        again = self._finished(orders[best])  # others have changed its tokens
        return replace(again, cycles=timed[best].cycles)

    def _in_turn(self, turns: Sequence[_Turn]) -> list[_Turn]:
        """Kernel after kernel, loads before their turn."""
        records = [each.instruction if isinstance(each, Pending) else each for _, each in turns]
        loads = self.loads
        depth = self.target.control.queue_depth
        return [turns[place] for place in loads_ahead(records, loads, self.isa.queues, depth, self.touched)]

    def _interleaved(
        self, turns: Sequence[_Turn], given: Sequence[_Numbered], work: Work
    ) -> list[list[_Turn]]:
        """As engines can take instructions up; `given` are the turns with programs, `work` what these take."""
        own = [position for position, (_, _, is_own) in enumerate(given) if is_own]
        records = [given[position][1] for position in own]
        orders = interleaved(records, self.touched, work.of(own), self.loads)
        return [[turns[position] for position in order] for order in orders]

    def _numbered(self, turns: Sequence[_Turn]) -> list[_Numbered]:
        known: dict[object, int] = {}
        out = []
        for number, each in turns:
            *defined, record = self.instructions.numbered([each], known)
            out += [*((number, one, False) for one in defined), (number, record, True)]
        return out

    def _finished(self, turns: Sequence[_Turn]) -> Ordered:
        ordered = self._numbered(turns)
        records = [record for _, record, _ in ordered]
        for record in records:
            record.wait = record.signal = 0
        synchronise(records, self.isa.queues, self.target.control.semaphores, self.touched)
        return Ordered(records, [number for number, _, _ in ordered])

    def _timed(self, turns: Sequence[_Turn], given: Sequence[_Numbered], work: Work) -> Ordered:
        """An order, and what the clock says of it; `work` is what the given order takes."""
        finished = self._finished(turns)
        places = _places([record for _, record, _ in given], finished.records)
        if places is None:
            work = self._work(finished.records)
        else:
            masks = [[getattr(record, name) for record in finished.records] for name in ("wait", "signal")]
            wait, signal = (np.array(each, np.int64) for each in masks)
            work = replace(work.of(places), wait=wait, signal=signal)
        control = self.target.control
        timeline = simulate(
            work,
            self.isa.queues,
            Dram.of(home(self.record)),
            Control(control.queue_depth, control.issue_cycles),
        )
        return replace(finished, cycles=timeline.cycles)

    def _work(self, records: Sequence[Instruction]) -> Work:
        assert self.instructions.costs is not None
        return self.instructions.costs(self.record, self.isa.collect(records)).work


def _content(each: Instruction | Pending) -> tuple[object, ...]:
    """All of an instruction that its place in the order does not change."""
    body, record = (each.body.key, each.instruction) if isinstance(each, Pending) else (None, each)
    kind = type(record)
    names = [operand.name for operand in kind.operands if body is None or operand.name != "number"]
    values = [getattr(record, name) for name in names]
    for group in kind.groups:
        items = getattr(record, group.name)
        values.append(items if group.item is None else tuple([tuple(vars(item).values()) for item in items]))
    return kind, body, tuple(values)


def _places(given: Sequence[Instruction], ordered: Sequence[Instruction]) -> list[int] | None:
    """Where instructions of another order stand in the given one; None where those of some class have changed places,
    for then copies may take longer, or less, than in the given order."""
    left: dict[type[Instruction], Iterator[int]] = {}
    for kind in set(map(type, given)):
        left[kind] = iter([place for place, record in enumerate(given) if type(record) is kind])
    found = []
    for record in ordered:
        place = next(left.get(type(record), iter(())), None)
        if place is None or (given[place] is not record and given[place] != record):
            return None
        found.append(place)
    return found
