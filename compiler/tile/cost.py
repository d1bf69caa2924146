"""The tiler's cost model: cycles of one core for a kernel under a schedule, in closed form, with its breakdown.

Compute: turns of the register block (multiply-adds against issue slots, loads against load ports, the latency of one
accumulation chain) plus what a block costs to start and store. Memory: for every cache the loops that fit in it are
found, and what is fetched through them again and again is charged at the bandwidth of the next memory outwards.
The figures are data of the target (calibrated, see docs/design); `explain --kernel` prints the breakdown.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import product as cartesian
from math import ceil, prod
from types import MappingProxyType
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..ops.scalar import SCALARS
from ..target.description import Engine, Target
from .infer import Range, infer
from .schedule import Hold, Loop, Place, Schedule, segments
from .stage import LOCAL, PARALLEL, REDUCE, Affine, Apply, Buffer, Expr, Kernel, Lookup, Stage, dim, walk


@dataclass(frozen=True)
class Estimate:
    """Predicted cycles: the largest part plus a little of the others, which overlap imperfectly."""

    compute: float
    memory: Mapping[str, float]

    @property
    def cycles(self) -> float:
        parts = [self.compute, *self.memory.values()]
        return max(parts) + 0.15 * (sum(parts) - max(parts))


def tile_sizes(extent: int, loops: list[Loop]) -> dict[int, int]:
    """How often tiles of each size occur when `extent` is cut by nested loops over one dim."""
    counts = {extent: 1}
    for loop in loops:
        inner: dict[int, int] = {}
        for size, times in counts.items():
            for cut in segments(size, loop.step, loop.unit):
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


def memory_cycles(
    kernel: Kernel,
    target: Target,
    loops: Sequence[str],
    steps: np.ndarray,
    holds: Sequence[Hold],
    beside: Collection[str] = (),
    with_locals: bool = False,
    planes: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, np.ndarray]:
    """Cycles each memory spends feeding the next one inwards, for many candidates of one loop order at once.

    `loops` names the dims of the spine, `steps[depth, candidate]` their tile sizes. A cache keeps the tiles under the
    first loops at which everything fits in it (double-buffered tiles twice); tiles that never fit are fetched again by
    every inner loop. Short runs of contiguous bytes waste bandwidth at home. Buffers `beside` the loops, which no stage
    inside touches, are fetched once. `with_locals`: their tiles are in
    caches too. `planes`: how many times its bytes a packed buffer takes, if not once.
    """
    touched = {access.buffer for stage in kernel.stages for access in (*stage.reads, stage.write)}
    tiles = {h.buffer: h.at for h in holds if with_locals and kernel.buffer(h.buffer).role == LOCAL}
    used = [b for b in kernel.buffers if b.name in touched and (b.role != LOCAL or b.name in tiles)]
    buffers = [b for b in used if b.name not in beside or b.name in tiles]
    once = sum(prod(b.static_shape) * b.dtype.bytes for b in used if b not in buffers)
    env: dict[str, Range] = {}
    boxes, trips = [_box_sizes(kernel, buffers, env)], []
    for depth, name in enumerate(loops):
        outer = env.get(name, Range(Affine(), kernel.dims[name].size))
        size = np.minimum(steps[depth], outer.size)
        trips.append(-(-outer.size // size))
        env[name] = Range(outer.low + dim(f"L{depth}"), size)
        boxes.append(_box_sizes(kernel, buffers, env))
    count = steps.shape[1]
    slots = {hold.buffer: hold.slots for hold in holds}
    packed = {hold.buffer for hold in holds if hold.layout is not None}
    each = {b.name: b.dtype.bytes * planes.get(b.name, 1) for b in buffers}
    bytes = [{b.name: _product(box[b.name], count) * each[b.name] for b in buffers} for box in boxes]
    for name, held_at in tiles.items():  # no more of a local exists than its tile
        for around in bytes[:held_at]:
            around[name] = bytes[held_at][name]
    total = [sum((size * slots.get(name, 1) for name, size in at.items()), np.zeros(count)) for at in bytes]
    caches = [m for m in target.memories.values() if m.managed == "cache" and not m.home]
    out = {}
    for cache, source in zip(caches, [*caches[1:], target.home], strict=True):
        capacity = cache.bytes * cache.usable
        traffic = np.full(count, float(once))
        settled = np.zeros(count, bool)
        for depth in range(len(boxes)):
            chosen = ~settled & ((total[depth] <= capacity) | (depth == len(boxes) - 1))
            if not chosen.any():
                continue
            settled |= chosen
            for buffer in buffers:
                size = bytes[depth][buffer.name]
                again = size * slots.get(buffer.name, 1) > capacity
                fetches = np.where(
                    again, _product(trips, count), _fetches(buffer.name, depth, trips, bytes, count)
                )
                waste: Any = 1.0
                if source.home and buffer.name not in packed and buffer.name not in tiles:
                    waste += source.run_overhead / _run_bytes(buffer, boxes[depth][buffer.name], count)
                traffic += np.where(chosen, size * fetches * waste, 0.0)
        out[source.name] = traffic / source.bandwidth
    return out


def _box_sizes(kernel: Kernel, buffers: Sequence[Buffer], env: Mapping[str, Range]) -> dict[str, list[Any]]:
    """The part of each buffer that is touched under the given loops, in elements along each axis; along an axis that is
    looked up, as many as there are look-ups."""
    found = infer(kernel, env)
    sizes: dict[str, list[Any]] = {b.name: [r.size for r in found.buffer(kernel, b.name)] for b in buffers}
    for stage in kernel.stages:
        for access in stage.reads:
            for axis, part in enumerate(access.index):
                if isinstance(part, Lookup) and access.buffer in sizes:
                    reads = prod(found.stages[stage.name][name].size for name in part.access.dims)
                    sizes[access.buffer][axis] = np.minimum(sizes[access.buffer][axis], reads)
    return sizes


def _product(factors: Sequence[Any], count: int) -> np.ndarray:
    total = np.ones(count)
    for factor in factors:
        total = total * factor
    return total


def _fetches(
    name: str, depth: int, trips: Sequence[Any], bytes: Sequence[Mapping[str, np.ndarray]], count: int
) -> np.ndarray:
    """How often a tile under `depth` loops is fetched: loops inside the last one that moves it are free."""
    total, moved = np.ones(count), np.zeros(count, bool)
    for d in range(depth - 1, -1, -1):
        moved = moved | (bytes[d + 1][name] < bytes[d][name])
        total = total * np.where(moved, trips[d], 1)
    return total


def _run_bytes(buffer: Buffer, box: Sequence[Any], count: int) -> np.ndarray:
    """Contiguous bytes of a box in a row-major buffer."""
    run, whole = np.full(count, float(buffer.dtype.bytes)), np.ones(count, bool)
    for size, extent in zip(reversed(box), reversed(buffer.static_shape), strict=True):
        run = run * np.where(whole, size, 1)
        whole = whole & (np.asarray(size) == extent)
    return run


def estimate_rows(kernel: Kernel, schedule: Schedule, target: Target) -> Estimate:
    """A kernel of several reductions: every stage has its own loops below the shared rows."""
    total = 0.0
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
        total += cycles * blocks * runs
    steps = np.array([[loop.step] for loop in schedule.loops]).reshape(len(schedule.loops), 1)
    inside = [stage for stage in kernel.stages if schedule.place(stage.name).at]
    looped = {access.buffer for stage in inside for access in (*stage.reads, stage.write)}
    beside = {buffer.name for buffer in kernel.buffers} - looped if schedule.loops else set()
    names = [loop.dim for loop in schedule.loops]
    memory = memory_cycles(kernel, target, names, steps, schedule.holds, beside, with_locals=True)
    return Estimate(total, {name: float(cycles[0]) for name, cycles in memory.items()})
