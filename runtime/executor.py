"""Runs a program: binds inputs, calls segments and host steps in order, hands out the outputs.

Runs may overlap in any number of threads: each takes its own device contexts (arena, counters) from a stack that the
interpreter's own atomicity protects, and puts them back. Nothing is shared but code and constants.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import dims, dtypes, host, memory
from .artefact import Artefact
from .device import Call, Context, Device
from .errors import DeviceError, ExecutionError, InputError
from .inputs import Inputs, bind
from .manifest import OPEN
from .profile import ChipRun, Profile, StepTime
from .program import HostStep, Segment, Slot, Step


class Executable:
    """A package's program, its devices' code loaded, ready to run."""

    def __init__(
        self,
        artefact: Artefact,
        devices: Mapping[str, Device],
        threads: int | None = None,
        resolve: host.Resolver = host.reference,
    ):
        """Load the code of every device that the program uses.

        Args:
            artefact: the package.
            devices: by the names that programs use.
            threads: default of `run`; None means as many as the machine gives.
            resolve: gives host steps their meaning; called here, once a step.

        Raises:
            DeviceError: a device that is not there, or lacks what the code needs.
        """
        opened = artefact.manifest.extra.get(OPEN)
        if opened is not None:
            raise DeviceError(
                f"the package has no code: {', '.join(opened)} is open, and it is compiled for the shapes it meets",
                location=artefact.location,
                hint="run it with isthmus.load where the compiler is installed, or compile with shapes=",
            )
        program = self.program = artefact.program
        self.artefact = artefact
        self.threads = check_threads(threads)
        self.slots = {slot.name: slot for slot in program.slots}
        self.code = {}
        self._limit = 1
        for device in program.devices:
            if device.name not in devices:
                raise DeviceError(
                    f"the package needs device '{device.name}'; there is {', '.join(devices) or 'none'}",
                    location=artefact.location,
                    hint="install the backend that provides it, or recompile for another target",
                )
            code = artefact.entry(device.code) if device.code else np.empty(0, np.uint8)
            constants = artefact.entry(device.constants) if device.constants else np.empty(0, np.uint8)
            chip = devices[device.name]
            self.code[device.name] = chip.load(device, code, constants, artefact.location)
            self._limit = max(self._limit, chip.threads())
        self.meanings = [
            resolve(step.op, step.attributes) if isinstance(step, HostStep) else None
            for step in program.steps
        ]
        self.dying = _last_uses(program.steps, {port.slot for port in program.outputs})
        self._idle: dict[str, list[Context]] = {name: [] for name in self.code}
        self._constants: dict[str, Any] = {}
        self._weights = [device.constants for device in program.devices if device.constants]
        self._weights += list(
            dict.fromkeys(s.entry for s in program.slots if s.place == "constant" and s.entry)
        )
        self._verified = False

    def run(self, inputs: Inputs, threads: int | None = None) -> dict[str, Any]:
        """Outputs by name, as arrays that belong to the caller.

        Args:
            inputs: arrays by input name, or a list in input order.
            threads: for this run, at least 1; more than the machine gives is as many as it gives. When another run is
                using the workers, this one has the calling thread alone.

        Raises:
            InputError: names, dtypes or shapes that do not fit, all of them at once.
            PackageError: at the first run, weights that are damaged.
            ExecutionError: a host step failed.
        """
        return self._execute(inputs, threads, None)

    def profile(self, inputs: Inputs, threads: int | None = None) -> Profile:
        """A run with its times. Steps inside a segment are timed where its code keeps a clock."""
        steps: list[StepTime] = []
        cycles: dict[str, int] = {}
        chips: list[ChipRun] = []
        run = _Timing(steps, cycles, chips)
        begin = time.perf_counter()
        outputs = self._execute(inputs, threads, run)
        return Profile(outputs, time.perf_counter() - begin, cycles, tuple(steps), tuple(chips))

    def constant(self, slot: Slot) -> Any:
        """A constant's array, a read-only view of the package; strings as an array of objects."""
        if slot.name not in self._constants:
            self._constants[slot.name] = self._view_constant(slot)
        return self._constants[slot.name]

    def _view_constant(self, slot: Slot) -> Any:
        entry = slot.entry or next(d.constants for d in self.program.devices if d.name == slot.device)
        data = self.artefact.entry(entry)
        shape = dims.evaluate_shape(slot.shape or (), {})
        if slot.dtype == "string":
            texts = np.empty(shape, object)
            texts.reshape(-1)[:] = json.loads(data[slot.offset :].tobytes())
            return texts
        return _view(data, slot, shape)

    def _execute(self, inputs: Inputs, threads: int | None, timing: "_Timing | None") -> dict[str, Any]:
        wanted = check_threads(threads) or self.threads or self._limit
        values, symbols = bind(self.program, inputs)
        if not self._verified:
            self.artefact.verify_once(self._weights)
            self._verified = True
        contexts = {name: self._take(name) for name in self.code}
        try:
            run = _Run(self, values, symbols, contexts, min(wanted, self._limit), timing)
            for step, meaning, dying in zip(self.program.steps, self.meanings, self.dying, strict=True):
                if isinstance(step, Segment):
                    run.segment(step)
                elif meaning is not None:
                    run.host_step(step, meaning)
                for name in dying:
                    run.values.pop(name, None)
            return run.outputs()
        finally:
            for name, context in contexts.items():
                self._idle[name].append(context)

    def _take(self, name: str) -> Context:
        try:
            return self._idle[name].pop()
        except IndexError:
            return self.code[name].context()


class _Timing:
    """Collects the times of one run."""

    def __init__(self, steps: list[StepTime], cycles: dict[str, int], chips: list[ChipRun]):
        self.steps, self.cycles, self.chips = steps, cycles, chips
        self.origin = time.perf_counter()

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

    def host(self, step: HostStep, begin: float, end: float) -> None:
        self.steps.append(
            StepTime(step.name or step.op, "host", begin - self.origin, end - begin, step.sources)
        )


class _Run:
    """The state of one run."""

    def __init__(
        self,
        executable: Executable,
        values: dict[str, Any],
        symbols: dict[str, int],
        contexts: dict[str, Context],
        threads: int,
        timing: _Timing | None,
    ):
        self.executable, self.values, self.symbols = executable, values, symbols
        self.contexts, self.threads, self.timing = contexts, threads, timing
        self.given = {id(value) for value in values.values()}
        self.owned: set[str] = set()  # slots whose array was allocated for this run and is shared with nobody

    def segment(self, step: Segment) -> None:
        """Call a device's code."""
        buffers = [self._buffer(name, name in step.writes) for name in step.buffers]
        symbols = [self.symbols.get(name, 0) for name in self.executable.program.symbols]
        call = Call(step.entry, buffers, symbols, self.threads, timed=self.timing is not None)
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

    def _buffer(self, name: str, written: bool) -> np.ndarray:
        if name not in self.values:
            slot = self.executable.slots[name]
            if slot.place == "constant":
                return self.executable.constant(slot)
            self.values[name] = memory.empty(self._shape(slot), dtypes.numpy_dtype(slot.dtype))
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
        return _view(self.contexts[slot.device].arena, slot, self._shape(slot))

    def _shape(self, slot: Slot) -> tuple[int, ...]:
        try:
            return dims.evaluate_shape(slot.shape if slot.shape is not None else ("its rank",), self.symbols)
        except KeyError as error:
            raise ExecutionError(
                f"'{slot.name}' can't be allocated: {error} is not known from the inputs",
                location="program.json",
                hint="recompile the model with shapes=",
            ) from None


def check_threads(threads: int | None) -> int | None:
    """`threads` itself; InputError unless it is None or at least 1."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(
            f"got {threads!r}, expected a whole number of at least 1",
            location="threads",
            hint="or leave it out",
        )
    return threads


def _view(data: np.ndarray, slot: Slot, shape: tuple[int, ...]) -> np.ndarray:
    dtype = dtypes.numpy_dtype(slot.dtype)
    return np.ndarray(shape, dtype, buffer=data.data, offset=slot.offset)


def _last_uses(steps: tuple[Step, ...], kept: set[str]) -> list[list[str]]:
    """For each step, the slots that no later step and no output reads."""
    dying: list[list[str]] = [[] for _ in steps]
    for position in reversed(range(len(steps))):
        step = steps[position]
        names = step.buffers if isinstance(step, Segment) else (*step.operands, *step.results)
        dying[position] = [name for name in dict.fromkeys(names) if name not in kept]
        kept = kept | set(names)
    return dying
