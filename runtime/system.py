"""Several devices and the links between them, as a program knows them, and the one clock that they share.

A device does one thing at a time, and so does each direction of a link. What a step needs must lie in the memory of its
device: values reach it by transfers, which the program lists like any other step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import field

from .records import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """A one-way connection from memory to memory: seconds until the first byte arrives, and bytes a second."""

    name: str
    source: str
    target: str
    bytes_per_second: float
    latency: float = 0.0

    def busy(self, count: float) -> float:
        """Seconds for which so many bytes occupy the link."""
        return count / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class System:
    """Devices by name, the one where inputs and outputs lie, and links between memories.

    `memories` names the memory of each device; one that is not listed has its own, of its name. `clocks` says where
    each device's time comes from: "simulated" (its own cycles) or "modelled" (what the compiler predicted).
    """

    name: str
    host: str
    devices: tuple[str, ...]
    links: tuple[Link, ...] = ()
    memories: dict[str, str] = field(default_factory=dict)
    clocks: dict[str, str] = field(default_factory=dict)

    def memory(self, device: str) -> str:
        """The memory that a device works in."""
        return self.memories.get(device, device)


@dataclass(frozen=True, slots=True)
class Event:
    """What a device or a link did, in seconds of the common clock. `input` numbers the inputs of a stream."""

    resource: str
    name: str
    begin: float
    end: float
    sources: tuple[str, ...] = ()
    input: int = 0


class Clock:
    """When each step of a plan begins and ends: as soon as its resource and all that it needs are there."""

    def __init__(self, system: System):
        self.system = system
        self.free: dict[str, float] = {}
        self.there: dict[tuple[int, str, str], float] = {}
        self.events: list[Event] = []

    def ready(self, memory: str, slot: str, number: int = 0) -> float:
        """When a value is in a memory; what was there from the beginning, inputs and constants, at 0."""
        return self.there.get((number, memory, slot), 0.0)

    def work(
        self,
        device: str,
        seconds: float,
        reads: Iterable[str],
        writes: Iterable[str],
        name: str = "",
        sources: Sequence[str] = (),
        number: int = 0,
    ) -> Event:
        """A device computes for so long."""
        memory = self.system.memory(device)
        begin = max([self.free.get(device, 0.0), *(self.ready(memory, slot, number) for slot in reads)])
        event = Event(device, name, begin, begin + seconds, tuple(sources), number)
        self.free[device] = event.end
        for slot in writes:
            self.there[number, memory, slot] = event.end
        self.events.append(event)
        return event

    def move(
        self, link: Link, slot: str, count: int, name: str = "", sources: Sequence[str] = (), number: int = 0
    ) -> Event:
        """A value goes over a link; it is there `latency` after its last byte has left."""
        begin = max(self.free.get(link.name, 0.0), self.ready(link.source, slot, number))
        end = begin + link.busy(count)
        self.free[link.name] = end
        self.there[number, link.target, slot] = end + link.latency
        event = Event(link.name, name or slot, begin, end + link.latency, tuple(sources), number)
        self.events.append(event)
        return event

    def finish(self, outputs: Iterable[str], number: int = 0) -> float:
        """When all outputs of an input are with the host."""
        memory = self.system.memory(self.system.host)
        return max((self.ready(memory, slot, number) for slot in outputs), default=0.0)
