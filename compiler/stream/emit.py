"""A kernel under a schedule, run out into the calls that a backend's writer makes instructions of.

The walk is that of the tile interpreter: boxes are `infer`'s, tiles `segments`', loads and stores where `lower` puts
them. What is added is where each tile lies: a hold has as many places in its memory as slots, taken in turns.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from functools import lru_cache
from itertools import islice
from math import prod
from typing import Protocol

from ...runtime.records import dataclass
from ...runtime.sim.fields import Instruction
from ..diagnostics import VerifyError
from ..target.description import Target
from ..tile.infer import Boxes, Range, infer
from ..tile.interpret import tiles_of
from ..tile.lower import Compute, Fix, For, Scope, Tree, lower
from ..tile.products import Product, product
from ..tile.schedule import Hold, Schedule
from ..tile.spine import clip, largest_tiles, loop_ranges
from ..tile.stage import Buffer, Kernel, Number, Stage
from .compose import is_fetch
from .pieces import Box, Pieces
from .programs import Pending

Ints = tuple[int, ...]

ALIGNMENT = 64
"""Tiles start at multiples of so many bytes."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A box of a buffer at an address: dense, row-major, `low` may lie before the buffer's first element (padding)."""

    buffer: Buffer
    memory: str
    address: int
    low: Ints
    size: Ints
    fill: Number | None = None

    @property
    def pitch(self) -> Ints:
        """Elements from neighbour to neighbour along each axis."""
        return _pitch(self.size)

    @property
    def inside(self) -> tuple[Ints, Ints]:
        """The part that lies in the buffer, as (low, size)."""
        found = [clip(a, n, int(extent)) for a, n, extent in zip(self.low, self.size, self.buffer.shape)]  # type: ignore[arg-type]
        return tuple(low for low, _ in found), tuple(size for _, size in found)


@lru_cache(1 << 12)
def _pitch(size: Ints) -> Ints:
    return tuple(prod(size[axis + 1 :]) for axis in range(len(size)))


class Writer(Protocol):
    """What makes instructions. `at` orders them: those of one engine run in ascending order."""

    def bytes_of(self, kernel: Kernel, hold: Hold, size: Ints) -> int:
        """How much room a tile of so many elements takes."""
        ...

    def begin(self, at: tuple[int, ...]) -> None:
        """What follows belongs at this point of the order."""
        ...

    def load(self, tile: Tile) -> None:
        """Bring a tile from home."""
        ...

    def fill(self, tile: Tile) -> None:
        """Set a whole tile to what is read past its buffer's edges."""
        ...

    def store(self, tile: Tile) -> None:
        """Bring a tile home."""
        ...

    def contract(
        self, stage: Stage, found: Product, box: Box, tiles: Mapping[str, Tile], accumulate: bool
    ) -> None:
        """Run a product on a box; with `accumulate` its sums are added to what the target holds."""
        ...

    def gather(self, stage: Stage, box: Box, tiles: Mapping[str, Tile]) -> None:
        """Copy looked-up rows from home."""
        ...

    def elementwise(self, stage: Stage, box: Box, tiles: Mapping[str, Tile], initialise: bool) -> None:
        """Run any other stage on a box; `initialise`: its sums begin here."""
        ...

    def instructions(self) -> list[Instruction | Pending]:
        """What was written, in the order of the queues."""
        ...


def round_and_round(sizes: Sequence[int], begin: int, whole: int) -> tuple[list[int], int]:
    """Where pieces of so many bytes lie in a memory of `whole` bytes, one behind the other from an address on, and from
    its beginning where one does not fit before its end; and over how many bytes they reach."""
    places, length = [], 0
    for size in sizes:
        left = whole - (begin + length) % whole
        length += left if size > left else 0
        places.append((begin + length) % whole)
        length += size
    return places, length


class Emission:
    """One kernel, to be written once by a writer, and `again` by others; its stages' boxes in `pieces`, where there are
    any."""

    def __init__(
        self,
        kernel: Kernel,
        schedule: Schedule,
        target: Target,
        writer: Writer,
        pieces: Pieces | None = None,
    ):
        self.kernel, self.schedule, self.target, self.writer = kernel, schedule, target, writer
        self.pieces = pieces
        self.extents: dict[str, int] = {name: d.size for name, d in kernel.dims.items()}
        self.buffers = {buffer.name: buffer for buffer in kernel.buffers}
        arrays = [engine for engine in target.engines.values() if engine.does == "contract"]
        types = arrays[0].types if arrays else ()
        self.products = {s.name: product(kernel, s, types) for s in kernel.stages}
        self.fills = {a.buffer: a.fill for s in kernel.stages for a in s.reads if a.fill is not None}
        self.lags = {place.stage: place.lag for place in schedule.places}
        self.inferred: dict[Ints, Boxes] = {}
        self.ranges: dict[tuple[str, Ints], tuple[Range, ...]] = {}
        self.room = self._room()
        self.tree = lower(kernel, schedule)
        self._begin()

    def again(self, writer: Writer) -> "Emission":
        """The same kernel for another writer, with what has been found out about it."""
        found = copy(self)
        found.writer = writer
        found._begin()
        return found

    def _begin(self) -> None:
        """Nothing is written yet."""
        self.tiles: list[tuple[int, int]] = []
        self.live: dict[str, list[Tile]] = {name: [] for name in self.buffers}
        self.begun = dict.fromkeys(self.schedule.holds, 0)
        self.fresh: set[str] = set()
        self.edges: dict[tuple[Hold, int], tuple[Ints, Ints, Ints]] = {}
        self.places: dict[Hold, list[int]] = {}
        self.kept: Mapping[str, Tile] = {}
        self.counter = self.iteration = self.sequence = 0

    def run(self, begins: Mapping[str, int], kept: Mapping[str, Tile]) -> None:
        """Write the whole kernel. Tiles are placed from an address of each memory on; those of buffers in `kept` lie
        there as wholes and are neither loaded nor stored."""
        self.kept = kept
        self.places = {}
        for name, memory in self.target.memories.items():
            found, length = self.placed(name, begins.get(name, 0), kept)
            self.places |= found
            if length > memory.bytes:
                raise VerifyError(
                    f"kernel {self.kernel.name}: tiles reach over {length} bytes of {name}, which has {memory.bytes}"
                )
        for name, tile in kept.items():
            if self.kernel.writers(name) and tile.inside != (tile.low, tile.size):
                self.at(0)
                self.writer.fill(tile)
        self.block(self.tree)

    def need(self, memory: str, kept: Collection[str]) -> int:
        """Bytes of a memory that tiles take, those of `kept` buffers left out."""
        return sum(self.room[each] * each.slots for each in self._held(memory, kept))

    def placed(self, memory: str, begin: int, kept: Collection[str]) -> tuple[dict[Hold, list[int]], int]:
        """Addresses of tiles in a memory, those of `kept` buffers left out, from `begin` on, and over how many bytes
        they reach: too far where that is more than the memory has."""
        held = self._held(memory, kept)
        sizes = [size for hold in held for size in [self.room[hold]] * hold.slots]
        places, length = round_and_round(sizes, begin, self.target.memories[memory].bytes)
        following = iter(places)
        return {hold: list(islice(following, hold.slots)) for hold in held}, length

    def _held(self, memory: str, kept: Collection[str]) -> list[Hold]:
        return [each for each in self.schedule.holds if each.memory == memory and each.buffer not in kept]

    # --- places ------------------------------------------------------------------------------------------------

    def _room(self) -> dict[Hold, int]:
        """Bytes of one slot of each hold: as much as its largest tile takes."""
        sizes = largest_tiles(self.kernel, self.schedule)
        found = {}
        for hold in self.schedule.holds:
            loops = loop_ranges(self.extents, self.schedule.loops[: hold.at], sizes[: hold.at])
            ranges = infer(self.kernel, loops).buffer(self.kernel, hold.buffer)
            shape = tuple(self._extent(hold.buffer, axis, int(r.size)) for axis, r in enumerate(ranges))
            bytes_ = self.writer.bytes_of(self.kernel, hold, shape)
            found[hold] = -(-bytes_ // ALIGNMENT) * ALIGNMENT
        return found

    def _extent(self, buffer: str, axis: int, size: int) -> int:
        """What a tile really has along an axis: all of it where elements beyond the edges are filled in."""
        return size if buffer in self.fills else min(size, int(self.buffers[buffer].shape[axis]))  # type: ignore[arg-type]

    # --- boxes -------------------------------------------------------------------------------------------------

    def boxes(self) -> Boxes:
        """What `infer` says under the loops around this point."""
        sizes = tuple(size for _, size in self.tiles)
        if sizes not in self.inferred:
            loops = self.schedule.loops[: len(sizes)]
            self.inferred[sizes] = infer(self.kernel, loop_ranges(self.extents, loops, sizes))
        return self.inferred[sizes]

    def _low(self, range_: Range) -> int:
        return range_.low.const + sum(c * self.tiles[int(name)][0] for name, c in range_.low.terms)

    def stage_box(self, stage: Stage) -> dict[str, tuple[int, int]]:
        ranges = self.boxes().stages[stage.name]
        return {
            d.name: clip(self._low(ranges[d.name]), int(ranges[d.name].size), self.extents[d.name])
            for d in stage.dims
        }

    def buffer_box(self, name: str) -> tuple[Ints, Ints]:
        key = name, tuple(size for _, size in self.tiles)
        if key not in self.ranges:
            self.ranges[key] = self.boxes().buffer(self.kernel, name)
        ranges = self.ranges[key]
        if name in self.fills:
            return tuple(map(self._low, ranges)), tuple(int(r.size) for r in ranges)
        found = [
            clip(self._low(r), int(r.size), int(extent))  # type: ignore[arg-type]
            for r, extent in zip(ranges, self.buffers[name].shape)
        ]
        return tuple(low for low, _ in found), tuple(size for _, size in found)

    # --- the tree ----------------------------------------------------------------------------------------------

    def block(self, nodes: Sequence[Tree]) -> None:
        for node in nodes:
            match node:
                case Compute():
                    self.compute(node)
                case For():
                    self.loop(node)
                case Scope():
                    self.scope(node)
                case Fix():
                    raise VerifyError(f"kernel {self.kernel.name}: repairs are not emitted as instructions")

    def loop(self, node: For) -> None:
        loops = self.schedule.loops
        around = [self.tiles[n] for n in range(node.depth) if loops[n].dim == node.loop.dim]
        outer = around[-1] if around else (0, self.extents[node.loop.dim])
        for tile in tiles_of(*outer, node.loop):
            self.iteration = self.counter
            self.tiles.append(tile)
            self.block(node.body)
            self.tiles.pop()
            self.counter += node.depth == len(loops) - 1

    def scope(self, node: Scope) -> None:
        hold, name = node.hold, node.hold.buffer
        tile = self.kept[name] if name in self.kept else self.tile(hold)
        if self.live[name]:
            raise VerifyError(f"kernel {self.kernel.name}: '{name}' is held twice on an explicit memory")
        lags = [self.lags[stage.name] for stage in self.kernel.writers(name)] or [0]
        self.fresh.add(name)
        self.at(min(lags))
        if name not in self.kept:
            if node.load:
                self.writer.load(tile)
            elif tile.fill is not None:
                self.edge(hold, tile)
        self.live[name].append(tile)
        self.block(node.body)
        self.live[name].pop()
        if node.store and name not in self.kept:
            self.at(max(lags))
            self.writer.store(tile)

    def edge(self, hold: Hold, tile: Tile) -> None:
        """Fill in what lies past the edges of a local's buffer, unless the tile before it in the same place had the
        same edges: what stages write lies inside."""
        low, size = tile.inside
        before = tuple(inside - first for inside, first in zip(low, tile.low))
        edges = before, size, tile.size
        if size != tile.size and self.edges.get((hold, tile.address)) != edges:
            self.writer.fill(tile)
        self.edges[hold, tile.address] = edges

    def tile(self, hold: Hold) -> Tile:
        """The next tile of a hold: its places are taken in turns."""
        low, size = self.buffer_box(hold.buffer)
        address = self.places[hold][self.begun[hold] % hold.slots]
        self.begun[hold] += 1
        return Tile(self.buffers[hold.buffer], hold.memory, address, low, size, self.fills.get(hold.buffer))

    def whole(self, name: str) -> tuple[Ints, Ints]:
        """All of a buffer that the kernel reads or writes, as (low, size), and what is read past its edges."""
        ranges = infer(self.kernel, loop_ranges(self.extents, (), ())).buffer(self.kernel, name)
        return tuple(int(r.low.const) for r in ranges), tuple(int(r.size) for r in ranges)

    def at(self, lag: int) -> None:
        """The place in the order of what is written next: at one time later iterations go first, as their producers."""
        self.sequence += 1
        self.writer.begin((self.iteration + lag, -self.iteration, self.sequence))

    def compute(self, node: Compute) -> None:
        stage = node.stage
        box = self.stage_box(stage)
        if any(size == 0 for _, size in box.values()):
            return
        tiles = {name: stack[-1] for name, stack in self.live.items() if stack}
        target = stage.write.buffer
        fresh = node.initialise or target in self.fresh
        self.fresh.discard(target)
        self.at(self.lags[stage.name])
        found = self.products[stage.name]
        if is_fetch(self.kernel, stage):
            self.writer.gather(stage, box, tiles)
            return
        for piece in [box] if self.pieces is None else self.pieces.of(stage, box):
            if found is not None:
                self.writer.contract(stage, found, piece, tiles, accumulate=not fresh)
            else:
                self.writer.elementwise(stage, piece, tiles, initialise=fresh)
