"""What a profiled run measured, and its timeline as a file that chrome://tracing and Perfetto open."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ExecutionError


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
class Profile:
    """Outputs by name; wall time of the whole run in seconds; cycles of each device that has a clock of its own;
    the steps in the order in which they began (steps inside a segment follow the segment); what simulated chips did."""

    outputs: dict[str, np.ndarray]
    seconds: float
    cycles: dict[str, int]
    steps: tuple[StepTime, ...]
    chips: tuple[ChipRun, ...] = field(default=())

    def trace(self) -> dict[str, Any]:
        """The timeline in Chrome's trace event format (JSON object form), times in microseconds.

        Process 1 is this machine. A simulated chip is a process with a clock of its own and a thread for each engine.
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
        return {"displayTimeUnit": "ms", "traceEvents": names + spans + self._chip_events()}

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


def _named(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": {"name": name}}
