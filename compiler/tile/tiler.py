"""The tiler: a kernel and a target in, the schedule with the least predicted cost out. No chip or op names.

Two shapes of kernel are told apart by access maps alone. A *nest*: all stages share their parallel dims and at most
one of them reduces; the whole nest runs in one register block (contractions with their epilogue, windows, elementwise).
*Rows*: several reductions over shared row dims (softmax, norms, attention); the rows are the spine, every stage has its
own loops below, intermediate tiles live in a near memory. Candidates are ranked by `cost.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from ..diagnostics import UnsupportedError
from ..target.description import Engine, Target
from .cost import Estimate, estimate_rows, memory_cycles, nest_cycles
from .schedule import PARALLEL_LOOP, Hold, Loop, Place, Schedule, trips
from .stage import (
    CONSTANT,
    INPUT,
    LOCAL,
    PARALLEL,
    REDUCE,
    SCAN,
    Access,
    Affine,
    Apply,
    Kernel,
    Load,
    Lookup,
    Stage,
)

_CHUNKS = 8  # tiles that a parallel loop should offer, so that slow cores can be outrun


@dataclass(frozen=True)
class Choice:
    """A schedule with its cost breakdown (cycles on one core)."""

    schedule: Schedule
    estimate: Estimate


def tile(kernel: Kernel, target: Target, keep: int = 1) -> list[Choice]:
    """The `keep` cheapest schedules, best first. UnsupportedError when the kernel has no schedule on the target."""
    if any(d.kind == SCAN for s in kernel.stages for d in s.dims):
        raise UnsupportedError(
            f"kernel {kernel.name} has a sequential dim, which the tiler does not schedule"
        )
    plan = _Nest(kernel, target) if _is_nest(kernel) else _Rows(kernel, target)
    choices = plan.choices(keep)
    if not choices:
        raise UnsupportedError(f"no schedule of kernel {kernel.name} fits target {target.name}")
    return choices


def _is_nest(kernel: Kernel) -> bool:
    shapes = [frozenset(d.name for d in s.kind(PARALLEL)) for s in kernel.stages]
    reducing = [n for n, s in enumerate(kernel.stages) if s.combine is not None]
    return len(set(shapes)) == 1 and (not reducing or reducing == [0])


# --- what access maps say ------------------------------------------------------------------------------------------


def strides(kernel: Kernel, access: Access, dim: str) -> int:
    """Elements between neighbours along `dim` in the accessed buffer; a huge number through a lookup."""
    shape = [int(extent) for extent in kernel.buffer(access.buffer).shape]  # type: ignore[arg-type]
    total = 0
    for axis, part in enumerate(access.index):
        step = prod(shape[axis + 1 :])
        if isinstance(part, Lookup):
            total += 1 << 30 if dim in part.access.dims else 0
        else:
            total += part.coefficient(dim) * step
    return total


@dataclass(frozen=True)
class Contraction:
    """A sum of a product of two loads, and the dims that only one of them has: rows (m) and columns (n)."""

    rows_operand: Access
    columns_operand: Access
    batch: tuple[str, ...]
    m: tuple[str, ...]
    n: tuple[str, ...]


def contraction(stage: Stage, vector: str | None) -> Contraction | None:
    """The stage as a contraction whose columns include `vector`, or None."""
    body = stage.body
    if stage.combine != "sum" or not isinstance(body, Apply) or body.op != "mul" or vector is None:
        return None
    if not all(isinstance(argument, Load) for argument in body.arguments):
        return None
    first, second = (argument.access for argument in body.arguments if isinstance(argument, Load))
    if vector in first.dims:
        first, second = second, first
    if vector in first.dims or vector not in second.dims:
        return None
    a, b = set(first.dims), set(second.dims)
    names = [d.name for d in stage.kind(PARALLEL)]
    return Contraction(
        first,
        second,
        tuple(n for n in names if n in a and n in b),
        tuple(n for n in names if n in a and n not in b),
        tuple(n for n in names if n not in a),
    )


def vector_dim(kernel: Kernel, stage: Stage, lanes: int, without: Sequence[str] = ()) -> str | None:
    """The dim to vectorise: contiguous in what is written and read, wide enough; reduce dims only for row reductions."""
    best: tuple[float, str] | None = None
    packable = {b.name for b in kernel.buffers if b.role == CONSTANT}
    for position, dim in enumerate(stage.dims):
        if dim.extent == 1 or not isinstance(dim.extent, int) or dim.name in without:
            continue
        written = strides(kernel, stage.write, dim.name)
        if dim.kind == PARALLEL and written not in (1, 0):
            penalty = 4.0
        else:
            penalty = 0.0
        if dim.kind == REDUCE:
            penalty += 1.0
        for access in stage.reads:
            step = strides(kernel, access, dim.name)
            if step not in (0, 1) and access.buffer not in packable:
                penalty += 2.0
        penalty += 2.0 * max(0.0, 1 - dim.extent / lanes)
        rank = (penalty - 0.01 * position, dim.name)
        if best is None or rank < best:
            best = rank
    return None if best is None else best[1]


# --- one register block --------------------------------------------------------------------------------------------


class _Nest:
    def __init__(self, kernel: Kernel, target: Target):
        self.kernel = kernel
        self.target = target
        self.root = kernel.stages[0]
        self.extents = {name: _static(d.extent) for name, d in kernel.dims.items()}
        final = kernel.stages[-1]
        lanes = target.engine("elementwise").lanes
        self.vector = vector_dim(kernel, self.root if self.root.combine else final, lanes)
        self.contraction = contraction(self.root, self.vector)
        self.engine: Engine = target.engine("contract" if self.contraction else "elementwise")
        order = [d for part in final.write.index for d in getattr(part, "dims", ())]
        names = [d.name for d in self.root.kind(PARALLEL)]
        self._computed: dict[object, float] = {}
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
                    loops = _parallel(order, self.extents)
                    groups.setdefault(tuple(loop.dim for loop in loops), []).append((loops, tile, width))
        ranked = []
        for names, group in groups.items():
            holds = self._schedule(*group[0]).holds
            steps = np.array([[loop.step for loop in loops] for loops, _, _ in group]).T.reshape(
                len(names), len(group)
            )
            memory = memory_cycles(self.kernel, self.target, names, steps, holds)
            for n, candidate in enumerate(group):
                parts = {name: float(cycles[n]) for name, cycles in memory.items()}
                ranked.append((Estimate(self._compute(*candidate), parts), candidate))
        ranked.sort(key=lambda item: item[0].cycles)
        return [Choice(self._schedule(*candidate), estimate) for estimate, candidate in ranked[:keep]]

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
            )
        chunks = 1
        extents = dict(self.extents)
        for loop in loops:
            if loop.kind != PARALLEL_LOOP:
                break
            chunks *= -(-extents[loop.dim] // loop.step)
        return self._computed[key] + chunks * self.engine.tile_overhead

    def _row_dims(self, others: list[str]) -> list[str]:
        """The dims whose neighbours share operand loads, innermost first; at most two."""
        if self.contraction is not None:
            return [d for d in reversed(others) if d in self.contraction.m][:2]
        if self.root.combine is not None and others:
            return [others[-1]]
        return [d for d in others if self._transposes(d)][:1]

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
            return [min(4, vectors)]
        if self.contraction is None:
            wide = (1, 2, 4) if self.root.combine is not None else (1, 4)
            return sorted({min(w, vectors) for w in wide})
        return sorted({min(w, vectors) for w in (1, 2, 3, 4, 8)})

    def _row_tiles(self, rows: list[str], width: int) -> list[dict[str, int]]:
        """Candidate row tiles that fit the registers beside `width` vectors a row."""
        if not rows:
            return [{}]
        most = max(1, (self.engine.registers - 1 - width) // width)
        inner, *outer = rows
        extent = self.extents[inner]
        if self.root.combine is None:
            return [{inner: min(extent, self.engine.lanes)}]
        sizes = {min(extent, size) for size in (1, 2, 4, 6, 7, 8, 9, 12, 13, 14, 16, 24, 28) if size <= most}
        if extent <= most:
            sizes.add(extent)
        tiles = [{inner: size} for size in sorted(sizes)]
        if outer and extent <= most:
            for more in range(2, min(self.extents[outer[0]], most // extent) + 1):
                tiles.append({inner: extent, outer[0]: more})
        return tiles

    def _orders(
        self, others: list[str], rows: list[str], vectors: list[str], tile: dict[str, int], width: int
    ) -> Iterator[list[Loop]]:
        """Candidate spines: columns outermost, or strips of rows outermost with the columns inside."""
        lanes = self.engine.lanes
        block = width * lanes
        columns = [Loop(d, block, unit=lanes) for d in vectors]
        if not others:
            yield [*self._split(self.vector, block, lanes), *columns] if vectors else []
            return
        if self.contraction is None:
            yield [*self._strips(others[0], tile), *columns, *self._below(others, tile, others[0])]
            return
        batch = [Loop(d, 1) for d in others if d in self.contraction.batch]
        rest = [Loop(d, tile.get(d, 1)) for d in others if d not in self.contraction.batch]
        yield [*batch, *columns, *rest]
        if rest:
            first = rest[0].dim
            for strip in self._strip_sizes(first, tile.get(first, 1)):
                yield [*batch, Loop(first, strip), *columns, *rest]

    def _strip_sizes(self, dim: str, tile: int) -> list[int]:
        extent = self.extents[dim]
        parts = {max(1, p) for p in (_CHUNKS, 16, 32)}
        sizes = {ceil(ceil(extent / p) / tile) * tile for p in parts}
        return sorted(size for size in sizes if size < extent)

    def _strips(self, dim: str, tile: dict[str, int]) -> list[Loop]:
        """The outer dim cut in chunks of a few tiles."""
        sizes = self._strip_sizes(dim, tile.get(dim, 1))
        return [Loop(dim, sizes[-1])] if sizes else []

    def _below(self, others: list[str], tile: dict[str, int], first: str) -> list[Loop]:
        return [Loop(d, tile.get(d, 1)) for d in others]

    def _split(self, dim: str | None, block: int, unit: int) -> list[Loop]:
        """A single long dim cut in chunks for the cores."""
        assert dim is not None
        chunk = max(block * 16, -(-self.extents[dim] // (4 * _CHUNKS) // block) * block)
        return [Loop(dim, chunk, unit=unit)] if self.extents[dim] > chunk else []

    def _schedule(self, loops: list[Loop], tile: dict[str, int], width: int) -> Schedule:
        depth = len(loops)
        local = [
            s.write.buffer for s in self.kernel.stages if self.kernel.buffer(s.write.buffer).role == LOCAL
        ]
        holds = [Hold(name, self.engine.accumulators, depth) for name in local]
        holds += self._packed(loops)
        places = tuple(self._place(stage, depth, tile, width) for stage in self.kernel.stages)
        return Schedule(tuple(loops), tuple(holds), places)

    def _place(self, stage: Stage, depth: int, tile: dict[str, int], width: int) -> Place:
        bind = (("n", (self.vector,)),) if self.vector is not None else ()
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
                ribs.append(Loop(dim.name, min(extent, 2 if block > 24 else 4)))
            else:
                ribs.append(Loop(dim.name, 1))
        return tuple(ribs)

    def _packed(self, loops: Sequence[Loop]) -> list[Hold]:
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
                loop.step == 1 or loop.dim == self.vector for loop in loops if loop.dim in access.dims
            )
            if self.kernel.buffer(name).role == CONSTANT and _is_plain(access) and whole:
                depth = 1 + max((n for n, loop in enumerate(loops) if loop.dim in access.dims), default=-1)
                holds.append(Hold(name, "l2", depth, slots=2 if columns else 1, layout=self._layout(access)))
        return holds

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


def _is_plain(access: Access) -> bool:
    """Every coordinate is one dim (or 0), each dim once."""
    singles = [part.single for part in access.index if isinstance(part, Affine) and part.terms]
    affine = all(isinstance(part, Affine) and (part.terms or not part.const) for part in access.index)
    return affine and access.fill is None and None not in singles and len(set(singles)) == len(singles)


def _static(extent: object) -> int:
    if not isinstance(extent, int):
        raise UnsupportedError("a kernel with symbolic extents has no schedule", hint="bind the shapes")
    return extent


def _parallel(order: Sequence[Loop], extents: dict[str, int]) -> list[Loop]:
    """Leading loops over distinct parallel dims become parallel until they offer enough chunks."""
    loops = [loop for loop in order if loop.step < extents[loop.dim] or _last_of_dim(order, loop)]
    out, chunks = [], 1
    seen: set[str] = set()
    for n, loop in enumerate(loops):
        if (
            chunks < _CHUNKS
            and len(out) == n
            and loop.dim not in seen
            and (not out or out[-1].kind == PARALLEL_LOOP)
        ):
            loop = Loop(loop.dim, loop.step, PARALLEL_LOOP, loop.unit)
            chunks *= trips(extents[loop.dim], loop.step, loop.unit)
        seen.add(loop.dim)
        out.append(loop)
    return out


def _last_of_dim(order: Sequence[Loop], loop: Loop) -> bool:
    return [other for other in order if other.dim == loop.dim][-1] is loop


# --- several reductions over rows ----------------------------------------------------------------------------------


class _Rows:
    def __init__(self, kernel: Kernel, target: Target):
        self.kernel = kernel
        self.target = target
        self.extents = {name: _static(d.extent) for name, d in kernel.dims.items()}
        self.near = next(m for m in target.memories.values() if m.managed == "cache")
        shared = [frozenset(d.name for d in s.kind(PARALLEL)) for s in kernel.stages]
        common = frozenset.intersection(*shared)
        final = kernel.stages[-1]
        order = [d for part in final.write.index for d in getattr(part, "dims", ())]
        shared_columns = set(common)  # dims of operands that are copied under them come first: copied once
        for stage in kernel.stages:
            found = contraction(stage, self._columns(stage))
            shared_columns &= set(found.columns_operand.dims) if found is not None else shared_columns
        self.spine = sorted(
            (d for d in dict.fromkeys(order) if d in common), key=lambda d: d not in shared_columns
        )
        self.lanes = target.engine("elementwise").lanes

    def choices(self, keep: int) -> list[Choice]:
        """Rows a tile: as many as fit a near memory, 1 to 8."""
        rows = self.spine[-1] if self.spine else None
        sizes = [1] if rows is None else sorted({min(self.extents[rows], n) for n in (1, 2, 4, 8)})
        schedules = [self._schedule(rows, size) for size in sizes]
        choices = [Choice(s, estimate_rows(self.kernel, s, self.target)) for s in schedules]
        return sorted(choices, key=lambda choice: choice.estimate.cycles)[:keep]

    def _schedule(self, rows: str | None, size: int) -> Schedule:
        order = [Loop(d, size if d == rows else 1) for d in self.spine]
        if len(order) == 1 and rows is not None:
            strip = -(-self.extents[rows] // (4 * _CHUNKS) // size) * size
            if strip > size:
                order.insert(0, Loop(rows, strip))
        loops = _parallel(order, self.extents)
        depth = len(loops)
        holds = [Hold(b.name, self.near.name, depth) for b in self.kernel.role(LOCAL)]
        holds += self._transposed(loops)
        places = [self._place(stage, depth, rows, size) for stage in self.kernel.stages]
        return Schedule(tuple(loops), tuple(holds), tuple(places))

    def _place(self, stage: Stage, depth: int, rows: str | None, size: int) -> Place:
        vector = vector_dim(self.kernel, stage, self.lanes, self.spine)
        found = contraction(stage, self._columns(stage))
        if found is not None and self._columns(stage) not in self.spine:
            vector = self._columns(stage)
        else:
            found = None
        engine = self.target.engine("contract" if found else "elementwise")
        names = {d.name: d.kind for d in stage.dims}
        ribs = [Loop(n, 1) for n, kind in names.items() if kind == PARALLEL and n not in (vector, rows)]
        tile = size if rows in names else 1
        if found is None and rows in names:
            tile = min(size, 4)
            ribs.append(Loop(rows, tile))  # type: ignore[arg-type]
        if vector is not None:
            most = max(1, (engine.registers - 1) // (tile + 1)) if found else (4 if tile == 1 else 2)
            width = _balanced(-(-self.extents[vector] // self.lanes), min(most, 4))
            ribs.append(Loop(vector, width * self.lanes, unit=self.lanes))
        reduce = [d for d in stage.kind(REDUCE) if d.name != vector]
        last = reduce[-1].name if reduce else None
        ribs += [Loop(d.name, 2 if d.name == last else 1) for d in reduce]
        ribs.sort(key=lambda loop: names[loop.dim] == REDUCE)
        bind = (("n", (vector,)),) if vector is not None else ()
        return Place(stage.name, depth, engine.name, tuple(ribs), bind)

    def _columns(self, stage: Stage) -> str | None:
        """The contiguous parallel dim of what a stage writes, if only one operand has it."""
        last = next(
            (part for part in reversed(stage.write.index) if isinstance(part, Affine) and part.terms), None
        )
        return None if last is None else last.single

    def _transposed(self, loops: Sequence[Loop]) -> list[Hold]:
        """Operands of contractions whose columns are not contiguous get a transposed copy under their batch dims."""
        holds = []
        for stage in self.kernel.stages:
            columns = self._columns(stage)
            found = contraction(stage, columns)
            if found is None or columns is None:
                continue
            access = found.columns_operand
            buffer = self.kernel.buffer(access.buffer)
            where = _axes_below(access, self.spine)
            if (
                buffer.role not in (INPUT, CONSTANT)
                or strides(self.kernel, access, columns) == 1
                or where is None
            ):
                continue
            depth = 1 + max((n for n, loop in enumerate(loops) if loop.dim in access.dims), default=-1)
            axes = [axis for name, axis in where.items() if name != columns]
            fixed = [axis for axis in range(len(access.index)) if axis not in where.values()]
            holds.append(Hold(buffer.name, self.near.name, depth, layout=(*fixed, *axes, where[columns])))
        return holds


def _axes_below(access: Access, spine: Sequence[str]) -> dict[str, int] | None:
    """The axis that each dim below the spine moves along, alone and by single steps; None if some dim does not."""
    where: dict[str, int] = {}
    for axis, part in enumerate(access.index):
        if not isinstance(part, Affine) or access.fill is not None:
            return None
        inner = [(name, c) for name, c in part.terms if name not in spine]
        if len(inner) > 1 or any(c != 1 or name in where for name, c in inner):
            return None
        where.update({name: axis for name, _ in inner})
    return where


def _balanced(vectors: int, most: int) -> int:
    """A width of at most `most` that cuts `vectors` into nearly equal parts."""
    parts = -(-vectors // most)
    return -(-vectors // parts)
