"""Tiling rows: several reductions over shared row dims (softmax, norms, attention), and recurrences over time.

The rows (or the time) are the spine; every stage has its own loops below; intermediate tiles live in a cache.
Where sums over a long dim can be repaired, it may be cut: all rows of a strip pass by one piece of it after another.
"""

from collections.abc import Iterable, Sequence
from math import prod

from ...runtime.records import dataclass
from ..diagnostics import UnsupportedError
from ..target.description import Engine, Target
from .access_maps import WIDE, axes_below, contraction, strides, vector_dim, wide_dtype
from .check import is_legal
from .choice import CHUNKS, Choice, parallel_loops
from .cost import estimate_rows
from .schedule import Hold, Loop, Place, Schedule
from .stage import CONSTANT, INPUT, LOCAL, PARALLEL, REDUCE, SCAN, Access, Affine, Buffer, Kernel, Stage, dim

BLOCKS = (4, 5, 6)
"""Rows of a register block: of a product what cuts its tile evenly and wastes the fewest columns, else the first."""

WIDTHS = (2, 4, 8)
"""Vectors of a tile whose rows lie along them."""

TILES = (1, 2, 4, 12, 24)
"""Rows of a tile: few stay in the nearest memory, many read the other operands less often."""

PIECE = 384
"""Elements of a piece of a dim that is cut: a panel of them stays near while rows pass by."""

STRIP = 1024
"""Rows whose sums are kept while they pass by pieces."""


@dataclass(frozen=True)
class _Cut:
    """Rows of a tile, and a reduced dim with the size of its pieces where that is cut; or rows that are `lanes`."""

    rows: str | None
    size: int
    dim: str | None = None
    piece: int = 0
    lanes: bool = False


class Rows:
    """Schedules of a kernel whose stages share their row dims."""

    def __init__(self, kernel: Kernel, target: Target):
        self.kernel = kernel
        self.target = target
        self.extents = {name: d.size for name, d in kernel.dims.items()}
        self.cache = target.near
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
        """Tiles of several heights, and with them pieces of a dim of sums that can be repaired."""
        rows = self.spine[-1] if self.spine else None
        sizes = (1,) if rows is None else sorted({min(self.extents[rows], size) for size in TILES})
        schedules = [self._schedule(_Cut(rows, size)) for size in sizes]
        if rows is not None and self.extents[rows] >= TILES[-1]:
            pieces = [self._schedule(_Cut(rows, TILES[-1], *cut)) for cut in self._pieces()]
            schedules += [s for s in pieces if is_legal(self.kernel, s, self.target)]
        if rows is not None and self._are_columns(rows):
            wide = {min(width, -(-self.extents[rows] // self.lanes)) * self.lanes for width in WIDTHS}
            schedules += [self._schedule(_Cut(rows, size, lanes=True)) for size in sorted(wide)]
        choices = [Choice(s, estimate_rows(self.kernel, s, self.target)) for s in schedules]
        return sorted(choices, key=lambda choice: choice.estimate.cycles)[:keep]

    def _are_columns(self, rows: str) -> bool:
        """Whether rows lie beside each other in memory and what is summed does not, as where channels are normalised
        each by itself and come last: vectors run along the rows then."""
        accesses = [access for s in self.kernel.stages for access in (*s.reads, s.write)]
        steps = {strides(self.kernel, access, rows) for access in accesses}
        summed = [d.name for s in self.kernel.stages for d in s.kind(REDUCE)]
        return steps <= {0, 1} and all(
            strides(self.kernel, a, name) != 1 for a in accesses for name in summed
        )

    def _pieces(self) -> list[tuple[str, int]]:
        """Dims that some stage reduces and repairs while others have them in what they write, and how they are cut."""
        repaired = [s for s in self.kernel.stages if s.repair is not None]
        names = dict.fromkeys(d.name for s in repaired for d in s.kind(REDUCE))
        written = {d.name for s in self.kernel.stages for d in s.kind(PARALLEL)}
        vectors = {name: -(-self.extents[name] // self.lanes) for name in names if name in written}
        widths = {name: _balanced(count, PIECE // self.lanes) * self.lanes for name, count in vectors.items()}
        return [(name, width) for name, width in widths.items() if width < self.extents[name]]

    def _schedule(self, cut: _Cut) -> Schedule:
        loops = self._loops(cut)
        depth = len(loops)
        around = depth if cut.dim is None else next(n for n, loop in enumerate(loops) if loop.dim == cut.dim)
        in_pieces = {s.name for s in self.kernel.stages if cut.dim in {d.name for d in s.dims}}
        pieces = {s.write.buffer for s in self.kernel.stages if cut.dim in {d.name for d in s.kind(PARALLEL)}}
        depths = [(b.name, depth if b.name in pieces else around) for b in self.kernel.role(LOCAL)]
        holds = [Hold(name, self.cache.name, at) for name, at in sorted(depths, key=lambda each: each[1])]
        holds += self._transposed(loops)
        places = [
            self._columns_place(s, depth, cut)
            if cut.lanes
            else self._place(s, depth if s.name in in_pieces else around, cut.rows, cut.size)
            for s in self.kernel.stages
        ]
        return Schedule(tuple(loops), tuple(holds), tuple(places))

    def _loops(self, cut: _Cut) -> list[Loop]:
        """The spine: dims before the rows, strips of rows where those are too few chunks, pieces, tiles of rows."""
        order = [Loop(d, 1) for d in self.spine if d != cut.rows]
        if cut.rows is None:
            return parallel_loops(order, self.extents)
        extent = self.extents[cut.rows]
        chunks = prod(self.extents[loop.dim] for loop in order)
        wanted = CHUNKS if self._transposed([Loop(d, 1) for d in self.spine]) else 4 * CHUNKS
        parts = -(-wanted // chunks) if chunks < CHUNKS else 1
        if cut.dim is not None:
            parts = max(parts, -(-extent // STRIP))
        strip = -(-extent // (parts * cut.size)) * cut.size
        tiles = Loop(cut.rows, cut.size, unit=self.lanes if cut.lanes else 1)
        if cut.size < strip < extent:
            order.append(Loop(cut.rows, strip))
        if cut.dim is None:
            return parallel_loops([*order, tiles], self.extents)
        return [*parallel_loops(order, self.extents), Loop(cut.dim, cut.piece, unit=self.lanes), tiles]

    def _columns_place(self, stage: Stage, depth: int, cut: _Cut) -> Place:
        """All rows of a tile at once, one turn of the other dims after the other."""
        dims = sorted(stage.dims, key=lambda d: d.kind == REDUCE)
        ribs = [Loop(d.name, 1) for d in dims if d.kind != SCAN and d.name not in self.spine]
        bind = (("n", (cut.rows,)),) if cut.rows is not None else ()
        return Place(stage.name, depth, self.target.engine("elementwise").name, tuple(ribs), bind)

    def _place(self, stage: Stage, depth: int, rows: str | None, size: int) -> Place:
        vector = vector_dim(self.kernel, stage, self.lanes, self.spine)
        found = contraction(stage, self._columns(stage))
        if (
            found is not None
            and self._columns(stage) not in self.spine
            and self._streams(found.columns_operand, stage)
        ):
            vector = self._columns(stage)
        else:
            found = None
        engine = self.target.engine("contract" if found else "elementwise")
        names = {d.name: d.kind for d in stage.dims}
        ribs = [Loop(n, 1) for n, kind in names.items() if kind == PARALLEL and n not in (vector, rows)]
        vectors = -(-self.extents[vector] // self.lanes) if vector is not None else 1
        heights = [n for n in BLOCKS if size % n == 0] if found is not None and rows in names else []
        heights = heights or [min(BLOCKS[0], size) if rows in names else 1]
        widths = {n: _balanced(vectors, self._widest(engine, n, found is not None)) for n in heights}
        height = min(widths, key=lambda n: -(-vectors // widths[n]) * widths[n])
        if vector is not None:
            ribs.append(Loop(vector, widths[height] * self.lanes, unit=self.lanes))
        if rows in names:
            ribs.append(Loop(rows, height))
        reduce = [d for d in stage.kind(REDUCE) if d.name != vector]
        last = reduce[-1].name if reduce else None
        ribs += [Loop(d.name, 2 if d.name == last else 1) for d in reduce]
        ribs.sort(key=lambda loop: names[loop.dim] == REDUCE)
        bind = (("n", (vector,)),) if vector is not None else ()
        return Place(stage.name, depth, engine.name, tuple(ribs), bind)

    @staticmethod
    def _widest(engine: Engine, tile: int, contracts: bool) -> int:
        """Vectors of a block of `tile` rows: a product of one row streams its columns, the more at once the better."""
        if not contracts:
            return 4 if tile == 1 else 2
        if tile == 1:
            return min(12, engine.registers - 4)
        return min(4, max(1, (engine.registers - 1) // (tile + 1)))

    def _streams(self, access: Access, stage: Stage) -> bool:
        """Whether the columns of an operand are contiguous, or will be in a transposed copy of it."""
        columns = self._columns(stage)
        assert columns is not None
        return strides(self.kernel, access, columns) == 1 or axes_below(access, self.spine) is not None

    def _columns(self, stage: Stage) -> str | None:
        """The contiguous parallel dim of what a stage writes, if only one operand has it."""
        last = next(
            (part for part in reversed(stage.write.index) if isinstance(part, Affine) and part.terms), None
        )
        return None if last is None else last.single

    def _transposed(self, loops: Sequence[Loop]) -> list[Hold]:
        """Operands of contractions whose columns are not contiguous get a transposed copy under their batch dims, and
        those that have to be widened a wide one."""
        holds = []
        for stage in self.kernel.stages:
            columns = self._columns(stage)
            found = contraction(stage, columns)
            if found is None or columns is None or columns in self.spine:
                continue
            for access in (found.columns_operand, found.rows_operand):
                buffer = self.kernel.buffer(access.buffer)
                where = axes_below(access, self.spine)
                if buffer.role not in (INPUT, CONSTANT) or where is None:
                    continue
                turned = columns in where and strides(self.kernel, access, columns) != 1
                if not turned and not self._is_widened(buffer, where):
                    continue
                depth = 1 + max((n for n, loop in enumerate(loops) if loop.dim in access.dims), default=-1)
                axes = sorted(where.values(), key=lambda axis: axis == where.get(columns))
                fixed = [axis for axis in range(len(access.index)) if axis not in where.values()]
                holds.append(Hold(buffer.name, self.cache.name, depth, layout=(*fixed, *axes)))
        return holds

    def _is_widened(self, buffer: Buffer, axes: Iterable[str]) -> bool:
        """Whether an operand is read often in another type than its own, and what is read of it below the spine is
        little."""
        wide = wide_dtype(self.kernel, buffer.name)
        size = prod(self.extents[name] for name in axes) * wide.bytes
        return buffer.role == INPUT and wide != buffer.dtype and size <= WIDE


class Steps(Rows):
    """Schedules of a recurrence: one sequential dim is the spine, what does not move with it stands before or after."""

    def __init__(self, kernel: Kernel, target: Target):
        super().__init__(kernel, target)
        scans = {d.name for s in kernel.stages for d in s.kind(SCAN)}
        if len(scans) != 1:
            raise UnsupportedError(
                f"kernel {kernel.name} has {len(scans)} sequential dims, the tiler schedules one"
            )
        self.spine = list(scans)

    def choices(self, keep: int) -> list[Choice]:
        """The only schedule: step by step, everything that is carried held outside the loop.

        What is no step but has the steps' dim, as the product that feeds all of them, is done for all of them at once.
        """
        (scan,) = self.spine
        places = [self._step(stage) for stage in self.kernel.stages]
        holds = [Hold(b.name, self.cache.name, 0) for b in self.kernel.role(LOCAL)] + self._panels(places)
        schedule = Schedule((Loop(scan, 1),), tuple(holds), tuple(places))
        return [Choice(schedule, estimate_rows(self.kernel, schedule, self.target))][:keep]

    def _panels(self, places: Sequence[Place]) -> list[Hold]:
        """Weights that a stage reads column by column in blocks, laid out as its blocks read them."""
        holds = []
        for stage, place in zip(self.kernel.stages, places, strict=True):
            found = contraction(stage, (place.bound("n") or (None,))[0])
            access = found.columns_operand if found is not None else None
            if access is None or (buffer := self.kernel.buffer(access.buffer)).role != CONSTANT:
                continue
            reads = [a for s in self.kernel.stages for a in s.reads if a.buffer == access.buffer]
            where = axes_below(access, ())
            if where is None or len(reads) > 1:
                continue
            column = place.bound("n")[0]
            last = where[column]
            if access.index[last] != dim(column) or stage.dim(column).size != buffer.shape[last]:
                continue  # panels are cut from whole arrays
            rest = [axis for axis in range(len(access.index)) if axis != last]
            holds.append(Hold(access.buffer, self.target.home.name, 0, layout=(*rest, last)))
        return holds

    def _step(self, stage: Stage) -> Place:
        """A stage of one step, or one beside them, in blocks of rows where it is a contraction."""
        if stage.kind(SCAN):
            return self._place(stage, 1, None, 1)
        found = contraction(stage, self._columns(stage))
        rows = [d for d in stage.kind(PARALLEL) if found is not None and d.name in found.m and d.size > 1]
        if not rows:
            return self._place(stage, 0, None, 1)
        size = _balanced(rows[-1].size, 6)
        return self._place(stage, 0, rows[-1].name, size)


def _balanced(vectors: int, most: int) -> int:
    """A width of at most `most` that cuts `vectors` into nearly equal parts."""
    parts = -(-vectors // most)
    return -(-vectors // parts)
