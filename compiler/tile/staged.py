"""Tiling for chips whose memories software fills: which tiles lie where, how large, loaded how often.

No chip and no op is named. Candidates are loop orders times depths of holds; all tile sizes of one such pair are costed
at once, as numpy arrays. Engines and home's transfers work side by side, so the slowest of them counts, plus what can't
overlap; what an engine takes for a box stands in `work.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from itertools import product as cartesian
from math import ceil, lcm, prod
from typing import Any

import numpy as np

from ..diagnostics import UnsupportedError
from ..target.description import Engine, Target
from .infer import Range, infer
from .products import Product, product
from .schedule import Hold, Loop, Place, Schedule
from .stage import (
    CONSTANT,
    LOCAL,
    OUTPUT,
    PARALLEL,
    REDUCE,
    SCAN,
    Affine,
    Buffer,
    Kernel,
    Load,
    Lookup,
    Stage,
    dim,
)
from .work import array_cycles, lane_dim, line, sum_run, vector_cycles

PARTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 56, 64, 96, 112, 128, 256, 512)
"""Into how many parts a dim may be cut."""

INSTRUCTION = 8
"""Cycles that an instruction costs beside its work: what it waits for its tokens, and a little for its bytes."""

HANDOVER = 40
"""Cycles from the end of a copy to the beginning of its use and back."""

_NARROW = 64  # at most so many candidate sizes of one dim


@dataclass(frozen=True)
class Overlap:
    """Predicted cycles: each engine's and home's own, which overlap, and what comes before and after them."""

    parts: Mapping[str, float]
    prologue: float

    @property
    def cycles(self) -> float:
        parts = list(self.parts.values())
        return max(parts) + 0.02 * (sum(parts) - max(parts)) + self.prologue


@dataclass(frozen=True)
class StagedChoice:
    """A schedule and what it is predicted to cost."""

    schedule: Schedule
    estimate: Overlap


@dataclass(frozen=True)
class _Sizes:
    """Under some loops: the size of each buffer's box axis by axis, of each stage's by dim, and the loops that move a
    buffer's box."""

    buffers: Mapping[str, Sequence[Any]]
    stages: Mapping[str, Mapping[str, Any]]
    moving: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class _Dim:
    """A dim of the spine: its candidate tile sizes, and the multiple at which tiles are cut."""

    name: str
    sizes: tuple[int, ...]
    unit: int = 1


def stage_tiles(kernel: Kernel, target: Target, keep: int = 1) -> list[StagedChoice]:
    """The `keep` cheapest schedules, best first; UnsupportedError where nothing fits the target's memories."""
    return Staging(kernel, target).choices(keep)


class Staging:
    """One kernel on one target."""

    def __init__(self, kernel: Kernel, target: Target):
        self.kernel = kernel
        self.target = target
        self.extents = {name: d.size for name, d in kernel.dims.items()}
        self.vector = target.engine("elementwise")
        arrays = [engine for engine in target.engines.values() if engine.does == "contract"]
        self.array = arrays[0] if arrays else None
        self.products: dict[str, Product] = {}
        for stage in kernel.stages:
            found = product(kernel, stage, self.array.types) if self.array is not None else None
            if found is not None:
                self.products[stage.name] = found
        if any(d.kind == SCAN for stage in kernel.stages for d in stage.dims):
            raise UnsupportedError(f"kernel {kernel.name} has a sequential dim")
        for stage in kernel.stages:
            plain = [a.buffer for a in stage.reads if not any(isinstance(part, Lookup) for part in a.index)]
            both = [name for name in plain if self._fetched(stage) is None and self.is_gathered(name)]
            if both:
                raise UnsupportedError(f"'{both[0]}' is read in tiles and by looked-up rows in one kernel")
        self._inferred: dict[object, _Sizes] = {}
        self._tiles: dict[object, tuple[np.ndarray, np.ndarray]] = {}
        self._steps: dict[str, np.ndarray] = {}
        self._dims: list[_Dim] | None = None
        self._count = 0

    # --- what lies where ---------------------------------------------------------------------------------------

    @cached_property
    def memory(self) -> dict[str, str]:
        """The memory in which each buffer is held."""
        near = self.vector.writes[0]
        found = {buffer.name: near for buffer in self.kernel.buffers}
        for stage in self.kernel.stages:
            each = self.products.get(stage.name)
            if each is not None:
                assert self.array is not None
                found[each.rows.buffer] = self.array.a
                found[each.columns.buffer] = self.array.b
                found[stage.write.buffer] = self.array.accumulators
        return found

    @cached_property
    def common(self) -> list[str]:
        """Dims that all stages have as parallel ones, as the last stage's result has them, outermost first."""
        shared = [frozenset(d.name for d in s.kind(PARALLEL)) for s in self.kernel.stages]
        common = frozenset.intersection(*shared)
        final = self.kernel.stages[-1]
        order = [d for part in final.write.index for d in getattr(part, "dims", ())]
        order += [d.name for d in final.dims]
        return [name for name in dict.fromkeys(order) if name in common]

    @cached_property
    def loader(self) -> Engine:
        """The engine that copies from home to where the vector engine works."""
        return next(
            engine
            for engine in self.target.engines.values()
            if engine.does == "load" and self.vector.writes[0] in engine.writes
        )

    # --- candidates --------------------------------------------------------------------------------------------

    def choices(self, keep: int) -> list[StagedChoice]:
        """The best of all orders, depths and sizes."""
        found: list[tuple[float, int, StagedChoice]] = []
        for order, dims in self._spines():
            found += self._ranked(order, dims, keep, len(found))
        if not found:
            raise UnsupportedError(
                f"no tiles of kernel {self.kernel.name} fit the memories of {self.target.name}"
            )
        found.sort(key=lambda entry: entry[:2])
        return [choice for _, _, choice in found[:keep]]

    def _spines(self) -> Iterator[tuple[tuple[str, ...], list[_Dim]]]:
        """Loop orders with candidate sizes for each loop."""
        root = self.kernel.stages[0]
        if self.is_chain:
            yield from self._chain_spines()
            return
        if root.name in self.products:
            yield from self._product_spines(root)
            return
        names = self.common
        for position in range(len(names)):  # outer dims one by one, one dim in parts, inner dims whole
            outer = [_Dim(name, (1,)) for name in names[:position]]
            sizes = _parts(self.extents[names[position]], 1)
            if position < len(names) - 1 and position:
                sizes = sizes[:-1] or sizes
            dims = [*outer, _Dim(names[position], sizes)]
            yield tuple(each.name for each in dims), dims
        if not names:
            yield (), []

    @cached_property
    def is_chain(self) -> bool:
        """Whether products and other stages of different domains follow one another."""
        root = self.kernel.stages[0]
        if not self.products:
            return False
        dims = {d.name for d in root.kind(PARALLEL)}
        alike = all({d.name for d in stage.kind(PARALLEL)} == dims for stage in self.kernel.stages)
        return not alike or set(self.products) != {root.name}

    def _chain_spines(self) -> Iterator[tuple[tuple[str, ...], list[_Dim]]]:
        """Rows of the final result in stripes; the sum of the last product whole or in pieces, where it comes last."""
        assert self.array is not None
        final = self.kernel.stages[-1]
        names = [
            part.single for part in final.write.index if isinstance(part, Affine) and part.single is not None
        ]
        last = list(self.products.values())[-1]
        *rows, lane = names
        single = [_Dim(name, (1,)) for name in rows[:-2] if self.extents[name] > 1]
        dims = [_Dim(name, _parts(self.extents[name], 1)) for name in rows[-2:]]
        if len(dims) == 2:
            dims[1] = _Dim(rows[-1], _parts(self.extents[rows[-1]], 1)[:3])
        unit = lcm(self.array.rows, self.array.cols)
        if last.lane == lane:
            k = max(last.k, key=lambda each: self.extents[each])
            cut = [_Dim(k, _parts(self.extents[k], unit)[:8], unit)]
        else:
            cut = [_Dim(lane, _parts(self.extents[lane], self.array.cols), self.array.cols)]
        for chosen in (dims, [*dims, *cut], [*cut, *dims]):
            order = [*single, *chosen]
            yield tuple(each.name for each in order), order

    def _product_spines(self, root: Stage) -> Iterator[tuple[tuple[str, ...], list[_Dim]]]:
        assert self.array is not None
        found = self.products[root.name]
        n = found.lane
        rows = found.m[-2:]
        forced = [name for name in self.common if name not in rows and name != n]
        single = [_Dim(name, (1,)) for name in forced if self.extents[name] > 1]
        dims = [_Dim(name, _parts(self.extents[name], 1)) for name in rows]
        if len(dims) == 2:  # the inner of two row dims is cut only where the outer one is cut to single rows
            dims[1] = _Dim(rows[1], _parts(self.extents[rows[1]], 1)[:4])
        dims.append(_Dim(n, _parts(self.extents[n], self.array.cols), self.array.cols))
        for split in ([], self._split(found)):
            for chosen in permutations(dims):
                order = [*single, *chosen, *split]
                yield tuple(each.name for each in order), order
            if not self._split(found):
                return

    def _split(self, found: Product) -> list[_Dim]:
        """The dim of the sum that may be cut: the longest one."""
        assert self.array is not None
        name = max(found.k, key=lambda each: self.extents[each])
        last = found.rows.index[-1]
        unit = self.array.rows if isinstance(last, Affine) and name in last.dims else 1
        sizes = _parts(self.extents[name], unit)[1:6]
        return [_Dim(name, sizes, unit)] if sizes else []

    # --- cost --------------------------------------------------------------------------------------------------

    def _ranked(
        self, order: tuple[str, ...], dims: list[_Dim], keep: int, before: int
    ) -> list[tuple[float, int, StagedChoice]]:
        """The cheapest schedules of one loop order, with their cost and a number that settles ties."""
        count = self._grid(dims)
        turns = [np.ones(count)]
        for name in order:
            turns.append(turns[-1] * np.ceil(self.extents[name] / self._steps[name]))
        fixed, options = self._depths(order)
        engines = self._engine_cycles(order, turns)
        out: list[tuple[float, int, StagedChoice]] = []
        for depths in options:
            holds = {**fixed, **depths}
            parts, room, prologue, turnaround = self._transfers(order, turns, holds, engines)
            parts = {**engines, **parts, "turns": turnaround}
            fits = np.ones(count, bool)
            for name, need in room.items():
                fits &= need <= self.target.memories[name].bytes
            if not fits.any():
                continue
            stacked = np.array(list(parts.values()))
            top = stacked.max(0)
            total = np.where(fits, top + 0.02 * (stacked.sum(0) - top) + prologue, np.inf)
            for place in np.argsort(total, kind="stable")[:keep]:
                if not np.isfinite(total[place]):
                    break
                sizes = {each.name: int(self._steps[each.name][place]) for each in dims}
                slots = {name: int(self._slots(name, turns[depth][place])) for name, depth in holds.items()}
                estimate = Overlap(
                    {name: float(cycles[place]) for name, cycles in parts.items()}, float(prologue[place])
                )
                choice = StagedChoice(self._schedule(order, dims, sizes, holds, slots), estimate)
                out.append((float(total[place]), before + len(out), choice))
        out.sort(key=lambda entry: entry[:2])
        return out[:keep]

    def _grid(self, dims: Sequence[_Dim]) -> int:
        """Sets `_steps` to all combinations of the dims' sizes; orders of the same dims have the same ones."""
        ordered = sorted(dims, key=lambda each: each.name)
        if ordered != self._dims:
            grid = list(cartesian(*(each.sizes for each in ordered)))
            steps = np.array(grid, np.int64).reshape(len(grid), len(ordered)).T
            self._steps = {each.name: steps[n] for n, each in enumerate(ordered)}
            self._dims, self._count = ordered, len(grid)
            self._inferred.clear()
            self._tiles.clear()
        return self._count

    def _reduced(self, order: Sequence[str]) -> int:
        """The depth of the first loop that cuts a sum: what reads the sum stands there."""
        reduce = {d.name for stage in self.kernel.stages for d in stage.kind(REDUCE)}
        shared = set(self.common)
        return next((n for n, name in enumerate(order) if name in reduce and name not in shared), len(order))

    def _depths(self, order: tuple[str, ...]) -> tuple[dict[str, int], list[dict[str, int]]]:
        """Holds of one depth only, and the alternatives for those of several: just inside a loop that moves them."""
        inner = self._reduced(order)
        fixed: dict[str, int] = {}
        several: dict[str, list[int]] = {}
        for buffer in self.kernel.buffers:
            if buffer.role in (LOCAL, OUTPUT):
                users = (*self.kernel.writers(buffer.name), *self.kernel.readers(buffer.name))
                fixed[buffer.name] = min(self._place_depth(stage, order) for stage in users)
                if any(stage.name in self._cut(order) for stage in self.kernel.writers(buffer.name)):
                    fixed[buffer.name] = inner
                continue
            readers = self.kernel.readers(buffer.name)
            if not readers or self.is_gathered(buffer.name):
                continue
            limit = max(self._place_depth(stage, order) for stage in readers)
            moving = self.sizes(frozenset(order)).moving[buffer.name]
            depths = [0, *(n + 1 for n, name in enumerate(order[:limit]) if name in moving)]
            if self.is_packed(buffer.name) and any(name in self._summed for name in moving):
                depths = depths[-1:]  # a packed tile is read whole: it is of one piece of the sum
            elif prod(buffer.static_shape) * buffer.dtype.bytes <= self._room(buffer.name) // 32:
                depths = depths[:1]  # small enough to stay
            several[buffer.name] = depths
        names = list(several)
        return fixed, [dict(zip(names, choice)) for choice in cartesian(*several.values())]

    def _room(self, name: str) -> int:
        """Bytes of the memory in which a buffer is held."""
        return self.target.memories[self.memory[name]].bytes

    def is_packed(self, name: str) -> bool:
        """Whether a buffer holds the columns of a product."""
        return any(found.columns.buffer == name for found in self.products.values())

    def is_gathered(self, name: str) -> bool:
        """Whether rows of a buffer are looked up: it stays at home, and what is looked up is fetched."""
        return any(self._fetched(stage) == name for stage in self.kernel.stages)

    @staticmethod
    def _fetched(stage: Stage) -> str | None:
        """The buffer at home that a stage copies looked-up rows of."""
        load = stage.body
        if isinstance(load, Load) and any(isinstance(part, Lookup) for part in load.access.index):
            return load.access.buffer
        return None

    def _place_depth(self, stage: Stage, order: Sequence[str]) -> int:
        """What depends on a sum that is cut stands outside of the loops that cut it, all else inside all loops."""
        return self._reduced(order) if stage.name in self._after(order) else len(order)

    def _cut(self, order: Sequence[str]) -> frozenset[str]:
        """Stages whose sums are cut by a loop."""
        loops = set(order) - set(self.common)
        return frozenset(s.name for s in self.kernel.stages if any(d.name in loops for d in s.kind(REDUCE)))

    def _after(self, order: Sequence[str]) -> frozenset[str]:
        """Stages that depend on a sum that is cut."""
        found: set[str] = set()
        for stage in self.kernel.stages:
            sources = [w.name for a in stage.reads for w in self.kernel.writers(a.buffer)]
            if any(name in found or name in self._cut(order) for name in sources):
                found.add(stage.name)
        return frozenset(found)

    @cached_property
    def _summed(self) -> frozenset[str]:
        """Dims of the sums of products."""
        return frozenset(name for found in self.products.values() for name in found.k)

    @cached_property
    def lags(self) -> dict[str, int]:
        """Iterations by which each stage runs behind: one for each time that work comes back to the array, so that the
        array goes on with the next tile while the vector engine prepares this one."""
        lags: dict[str, int] = {}
        after: dict[str, bool] = {}
        for stage in self.kernel.stages:
            sources = [w.name for a in stage.reads for w in self.kernel.writers(a.buffer) if w.name in lags]
            lag = max((lags[name] for name in sources), default=0)
            behind = any(after[name] for name in sources)
            lags[stage.name] = lag + (stage.name in self.products and behind)
            after[stage.name] = behind or stage.name in self.products or bool(sources)
        return lags

    def sizes(self, names: frozenset[str]) -> _Sizes:
        """Sizes of all boxes when the given dims are cut to their candidate tiles."""
        if names not in self._inferred:
            env = {name: Range(dim(f"L{name}"), self._steps[name]) for name in names}
            found = infer(self.kernel, env)
            touched = {a.buffer for s in self.kernel.stages for a in (*s.reads, s.write)}
            boxes = {
                b.name: found.buffer(self.kernel, b.name) for b in self.kernel.buffers if b.name in touched
            }
            stages = {
                stage.name: {
                    d.name: np.minimum(found.stages[stage.name][d.name].size, d.size) for d in stage.dims
                }
                for stage in self.kernel.stages
            }
            moving = {
                name: frozenset(variable[1:] for r in box for variable in r.low.dims)
                for name, box in boxes.items()
            }
            sizes = {name: [r.size for r in box] for name, box in boxes.items()}
            self._inferred[names] = _Sizes(sizes, stages, moving)
        return self._inferred[names]

    def _slots(self, name: str, turns: Any) -> Any:
        """Two places for what one engine fills while another uses the last one, more where its readers lag behind, one
        for what stays."""
        readers, writers = self.kernel.readers(name), self.kernel.writers(name)
        first = min((self.lags[stage.name] for stage in writers), default=0)
        behind = max((self.lags[stage.name] for stage in (*readers, *writers)), default=0) - first
        if writers:
            slots = max(1 + behind, 2 if name in self.shared else 1)
        else:
            slots = 2 + behind
        return np.where(turns > 1, slots, 1) if slots > 1 else 1

    @cached_property
    def shared(self) -> frozenset[str]:
        """Buffers that two engines use: all but locals of the vector engine."""
        private = {
            buffer.name
            for buffer in self.kernel.role(LOCAL)
            if not any(
                stage.name in self.products or self._fetched(stage) is not None
                for stage in (*self.kernel.writers(buffer.name), *self.kernel.readers(buffer.name))
            )
        }
        return frozenset(buffer.name for buffer in self.kernel.buffers) - private

    def _tile(self, buffer: Buffer, loops: tuple[str, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
        """Bytes of the tile of a buffer under some loops, and cycles to move it from or to home once."""
        key = (buffer.name, frozenset(loops))
        if key not in self._tiles:
            sizes = self.sizes(key[1]).buffers[buffer.name]
            bytes_ = self._tile_bytes(buffer, sizes, count)
            moved = np.zeros(count) if buffer.role == LOCAL else self._moved(buffer, sizes, bytes_, count)
            self._tiles[key] = np.ceil(bytes_ / 64) * 64, moved
        return self._tiles[key]

    def _transfers(
        self,
        order: tuple[str, ...],
        turns: Sequence[np.ndarray],
        holds: Mapping[str, int],
        engines: Mapping[str, np.ndarray],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Cycles of home's transfers and of each engine that does them; bytes needed of each memory; the prologue; and
        what tiles in two places allow: one is filled only when it has been used, so two turns take a copy and its use.
        """
        home = self.target.home
        count = len(turns[0])
        room = {self.memory[name]: np.zeros(count) for name in holds}
        queues: dict[str, np.ndarray] = {}
        total, turnaround = np.zeros(count), np.zeros(count)
        prologue = np.full(count, float(home.latency))
        for name, depth in holds.items():
            buffer = self.kernel.buffer(name)
            bytes_, once = self._tile(buffer, order[:depth], count)
            room[self.memory[name]] += bytes_ * self._slots(name, turns[depth])
            if buffer.role == LOCAL:
                continue
            cycles = turns[depth] * once
            total += cycles
            queue = self._queue(buffer, self.memory[name])
            queues[queue] = queues.get(queue, 0) + cycles + turns[depth] * INSTRUCTION
            both = (cycles + turns[depth] * (home.latency + HANDOVER) + engines[self._user(buffer)]) / 2
            turnaround = np.maximum(turnaround, np.where(turns[depth] > 1, both, 0))
            prologue += 0.5 * once
        return {home.name: total, **queues}, room, prologue, turnaround

    def _user(self, buffer: Buffer) -> str:
        """The engine that reads a loaded tile, or writes one that is stored."""
        stages = (
            self.kernel.writers(buffer.name) if buffer.role == OUTPUT else self.kernel.readers(buffer.name)
        )
        array = self.array is not None and any(stage.name in self.products for stage in stages)
        return self.array.name if array and self.array is not None else self.vector.name

    def _queue(self, buffer: Buffer, memory: str) -> str:
        does = "store" if buffer.role == OUTPUT else "load"
        for engine in self.target.engines.values():
            if engine.does == does and memory in (*engine.reads, *engine.writes):
                return engine.name
        raise UnsupportedError(f"{self.target.name} has no engine that {does}s {memory}")

    def _tile_bytes(self, buffer: Buffer, sizes: Sequence[Any], count: int) -> np.ndarray:
        """Bytes of a tile; columns of a product are packed: sums and columns are filled up to whole array tiles."""
        elements = np.ones(count)
        for found in self.products.values():
            if found.columns.buffer != buffer.name:
                continue
            assert self.array is not None
            by_dim = [(getattr(part, "single", None), size) for part, size in zip(found.columns.index, sizes)]
            run = sum_run(found, {d for d in found.k if d in self._steps})
            inner: Any = 1
            for name, size in by_dim:
                if name in run:
                    inner = inner * size
                elif name == found.lane:
                    elements = elements * np.ceil(size / self.array.cols) * self.array.cols
                else:
                    elements = elements * size
            return elements * np.ceil(inner / self.array.rows) * self.array.rows * buffer.dtype.bytes
        for size in sizes:
            elements = elements * size
        return elements * buffer.dtype.bytes

    def _moved(self, buffer: Buffer, sizes: Sequence[Any], bytes_: np.ndarray, count: int) -> np.ndarray:
        """Cycles to move a tile from or to home once: whole bursts of each contiguous run, pages that are opened."""
        home = self.target.home
        page = home.page * home.channels  # a page of every channel
        apart, span = (
            np.ones(count),
            np.zeros(count),
        )  # groups of runs in pages of their own, bytes that a group spans
        if buffer.role == CONSTANT:
            run = bytes_
        else:
            run, whole = np.full(count, float(buffer.dtype.bytes)), np.ones(count, bool)
            stride = buffer.dtype.bytes
            for size, extent in zip(reversed(sizes), reversed(buffer.static_shape)):
                size = np.minimum(size, extent)
                near = whole | (stride <= page)
                span = span + np.where(near & ~whole, (size - 1) * stride, 0)
                apart = apart * np.where(near, 1, size)
                run = run * np.where(whole, size, 1)
                whole = whole & (np.asarray(size) == extent)
                stride *= extent
        run = np.maximum(run, 1)
        runs = np.maximum(bytes_ / run, 1)
        bursts = runs * (run / home.burst + 0.75)
        pages = apart * ((span + run) / page + 1)
        busy = bursts * home.burst / home.bandwidth * self.target.cores + pages * home.page_miss
        refresh = 1 + (home.refresh_for / home.refresh_every if home.refresh_every else 0)
        return busy * refresh

    def _engine_cycles(self, order: tuple[str, ...], turns: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Cycles over the whole kernel of the engines that work on tiles."""
        out: dict[str, np.ndarray] = {}
        for stage in self.kernel.stages:
            depth = self._place_depth(stage, order)
            sizes = self.sizes(frozenset(order[:depth])).stages[stage.name]
            engine, cycles = self._work(stage, sizes, len(turns[0]))
            cycles = cycles + self._edges(stage, order[:depth])
            once = cycles + self.target.control.issue_cycles + INSTRUCTION
            out[engine.name] = out.get(engine.name, 0) + turns[depth] * once
        return out

    def _work(self, stage: Stage, sizes: Mapping[str, Any], count: int) -> tuple[Engine, Any]:
        """The engine of a stage, and its cycles for a box."""
        if stage.name in self.products:
            assert self.array is not None
            return self.array, self._array_cycles(self.products[stage.name], sizes)
        if self._fetched(stage) is None:
            lane = lane_dim(self.kernel, stage, self.vector)
            return self.vector, vector_cycles(self.kernel, stage, self.vector, sizes, lane)
        buffer = self.kernel.buffer(stage.write.buffer)
        rows = [sizes[name] for part in stage.write.index for name in getattr(part, "dims", ())]
        bytes_ = np.full(count, float(buffer.dtype.bytes))
        for size in rows:
            bytes_ = bytes_ * size
        return self.loader, self._moved(buffer, rows, bytes_, count)

    def _edges(self, stage: Stage, loops: Sequence[str]) -> Any:
        """Cycles in which what is read past the edges of a local is filled in."""
        fills = any(
            a.buffer == stage.write.buffer and a.fill is not None for s in self.kernel.stages for a in s.reads
        )
        buffer = self.kernel.buffer(stage.write.buffer)
        if not fills or buffer.role != LOCAL:
            return 0
        box = self.sizes(frozenset(loops)).buffers[buffer.name]
        inside: Any = 1
        total: Any = 1
        for size, extent in zip(box, buffer.static_shape):
            inside, total = inside * np.minimum(size, extent), total * size
        return np.ceil((total - inside) / self.vector.lanes) + 4 * INSTRUCTION

    def _array_cycles(self, found: Product, sizes: Mapping[str, Any]) -> Any:
        assert self.array is not None
        n_dim = found.lane
        extra: Any = 1
        m: Any = 1
        for name in found.m:
            m = m * sizes[name]
        n: Any = sizes[n_dim]
        k = sum_run(found, {d for d in found.k if d in self._steps})
        inner: Any = 1
        outer: Any = 1
        for name in found.k:
            if name in k:
                inner = inner * sizes[name]
            else:
                outer = outer * sizes[name]
        for name in (*found.batch, *found.n):
            if name != n_dim:
                extra = extra * sizes[name]
        tiles = np.ceil(inner / self.array.rows) * outer
        rows = line(found, sizes)
        return extra * array_cycles(self.array, found, rows, m / rows, n, inner * outer, tiles)

    # --- schedule ----------------------------------------------------------------------------------------------

    def _schedule(
        self,
        order: tuple[str, ...],
        dims: Sequence[_Dim],
        sizes: Mapping[str, int],
        holds: Mapping[str, int],
        slots: Mapping[str, int],
    ) -> Schedule:
        units = {each.name: each.unit for each in dims}
        loops = tuple(
            Loop(name, ceil(sizes[name] / units[name]) * units[name], unit=units[name]) for name in order
        )
        touched = {a.buffer for s in self.kernel.stages for a in (*s.reads, s.write)}
        held = tuple(
            Hold(name, self.memory[name], depth, slots[name])
            for name, depth in sorted(holds.items(), key=lambda entry: entry[1])
            if name in touched
        )
        places = []
        for stage in self.kernel.stages:
            engine = self.array if stage.name in self.products else self.vector
            engine = self.loader if self._fetched(stage) is not None else engine
            assert engine is not None
            depth = self._place_depth(stage, order)
            places.append(Place(stage.name, depth, engine.name, lag=self.lags[stage.name]))
        return Schedule(loops, held, tuple(places))


def _parts(extent: int, unit: int) -> tuple[int, ...]:
    """Tile sizes that cut an extent in nearly equal parts at multiples of `unit`, largest first."""
    units = ceil(extent / unit)
    sizes = {ceil(units / parts) * unit for parts in (*PARTS, units) if parts <= units}
    return tuple(sorted({min(size, extent) for size in sizes}, reverse=True))[:_NARROW]
