"""The schedule model that the search works on: units in a fixed order, each as early as its device and values allow.

Plain numbers instead of names, so that thousands of assignments are judged in a second. It is the runtime's clock
(`runtime/system.py`) for units; what comes out of the search is judged once more by that clock, kernel by kernel.
"""

from collections.abc import Sequence
from dataclasses import field
from functools import cached_property

from ...runtime.records import dataclass
from ..ir.graph import Value
from .candidates import Unit
from .knowledge import size
from .order import in_order, readers
from .system import System

Assignment = tuple[int, ...]
"""The number of a device for each unit."""


@dataclass(frozen=True)
class Model:
    """`seconds[u][d]` is None where device d does not run unit u; `reads[u]` and `makes[u]` are numbers of values,
    whose bytes are `sizes`. What is `given` lies in the memory `host`, and `outputs` must come there. A route is a
    list of link, seconds a byte and latency. `tails[u]` is the least time from the end of a unit to the end of all."""

    seconds: list[list[float | None]]
    reads: list[list[int]]
    makes: list[list[int]]
    sizes: list[int]
    given: list[int]
    outputs: list[int]
    memory: list[int]
    host: int
    routes: dict[tuple[int, int], list[tuple[int, float, float]]]
    links: int
    weights: list[int]
    limits: list[int]
    names: list[str]
    tails: list[float] = field(default_factory=list)

    def choices(self, unit: int) -> list[int]:
        """The devices that run a unit."""
        return [device for device, cost in enumerate(self.seconds[unit]) if cost is not None]

    @cached_property
    def maker(self) -> dict[int, int]:
        """The unit that makes each value that is not given."""
        return {value: unit for unit, made in enumerate(self.makes) for value in made}

    @cached_property
    def before(self) -> list[list[int]]:
        """The units that make what each unit reads."""
        return [sorted({self.maker[v] for v in reads if v in self.maker}) for reads in self.reads]

    @cached_property
    def after(self) -> list[list[int]]:
        """The units that read what each unit makes."""
        return readers(self.before)

    def transit(self, value: int, source: int, target: int) -> float:
        """Seconds of a value's way from one memory to another, were all links free."""
        if source == target:
            return 0.0
        way = self.routes.get((source, target))
        if way is None:
            return float("inf")
        return sum(self.sizes[value] * second + latency for _, second, latency in way)


def describe(units: Sequence[Unit], outputs: Sequence[Value], system: System) -> Model:
    """The model of units on a system."""
    values = {
        value: n
        for n, value in enumerate(dict.fromkeys(v for unit in units for v in (*unit.reads, *unit.writes)))
    }
    made = {value for unit in units for value in unit.writes}
    memories = list(dict.fromkeys(device.memory for device in system.devices))
    links = {link.name: n for n, link in enumerate(system.links)}
    routes = {
        (memories.index(a), memories.index(b)): [
            (links[link.name], 1 / link.bytes_per_second, link.latency) for link in route
        ]
        for (a, b), route in system.routes.items()
    }
    model = Model(
        seconds=[
            [unit.seconds[d.name] + d.launch if d.name in unit.seconds else None for d in system.devices]
            for unit in units
        ],
        reads=[[values[v] for v in unit.reads] for unit in units],
        makes=[[values[v] for v in unit.writes] for unit in units],
        sizes=[size(value) for value in values],
        given=[n for value, n in values.items() if value not in made],
        outputs=[values[v] for v in dict.fromkeys(outputs) if v in made],
        memory=[memories.index(device.memory) for device in system.devices],
        host=memories.index(system.device(system.host).memory),
        routes=routes,
        links=len(links),
        weights=[unit.bytes for unit in units],
        limits=[device.memory_bytes for device in system.devices],
        names=[device.name for device in system.devices],
    )
    model.tails.extend(_tails(model))
    return model


def _tails(model: Model) -> list[float]:
    """The least seconds from the end of each unit to the end of all."""
    tails = [0.0] * len(model.reads)
    least = [min(cost for cost in row if cost is not None) for row in model.seconds]
    for unit in reversed(range(len(model.reads))):
        tails[unit] = max((tails[reader] + least[reader] for reader in model.after[unit]), default=0.0)
    return tails


class State:
    """A part of a schedule: some units placed, each after those whose values it reads."""

    __slots__ = ("bound", "free", "held", "link", "placed", "there")

    def __init__(self, model: Model):
        self.free = [0.0] * len(model.memory)
        self.link = [0.0] * model.links
        self.there: dict[tuple[int, int], float] = {(value, model.host): 0.0 for value in model.given}
        self.placed: list[int] = []
        self.held = [0] * len(model.memory)
        self.bound = 0.0

    def copy(self) -> "State":
        """A state that goes its own way."""
        other = object.__new__(State)
        other.free, other.link, other.there = self.free[:], self.link[:], self.there.copy()
        other.placed, other.held, other.bound = self.placed[:], self.held[:], self.bound
        return other

    def place(self, model: Model, unit: int, device: int) -> bool:
        """Put a unit on a device; whether it fits the device's memory."""
        self.placed.append(device)
        self.held[device] += model.weights[unit]
        memory = model.memory[device]
        begin = self.free[device]
        for value in model.reads[unit]:
            begin = max(begin, self.bring(model, value, memory))
        cost = model.seconds[unit][device]
        assert cost is not None
        end = self.free[device] = begin + cost
        for value in model.makes[unit]:
            self.there[value, memory] = end
        self.bound = max(self.bound, end + model.tails[unit])
        return not model.limits[device] or self.held[device] <= model.limits[device]

    def bring(self, model: Model, value: int, memory: int) -> float:
        """When a value is in a memory; it is sent there where it is not."""
        found = self.there.get((value, memory))
        if found is not None:
            return found
        ways = [
            (time, at)
            for at in range(max(model.memory) + 1)
            if (time := self.there.get((value, at))) is not None and (at, memory) in model.routes
        ]
        if not ways:
            return float("inf")
        time, source = min(ways)
        way = model.routes[source, memory]
        for link, second, latency in way:
            begin = max(time, self.link[link])
            self.link[link] = begin + model.sizes[value] * second
            time = self.link[link] + latency
        self.there[value, memory] = time
        return time

    def finish(self, model: Model) -> float:
        """When all outputs are with the host, once every unit is placed."""
        other = self.copy()
        return max([max(self.free), *(other.bring(model, value, model.host) for value in model.outputs)])


def latency(
    model: Model, assignment: Sequence[int], limit: float = float("inf"), start: State | None = None
) -> float:
    """Seconds from the inputs to the outputs, units in their fixed order; infinite where a memory is too small, or
    where it can't be less than `limit`. `start`: the schedule of the first units, where it is known."""
    state = State(model) if start is None else start.copy()
    for unit in range(len(state.placed), len(assignment)):
        if not state.place(model, unit, assignment[unit]) or state.bound >= limit:
            return float("inf")
    return state.finish(model)


def prefixes(model: Model, assignment: Sequence[int]) -> list[State]:
    """The schedule of the first n units, for every n."""
    found = [State(model)]
    for unit, device in enumerate(assignment):
        found.append(found[-1].copy())
        found[-1].place(model, unit, device)
    return found


def scheduled(model: Model, assignment: Sequence[int]) -> float:
    """Seconds from the inputs to the outputs, units in the order that kernels get as well; infinite where a memory is
    too small."""
    sent = [dict.fromkeys(made) for made in model.makes]

    def arrival(maker: int, reader: int, done: float) -> float:
        source, target = model.memory[assignment[maker]], model.memory[assignment[reader]]
        if source == target:
            return done
        return done + sum(model.transit(v, source, target) for v in model.reads[reader] if v in sent[maker])

    seconds = [model.seconds[unit][device] or 0.0 for unit, device in enumerate(assignment)]
    state = State(model)
    for unit in in_order(seconds, assignment, model.before, model.after, arrival):
        if not state.place(model, unit, assignment[unit]):
            return float("inf")
    return state.finish(model)
