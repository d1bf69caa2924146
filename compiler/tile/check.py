"""Whether a schedule of a kernel is legal: names and numbers first, then `rules.py` and `memory_rules.py`."""

from collections.abc import Iterable, Iterator

from ..diagnostics import Problem, VerifyError
from ..target.description import Target
from . import memory_rules  # noqa: F401 (its rules register themselves)
from .rules import RULES, Found
from .schedule import PARALLEL_LOOP, SERIAL, Loop, Place, Schedule
from .stage import REDUCE, SCAN, Kernel, Stage
from .view import View


def check(
    kernel: Kernel,
    schedule: Schedule,
    target: Target | None = None,
    *,
    without: Iterable[str] = (),
) -> list[Problem]:
    """Everything that is illegal about a schedule of a well-formed kernel; [] for a legal one.

    Memories are checked when a target is given. `without` names rules that are not asked, for tests of the rules.
    """
    return list(_problems(kernel, schedule, target, frozenset(without)))


def is_legal(kernel: Kernel, schedule: Schedule, target: Target | None = None) -> bool:
    """Whether `check` finds nothing; it is asked no further than to the first problem."""
    return next(_problems(kernel, schedule, target), None) is None


def _problems(
    kernel: Kernel, schedule: Schedule, target: Target | None, without: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    view = View(kernel, schedule, target)
    sound = True
    for found in names_and_numbers(view):
        sound = False
        yield _problem(kernel, "names_and_numbers", *found)
    for entry in RULES.values() if sound else ():
        if entry.name not in without:
            for found in entry.find(view):
                yield _problem(kernel, entry.name, *found)


def require_legal(kernel: Kernel, schedule: Schedule, target: Target | None = None) -> None:
    """VerifyError with everything that is illegal about a schedule."""
    problems = check(kernel, schedule, target)
    if problems:
        raise VerifyError(f"kernel {kernel.name}: illegal schedule", problems=problems)


def _problem(kernel: Kernel, name: str, message: str, hint: str) -> Problem:
    return Problem(f"kernel {kernel.name}, rule {name}", message, hint)


def names_and_numbers(view: View) -> Found:
    """Names resolve, depths and sizes are possible; asked before all rules, which rely on it."""
    schedule, depth = view.schedule, len(view.schedule.loops)
    stages = {stage.name: stage for stage in view.kernel.stages}
    placed = [place.stage for place in schedule.places]
    for name in stages:
        if placed.count(name) != 1:
            yield f"stage '{name}' has {placed.count(name)} places", "place every stage once"
    for name in placed:
        if name not in stages:
            yield f"there is no stage '{name}'", "place the kernel's stages"
    for loop in schedule.loops:
        if loop.dim not in view.extents:
            yield f"no stage has the dim '{loop.dim}' of a spine loop", "loop over dims of the kernel"
        yield from _loop_is_possible(loop, (SERIAL, PARALLEL_LOOP))
    seen = set()
    for hold in schedule.holds:
        where = f"the hold of '{hold.buffer}' at depth {hold.at}"
        if hold.buffer not in view.buffers or not view.writers(hold.buffer) + view.readers(hold.buffer):
            yield f"no stage touches '{hold.buffer}', which is held", "hold buffers of the kernel"
            continue
        rank = len(view.buffers[hold.buffer].shape)
        if not 0 <= hold.at <= depth or (hold.buffer, hold.at) in seen:
            yield (
                f"{where} is the second there, or beyond the {depth} spine loops",
                "hold a buffer once a depth",
            )
        if hold.slots < 1:
            yield f"{where} has {hold.slots} slots", "one slot is the least"
        if hold.layout is not None and sorted(hold.layout) != list(range(rank)):
            yield f"{where} has layout {hold.layout}", f"order the axes 0 to {rank - 1}"
        seen.add((hold.buffer, hold.at))
    for place in schedule.places:
        if place.stage in stages:
            yield from _place_is_possible(stages[place.stage], place, depth)


def _loop_is_possible(loop: Loop, kinds: tuple[str, ...]) -> Found:
    if loop.kind not in kinds:
        yield f"the loop over '{loop.dim}' is {loop.kind}", f"it may be {' or '.join(kinds)}"
    if loop.step < 1 or not 1 <= loop.unit <= loop.step:
        yield (
            f"the loop over '{loop.dim}' has step {loop.step} and unit {loop.unit}",
            "a step is positive, a unit at most a step",
        )


def _place_is_possible(stage: Stage, place: Place, depth: int) -> Found:
    where = f"the place of stage '{stage.name}'"
    kinds = {dim.name: dim.kind for dim in stage.dims}
    if not 0 <= place.at <= depth:
        yield f"{where} is at depth {place.at}", f"the spine has {depth} loops"
    if place.lag < 0:
        yield f"{where} has lag {place.lag}", "a stage can't run before its time"
    reduced = False
    for rib in place.loops:
        if kinds.get(rib.dim, SCAN) == SCAN:
            yield f"{where} has a rib over '{rib.dim}'", "ribs go over the stage's parallel and reduce dims"
        elif kinds[rib.dim] != REDUCE and reduced:
            yield f"{where} has the parallel rib '{rib.dim}' inside a reduce rib", "parallel ribs come first"
        reduced = reduced or kinds.get(rib.dim) == REDUCE
        yield from _loop_is_possible(rib, (SERIAL,))
    bound = [name for _, names in place.bind for name in names]
    if len(set(bound)) < len(bound) or not set(bound) <= set(kinds):
        yield f"{where} binds {bound}", "bind dims of the stage, each once"
