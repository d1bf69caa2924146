"""What placements take by the common clock of a system: chips are compiled for and simulated, no value is computed."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from isthmus import registry
from isthmus.compiler.distribution import Layout
from isthmus.compiler.partition import search
from isthmus.compiler.partition.partition import Choice, Partition
from isthmus.compiler.system_build import compile_parts, work_out
from isthmus.compiler.target.backend import Compiled, KernelsRefused
from isthmus.runtime.distributed import stages, timeline
from isthmus.runtime.profile import SystemRun
from isthmus.runtime.program import Segment, Step

STREAM = 8
"""Inputs by which a period is judged, beside those that fill and empty the pipeline."""

GREEDY, ALONE, CHOSEN = "greedy", "all on the host", "chosen"
_ATTEMPTS = 8  # each one keeps away from a chip what it turned out not to run

Way = Callable[[Partition], Layout]


def ways(partition: Partition) -> dict[str, Way]:
    """What the compiler chooses, and how one would place nodes without costs: greedy by priority, all on the host, and
    for each other device what it runs there, the rest on the host."""
    names = partition.model.names
    host = names.index(partition.system.host)
    others = [number for number in range(len(names)) if number != host]
    orders = {GREEDY: [*others, host], ALONE: [host, *others]}
    orders |= {f"{names[n]} and host": [n, host, *(m for m in others if m != n)] for n in others}
    return {CHOSEN: _chosen} | {way: partial(_greedy, order=order) for way, order in orders.items()}


def _chosen(partition: Partition) -> Layout:
    found = work_out(partition)
    assert found is not None, "a device does not run its part"
    return found[0].layout


def _greedy(partition: Partition, order: list[int]) -> Layout:
    placed = partition.parts(Choice("greedy", search.greedy(partition.model, order), 0.0, 0.0))
    assert placed is not None, "a device does not run its part"
    return Layout(partition.graph, *placed, partition.system)


def clocked(partition: Partition, way: Way) -> tuple[Layout, SystemRun, float]:
    """A way of placing a graph, the run of one input, and the period of a stream: chips by their simulated cycles, the
    host as it is predicted."""
    for _ in range(_ATTEMPTS):
        layout = way(partition)
        chips = [device for device in partition.system.devices if device.has_clock]
        try:
            compiled = compile_parts(layout, partition.known, chips)
        except KernelsRefused:
            partition = Partition(partition.graph, partition.system, partition.known, partition.objective)
        else:
            return layout, *_timed(layout, compiled)
    raise AssertionError("kernels are refused again and again")


def _timed(layout: Layout, compiled: Mapping[str, Compiled]) -> tuple[SystemRun, float]:
    program, entries = layout.program(compiled)
    simulated = {}
    for device in program.devices:
        if device.name in compiled:
            chip = registry.devices((device.device,))[device.device]
            code, constants = (
                np.frombuffer(entries[name], np.uint8) for name in (device.code, device.constants)
            )
            simulated[device.name] = chip.load(device, code, constants, layout.system.name)

    def seconds(step: Step) -> float:
        if isinstance(step, Segment) and step.device in simulated:
            entry = simulated[step.device].entry(step.entry)
            return entry.timeline.cycles / (entry.chip["clock_mhz"] * 1e6)
        return getattr(step, "seconds", 0.0)

    durations = [seconds(step) for step in program.steps]
    count = max(stages(program), default=0) + STREAM
    return timeline(program, [durations]), timeline(program, [durations] * count).period
