"""The order of an entry point's instructions, with the programs that they use and the tokens between them."""

from collections.abc import Sequence
from dataclasses import fields, replace

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

    def best(self, kernels: Sequence[Sequence[Instruction | Pending]]) -> Ordered:
        """The instructions of kernels that follow one another: one kernel after the other, or interleaved where the
        clock says that this is quicker, on chips that want it. UnsupportedError where semaphores do not suffice."""
        turns = [(number, each) for number, written in enumerate(kernels) for each in written]
        in_turn = self._in_turn(turns)
        if self.instructions.costs is None or len(turns) > MOST:
            return self._finished(in_turn)
        try:
            orders = [self._interleaved(turns)] if self.instructions.interleaved else []
            timed = [(self._cycles(order), order) for order in (*orders, in_turn)]
        except (EncodingError, UnsupportedError):  # fields or semaphores that do not suffice
            return self._finished(in_turn)
        cycles, order = min(timed, key=lambda each: each[0])
        return replace(self._finished(order), cycles=cycles)

    def _in_turn(self, turns: Sequence[_Turn]) -> list[_Turn]:
        """Kernel after kernel, loads before their turn."""
        records = [each.instruction if isinstance(each, Pending) else each for _, each in turns]
        loads = [engine.name for engine in self.target.engines.values() if engine.does == "load"]
        depth = self.target.control.queue_depth
        return [turns[place] for place in loads_ahead(records, loads, self.isa.queues, depth, self.touched)]

    def _interleaved(self, turns: Sequence[_Turn]) -> list[_Turn]:
        ordered = self._numbered(turns)
        own = [position for position, (_, record, is_own) in enumerate(ordered) if is_own]
        work = self._work([record for _, record, _ in ordered])
        columns = {each.name: getattr(work, each.name)[own] for each in fields(work)}
        records = [ordered[position][1] for position in own]
        return [turns[position] for position in interleaved(records, self.touched, Work(**columns))]

    def _numbered(self, turns: Sequence[_Turn]) -> list[tuple[int, Instruction, bool]]:
        """With the kernel of each, programs defined before they are used; and whether it is one of the given ones."""
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

    def _cycles(self, turns: Sequence[_Turn]) -> float:
        """What the clock says of an order."""
        control = self.target.control
        return simulate(
            self._work(self._finished(turns).records),
            self.isa.queues,
            Dram.of(home(self.record)),
            Control(control.queue_depth, control.issue_cycles),
        ).cycles

    def _work(self, records: Sequence[Instruction]) -> Work:
        assert self.instructions.costs is not None
        return self.instructions.costs(self.record, self.isa.decode(self.isa.encode(records))).work
