"""One run of a program: its arrays, its steps one by one, its outputs; and the times that a profile collects."""

import time
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dims, dtypes, host, memory
from .device import Call, Context
from .errors import ExecutionError
from .profile import ChipRun, StepTime
from .program import HostStep, Segment, Slot, Transfer
from .records import dataclass

if TYPE_CHECKING:
    from .executor import Executable


Layout = tuple[tuple[int, ...], np.dtype]
"""The shape and the dtype of an array."""


@dataclass
class Timing:
    """Collects the times of one run. `durations` are the seconds that each step took by its device's own clock, or was
    predicted to take: what the common clock of a system adds up."""

    steps: list[StepTime] = field(default_factory=list)
    cycles: dict[str, int] = field(default_factory=dict)
    chips: list[ChipRun] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    origin: float = field(default_factory=time.perf_counter)

    def segment(self, step: Segment, begin: float, end: float, call: Call) -> None:
        start = begin - self.origin
        name = step.name or f"{step.device} segment {step.entry}"
        self.steps.append(StepTime(name, step.device, start, end - begin, step.sources))
        for label, first, last in call.steps:
            self.steps.append(StepTime(label, step.device, start + first, last - first))
        if call.cycles:
            self.cycles[step.device] = self.cycles.get(step.device, 0) + call.cycles
        if call.chip is not None:
            self.chips.append(call.chip)
        clock = call.chip.clock_mhz if call.chip is not None else 0
        self.durations.append(step.launch + call.cycles / clock * 1e-6 if clock else step.seconds)

    def host(self, step: HostStep, begin: float, end: float) -> None:
        self.steps.append(
            StepTime(step.name or step.op, "host", begin - self.origin, end - begin, step.sources)
        )
        self.durations.append(step.seconds)

    def transfer(self, step: Transfer) -> None:
        """The clock knows how long it takes."""
        self.durations.append(0.0)


class Run:
    """The state of one run."""

    def __init__(
        self,
        executable: "Executable",
        values: dict[str, Any],
        symbols: dict[str, int],
        contexts: dict[str, Context],
        threads: int,
        timing: Timing | None,
    ):
        self.executable, self.values, self.symbols = executable, values, symbols
        self.contexts, self.threads, self.timing = contexts, threads, timing
        self.given = {id(value) for value in values.values()}
        self.owned: set[str] = set()  # slots whose array was allocated for this run and is shared with nobody

    def segment(self, step: Segment) -> None:
        """Call a device's code."""
        buffers = [self._buffer(name, name in step.writes, step.device) for name in step.buffers]
        symbols = [self.symbols.get(name, 0) for name in self.executable.program.symbols]
        timed = self.timing is not None
        call = Call(step.entry, buffers, symbols, self.threads, timed, limit=step.limit)
        begin = time.perf_counter()
        self.contexts[step.device].run(call)
        if self.timing is not None:
            self.timing.segment(step, begin, time.perf_counter(), call)

    def host_step(self, step: HostStep, meaning: host.Meaning) -> None:
        """Run an op by its reference meaning."""
        begin = time.perf_counter()
        operands = [self._operand(name) if name else None for name in step.operands]
        results = host.call(meaning, step, operands, self.symbols)
        for name, value in zip(step.results, results, strict=True):
            if not name:
                continue
            slot = self.executable.slots[name]
            value = host.conform(value, slot, self.symbols, step.name or step.op)
            if slot.place == "arena":
                self._arena(slot)[...] = value
            else:
                self.values[name] = value
        if self.timing is not None:
            self.timing.host(step, begin, time.perf_counter())

    def transfer(self, step: Transfer) -> None:
        """Take an array over a link; a run of one device has none."""
        raise ExecutionError(
            f"'{step.slot}' goes over '{step.link}', and there is no system",
            location="program.json",
            hint="recompile the model",
        )

    def release(self, names: list[str]) -> None:
        """Forget arrays that nothing reads any more."""
        for name in names:
            self.values.pop(name, None)

    def outputs(self) -> dict[str, Any]:
        """Outputs by name; what somebody else may hold too is copied."""
        found: dict[str, Any] = {}
        handed: set[int] = set()
        for port in self.executable.program.outputs:
            value = self._operand(port.slot)
            if isinstance(value, np.ndarray):
                private = port.slot in self.owned or (value.flags.owndata and value.flags.writeable)
                if not private or id(value) in self.given or id(value) in handed:
                    value = value.copy()
                handed.add(id(value))
            found[port.name] = value
        return found

    def _buffer(self, name: str, written: bool, device: str) -> np.ndarray:
        if name not in self.values:
            slot = self.executable.slots[name]
            if slot.place == "constant":
                return self.executable.constant(slot)
            self.values[name] = memory.empty(*self._layout(slot))
            self.owned.add(name)
        elif written and name not in self.owned:
            self.values[name] = self.values[name].copy()
            self.owned.add(name)
        return self.values[name]

    def _operand(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        slot = self.executable.slots[name]
        if slot.place == "constant":
            return self.executable.constant(slot)
        if slot.place == "arena":
            return self._arena(
                slot
            ).copy()  # a later step may reuse the bytes while a result still views them
        raise ExecutionError(
            f"'{name}' is used before any step made it", location="program.json", hint="recompile the model"
        )

    def _arena(self, slot: Slot) -> np.ndarray:
        return view(self.contexts[slot.device].arena, slot, self._shape(slot))

    def _layout(self, slot: Slot) -> Layout:
        """Shape and dtype of a slot's array; those without symbols are kept for the next run."""
        found = self.executable.layouts.get(slot.name)
        if found is None:
            found = self._shape(slot), dtypes.numpy_dtype(slot.dtype)
            if dims.fixed(slot.shape):
                self.executable.layouts[slot.name] = found
        return found

    def _shape(self, slot: Slot) -> tuple[int, ...]:
        try:
            return dims.evaluate_shape(slot.shape if slot.shape is not None else ("its rank",), self.symbols)
        except KeyError as error:
            raise ExecutionError(
                f"'{slot.name}' can't be allocated: {error} is not known from the inputs",
                location="program.json",
                hint="recompile the model with shapes=",
            ) from None


def view(data: np.ndarray, slot: Slot, shape: tuple[int, ...]) -> np.ndarray:
    dtype = dtypes.numpy_dtype(slot.dtype)
    return np.ndarray(shape, dtype, buffer=data.data, offset=slot.offset)
