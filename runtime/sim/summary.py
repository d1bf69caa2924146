"""What a run of an entry point adds up to: time by engine and cause, bytes, energy, kernels, the roofline's bound.

    {"cycles", "seconds", "macs", "peak_macs_per_cycle", "bytes_per_cycle", "compulsory_bytes", "bound",
     "engines": {name: {"busy": cycles, "stalls": {cause: cycles}}},
     "serial": cycles, "overlap": share,
     "counts": {what the chip's energy figures count: how often}, "energy": {the same names, and "static": joules},
     "kernels": [{"name", "sources", "begin", "end", "cycles", "instructions", "busy": {engine: cycles}, "macs",
                  "dram_bytes", "joules"}]}

Cycles of a kernel are those from the end of all before it to its own end, so that they add up to the whole. The bound
is the greater of MACs by peak and compulsory bytes by bandwidth: weights, inputs and outputs once. `serial` is what all
instructions take one after another. `overlap` is how much of the time of transfers, or of products where that is
shorter, is also time of the other; 1.0 where there is none of one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..records import dataclass
from .dram import Dram
from .events import Timeline, Work

_PICO = 1e-12


@dataclass(frozen=True, slots=True)
class Roof:
    """A chip's peak and home memory, and what a network can't do without."""

    macs_per_cycle: float
    dram: Dram
    compulsory_bytes: int

    def bound(self, macs: float, bytes_: float) -> float:
        """Cycles that so many MACs and bytes take at least."""
        return max(macs / self.macs_per_cycle, bytes_ / self.dram.bytes_per_cycle)

    def serial(self, work: Work, issue_cycles: float) -> float:
        """Cycles of all instructions one after another: fetch, preparation, work, transfers, latencies, refreshes."""
        transfers = np.ceil(work.transfer + self.dram.page_miss * (work.transfer > 0)) + work.port
        each = work.lead + work.busy + work.tail + transfers + issue_cycles
        return self.dram.wall(float(each.sum()))


def summarise(
    timeline: Timeline,
    work: Work,
    counts: Mapping[str, np.ndarray],
    kernel_of: np.ndarray,
    kernels: Sequence[Mapping[str, Any]],
    roof: Roof,
    issue_cycles: float,
    clock_mhz: float,
    picojoules: Mapping[str, float],
) -> dict[str, Any]:
    """The summary. `counts` are arrays over instructions, `kernel_of` each instruction's number in `kernels`; names of
    counts that begin with "mac" are MACs, "dram_byte" bytes of DRAM. `picojoules` are a chip's energy figures by the
    same names, and its "static_mw"."""
    macs = sum(
        (values for name, values in counts.items() if name.startswith("mac")), np.zeros(len(kernel_of))
    )
    joules = sum(
        (values * picojoules.get(name, 0.0) * _PICO for name, values in counts.items()),
        np.zeros(len(kernel_of)),
    )
    seconds = timeline.cycles / clock_mhz * 1e-6
    energy = {
        name: float(values.sum()) * picojoules.get(name, 0.0) * _PICO for name, values in counts.items()
    }
    energy["static"] = picojoules.get("static_mw", 0.0) * 1e-3 * seconds
    busy = timeline.busy(work)
    return {
        "cycles": timeline.cycles,
        "seconds": seconds,
        "macs": float(macs.sum()),
        "peak_macs_per_cycle": roof.macs_per_cycle,
        "bytes_per_cycle": roof.dram.bytes_per_cycle,
        "compulsory_bytes": roof.compulsory_bytes,
        "bound": roof.bound(float(macs.sum()), roof.compulsory_bytes),
        "serial": roof.serial(work, issue_cycles),
        "overlap": _overlap(timeline, work.transfer > 0, macs > 0),
        "engines": {
            name: {"busy": busy[name], "stalls": dict(timeline.stalls[name])} for name in timeline.engines
        },
        "counts": {name: float(values.sum()) for name, values in counts.items()},
        "energy": energy,
        "kernels": _kernels(timeline, work, kernel_of, kernels, macs, counts["dram_byte"], joules),
    }


def _overlap(timeline: Timeline, some: np.ndarray, others: np.ndarray) -> float:
    """The share of the shorter of two sets of instructions, in time covered, that the other set covers too."""
    one, other = _covered(timeline, some), _covered(timeline, others)
    if not min(one, other):
        return 1.0
    return (one + other - _covered(timeline, some | others)) / min(one, other)


def _covered(timeline: Timeline, chosen: np.ndarray) -> float:
    """Cycles in which at least one of the chosen instructions occupies its engine."""
    order = np.argsort(timeline.begin[chosen], kind="stable")
    begin, end = timeline.begin[chosen][order], timeline.end[chosen][order]
    if not len(begin):
        return 0.0
    reach = np.maximum.accumulate(end)
    before = np.concatenate([begin[:1], reach[:-1]])
    return float(np.maximum(0, reach - np.maximum(begin, before)).sum())


def _kernels(
    timeline: Timeline,
    work: Work,
    kernel_of: np.ndarray,
    kernels: Sequence[Mapping[str, Any]],
    macs: np.ndarray,
    dram_bytes: np.ndarray,
    joules: np.ndarray,
) -> list[dict[str, Any]]:
    count = len(kernels)
    worked = work.engine >= 0
    begin = np.full(count, np.inf)
    end = np.zeros(count)
    np.minimum.at(begin, kernel_of[worked], timeline.begin[worked])
    np.maximum.at(end, kernel_of[worked], timeline.done[worked])
    spans = timeline.end - timeline.begin
    sums = {
        name: np.bincount(kernel_of, values, count)
        for name, values in (("macs", macs), ("dram_bytes", dram_bytes), ("joules", joules))
    }
    busy = {
        name: np.bincount(kernel_of, np.where(work.engine == number, spans, 0), count)
        for number, name in enumerate(timeline.engines)
    }
    instructions = np.bincount(kernel_of[worked], minlength=count)
    found, elapsed = [], 0.0
    for number, kernel in enumerate(kernels):
        share = max(0.0, float(end[number]) - elapsed)
        elapsed = max(elapsed, float(end[number]))
        found.append(
            {
                "name": kernel["name"],
                "sources": list(kernel["sources"]),
                "begin": float(begin[number]) if instructions[number] else elapsed,
                "end": float(end[number]),
                "cycles": share,
                "instructions": int(instructions[number]),
                "busy": {name: float(values[number]) for name, values in busy.items()},
                **{name: float(values[number]) for name, values in sums.items()},
            }
        )
    return found
