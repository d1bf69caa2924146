"""`explain` for a system: for every node where it runs, what it costs there and elsewhere, and why not elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from isthmus.compiler.partition.candidates import Unit
from isthmus.compiler.system_build import SystemBuilt
from isthmus.runtime.profile import SystemRun
from isthmus.runtime.records import dataclass
from isthmus.runtime.system import Event


@dataclass(frozen=True)
class Placement:
    """Where one node runs. `unit` numbers the nodes that stay together, whose costs in seconds are `seconds`;
    `refused` says for each other device why it does not run them. `reason`: why not on another device."""

    node: str
    op: str
    device: str
    unit: int
    seconds: Mapping[str, float]
    refused: Mapping[str, str]
    reason: str = ""


@dataclass(frozen=True)
class Way:
    """A way of placing all nodes: its latency and the period of a stream, in seconds."""

    name: str
    latency: float
    period: float


@dataclass(frozen=True)
class Suggestion:
    """An edit that would move work: what to do, why, and the latency in seconds before and after it, as compiled."""

    edit: str
    why: str
    before: float
    after: float


@dataclass(frozen=True)
class SystemExplanation:
    """What there is to tell of a model on a system; `print` it. `edges` are pairs of units, the second reads what the
    first writes; `critical` are the events that the latency is made of."""

    model: str
    target: str
    objective: str
    devices: Mapping[str, str]
    placements: tuple[Placement, ...]
    ways: tuple[Way, ...]
    run: SystemRun
    critical: tuple[Event, ...]
    edges: tuple[tuple[int, int], ...] = ()
    suggestions: tuple[Suggestion, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The explanation as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        chosen = self.ways[0]
        lines = [
            f"{self.model} for {self.target}: {len(self.placements)} nodes,"
            f" predicted {time_text(chosen.latency)} from input to output, one output every {time_text(chosen.period)}",
            "",
            "ways of placing them:",
            *(
                f"  {way.name:<20} latency {time_text(way.latency):>11}  period {time_text(way.period):>11}"
                for way in self.ways
            ),
            "",
            *self._table(),
            "",
            f"critical path ({time_text(self.run.seconds)}):",
            *map(_event, self.critical),
        ]
        if self.suggestions is not None:
            lines += [
                "",
                "edits that would help, as compiled:" if self.suggestions else "no edit was found that helps",
            ]
            lines += [
                f"  {each.edit}: {time_text(each.before)} -> {time_text(each.after)} ({each.why})"
                for each in self.suggestions
            ]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        names = list(self.devices)
        width = max(11, *(len(name) + 1 for name in names))
        lines = [f"{'unit':>5}  {'on':<{width}}" + "".join(f"{name:>{width}}" for name in names) + "  node"]
        for each in self.placements:
            costs = "".join(
                f"{time_text(each.seconds[name]) if name in each.seconds else 'no':>{width}}"
                for name in names
            )
            reason = f"  ({each.reason})" if each.reason else ""
            lines.append(f"{each.unit:>5}  {each.device:<{width}}{costs}  {each.node}: {each.op}{reason}")
        return lines


def explain_system(built: SystemBuilt, model: str, target: str) -> SystemExplanation:
    """What there is to tell of a model that has been compiled for a system."""
    return SystemExplanation(
        model,
        target,
        built.partition.objective,
        {device.name: device.target.name for device in built.system.devices},
        tuple(_placements(built)),
        tuple(ways(built)),
        built.chosen.run,
        tuple(critical_path(built.chosen.run)),
        tuple(_edges(built)),
    )


def ways(built: SystemBuilt) -> list[Way]:
    """The ways of placing all nodes, the chosen one first; of those behind, what the schedule model says."""
    found = {each.choice.how: Way(each.choice.how, each.latency, each.period) for each in built.candidates}
    for each in built.partition.choices:
        found.setdefault(each.how, Way(each.how, each.latency, each.period))
    return list(found.values())


def _edges(built: SystemBuilt) -> list[tuple[int, int]]:
    """Which units read what others write, by number."""
    units = built.partition.units
    maker = {value: number for number, unit in enumerate(units) for value in unit.writes}
    pairs = [(maker[v], number) for number, unit in enumerate(units) for v in unit.reads if v in maker]
    return list(dict.fromkeys(pairs))


def _placements(built: SystemBuilt) -> list[Placement]:
    where = built.partition.where(built.chosen.choice)
    unit_of = {
        node: (number, unit) for number, unit in enumerate(built.partition.units) for node in unit.nodes
    }
    found = []
    for node in built.graph.nodes:
        if node in unit_of:
            number, unit = unit_of[node]
            refused = {
                device.name: _refusal(built, device.name, unit)
                for device in built.system.devices
                if device.name not in unit.seconds
            }
            reason = _reason(built, where[unit], unit, refused)
            name = ", ".join(node.location.names) or str(node.location) or node.op
            found.append(Placement(name, node.op, where[unit], number, dict(unit.seconds), refused, reason))
    return found


def _refusal(built: SystemBuilt, device: str, unit: Unit) -> str:
    """Why a device does not run a unit: the first of its nodes that it refuses, and the constraint that fails."""
    known = built.partition.known
    for node in unit.nodes:
        if known.pins.get(node, device) != device:
            return f"pinned to {known.pins[node]}"
    for node in unit.nodes:
        if why := known.reason(device, node):
            own = "" if len(unit.nodes) == 1 else f"{', '.join(node.location.names) or node.op}: "
            return f"{own}{why}"
    return "its kernels are refused"


def _reason(built: SystemBuilt, device: str, unit: Unit, refused: Mapping[str, str]) -> str:
    """Why a unit on the host is on no accelerator."""
    if device != built.system.host:
        return ""
    reasons = [f"{name}: {why}" for name, why in refused.items()]
    own = unit.seconds[device]
    for name, seconds in unit.seconds.items():
        if name == device:
            continue
        if seconds >= own:
            reasons.append(f"{name}: slower there, {time_text(seconds)} against {time_text(own)}")
        else:
            saved = time_text(own - seconds)
            reasons.append(f"{name}: would save {saved}, less than transfers and waiting cost")
    return "; ".join(reasons)


def critical_path(run: SystemRun) -> list[Event]:
    """What the latency is made of, back from the last event: each begins when the one before ends, or when the link is
    free again on which that one is still on its way."""
    if not run.events:
        return []
    path = [max(run.events, key=lambda each: (each.end, each.begin))]
    seen: set[int] = set()
    while (event := path[-1]).begin > 0:
        seen.add(id(event))
        earlier = [each for each in run.events if each.begin <= event.begin and id(each) not in seen]
        ended = [each for each in earlier if abs(each.end - event.begin) <= 1e-12]
        same = [each for each in earlier if each.resource == event.resource]
        if not ended and not same:
            break
        path.append(max(ended or same, key=lambda each: (each.resource == event.resource, each.begin)))
    return path[::-1]


def time_text(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns" if seconds else "0"


def _event(event: Event) -> str:
    """When it began, how long it took, where, and from which source nodes."""
    names: Sequence[str] = event.sources or (event.name,)
    what = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    begin, taken = time_text(event.begin), time_text(event.end - event.begin)
    return f"  {begin:>11} {taken:>11}  {event.resource:<12} {what}"
