"""A kernel under a schedule, with the questions that legality rules ask of it: boxes, partial sums, who shares what."""

from collections.abc import Collection
from functools import cached_property, reduce
from operator import mul
from typing import Any

from ..target.description import Target
from .infer import Boxes, Range, Step, access_box, affine_range, hulls, infer, scan_steps
from .lower import completes_inside, waits
from .schedule import Hold, Place, Schedule
from .spine import clip, largest_tiles, loop_ranges, variable
from .stage import LOCAL, REDUCE, SCAN, Affine, Kernel, Stage
from .verify import carried_axis


class View:
    """Depths count spine loops; a loop's index is its depth. Stages and buffers are named."""

    def __init__(self, kernel: Kernel, schedule: Schedule, target: Target | None = None):
        self.kernel = kernel
        self.schedule = schedule
        self.target = target
        self.extents = {name: dim.extent for name, dim in kernel.dims.items()}
        self.buffers = {buffer.name: buffer for buffer in kernel.buffers}
        self.places: dict[str, Place] = {place.stage: place for place in schedule.places}
        self._boxes: dict[tuple[int, int | None], Boxes] = {}
        self._writers: dict[str, tuple[Stage, ...]] = {b.name: kernel.writers(b.name) for b in kernel.buffers}
        self._readers: dict[str, tuple[Stage, ...]] = {b.name: kernel.readers(b.name) for b in kernel.buffers}
        self._holds = {b.name: schedule.holds_of(b.name) for b in kernel.buffers}

    def at(self, stage: Stage) -> int:
        return self.places[stage.name].at

    def lag(self, stage: Stage) -> int:
        return self.places[stage.name].lag

    def writers(self, buffer: str) -> tuple[Stage, ...]:
        return self._writers[buffer]

    def readers(self, buffer: str) -> tuple[Stage, ...]:
        return self._readers[buffer]

    def holds(self, buffer: str) -> tuple[Hold, ...]:
        """Outermost first."""
        return self._holds[buffer]

    def begins(self, buffer: str) -> int:
        """The depth at which a buffer's contents begin anew; 0 for one that is not held."""
        holds = self.holds(buffer)
        return holds[0].at if holds else 0

    def is_shared(self, buffer: str, loop: int) -> bool:
        """Whether the tiles of a spine loop work on one instance of a buffer."""
        return self.buffers[buffer].role != LOCAL or self.begins(buffer) <= loop

    def hold_for(self, stage: Stage, buffer: str) -> Hold | None:
        """The hold through which a stage reaches a buffer; None when it goes to the buffer's home."""
        inside = [hold for hold in self.holds(buffer) if hold.at <= self.at(stage)]
        return inside[-1] if inside else None

    @cached_property
    def sizes(self) -> tuple[Any, ...]:
        return largest_tiles(self.kernel, self.schedule)

    @cached_property
    def steps(self) -> dict[str, tuple[Step, ...]]:
        """For each local the axes that scan dims write."""
        return scan_steps(self.kernel)

    @cached_property
    def late(self) -> dict[str, bool]:
        """Whether a stage runs after the loop below its place."""
        return waits(self.kernel, self.schedule)

    def reducing(self, stage: Stage) -> list[int]:
        """The spine loops above a stage that cut its reduction."""
        reduced = {dim.name for dim in stage.kind(REDUCE)}
        return [n for n, loop in enumerate(self.schedule.loops[: self.at(stage)]) if loop.dim in reduced]

    @cached_property
    def partial(self) -> tuple[Stage, ...]:
        """Stages whose reduction is cut by the spine."""
        return tuple(stage for stage in self.kernel.stages if not completes_inside(self.schedule, stage))

    @cached_property
    def carried(self) -> dict[tuple[str, str], str]:
        """(reader, writer) -> scan dim, where a stage reads what a later one wrote at an earlier step."""
        found = {}
        order = {stage.name: n for n, stage in enumerate(self.kernel.stages)}
        for stage in self.kernel.stages:
            for access in stage.reads:
                for writer in self.writers(access.buffer):
                    for dim in writer.kind(SCAN) if order[writer.name] >= order[stage.name] else ():
                        if carried_axis(access, writer, dim.name) is not None:
                            found[stage.name, writer.name] = dim.name
        return found

    @cached_property
    def dependences(self) -> tuple[tuple[Stage, str, Stage], ...]:
        """(reader, buffer, writer) for everything that a stage reads of this step."""
        return tuple(
            (stage, buffer, writer)
            for stage in self.kernel.stages
            for buffer in dict.fromkeys(access.buffer for access in stage.reads)
            for writer in self.writers(buffer)
            if (stage.name, writer.name) not in self.carried
        )

    def boxes(self, depth: int, single: int | None = None) -> Boxes:
        """What `infer` says under the first `depth` loops, tiles as large as they get; loop `single` by one element."""
        key = (depth, single)
        if key not in self._boxes:
            sizes = list(self.sizes[:depth])
            if single is not None:
                sizes[single] = 1
            ranges = loop_ranges(self.extents, self.schedule.loops[:depth], sizes)
            self._boxes[key] = infer(self.kernel, ranges)
        return self._boxes[key]

    def least(self, loop: int) -> Boxes:
        """Boxes inside a spine loop when its tiles, and those of other dims around it, are as small as can be."""
        loops = self.schedule.loops[: loop + 1]
        sizes = [
            size if n != loop and (self.is_single(n) or entry.dim == loops[loop].dim) else 1
            for n, (entry, size) in enumerate(zip(loops, self.sizes))
        ]
        return infer(self.kernel, loop_ranges(self.extents, loops, sizes))

    def range(self, boxes: Boxes, stage: str, affine: Affine) -> Range:
        """The values of a coordinate of a stage inside its box."""
        return affine_range(affine, boxes.stages[stage])

    def hold_box(self, hold: Hold) -> tuple[Range, ...]:
        """The largest tile of a hold, clipped where that is certain."""
        box = self.boxes(hold.at).buffer(self.kernel, hold.buffer)
        return tuple(clipped(range_, extent) for range_, extent in zip(box, self.buffers[hold.buffer].shape))

    def written(self, buffer: str, boxes: Boxes) -> list[tuple[Range, ...]]:
        """The boxes of a buffer that its writers write; also their hull, if together they fill it."""
        shape = self.buffers[buffer].shape
        parts = [
            access_box(stage.write, boxes.stages[stage.name], shape)  # type: ignore[arg-type]
            for stage in self.writers(buffer)
        ]
        union = reduce(lambda a, b: hulls(a, b, boxes.looped), parts)
        whole, *sizes = (reduce(mul, (range_.size for range_ in box), 1) for box in (union, *parts))
        return [*parts, union] if whole == sum(sizes) else parts

    def is_single(self, loop: int) -> bool:
        """Whether a spine loop never has more than one tile."""
        outer = [n for n in range(loop) if self.schedule.loops[n].dim == self.schedule.loops[loop].dim]
        around = self.sizes[outer[-1]] if outer else self.extents[self.schedule.loops[loop].dim]
        return bool(around == self.sizes[loop])

    def moves_apart(self, stage: Stage, loop: int) -> bool:
        """Whether different tiles of a spine loop give the stage different elements to write, none of them twice."""
        if self.is_single(loop):
            return True
        ranges = self.boxes(loop + 1, single=loop).stages[stage.name]
        return any(self._apart(ranges[dim.name], loop) for dim in stage.dims if dim.kind != REDUCE)

    @staticmethod
    def _apart(range_: Range, loop: int) -> bool:
        step = _step(range_, loop)
        return step > 0 and isinstance(range_.size, int) and range_.size <= step

    def fills(self, stage: Stage, depth: int, until: int | None = None, but: Collection[int] = ()) -> bool:
        """Whether loops from a depth on (to the stage, or `until`) cut its box at that depth in pieces without gaps."""
        for loop in range(depth, self.at(stage) if until is None else until):
            if loop in but or self.is_single(loop):
                continue
            ranges = self.least(loop).stages[stage.name]
            moved = [ranges[d.name] for d in stage.dims if d.kind != REDUCE and _step(ranges[d.name], loop)]
            if len(moved) > 1 or any(not _at_least(range_.size, _step(range_, loop)) for range_ in moved):
                return False
        return True

    def looks_elsewhere(self, reader: Stage, buffer: str, depth: int, until: int) -> set[int]:
        """The loops between two depths that step a scan, of which the reader looks at other steps than the current."""
        found = set()
        for loop in range(depth, until):
            boxes = self.boxes(loop + 1)
            ranges = loop_ranges(self.extents, self.schedule.loops[: loop + 1], self.sizes[: loop + 1])
            parts = [
                (step, access.index[step.axis])
                for step in self.steps.get(buffer, ())
                if step.scan == self.schedule.loops[loop].dim
                for access in reader.reads
                if access.buffer == buffer
            ]
            if parts and not any(
                isinstance(part, Affine) and step.is_now(self.range(boxes, reader.name, part), ranges)
                for step, part in parts
            ):
                found.add(loop)
        return found

    def stays(self, stage: Stage, loop: int) -> bool:
        """Whether a spine loop leaves in place what the stage writes."""
        ranges = self.boxes(loop + 1).stages[stage.name]
        return not any(
            ranges[dim.name].low.coefficient(variable(loop)) for dim in stage.dims if dim.kind != REDUCE
        )


def _step(range_: Range, loop: int) -> int:
    """How far a range moves when a spine loop goes on by one element."""
    return abs(range_.low.coefficient(variable(loop)))


def _at_least(size: Any, least: int) -> bool:
    return isinstance(size, int) and size >= least


def clipped(range_: Range, extent: Any) -> Range:
    """The range cut to 0 .. extent - 1 where its low end is a number."""
    if range_.low.terms or not isinstance(range_.size, int) or not isinstance(extent, int):
        return range_
    low, size = clip(range_.low.const, range_.size, extent)
    return Range(Affine((), low), size)


def within(inner: Range, outer: Range) -> bool:
    """Whether a range lies inside another one for certain."""
    ahead = inner.low - outer.low
    if ahead.terms or ahead.const < 0:
        return False
    left = outer.size - inner.size - ahead.const
    return isinstance(left, int) and left >= 0


def not_beyond(inner: Range, outer: Range) -> bool:
    """Whether a range ends no later than another one for certain."""
    ahead = inner.low - outer.low
    left = outer.size - inner.size - ahead.const
    return not ahead.terms and isinstance(left, int) and left >= 0
