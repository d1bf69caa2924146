"""What a profiled run measured, and its timeline as a file that chrome://tracing and Perfetto open."""

import json
import os
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ExecutionError
from .records import dataclass
from .system import Event


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step: what it computes, where, from which source nodes; start and duration in seconds since the run began."""

    name: str
    device: str
    start: float
    seconds: float
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """Work that an engine of a simulated chip did, in cycles since its segment began; `kernel` numbers those of the
    summary."""

    name: str
    engine: str
    begin: float
    end: float
    kernel: int


@dataclass(frozen=True, slots=True)
class ChipRun:
    """One segment on a simulated chip: its clock, its spans, and what they add up to.

    `summary` holds JSON values; `runtime/sim/summary.py` says which.
    """

    device: str
    chip: str
    clock_mhz: float
    cycles: int
    spans: tuple[Span, ...]
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SystemRun:
    """A run on several devices by their common clock: when each was at what, and when the outputs of each input were
    with the host, in seconds. `clocks` says which devices' times are simulated and which are predicted; `depth` is how
    many inputs later than the first step of a stream the last one works on the same input."""

    events: tuple[Event, ...]
    finished: tuple[float, ...]
    clocks: dict[str, str]
    depth: int = 0

    @property
    def seconds(self) -> float:
        """From the first input to the last output."""
        return max(self.finished, default=0.0)

    @property
    def period(self) -> float:
        """Seconds from output to output as long as inputs come in behind; of a stream too short for that, what an input
        takes of all of it."""
        last = len(self.finished) - 1 - self.depth
        if last < 1:
            return self.seconds / max(1, len(self.finished))
        return (self.finished[last] - self.finished[0]) / last


@dataclass(frozen=True, slots=True)
class Profile:
    """Outputs by name; wall time of the whole run in seconds; cycles of each device that has a clock of its own;
    the steps in the order in which they began (steps inside a segment follow the segment); what simulated chips did;
    for a package of several devices, the run by their common clock."""

    outputs: dict[str, np.ndarray]
    seconds: float
    cycles: dict[str, int]
    steps: tuple[StepTime, ...]
    chips: tuple[ChipRun, ...] = field(default=())
    system: SystemRun | None = None

    def trace(self) -> dict[str, Any]:
        """The timeline in Chrome's trace event format (JSON object form), times in microseconds.

        Process 1 is this machine. A simulated chip is a process with a clock of its own and a thread for each engine. A
        system of several devices is a process with one clock, and a thread for each device and each link.
        """
        devices = list(dict.fromkeys(step.device for step in self.steps))
        names = [
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": device}}
            for number, device in enumerate(devices)
        ]
        spans = [
            {
                "name": step.name,
                "ph": "X",
                "pid": 1,
                "tid": devices.index(step.device),
                "ts": round(step.start * 1e6, 3),
                "dur": round(step.seconds * 1e6, 3),
                "args": {"sources": list(step.sources)},
            }
            for step in self.steps
        ]
        system = [] if self.system is None else system_events(self.system)
        return {"displayTimeUnit": "ms", "traceEvents": names + spans + self._chip_events() + system}

    def _chip_events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        devices = list(dict.fromkeys(run.device for run in self.chips))
        elapsed = dict.fromkeys(devices, 0.0)
        for run in self.chips:
            process, engines = 2 + devices.index(run.device), list(run.summary["engines"])
            if not elapsed[run.device]:
                events.append(_named("process_name", process, 0, f"{run.chip}, simulated"))
                events += [_named("thread_name", process, n, engine) for n, engine in enumerate(engines)]
            kernels = run.summary["kernels"]
            for span in run.spans:
                kernel = kernels[span.kernel]
                events.append(
                    {
                        "name": kernel["name"],
                        "cat": span.name,
                        "ph": "X",
                        "pid": process,
                        "tid": engines.index(span.engine),
                        "ts": round(elapsed[run.device] + span.begin / run.clock_mhz, 6),
                        "dur": round((span.end - span.begin) / run.clock_mhz, 6),
                        "args": {"instruction": span.name, "sources": kernel["sources"]},
                    }
                )
            elapsed[run.device] += run.cycles / run.clock_mhz
        return events

    def save_trace(self, path: str | os.PathLike[str]) -> None:
        """Write `trace()` as JSON; ExecutionError when the file can't be written."""
        try:
            Path(path).write_text(json.dumps(self.trace()) + "\n")
        except OSError as error:
            raise ExecutionError(
                f"can't be written: {error.strerror or error}",
                location=str(path),
                hint="choose a writable folder",
            ) from None


_SYSTEM = 1000
"""The number of the process that stands for a system."""


def system_events(run: SystemRun) -> list[dict[str, Any]]:
    """Devices and links by their common clock, as trace events."""
    resources = list(dict.fromkeys(event.resource for event in run.events))
    found = [_named("process_name", _SYSTEM, 0, "all devices, one clock")]
    for number, name in enumerate(resources):
        kind = run.clocks.get(name)
        found.append(_named("thread_name", _SYSTEM, number, f"{name}, {kind}" if kind else name))
    return found + [
        {
            "name": event.name,
            "ph": "X",
            "pid": _SYSTEM,
            "tid": resources.index(event.resource),
            "ts": round(event.begin * 1e6, 6),
            "dur": round((event.end - event.begin) * 1e6, 6),
            "args": {"sources": list(event.sources), "input": event.input},
        }
        for event in run.events
    ]


def _named(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
