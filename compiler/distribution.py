"""One program for several devices: segments and transfers in the order of the schedule, and their common clock.

A segment is closed where another device waits for what it made, and opened where something has come over a link: so
devices work side by side as far as what they pass on allows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from ..runtime import program as runtime
from ..runtime.distributed import timeline
from ..runtime.profile import SystemRun
from ..runtime.records import dataclass
from ..runtime.system import System as RuntimeSystem
from . import assemble
from .ir.graph import Graph, Value
from .partition.knowledge import size
from .partition.split import Part, Task
from .partition.system import System
from .passes.plan import HostStep, KernelStep
from .target.backend import Call, Compiled

LIMIT, SPARE = 20, 1_000_000
"""A chip is taken to hang after so many times the cycles that were predicted, and so many more."""


@dataclass
class Piece:
    """Kernels of one device that are called together."""

    part: Part
    tasks: list[Task] = field(default_factory=list)
    number: int = 0

    @property
    def steps(self) -> list[KernelStep]:
        return [task.step for task in self.tasks if isinstance(task.step, KernelStep)]

    def seconds(self, code: Compiled | None) -> float:
        """What it takes: by the device's clock, where its code says so, else as predicted."""
        device = self.part.device
        cycles = code.cycles[self.number] if code is not None and code.cycles else None
        predicted = sum(task.seconds for task in self.tasks)
        return device.launch + (predicted if cycles is None else device.target.seconds(cycles))


@dataclass(frozen=True)
class Move:
    """A value on its way over one link."""

    value: Value
    link: str


Entry = Piece | Task | Move


class Layout:
    """The steps of all devices in one order, and the names under which arrays cross borders."""

    def __init__(self, graph: Graph, parts: Sequence[Part], order: Sequence[Task], system: System):
        self.graph, self.parts, self.system = graph, parts, system
        results = [value for node in graph.nodes for value in node.results]
        self.names = {value: f"x{number}" for number, value in enumerate(results)}
        self.entries: list[Entry] = []
        self._when: dict[Value, dict[str, int]] = {}  # by memory, at which entry a value gets there
        self._open: dict[str, tuple[Piece, int]] = {}
        self._crossing = self._find_crossing(order)
        host = system.device(system.host).memory
        self._when.update((value, {host: -1}) for value in graph.inputs)
        for task in order:
            self._add(task)
        for value in dict.fromkeys(graph.outputs):
            if value.node.op not in ("input", "constant"):
                self._bring(value, host)
        for device in system.devices:
            for number, piece in enumerate(self.pieces(device.name)):
                piece.number = number

    def _find_crossing(self, order: Iterable[Task]) -> set[Value]:
        """Values that another device waits for, outputs that the host waits for with them."""
        maker = {v: task.part.device.name for task in order for v in task.writes if isinstance(v, Value)}
        read = [(v, task.part.device.name) for task in order for v in task.reads if isinstance(v, Value)]
        read += [(value, self.system.host) for value in self.graph.outputs]
        return {value for value, device in read if maker.get(value, device) != device}

    def _add(self, task: Task) -> None:
        device = task.part.device
        reads, writes = ([v for v in names if isinstance(v, Value)] for names in (task.reads, task.writes))
        for value in reads:
            self._bring(value, device.memory)
        piece, place = self._open.get(device.name, (None, -1))
        if isinstance(task.step, HostStep):
            self._open.pop(device.name, None)
            place = len(self.entries)
            self.entries.append(task)
        elif piece is not None and all(self._when[value][device.memory] <= place for value in reads):
            piece.tasks.append(task)
        else:
            place = len(self.entries)
            self._open[device.name] = Piece(task.part, [task]), place
            self.entries.append(self._open[device.name][0])
        self._when.update((value, {device.memory: place}) for value in writes)
        if not self._crossing.isdisjoint(writes):
            self._open.pop(device.name, None)

    def _bring(self, value: Value, memory: str) -> None:
        """Send a value from where it is by the shortest way, unless it is there."""
        when = self._when[value]
        if memory in when:
            return
        ways = [
            self.system.routes[source, memory] for source in when if (source, memory) in self.system.routes
        ]
        for link in min(ways, key=len):
            if link.target not in when:
                when[link.target] = len(self.entries)
                self.entries.append(Move(value, link.name))

    # --- the program -------------------------------------------------------------------------------------------

    def calls(self, device: str) -> list[list[Call]]:
        """What a device's backend compiles: its segments."""
        return [
            assemble.calls(entry.steps, entry.part.plan)
            for entry in self.entries
            if isinstance(entry, Piece) and entry.part.device.name == device
        ]

    def pieces(self, device: str) -> list[Piece]:
        """A device's segments."""
        return [e for e in self.entries if isinstance(e, Piece) and e.part.device.name == device]

    def program(self, compiled: Mapping[str, Compiled]) -> tuple[runtime.Program, dict[str, Any]]:
        """The program and the package entries that it names; devices that are not in `compiled` have no code yet."""
        constants = assemble.HostConstants()
        slots: dict[str, runtime.Slot] = {}
        ports: dict[Value, runtime.Port] = {}
        for part in self.parts:
            self._slots(part, constants, slots, ports)
        devices: list[runtime.DeviceProgram] = []
        entries: dict[str, Any] = {}
        for part in self.parts:
            name = part.device.name
            if not self.pieces(name):
                continue
            code = compiled.get(name)
            files = f"{name}/code.bin", f"{name}/constants.bin"
            if code is not None:
                entries |= dict(zip(files, (code.code, code.constants)))
            meta = {} if code is None else code.meta
            devices.append(runtime.DeviceProgram(name, *files, meta, part.device.backend.name))
        program = runtime.Program(
            tuple(slots.values()),
            tuple(self._step(entry, compiled) for entry in self.entries),
            tuple(devices),
            tuple(
                self._port(name, value, ports)
                for name, value in zip(self.graph.input_names, self.graph.inputs, strict=True)
            ),
            tuple(
                self._port(name, value, ports)
                for name, value in zip(self.graph.output_names, self.graph.outputs, strict=True)
            ),
            system=self._system(),
        )
        return program, entries | constants.entries()

    def predicted(self) -> SystemRun:
        """The run by the common clock, every kernel taking what it is predicted to take."""
        program, _ = self.program({})
        durations = [getattr(step, "seconds", 0.0) for step in program.steps]
        return timeline(program, [durations])

    def _port(self, name: str, value: Value, ports: Mapping[Value, runtime.Port]) -> runtime.Port:
        return replace(ports[value], name=name)

    def _system(self) -> RuntimeSystem:
        devices = self.system.devices
        return RuntimeSystem(
            self.system.name,
            self.system.host,
            tuple(device.name for device in devices),
            self.system.links,
            {device.name: device.memory for device in devices if device.memory != device.name},
            {device.name: "simulated" if device.has_clock else "modelled" for device in devices},
        )

    def _name(self, part: Part, array: str) -> str:
        """The slot of a device's array: values that cross borders, and the graph's own, have one name everywhere."""
        value = part.values.get(array)
        return f"{part.device.name}.{array}" if value is None else self.names[value]

    def _slots(
        self,
        part: Part,
        constants: assemble.HostConstants,
        slots: dict[str, runtime.Slot],
        ports: dict[Value, runtime.Port],
    ) -> None:
        hosted = {n for step in part.plan.steps if isinstance(step, HostStep) for n in step.operands if n}
        passed = dict(zip(part.plan.outputs, part.graph.outputs))
        for array in part.plan.arrays.values():
            if array.place == "constant" and array.name not in hosted and array.name not in passed:
                continue
            name = self._name(part, array.name)
            slot = replace(assemble.slot_of(array, part.device.name, constants), name=name)
            value = part.values.get(array.name)
            if value is not None and value.node.op != "input" and slot.place == "input":
                continue  # another device makes it
            if slot.place == "output" and value not in self.graph.outputs:
                slot = replace(slot, place="host")
            slots[name] = slot
            for seen in (value, passed.get(array.name)):
                if seen is not None:
                    ports[seen] = replace(assemble.port_of(name, array), slot=name)

    def _step(self, entry: Entry, compiled: Mapping[str, Compiled]) -> runtime.Step:
        if isinstance(entry, Move):
            sources = entry.value.node.location.names or (str(entry.value.node.op),)
            return runtime.Transfer(self.names[entry.value], entry.link, size(entry.value), sources)
        if isinstance(entry, Task):
            assert isinstance(entry.step, HostStep)
            step = assemble.host_step(entry.step)
            operands = tuple(name and self._name(entry.part, name) for name in step.operands)
            results = tuple(self._name(entry.part, name) for name in step.results)
            return replace(step, operands=operands, results=results, seconds=entry.seconds)
        device = entry.part.device
        found = assemble.segment_of(entry.steps, entry.part.plan, device.name, entry.number)
        seconds = entry.seconds(compiled.get(device.name))
        cycles = seconds * device.target.clock_mhz * 1e6
        return replace(
            found,
            buffers=tuple(self._name(entry.part, name) for name in found.buffers),
            writes=tuple(self._name(entry.part, name) for name in found.writes),
            seconds=seconds,
            launch=device.launch,
            limit=round(cycles * LIMIT) + SPARE if device.has_clock else 0,
        )
