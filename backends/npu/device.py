"""The NPU, simulated: decodes a package's instruction bytes, runs them in the order that time allows, counts cycles.

Values and time come from one decoded stream: the clock decides in which order instructions are complete, and their
effects on memory happen in that order, so that a missing semaphore gives wrong values as it would in hardware.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...runtime.device import Call
from ...runtime.errors import DeviceError, ExecutionError, PackageError
from ...runtime.memory import zeros
from ...runtime.profile import ChipRun, Span
from ...runtime.program import DeviceProgram
from ...runtime.sim.checks import check
from ...runtime.sim.dram import Dram
from ...runtime.sim.events import Control, Timeline, simulate
from ...runtime.sim.stream import Block, Stream
from ...runtime.sim.summary import Roof, summarise
from . import copies, products, vectors
from .costs import ENGINES, Costs, costs
from .isa import N1, Gather, Lda, Ldw, Mxu, Program, Sto, Vec, context
from .memories import Memories, Prepared

_CONSTANTS, _ARENA, _EXTERNAL = 0, 1, 2


class NpuDevice:
    """Chips of the kind n1; the package says which one.

    `exact`: bf16 sums in the order that the manual states. `checked`: entry points are proved before they first run.
    """

    name = "npu"

    def __init__(self, exact: bool = False, checked: bool = False):
        self.exact, self.checked = exact, checked

    def threads(self) -> int:
        """One: an instruction is one call of numpy."""
        return 1

    def load(
        self, program: DeviceProgram, code: np.ndarray, constants: np.ndarray, location: str
    ) -> "NpuCode":
        """Entry points are decoded when they are first run."""
        missing = [name for name in ("chip", "dram", "entries", "kernels") if name not in program.meta]
        if missing:
            raise PackageError(
                f"its device program lacks {', '.join(missing)}",
                location=location,
                hint="recompile the model",
            )
        return NpuCode(program.meta, code, constants, location, self.exact, self.checked)


class NpuCode:
    """A device program: its entry points, and where DRAM has what."""

    def __init__(
        self,
        meta: Mapping[str, Any],
        code: np.ndarray,
        constants: np.ndarray,
        location: str,
        exact: bool = False,
        checked: bool = False,
    ):
        self.meta, self.code, self.constants, self.location = meta, code, constants, location
        self.exact, self.checked = exact, checked
        self.chip: Mapping[str, Any] = meta["chip"]
        self._entries: dict[int, Entry] = {}

    def context(self) -> "NpuContext":
        """Scratchpads, and an arena of zeros."""
        return NpuContext(self)

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

    def __init__(self, code: NpuCode, number: int):
        self.meta: Mapping[str, Any] = code.meta["entries"][number]
        self.chip, self.exact = code.chip, code.exact
        self.location = f"{code.location}: entry {number}"
        self.stream: Stream = N1.decode(code.code[self.meta["start"] : self.meta["end"]], self.location)
        self._kernels: Sequence[Mapping[str, Any]] = code.meta["kernels"]
        dram = code.meta["dram"]
        external = [tuple(each) for each in self.meta["externals"]]
        self.regions = [(dram["constants"], code.constants.size), (dram["arena"], dram["bytes"]), *external]

    @cached_property
    def costs(self) -> Costs:
        """What each instruction costs on the chip."""
        return costs(self.chip, self.stream)

    @cached_property
    def timeline(self) -> Timeline:
        """When each instruction runs. It does not depend on values."""
        control = self.chip["control"]
        return simulate(
            self.costs.work,
            ENGINES,
            Dram.of(self.chip["memories"]["dram"]),
            Control(control["queue_depth"], control["issue_cycles"]),
            self.location,
        )

    @cached_property
    def effects(self) -> list[tuple[int, Prepared]]:
        """What instructions do to memory, with their numbers, in the order in which they are complete."""
        found: list[Prepared | None] = [None] * self.stream.size
        for kind, block in self.stream.blocks.items():
            if kind in _PREPARE:
                for position, effect in zip(block.positions.tolist(), _PREPARE[kind](self, block)):
                    found[position] = effect
        chosen = ((number, found[number]) for number in self.timeline.order)
        return [(number, effect) for number, effect in chosen if effect is not None]

    def check(self) -> None:
        """HazardError for a stream that could deadlock or whose values depend on time; see `runtime/sim/checks.py`."""
        sizes = {name: self.chip["memories"][name]["bytes"] for name in ("spa", "spw", "acc")}
        depth = self.chip["control"]["queue_depth"]
        check(self.stream.records, N1.queues, depth, sizes, context(self.chip), self.located)

    def located(self, instruction: int) -> str:
        """The source nodes of an instruction, for a message."""
        kernel = self.kernel(instruction)
        return ", ".join(kernel["sources"]) or kernel["name"] or self.location

    @cached_property
    def run(self) -> ChipRun:
        """What a run of the entry does, for a profile."""
        kernels = [self._kernels[kernel] for _, _, kernel in self.meta["spans"]] + [
            {"name": "", "sources": []}
        ]
        kernel_of = np.full(self.stream.size, len(kernels) - 1)
        for number, (first, count, _) in enumerate(self.meta["spans"]):
            kernel_of[first : first + count] = number
        timeline, asked = self.timeline, self.costs
        array, dram = self.chip["engines"]["mxu"], Dram.of(self.chip["memories"]["dram"])
        compulsory = self.constant_bytes + sum(size for _, size in self.meta["externals"])
        roof = Roof(array["rows"] * array["cols"], dram.bytes_per_cycle, compulsory)
        clock, figures = self.chip["clock_mhz"], self.chip.get("energy", {})
        summary = summarise(timeline, asked.work, asked.counts, kernel_of, kernels, roof, clock, figures)
        names = [type(record).mnemonic for record in self.stream.records]
        spans = tuple(
            Span(name, ENGINES[engine], begin, end, kernel)
            for name, engine, begin, end, kernel in zip(
                names,
                asked.work.engine.tolist(),
                timeline.begin.tolist(),
                timeline.end.tolist(),
                kernel_of.tolist(),
            )
            if engine >= 0
        )
        return ChipRun("npu", self.chip["name"], clock, timeline.cycles, spans, summary)

    @cached_property
    def constant_bytes(self) -> int:
        """Bytes of constants that the entry loads, each counted once."""
        start, size = self.regions[_CONSTANTS]
        loaded = np.zeros(size, bool)
        for record in self.stream.records:
            for access in record.accesses(context(self.chip)) if record.queue in ("lda", "ldw") else ():
                if access.memory == "dram" and start <= access.base < start + size:
                    loaded[access.first - start : access.end - start] = True
        return int(loaded.sum())

    def kernel(self, instruction: int) -> Mapping[str, Any]:
        """The kernel that an instruction belongs to: its name and sources."""
        for first, count, kernel in self.meta["spans"]:
            if first <= instruction < first + count:
                return self._kernels[kernel]
        return {"name": "", "sources": []}

    def resolved(self, addresses: np.ndarray) -> list[tuple[int, int]]:
        """Each DRAM address as a region and an offset in it."""
        starts = np.array([start for start, _ in self.regions], np.int64)
        order = np.argsort(starts, kind="stable")
        found = order[np.maximum(np.searchsorted(starts[order], addresses, side="right") - 1, 0)]
        return list(zip(found.tolist(), (addresses - starts[found]).tolist()))


def _rows(block: Block) -> list[dict[str, int]]:
    names = list(block.columns)
    return [dict(zip(names, row)) for row in zip(*(block.columns[name].tolist() for name in names))]


def _loads(entry: Entry, block: Block) -> list[Prepared]:
    memory = "spa" if block.kind is Lda else "spw"
    places = entry.resolved(block.columns["dram"])
    return [
        copies.prepare_load(row, region, offset, memory, row[memory])
        for row, (region, offset) in zip(_rows(block), places)
    ]


def _stores(entry: Entry, block: Block) -> list[Prepared]:
    places = entry.resolved(block.columns["dram"])
    return [copies.prepare_store(row, *place) for row, place in zip(_rows(block), places)]


def _gathers(entry: Entry, block: Block) -> list[Prepared]:
    places = entry.resolved(block.columns["table"])
    return [copies.prepare_gather(row, *place) for row, place in zip(_rows(block), places)]


def _products(entry: Entry, block: Block) -> list[Prepared]:
    array = entry.chip["engines"]["mxu"]
    return [products.prepare(row, array["rows"], array["cols"], entry.exact) for row in _rows(block)]


def _vectors(entry: Entry, block: Block) -> list[Prepared]:
    programs: dict[int, Program] = {}
    pending = []
    if Program in entry.stream.blocks:
        defined = entry.stream.blocks[Program]
        pending = list(zip(defined.positions.tolist(), defined.records()))[::-1]
    found = []
    for position, record in zip(block.positions.tolist(), block.records()):
        while pending and pending[-1][0] < position:
            program = pending.pop()[1]
            assert isinstance(program, Program)
            programs[program.number] = program
        assert isinstance(record, Vec)
        found.append(vectors.prepare(record, programs.get(record.number)))
    return found


_PREPARE = {Lda: _loads, Gather: _gathers, Ldw: _loads, Sto: _stores, Mxu: _products, Vec: _vectors}


class NpuContext:
    """Memory for one run at a time."""

    def __init__(self, code: NpuCode):
        self._code = code
        self.arena = zeros(code.meta["dram"]["bytes"])
        self._memories = Memories(code.chip)

    def run(self, call: Call) -> None:
        """Execute an entry point; ExecutionError names the instruction that reaches outside a memory."""
        entry = self._code.entry(call.entry)
        externals = [buffer.reshape(-1).view(np.uint8) for buffer in call.buffers]
        self._memories.regions = (self._code.constants, self.arena, *externals)
        for number, effect in entry.effects:
            try:
                effect(self._memories)
            except (ValueError, TypeError, IndexError) as error:
                raise self._fault(entry, number, f"reaches outside a memory: {error}") from None
            except ExecutionError as error:
                raise self._fault(entry, number, error.message) from None
        call.cycles = entry.timeline.cycles
        if call.timed:
            call.chip = entry.run

    @staticmethod
    def _fault(entry: Entry, number: int, message: str) -> ExecutionError:
        mnemonic = type(entry.stream.records[number]).mnemonic
        return ExecutionError(f"instruction {number}, {mnemonic}: {message}", location=entry.located(number))


def device() -> NpuDevice:
    """What the entry point `isthmus.devices` names."""
    return NpuDevice()
