"""Values of a stage's expressions at points of its block: loads, guards, gathers, stores, prefetches.

A value that does not depend on the vector dim stays scalar until it meets one that does, so an operand that is
broadcast is loaded once a row. `block.py` decides which points there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.types import DType, boolean, f32, i64, u8
from ...compiler.tile.infer import Range, affine_range
from ...compiler.tile.stage import Access, Affine, Apply, Const, Expr, Index, Load, Lookup, Stage, dim
from . import vectors
from .builder import Register, integer
from .scalars import BESIDE_ONE, vector_type
from .storage import Storage
from .strided import Strided

if TYPE_CHECKING:
    from .kernel import KernelEmitter

Point = Mapping[str, int]


class Values:
    """Reads and writes of one stage whose vectors run along the dim `vector` (None: everything is scalar)."""

    def __init__(self, emitter: "KernelEmitter", stage: Stage, vector: str | None):
        self.e = emitter
        self.b = emitter.b
        self.s = emitter.scalars
        self.stage = stage
        self.vector = vector
        self._write_dims = stage.write.dims
        self.ranges: Mapping[str, Range] = {}
        self.lanes = 0
        """Vector lanes, or 0 where the stage has no vector dim or only one element along it."""
        self._expr_dims: dict[Expr, tuple[str, ...]] = {}
        self._wide: dict[Expr, Load] = {}  # by casts that a copy has made
        self._linear: dict[Access, Affine] = {}
        self._cache: dict[object, Register] = {}
        self._origins: dict[Affine, tuple[Affine, list[tuple[str, int]]]] = {}
        self._pointers: dict[object, Register] = {}
        self._splats: dict[str, Register] = {}
        self._waiting: dict[object, dict[int, Register]] = {}

    def begin(self, ranges: Mapping[str, Range]) -> None:
        """Start a new block over `ranges`: what was loaded before may have changed."""
        self.ranges = ranges
        self.lanes = self.e.lanes if self.vector is not None and ranges[self.vector].size > 1 else 0
        for cache in (self._cache, self._origins, self._pointers, self._splats):
            cache.clear()

    def relocate(self) -> None:
        """Forget where buffers lie: a loop of the stage has reached other panels."""
        self._linear.clear()

    def _strided(self) -> Strided:
        assert self.vector is not None
        return Strided(self, self.vector, self._waiting)

    def mask(self, point: Point, lanes: int) -> Register | None:
        """Lanes inside the range of the vector dim, or None when all are."""
        if not lanes or self.vector is None:
            return None
        left = self.ranges[self.vector].size - point[self.vector]
        return None if left >= lanes else vectors.mask_of(left, lanes)

    def value(self, expr: Expr, point: Point) -> Register:
        """The expression at a point of the block: a vector if it depends on the vector dim, else a scalar."""
        dims = self._dims(expr)
        key = (expr, *[point.get(name, 0) for name in dims])
        found = self._cache.get(key)
        if found is not None:
            return found
        lanes = self.lanes if self.vector in dims else 0
        if isinstance(expr, Load):
            result = self._load(expr, point, lanes)
        elif (wide := self._widened_copy(expr)) is not None:
            result = self._load(wide, point, lanes)
        elif isinstance(expr, Const):
            result = self.s.constant(expr.value, expr.dtype, 0)  # type: ignore[arg-type]
        elif isinstance(expr, Index):
            result = self._index(expr.affine, point, lanes)
        elif isinstance(expr, Apply):
            arguments = [self.spread(self.value(a, point), lanes) for a in _arguments(expr)]
            source = expr.arguments[1 if expr.op == "where" else 0].dtype
            result = self.s.apply(expr.op, arguments, source, expr.dtype, lanes)
        else:
            raise UnsupportedError(f"stage {self.stage.name} has a repair factor where a value is needed")
        self._cache[key] = result
        return result

    def _widened_copy(self, expr: Expr) -> Load | None:
        """The load of what a copy has already cast, in the copy's type."""
        if not isinstance(expr, Apply) or expr.op != "cast" or not isinstance(expr.arguments[0], Load):
            return None
        load = expr.arguments[0]
        if self.e.storage[load.access.buffer].dtype != expr.dtype or load.dtype == expr.dtype:
            return None
        return self._wide.setdefault(expr, Load(load.access, expr.dtype))

    def keep(self, expr: Load, point: Point, value: Register) -> None:
        """What was loaded together with another point's value, until that is asked for."""
        self._cache[(expr, *[point.get(name, 0) for name in self._dims(expr)])] = value

    def _dims(self, expr: Expr) -> tuple[str, ...]:
        """The dims that an expression depends on."""
        found = self._expr_dims.get(expr)
        if found is None:
            if isinstance(expr, Load):
                found = expr.access.dims
            elif isinstance(expr, Index):
                found = expr.affine.dims
            else:
                found = tuple(dict.fromkeys(name for part in expr.arguments for name in self._dims(part)))
            self._expr_dims[expr] = found
        return found

    def spread(self, value: Register, lanes: int) -> Register:
        """A scalar in all lanes, if there are lanes; a vector as it is."""
        if not lanes or value.type[0] == "<":
            return value
        found = self._splats.get(value.text) if value.text[0] == "%" else None
        if found is None:
            found = self._splats[value.text] = self.s.splat(value, lanes)
        return found

    def linear(self, access: Access) -> Affine:
        """The element offset of an access in its storage, lookups left out."""
        found = self._linear.get(access)
        if found is None:
            found = self._linear[access] = self.e.storage[access.buffer].linear(access.index)
        return found

    def offset(self, affine: Affine, point: Point) -> Affine:
        """An affine expression of stage dims at a point, as one of loop variables."""
        known = self._origins.get(affine)
        if known is None:
            known = self._origins[affine] = self._origin(affine)
        origin, steps = known
        ahead = 0
        for name, coefficient in steps:
            ahead += point.get(name, 0) * coefficient
        return origin + ahead

    def _origin(self, affine: Affine) -> tuple[Affine, list[tuple[str, int]]]:
        """An affine expression at the block's first point, and its steps along the block's dims."""
        origin, steps = Affine((), affine.const), []
        for name, coefficient in affine.terms:
            if name in self.ranges:
                origin = origin + self.ranges[name].low * coefficient
                steps.append((name, coefficient))
            else:  # already a loop variable (the low end of a held tile)
                origin = origin + Affine(((name, coefficient),))
        return origin, steps

    def _place(self, access: Access, point: Point) -> Affine:
        """The element offset of an access's point in its storage, lookups left out."""
        offset = self.offset(self.linear(access), point)
        storage = self.e.storage[access.buffer]
        if storage.panels is None:
            return offset
        axis, width, between = storage.panels
        part = access.index[axis]
        column = self.offset(part - storage.lows[axis], point) if isinstance(part, Affine) else None
        if column is None or column.terms:
            raise UnsupportedError(f"stage {self.stage.name} reads '{access.buffer}' across its panels")
        return offset + column.const // width * between

    def _integer(self, affine: Affine) -> Register:
        """An affine expression of loop variables as an i64 register."""
        total: Register | None = None
        for name, coefficient in sorted(affine.terms, key=lambda t: self.e.variables[t[0]].level):
            variable = self.e.variables[name]
            part = (
                variable
                if coefficient == 1
                else self.b.pure("i64", f"mul nsw i64 {{0}}, {coefficient}", [variable])
            )
            total = part if total is None else self.b.pure("i64", "add nsw i64 {0}, {1}", [total, part])
        if total is None:
            return integer(affine.const)
        return self.b.pure("i64", f"add nsw i64 {{0}}, {affine.const}", [total]) if affine.const else total

    def _index(self, affine: Affine, point: Point, lanes: int) -> Register:
        base = self._integer(self.offset(affine, point))
        if not lanes:
            return base
        assert self.vector is not None
        return self._lane_numbers(base, affine.coefficient(self.vector), lanes)

    def _lane_numbers(self, base: Register, step: int, lanes: int) -> Register:
        """base, base + step, ... as i64 lanes."""
        type = vector_type("i64", lanes)
        steps = ", ".join(f"i64 {n * step}" for n in range(lanes))
        return self.b.pure(type, f"add {type} {{0}}, <{steps}>", [self.s.splat(base, lanes)])

    def _load(self, expr: Load, point: Point, lanes: int) -> Register:
        access = expr.access
        storage = self.e.storage[access.buffer]
        if storage.registers is not None:
            return storage.registers[_register_key(access, point)]
        linear = self.linear(access)
        by_lane = any(isinstance(p, Lookup) and self.vector in p.access.dims for p in access.index)
        stride = linear.coefficient(self.vector) if self.vector is not None else 0
        if lanes and (stride != 1 or by_lane or (access.fill is not None and _splits(storage.dtype))):
            return self._strided().load(expr, point, lanes)
        coordinates = self.looked_up(storage, access, point)
        if not lanes:
            return self.load_one(expr, point, coordinates)
        guard = self.guards(access, point, lanes, coordinates) if access.fill is not None else None
        pointer = self.address(storage, self._place(access, point), coordinates)
        mask = None if storage.padded else self.mask(point, lanes)
        if guard is None:
            return vectors.load(self.b, pointer, storage.dtype, lanes, mask, None)
        fill = self.s.constant(access.fill, storage.dtype, lanes)  # type: ignore[arg-type]
        if guard.type.startswith("<"):
            if mask is not None:
                guard = self.b.pure(guard.type, f"and {guard.type} {{0}}, {{1}}", [guard, mask])
            return vectors.load(self.b, pointer, storage.dtype, lanes, guard, fill)
        if storage.dtype == boolean:  # bytes in memory
            fill = self.s.constant(int(access.fill), u8, lanes)  # type: ignore[arg-type]
        safe = self.b.pure("ptr", "select i1 {0}, ptr {1}, ptr {2}", [guard, pointer, self.e.kept(fill)])
        return vectors.load(self.b, safe, storage.dtype, lanes, mask, None)

    def neighbours(self, access: Access, point: Point, type: str, behind: int = 0) -> Register:
        """What lies so many elements behind an access's point, as a value of an LLVM type of whole elements."""
        align = self.e.storage[access.buffer].dtype.bytes
        pointer = self.pointer(access, point, behind)
        return self.b.here(type, f"load {type}, ptr {pointer.text}, align {align}")

    def pointer(self, access: Access, point: Point, behind: int = 0) -> Register:
        """The address of what lies so many elements behind an access's point; no lookups, no guards."""
        return self.address(self.e.storage[access.buffer], self._place(access, point) + behind)

    def load_one(self, expr: Load, point: Point, coordinates: list[tuple[Register, int]]) -> Register:
        """One element; outside the buffer its fill."""
        access = expr.access
        storage = self.e.storage[access.buffer]
        guard = self.guards(access, point, 0, coordinates) if access.fill is not None else None
        pointer = self.address(storage, self._place(access, point), coordinates)
        if guard is None:
            return vectors.load(self.b, pointer, storage.dtype, 0, None, None)
        assert storage.base is not None
        safe = self.b.pure("ptr", "select i1 {0}, ptr {1}, ptr {2}", [guard, pointer, storage.base])
        value = vectors.load(self.b, safe, storage.dtype, 0, None, None)
        fill = self.s.constant(access.fill, storage.dtype, 0)  # type: ignore[arg-type]
        return self.b.pure(
            value.type, f"select i1 {{0}}, {value.type} {{1}}, {value.type} {{2}}", [guard, value, fill]
        )

    def guards(
        self,
        access: Access,
        point: Point,
        lanes: int,
        coordinates: Sequence[tuple[Register, int]] = (),
    ) -> Register | None:
        """The condition (i1, or lanes of i1) that an access with a fill is inside its buffer; None if it always is.

        `coordinates` are the values of its lookups, in order.
        """
        condition: Register | None = None
        gathered = iter(coordinates)
        for axis, part in enumerate(access.index):
            if isinstance(part, Lookup):
                inside = self._inside(next(gathered)[0], self.e.extent(access.buffer, axis))
            elif not self.may_leave(access, axis):
                continue
            else:
                wide = lanes if lanes and self.vector in part.dims else 0
                extent = self.e.extent(access.buffer, axis)
                at = self.offset(part, point)
                if not at.terms:
                    # LLVM must not be left to find out that a mask has all lanes: it may then abort (22.1, AVX2)
                    step = part.coefficient(self.vector) if self.vector is not None and wide else 0
                    flags = [0 <= at.const + lane * step < extent for lane in range(wide or 1)]
                    if all(flags):
                        continue
                    inside = vectors.flags(flags) if wide else Register("false", "i1")
                else:
                    inside = self._inside(self._index(part, point, wide), extent)
            if condition is None:
                condition = inside
            else:
                if condition.type != inside.type:
                    condition, inside = self.spread(condition, lanes), self.spread(inside, lanes)
                condition = self.b.pure(
                    condition.type, f"and {condition.type} {{0}}, {{1}}", [condition, inside]
                )
        return condition

    def _inside(self, index: Register, extent: int) -> Register:
        """Whether an index, or each lane of them, is one of an axis."""
        wide = self.e.lanes if index.type.startswith("<") else 0
        limit = self.s.constant(extent, i64, wide)
        return self.b.pure(vector_type("i1", wide), f"icmp ult {index.type} {{0}}, {{1}}", [index, limit])

    def may_leave(self, access: Access, axis: int) -> bool:
        """Whether an axis of an access can leave the buffer anywhere in the kernel's whole domain."""
        part = access.index[axis]
        if not isinstance(part, Affine):
            return False
        whole = {d.name: Range(Affine(), d.extent) for d in self.stage.dims}
        extent = self.e.extent(access.buffer, axis)
        reach = affine_range(part, whole) if set(part.dims) <= set(whole) else Range(Affine(), 1)
        return reach.low.const < 0 or reach.low.const + reach.size > extent

    def looked_up(self, storage: Storage, access: Access, point: Point) -> list[tuple[Register, int]]:
        """Coordinates from index tensors, as (value, stride); lanes of them if they vary along the vector."""
        out = []
        for stride, part in zip(storage.strides, access.index, strict=True):
            if isinstance(part, Lookup):
                dtype = self.e.storage[part.access.buffer].dtype
                value = self.value(Load(part.access, dtype), point)
                lanes = self.lanes if value.type.startswith("<") else 0
                out.append((self.s.cast(value, dtype, i64, lanes), stride))
        return out

    def address(
        self, storage: Storage, offset: Affine, extra: Iterable[tuple[Register, int]] = ()
    ) -> Register:
        """A pointer to an element: base, a step per loop variable (outer first), gathered parts, the constant."""
        size = storage.dtype.bytes
        key = (storage.base, size, offset.terms)
        pointer = self._pointers.get(key)
        if pointer is None:
            pointer = self._pointers[key] = self._moved(storage, offset)
        for register, stride in extra:
            step = self.b.pure("i64", f"mul nsw i64 {{0}}, {stride * size}", [register])
            pointer = self.b.pure("ptr", "getelementptr i8, ptr {0}, i64 {1}", [pointer, step])
        if offset.const:  # where it is used, for there it is part of an instruction
            text = f"getelementptr i8, ptr {{0}}, i64 {offset.const * size}"
            pointer = self.b.pure("ptr", text, [pointer], self.b.level)
        return pointer

    def _moved(self, storage: Storage, offset: Affine) -> Register:
        """The storage's base moved by the loop variables of an offset, outer ones first."""
        assert storage.base is not None
        pointer = storage.base
        for name, coefficient in sorted(offset.terms, key=lambda t: self.e.variables[t[0]].level):
            variable = self.e.variables[name]
            text = f"mul nsw i64 {{0}}, {coefficient * storage.dtype.bytes}"
            step = self.b.pure("i64", text, [variable])
            pointer = self.b.pure("ptr", "getelementptr i8, ptr {0}, i64 {1}", [pointer, step])
        return pointer

    def store(self, value: Register, dtype: DType, point: Point) -> None:
        """Write one row's vector (or scalar), converted to the buffer's dtype."""
        access = self.stage.write
        storage = self.e.storage[access.buffer]
        lanes = self.lanes if self.vector in self._write_dims else 0
        value = self.spread(
            self.s.cast(value, dtype, storage.dtype, lanes if value.type.startswith("<") else 0), lanes
        )
        if storage.registers is not None:
            storage.registers[_register_key(access, point)] = value
            return
        guard = self.guards(access, point, lanes) if access.fill is not None else None
        linear = self.linear(access)
        stride = linear.coefficient(self.vector) if self.vector is not None else 0
        if lanes and (stride != 1 or (guard is not None and _splits(storage.dtype))):
            self._strided().store(value, access, point, lanes, guard is not None)
            return
        mask = self.mask(point, lanes)
        if mask is not None and self._ends(storage, access, point):
            mask = None
        if (
            mask is not None
            and guard is None
            and self.ranges[str(self.vector)].size - point[str(self.vector)] == 1
        ):
            # LLVM 22 writes too many bytes where it joins a narrowing with a masked store of one lane.
            value, lanes, mask = vectors.lane(self.b, value, 0), 0, None
        self.store_at(value, storage, self.offset(linear, point), lanes, mask, guard)

    def _ends(self, storage: Storage, access: Access, point: Point) -> bool:
        """Whether a vector ends a padded tile: all lanes may be written, which leaves no undefined ones."""
        if not storage.padded or not storage.sizes or self.vector is None:
            return False
        for part, low, size in zip(access.index, storage.lows, storage.sizes, strict=True):
            if isinstance(part, Affine) and self.vector in part.dims:
                begin = self.offset(part - low, point)
                left = self.ranges[self.vector].size - point[self.vector]
                row = min((s for s in storage.strides if s > 1), default=size + self.e.lanes)
                ends = begin.const + left >= size and begin.const + self.e.lanes <= row
                return not begin.terms and ends
        return False

    def store_at(
        self,
        value: Register,
        storage: Storage,
        offset: Affine,
        lanes: int,
        mask: Register | None,
        guard: Register | None,
    ) -> None:
        pointer = self.address(storage, offset)
        if storage.dtype == boolean:
            bytes = vector_type("i8", lanes)
            value = self.b.pure(bytes, f"zext {value.type} {{0}} to {bytes}", [value])
        align = max(1, storage.dtype.bytes)
        if guard is not None and not lanes:
            self.b.branch(guard, lambda: self.b.line(f"store {value}, ptr {pointer.text}, align {align}"))
            return
        if guard is not None:
            guard = self.spread(guard, lanes)
            mask = (
                guard
                if mask is None
                else self.b.pure(guard.type, f"and {guard.type} {{0}}, {{1}}", [guard, mask])
            )
        vectors.store(self.b, value, pointer, align, lanes, mask)

    def prefetch(self) -> None:
        """Fetch the next panel of a double-buffered operand, spread evenly over all turns of this panel's tiles."""
        for access in self.stage.reads:
            storage = self.e.storage[access.buffer]
            if storage.ahead:
                self._prefetch_panel(storage)

    def _prefetch_panel(self, storage: Storage) -> None:
        assert storage.base is not None
        share = float(storage.ahead)
        position = Affine()
        for name in self.e.open_loops(storage.held_at):
            step, count = self.e.turns[name]
            share /= count
            position = position + dim(name) * max(1, round(share / step))
        lines = -(-int(share) // 64)
        if lines > 16:
            return
        start = self.offset(storage.start, {}) * storage.dtype.bytes
        flat = Storage(storage.base, (), (), Affine(), _BYTE)
        callee = self.b.intrinsic(
            "llvm.prefetch.p0", "void", ["ptr", "i32 immarg", "i32 immarg", "i32 immarg"]
        )
        for line in range(lines):
            pointer = self.address(flat, start + position + (storage.ahead + line * 64))
            self.b.line(f"call void {callee}(ptr {pointer.text}, i32 0, i32 2, i32 1)")


_BYTE = DType("u8", "uint", 8)


def _register_key(access: Access, point: Point) -> tuple[int, ...]:
    return tuple(
        point.get(part.dims[0], 0) if isinstance(part, Affine) and part.terms else 0 for part in access.index
    )


def _splits(dtype: DType) -> bool:
    """Whether a vector of it takes several registers. LLVM (22.1, AVX2) may forget a guard's mask where it halves one:
    of 8 lanes of f64 with the last 4 outside, it loaded these too."""
    return dtype.bytes > 4


def _arguments(expr: Apply) -> Sequence[Expr]:
    """What an operation is applied to; an exponential beside 1 or more by its quicker form."""
    if expr.op != "add" or expr.dtype != f32 or not any(map(_is_one_or_more, expr.arguments)):
        return expr.arguments
    return [
        Apply(BESIDE_ONE, part.arguments, f32) if isinstance(part, Apply) and part.op == "exp" else part
        for part in expr.arguments
    ]


def _is_one_or_more(expr: Expr) -> bool:
    return isinstance(expr, Const) and expr.value >= 1  # type: ignore[operator]
