"""A plan and a device's code as the runtime's program: slots, steps, ports, and the constants of the host."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..runtime.program import DeviceProgram, HostStep, Port, Program, Segment, Slot
from .ir.types import TensorType
from .ops import host
from .passes.plan import Array, KernelStep, Plan
from .passes.plan import HostStep as PlannedHostStep
from .target.backend import Arena, Call, Compiled, Constant, External, Placed
from .tile.access_maps import separate_reads
from .tile.stage import LOCAL, OUTPUT, Buffer

Names = tuple[tuple[str, ...], tuple[str, ...]]
"""Input names and output names."""

_ENTRY = "host/constants.bin"
_ALIGNMENT = 64


def segments(plan: Plan) -> list[list[KernelStep]]:
    """Runs of kernel steps between host steps."""
    runs: list[list[KernelStep]] = []
    fresh = True
    for step in plan.steps:
        if isinstance(step, KernelStep):
            if fresh:
                runs.append([])
            runs[-1].append(step)
        fresh = not isinstance(step, KernelStep)
    return runs


def calls(steps: Sequence[KernelStep], plan: Plan) -> list[Call]:
    """Kernel steps of a plan with every buffer placed."""
    read = _reads(plan)
    return [_call(step, plan, read) for step in steps]


def _call(step: KernelStep, plan: Plan, read: Counter[str]) -> Call:
    """A kernel step; operands that are read in several ways are several buffers."""
    kernel, origins = separate_reads(step.kernel)
    operands = {
        buffer.name: _placed(plan.arrays[step.arrays[origins[buffer.name]]], buffer, read)
        for buffer in kernel.buffers
        if buffer.role != LOCAL
    }
    return Call(kernel, operands, step.location, str(step.location) or kernel.name)


def _reads(plan: Plan) -> Counter[str]:
    """How many steps read each array; of those that the host or a caller sees nothing is said."""
    found: Counter[str] = Counter()
    for step in plan.steps:
        if isinstance(step, KernelStep):
            written = {buffer.name for buffer in step.kernel.role(OUTPUT)}
            found.update({array for buffer, array in step.arrays.items() if buffer not in written})
    seen = {
        n for step in plan.steps if isinstance(step, PlannedHostStep) for n in step.operands if n is not None
    }
    places = {
        plan.arrays[name].offset for name in (*seen, *plan.outputs) if plan.arrays[name].place == "arena"
    }
    return Counter({name: n for name, n in found.items() if plan.arrays[name].offset not in places})


def _placed(array: Array, buffer: Buffer, read: Counter[str]) -> Placed:
    if array.place == "constant":
        key = (array.value.node.attributes["value"], array.layout)
        return Constant(array.content, key, buffer.static_shape)
    return Arena(array.offset, read[array.name]) if array.place == "arena" else External(array.name)


def program(plan: Plan, device: str, compiled: Compiled, names: Names) -> tuple[Program, dict[str, Any]]:
    """The program and the package entries that it names: code, the device's constants, the host's."""
    entries: dict[str, Any] = {
        f"{device}/code.bin": compiled.code,
        f"{device}/constants.bin": compiled.constants,
    }
    on_host = {n for step in plan.steps if isinstance(step, PlannedHostStep) for n in step.operands if n}
    constants = HostConstants()
    slots = tuple(
        slot_of(array, device, constants)
        for array in plan.arrays.values()
        if array.place != "constant" or array.name in on_host or array.name in plan.outputs
    )
    ports = (
        tuple(port_of(port, plan.arrays[name]) for port, name in zip(names[0], plan.inputs, strict=True)),
        tuple(port_of(port, plan.arrays[name]) for port, name in zip(names[1], plan.outputs, strict=True)),
    )
    facts = (DeviceProgram(device, f"{device}/code.bin", f"{device}/constants.bin", compiled.meta),)
    return Program(slots, _steps(plan, device), facts, *ports), entries | constants.entries()


def _dims(array: Array) -> tuple[int | str, ...] | None:
    if not isinstance(array.type, TensorType):
        return None
    return tuple(d if isinstance(d, int) else str(d) for d in array.type.shape)


def _dtype(array: Array) -> str:
    return str(array.type.dtype) if isinstance(array.type, TensorType) else str(array.type)


def port_of(name: str, array: Array) -> Port:
    """An input or output of the program, carried by an array."""
    return Port(name, array.name, _dtype(array), _dims(array))


def slot_of(array: Array, device: str, constants: "HostConstants") -> Slot:
    """Where an array lies; a constant's elements are kept."""
    shape = array.shape if array.place == "arena" else _dims(array)
    if array.place == "constant":
        entry, offset = constants.add(array)
        return Slot(array.name, _dtype(array), shape, "constant", offset, "", entry)
    if array.place == "arena":
        return Slot(array.name, _dtype(array), shape, "arena", array.offset, device)
    return Slot(array.name, _dtype(array), shape, array.place)


def _steps(plan: Plan, device: str) -> tuple[Segment | HostStep, ...]:
    steps: list[Segment | HostStep] = []
    runs = iter(enumerate(segments(plan)))
    inside = False
    for step in plan.steps:
        if isinstance(step, KernelStep):
            if not inside:
                number, run = next(runs)
                steps.append(segment_of(run, plan, device, number))
            inside = True
            continue
        inside = False
        steps.append(host_step(step))
    return tuple(steps)


def host_step(step: PlannedHostStep) -> HostStep:
    """A step that runs by its meaning, as the program has it."""
    operands = tuple(name or "" for name in step.operands)
    location = step.node.location
    return HostStep(
        step.node.op, host.encode(step.node), operands, step.results, str(location), location.names
    )


def segment_of(run: Sequence[KernelStep], plan: Plan, device: str, number: int) -> Segment:
    """A run of kernels as one call, with externals in the order of first use over the kernels' buffers, as the backend
    numbers them."""
    externals: dict[str, None] = {}
    written: dict[str, None] = {}
    for step in run:
        outputs = {buffer.name for buffer in step.kernel.role(OUTPUT)}
        for buffer in step.kernel.buffers:
            name = step.arrays.get(buffer.name)
            if name is None or plan.arrays[name].place in ("constant", "arena"):
                continue
            externals.setdefault(name)
            if buffer.name in outputs:
                written.setdefault(name)
    sources = dict.fromkeys(name for step in run for name in step.location.names)
    return Segment(
        device, number, tuple(externals), tuple(written), f"{device} segment {number}", tuple(sources)
    )


class HostConstants:
    """Constants that host steps and outputs read: one blob, and an entry of its own for every tensor of strings."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._texts: dict[str, bytes] = {}
        self._size = 0

    def add(self, array: Array) -> tuple[str, int]:
        """Entry and byte offset of a constant."""
        content = array.value.constant
        assert content is not None
        if content.dtype == object:
            entry = f"host/{array.name}.json"
            self._texts[entry] = json.dumps(content.reshape(-1).tolist()).encode()
            return entry, 0
        offset = self._size
        raw = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
        padding = -raw.size % _ALIGNMENT
        self._parts += [raw, np.zeros(padding, np.uint8)]
        self._size += raw.size + padding
        return _ENTRY, offset

    def entries(self) -> dict[str, Any]:
        """What the package must hold."""
        return {**self._texts, **({_ENTRY: np.concatenate(self._parts)} if self._parts else {})}
