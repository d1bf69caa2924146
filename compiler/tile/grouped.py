"""Tiling products of narrow values: a few neighbours along the sum are multiplied and added by one operation.

Which products, and how many neighbours, is said by the target's engines (`types`, `group`). The factor that is the same
for all columns is copied into a near memory as the engine wants to have it: widened, its edges filled in, rows of the
sum side by side. The other one is constant and packed so that its neighbours along the sum lie beside each other.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from math import ceil, inf, isfinite, prod

from ...runtime.records import replace
from ..target.description import Engine, Target
from .access_maps import Contraction, is_plain, strides
from .choice import CHUNKS, Choice, uneven
from .cost import scalar_cost, tile_sizes
from .infer import Range, infer
from .nest import Nest
from .products import Product, product
from .schedule import PARALLEL_LOOP, Hold, Loop, Place, Schedule
from .stage import CONSTANT, INPUT, REDUCE, Access, Affine, Kernel, Stage, dim

_TILE = 1 << 18
"""Elements that a copied tile may have: a cache near the core keeps it beside a panel of the other factor."""

_SHAPING = 600
"""Cycles of a chunk in which the tiles of an array are shaped, and shaped again as they were."""

_COPY = 0.2
"""Cycles for each element that is copied."""


def grouped(kernel: Kernel, target: Target) -> "list[Grouped]":
    """The tilers of a nest whose first stage is such a product, one for each engine that does it."""
    root = kernel.stages[0]
    plans = []
    for engine in target.engines.values():
        if (found := _product(kernel, root, engine)) is not None:
            along = _along(kernel, root, found, engine)
            if along is not None:
                kind = Arrayed if engine.rows > 1 else Grouped
                plans.append(kind(kernel, target, engine, found, along))
    return plans


def _product(kernel: Kernel, root: Stage, engine: Engine) -> Product | None:
    """The stage as a product whose factors an engine takes, rows before columns in its types."""
    other = [
        f"{second}*{first}+{sums}" for first, second, sums in (re.split(r"[*+]", t) for t in engine.types)
    ]
    found = product(kernel, root, (*engine.types, *other)) if engine.types else None
    if found is None:
        return None
    rows, columns = (kernel.buffer(each.buffer).dtype for each in (found.rows, found.columns))
    return found if f"{rows}*{columns}+{root.body.dtype}" in engine.types else None


def _along(kernel: Kernel, root: Stage, found: Product, engine: Engine) -> str | None:
    """The dim of the sum whose neighbours are grouped: little is filled up, and what is copied is contiguous along it.

    Floats are not filled up: what stands in the place of the missing ones need not be a number.
    """
    rows, columns = kernel.buffer(found.rows.buffer), kernel.buffer(found.columns.buffer)
    if rows.role != INPUT or columns.role != CONSTANT or not is_plain(found.columns):
        return None
    ranked = []
    for position, each in enumerate(root.kind(REDUCE)):
        axes = [part for part in found.rows.index if isinstance(part, Affine) and each.name in part.dims]
        depth = _depth(engine, each.size, rows.dtype.is_float)
        waste = ceil(each.size / depth) * depth / each.size
        if len(axes) == 1 and axes[0].coefficient(each.name) == 1 and (waste == 1 or not rows.dtype.is_float):
            ranked.append((waste, -each.size, -position, each.name))
    return min(ranked)[-1] if ranked else None


def _depth(engine: Engine, size: int, exact: bool) -> int:
    """Neighbours of a sum of `size` that are multiplied at once; `exact`: they are not filled up, so an array takes
    fewer where it can't have all its rows."""
    most = max(engine.group, engine.rows)
    if not exact:
        return most
    return max((n for n in range(engine.group, most + 1, engine.group) if size % n == 0), default=most)


class Grouped(Nest):
    """Schedules of a nest with such a product in front."""

    def __init__(self, kernel: Kernel, target: Target, engine: Engine, found: Product, along: str):
        super().__init__(kernel, target)
        self.engine = engine
        self.along = along
        self.rows = found.rows
        self.vector = found.lane
        self.contraction = Contraction(found.rows, found.columns, found.batch, found.m, found.n)
        self.depth = _depth(engine, self.extents[along], kernel.buffer(found.rows.buffer).dtype.is_float)
        self.near = engine.a or target.near.name
        self._copies: dict[tuple[Loop, ...], float] = {}
        self.copies = bool(engine.a) or not self._is_readable()

    def _is_readable(self) -> bool:
        """Whether the engine can take the rows from where they lie: contiguous, all there, whole groups."""
        return (
            strides(self.kernel, self.rows, self.along) == 1
            and self.extents[self.along] % self.depth == 0
            and self.rows.fill is None
        )

    def choices(self, keep: int) -> list[Choice]:
        """As for other nests, what is copied being counted too; none where tiles to copy are too large."""
        return [choice for choice in super().choices(keep) if isfinite(choice.estimate.cycles)]

    def _compute(self, loops: Sequence[Loop], tile: dict[str, int], width: int) -> float:
        return super()._compute(loops, tile, width) + self._copying(loops)

    def _copying(self, loops: Sequence[Loop]) -> float:
        """Cycles in which rows are copied; no schedule copies more than `_TILE` at once."""
        if not self.copies:
            return 0.0
        outer = tuple(loop for loop in loops if loop.kind == PARALLEL_LOOP)
        if outer not in self._copies:
            env = {loop.dim: Range(dim(loop.dim), loop.step) for loop in outer}
            box = infer(self.kernel, env).buffer(self.kernel, self.rows.buffer)
            elements = prod(range_.size for range_ in box)
            turns = prod(ceil(self.extents[loop.dim] / loop.step) for loop in outer)
            self._copies[outer] = _COPY * elements * turns if elements <= _TILE else inf
        return self._copies[outer]

    def _orders(
        self, others: list[str], rows: list[str], vectors: list[str], tile: dict[str, int], width: int
    ) -> Iterator[list[Loop]]:
        """A strip of rows or some of the columns outermost, so that what is copied under it serves many blocks."""
        if not self.copies:
            yield from super()._orders(others, rows, vectors, tile, width)
            return
        lanes = self.engine.lanes
        assert self.contraction is not None
        batch = [Loop(d, 1, PARALLEL_LOOP) for d in others if d in self.contraction.batch]
        rest = [Loop(d, tile.get(d, 1)) for d in others if d not in self.contraction.batch]
        columns = [Loop(d, width * lanes, unit=lanes) for d in vectors]
        for first in rest[:1]:
            for strip in self._strip_sizes(first.dim, first.step) or [self.extents[first.dim]]:
                yield [*batch, Loop(first.dim, strip, PARALLEL_LOOP), *columns, *rest]
        for part in sorted(
            {ceil(self.extents[d] / n / (width * lanes)) for d in vectors for n in (1, 2, 4, CHUNKS)}
        ):
            yield [
                *batch,
                *(Loop(d, part * width * lanes, PARALLEL_LOOP, lanes) for d in vectors),
                *columns,
                *rest,
            ]

    def _gathered(self, loops: Sequence[Loop]) -> list[Hold]:
        """None: rows that lie far apart are copied anyway."""
        return [] if self.copies else super()._gathered(loops)

    def _overlap(self, row: str) -> bool:
        """False: neighbours are loaded together, a group at a time, and the next rows' groups anew."""
        return False

    def _uneven(self, loops: Sequence[Loop]) -> float:
        """How evenly two cores share: what is copied once for all columns is one chunk."""
        return uneven(loops, self.extents)

    def _parallel(self, order: Sequence[Loop]) -> list[Loop]:
        """All of the order: even a loop of one turn says under what the rows are copied."""
        return list(order) if self.copies else super()._parallel(order)

    def _schedule(self, loops: list[Loop], tile: dict[str, int], width: int) -> Schedule:
        schedule = super()._schedule(loops, tile, width)
        if not self.copies:
            return schedule
        depth = sum(loop.kind == PARALLEL_LOOP for loop in loops)
        copy = Hold(self.rows.buffer, self.near, depth, layout=self._copied())
        return replace(schedule, holds=(*schedule.holds, copy))

    def _copied(self) -> tuple[int, ...]:
        """The axes of the copied rows, the one of the grouped dim last."""
        axes = range(len(self.rows.index))
        return tuple(sorted(axes, key=lambda n: self.along in getattr(self.rows.index[n], "dims", ())))

    def _place(self, stage: Stage, depth: int, tile: dict[str, int], width: int) -> Place:
        place = super()._place(stage, depth, tile, width)
        if stage is not self.root:
            return place
        return replace(place, bind=(*place.bind, ("k", (self.along,))))

    def _ribs(self, stage: Stage, block: int) -> tuple[Loop, ...]:
        """Reduce loops, the grouped one innermost: two groups a turn, or what an array takes at once."""
        depth = self.depth
        dims = sorted((d.name for d in stage.kind(REDUCE)), key=lambda name: name == self.along)
        turn = Loop(self.along, depth if self.engine.rows > 1 else 2 * depth, unit=depth)
        return tuple(turn if d == self.along else Loop(d, 1) for d in dims)

    def _panel(self, width: int) -> int | None:
        """None: what shifted rows add to the sums stands at the end of a block's only panel."""
        return None

    def _layout(self, access: Access) -> tuple[int, ...]:
        """As for other constants, the grouped dim right before the columns."""
        axis = next(n for n, part in enumerate(access.index) if self.along in getattr(part, "dims", ()))
        *rest, columns = super()._layout(access)
        return (*(n for n in rest if n != axis), axis, columns)


class Arrayed(Grouped):
    """As before, for an engine with an array: it takes up to `pixels` rows by `cols` columns of sums, two by two."""

    def _widths(self) -> list[int]:
        assert self.vector is not None
        return sorted({min(2, ceil(self.extents[self.vector] / self.engine.lanes)), 1})

    def _orders(
        self, others: list[str], rows: list[str], vectors: list[str], tile: dict[str, int], width: int
    ) -> Iterator[list[Loop]]:
        """Columns innermost where all of them stay near: what lies beside each other is written together, and rows that
        are read once need no more of a cache than columns that are."""
        for order in super()._orders(others, rows, vectors, tile, width):
            yield sorted(order, key=lambda loop: loop.dim in vectors) if self._columns_stay else order

    @cached_property
    def _columns_stay(self) -> bool:
        """Whether all columns of a product without a window have room beside what passes by."""
        assert self.contraction is not None
        buffer = self.kernel.buffer(self.contraction.columns_operand.buffer)
        room = self.target.memories[self.panels]
        small = 2 * prod(buffer.static_shape) * buffer.dtype.bytes <= room.bytes * room.usable
        return small and len(self.root.kind(REDUCE)) == 1

    def _row_tiles(self, rows: list[str], width: int) -> list[dict[str, int]]:
        """One or two arrays of rows: of one dim, or of two neighbours of an outer one."""
        if not rows:
            return [{}]
        inner, *outer = rows
        extent, most = self.extents[inner], self.engine.pixels
        sizes = {min(extent, size) for size in (most - 2, most, 2 * (most - 2), 2 * most)}
        tiles = [{inner: size} for size in sorted(sizes)]
        if outer and extent <= most and self.extents[outer[0]] > 1:
            tiles.append({inner: extent, outer[0]: 2})
        return tiles

    def _compute(self, loops: Sequence[Loop], tile: dict[str, int], width: int) -> float:
        """Steps of the array, each as long as a whole one; sums are stored, read again and finished as vectors."""
        names = [name for name in self.parallel if name != self.vector]
        cuts = [tile_sizes(self.extents[n], [loop for loop in loops if loop.dim == n]) for n in names]
        arrays = columns = 1.0
        for name, cut in zip(names, cuts, strict=True):
            whole = self.engine.pixels if name in tile else 1
            arrays *= sum(ceil(size / whole) * times for size, times in cut.items())
        if self.vector is not None:
            columns = ceil(self.extents[self.vector] / self.engine.cols)
        turns = prod(
            ceil(d.size / self.depth) if d.name == self.along else d.size for d in self.root.kind(REDUCE)
        )
        sharing = 1 + 0.25 * (2 - min(width, 2)) + 0.25 * (prod(tile.values()) <= self.engine.pixels)
        finish = sum(scalar_cost(stage.body) + 2 for stage in self.kernel.stages[1:])
        rows = prod(self.extents[n] for n in names)
        products = arrays * columns * (turns * self.engine.issue * sharing + self.engine.tile_overhead)
        chunks = prod(ceil(self.extents[p.dim] / p.step) for p in loops if p.kind == PARALLEL_LOOP)
        return products + rows * columns * (2 + finish / 2) + chunks * _SHAPING + self._copying(loops)

    def _place(self, stage: Stage, depth: int, tile: dict[str, int], width: int) -> Place:
        """Sums lie in memory: what follows on them has loops of its own, of a few rows."""
        place = super()._place(stage, depth, tile, width)
        if stage is self.root or not tile:
            return place
        return replace(place, loops=(*(Loop(name, 1) for name in list(tile)[1:]), Loop(next(iter(tile)), 4)))
