"""Vectors whose neighbours lie apart in memory: whole vectors are loaded and shuffled where the block holds what lies
between them (squares are transposed, gaps of two or four woven), else they are taken lane by lane.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...compiler.tile.access_maps import WOVEN
from ...compiler.tile.stage import REDUCE, Access, Affine, Load
from . import vectors
from .builder import Register
from .scalars import element_type, vector_type

if TYPE_CHECKING:
    from .values import Point, Values


class Strided:
    """Loads and stores of one stage along its vector dim, where that is not contiguous; `waiting` has what is to be
    woven, until all of a run is there."""

    def __init__(self, values: "Values", vector: str, waiting: dict[object, dict[int, Register]]):
        self.v = values
        self.vector = vector
        self._waiting = waiting

    def load(self, expr: Load, point: "Point", lanes: int) -> Register:
        """The vector of an operand at a point."""
        access = expr.access
        if access.fill is None and all(isinstance(part, Affine) for part in access.index):
            gaps = self._between(access)
            if gaps is not None:
                return self._unwoven(expr, gaps, point, lanes)
            rows = self._square(self.v.linear(access), point, lanes)
            if rows is not None:
                return self._transposed(expr, rows, point, lanes)
        return self._gathered(expr, point, lanes)

    def store(self, value: Register, access: Access, point: "Point", lanes: int, guarded: bool) -> None:
        """Write a vector; what is woven waits until all that lies between its lanes is there."""
        gaps = self._between(access)
        if gaps is None:
            self._store_lanes(value, access, point, lanes, guarded)
            return
        first = {**point, gaps: 0}
        parts = self._waiting.setdefault(tuple(sorted(first.items())), {})
        parts[point[gaps]] = value
        if len(parts) < self.v.ranges[gaps].size:
            return
        storage = self.v.e.storage[access.buffer]
        run = vectors.woven(self.v.b, [parts[n] for n in range(len(parts))])
        for vector, (offset, mask) in zip(run, self._run(access, gaps, point, lanes), strict=False):
            self.v.store_at(vector, storage, offset, lanes, mask, None)
        parts.clear()

    def _between(self, access: Access) -> str | None:
        """The dim that fills the gaps between neighbours, if the block holds it whole."""
        linear = self.v.linear(access)
        step = linear.coefficient(self.vector)
        if step not in WOVEN or access.fill is not None or self.v.e.storage[access.buffer].panels is not None:
            return None
        for d in self.v.stage.dims:
            if (
                d.name != self.vector
                and linear.coefficient(d.name) == 1
                and self.v.ranges[d.name].size == step
            ):
                return d.name
        return None

    def _run(
        self, access: Access, gaps: str, point: "Point", lanes: int
    ) -> Iterator[tuple[Affine, Register | None]]:
        """Where the whole vectors of a run begin, and which of their lanes are inside."""
        begin = self.v.offset(self.v.linear(access), {**point, gaps: 0})
        left = min(lanes, self.v.ranges[self.vector].size - point[self.vector]) * self.v.ranges[gaps].size
        for start in range(0, left, lanes):
            mask = None if left - start >= lanes else vectors.mask_of(left - start, lanes)
            yield begin + start, mask

    def _unwoven(self, expr: Load, gaps: str, point: "Point", lanes: int) -> Register:
        """A run of the operand is loaded and taken apart, for all points along the dim between its lanes."""
        storage = self.v.e.storage[expr.access.buffer]
        size = self.v.ranges[gaps].size
        run = [
            vectors.load(self.v.b, self.v.address(storage, offset), storage.dtype, lanes, mask, None)
            for offset, mask in self._run(expr.access, gaps, point, lanes)
        ]
        run += run[-1:] * (size - len(run))  # beyond the range: no lane of it is used
        parts = vectors.unwoven(self.v.b, run)
        for n, part in enumerate(parts):
            self.v.keep(expr, {**point, gaps: n}, part)
        return parts[point[gaps]]

    def _square(self, linear: Affine, point: "Point", lanes: int) -> str | None:
        """A row dim along which the operand is contiguous, if the block holds a whole square of it here."""
        if point[self.vector] + lanes > self.v.ranges[self.vector].size:
            return None
        for d in self.v.stage.dims:
            whole = self.v.ranges[d.name].size >= point.get(d.name, 0) // lanes * lanes + lanes
            if d.name != self.vector and d.kind != REDUCE and linear.coefficient(d.name) == 1 and whole:
                return d.name
        return None

    def _transposed(self, expr: Load, rows: str, point: "Point", lanes: int) -> Register:
        """A square of the operand is loaded along its contiguous dim and transposed in registers, for all its rows."""
        storage = self.v.e.storage[expr.access.buffer]
        linear = self.v.linear(expr.access)
        first = point[rows] // lanes * lanes
        square = []
        for lane in range(lanes):
            at = {**point, rows: first, self.vector: point[self.vector] + lane}
            pointer = self.v.address(storage, self.v.offset(linear, at))
            square.append(vectors.load(self.v.b, pointer, storage.dtype, lanes, None, None))
        turned = vectors.transposed(self.v.b, square)
        for row, value in enumerate(turned):
            self.v.keep(expr, {**point, rows: first + row}, value)
        return turned[point[rows] - first]

    def _gathered(self, expr: Load, point: "Point", lanes: int) -> Register:
        """Lane by lane, gathered coordinates too."""
        storage = self.v.e.storage[expr.access.buffer]
        element = element_type(expr.dtype)
        type = vector_type(element, lanes)
        total = Register("zeroinitializer", type)
        coordinates = self.v.looked_up(storage, expr.access, point)
        left = min(lanes, self.v.ranges[self.vector].size - point[self.vector])
        for lane in range(left):
            at = {**point, self.vector: point[self.vector] + lane}
            own = [(vectors.lane(self.v.b, c, lane), stride) for c, stride in coordinates]
            value = self.v.load_one(expr, at, own)
            total = self.v.b.here(
                type, f"insertelement {type} {total.text}, {element} {value.text}, i64 {lane}"
            )
        return total

    def _store_lanes(
        self, value: Register, access: Access, point: "Point", lanes: int, guarded: bool
    ) -> None:
        linear, storage = self.v.linear(access), self.v.e.storage[access.buffer]
        left = min(lanes, self.v.ranges[self.vector].size - point[self.vector])
        for lane in range(left):
            at = {**point, self.vector: point[self.vector] + lane}
            inside = self.v.guards(access, at, 0) if guarded else None
            part = vectors.lane(self.v.b, value, lane)
            self.v.store_at(part, storage, self.v.offset(linear, at), 0, None, inside)
