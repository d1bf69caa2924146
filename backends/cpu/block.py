"""The innermost block of a stage: a few rows times a few vectors, fully unrolled, accumulators in registers.

Contraction, window reduction, row reduction and elementwise code are all this one block: parallel dims give rows, the
dim bound to "n" gives vectors, reduce dims give turns. What a point's value is stands in `values.py`.
"""

from collections.abc import Mapping, Sequence
from itertools import product as cartesian
from typing import TYPE_CHECKING

from ...compiler.ir.types import DType, bf16, boolean, f16, f32
from ...compiler.tile.infer import Range
from ...compiler.tile.schedule import Loop, Place
from ...compiler.tile.stage import REDUCE, Affine, Apply, Index, Load, Stage, walk
from .builder import Register
from .literals import suffix
from .scalars import element_type, vector_type
from .values import Values

if TYPE_CHECKING:
    from .kernel import KernelEmitter

_IDENTITY = {"sum": 0, "prod": 1, "and": True, "or": False}
_COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min", "and": "and", "or": "or"}


def identity(combine: str, dtype: DType) -> float | int | bool:
    """The value that changes nothing when it is combined."""
    if combine in _IDENTITY:
        return _IDENTITY[combine]
    if dtype.is_float:
        return float("-inf") if combine == "max" else float("inf")
    if dtype == boolean:
        return combine == "min"
    span = 1 << (dtype.bits if dtype.kind == "uint" else dtype.bits - 1)
    low = 0 if dtype.kind == "uint" else -span
    return low if combine == "max" else span - 1


class Block:
    """Code of one stage at one place."""

    def __init__(self, emitter: "KernelEmitter", stage: Stage, place: Place, dtype: DType):
        self.e = emitter
        self.b = emitter.b
        self.s = emitter.scalars
        self.stage = stage
        self.place = place
        self.write_dtype = dtype
        self.total_dtype = f32 if dtype in (f16, bf16) else dtype
        self.reduces = tuple(d.name for d in stage.kind(REDUCE))
        names = {d.name for d in stage.dims}
        self.vector = next((name for name in place.bound("n") if name in names), None)
        self.columns = 1  # vectors a row of accumulators, and their lanes
        self.lanes = 0
        self.values = Values(emitter, stage, self.vector)

    def collapse(self, ribs: Sequence[Loop], ranges: dict[str, Range]) -> list[Loop]:
        """Merge neighbouring reduce ribs whose strides nest in every operand into one longer loop."""
        out: list[Loop] = []
        for rib in ribs:
            if out and self._nests(out[-1], rib, ranges):
                outer = out.pop()
                total = ranges[outer.dim].size * ranges[rib.dim].size
                ranges[outer.dim] = Range(ranges[outer.dim].low, 1)
                ranges[rib.dim] = Range(ranges[rib.dim].low, total)
            out.append(rib)
        return out

    def _nests(self, outer: Loop, inner: Loop, ranges: Mapping[str, Range]) -> bool:
        names = (outer.dim, inner.dim)
        if (
            outer.step != 1
            or any(name not in self.reduces for name in names)
            or ranges[inner.dim].size < inner.step
        ):
            return False
        for expr in walk(self.stage.body):
            if isinstance(expr, Index) and set(expr.affine.dims) & set(names):
                return False
            if not isinstance(expr, Load):
                continue
            for access in expr.access.accesses():
                guarded = access.fill is not None and any(
                    isinstance(part, Affine)
                    and set(part.dims) & set(names)
                    and self.values.may_leave(access, n)
                    for n, part in enumerate(access.index)
                )
                storage = self.e.storage[access.buffer]
                if guarded or storage.registers is not None:
                    return False
                linear = storage.linear(access.index)
                if linear.coefficient(outer.dim) != linear.coefficient(inner.dim) * ranges[inner.dim].size:
                    return False
                if access is not expr.access:  # a lookup's index tensor
                    return False
        return True

    def start(self, ranges: Mapping[str, Range], ribs: Sequence[Loop]) -> list[Register]:
        """Accumulators of the block that `ribs` leave, set to the identity; none for a stage without reduction."""
        if self.stage.combine is None:
            return []
        steps = {rib.dim: rib.step for rib in ribs}
        inner = {name: Range(r.low, min(r.size, steps.get(name, r.size))) for name, r in ranges.items()}
        self.values.begin(inner)
        self.columns = len(self._starts())
        self.lanes = self.values.lanes
        return [self._identity(self.lanes)] * (len(self._rows(inner, reduce=False)) * self.columns)

    def _identity(self, lanes: int) -> Register:
        assert self.stage.combine is not None
        return self.s.constant(identity(self.stage.combine, self.total_dtype), self.total_dtype, lanes)

    def _starts(self) -> range:
        """Offsets of the vectors along the vector dim (just 0 without one)."""
        lanes = self.values.lanes
        if not lanes or self.vector is None:
            return range(1)
        return range(0, self.values.ranges[self.vector].size, lanes)

    def _rows(self, ranges: Mapping[str, Range], reduce: bool) -> list[dict[str, int]]:
        """Points of the block along the parallel (or the reduce) dims, the vector dim left out."""
        names = [d.name for d in self.stage.dims if d.name != self.vector and (d.kind == REDUCE) == reduce]
        return [
            dict(zip(names, offsets, strict=True))
            for offsets in cartesian(*(range(ranges[name].size) for name in names))
        ]

    def _points(self, ranges: Mapping[str, Range]) -> list[tuple[int, dict[str, int]]]:
        """The block's vectors: the number of the accumulator and the point, along parallel dims and the vector dim."""
        return [
            (n * self.columns + column, row if self.vector is None else {**row, self.vector: start})
            for n, row in enumerate(self._rows(ranges, reduce=False))
            for column, start in enumerate(self._starts())
        ]

    def accumulate(self, ranges: Mapping[str, Range], totals: list[Register]) -> list[Register]:
        """One turn: every element of the block combined into its accumulator."""
        if self.stage.combine is None:
            return []
        self.values.begin(ranges)
        self.values.prefetch()
        totals = list(totals)
        points = self._points(ranges)
        for turn in self._rows(ranges, reduce=True):
            for n, point in points:
                totals[n] = self._combine(totals[n], {**point, **turn}, self.lanes)
        return totals

    def _combine(self, total: Register, point: dict[str, int], lanes: int) -> Register:
        body = self.stage.body
        masked = self.values.mask(point, lanes) if self.vector in self.reduces else None
        fusable = (
            self.stage.combine == "sum" and isinstance(body, Apply) and body.op == "mul" and body.dtype.is_float
            and masked is None and body.dtype == self.total_dtype
        )  # fmt: skip
        if fusable and isinstance(body, Apply):
            x, y = (
                self.values.spread(self.values.value(argument, point), lanes) for argument in body.arguments
            )
            return self.s.fma(x, y, total)
        value = self.values.spread(self.values.value(body, point), lanes)
        value = self.s.cast(value, body.dtype, self.total_dtype, lanes)
        if masked is not None:
            value = self.s.select(masked, value, self._identity(lanes))
        assert self.stage.combine is not None
        dtype = self.total_dtype
        return self.s.apply(_COMBINE[self.stage.combine], [total, value], dtype, dtype, lanes)

    def finish(self, ranges: Mapping[str, Range], totals: list[Register], complete: bool) -> None:
        """Store accumulators, reduced along the vector dim if that is a reduce dim; else evaluate and store.

        What is not complete is combined with what an earlier tile of the reduction has stored.
        """
        self.values.begin(ranges)
        if self.stage.combine is None:
            self.columns = len(self._starts())
            for _, point in self._points(ranges):
                self.values.store(self.values.value(self.stage.body, point), self.stage.body.dtype, point)
        elif self.vector in self.reduces:
            for n, row in enumerate(self._rows(ranges, reduce=False)):
                parts = totals[n * self.columns : (n + 1) * self.columns]
                self._store_total(self._horizontal(parts, self.lanes), row, complete)
        else:
            for n, point in self._points(ranges):
                self._store_total(totals[n], point, complete)

    def _store_total(self, total: Register, point: Mapping[str, int], complete: bool) -> None:
        dtype = self.total_dtype
        if not complete:
            assert self.stage.combine is not None
            so_far = Load(self.stage.write, self.write_dtype)
            lanes = self.lanes if total.type.startswith("<") else 0
            old = self.values.spread(self.values.value(so_far, point), lanes)
            old = self.s.cast(old, self.write_dtype, dtype, lanes)
            total = self.s.apply(_COMBINE[self.stage.combine], [old, total], dtype, dtype, lanes)
        self.values.store(total, dtype, point)

    def _horizontal(self, parts: list[Register], lanes: int) -> Register:
        assert self.stage.combine is not None
        dtype = self.total_dtype
        op = _COMBINE[self.stage.combine]
        while len(parts) > 1:
            pairs = [parts[n : n + 2] for n in range(0, len(parts), 2)]
            parts = [p[0] if len(p) == 1 else self.s.apply(op, p, dtype, dtype, lanes) for p in pairs]
        value = parts[0]
        if op == "add" and dtype.is_integer and lanes > 1:
            # in any order; by shuffles LLVM 22 takes a lone product of bytes for a sum of four (vpdpbusd), and leaves
            # out the others
            element = element_type(dtype)
            callee = self.b.intrinsic(f"llvm.vector.reduce.add.{suffix(value.type)}", element, [value.type])
            return self.b.pure(element, f"call {element} {callee}({value.type} {{0}})", [value])
        width = lanes
        while width > 1:  # halve by shuffles: the sum's order is fixed on every machine
            half = width // 2
            type, narrow = value.type, vector_type(element_type(dtype), half)
            halves = []
            for first in (0, half):
                mask = ", ".join(f"i32 {first + n}" for n in range(half))
                halves.append(
                    self.b.pure(
                        narrow, f"shufflevector {type} {{0}}, {type} poison, <{half} x i32> <{mask}>", [value]
                    )
                )
            value = self.s.apply(op, halves, dtype, dtype, half)
            width = half
        if lanes:
            value = self.b.pure(element_type(dtype), f"extractelement {value.type} {{0}}, i64 0", [value])
        return value
