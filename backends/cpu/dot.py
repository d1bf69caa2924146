"""The block of a product of narrow values: what `block.py` does, a few neighbours along the sum at a time.

The factor that is the same for all columns is one load of a lane's neighbours, broadcast; the other one lies packed.
"""

from collections.abc import Mapping, Sequence
from itertools import product as cartesian
from typing import TYPE_CHECKING

from ...compiler.ir.types import DType
from ...compiler.tile.infer import Range
from ...compiler.tile.schedule import Loop, Place, Schedule
from ...compiler.tile.stage import REDUCE, Access, Kernel, Stage
from ...runtime.records import dataclass
from .block import Block
from .builder import Register
from .leaves import LEAVES
from .scalars import element_type, vector_type
from .vectors import lane

if TYPE_CHECKING:
    from .kernel import KernelEmitter


@dataclass(frozen=True)
class Factor:
    """How the leaf of a stage wants one of its factors: `axis` is that of the neighbours, of which `group` lie together
    and as many as `depth` divides are there. `shift` is added to the rows. `signs`: see `Leaf`."""

    access: Access
    dtype: DType
    axis: int
    shift: int
    group: int = 1
    depth: int = 1
    signs: bool = False


def factor(kernel: Kernel, schedule: Schedule, buffer: str) -> Factor | None:
    """How a buffer is wanted by the product that reads it; None where no leaf does."""
    for stage in kernel.readers(buffer):
        place = schedule.place(stage.name)
        if not place.bound("k"):
            continue
        leaf = LEAVES[place.engine]
        access = next(access for access in stage.reads if access.buffer == buffer)
        axis = next(
            n for n, part in enumerate(access.index) if place.bound("k")[0] in getattr(part, "dims", ())
        )
        shared = place.bound("n")[0] not in access.dims
        own = kernel.buffer(buffer).dtype
        (rows,) = {a.buffer for a in stage.reads if place.bound("n")[0] not in a.dims}
        shift = leaf.shift(kernel.buffer(rows).dtype)
        if shared:
            return Factor(access, leaf.row or own, axis, shift)
        return Factor(access, leaf.column or own, axis, shift, leaf.group, unit(place), leaf.signs)
    return None


def unit(place: Place) -> int:
    """Neighbours that are multiplied together: a group, or what an array takes."""
    return next(loop.unit for loop in place.loops if loop.dim in place.bound("k"))


class DotBlock(Block):
    """Code of one stage whose place binds neighbours along a sum, "k"."""

    def __init__(self, emitter: "KernelEmitter", stage: Stage, place: Place, dtype: DType):
        super().__init__(emitter, stage, place, dtype)
        self.leaf = LEAVES[place.engine]
        (self.along,) = place.bound("k")
        self.unit = unit(place)
        first, second = stage.reads
        self.row, self.column = (second, first) if self.vector in first.dims else (first, second)

    def start(self, ranges: Mapping[str, Range], ribs: Sequence[Loop]) -> list[Register]:
        """Accumulators as of other blocks, but vectors for a single column, too; what shifted rows add is taken off."""
        totals = super().start(ranges, ribs)
        self.lanes = self.e.lanes
        ends = self.e.storage[self.column.buffer].ends
        if not ends:
            return [self._identity(self.lanes)] * len(totals)
        assert self.vector is not None
        type = vector_type("i32", self.lanes)
        columns = [
            self.values.neighbours(self.column, {self.vector: start}, type, ends) for start in self._starts()
        ]
        return columns * (len(totals) // len(columns))

    def finish(self, ranges: Mapping[str, Range], totals: list[Register], complete: bool) -> None:
        """As of other blocks, which take a single column for a scalar."""
        self.values.begin(ranges)
        if not self.values.lanes:
            self.lanes, totals = 0, [lane(self.b, total, 0) for total in totals]
        super().finish(ranges, totals, complete)

    def accumulate(self, ranges: Mapping[str, Range], totals: list[Register]) -> list[Register]:
        """One turn: a group of products added to every accumulator, for each group of the turn."""
        self.values.begin(ranges)
        self.values.prefetch()
        totals = list(totals)
        assert self.vector is not None
        rows = self._rows(ranges, reduce=False)
        for turn in self._groups(ranges):
            columns = [self._column({**turn, self.vector: start}) for start in self._starts()]
            for n, row in enumerate(rows):
                shared = self._row({**row, **turn})
                for m, column in enumerate(columns):
                    at = n * self.columns + m
                    masks = self._masks({**turn, self.vector: self._starts()[m]})
                    totals[at] = self.leaf.add(self.s, totals[at], shared, [column, *masks], self.lanes)
        return totals

    def _groups(self, ranges: Mapping[str, Range]) -> list[dict[str, int]]:
        """Points along the reduce dims, one for each group; what the last one lacks are zeros in panels."""
        names = [d.name for d in self.stage.dims if d.kind == REDUCE]
        steps = [range(0, ranges[n].size, self.unit if n == self.along else 1) for n in names]
        return [dict(zip(names, offsets, strict=True)) for offsets in cartesian(*steps)]

    def _row(self, point: Mapping[str, int]) -> Register:
        """The neighbours of the factor that all columns share, in every lane."""
        bits = self.leaf.group * self.dtype(self.row).bits
        words = self.values.spread(self.values.neighbours(self.row, point, f"i{bits}"), self.lanes)
        type = self._type(self.row)
        return self.b.pure(type, f"bitcast {words.type} {{0}} to {type}", [words])

    def _column(self, point: Mapping[str, int]) -> Register:
        return self.values.neighbours(self.column, point, self._type(self.column))

    def _masks(self, point: Mapping[str, int]) -> list[Register]:
        """The masks of a column's signs: operands in memory for each row anew, there are no registers for them. LLVM
        would load them once and keep them, but for the fence, which makes no code."""
        if not self.leaf.signs:
            return []
        self.b.line('fence syncscope("singlethread") acq_rel')
        behind = self.values.linear(self.column).coefficient(self.along) * self.leaf.group // 2
        return [self.values.neighbours(self.column, point, self._type(self.column), behind)]

    def _type(self, access: Access) -> str:
        """Of a vector of a factor."""
        return vector_type(element_type(self.dtype(access)), self.lanes * self.leaf.group)

    def dtype(self, access: Access) -> DType:
        """In which a factor lies."""
        return self.e.storage[access.buffer].dtype
