"""The legality of schedules: one small function a rule, with the sentence that a user reads.

Rules look at access maps and places only. Each one is needed: `tests/compiler/tile/test_mutations.py` holds a schedule
that only this rule refuses, and that goes wrong when it is run nevertheless. What memories allow: `memory_rules.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations

from ...runtime.records import dataclass
from ..diagnostics import VerifyError
from .infer import access_box, unlooped
from .schedule import PARALLEL_LOOP, SERIAL, Hold
from .spine import slide
from .stage import LOCAL, OUTPUT, REDUCE, SCAN, Access, Affine, Stage
from .view import View, clipped, not_beyond, within

Found = Iterator[tuple[str, str]]
"""What is wrong, and the way out."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition that every legal schedule satisfies: `sentence` says it, `find` yields where it is broken."""

    name: str
    sentence: str
    find: Callable[[View], Found]


RULES: dict[str, Rule] = {}


def rule(sentence: str) -> Callable[[Callable[[View], Found]], Callable[[View], Found]]:
    """Register a rule under its function's name."""

    def register(find: Callable[[View], Found]) -> Callable[[View], Found]:
        RULES[find.__name__] = Rule(find.__name__, sentence, find)
        return find

    return register


@rule("a scan is stepped one by one, in order, by a spine loop around all stages that take part in it")
def scans_are_stepped(view: View) -> Found:
    for stage in view.kernel.stages:
        for dim in stage.kind(SCAN):
            loops = [n for n, loop in enumerate(view.schedule.loops) if loop.dim == dim.name]
            if not loops or loops[-1] >= view.at(stage) or view.sizes[loops[-1]] != 1:
                yield (
                    f"stage '{stage.name}' is not under a loop over '{dim.name}' of step 1",
                    "step scans in the spine",
                )
            elif any(view.schedule.loops[n].kind != SERIAL for n in loops):
                yield f"the loop over '{dim.name}' is parallel", "a step needs the one before"


@rule("what a scan carries from step to step is held outside its loop, and written whole within each step")
def scans_carry_on(view: View) -> Found:
    for (reader, writer), scan in view.carried.items():
        loops = [n for n, loop in enumerate(view.schedule.loops) if loop.dim == scan]
        if not loops:
            continue
        stages = {stage.name: stage for stage in view.kernel.stages}
        target = stages[writer].write
        for hold in view.holds(target.buffer):
            if hold.at > loops[0]:
                yield (
                    f"'{target.buffer}' is carried along '{scan}', but held at depth {hold.at} inside its loop",
                    f"hold it at depth {loops[0]} or further out",
                )
        if not view.fills(stages[writer], loops[-1] + 1):
            yield (
                f"stage '{writer}' leaves gaps in what '{target.buffer}' carries to the next step of '{scan}'",
                "put no loop that skips elements inside the scan",
            )
        boxes = view.boxes(loops[-1] + 1)
        for access in stages[reader].reads:
            if access.buffer != target.buffer:
                continue
            for read, written, extent in zip(access.index, target.index, view.buffers[target.buffer].shape):
                if not isinstance(read, Affine) or not isinstance(written, Affine) or scan in written.dims:
                    continue
                needed = view.range(boxes, reader, read)
                for name in needed.low.dims:  # an earlier step must have written what this one looks at
                    if view.schedule.loops[int(name)].dim == scan:
                        needed = unlooped(needed, boxes.looped[name])
                needed = clipped(needed, extent)
                if not within(needed, view.range(boxes, writer, written)):
                    yield (
                        f"stage '{reader}' reads more of '{target.buffer}' than one step of '{scan}' writes",
                        "put the loops that cut it inside the scan",
                    )


@rule("inside a scan's loop no later step is read than the one that was just written")
def scans_are_read_behind(view: View) -> Found:
    for reader, buffer, writer in view.dependences:
        for dim in writer.kind(SCAN):
            loops = [n for n, loop in enumerate(view.schedule.loops) if loop.dim == dim.name]
            if not loops or view.at(reader) <= loops[0]:
                continue
            boxes = view.boxes(view.at(reader))
            for access in reader.reads:
                if access.buffer != buffer:
                    continue
                if not all(
                    isinstance(read, Affine)
                    and not_beyond(
                        view.range(boxes, reader.name, read * sign(written, dim.name)),
                        view.range(boxes, writer.name, written * sign(written, dim.name)),
                    )
                    for read, written in zip(access.index, writer.write.index)
                    if isinstance(written, Affine) and dim.name in written.dims
                ):
                    yield (
                        f"stage '{reader.name}' reads '{buffer}' at steps of '{dim.name}' that are still to come",
                        "place it outside the scan's loop",
                    )


def sign(affine: Affine, dim: str) -> int:
    """Whether an affine expression runs with a dim or against it."""
    return -1 if affine.coefficient(dim) < 0 else 1


@rule("a local is held; its writers are placed inside all its holds, its readers inside the outermost one")
def locals_are_held(view: View) -> Found:
    for name, buffer in view.buffers.items():
        holds = view.holds(name)
        if buffer.role == LOCAL and not holds:
            yield f"the local '{name}' is not held", "hold it outside the stages that use it"
        for stage in view.writers(name) if holds else ():
            if view.at(stage) < holds[-1].at:
                yield (
                    f"stage '{stage.name}' writes '{name}' at depth {view.at(stage)}, "
                    f"outside its hold at depth {holds[-1].at}",
                    "place the stage deeper or hold further out",
                )
        for stage in view.readers(name) if holds and buffer.role == LOCAL else ():
            if view.at(stage) < holds[0].at:
                yield (
                    f"stage '{stage.name}' reads '{name}' at depth {view.at(stage)}, "
                    f"outside its hold at depth {holds[0].at}",
                    "place the stage deeper or hold further out",
                )


@rule("the tile of an output is written whole while it is held, for all of it is stored")
def outputs_are_stored_whole(view: View) -> Found:
    for hold in view.schedule.holds:
        if view.buffers[hold.buffer].role != OUTPUT:
            continue
        boxes = view.boxes(hold.at)
        stored = product(r.size for r in view.hold_box(hold))
        written = 0
        for stage in view.writers(hold.buffer):
            ranges = boxes.stages[stage.name]
            written += product(ranges[dim.name].size for dim in stage.dims if dim.kind != REDUCE)
        if stored != written:
            yield (
                f"the tile of '{hold.buffer}' at depth {hold.at} has {stored} elements, {written} are written",
                "hold it where its writers fill a box, or not at all",
            )


def product(sizes: Iterable[object]) -> int:
    """The number of elements of a box."""
    total = 1
    for size in sizes:
        total = total * size  # type: ignore[operator]
    return total


@rule("a tile that is copied back, or goes on as a ring, is computed without gaps")
def kept_tiles_are_filled(view: View) -> Found:
    for hold in view.schedule.holds:
        if view.buffers[hold.buffer].role != LOCAL or (
            hold is view.holds(hold.buffer)[0] and hold.roll is None
        ):
            continue
        for stage in view.writers(hold.buffer):
            if stage not in view.partial and not view.fills(stage, hold.at):
                yield (
                    f"stage '{stage.name}' leaves gaps in the tile of '{hold.buffer}' at depth {hold.at}",
                    "hold it outside the loops that skip elements only, without roll",
                )


@rule("an accumulator begins outside every spine loop that it is reduced over")
def accumulators_outlive_their_loops(view: View) -> Found:
    for stage in view.partial:
        name = stage.write.buffer
        first = view.reducing(stage)[0]
        if not view.holds(name) or view.begins(name) > first:
            where = f"is held at depth {view.begins(name)}" if view.holds(name) else "is not held"
            yield (
                f"'{name}' {where}, but '{view.schedule.loops[first].dim}' at depth {first} reduces it",
                f"hold it at depth {first} or further out",
            )


@rule("stages that add to one buffer piece by piece begin with one identity")
def accumulators_begin_alike(view: View) -> Found:
    for one, other in combinations(view.partial, 2):
        if one.write.buffer == other.write.buffer and one.combine != other.combine:
            yield (
                f"stages '{one.name}' and '{other.name}' reduce parts of '{one.write.buffer}' "
                f"by {one.combine} and by {other.combine}",
                "place one of them outside the loops that cut its reduction",
            )


@rule("between an accumulator's hold and its stage every element is reached once for each reduced one")
def sums_count_once(view: View) -> Found:
    for stage in view.partial:
        reducing = set(view.reducing(stage))
        for loop in range(view.begins(stage.write.buffer), view.at(stage)):
            dim = view.schedule.loops[loop].dim
            if loop in reducing:
                if not view.stays(stage, loop):
                    yield (
                        f"the loop over '{dim}' reduces '{stage.write.buffer}' and moves it at the same time",
                        "rename one of the dims",
                    )
            elif not view.moves_apart(stage, loop):
                yield (
                    f"the loop over '{dim}' makes stage '{stage.name}' add to '{stage.write.buffer}' "
                    "more than once",
                    "hold the accumulator inside that loop or place the stage outside it",
                )


@rule(
    "a partly reduced buffer is read after its loops, or by stages whose results are repaired when it changes"
)
def partial_results_are_repaired(view: View) -> Found:
    for stage in view.partial:
        reducing = view.reducing(stage)
        for reader, buffer, writer in view.dependences:
            if writer is not stage or view.at(reader) <= reducing[0]:
                continue
            if view.at(reader) <= reducing[-1] or not _is_repaired(view, stage, reader):
                yield (
                    f"stage '{reader.name}' reads '{buffer}' before it is reduced over "
                    f"'{view.schedule.loops[reducing[0]].dim}'",
                    f"place it at depth {reducing[0]} or further out",
                )


def _is_repaired(view: View, source: Stage, stage: Stage) -> bool:
    """Whether what a stage makes of a partial result is scaled when that changes, here or where it is summed."""
    outer, last = set(view.reducing(source)), view.reducing(source)[-1]
    own = view.reducing(stage)
    if view.at(stage) <= last:
        return False
    if stage.repair is not None and stage.repair.of == source.write.buffer:
        return outer <= set(own) and own[0] >= view.begins(source.write.buffer)
    target = stage.write.buffer
    if view.buffers[target].role != LOCAL or (own and own[0] <= last):
        return False
    return all(_is_repaired(view, source, r) for r, _, writer in view.dependences if writer is stage)


@rule("a stage that waits for the loop below it is read by none inside that loop")
def nothing_is_read_early(view: View) -> Found:
    for reader, buffer, writer in view.dependences:
        if view.late[writer.name] and view.at(reader) > view.at(writer):
            yield (
                f"stage '{reader.name}' at depth {view.at(reader)} reads '{buffer}', which stage "
                f"'{writer.name}' writes after the loop at depth {view.at(writer)}",
                "place the reader further out or the writer deeper",
            )


@rule("all that a stage computes after a loop has been fed inside the loop, without gaps")
def late_stages_are_fed(view: View) -> Found:
    for reader, buffer, writer in view.dependences:
        outer, inner = view.at(reader), view.at(writer)
        if inner > outer and not view.fills(
            reader, outer, inner, view.looks_elsewhere(reader, buffer, outer, inner)
        ):
            yield (
                f"stage '{reader.name}' at depth {view.at(reader)} computes elements for which the loops around stage "
                f"'{writer.name}' leave gaps in '{buffer}'",
                "place the writer further out or the reader deeper",
            )


@rule("an output that is read back is read where it has been written")
def outputs_are_written_before_read(view: View) -> Found:
    for reader, buffer, writer in view.dependences:
        if view.buffers[buffer].role != OUTPUT:
            continue
        depths = {view.at(reader), min(view.at(reader), view.at(writer))}
        for access in reader.reads:
            if access.buffer == buffer and not any(_is_written(view, reader, access, d) for d in depths):
                yield (
                    f"stage '{reader.name}' reads elements of the output '{buffer}' that stage '{writer.name}' "
                    "has not written then",
                    "place it outside the loops that cut the output",
                )


def _is_written(view: View, reader: Stage, access: Access, depth: int) -> bool:
    """Whether what an access reads under some loops is among what writers write under the same loops."""
    boxes = view.boxes(depth)
    shape = view.buffers[access.buffer].shape
    read = access_box(access, boxes.stages[reader.name], shape)  # type: ignore[arg-type]
    needed = [clipped(range_, extent) for range_, extent in zip(read, shape)]
    return any(all(map(within, needed, box)) for box in view.written(access.buffer, boxes))


@rule("parallel tiles write different elements of what they share")
def parallel_tiles_are_apart(view: View) -> Found:
    for loop, entry in enumerate(view.schedule.loops):
        if entry.kind != PARALLEL_LOOP:
            continue
        for stage in view.kernel.stages:
            name = stage.write.buffer
            if view.at(stage) <= loop or not view.is_shared(name, loop):
                continue
            if not view.moves_apart(stage, loop):
                yield (
                    f"parallel tiles of '{entry.dim}' write the same elements of '{name}'",
                    "make the loop serial, or hold the buffer inside it",
                )


@rule(
    "a ring slides forward, by the innermost loop that moves it, under complete results and no parallel loop"
)
def rings_slide(view: View) -> Found:
    for hold in view.schedule.holds:
        if hold.roll is None:
            continue
        if view.buffers[hold.buffer].role == OUTPUT:
            yield (
                f"the output '{hold.buffer}' can't roll: it may be written at any coordinates",
                "hold it without roll",
            )
        if view.writers(hold.buffer) and view.holds(hold.buffer)[-1] is not hold:
            yield f"'{hold.buffer}' is held again inside its ring", "let the innermost hold roll"
        if any(stage in view.partial for stage in view.writers(hold.buffer)):
            yield f"'{hold.buffer}' is reduced by the spine and can't roll", "hold it without roll"
        try:
            depth = slide(view.kernel, view.schedule, hold).depth
        except VerifyError as error:
            yield str(error), "hold it without roll, or order the loops otherwise"
            continue
        if any(loop.kind == PARALLEL_LOOP for loop in view.schedule.loops[depth : hold.at]):
            yield f"'{hold.buffer}' rolls under a parallel loop", "make the loop serial"


@rule("no stage runs before what it reads, nor so late that its operands' slots are taken again")
def lags_fit_slots(view: View) -> Found:
    for reader, buffer, writer in view.dependences:
        if view.lag(reader) < view.lag(writer):
            yield (
                f"stage '{reader.name}' with lag {view.lag(reader)} reads '{buffer}', which stage "
                f"'{writer.name}' writes with lag {view.lag(writer)}",
                "lags grow along dependences",
            )
    for stage in view.kernel.stages:
        for buffer in dict.fromkeys(access.buffer for access in stage.reads):
            hold = view.hold_for(stage, buffer)
            first = min((view.lag(writer) for writer in view.writers(buffer)), default=0)
            if hold is not None and _begun_again(view, hold) and hold.slots < 1 + view.lag(stage) - first:
                yield (
                    f"'{buffer}' has {hold.slots} slots at depth {hold.at}, but stage '{stage.name}' reads it "
                    f"{view.lag(stage) - first} iterations after it is begun",
                    f"give it {1 + view.lag(stage) - first} slots",
                )

    for hold in view.schedule.holds:
        lags = [view.lag(writer) for writer in view.writers(hold.buffer)] or [0]
        if _begun_again(view, hold) and hold.slots < 1 + max(lags) - min(lags):
            yield (
                f"'{hold.buffer}' has {hold.slots} slots at depth {hold.at}, but its writers are "
                f"{max(lags) - min(lags)} iterations apart",
                f"give it {1 + max(lags) - min(lags)} slots",
            )


def _begun_again(view: View, hold: Hold) -> bool:
    """Whether a tile is followed by another one: some loop around it has several turns."""
    extents = {name: dim.extent for name, dim in view.kernel.dims.items()}
    whole = [extents[loop.dim] for loop in view.schedule.loops[: hold.at]]
    return not all(
        isinstance(extent, int) and loop.step >= extent for loop, extent in zip(view.schedule.loops, whole)
    )


@rule("what changes in place is read with the lag of its writer")
def changing_buffers_are_read_at_once(view: View) -> Found:
    for (one, other), scan in view.carried.items():
        if view.places[one].lag != view.places[other].lag:
            yield (
                f"stages '{one}' and '{other}' take the steps of '{scan}' with different lags",
                "give them one lag",
            )
    for source in view.partial:
        name = source.write.buffer
        lags = {view.lag(stage) for stage in view.writers(name)}
        if len(view.holds(name)) > 1 and len(lags) > 1:
            yield (
                f"an inner tile of '{name}' is loaded, added to and stored, but its writers have lags {sorted(lags)}",
                "give them one lag, or hold the buffer once",
            )
    for source in view.partial:
        last = view.reducing(source)[-1]
        changing = {source.write.buffer}
        for reader, buffer, writer in view.dependences:
            if buffer not in changing or view.at(reader) <= last:
                continue
            if view.begins(buffer) <= last and view.lag(reader) != view.lag(writer):
                yield (
                    f"stage '{reader.name}' reads '{buffer}' with lag {view.lag(reader)}, but its writer "
                    f"'{writer.name}' with lag {view.lag(writer)} has changed it by then",
                    "give them one lag, or hold the buffer inside the loop",
                )
            if reader.repair is None or reader.repair.of != source.write.buffer:
                changing.add(reader.write.buffer)
