"""What placements take by the common clock of a system: chips are compiled for and simulated, no value is computed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from isthmus import registry
from isthmus.compiler.distribution import Layout
from isthmus.compiler.partition import search
from isthmus.compiler.partition.knowledge import Knowledge
from isthmus.compiler.partition.partition import Choice, Partition
from isthmus.compiler.partition.split import Part
from isthmus.compiler.system_build import compile_parts, work_out
from isthmus.compiler.target.backend import Constant, KernelsRefused, Placed
from isthmus.compiler.tile.canonical import canonical
from isthmus.compiler.tile.stage import LOCAL
from isthmus.runtime.distributed import stages, timeline
from isthmus.runtime.profile import SystemRun
from isthmus.runtime.program import DeviceProgram, Segment, Step

STREAM = 8
"""Inputs by which a period is judged, beside those that fill and empty the pipeline."""

GREEDY, ALONE, CHOSEN = "greedy", "all on the host", "chosen"
_ATTEMPTS = 8  # each one keeps away from a chip what it turned out not to run

Way = Callable[[Partition], Layout | None]
"""None where a device turned out not to run its part, which is known from then on."""


def ways(partition: Partition) -> dict[str, Way]:
    """What the compiler chooses, and how one would place nodes without costs: greedy by priority, all on the host, and
    for each other device what it runs there, the rest on the host."""
    names = partition.model.names
    host = names.index(partition.system.host)
    others = [number for number in range(len(names)) if number != host]
    orders = {GREEDY: [*others, host], ALONE: [host, *others]}
    orders |= {f"{names[n]} and host": [n, host, *(m for m in others if m != n)] for n in others}
    return {CHOSEN: _chosen} | {way: partial(_greedy, order=order) for way, order in orders.items()}


def _chosen(partition: Partition) -> Layout | None:
    found = work_out(partition)
    return found[0].layout if found is not None else None


def _greedy(partition: Partition, order: list[int]) -> Layout | None:
    placed = partition.parts(Choice("greedy", search.greedy(partition.model, order), 0.0, 0.0))
    return Layout(partition.graph, *placed, partition.system) if placed is not None else None


class CommonClock:
    """The clock of ways of placing graphs. What a chip is to run is compiled and simulated once, however many ways,
    objectives and systems it is part of."""

    def __init__(self) -> None:
        self._seconds: dict[object, list[float]] = {}

    def of(self, partition: Partition, way: Way) -> tuple[Layout, SystemRun, float]:
        """A way of placing a graph, the run of one input, and the period of a stream: chips by their simulated cycles,
        the host as it is predicted."""
        for _ in range(_ATTEMPTS):
            layout = way(partition)
            with suppress(KernelsRefused):
                if layout is not None:
                    return layout, *_timed(layout, self._simulated(layout, partition.known))
            partition = Partition(partition.graph, partition.system, partition.known, partition.objective)
        raise AssertionError("kernels are refused again and again")

    def _simulated(self, layout: Layout, known: Knowledge) -> dict[str, list[float]]:
        """Seconds of each segment of each chip."""
        chips = {device.name: device for device in layout.system.devices if device.has_clock}
        keys = {
            part.device.name: _key(layout, part)
            for part in layout.parts
            if part.device.name in chips and layout.pieces(part.device.name)
        }
        new = [chips[name] for name, key in keys.items() if key not in self._seconds]
        compiled = compile_parts(layout, known, new)
        program, entries = layout.program(compiled)
        for device in program.devices:
            if device.name in compiled:
                self._seconds[keys[device.name]] = list(_simulate(device, entries, layout.system.name))
        return {name: self._seconds[key] for name, key in keys.items()}


def _key(layout: Layout, part: Part) -> object:
    """Equal for parts that become the same instructions: names of nodes and values of constants mean nothing."""
    constants: dict[object, int] = {}

    def place(operand: Placed) -> object:
        if not isinstance(operand, Constant):
            return operand
        return constants.setdefault(operand.key, len(constants)), operand.array.shape

    calls = tuple(
        tuple(
            (
                canonical(call.kernel)[2],
                *(place(call.operands[b.name]) for b in call.kernel.buffers if b.role != LOCAL),
            )
            for call in segment
        )
        for segment in layout.calls(part.device.name)
    )
    return repr(part.device.target), part.plan.arena_bytes, calls


def _simulate(device: DeviceProgram, entries: Mapping[str, Any], system: str) -> Iterator[float]:
    """Seconds of each entry point of a chip's code."""
    chip = registry.devices((device.device,))[device.device]
    code, constants = (np.frombuffer(entries[name], np.uint8) for name in (device.code, device.constants))
    loaded = chip.load(device, code, constants, system)
    for number in range(len(device.meta["entries"])):
        entry = loaded.entry(number)
        yield entry.timeline.cycles / (entry.chip["clock_mhz"] * 1e6)


def _timed(layout: Layout, simulated: Mapping[str, Sequence[float]]) -> tuple[SystemRun, float]:
    program, _ = layout.program({})

    def seconds(step: Step) -> float:
        if isinstance(step, Segment) and step.device in simulated:
            return step.launch + simulated[step.device][step.entry]
        return getattr(step, "seconds", 0.0)

    durations = [seconds(step) for step in program.steps]
    count = max(stages(program), default=0) + STREAM
    return timeline(program, [durations]), timeline(program, [durations] * count).period
