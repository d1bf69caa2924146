"""What placements take by the common clock of a system: chips are compiled for and simulated, no value is computed."""

from collections.abc import Mapping

import numpy as np

from isthmus import registry
from isthmus.compiler.distribution import Layout
from isthmus.compiler.partition import search
from isthmus.compiler.partition.partition import Choice, Partition
from isthmus.compiler.target.backend import Compiled
from isthmus.runtime.distributed import stages, timeline
from isthmus.runtime.profile import SystemRun
from isthmus.runtime.program import Segment, Step

STREAM = 8
"""Inputs by which a period is judged, beside those that fill and empty the pipeline."""


def clocked(layout: Layout, compiled: Mapping[str, Compiled] | None = None) -> tuple[SystemRun, float]:
    """The run of one input and the period of a stream: chips by their simulated cycles, the host as it is predicted.

    `compiled`: the code of all devices, where it has been made."""
    program, entries = layout.program(chips_code(layout) if compiled is None else compiled)
    simulated = {}
    for device in program.devices:
        if layout.system.device(device.name).has_clock:
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


def chips_code(layout: Layout) -> dict[str, Compiled]:
    """The code of all devices that have a clock."""
    return {
        part.device.name: part.device.backend.compile(
            layout.calls(part.device.name), part.plan.arena_bytes, part.device.options
        )
        for part in layout.parts
        if part.device.has_clock and layout.pieces(part.device.name)
    }


GREEDY, ALONE = "greedy", "all on the host"


def plain_ways(partition: Partition) -> dict[str, Layout]:
    """How one would place nodes without costs: greedy by priority, all on the host, and for each other device what it
    runs there, the rest on the host."""
    names = partition.model.names
    host = names.index(partition.system.host)
    others = [number for number in range(len(names)) if number != host]
    orders = {GREEDY: [*others, host], ALONE: [host, *others]}
    orders |= {f"{names[n]} and host": [n, host, *(m for m in others if m != n)] for n in others}
    found = {}
    for way, order in orders.items():
        placed = partition.parts(Choice(way, search.greedy(partition.model, order), 0.0, 0.0))
        assert placed is not None, f"{way}: a device does not run its part"
        found[way] = Layout(partition.graph, *placed, partition.system)
    return found
