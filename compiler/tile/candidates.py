"""What candidate tiles of a kernel take: bytes, cycles of engines and of copies, as arrays over all candidates at once.

Nothing is said here of which tiles are tried, or which are best; what an engine takes for a box stands in `work.py`.
"""

from collections.abc import Mapping, Sequence
from itertools import product as cartesian
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..target.description import Engine, Target
from .infer import Range, infer
from .placing import Placing
from .spines import Cut
from .stage import CONSTANT, LOCAL, Buffer, Kernel, Stage, dim
from .work import lane_dim, product_cycles, sum_run, vector_cost, vector_count

INSTRUCTION = 8
"""Cycles that an instruction costs beside its work: what it waits for its tokens, and a little for its bytes."""


@dataclass(frozen=True)
class Sizes:
    """Under some loops: the size of each buffer's box axis by axis, of each stage's by dim, and the loops that move a
    buffer's box."""

    buffers: Mapping[str, Sequence[Any]]
    stages: Mapping[str, Mapping[str, Any]]
    moving: Mapping[str, frozenset[str]]


class Candidates(Placing):
    """A kernel's tiles of all sizes that one set of loops may have: `steps` are these by dim, `count` how many.

    Bytes and cycles are arrays over candidates; cycles of copies have a row for each of `bandwidths`, multiples of
    what it has.
    """

    def __init__(self, kernel: Kernel, target: Target, bandwidths: Sequence[float], spare: int):
        super().__init__(kernel, target, spare)
        self.bandwidth = target.home.bandwidth * np.array([[each] for each in bandwidths])
        self.steps: dict[str, np.ndarray] = {}
        self.count = 0
        self._dims: list[Cut] | None = None
        self._vectors: dict[str, tuple[str | None, float]] = {}
        self._inferred: dict[object, Sizes] = {}
        self._tiles: dict[object, tuple[np.ndarray, np.ndarray]] = {}

    def grid(self, dims: Sequence[Cut]) -> None:
        """Set `steps` to all combinations of the dims' sizes; orders of the same dims have the same ones."""
        ordered = sorted(dims, key=lambda each: each.name)
        if ordered != self._dims:
            grid = list(cartesian(*(each.sizes for each in ordered)))
            steps = np.array(grid, np.int64).reshape(len(grid), len(ordered)).T
            self.steps = {each.name: steps[n] for n, each in enumerate(ordered)}
            self.forget()
            self._dims, self.count = ordered, len(grid)

    def forget(self) -> None:
        """Drop what is known of the tiles of the present loops."""
        self._dims = None
        self._inferred.clear()
        self._tiles.clear()

    def sizes(self, names: frozenset[str]) -> Sizes:
        """Sizes of all boxes when the given dims are cut to their candidate tiles."""
        if names not in self._inferred:
            env = {name: Range(dim(f"L{name}"), self.steps[name]) for name in names}
            found = infer(self.kernel, env)
            boxes = found.buffers(self.kernel, [b.name for b in self.kernel.buffers])
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
            self._inferred[names] = Sizes(sizes, stages, moving)
        return self._inferred[names]

    def tile(self, buffer: Buffer, loops: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Bytes of the tile of a buffer under some loops, and cycles to move it from or to home once."""
        key = (buffer.name, frozenset(loops))
        if key not in self._tiles:
            sizes = self.sizes(key[1]).buffers[buffer.name]
            bytes_ = self._tile_bytes(buffer, sizes)
            stored = self._tile_bytes(buffer, sizes, filled=buffer.role != CONSTANT)
            moved = np.zeros(self.count) if buffer.role == LOCAL else self._moved(buffer, sizes, stored)
            self._tiles[key] = np.ceil(bytes_ / 64) * 64, moved
        return self._tiles[key]

    def _tile_bytes(self, buffer: Buffer, sizes: Sequence[Any], filled: bool = True) -> np.ndarray:
        """Bytes of a tile; columns of a product are packed: columns, and sums where they are `filled`, take whole array
        tiles."""
        elements = np.ones(self.count)
        for found in self.products.values():
            if found.columns.buffer != buffer.name:
                continue
            assert self.array is not None
            by_dim = [(getattr(part, "single", None), size) for part, size in zip(found.columns.index, sizes)]
            run = sum_run(found, {d for d in found.k if d in self.steps})
            inner: Any = 1
            for name, size in by_dim:
                if name in run:
                    inner = inner * size
                elif name == found.lane:
                    elements = elements * np.ceil(size / self.array.cols) * self.array.cols
                else:
                    elements = elements * size
            depth = np.ceil(inner / self.array.rows) * self.array.rows if filled else inner
            return elements * depth * buffer.dtype.bytes
        for size in sizes:
            elements = elements * size
        return elements * buffer.dtype.bytes

    def are_columns_whole(self, buffer: Buffer, loops: tuple[str, ...]) -> np.ndarray:
        """Whether the tile of a buffer that a kernel itself writes lies as its reader's array wants columns: a row of
        a tile fills a row of the array."""
        sizes = self.sizes(frozenset(loops)).buffers[buffer.name]
        fits = np.ones(self.count, bool)
        for found in self.products.values():
            if found.columns.buffer == buffer.name:
                assert self.array is not None
                lane = [getattr(part, "single", None) for part in found.columns.index].index(found.lane)
                fits &= np.asarray(sizes[lane]) == self.array.cols
        return fits

    def _moved(self, buffer: Buffer, sizes: Sequence[Any], bytes_: np.ndarray) -> np.ndarray:
        """Cycles to move a tile from or to home once: whole bursts of each contiguous run, pages that are opened."""
        home = self.target.home
        page = home.page * home.channels  # a page of every channel
        apart, span = (
            np.ones(self.count),
            np.zeros(self.count),
        )  # groups of runs in pages of their own; bytes of a group
        if buffer.role == CONSTANT:
            run = bytes_
        else:
            run, whole = np.full(self.count, float(buffer.dtype.bytes)), np.ones(self.count, bool)
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
        busy = bursts * home.burst / self.bandwidth * self.target.cores + pages * home.page_miss
        refresh = 1 + (home.refresh_for / home.refresh_every if home.refresh_every else 0)
        return busy * refresh

    def engine_cycles(self, order: tuple[str, ...], turns: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Cycles over the whole kernel of the engines that work on tiles."""
        out: dict[str, np.ndarray] = {}
        for stage in self.kernel.stages:
            depth = self.place_depth(stage, order)
            sizes = self.sizes(frozenset(order[:depth])).stages[stage.name]
            engine, cycles = self._work(stage, sizes)
            cycles = cycles + self._edges(stage, order[:depth])
            once = cycles + self.target.control.issue_cycles + INSTRUCTION
            out[engine.name] = out.get(engine.name, 0) + turns[depth] * once
        return out

    def _work(self, stage: Stage, sizes: Mapping[str, Any]) -> tuple[Engine, Any]:
        """The engine of a stage, and its cycles for a box."""
        if stage.name in self.products:
            assert self.array is not None
            cut = self.steps.keys()
            return self.array, product_cycles(self.array, self.products[stage.name], sizes, cut)
        if self.fetched(stage) is None:
            lane, cost = self._vector_work(stage)
            return self.vector, vector_count(stage, self.vector, sizes, lane) * cost
        buffer = self.kernel.buffer(stage.write.buffer)
        rows = [sizes[name] for part in stage.write.index for name in getattr(part, "dims", ())]
        bytes_ = np.full(self.count, float(buffer.dtype.bytes))
        for size in rows:
            bytes_ = bytes_ * size
        return self.loader, self._moved(buffer, rows, bytes_)

    def _vector_work(self, stage: Stage) -> tuple[str | None, float]:
        """The dim along a stage's vectors, and cycles of a vector."""
        if stage.name not in self._vectors:
            lane = lane_dim(self.kernel, stage, self.vector)
            self._vectors[stage.name] = lane, vector_cost(self.kernel, stage, self.vector, lane)
        return self._vectors[stage.name]

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
