"""What a profiled run measured, and its timeline as a file that chrome://tracing and Perfetto open."""

import json
import os
from dataclasses import dataclass
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
class Profile:
    """Outputs by name; wall time of the whole run in seconds; cycles of each device that has a clock of its own;
    and the steps in the order in which they began (steps inside a segment follow the segment)."""

    outputs: dict[str, np.ndarray]
    seconds: float
    cycles: dict[str, int]
    steps: tuple[StepTime, ...]

    def trace(self) -> dict[str, Any]:
        """The timeline in Chrome's trace event format (JSON object form), times in microseconds."""
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
        return {"displayTimeUnit": "ms", "traceEvents": names + spans}

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
