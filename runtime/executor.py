"""Runs a program: binds inputs, calls segments and host steps in order, hands out the outputs.

Runs may overlap in any number of threads: each takes its own device contexts (arena, counters) from a stack that the
interpreter's own atomicity protects, and puts them back. Nothing is shared but code and constants.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import dims, host
from .artefact import Artefact
from .blocks import run_blocks
from .device import Context, Device
from .distributed import Carry, DistributedRun, carry, timeline
from .errors import DeviceError, ExecutionError, InputError
from .inputs import Inputs, Ports
from .manifest import OPEN
from .profile import Profile, SystemRun
from .program import HostStep, Segment, Slot, Step, Transfer
from .run import Layout, Run, Timing, view


class Executable:
    """A package's program, its devices' code loaded, ready to run."""

    def __init__(
        self,
        artefact: Artefact,
        devices: Mapping[str, Device],
        threads: int | None = None,
        resolve: host.Resolver = host.reference,
        carry: Carry = carry,
    ):
        """Load the code of every device that the program uses.

        Args:
            artefact: the package.
            devices: by the names that programs use.
            threads: default of `run`; None means as many as the machine gives.
            resolve: gives host steps their meaning; called here, once a step.
            carry: what a link of a system does to an array.

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
        self.artefact, self.carry = artefact, carry
        self.threads = check_threads(threads)
        self.ports = Ports(program)
        self.slots = {slot.name: slot for slot in program.slots}
        self.layouts: dict[str, Layout] = {}
        self.code = {}
        self._limit = 1
        for device in program.devices:
            if device.device not in devices:
                raise DeviceError(
                    f"the package needs device '{device.device}'; there is {', '.join(devices) or 'none'}",
                    location=artefact.location,
                    hint="install the backend that provides it, or recompile for another target",
                )
            code = artefact.entry(device.code) if device.code else np.empty(0, np.uint8)
            constants = artefact.entry(device.constants) if device.constants else np.empty(0, np.uint8)
            chip = devices[device.device]
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
        timing = Timing()
        begin = time.perf_counter()
        outputs = self._execute(inputs, threads, timing)
        seconds = time.perf_counter() - begin
        found = Profile(outputs, seconds, timing.cycles, tuple(timing.steps), tuple(timing.chips))
        if self.program.system is None:
            return found
        return replace(found, system=timeline(self.program, [timing.durations]))

    def stream(
        self, inputs: Sequence[Inputs], threads: int | None = None
    ) -> tuple[list[dict[str, Any]], SystemRun]:
        """Outputs of several inputs, and when what would happen if they came one upon the other: several are under way
        at once. ExecutionError for a package of one device."""
        if self.program.system is None:
            raise ExecutionError(
                "a stream is for packages of several devices",
                location=self.artefact.location,
                hint="compile for a system",
            )
        outputs, durations = [], []
        for each in inputs:
            timing = Timing()
            outputs.append(self._execute(each, threads, timing))
            durations.append(timing.durations)
        return outputs, timeline(self.program, durations)

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
        return view(data, slot, shape)

    def _execute(self, inputs: Inputs, threads: int | None, timing: "Timing | None") -> dict[str, Any]:
        wanted = check_threads(threads) or self.threads or self._limit
        values, symbols = self.ports.bind(inputs)
        if not self._verified:
            self.artefact.verify_once(self._weights)
            self._verified = True
        contexts = {name: self._take(name) for name in self.code}

        def once(arrays: dict[str, Any]) -> dict[str, Any]:
            kind = Run if self.program.system is None else DistributedRun
            return self._once(kind(self, arrays, symbols, contexts, min(wanted, self._limit), timing))

        try:
            block = self.program.block
            return once(values) if block is None else run_blocks(self.program, block, values, symbols, once)
        finally:
            for name, context in contexts.items():
                self._idle[name].append(context)

    def _once(self, run: Run) -> dict[str, Any]:
        """All steps in order."""
        for step, meaning, dying in zip(self.program.steps, self.meanings, self.dying, strict=True):
            if isinstance(step, Segment):
                run.segment(step)
            elif isinstance(step, Transfer):
                run.transfer(step)
            elif meaning is not None:
                run.host_step(step, meaning)
            run.release(dying)
        return run.outputs()

    def _take(self, name: str) -> Context:
        try:
            return self._idle[name].pop()
        except IndexError:
            return self.code[name].context()


def check_threads(threads: int | None) -> int | None:
    """`threads` itself; InputError unless it is None or at least 1."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(
            f"got {threads!r}, expected a whole number of at least 1",
            location="threads",
            hint="or leave it out",
        )
    return threads


def _last_uses(steps: tuple[Step, ...], kept: set[str]) -> list[list[str]]:
    """For each step, the slots that no later step and no output reads."""
    dying: list[list[str]] = [[] for _ in steps]
    for position in reversed(range(len(steps))):
        step = steps[position]
        names = _names(step)
        dying[position] = [name for name in dict.fromkeys(names) if name not in kept]
        kept = kept | set(names)
    return dying


def _names(step: Step) -> tuple[str, ...]:
    """The slots of a step."""
    if isinstance(step, Transfer):
        return (step.slot,)
    return step.buffers if isinstance(step, Segment) else (*step.operands, *step.results)
