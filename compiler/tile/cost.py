"""The tiler's cost model: cycles of one core for a kernel under a schedule, in closed form, with its breakdown.

Compute: turns of the register block (multiply-adds against issue slots, loads against load ports, the latency of one
accumulation chain) plus what a block costs to start and store. What memories take stands in `traffic.py`.
The figures are data of the target (calibrated, see docs/design); `explain --kernel` prints the breakdown.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import product as cartesian
from math import ceil, prod

import numpy as np

from ...runtime.records import dataclass
from ..ops.scalar import SCALARS
from ..target.description import Engine, Target
from .schedule import Loop, Place, Schedule, segments
from .stage import PARALLEL, REDUCE, Apply, Expr, Kernel, Stage, walk
from .traffic import memory_cycles

SERIAL = 0.05
"""The share of what takes less than the longest part that isn't hidden behind it."""


@dataclass(frozen=True)
class Estimate:
    """Predicted cycles: the largest part plus a little of the others, which overlap imperfectly, and what stages take
    that run `apart`, before or after the loops."""

    compute: float
    memory: Mapping[str, float]
    apart: float = 0.0

    @property
    def parts(self) -> dict[str, float]:
        """Cycles by what takes them."""
        return {"compute": self.compute, **self.memory, **({"apart": self.apart} if self.apart else {})}

    @property
    def cycles(self) -> float:
        parts = [self.compute, *self.memory.values()]
        return max(parts) + SERIAL * (sum(parts) - max(parts)) + self.apart


def total_cycles(parts: np.ndarray) -> np.ndarray:
    """`Estimate.cycles` of many candidates at once: of their parts, compute among them, [part, candidate]."""
    most = parts.max(0)
    with np.errstate(invalid="ignore"):  # what can't be done takes infinitely long
        return most + SERIAL * (parts.sum(0) - most)


def tile_sizes(extent: int, loops: list[Loop]) -> Mapping[int, int]:
    """How often tiles of each size occur when `extent` is cut by nested loops over one dim."""
    return _tile_sizes(extent, tuple([(loop.step, loop.unit) for loop in loops]))


@lru_cache(maxsize=4096)
def _tile_sizes(extent: int, cuts: tuple[tuple[int, int], ...]) -> Mapping[int, int]:
    counts = {extent: 1}
    for step, unit in cuts:
        inner: dict[int, int] = {}
        for size, times in counts.items():
            for cut in segments(size, step, unit):
                inner[cut.size] = inner.get(cut.size, 0) + cut.count * times
        counts = inner
    return counts


@lru_cache(maxsize=1024)
def scalar_cost(body: Expr) -> float:
    """Machine operations of one evaluation of a body, loads not counted."""
    total = 0.0
    for expr in walk(body):
        if isinstance(expr, Apply):
            total += 1.0 if expr.op == "cast" else SCALARS[expr.op].cost
    return total


def turn_cycles(
    stage: Stage, engine: Engine, sizes: Mapping[str, int], vector: str | None, contracts: bool
) -> float:
    """Cycles to evaluate the stage's body once for every element of a block of `sizes` (reduce dims: one turn)."""
    along = {name: size for name, size in sizes.items() if name != vector}
    rows = prod(along.values())
    columns = ceil(sizes[vector] / engine.lanes) if vector is not None and vector in sizes else 1
    operations = 1.0 if contracts else scalar_cost(stage.body) + (1 if stage.combine else 0)
    loads = 0.0
    for dims in stage.load_dims:
        along_rows = prod([size for name, size in along.items() if name in dims])
        loads += along_rows * (columns if vector in dims else 1)
    if stage.combine is None:
        loads += rows * columns
    arithmetic = rows * columns * operations / engine.issue
    chain = engine.latency if stage.combine else 0.0
    return max(arithmetic, loads / engine.loads, chain)


def nest_cycles(
    kernel: Kernel, target: Target, engine: Engine, place: Place, contracts: bool, loops: Sequence[Loop]
) -> float:
    """Compute cycles of a kernel whose stages all run in one register block below `loops`."""
    cuts = {
        name: tile_sizes(d.size, [loop for loop in loops if loop.dim == name])
        for name, d in kernel.dims.items()
        if d.kind == PARALLEL
    }
    vector = (place.bound("n") or (None,))[0]
    return nest_compute(kernel, engine, cuts, vector, contracts, _turns(kernel.stages[0], place))


def _turns(root: Stage, place: Place) -> int:
    """Elements that one turn of the innermost reduce rib evaluates."""
    ribs = [loop for loop in place.loops if root.dim(loop.dim).kind == REDUCE]
    return ribs[-1].step if ribs else 1


def nest_compute(
    kernel: Kernel,
    engine: Engine,
    cuts: Mapping[str, Mapping[int, int]],
    vector: str | None,
    contracts: bool,
    unroll: int,
) -> float:
    """Cycles of all register blocks of a nest."""
    root = kernel.stages[0]
    names = [name for name in cuts if any(d.name == name for d in root.dims)]
    turns = prod(d.size for d in root.kind(REDUCE))
    reduced = vector is not None and vector not in cuts
    if reduced:
        turns = ceil(turns / engine.lanes)
    total = 0.0
    for combination in cartesian(*(cuts[name].items() for name in names)):
        sizes = {name: size for name, (size, _) in zip(names, combination, strict=True)}
        times = prod(count for _, count in combination)
        cycles = turn_cycles(root, engine, sizes, None if reduced else vector, contracts) * turns
        if root.combine is not None:
            cycles += engine.turn_overhead * turns / unroll + engine.tile_overhead
        blocks = prod(size for name, size in sizes.items() if name != vector)
        columns = ceil(sizes[vector] / engine.lanes) if vector is not None and vector in sizes else 1
        for stage in kernel.stages[1:]:
            cycles += turn_cycles(stage, engine, sizes, None if reduced else vector, False)
        cycles += blocks * columns  # the stores
        total += cycles * times
    return total


def estimate_rows(kernel: Kernel, schedule: Schedule, target: Target) -> Estimate:
    """A kernel of several reductions: every stage has its own loops below the shared rows."""
    total = apart = 0.0
    for stage in kernel.stages:
        place = schedule.place(stage.name)
        around = {loop.dim: loop.step for loop in schedule.loops[: place.at]}
        runs = prod(-(-kernel.dims[name].size // step) for name, step in around.items())
        engine = target.engines[place.engine]
        vector = (place.bound("n") or (None,))[0]
        sizes, blocks, turns = {}, 1, 1
        ribs = {loop.dim: loop.step for loop in place.loops}
        for d in stage.dims:
            extent = min(around.get(d.name, d.size), d.size)
            step = min(ribs.get(d.name, extent), extent)
            if d.kind == REDUCE:
                turns *= -(-extent // engine.lanes) if d.name == vector else extent
            else:
                sizes[d.name] = step
                blocks *= -(-extent // step)
        contracts = engine.does == "contract"
        cycles = turn_cycles(stage, engine, sizes, vector, contracts) * turns + engine.tile_overhead
        if stage.combine is not None and vector not in sizes and vector is not None:
            cycles += 3 * prod(sizes.values())
        if schedule.loops and not place.at:
            apart += cycles * blocks
        else:
            total += cycles * blocks * runs
    steps = np.array([[loop.step] for loop in schedule.loops]).reshape(len(schedule.loops), 1)
    inside = [stage for stage in kernel.stages if schedule.place(stage.name).at]
    looped = {access.buffer for stage in inside for access in (*stage.reads, stage.write)}
    beside = {buffer.name for buffer in kernel.buffers} - looped if schedule.loops else set()
    names = [loop.dim for loop in schedule.loops]
    memory = memory_cycles(kernel, target, names, steps, schedule.holds, beside, with_locals=True)
    return Estimate(total, {name: float(cycles[0]) for name, cycles in memory.items()}, apart)
