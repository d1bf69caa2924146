"""What runs: slots (where every array lives) and steps (what is called in which order), as plain immutable data.

A `Program` is written by the pipeline, stored in the package as JSON, and read by the executor. It knows neither
the compiler's graph nor any device's code: device programs carry their own facts in `meta`.

All arrays that cross a slot are dense and row-major. Constants and arena start on a multiple of 64 bytes; inputs and
outputs may lie at any address that suits their type (those that the executor allocates are aligned, a C caller's not).
"""

import json
from dataclasses import field, fields
from typing import Any, ClassVar, Literal, TypeVar

from .dims import Dim
from .errors import PackageError
from .records import dataclass
from .system import Link, System

Place = Literal["constant", "arena", "input", "output", "host"]
PLACES: tuple[Place, ...] = ("constant", "arena", "input", "output", "host")


@dataclass(frozen=True, slots=True)
class Slot:
    """Where one array lives.

    `dtype` is the IR's name ("f32", "i8", "bf16", "string", "sequence<f32>"); what is no tensor lives on the host only.
    `shape` holds ints or the text of expressions over the program's symbols; None when known only at run time.
    `place`: "constant" and "arena" give a byte offset into the constants or the arena of `device`; a constant of the
    host (device "") starts there in the package entry `entry`, which for strings is a JSON list of them. "input" and
    "output" are the caller's arrays. "host" arrays are allocated by the executor, or made by a host step.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None
    place: Place
    offset: int = 0
    device: str = ""
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """One call of a device's code: `entry` indexes the device's entry points.

    On the CPU the buffer table is: [0] constants base, [1] arena base, [2...] the arrays of `buffers` in order.
    `writes` names those of `buffers` that the call fills. `name` and `sources` say what it computes. In a system of
    several devices `seconds` is what it is predicted to take, `launch` what of it passes before a chip with a clock
    begins, and `limit` the cycles after which one is taken to hang (0: never).
    """

    kind: ClassVar[str] = "segment"
    device: str
    entry: int
    buffers: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    name: str = ""
    sources: tuple[str, ...] = ()
    seconds: float = 0.0
    launch: float = 0.0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class HostStep:
    """One op executed by its reference meaning; `attributes` is text that the ops layer decodes.

    An operand "" is an absent optional operand. `seconds` as in a segment.
    """

    kind: ClassVar[str] = "host"
    op: str
    attributes: str
    operands: tuple[str, ...]
    results: tuple[str, ...]
    name: str = ""
    sources: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """A slot's array goes over one of the system's links; `sources` are the nodes that made it."""

    kind: ClassVar[str] = "transfer"
    slot: str
    link: str
    bytes: int
    sources: tuple[str, ...] = ()


Step = Segment | HostStep | Transfer


@dataclass(frozen=True, slots=True)
class DeviceProgram:
    """The code of one device: package entries of code and constants ("" for none), and the device's own facts.

    `kind` names the registered device that runs it; by default it is the one of the same name. The CPU's facts are
    listed in `backends/cpu/abi.py`. `meta` holds JSON values only.
    """

    name: str
    code: str
    constants: str
    meta: dict[str, Any] = field(default_factory=dict)
    kind: str = ""

    @property
    def device(self) -> str:
        """The name under which its device is registered."""
        return self.kind or self.name


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output as the user sees it, and the slot that carries it.

    An output may name any slot: one that aliases an input or a constant is copied when the run ends.
    """

    name: str
    slot: str
    dtype: str
    shape: tuple[Dim, ...] | None


@dataclass(frozen=True, slots=True)
class Block:
    """The steps compute `extent` indices of the batch `symbol` at a time: slots hold so many, ports any number."""

    symbol: str
    extent: int


@dataclass(frozen=True, slots=True)
class Program:
    """Everything the executor needs. `symbols` orders the symbolic dimensions that the inputs' shapes bind; `system`
    is there where devices have memories of their own, and the steps list transfers between them.

    With a `block` the steps are run again and again, until the whole batch is done.
    """

    slots: tuple[Slot, ...]
    steps: tuple[Step, ...]
    devices: tuple[DeviceProgram, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    symbols: tuple[str, ...] = ()
    system: System | None = None
    block: Block | None = None

    @property
    def host_steps(self) -> tuple[HostStep, ...]:
        """The steps that fall back to the reference meaning, in order."""
        return tuple(step for step in self.steps if isinstance(step, HostStep))

    def to_json(self) -> str:
        """Canonical text: equal programs give equal bytes."""
        record = fields_of(self)
        record["steps"] = [{"kind": step.kind, **fields_of(step)} for step in self.steps]
        return json.dumps(record, default=fields_of, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @staticmethod
    def from_json(text: str | bytes, location: str = "program.json") -> "Program":
        """The program that `to_json` wrote; PackageError when the text is not one or names what it lacks."""
        try:
            record = json.loads(text)
            program = Program(
                slots=tuple(_read(Slot, slot) for slot in record["slots"]),
                steps=tuple(_read(_STEPS[step["kind"]], step) for step in record["steps"]),
                devices=tuple(_read(DeviceProgram, device) for device in record["devices"]),
                inputs=tuple(_read(Port, port) for port in record["inputs"]),
                outputs=tuple(_read(Port, port) for port in record["outputs"]),
                symbols=tuple(record["symbols"]),
                system=_read_system(record.get("system")),
                block=_read(Block, record["block"]) if record.get("block") else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PackageError(
                f"not a program: {type(error).__name__}: {error}",
                location=location,
                hint="recompile the model",
            ) from None
        program.check(location)
        return program

    def check(self, location: str = "program.json") -> None:
        """PackageError unless every name that a step or port uses is declared, exactly once."""
        declared = {slot.name: slot for slot in self.slots}
        devices = {device.name for device in self.devices}
        faults = []
        if len(declared) != len(self.slots):
            faults.append("a slot is declared twice")
        used = [port.slot for port in (*self.inputs, *self.outputs)]
        for step in self.steps:
            if isinstance(step, Segment):
                used += step.buffers
                if step.device not in devices:
                    faults.append(f"a step runs on '{step.device}', which has no device program")
                if not set(step.writes) <= set(step.buffers):
                    faults.append(f"step {step.name or step.entry} writes a slot that it is not given")
            elif isinstance(step, Transfer):
                used.append(step.slot)
            else:
                used += [name for name in (*step.operands, *step.results) if name]
        faults += [f"slot '{name}' is not declared" for name in dict.fromkeys(used) if name not in declared]
        for slot in self.slots:
            if slot.place not in PLACES:
                faults.append(
                    f"slot '{slot.name}' lies in '{slot.place}', expected one of {', '.join(PLACES)}"
                )
            elif slot.place == "arena" and slot.device not in devices:
                faults.append(f"slot '{slot.name}' lies on '{slot.device}', which has no device program")
        faults += _astray(self)
        if self.block is not None and (self.block.symbol not in self.symbols or self.block.extent < 1):
            faults.append(f"its block is {self.block.extent} of '{self.block.symbol}', which no input gives")
        if faults:
            raise PackageError("; ".join(faults), location=location, hint="recompile the model")


def fields_of(record: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, as they are; `json.dumps` takes this for what it does not know."""
    return {each.name: getattr(record, each.name) for each in fields(record)}


def _astray(program: Program) -> list[str]:
    """What steps of a system read although nothing has brought it into their device's memory."""
    system = program.system
    if system is None:
        return []
    links = {link.name: link for link in system.links}
    places = {slot.name: slot.place for slot in program.slots}
    held = {system.memory(device): set[str]() for device in (*system.devices, system.host)}
    here = system.memory(system.host)
    held[here].update(name for name, place in places.items() if place in ("input", "constant"))
    faults = []
    for step in program.steps:
        if isinstance(step, Transfer):
            link = links.get(step.link)
            if link is None or step.slot not in held[link.source]:
                faults.append(f"'{step.slot}' goes over '{step.link}' before it is there")
            else:
                held[link.target].add(step.slot)
            continue
        device = system.memory(step.device if isinstance(step, Segment) else system.host)
        reads, writes = accesses(step)
        missing = [name for name in reads if places.get(name) != "arena" and name not in held.get(device, ())]
        faults += [
            f"step {step.name} reads '{name}', which is not in the memory of '{device}'" for name in missing
        ]
        held.get(device, set()).update(writes)
    back = [port.slot for port in program.outputs if port.slot not in held[here]]
    return faults + [f"output '{name}' never comes back to '{system.host}'" for name in back]


def accesses(step: Segment | HostStep) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The slots that a step reads and those that it writes."""
    if isinstance(step, Segment):
        return tuple(name for name in step.buffers if name not in step.writes), step.writes
    return tuple(filter(None, step.operands)), tuple(filter(None, step.results))


def _read_system(record: dict[str, Any] | None) -> System | None:
    if record is None:
        return None
    links = tuple(_read(Link, link) for link in record["links"])
    return _read(System, {**record, "links": links})


_STEPS: dict[str, type] = {Segment.kind: Segment, HostStep.kind: HostStep, Transfer.kind: Transfer}
_Record = TypeVar("_Record")


def _read(kind: type[_Record], record: dict[str, Any]) -> _Record:
    """An instance of a dataclass from its JSON object; unknown keys are ignored, lists become tuples."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(
        **{
            key: tuple(value) if isinstance(value, list) else value
            for key, value in record.items()
            if key in names
        }
    )
