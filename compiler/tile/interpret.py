"""The tile interpreter: runs any kernel under any schedule on real tiles, the oracle that emitters are held to.

It walks the tree of `lower`. Work is queued as events in the order of (iteration + lag); parallel iterations run on
their own copies and are merged, two writers of one element being an error. Boxes are `infer`'s, tiles `segments`'.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..diagnostics import VerifyError
from .evaluate import Box, accumulator, combined, evaluate, identity, load, placement, scalar_values
from .infer import Boxes, Range, infer
from .lower import Compute, Fix, For, Scope, Tree, completes_inside, lower
from .schedule import PARALLEL_LOOP, Hold, Loop, Place, Schedule, segments
from .spine import Slide, clip, loop_ranges, slide
from .stage import CONSTANT, INPUT, LOCAL, OUTPUT, REDUCE, Access, Kernel, Stage
from .tiles import Cells, Ints, Merge, RingCells, RingTile, Slot, Tile, Valid
from .untiled import specialise


def run_tiled(kernel: Kernel, schedule: Schedule, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by buffer name, for arrays of all inputs and constants by buffer name.

    The schedule need not be legal: VerifyError where it reads what is not there, writes twice, or gives an output
    what was never computed; other mistakes give wrong values.
    """
    run = _Run(specialise(kernel, arrays), schedule, arrays)
    run.block(run.tree)
    run.advance(None)
    return {buffer.name: run.home[buffer.name].cells.values for buffer in run.kernel.role(OUTPUT)}


def tiles_of(low: int, size: int, loop: Loop) -> Iterator[tuple[int, int]]:
    """The tiles of a loop over `size` elements from `low`, as (low, size)."""
    for segment in segments(size, loop.step, loop.unit) if size else ():
        for n in range(segment.count):
            yield low + segment.start + n * segment.size, segment.size


def blocks(box: dict[str, tuple[int, int]], loops: Sequence[Loop]) -> Iterator[dict[str, tuple[int, int]]]:
    """The box cut by ribs, outermost first."""
    if not loops:
        yield box
        return
    for tile in tiles_of(*box[loops[0].dim], loops[0]):
        yield from blocks({**box, loops[0].dim: tile}, loops[1:])


class _Run:
    def __init__(self, kernel: Kernel, schedule: Schedule, arrays: Mapping[str, np.ndarray]):
        self.kernel = kernel
        self.schedule = schedule
        self.tree = lower(kernel, schedule)
        self.extents: dict[str, int] = {name: int(d.extent) for name, d in kernel.dims.items()}  # type: ignore[arg-type]
        self.buffers = {buffer.name: buffer for buffer in kernel.buffers}
        self.shapes: dict[str, Ints] = {b.name: b.shape for b in kernel.buffers}  # type: ignore[misc]
        self.partial = {s.write.buffer for s in kernel.stages if not completes_inside(schedule, s)}
        self.repaired = {
            stage.repair.of for stage in kernel.stages if stage.repair is not None
        } & self.partial
        self.lags = {place.stage: place.lag for place in schedule.places}
        self.slides: dict[Hold, Slide] = {h: slide(kernel, schedule, h) for h in schedule.holds if h.roll}
        # where we are
        self.inferred: dict[tuple[int, ...], Boxes] = {}
        self.tiles: list[tuple[int, int]] = []
        # memory
        self.home = {b.name: self._home(b.name, arrays) for b in kernel.buffers if b.role != LOCAL}
        self.live = {b.name: [self.home[b.name]] if b.name in self.home else [] for b in kernel.buffers}
        self.slots: dict[Hold, list[Slot]] = {
            hold: [Slot() for _ in range(hold.slots)] for hold in schedule.holds
        }
        self.begun: dict[Hold, int] = dict.fromkeys(schedule.holds, 0)
        self.rings: dict[Hold, tuple[RingCells, int]] = {}
        self.done: dict[Hold, int] = {}
        self.before: dict[str, Tile] = {}
        # time
        self.counter = 0
        self.iteration = 0
        self.events: list[tuple[int, int, int, Callable[[], None]]] = []
        self.sequence = 0

    def _home(self, name: str, arrays: Mapping[str, np.ndarray]) -> Tile:
        """The whole buffer where callers see it."""
        buffer = self.buffers[name]
        shape = self.shapes[name]
        cells = Cells(shape, buffer.dtype.numpy)
        given = buffer.role in (INPUT, CONSTANT)
        cells.values[...] = arrays[name] if given else np.zeros((), cells.values.dtype)
        cells.valid[...] = given
        return Tile(name, shape, (0,) * len(shape), shape, cells)

    # time

    def emit(self, lag: int, action: Callable[[], None]) -> None:
        """Queue an action of the current iteration. At one time later iterations go first, and so do producers."""
        self.sequence += 1
        heapq.heappush(self.events, (self.iteration + lag, -self.iteration, self.sequence, action))

    def advance(self, until: int | None) -> None:
        """Run what is due before the iteration `until` (None: everything)."""
        while self.events and (until is None or self.events[0][0] < until):
            heapq.heappop(self.events)[3]()

    # boxes

    def boxes(self) -> Boxes:
        """What `infer` says under the loops around this point."""
        sizes = tuple(size for _, size in self.tiles)
        if sizes not in self.inferred:
            loops = self.schedule.loops[: len(sizes)]
            self.inferred[sizes] = infer(self.kernel, loop_ranges(self.extents, loops, sizes))
        return self.inferred[sizes]

    def concrete(self, range_: Range, extent: int) -> tuple[int, int]:
        low = range_.low.const + sum(c * self.tiles[int(name)][0] for name, c in range_.low.terms)
        return clip(low, int(range_.size), extent)

    def stage_box(self, stage: Stage) -> dict[str, tuple[int, int]]:
        ranges = self.boxes().stages[stage.name]
        return {dim.name: self.concrete(ranges[dim.name], self.extents[dim.name]) for dim in stage.dims}

    def buffer_box(self, name: str) -> tuple[Ints, Ints]:
        ranges = self.boxes().buffer(self.kernel, name)
        found = [self.concrete(range_, extent) for range_, extent in zip(ranges, self.shapes[name])]
        return tuple(low for low, _ in found), tuple(size for _, size in found)

    def innermost(self, buffer: str) -> Tile:
        """The tile of a buffer that is read and written at this point."""
        if not self.live[buffer]:
            raise VerifyError(f"'{buffer}' is used where no hold of it is open")
        return self.live[buffer][-1]

    # the tree

    def block(self, nodes: tuple[Tree, ...]) -> None:
        for node in nodes:
            match node:
                case Compute():
                    self.compute(node.stage, node.place, node.initialise)
                case Fix():
                    self.fix(node.stage)
                case For():
                    self.loop(node)
                case Scope():
                    self.scope(node)

    def loop(self, node: For) -> None:
        loops = self.schedule.loops
        around = [self.tiles[n] for n in range(node.depth) if loops[n].dim == node.loop.dim]
        outer = around[-1] if around else (0, self.extents[node.loop.dim])
        for hold, sliding in self.slides.items():
            if sliding.depth == node.depth:
                self.rings.pop(hold, None)
        merge = None
        if node.loop.kind == PARALLEL_LOOP:
            self.advance(None)
            shared = [tile for stack in self.live.values() for tile in stack]
            merge = Merge([t.cells for t in shared if self.buffers[t.name].role not in (INPUT, CONSTANT)])
        for tile in tiles_of(*outer, node.loop):
            self.iteration = self.counter
            self.advance(self.iteration)
            self.tiles.append(tile)
            if merge is not None:
                merge.begin()
                self.forget_rings(node.depth)
            self.block(node.body)
            if merge is not None:
                self.advance(None)
                merge.end()
            self.tiles.pop()
            self.counter += node.depth == len(loops) - 1
        if merge is not None:
            merge.finish()

    def forget_rings(self, depth: int) -> None:
        """What an iteration of a parallel loop kept in a ring of its own is not there for the next one."""
        for hold, (cells, high) in self.rings.items():
            if self.slides[hold].depth <= depth < hold.at:
                self.rings[hold] = RingCells(cells.values.shape, cells.values.dtype, cells.axis), high

    def scope(self, node: Scope) -> None:
        hold, name = node.hold, node.hold.buffer
        low, size = self.buffer_box(name)
        buffer = self.buffers[name]
        dtype = (accumulator(buffer.dtype) if name in self.partial else buffer.dtype).numpy
        parent = self.innermost(name) if node.load or node.store else None
        slot: Slot | None = None
        new = low
        tile: Tile
        if hold.roll is not None:
            axis = self.slides[hold].axis
            if hold not in self.rings:
                ring = (
                    *size[:axis],
                    min(int(self.slides[hold].rows), self.shapes[name][axis]),
                    *size[axis + 1 :],
                )
                self.rings[hold] = RingCells(ring, dtype, axis), 0
            cells, high = self.rings[hold]
            self.done[hold] = high
            self.rings[hold] = cells, max(high, low[axis] + size[axis])
            tile = RingTile(name, self.shapes[name], low, size, cells)
            new = (*low[:axis], max(low[axis], min(high, low[axis] + size[axis])), *low[axis + 1 :])
        else:
            slot = self.slots[hold][self.begun[hold] % hold.slots]
            self.begun[hold] += 1
            tile = Tile(name, self.shapes[name], low, size, Cells(size, dtype), slot)
        extent = tuple(a + n - b for a, n, b in zip(low, size, new))
        lags = [self.lags[stage.name] for stage in self.kernel.writers(name)] or [0]

        def begin() -> None:
            if slot is not None:
                slot.owner = tile
            if node.initialise is not None:
                values = np.full(size, identity(node.initialise, accumulator(buffer.dtype)))
                tile.store(low, values, np.ones(size, bool))
            elif node.load:
                assert parent is not None
                tile.store(new, parent.box(new, extent), parent.valid_box(new, extent))

        def end() -> None:
            assert parent is not None
            self.deliver(parent, tile.valid_box(low, size))
            parent.store(low, tile.box(low, size), tile.valid_box(low, size))

        self.emit(min(lags), begin)
        self.live[name].append(tile)
        self.block(node.body)
        self.live[name].pop()
        if node.store:
            self.emit(max(lags), end)

    def deliver(self, target: Tile, valid: np.ndarray) -> None:
        """Refuse to give callers what was never computed."""
        if target is self.home.get(target.name) and not valid.all():
            raise VerifyError(f"output '{target.name}' is given elements that were never computed")

    # work

    def storages(self, *accesses: Access) -> dict[str, Tile]:
        return {
            inner.buffer: self.innermost(inner.buffer) for access in accesses for inner in access.accesses()
        }

    def compute(self, stage: Stage, place: Place, initialise: bool) -> None:
        box = self.stage_box(stage)
        for hold in self.schedule.holds_of(stage.write.buffer):
            if hold.roll is not None:
                part = stage.write.index[self.slides[hold].axis]
                name, start = part.dims[0], self.done[hold] - part.const  # type: ignore[union-attr]
                low, size = box[name]
                new = max(low, min(start, low + size))
                box[name] = (new, low + size - new)
        if any(box[dim.name][1] == 0 for dim in stage.dims if dim.kind != REDUCE):
            return
        storages = self.storages(*stage.reads, stage.write)
        self.emit(place.lag, lambda: self.run(stage, place, initialise, box, storages))

    def run(
        self,
        stage: Stage,
        place: Place,
        initialise: bool,
        box: dict[str, tuple[int, int]],
        storages: Mapping[str, Tile],
    ) -> None:
        target = storages[stage.write.buffer]
        if stage.write.buffer in self.repaired:
            self.before[stage.write.buffer] = target.copy()
        reduced = {dim.name for dim in stage.kind(REDUCE)}
        outer = [loop for loop in place.loops if loop.dim not in reduced]
        inner = [loop for loop in place.loops if loop.dim in reduced]
        for block in blocks(box, outer):
            total = None
            valid = np.ones((), bool)
            for part in blocks(block, inner):
                values = evaluate(stage, part, storages)
                total = values if total is None else combined(str(stage.combine), total, values)
                valid = valid & validity(stage, part, storages)
            if total is None:
                total = evaluate(stage, block, storages)
            self.write(stage, initialise, block, total, np.broadcast_to(valid, total.shape), storages)

    def write(
        self,
        stage: Stage,
        initialise: bool,
        box: Box,
        values: np.ndarray,
        valid: np.ndarray,
        storages: Mapping[str, Tile],
    ) -> None:
        """Store the values of a block, or add them to what the accumulator holds."""
        target = storages[stage.write.buffer]
        where = placement(stage, box, storages)
        values, valid = where.arrange(values), where.arrange(valid)
        if stage.combine is not None and not initialise:
            old, present = current(target, where.low, values.shape, where.index)
            values, valid = combined(stage.combine, old, values), valid & present
        else:
            with np.errstate(all="ignore"):
                values = values.astype(self.buffers[target.name].dtype.numpy, copy=False)
        self.deliver(target, valid)
        if where.low is None:
            target.put(where.index, values, valid)
        else:
            target.store(where.low, values, valid)

    def fix(self, stage: Stage) -> None:
        """Scale the stage's accumulator for the change of what its repair follows; the factor is taken at once."""
        assert stage.repair is not None
        repair = stage.repair
        source = self.kernel.writers(repair.of)[0]
        box = self.stage_box(stage)
        kept = tuple(dim.name for dim in stage.dims if dim.kind != REDUCE)
        if any(box[name][1] == 0 for name in kept):
            return
        storages = self.storages(stage.write, source.write)
        found: list[np.ndarray] = []

        def factor() -> None:
            tiles = {"old": self.before[repair.of], "new": storages[repair.of]}
            held = {which: load(source.write, kept, box, {repair.of: tile}) for which, tile in tiles.items()}
            present = [load(source.write, kept, box, storages, Valid(tile)) for tile in tiles.values()]
            found[:] = [scalar_values(repair.factor, kept, box, storages, held), present[0] & present[1]]

        def scale() -> None:
            target = storages[stage.write.buffer]
            where = placement(stage, box, storages)
            shape = tuple(box[name][1] for name in kept)
            values, valid = (where.arrange(np.broadcast_to(part, shape)) for part in found)
            old, present = current(target, where.low, values.shape, where.index)
            with np.errstate(all="ignore"):
                scaled = (old * values).astype(old.dtype, copy=False)
            if where.low is None:
                target.put(where.index, scaled, valid & present)
            else:
                target.store(where.low, scaled, valid & present)

        self.emit(self.lags[source.name], factor)
        self.emit(self.lags[stage.name], scale)


def current(
    target: Tile, low: Ints | None, size: Ints, index: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Values and valid bits of what a placement writes."""
    if low is None:
        return target.take(index), target.valid_take(index)
    return target.box(low, size), target.valid_box(low, size)


def validity(stage: Stage, box: Box, storages: Mapping[str, Tile]) -> np.ndarray:
    """Where a stage's (partial) results on a box come from valid elements only; broadcasts to their shape."""
    dims = tuple(dim.name for dim in stage.dims)
    axes = tuple(n for n, dim in enumerate(stage.dims) if dim.kind == REDUCE)
    total = np.ones((1,) * (len(dims) - len(axes)), bool)
    if any(box[name][1] == 0 for name in dims):
        return total
    for outer in stage.loads:
        for access in outer.access.accesses():
            asked = access if access.fill is None else Access(access.buffer, access.index, True)
            found = load(asked, dims, box, storages, Valid(storages[access.buffer]))
            if found.all():
                continue
            if access is not outer.access:
                raise VerifyError(
                    f"stage {stage.name} looks up an index in '{access.buffer}' that was never computed"
                )
            total = total & found.all(axis=axes)
    return total
