"""A simulated chip: decodes a package's instruction bytes, runs them in the order that time allows, counts cycles.

Values and time come from one decoded stream: the clock decides in which order instructions are complete, and their
effects on memory happen in that order, so that a missing semaphore gives wrong values as it would in hardware. What an
instruction set and its engines are is said by a `Model`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any

import numpy as np

from ..device import Call
from ..errors import DeviceError, ExecutionError, PackageError
from ..memory import zeros
from ..profile import ChipRun, Span
from ..program import DeviceProgram
from ..records import dataclass
from .checks import check
from .costs import Costs
from .dram import Dram
from .errors import EncodingError
from .events import Control, Timeline, simulate_together
from .fields import Instruction
from .isa import Isa
from .memories import Memories, Prepared, home, home_name, scratchpads
from .shadows import Shadows
from .stream import Block, Stream
from .summary import Roof, summarise

_CONSTANTS = 0
"""The region of home memory that comes first."""

Prepare = Callable[["Entry", Block], Sequence[Prepared | None]]
"""The effects of all instructions of a class in an entry point, None where there is none."""


@dataclass(frozen=True)
class Model:
    """What is special to a kind of chip: its instruction set, what instructions cost on a chip, what
    `Instruction.accesses` needs of a chip record, and the effects of classes that work them out all at once; those of
    others are `Instruction.effect`."""

    isa: Isa
    costs: Callable[[Mapping[str, Any], Stream], Costs]
    context: Callable[[Mapping[str, Any]], Any] = lambda chip: None
    effects: Mapping[type[Instruction], Prepare] = field(default_factory=dict)


class SimulatedDevice:
    """Chips of a kind by its name; the package says which one.

    `checked`: entry points are proved before they first run, and runs are watched for reads of what was not written."""

    def __init__(self, name: str, model: Model, checked: bool = False):
        self.name, self.model, self.checked = name, model, checked

    def threads(self) -> int:
        """One: an instruction is one call of numpy."""
        return 1

    def load(
        self, program: DeviceProgram, code: np.ndarray, constants: np.ndarray, location: str
    ) -> "SimulatedCode":
        """Entry points are decoded when they are first run."""
        missing = [name for name in ("chip", "dram", "entries", "kernels") if name not in program.meta]
        if missing:
            raise PackageError(
                f"its device program lacks {', '.join(missing)}",
                location=location,
                hint="recompile the model",
            )
        return SimulatedCode(program.name, self.model, program.meta, code, constants, location, self.checked)


class SimulatedCode:
    """A device program: its entry points, and where DRAM has what."""

    def __init__(
        self,
        device: str,
        model: Model,
        meta: Mapping[str, Any],
        code: np.ndarray,
        constants: np.ndarray,
        location: str,
        checked: bool = False,
    ):
        self.device, self.model, self.meta, self.checked = device, model, meta, checked
        self.code, self.constants, self.location = code, constants, location
        self.chip: Mapping[str, Any] = meta["chip"]
        self._entries: dict[int, Entry] = {}

    def context(self) -> "SimulatedContext":
        """Scratchpads, and an arena of zeros."""
        return SimulatedContext(self)

    def entry(self, number: int) -> "Entry":
        """An entry point, decoded; DeviceError when there is none of that number."""
        if not 0 <= number < len(self.meta["entries"]):
            raise DeviceError(
                f"entry {number} does not exist; there are {len(self.meta['entries'])}",
                location=self.location,
                hint="recompile the model",
            )
        if number not in self._entries:
            entry = Entry(self, number)
            if self.checked:
                entry.check()
            self._entries[number] = entry
        return self._entries[number]


class Entry:
    """One entry point: `stream`, its costs, its timeline and the effects of its instructions."""

    def __init__(self, code: SimulatedCode, number: int):
        self.meta: Mapping[str, Any] = code.meta["entries"][number]
        self.model, self.chip, self.device = code.model, code.chip, code.device
        self.location = f"{code.location}: entry {number}"
        self._kernels: Sequence[Mapping[str, Any]] = code.meta["kernels"]
        self.stream = self._decoded(code.code[self.meta["start"] : self.meta["end"]])
        dram = code.meta["dram"]
        external = [tuple(each) for each in self.meta["externals"]]
        self.regions = [(dram["constants"], code.constants.size), (dram["arena"], dram["bytes"]), *external]

    def _decoded(self, code: np.ndarray) -> Stream:
        """The instructions of its bytes; EncodingError names the source nodes of the first that is none."""
        try:
            return self.model.isa.decode(code, self.location)
        except EncodingError as error:
            if error.instruction is None:
                raise
            message, place = f"on {self.device}: {error.message}", self.located(error.instruction)
            raise EncodingError(message, location=place, hint=error.hint) from None

    @cached_property
    def costs(self) -> Costs:
        """What each instruction costs on the chip."""
        return self.model.costs(self.chip, self.stream)

    @cached_property
    def timeline(self) -> Timeline:
        """When each instruction runs on a core that has the DRAM for itself. It does not depend on values."""
        return self._timelines(1)[0]

    @cached_property
    def together(self) -> int:
        """Cycles until all cores of the chip are done when each runs the entry, for inputs of its own."""
        cores = self.chip.get("cores", 1)
        timelines = self._timelines(cores) if cores > 1 else [self.timeline]
        return max(timeline.cycles for timeline in timelines)

    def _timelines(self, cores: int) -> list[Timeline]:
        control = self.chip["control"]
        return simulate_together(
            [self.costs.work] * cores,
            self.model.isa.queues,
            Dram.of(home(self.chip)),
            Control(control["queue_depth"], control["issue_cycles"]),
            lambda number: f"{self.located(number)}, on {self.device}",
        )

    @cached_property
    def effects(self) -> list[tuple[int, Prepared]]:
        """What instructions do to memory, with their numbers, in the order in which they are complete."""
        found: list[Prepared | None] = [None] * self.stream.size
        for kind, block in self.stream.blocks.items():
            if not kind.queue:
                continue
            if kind in self.model.effects:
                effects = self.model.effects[kind](self, block)
            else:
                effects = [record.effect(self) for record in block.records()]
            for position, effect in zip(block.positions.tolist(), effects):
                found[position] = effect
        chosen = ((number, found[number]) for number in self.timeline.order)
        return [(number, effect) for number, effect in chosen if effect is not None]

    def check(self) -> None:
        """HazardError for a stream that could deadlock or whose values depend on time; see `runtime/sim/checks.py`."""
        depth = self.chip["control"]["queue_depth"]
        queues, context = self.model.isa.queues, self.model.context(self.chip)
        check(self.stream.records, queues, depth, scratchpads(self.chip), context, self.located)

    def located(self, instruction: int) -> str:
        """The source nodes of an instruction, for a message."""
        kernel = self.kernel(instruction)
        return ", ".join(kernel["sources"]) or kernel["name"] or self.location

    def hanging(self, limit: int) -> ExecutionError:
        """What the watchdog says of the first instruction that is not complete in time."""
        number = int(np.flatnonzero(self.timeline.done > limit)[0])
        mnemonic = type(self.stream.records[number]).mnemonic
        return ExecutionError(
            f"instruction {number}, {mnemonic}, on {self.device} was not complete after {limit:,} cycles",
            location=self.located(number),
            hint="the chip hangs, or is slower than its description: recompile for the chip as it is",
        )

    @cached_property
    def run(self) -> ChipRun:
        """What a run of the entry does, for a profile."""
        numbers = {kernel: n for n, kernel in enumerate(dict.fromkeys(k for _, _, k in self.meta["spans"]))}
        kernels = [*(self._kernels[kernel] for kernel in numbers), {"name": "", "sources": []}]
        kernel_of = np.full(self.stream.size, len(kernels) - 1)
        for first, count, kernel in self.meta["spans"]:
            kernel_of[first : first + count] = numbers[kernel]
        timeline, asked = self.timeline, self.costs
        dram = Dram.of(home(self.chip))
        roof, issue = (
            Roof(_peak(self.chip), dram, self.compulsory_bytes),
            self.chip["control"]["issue_cycles"],
        )
        clock, figures = self.chip["clock_mhz"], self.chip.get("energy", {})
        summary = summarise(
            timeline, asked.work, asked.counts, kernel_of, kernels, roof, issue, clock, figures
        )
        cores = self.chip.get("cores", 1)
        summary |= {"cores": cores, "together": self.together}
        summary["runs_per_second"] = cores / max(1, self.together) * clock * 1e6
        queues = self.model.isa.queues
        spans = tuple(
            Span(name, queues[engine], begin, end, kernel)
            for name, engine, begin, end, kernel in zip(
                self.stream.mnemonics,
                asked.work.engine.tolist(),
                timeline.begin.tolist(),
                timeline.end.tolist(),
                kernel_of.tolist(),
            )
            if engine >= 0
        )
        return ChipRun(self.device, self.chip["name"], clock, timeline.cycles, spans, summary)

    @cached_property
    def compulsory_bytes(self) -> int:
        """Bytes of constants, inputs and outputs that the entry touches, each counted once; of a table only as much as
        is looked up."""
        kept = (self.regions[_CONSTANTS], *self.regions[_CONSTANTS + 2 :])
        touched = [(start, np.zeros(size, bool)) for start, size in kept]
        looked_up = 0
        context = self.model.context(self.chip)
        name = home_name(self.chip)
        for record, moved in self._moving(self.costs.counts["dram_byte"].astype(int)):
            for access in record.accesses(context):
                if access.memory != name:
                    continue
                first = access.first
                start, marks = next(
                    (each for each in touched if 0 <= first - each[0] < len(each[1])), (0, None)
                )
                if marks is None:
                    continue
                if access.size > moved:
                    looked_up += moved
                else:
                    access._replace(base=access.base - start).marks(marks)[...] = True
        return sum(int(marks.sum()) for _, marks in touched) + looked_up

    def _moving(self, moved: np.ndarray) -> Iterator[tuple[Instruction, int]]:
        """Instructions that move bytes of home memory, and how many."""
        for block in self.stream.blocks.values():
            bytes_ = moved[block.positions]
            if bytes_.any():
                yield from zip(block.records(), bytes_.tolist())

    def kernel(self, instruction: int) -> Mapping[str, Any]:
        """The kernel that an instruction belongs to: its name and sources."""
        for first, count, kernel in self.meta["spans"]:
            if first <= instruction < first + count:
                return self._kernels[kernel]
        return {"name": "", "sources": []}

    def place(self, address: int) -> tuple[int, int]:
        """An address of home memory as a region and an offset in it."""
        return self.resolved(np.array([address]))[0]

    def resolved(self, addresses: np.ndarray) -> list[tuple[int, int]]:
        """Each DRAM address as a region and an offset in it."""
        starts = np.array([start for start, _ in self.regions], np.int64)
        order = np.argsort(starts, kind="stable")
        found = order[np.maximum(np.searchsorted(starts[order], addresses, side="right") - 1, 0)]
        return list(zip(found.tolist(), (addresses - starts[found]).tolist()))


class SimulatedContext:
    """Memory for one run at a time."""

    def __init__(self, code: SimulatedCode):
        self._code = code
        self.arena = zeros(code.meta["dram"]["bytes"])
        self._memories = Memories(code.chip)

    def run(self, call: Call) -> None:
        """Execute an entry point; ExecutionError names the instruction that reaches outside a memory."""
        entry = self._code.entry(call.entry)
        if call.limit and entry.timeline.cycles > call.limit:
            raise entry.hanging(call.limit)
        externals = [buffer.reshape(-1).view(np.uint8) for buffer in call.buffers]
        self._memories.regions = (self._code.constants, self.arena, *externals)
        with np.errstate(all="ignore"):
            self._execute(entry)
        call.cycles = entry.timeline.cycles
        if call.timed:
            call.chip = entry.run

    def _execute(self, entry: Entry) -> None:
        """All effects in order."""
        shadows = Shadows(self._memories.near) if self._code.checked else None
        context = entry.model.context(entry.chip)
        for number, effect in entry.effects:
            try:
                if shadows is not None:
                    shadows.watch(entry.stream.records[number].accesses(context))
                effect(self._memories)
            except (ValueError, TypeError, IndexError) as error:
                raise self._fault(entry, number, f"reaches outside a memory: {error}") from None
            except ExecutionError as error:
                raise self._fault(entry, number, error.message) from None

    @staticmethod
    def _fault(entry: Entry, number: int, message: str) -> ExecutionError:
        mnemonic = type(entry.stream.records[number]).mnemonic
        return ExecutionError(f"instruction {number}, {mnemonic}: {message}", location=entry.located(number))


def _peak(chip: Mapping[str, Any]) -> int:
    """Multiplications a cycle of a chip record's array; 1 without one."""
    arrays = (e for e in chip["engines"].values() if e.get("rows", 1) > 1)
    return next((e.get("pixels", 1) * e["rows"] * e["cols"] for e in arrays), 1)
