"""Kernel + schedule -> a tree of four node kinds that interpreter and emitters walk.

Only this module knows where tiles are loaded, initialised and stored, and where repairs go.
"""

from ...runtime.records import dataclass
from .schedule import Hold, Loop, Place, Schedule
from .stage import CONSTANT, INPUT, LOCAL, OUTPUT, REDUCE, Kernel, Stage


@dataclass(frozen=True, slots=True)
class Compute:
    """Run the stage on its box. `initialise`: the reduction completes here, so it starts from the identity."""

    stage: Stage
    place: Place
    initialise: bool


@dataclass(frozen=True, slots=True)
class Fix:
    """Multiply the stage's accumulator by its repair factor: what it depends on has just changed."""

    stage: Stage
    place: Place


@dataclass(frozen=True, slots=True)
class For:
    """A spine loop; `depth` is its position in the spine."""

    loop: Loop
    depth: int
    body: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """A held tile: loaded before the body, set to the accumulator's identity, stored after it, as flagged."""

    hold: Hold
    load: bool
    initialise: str | None
    store: bool
    body: tuple["Tree", ...]


Tree = Compute | Fix | For | Scope


def lower(kernel: Kernel, schedule: Schedule) -> tuple[Tree, ...]:
    """The loop tree of a legal schedule (`check` first: this function assumes it)."""
    return _Lowering(kernel, schedule).block(0)


def waits(kernel: Kernel, schedule: Schedule) -> dict[str, bool]:
    """For each stage whether it runs after the loop below its place: it needs what is produced deeper.

    What a stage reads of an earlier step of a scan is there already, so only earlier stages count.
    """
    places = {place.stage: place.at for place in schedule.places}
    late: dict[str, bool] = {}
    for stage in kernel.stages:
        producers = [
            producer
            for buffer in {access.buffer for access in stage.reads}
            for producer in kernel.writers(buffer)
            if producer.name in late
        ]
        late[stage.name] = any(
            places[producer.name] > places[stage.name]
            or (places[producer.name] == places[stage.name] and late[producer.name])
            for producer in producers
        )
    return late


def completes_inside(schedule: Schedule, stage: Stage) -> bool:
    """Whether all of the stage's reduce dims lie inside its place (no spine loop above it cuts them)."""
    above = {loop.dim for loop in schedule.loops[: schedule.place(stage.name).at]}
    return not any(dim.name in above for dim in stage.kind(REDUCE))


class _Lowering:
    def __init__(self, kernel: Kernel, schedule: Schedule):
        self.kernel = kernel
        self.schedule = schedule
        self.places = {place.stage: place for place in schedule.places}
        self.waits = waits(kernel, schedule)

    def block(self, depth: int) -> tuple[Tree, ...]:
        holds = [hold for hold in self.schedule.holds if hold.at == depth]
        return self._scopes(holds, depth)

    def _scopes(self, holds: list[Hold], depth: int) -> tuple[Tree, ...]:
        if holds:
            hold, *rest = holds
            return (self._scope(hold, self._scopes(rest, depth)),)
        here = [stage for stage in self.kernel.stages if self.places[stage.name].at == depth]
        before = [node for stage in here if not self.waits[stage.name] for node in self._compute(stage)]
        after = [node for stage in here if self.waits[stage.name] for node in self._compute(stage)]
        inner: list[Tree] = []
        if depth < len(self.schedule.loops):
            inner.append(For(self.schedule.loops[depth], depth, self.block(depth + 1)))
        return (*before, *inner, *after)

    def _compute(self, stage: Stage) -> list[Tree]:
        place = self.places[stage.name]
        nodes: list[Tree] = [Compute(stage, place, self.completes_inside(stage))]
        if self.completes_inside(stage):
            return nodes  # what it writes is final: nobody has used an older value
        nodes += [
            Fix(other, self.places[other.name])
            for other in self.kernel.stages
            if other.repair is not None
            and other.repair.of == stage.write.buffer
            and not self.completes_inside(other)
        ]
        return nodes

    def completes_inside(self, stage: Stage) -> bool:
        return completes_inside(self.schedule, stage)

    def _scope(self, hold: Hold, body: tuple[Tree, ...]) -> Scope:
        buffer = self.kernel.buffer(hold.buffer)
        outermost = self.schedule.holds_of(hold.buffer)[0] is hold
        producers = self.kernel.writers(hold.buffer)
        partial = [stage for stage in producers if not self.completes_inside(stage)]
        initialise = partial[0].combine if partial and outermost else None
        load = buffer.role in (INPUT, CONSTANT) or (not outermost and bool(partial or not producers))
        store = buffer.role == OUTPUT or (buffer.role == LOCAL and not outermost)
        return Scope(hold, load, initialise, store, body)
