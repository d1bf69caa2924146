"""What the kit has to know of an instruction set to compile for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...runtime.records import dataclass
from ...runtime.sim.costs import Costs
from ...runtime.sim.fields import Instruction
from ...runtime.sim.isa import Isa
from ...runtime.sim.stream import Stream
from .constraints import NO_ROWS, Constraint
from .programs import Body, Pending, number_programs
from .writer import StreamWriter


@dataclass(frozen=True)
class Instructions:
    """An instruction set and how kernels are written in it.

    `context` makes of a chip record what `Instruction.accesses` needs. `programs` is how many programs a vector engine
    stores, and `define` the instruction that defines one; 0 where every instruction brings its own. `constraints` are
    the chip's own, beside those of the kit. `costs` are those of a chip's record and a stream: where they are given,
    the clock says what short entry points take, and where kernels are `interleaved`, which order is the quickest.
    """

    isa: Isa
    writer: type[StreamWriter]
    context: Callable[[Mapping[str, Any]], Any] = lambda record: None
    programs: int = 0
    define: Callable[[Body, int], Instruction] | None = None
    constraints: tuple[Constraint, ...] = ()
    costs: Callable[[Mapping[str, Any], Stream], Costs] | None = None
    interleaved: bool = False

    @property
    def further(self) -> tuple[Constraint, ...]:
        """The chip's own constraints, and what follows from what its writer does not spell."""
        spelt = self.writer.gather_rows is not StreamWriter.gather_rows
        return self.constraints if spelt else (NO_ROWS, *self.constraints)

    def numbered(
        self, written: Sequence[Instruction | Pending], known: dict[object, int]
    ) -> list[Instruction]:
        """The instructions with programs defined before they are used; `known` are those that are there."""
        if self.define is None:
            return list(written)  # type: ignore[arg-type]
        return number_programs(written, self.programs, known, self.define)
