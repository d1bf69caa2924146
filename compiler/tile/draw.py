"""Random inputs and random legal schedules of any kernel: what the tests of interpreters and emitters are fed."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from ...runtime.records import replace
from ..diagnostics import VerifyError
from .check import check, is_legal
from .schedule import PARALLEL_LOOP, SERIAL, Hold, Loop, Place, Schedule
from .stage import CONSTANT, INPUT, LOCAL, OUTPUT, PARALLEL, REDUCE, SCAN, Kernel, Lookup, Stage
from .view import View

T = TypeVar("T")


def draw_arrays(kernel: Kernel, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Small values for all inputs and constants; what is looked up stays inside its table."""
    limits: dict[str, int] = {}
    for stage in kernel.stages:
        for access in (*stage.reads, *stage.write.accesses()):
            for part, extent in zip(access.index, kernel.buffer(access.buffer).shape):
                if isinstance(part, Lookup):
                    limits[part.access.buffer] = min(int(extent), limits.get(part.access.buffer, 1 << 30))  # type: ignore[arg-type]
    arrays = {}
    values: np.ndarray
    for buffer in kernel.role(INPUT, CONSTANT):
        shape: tuple[int, ...] = buffer.shape  # type: ignore[assignment]
        dtype = buffer.dtype.numpy
        if buffer.name in limits:
            values = random.integers(0, limits[buffer.name], shape)
        elif buffer.dtype.is_integer:
            values = random.integers(0 if buffer.dtype.kind == "uint" else -9, 10, shape)
        elif buffer.dtype.kind == "bool":
            values = random.integers(0, 2, shape)
        else:
            values = random.normal(size=shape)
        arrays[buffer.name] = values.astype(dtype)
    return arrays


def draw_schedule(
    kernel: Kernel, random: np.random.Generator, memories: tuple[str, ...] = ("near", "far")
) -> Schedule:
    """A legal schedule of a static kernel; memories and engine are names without meaning. VerifyError if none is found.

    Built by steps that keep it legal: stages move into a random spine, alone and together, their locals' holds
    following; then inner holds, slots with lags, rings, ribs and parallel loops are added where they are legal.
    """
    return _Draw(kernel, random, memories).schedule()


class _Draw:
    def __init__(self, kernel: Kernel, random: np.random.Generator, memories: tuple[str, ...]):
        self.kernel = kernel
        self.random = random
        self.memories = memories
        self.extents: dict[str, int] = {name: int(dim.extent) for name, dim in kernel.dims.items()}  # type: ignore[arg-type]
        self.scans = [
            name for name in self.extents if any(name == d.name for s in kernel.stages for d in s.kind(SCAN))
        ]

    def schedule(self) -> Schedule:
        for spine in (self.spine(scans_first=False), self.spine(scans_first=True), self.scan_loops()):
            best = self.outside(spine)
            if is_legal(self.kernel, best):
                return self.developed(best)
        raise VerifyError(
            f"kernel {self.kernel.name} has no schedule with its scans outermost",
            problems=check(self.kernel, best),
        )

    def developed(self, best: Schedule) -> Schedule:
        loops = best.loops
        for _ in range(10):
            depths = {place.stage: place.at for place in best.places}
            depth = int(self.random.integers(0, len(loops) + 1))
            for stage in self.group():
                depths[stage.name] = max(depth, self.shallowest(loops, stage))
            best = self.better(best, self.held(loops, depths))
        steps = [
            self.hold_more,
            self.hold_more,
            self.hold_more,
            self.delay,
            self.roll,
            self.rib,
            self.parallel,
        ]
        for step in self.random.permutation(len(steps)):
            for _ in range(2):
                best = self.better(best, steps[step](best))
        return best

    def outside(self, loops: tuple[Loop, ...]) -> Schedule:
        """Every stage outside all loops but those over its scans: legal unless a loop around a scan cuts its state."""
        return self.held(loops, {stage.name: self.shallowest(loops, stage) for stage in self.kernel.stages})

    def better(self, old: Schedule, new: Schedule) -> Schedule:
        """The new schedule if it is legal."""
        return new if new == old or is_legal(self.kernel, new) else old

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def one(self, items: Sequence[T]) -> T:
        return items[int(self.random.integers(len(items)))]

    # the spine

    def spine(self, scans_first: bool) -> tuple[Loop, ...]:
        free = [name for name in self.extents if name not in self.scans]
        if self.chance(0.5):  # dims that several stages share, so that more of them fit under one spine
            users = {name: sum(name in {d.name for d in s.dims} for s in self.kernel.stages) for name in free}
            free = [name for name in free if users[name] > len(self.kernel.stages) // 2] or free
        count = min(int(self.random.integers(0, 5)), len(free))
        chosen = [free[n] for n in self.random.permutation(len(free))[:count]]
        if chosen and self.chance(0.3):
            chosen.append(self.one(chosen))
        for scan in self.scans:
            chosen.insert(0 if scans_first else int(self.random.integers(len(chosen) + 1)), scan)
        loops, around = [], dict(self.extents)
        for name in chosen:
            loops.append(Loop(name, 1) if name in self.scans else self.loop(name, around[name]))
            around[name] = max(1, loops[-1].step)
        return tuple(loops)

    def scan_loops(self) -> tuple[Loop, ...]:
        return tuple(Loop(name, 1) for name in self.scans)

    def loop(self, name: str, extent: int) -> Loop:
        step = int(self.random.integers(1, max(2, extent)))
        unit = int(self.random.integers(1, step + 1)) if self.chance(0.2) else 1
        return Loop(name, step, SERIAL, unit)

    def shallowest(self, loops: tuple[Loop, ...], stage: Stage) -> int:
        names = {dim.name for dim in stage.kind(SCAN)}
        return max((n + 1 for n, loop in enumerate(loops) if loop.dim in names), default=0)

    # places and the holds that they need

    def group(self) -> tuple[Stage, ...]:
        """Some neighbouring stages, those that outputs wait for, or all."""
        stages = self.kernel.stages
        if self.chance(0.4):
            outputs = {buffer.name for buffer in self.kernel.role(OUTPUT)}
            return tuple(s for s in stages if s.write.buffer not in outputs) if self.chance(0.6) else stages
        first = 0 if self.chance(0.6) else int(self.random.integers(len(stages)))
        last = int(self.random.integers(first, len(stages)))
        return stages[first : last + 1]

    def held(self, loops: tuple[Loop, ...], depths: dict[str, int]) -> Schedule:
        """Stages at the given depths, locals and accumulators held as deep as that allows, or further out."""
        bare = Schedule(loops, (), tuple(Place(name, at, "engine") for name, at in depths.items()))
        view = View(self.kernel, bare)
        partial = {stage.write.buffer for stage in view.partial}
        holds = []
        for buffer in self.kernel.buffers:
            if buffer.role != LOCAL and buffer.name not in partial:
                continue
            limits = [
                depths[stage.name] for stage in (*view.writers(buffer.name), *view.readers(buffer.name))
            ]
            limits += [view.reducing(s)[0] for s in view.partial if s.write.buffer == buffer.name]
            for _, writer in view.carried:
                stage = next(s for s in self.kernel.stages if s.name == writer)
                if stage.write.buffer == buffer.name:
                    limits.append(
                        min((n for n, loop in enumerate(loops) if loop.dim in self.scans), default=0)
                    )
            deepest = min(limits, default=0)
            at = deepest if self.chance(0.8) else int(self.random.integers(0, deepest + 1))
            holds.append(Hold(buffer.name, self.one(self.memories), at))
        return replace(bare, holds=tuple(holds))

    # what makes it more interesting

    def hold_more(self, schedule: Schedule) -> Schedule:
        """One more hold of some buffer: a copy of an input, a cache of an accumulator, a tile of an output."""
        buffer = self.one(self.kernel.buffers)
        at = int(self.random.integers(0, len(schedule.loops) + 1))
        if any((hold.buffer, hold.at) == (buffer.name, at) for hold in schedule.holds):
            return schedule
        rank = len(buffer.shape)
        layout = tuple(map(int, self.random.permutation(rank))) if self.chance(0.2) else None
        slots = 2 if self.chance(0.3) else 1
        return replace(
            schedule,
            holds=(*schedule.holds, Hold(buffer.name, self.one(self.memories), at, slots, layout or None)),
        )

    def delay(self, schedule: Schedule) -> Schedule:
        """Lags that grow along the stages, and the slots that they need."""
        lags: dict[str, int] = {}
        lag = 0
        for stage in self.kernel.stages:
            lag += int(self.random.integers(0, 3)) if self.chance(0.4) else 0
            lags[stage.name] = lag
        places = tuple(replace(place, lag=lags[place.stage]) for place in schedule.places)
        holds = []
        for hold in schedule.holds:
            begin = min((lags[s.name] for s in self.kernel.writers(hold.buffer)), default=0)
            end = max((lags[s.name] for s in self.kernel.readers(hold.buffer)), default=begin)
            holds.append(replace(hold, slots=max(hold.slots, 1 + end - begin)))
        return replace(schedule, holds=tuple(holds), places=places)

    def roll(self, schedule: Schedule) -> Schedule:
        """A ring in place of some tile."""
        inner = [hold for hold in schedule.holds if hold.at > 0 and hold.roll is None]
        if not inner:
            return schedule
        hold = self.one(inner)
        rolled = replace(hold, roll=self.one(schedule.loops[: hold.at]).dim)
        return replace(schedule, holds=tuple(rolled if other is hold else other for other in schedule.holds))

    def rib(self, schedule: Schedule) -> Schedule:
        """Own loops of some stage."""
        stage = self.one(self.kernel.stages)
        ribs = []
        for kind in (PARALLEL, REDUCE):
            dims = [dim.name for dim in stage.kind(kind) if self.chance(0.5)]
            ribs += [self.loop(dims[n], self.extents[dims[n]]) for n in self.random.permutation(len(dims))]
        places = [replace(p, loops=tuple(ribs)) if p.stage == stage.name else p for p in schedule.places]
        return replace(schedule, places=tuple(places))

    def parallel(self, schedule: Schedule) -> Schedule:
        """Some spine loop made parallel."""
        if not schedule.loops:
            return schedule
        chosen = int(self.random.integers(len(schedule.loops)))
        loops = [
            replace(loop, kind=PARALLEL_LOOP) if n == chosen else loop
            for n, loop in enumerate(schedule.loops)
        ]
        return replace(schedule, loops=tuple(loops))
