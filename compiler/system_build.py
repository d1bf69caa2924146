"""compile() for several devices, top to bottom: graph passes, partition, every device's plan and code, one program."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from itertools import cycle, islice

from ..runtime.artefact import Artefact
from ..runtime.background import Background
from ..runtime.distributed import stages, timeline
from ..runtime.manifest import Manifest
from ..runtime.profile import SystemRun
from ..runtime.records import dataclass
from . import stored_graph
from .diagnostics import Problem, UnsupportedError
from .distribution import Layout
from .ir.graph import Graph
from .partition.exact import EXACT
from .partition.knowledge import Knowledge, form_on, pinned
from .partition.partition import Choice, Partition
from .partition.split import Part, Task
from .partition.system import Device, System
from .passes import GRAPH_PASSES, Pass, Rewrite
from .passes.plan import HostStep, Step
from .pipeline import Observer, Options, optimise
from .target.backend import Compiled, KernelReport, KernelsRefused

_ATTEMPTS = 8  # each one keeps away from a device what it turned out not to run
_MARGIN = 1.25
"""Nothing is worked out that the schedule model finds so much worse than what was; in small graphs plain ways are."""
_MOVES = 60  # single moves that are looked at in a small graph
_STREAM = 8  # inputs by which a period is judged, beside those that fill and empty the pipeline


@dataclass(frozen=True)
class Candidate:
    """An assignment worked out kernel by kernel: what the common clock predicts, in seconds."""

    choice: Choice
    layout: Layout
    run: SystemRun
    period: float

    @property
    def latency(self) -> float:
        return self.run.seconds


@dataclass(frozen=True)
class SystemBuilt:
    """A package for a system, and what led to it. `candidates` are all that were worked out, the chosen one first."""

    artefact: Artefact
    graph: Graph
    system: System
    partition: Partition
    candidates: tuple[Candidate, ...]
    compiled: Mapping[str, Compiled]
    hits: Mapping[str, Mapping[str, int]]

    @property
    def chosen(self) -> Candidate:
        return self.candidates[0]

    @property
    def reports(self) -> tuple[KernelReport, ...]:
        """One report a kernel call, device by device."""
        return tuple(report for each in self.compiled.values() for report in each.reports)


@dataclass(frozen=True)
class Wishes:
    """How to partition: `objective` "latency" or "throughput"; `pins` devices by patterns of source nodes' names."""

    objective: str = "latency"
    pins: Mapping[str, str] = field(default_factory=dict)


def floats_worth(graph: Graph, floats: Graph, system: System, wishes: Wishes) -> tuple[frozenset[str], float]:
    """Source nodes of a quantised graph that are best computed in floats, on devices that are to compute so; and the
    latency (or period) of everything in floats on the host. Both graphs have gone through their passes."""
    known = Knowledge(pins=pinned(graph, wishes.pins, system))
    for device in system.devices:
        if device.precision == "f32":
            alone = Knowledge()
            formed = form_on(alone.view(device, floats).graph, device, alone, system.host)
            known.alternatives[device.name] = [
                (frozenset(_names(step)), cost)
                for step, cost in zip(formed.plan.steps, formed.seconds, strict=True)
            ]
    partition = Partition(graph, system, known, wishes.objective)
    chosen = partition.where(partition.choices[0])
    names = [unit.sources for unit, device in chosen.items() if device in unit.otherwise]
    on_host = known.alternatives.get(system.host, [(frozenset[str](), float("inf"))])
    return frozenset[str]().union(*names), sum(cost for _, cost in on_host)


def _names(step: Step) -> tuple[str, ...]:
    """A step's source nodes."""
    return step.node.location.names if isinstance(step, HostStep) else step.location.names


def passes_for(system: System, precision: tuple[Pass, ...]) -> tuple[Pass, ...]:
    """What every model goes through, a precision's passes, then the rewrites of all chips; those of other devices are
    for their own parts."""
    rules = tuple(dict.fromkeys(rule for each in system.devices if each.has_clock for rule in each.rules))
    return (*GRAPH_PASSES, *precision, *([Rewrite("legalise", rules)] if rules else []))


def build_system(
    graph: Graph,
    system: System,
    options: Options,
    wishes: Wishes,
    *,
    tool_version: str,
    model: str = "",
    model_sha256: Callable[[], str] = str,
    observe: Observer | None = None,
) -> SystemBuilt:
    """Compile a graph with static shapes for a system; UnsupportedError names what can't be compiled."""
    passes = passes_for(system, options.precision)
    hashed = Background(model_sha256)
    graph, hits = optimise(graph, observe, passes)
    stored = Background(lambda: stored_graph.to_entries(graph, options.strip))
    known = Knowledge(pins=pinned(graph, wishes.pins, system))
    partition, candidates, compiled = _compiled(lambda: Partition(graph, system, known, wishes.objective))
    candidates, compiled = _by_clock(partition, candidates, compiled)
    layout = candidates[0].layout
    program, entries = layout.program(compiled)
    entries |= stored.result()
    manifest = Manifest(
        tool_version=tool_version,
        model=model,
        model_sha256=hashed.result(),
        target=system.name,
        options={
            "strip": options.strip,
            **options.precision_record,
            "objective": wishes.objective,
            "pins": dict(wishes.pins),
            "devices": {device.name: device.target.name for device in system.devices},
        },
        passes=tuple(step.name for step in passes),
        features={name: list(each.features) for name, each in compiled.items()},
        fallbacks=tuple(_fallbacks(layout, partition.known)),
    )
    artefact = Artefact(manifest, program, entries)
    return SystemBuilt(artefact, graph, system, partition, candidates, compiled, hits)


Worked = tuple[Candidate, ...]


def _placed(partitioned: Callable[[], Partition]) -> tuple[Partition, Worked]:
    """A partition that all devices run; what they turn out not to run is known at the next attempt."""
    for _ in range(_ATTEMPTS):
        partition = partitioned()
        candidates = work_out(partition)
        if candidates is not None:
            return partition, candidates
    raise _refused(partition.known)


def _compiled(partitioned: Callable[[], Partition]) -> tuple[Partition, Worked, dict[str, Compiled]]:
    """The best assignment with its code; where a chip refuses kernels, the best without them."""
    for _ in range(_ATTEMPTS):
        partition, candidates = _placed(partitioned)
        devices = partition.system.devices
        with suppress(KernelsRefused):
            return partition, candidates, compile_parts(candidates[0].layout, partition.known, devices)
    raise _refused(partition.known)


def _by_clock(
    partition: Partition, candidates: Worked, compiled: dict[str, Compiled]
) -> tuple[Worked, dict[str, Compiled]]:
    """Of a small graph the best by the clocks of chips, plain ways among them: predictions may be off by more than ways
    differ."""
    if len(partition.units) > EXACT:
        return candidates, compiled
    devices, known = partition.system.devices, partition.known
    chips = [device for device in devices if device.has_clock]
    chosen, far = _timed(candidates[0], compiled), []
    found = [(chosen, compiled)]
    for rival in (each for each in candidates[1:] if each.choice.how != "search"):
        if partition.value(rival)[0] >= _MARGIN * partition.value(chosen)[0]:
            far.append(rival)
            continue
        with suppress(KernelsRefused):
            code = compile_parts(rival.layout, known, chips)
            found.append((_timed(rival, code), code))
    found.sort(key=lambda each: partition.value(each[0]))
    best, code = found[0]
    if code is not compiled:
        others = [device for device in devices if not device.has_clock]
        code = {**code, **compile_parts(best.layout, known, others)}
    return (*(each for each, _ in found), *far), code


def _timed(candidate: Candidate, compiled: Mapping[str, Compiled]) -> Candidate:
    """An assignment with the times that its code takes."""
    return Candidate(candidate.choice, candidate.layout, *_predicted(candidate.layout, compiled))


def _refused(known: Knowledge) -> UnsupportedError:
    return UnsupportedError(
        "",
        problems=[
            Problem(str(node.location), f"{node.op} on {device}: {why}", "report this model")
            for device, nodes in known.refused.items()
            for node, why in nodes.items()
        ],
    )


def work_out(partition: Partition) -> Worked | None:
    """The assignments that may be the best, kernel by kernel, the best first; None where a device turned out not to run
    its part. UnsupportedError where no assignment fits the memories."""
    found: list[Candidate] = []
    least_over: list[str] = []  # what is too much for memories, of the most promising assignment that is
    is_small = len(partition.units) <= EXACT
    for choice in partition.choices:
        if found and (choice.how == "search" or not is_small):
            least = min(partition.value(each)[0] for each in found)
            if partition.value(choice)[0] >= _MARGIN * least:
                continue
        placed = partition.parts(choice)
        if placed is None:
            return None
        over = [text for part in placed[0] if (text := _too_much(part))]
        least_over = least_over or over
        if not over:
            found.append(_candidate(partition, choice, *placed))
    if not found:
        raise UnsupportedError(
            f"what runs on a device does not fit its memory: {', '.join(least_over)}",
            location=partition.system.name,
            hint="pin nodes to devices with room, or give the devices more",
        )
    found.sort(key=partition.value)
    if is_small:
        best = _improved(partition, found[0])
        found = [best, *(each for each in found if each.choice.how != best.choice.how)]
    return tuple(found)


def _improved(partition: Partition, best: Candidate) -> Candidate:
    """The best after moves of single units of a small graph, each worked out kernel by kernel: what is formed apart may
    cost more or less than the schedule model says."""
    moves = cycle(
        [(unit, device) for unit in range(len(partition.units)) for device in partition.model.choices(unit)]
    )
    seen = {best.choice.assignment}
    for unit, device in islice(moves, _MOVES):
        assignment = (*best.choice.assignment[:unit], device, *best.choice.assignment[unit + 1 :])
        if assignment not in seen:
            seen.add(assignment)
            choice = partition.choice("search", assignment)
            placed = partition.parts(choice)
            if placed is not None and not any(map(_too_much, placed[0])):
                trial = _candidate(partition, choice, *placed)
                if partition.value(trial) < partition.value(best):
                    best = trial
    return best


def _candidate(partition: Partition, choice: Choice, parts: list[Part], order: list[Task]) -> Candidate:
    layout = Layout(partition.graph, parts, order, partition.system)
    return Candidate(choice, layout, *_predicted(layout, {}))


def _predicted(layout: Layout, compiled: Mapping[str, Compiled]) -> tuple[SystemRun, float]:
    """The run of one input and the period of a stream, every kernel taking what it is predicted to take, segments of
    chips what their code does."""
    program, _ = layout.program(compiled)
    durations = [getattr(step, "seconds", 0.0) for step in program.steps]
    count = max(stages(program), default=0) + _STREAM
    return timeline(program, [durations]), timeline(program, [durations] * count).period


def _too_much(part: Part) -> str:
    """What constants and arena of a part take, where its device has less memory."""
    limit = part.device.memory_bytes
    constants = sum(array.bytes for array in part.plan.arrays.values() if array.place == "constant")
    taken = constants + part.plan.arena_bytes
    return f"{part.device.name} has {limit:,} bytes, {taken:,} are needed" if 0 < limit < taken else ""


def compile_parts(layout: Layout, known: Knowledge, devices: Sequence[Device]) -> dict[str, Compiled]:
    """The code of devices; KernelsRefused when some of it can't be made, which is known from then on."""
    found, refused = {}, {}
    for part in layout.parts:
        device = part.device
        calls = layout.calls(device.name)
        if device not in devices or not calls:
            continue
        try:
            found[device.name] = device.backend.compile(calls, part.plan.arena_bytes, device.options)
        except KernelsRefused as problem:
            steps = [step for piece in layout.pieces(device.name) for step in piece.steps]
            for number, reason in problem.reasons.items():
                known.refuse(device.name, part.nodes(steps[number]), reason)
            refused.update(problem.reasons)
    if refused:
        raise KernelsRefused(refused)
    return found


def _fallbacks(layout: Layout, known: Knowledge) -> list[str]:
    """Nodes that run by their meaning, each with the reason."""
    host = layout.system.host
    found = []
    for part in layout.parts:
        for step in part.plan.steps:
            if isinstance(step, HostStep):
                (node,) = part.nodes(step)
                why = known.reason(host, node) or step.reason
                found.append(f"{node.location or node.op}: {node.op}: {why}")
    return found
