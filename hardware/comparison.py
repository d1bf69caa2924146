"""A package on the simulator and on the RTL: the same bytes in DRAM, and cycles side by side."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.package import Package
from isthmus.runtime.device import Call
from isthmus.runtime.sim.device import Entry, SimulatedCode, SimulatedContext

from . import simulation


@dataclass(frozen=True)
class Kernel:
    """A kernel of an entry point: its sources, and the cycles from the end of all before it to its own end."""

    name: str
    model: float
    hardware: float


@dataclass(frozen=True)
class Compared:
    """One call of an entry point on both. `wrong` counts bytes of DRAM that differ."""

    status: str
    model: int
    hardware: int
    wrong: int
    seconds: float
    kernels: tuple[Kernel, ...]

    @property
    def error(self) -> float:
        """Of the model's cycles, relative to the hardware's."""
        return self.model / self.hardware - 1


@dataclass(frozen=True)
class Recorded:
    """A call on the simulator: its instruction bytes, and DRAM's regions before and after it."""

    entry: Entry
    code: np.ndarray
    before: list[np.ndarray]
    after: list[np.ndarray]


class Recorder(SimulatedContext):
    """A context that keeps its calls."""

    def __init__(self, code: SimulatedCode, calls: list[Recorded]):
        super().__init__(code)
        self.code, self.calls = code, calls

    def run(self, call: Call) -> None:
        """The call, its memory copied on both sides of it."""
        before = self._dram(call)
        super().run(call)
        entry = self.code.entry(call.entry)
        stored = self.code.code[entry.meta["start"] : entry.meta["end"]]
        self.calls.append(Recorded(entry, stored, before, self._dram(call)))

    def _dram(self, call: Call) -> list[np.ndarray]:
        external = [buffer.reshape(-1).view(np.uint8) for buffer in call.buffers]
        return [np.array(self.code.constants), self.arena.copy(), *(buffer.copy() for buffer in external)]


def record(package: Package, given: Any) -> list[Recorded]:
    """The calls of a run of a package on simulated chips."""
    calls: list[Recorded] = []
    codes = [code for code in package.loaded.executable.code.values() if isinstance(code, SimulatedCode)]
    for code in codes:
        setattr(code, "context", lambda code=code: Recorder(code, calls))  # noqa: B010
    try:
        package.run(given)
    finally:
        for code in codes:
            del code.context
    return calls


def compare(call: Recorded, chip: Mapping[str, Any] | None = None, kept: Path | None = None) -> Compared:
    """Run a call on the RTL too; `chip` replaces the record that the RTL is built and set up from. `kept`: a folder of
    what runs came to; one of the same design, figures, code and bytes is not run again."""
    entry, on = call.entry, chip or call.entry.chip
    file = kept / f"{_digest(call, on)}.npz" if kept else None
    begin = time.perf_counter()
    found = _known(file) if file and file.exists() else _run(call, on)
    if file and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        head = {"status": found.status, "cycles": found.cycles, "wrong": found.wrong}
        np.savez(file, **head, **found.done)  # type: ignore[arg-type]
    seconds = time.perf_counter() - begin
    kernels = _kernels(entry, found.done)
    return Compared(found.status, entry.timeline.cycles, found.cycles, found.wrong, seconds, kernels)


@dataclass(frozen=True)
class _Outcome:
    """What a run on the RTL came to."""

    status: str
    cycles: int
    wrong: int
    done: Mapping[str, np.ndarray]


def _run(call: Recorded, chip: Mapping[str, Any]) -> _Outcome:
    regions = [(start, data) for (start, _), data in zip(call.entry.regions, call.before)]
    ran = simulation.run(chip, call.code, regions)
    wrong = sum(int((got != want).sum()) for got, want in zip(ran.regions, call.after))
    return _Outcome(ran.status, ran.cycles, wrong, ran.done)


def _known(file: Path) -> _Outcome:
    with np.load(file) as found:
        done = {name: found[name] for name in found.files if name not in ("status", "cycles", "wrong")}
        return _Outcome(str(found["status"]), int(found["cycles"]), int(found["wrong"]), done)


def _digest(call: Recorded, chip: Mapping[str, Any]) -> str:
    """Of all that decides what a run comes to; the name of the executable has that of the design. Not of what is
    overwritten, which for an output is anything."""
    design = simulation.executable(chip).parent.name
    places = [start for start, _ in call.entry.regions]
    digest = hashlib.sha256(repr((design, simulation.inputs(chip), places)).encode())
    kept = [data for data, after in zip(call.before, call.after) if np.array_equal(data, after)]
    for data in (call.code, *kept, *call.after):
        digest.update(memoryview(np.ascontiguousarray(data)))
    return digest.hexdigest()[:24]


def _kernels(entry: Entry, done: Mapping[str, np.ndarray]) -> tuple[Kernel, ...]:
    """Cycles of each kernel on both; those of the RTL from when the instructions of each queue were complete."""
    queues = entry.stream.queues(entry.model.isa.queues)
    ends = np.zeros(entry.stream.size)
    for number, name in enumerate(entry.model.isa.queues):
        members, times = np.nonzero(queues == number)[0], done[name]
        ends[members[: len(times)]] = times
    found, model, hardware = [], 0.0, 0.0
    for first, count, kernel in entry.meta["spans"]:
        span = slice(first, first + count)
        model_end = max(model, float(entry.timeline.done[span].max()))
        hardware_end = max(hardware, float(ends[span].max()))
        name = ", ".join(entry._kernels[kernel]["sources"])
        found.append(Kernel(name, model_end - model, hardware_end - hardware))
        model, hardware = model_end, hardware_end
    return tuple(found)
