"""Tiling a nest: all stages share their parallel dims, at most the first reduces, all run in one register block.

Contractions with their epilogue, windows and elementwise chains are nests. Candidates are register tiles times loop
orders: columns outermost (a panel of the second operand is streamed once), or strips of rows outermost.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product as cartesian
from math import ceil, prod
from operator import mul

import numpy as np

from ..target.description import Engine, Target
from .access_maps import contraction, is_plain, strides, vector_dim, woven
from .choice import CHUNKS, Choice, parallel_loops
from .cost import Estimate, nest_cycles, total_cycles
from .schedule import PARALLEL_LOOP, Hold, Loop, Place, Schedule, trips
from .stage import CONSTANT, INPUT, LOCAL, PARALLEL, REDUCE, Access, Affine, Kernel, Stage
from .traffic import memory_cycles

LINE = 64
"""Bytes of a cache line: a window takes whole ones at each of its places."""

STREAM = 2
"""Vectors of a panel where one row passes by all columns: blocks of several such panels read as many streams at once,
and memory feeds four faster than one."""

TURNS = 4
"""Turns of a sum that follow one another without a branch."""

FAR = 4096
"""Bytes between neighbours of a sum from which each opens a page of its own: rows are copied side by side then."""

SLOW = 2
"""How much longer a product takes whose rows are read so."""


class Nest:
    def __init__(self, kernel: Kernel, target: Target):
        self.kernel = kernel
        self.target = target
        self.root = kernel.stages[0]
        self.extents = {name: d.size for name, d in kernel.dims.items()}
        final = kernel.stages[-1]
        lanes = target.engine("elementwise").lanes
        self.vector = vector_dim(kernel, self.root if self.root.combine else final, lanes)
        self.contraction = contraction(self.root, self.vector)
        self.engine: Engine = target.engine("contract" if self.contraction else "elementwise")
        order = [d for part in final.write.index for d in getattr(part, "dims", ())]
        names = [d.name for d in self.root.kind(PARALLEL)]
        self._computed: dict[object, float] = {}
        self.panels = target.near.name  # where panels of weights stay while rows pass by
        self.parallel = [n for n in order if n in names] + [n for n in names if n not in order]

    def choices(self, keep: int) -> list[Choice]:
        """The best of all register tiles times loop orders; those of one order are costed together."""
        vectors = [d for d in self.parallel if d == self.vector]
        others = [d for d in self.parallel if d != self.vector]
        rows = self._row_dims(others)
        groups: dict[tuple[str, ...], list[tuple[list[Loop], dict[str, int], int]]] = {}
        for width in self._widths():
            for tile in self._row_tiles(rows, width):
                for order in self._orders(others, rows, vectors, tile, width):
                    loops = self._parallel(order)
                    groups.setdefault(tuple(loop.dim for loop in loops), []).append((loops, tile, width))
        ranked: list[tuple[float, dict[str, float], tuple[list[Loop], dict[str, int], int]]] = []
        for names, group in groups.items():
            holds = self._schedule(*group[0]).holds
            steps = np.array([[loop.step for loop in loops] for loops, _, _ in group]).T.reshape(
                len(names), len(group)
            )
            constants = [h.buffer for h in holds if self.kernel.buffer(h.buffer).role == CONSTANT]
            planes = dict.fromkeys(constants, self.engine.planes)
            memory = memory_cycles(self.kernel, self.target, names, steps, holds, planes=planes)
            parts = np.array([[self._compute(*candidate) for candidate in group], *memory.values()])
            weights = [self._uneven(loops) for loops, _, _ in group]
            keys = (total_cycles(parts) * weights).tolist()
            named = [dict(zip(("", *memory), each)) for each in parts.T.tolist()]
            ranked += zip(keys, named, group, strict=True)
        ranked.sort(key=lambda item: item[0])
        return [
            Choice(self._schedule(*candidate), Estimate(memory.pop(""), memory))
            for _, memory, candidate in ranked[:keep]
        ]

    def _uneven(self, loops: Sequence[Loop]) -> float:
        """What counts in ranking besides cycles: nothing, where loops are cut in enough chunks anyway."""
        return 1.0

    def _parallel(self, order: Sequence[Loop]) -> list[Loop]:
        """The loops of an order that cut something, those marked that run on several cores."""
        return parallel_loops(order, self.extents, light=self.root.combine is None)

    def _compute(self, loops: Sequence[Loop], tile: dict[str, int], width: int) -> float:
        """Compute cycles; strips hardly change them, so one figure serves all orders of a tile."""
        key = (tuple(sorted(tile.items())), width)
        if key not in self._computed:
            inner = {loop.dim: loop for loop in loops}
            place = self._place(self.root, len(loops), tile, width)
            self._computed[key] = nest_cycles(
                self.kernel,
                self.target,
                self.engine,
                place,
                self.contraction is not None,
                list(inner.values()),
            ) + self._refetched(tile, width)
        chunks = 1
        for loop in loops:
            if loop.kind != PARALLEL_LOOP:
                break
            chunks *= -(-self.extents[loop.dim] // loop.step)
        slow = SLOW if self._is_far and not self._gathered(loops) else 1
        return slow * self._computed[key] + chunks * self.engine.tile_overhead

    def _refetched(self, tile: Mapping[str, int], width: int) -> float:
        """Cycles to fetch lines of rows that push one another out of the nearest cache before the next turn."""
        near = self.target.caches[0]
        if self.contraction is None or self.vector is None or not near.alias or self._is_far:
            return 0.0
        access = self.contraction.rows_operand
        size = self.kernel.buffer(access.buffer).dtype.bytes
        steps = [strides(self.kernel, access, name) * size for name in tile]
        lines = (
            sum(map(mul, steps, point)) % near.alias // near.line
            for point in cartesian(*map(range, tile.values()))
        )
        lost = sum(n for n in Counter(lines).values() if n > near.bytes // near.alias)
        blocks = prod(trips(self.extents[name], step) for name, step in tile.items())
        blocks *= trips(self.extents[self.vector], width * self.engine.lanes)
        turns = prod(d.size for d in self.root.kind(REDUCE)) / self.engine.group
        return blocks * turns * lost * near.line / self.target.caches[1].bandwidth

    def _row_dims(self, others: list[str]) -> list[str]:
        """The dims whose neighbours share operand loads, innermost first; at most two."""
        if self.contraction is not None:
            return [d for d in reversed(others) if d in self.contraction.m][:2]
        whole = [d for d in others if d in self._woven]
        if self.vector not in self.parallel:
            return others[:-3:-1]
        if self.root.combine is not None and others:
            return whole or [others[-1]]
        return whole or [d for d in others if self._transposes(d)][:1]

    @cached_property
    def _woven(self) -> set[str | None]:
        """Dims that fill the gaps along the vector dim in what is read or written: a block holds them whole."""
        if self.vector is None or self.contraction is not None:
            return set()
        every = [(s, a) for s in self.kernel.stages for a in (*s.reads, s.write)]
        return {woven(self.kernel, stage, access, self.vector) for stage, access in every} - {None}

    def _transposes(self, dim: str) -> bool:
        """Whether some operand is contiguous along `dim` and not along the vector dim: squares are transposed."""
        assert self.vector is not None
        return any(
            strides(self.kernel, access, dim) == 1 and strides(self.kernel, access, self.vector) > 1
            for stage in self.kernel.stages
            for access in stage.reads
        )

    def _widths(self) -> list[int]:
        """Candidate numbers of vectors in a block."""
        if self.vector is None:
            return [1]
        vectors = -(-self.extents[self.vector] // self.engine.lanes)
        if self.vector not in self.parallel:
            return sorted({1, min(4, vectors)})
        if self.contraction is None:
            line = -(-LINE // (self.engine.lanes * self.kernel.buffer(self.root.write.buffer).dtype.bytes))
            if self.root.combine is not None:
                return sorted({min(w, vectors) for w in (line, 2, 4) if w >= line})
            turned = any(self._transposes(d) for d in self.parallel if d != self.vector)
            return sorted({min(w, vectors) for w in (1 if turned else min(line, 4), 4)})
        return sorted({min(w, vectors) for w in (1, 2, 3, 4, 8)})

    def _row_tiles(self, rows: list[str], width: int) -> list[dict[str, int]]:
        """Candidate row tiles that fit the registers beside `width` vectors a row."""
        if not rows:
            return [{}]
        free = self.engine.registers - 1 - width
        if self.contraction is None and self.vector in self.parallel:
            free = self.engine.registers // 2  # what the window's places share stays in the other half
        inner, *outer = rows
        most = max(1, free // (width + self._overlap(inner)))
        extent = self.extents[inner]
        if inner in self._woven:
            return [{inner: extent}]
        if self.root.combine is None:
            return [{inner: min(extent, self.engine.lanes)}]
        sizes = {min(extent, size) for size in (1, 2, 4, 6, 7, 8, 9, 12, 13, 14, 16, 24, 28) if size <= most}
        sizes.add(min(extent, most))
        tiles = [{inner: size} for size in sorted(sizes)]
        if outer and extent <= most:
            for more in range(2, min(self.extents[outer[0]], most // extent) + 1):
                tiles.append({inner: extent, outer[0]: more})
        return tiles

    def _overlap(self, row: str) -> bool:
        """Whether rows beside each other in a block share factors in turns beside each other, as where a window moves
        along what is contiguous: these stay in registers too, one a row."""
        if self.contraction is None:
            return False
        rows, turn = self.contraction.rows_operand, self.root.kind(REDUCE)[-1]
        step, along = (strides(self.kernel, rows, name) for name in (row, turn.name))
        return along > 0 and step % along == 0 and 0 < step // along < min(turn.size, TURNS)

    def _orders(
        self, others: list[str], rows: list[str], vectors: list[str], tile: dict[str, int], width: int
    ) -> Iterator[list[Loop]]:
        """Candidate spines: columns outermost, or strips of rows outermost with the columns inside."""
        lanes = self.engine.lanes
        block = width * lanes
        unit = self._panel(width) or lanes
        columns = [Loop(d, block, unit=unit) for d in vectors]
        if not others:
            yield [*self._split(self.vector, block, unit), *columns] if vectors else []
            return
        apart = [d for d in others if self.contraction is not None and d not in self.contraction.m]
        squares = (
            self.root.combine is None
        )  # whole squares are transposed, so tiles are cut at multiples of them
        rest = [
            Loop(d, tile.get(d, 1), unit=tile[d] if squares and d in tile else 1)
            for d in others
            if d not in apart
        ]
        outer = [Loop(d, 1) for d in apart]  # another panel of weights at each
        if self.contraction is not None:
            yield [*outer, *columns, *rest]
        elif self.root.combine is not None:
            yield [*outer, *rest, *columns]  # all that lies beside each other while it is near
            return
        if rest:
            first = rest[0]
            strips = self._strip_sizes(first.dim, first.step)
            if self.contraction is None:  # the widest of those that two cores share evenly
                strips = sorted(strips, key=lambda size: (trips(self.extents[first.dim], size) % 2, -size))
            for strip in strips if self.contraction is not None else strips[:1] or [0]:
                around = [*outer, *([Loop(first.dim, strip, unit=first.unit)] if strip else [])]
                # without blocks of rows whole rows pass by: pages are opened one after the other
                yield [*around, *columns, *rest] if tile else [*around, *rest, *columns]

    def _strip_sizes(self, dim: str, tile: int) -> list[int]:
        extent = self.extents[dim]
        parts = {max(1, p) for p in (CHUNKS, 16, 32)}
        sizes = {ceil(ceil(extent / p) / tile) * tile for p in parts}
        return sorted(size for size in sizes if size < extent)

    def _split(self, dim: str | None, block: int, unit: int) -> list[Loop]:
        """A single long dim cut in chunks for the cores."""
        assert dim is not None
        least = block if self.contraction is not None else block * 16
        chunk = max(least, -(-self.extents[dim] // (4 * CHUNKS) // block) * block)
        return [Loop(dim, chunk, unit=unit)] if self.extents[dim] > chunk else []

    def _schedule(self, loops: list[Loop], tile: dict[str, int], width: int) -> Schedule:
        depth = len(loops)
        local = [
            s.write.buffer for s in self.kernel.stages if self.kernel.buffer(s.write.buffer).role == LOCAL
        ]
        holds = [Hold(name, self.engine.accumulators, depth) for name in local]
        holds += [*self._packed(loops, width), *self._gathered(loops)]
        places = tuple(self._place(stage, depth, tile, width) for stage in self.kernel.stages)
        return Schedule(tuple(loops), tuple(holds), places)

    def _place(self, stage: Stage, depth: int, tile: dict[str, int], width: int) -> Place:
        bind = (("n", (self.vector,)),) if self.vector in {d.name for d in stage.dims} else ()
        return Place(
            stage.name, depth, self.engine.name, self._ribs(stage, prod(tile.values()) * width), bind
        )

    def _ribs(self, stage: Stage, block: int) -> tuple[Loop, ...]:
        """Reduce loops: short windows unrolled, the vector dim by vectors, the last dim by a few turns."""
        dims = stage.kind(REDUCE)
        ribs = []
        for position, dim in enumerate(dims):
            extent = self.extents[dim.name]
            if dim.name == self.vector:
                lanes = self.engine.lanes
                ribs.append(Loop(dim.name, min(4, -(-extent // lanes)) * lanes, unit=lanes))
            elif self.contraction is None and extent <= 8 and position == len(dims) - 1:
                ribs.append(Loop(dim.name, extent))
            elif position == len(dims) - 1:
                ribs.append(Loop(dim.name, min(extent, 2 if block > 24 else TURNS)))
            else:
                ribs.append(Loop(dim.name, 1))
        return tuple(ribs)

    def _panel(self, width: int) -> int | None:
        """Columns of a panel of weights that are streamed by a single row, None where panels are as wide as blocks."""
        if self.contraction is None or prod(self.extents[d] for d in self.contraction.m) > 1:
            return None
        return STREAM * self.engine.lanes if width > STREAM and not width % STREAM else None

    def _packed(self, loops: Sequence[Loop], width: int) -> list[Hold]:
        """Constants whose vector dim is not contiguous, and the columns operand of a contraction, are packed."""
        if self.vector is None:
            return []
        holds = []
        for name, access in {a.buffer: a for a in self.root.reads}.items():
            columns = self.contraction is not None and access == self.contraction.columns_operand
            step = strides(self.kernel, access, self.vector)
            if (
                step == 0
                or (step == 1 and not columns)
                or len([a for a in self.root.reads if a.buffer == name]) > 1
            ):
                continue
            whole = all(
                loop.step in (1, self.extents[loop.dim]) or loop.dim == self.vector
                for loop in loops
                if loop.dim in access.dims
            )
            if self.kernel.buffer(name).role == CONSTANT and is_plain(access) and whole:
                depth = 1 + max((n for n, loop in enumerate(loops) if loop.dim in access.dims), default=-1)
                panel = self._panel(width) if columns else None
                slots = 2 if columns and panel is None else 1
                holds.append(Hold(name, self.panels, depth, slots, self._layout(access), panel=panel))
        return holds

    @cached_property
    def _is_far(self) -> bool:
        """Whether many columns are multiplied by rows whose neighbours in the sum lie pages apart."""
        if (
            self.vector is None
            or self.contraction is None
            or self.extents[self.vector] < 8 * self.engine.lanes
        ):
            return False
        access = self.contraction.rows_operand
        inner = self.root.kind(REDUCE)[-1].name
        step = strides(self.kernel, access, inner) * self.kernel.buffer(access.buffer).dtype.bytes
        return step >= FAR and is_plain(access)

    def _gathered(self, loops: Sequence[Loop]) -> list[Hold]:
        """The rows of a strip, copied before columns pass by, what is summed side by side; none where no room is."""
        if not self._is_far:
            return []
        assert self.contraction is not None
        access = self.contraction.rows_operand
        buffer = self.kernel.buffer(access.buffer)
        reads = [a for s in self.kernel.stages for a in s.reads if a.buffer == buffer.name]
        if buffer.role != INPUT or len(reads) > 1:
            return []
        depth = next(n for n, loop in enumerate(loops) if loop.dim == self.vector)
        tile = {name: self.extents[name] for name in access.dims} | {
            loop.dim: loop.step for loop in loops[:depth] if loop.dim in access.dims
        }
        room = self.target.memories[self.panels]
        if 2 * prod(tile.values()) * buffer.dtype.bytes > room.bytes * room.usable:
            return []
        inner = self.root.kind(REDUCE)[-1].name
        axes = sorted(
            range(len(access.index)), key=lambda axis: inner in getattr(access.index[axis], "dims", ())
        )
        return [Hold(buffer.name, self.panels, depth, layout=tuple(axes))]

    def _layout(self, access: Access) -> tuple[int, ...]:
        """Axis order of a packed constant: outer parallel dims, reduce dims in loop order, the vector dim last."""
        assert self.vector is not None
        where = {
            part.dims[0]: axis
            for axis, part in enumerate(access.index)
            if isinstance(part, Affine) and part.terms
        }
        constant = [
            axis for axis, part in enumerate(access.index) if isinstance(part, Affine) and not part.terms
        ]
        order = [*self.parallel, *(d.name for d in self.root.kind(REDUCE))]
        axes = [where[d] for d in order if d in where and d != self.vector]
        return (*constant, *axes, where[self.vector])
