"""One kernel and its schedule as one LLVM function: walks the lowered tree; loops, scopes, copies, repairs.

What happens inside the innermost block of a stage is in `block.py`. The function computes one chunk: `chunk` numbers
the tiles of the leading parallel loops. `lag`, `slots` beyond prefetching and `roll` change no value and mean nothing
on a machine with caches, so they are not looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.types import DType
from ...compiler.tile.access_maps import WIDE, wide_dtype
from ...compiler.tile.infer import Range, access_box, affine_range, infer
from ...compiler.tile.lower import Compute, Fix, For, Scope, Tree, lower
from ...compiler.tile.schedule import PARALLEL_LOOP, Hold, Loop, Place, Schedule, Segment, segments
from ...compiler.tile.stage import (
    CONSTANT,
    LOCAL,
    OUTPUT,
    REDUCE,
    SCAN,
    Access,
    Affine,
    Buffer,
    Const,
    Dim,
    Expr,
    Held,
    Kernel,
    Load,
    Stage,
    apply,
    dim,
    rewrite,
)
from ...runtime.records import dataclass, replace
from .arrays import TileShapes, block_kind
from .block import Block, identity
from .builder import Builder, Register
from .dot import Factor, factor
from .holds import Packing, dense, packed, panel_ribs, scratch
from .leaves import LEAVES
from .machine import Machine
from .scalars import Scalars
from .storage import Storage

_ANYWHERE = 1 << 40  # an extent for indices that pass the edges of a buffer
REGISTERS = "reg"  # the memory of the chip file that is the register file

Ranges = dict[str, Range]
Totals = list[Register]


@dataclass(frozen=True)
class KernelCode:
    """A kernel's IR function; `parameters` names the buffers it takes, in order, before the chunk number."""

    name: str
    text: str
    parameters: tuple[str, ...]
    chunks: int
    packings: tuple[Packing, ...]

    @property
    def declaration(self) -> str:
        """What a module needs that calls the function."""
        return f"declare hidden void @{self.name}({'ptr, ' * len(self.parameters)}i64)"


_VECTOR_BYTES = 64  # at most


class KernelEmitter:
    """Emits one kernel. `declarations` collects the intrinsics that the module must declare."""

    def __init__(
        self, kernel: Kernel, schedule: Schedule, machine: Machine, name: str, declarations: set[str]
    ):
        self.kernel = kernel
        self.schedule = schedule
        self.name = name
        self.b = Builder(declarations)
        self.tiles = TileShapes(self.b)
        self.scalars = Scalars(self.b, machine.features, self._flushes())
        self.lanes = machine.lanes
        self.variables: dict[str, Register] = {}
        self.turns: dict[str, tuple[int, int]] = {}  # open loop variables: elements a turn, number of turns
        self._open: list[
            tuple[str, int]
        ] = []  # open loop variables with their depth in the spine (ribs: last)
        self._kept: dict[str, Register] = {}
        self.packings: dict[str, Packing] = {}
        self.panelled: dict[str, tuple[Hold, Sequence[Range]]] = {}
        self.buffers = {buffer.name: buffer for buffer in kernel.buffers}
        self.dims = kernel.dims
        self.parameters = {
            b.name: Register(f"%b{n}", "ptr") for n, b in enumerate(kernel.buffers) if b.role != LOCAL
        }
        self.storage = {name: dense(self.buffers[name], base) for name, base in self.parameters.items()}
        self.chunk = Register("%chunk", "i64")
        self.leading = [loop for n, loop in enumerate(schedule.loops) if self._is_leading(n)]
        self.counts = [
            sum(cut.count for cut in segments(self.dims[loop.dim].size, loop.step, loop.unit))
            for loop in self.leading
        ]

    def emit(self) -> KernelCode:
        """The finished function; UnsupportedError for what this emitter can't do."""
        self._refuse_borders()
        self._nodes(lower(self.kernel, self.schedule), {})
        self.tiles.end()
        text = self.b.function(self.name, [*self.parameters.values(), self.chunk], "#0", "hidden")
        return KernelCode(
            self.name, text, tuple(self.parameters), prod(self.counts), tuple(self.packings.values())
        )

    def _flushes(self) -> bool:
        """Whether the machine's products of bf16 take the least numbers for zeros anyway."""
        return any(LEAVES[p.engine].form == "bfloat" for p in self.schedule.places if p.bound("k"))

    def extent(self, buffer: str, axis: int) -> int:
        """Elements of a buffer along an axis."""
        return self.buffers[buffer].static_shape[axis]

    def _is_leading(self, depth: int) -> bool:
        """Whether the loops down to a depth are parallel, each over a dim of its own, with all work inside."""
        written = [
            hold.at for hold in self.schedule.holds if self.buffers[hold.buffer].role in (LOCAL, OUTPUT)
        ]
        if depth >= min([*written, *(place.at for place in self.schedule.places)]):
            return False
        loops = self.schedule.loops[: depth + 1]
        return all(loop.kind == PARALLEL_LOOP for loop in loops) and len({loop.dim for loop in loops}) == len(
            loops
        )

    def kept(self, constant: Register) -> Register:
        """The address of a constant on the stack: what is read there in place of elements that are not there."""
        key = str(constant)
        if key not in self._kept:
            self._kept[key] = self.b.alloca(_VECTOR_BYTES)
            self.b.entry_lines.append(f"store {constant}, ptr {self._kept[key].text}, align 1")
        return self._kept[key]

    def _refuse_borders(self) -> None:
        """A tile that its readers may leave would have to be clipped at the edges of the tensor.

        Along a sequential dim it is not: there a tile is held whole, and earlier steps than the first read the fill.
        """
        for stage in self.kernel.stages:
            whole = {d.name: Range(Affine(), d.size) for d in stage.dims}
            stepped = {d.name for d in stage.kind(SCAN)}
            for access in stage.reads:
                if access.fill is None or self.buffers[access.buffer].role != LOCAL:
                    continue
                for part, extent in zip(access.index, self.buffers[access.buffer].static_shape, strict=True):
                    if not isinstance(part, Affine) or stepped & set(part.dims):
                        continue
                    reach = affine_range(part, whole)
                    if reach.low.const < 0 or reach.low.const + reach.size > extent:
                        raise UnsupportedError(
                            f"stage {stage.name} reads past the edge of what the kernel holds"
                        )

    def _nodes(self, nodes: Sequence[Tree], env: Ranges) -> None:
        for node in nodes:
            if isinstance(node, For):
                self._chunked(node, env) if node.depth < len(self.leading) else self._spine(node, env)
            elif isinstance(node, Scope):
                self._scope(node, env)
            elif isinstance(node, Compute):
                self._compute(node, env)
            else:
                self._fix(node, env)

    # --- loops -----------------------------------------------------------------------------------------------

    def _chunked(self, node: For, env: Ranges) -> None:
        """A leading parallel loop: its tile number is a digit of the chunk number."""
        loop, depth = node.loop, node.depth
        digit = self.chunk
        if (inner := prod(self.counts[depth + 1 :])) > 1:
            digit = self.b.pure("i64", f"udiv i64 {{0}}, {inner}", [digit])
        if depth and self.counts[depth] > 1:
            digit = self.b.pure("i64", f"urem i64 {{0}}, {self.counts[depth]}", [digit])
        cuts = segments(self.dims[loop.dim].size, loop.step, loop.unit)
        self._choose(node, env, digit, cuts, 0)

    def _choose(self, node: For, env: Ranges, digit: Register, cuts: Sequence[Segment], before: int) -> None:
        """The tile whose number is `digit`, of one of the cuts; so many tiles come before them."""
        cut, *rest = cuts
        if not rest:
            self._tile(node, env, digit, cut, before)
            return
        limit = before + cut.count
        condition = self.b.pure("i1", f"icmp ult i64 {{0}}, {limit}", [digit])
        yes = partial(self._tile, node, env, digit, cut, before)
        self.b.branch(condition, yes, partial(self._choose, node, env, digit, rest, limit))

    def _tile(self, node: For, env: Ranges, digit: Register, cut: Segment, before: int) -> None:
        name = f"L{node.depth}"
        self.variables[name] = self.b.pure("i64", f"mul i64 {{0}}, {cut.size}", [digit])
        low = Affine((), cut.start) if cut.count == 1 else dim(name) + (cut.start - before * cut.size)
        self._open_loop(name, cut, node.depth)
        self._nodes(node.body, {**env, node.loop.dim: Range(low, cut.size)})
        self._open.pop()

    def _spine(self, node: For, env: Ranges) -> None:
        """A serial loop of the spine (parallel ones inside serial ones run in order, too)."""

        def body(inner: Ranges, totals: Totals) -> Totals:
            self._nodes(node.body, inner)
            return totals

        outer = (
            env
            if node.loop.dim in env
            else {**env, node.loop.dim: Range(Affine(), self.dims[node.loop.dim].size)}
        )
        self._tiles(node.loop, node.depth, outer, body, [])

    def _tiles(
        self, loop: Loop, depth: int, ranges: Ranges, body: Callable[[Ranges, Totals], Totals], totals: Totals
    ) -> Totals:
        """The tiles of a dim's current range, each segment with its static size; `totals` are carried in registers."""
        outer = ranges[loop.dim]
        for cut in segments(outer.size, loop.step, loop.unit):
            if cut.count == 1:
                totals = body({**ranges, loop.dim: Range(outer.low + cut.start, cut.size)}, totals)
                continue
            name = self.b.name("i")
            inner = {**ranges, loop.dim: Range(outer.low + dim(name), cut.size)}
            self._open_loop(name, cut, depth)
            totals = self.b.loop(
                cut.start, cut.size, cut.count, totals, partial(self._turn, name, inner, body)
            )
            self._open.pop()
        return totals

    def _turn(
        self,
        name: str,
        ranges: Ranges,
        body: Callable[[Ranges, Totals], Totals],
        variable: Register,
        totals: Totals,
    ) -> Totals:
        self.variables[name] = variable
        return body(ranges, totals)

    def _open_loop(self, variable: str, cut: Segment, depth: int) -> None:
        self.turns[variable] = (cut.size, cut.count)
        self._open.append((variable, depth))

    def open_loops(self, depth: int) -> list[str]:
        """Variables of the loops around this point that lie below `depth` in the spine, ribs included."""
        return [name for name, at in self._open if at >= depth]

    # --- scopes ----------------------------------------------------------------------------------------------

    def _scope(self, node: Scope, env: Ranges) -> None:
        before = self.storage.get(node.hold.buffer)
        self._hold(node, env, before)
        self._nodes(node.body, env)
        if before is not None:
            self.storage[node.hold.buffer] = before
        else:
            del self.storage[node.hold.buffer]

    def _hold(self, node: Scope, env: Ranges, before: Storage | None) -> None:
        """Give the held buffer its storage. A further hold of a tile in memory, or one without a layout, is no copy."""
        hold = node.hold
        buffer = self.buffers[hold.buffer]
        if buffer.role == LOCAL:
            if before is not None:
                return
            if hold.memory == REGISTERS and self._completes(hold):
                self.storage[hold.buffer] = Storage.in_registers(buffer.dtype)
                return
            box = infer(self.kernel, env).locals[buffer.name]
            self.storage[hold.buffer] = scratch(self.b, buffer, box, range(len(box)), self.lanes)
            if node.initialise is not None:
                start = Const(identity(node.initialise, buffer.dtype), buffer.dtype)
                self._fill(buffer, self.storage[hold.buffer], box, lambda _: start)
        elif hold.layout is not None and buffer.role != OUTPUT:
            box = infer(self.kernel, env).buffer(self.kernel, buffer.name)
            wanted = factor(self.kernel, self.schedule, buffer.name)
            if buffer.role == CONSTANT:
                self._use_packed(hold, box, wanted)
            elif wanted is not None:
                self._copy(hold, box, wanted)
            else:
                self._refuse_padding(buffer, box)
                dtype = wide_dtype(self.kernel, buffer.name)
                if prod(range_.size for range_ in box) * dtype.bytes > WIDE:
                    dtype = buffer.dtype
                around = self.storage[buffer.name].dtype  # that of another copy, where there is one
                target = scratch(self.b, replace(buffer, dtype=dtype), box, hold.layout, self.lanes)
                self._fill(buffer, target, box, lambda at: Load(Access(buffer.name, at), around))
                self.storage[hold.buffer] = target
        elif buffer.role == OUTPUT and node.initialise is not None:
            box = infer(self.kernel, env).buffer(self.kernel, buffer.name)
            start = Const(identity(node.initialise, buffer.dtype), buffer.dtype)
            self._refuse_padding(buffer, box)
            self._fill(buffer, self.storage[hold.buffer], box, lambda _: start)

    def _refuse_padding(self, buffer: Buffer, box: Sequence[Range]) -> None:
        """A box that accesses may leave holds places that the buffer does not have."""
        accesses = [access for stage in self.kernel.stages for access in (*stage.reads, stage.write)]
        padded = any(access.buffer == buffer.name and access.fill is not None for access in accesses)
        outside = any(
            not range_.low.terms and not 0 <= range_.low.const <= extent - range_.size
            for range_, extent in zip(box, buffer.static_shape, strict=True)
        )
        if padded or outside:
            raise UnsupportedError(f"a tile of '{buffer.name}' that is copied passes its edge")

    def _completes(self, hold: Hold) -> bool:
        """Whether all that touches a tile stands at its depth, and no loop of the spine cuts what fills it."""
        touching = {s.name for s in (*self.kernel.writers(hold.buffer), *self.kernel.readers(hold.buffer))}
        cut = {loop.dim for loop in self.schedule.loops[: hold.at]}
        return all(self.schedule.place(name).at == hold.at for name in touching) and not any(
            d.name in cut for s in self.kernel.writers(hold.buffer) for d in s.kind(REDUCE)
        )

    def _copy(self, hold: Hold, box: Sequence[Range], wanted: Factor) -> None:
        """A factor in the type that its leaf takes, with what it has past its edges."""
        buffer = self.buffers[hold.buffer]
        assert hold.layout is not None
        target = scratch(self.b, replace(buffer, dtype=wanted.dtype), box, hold.layout, self.lanes)
        whole = infer(self.kernel, {}).buffer(self.kernel, buffer.name)
        extents = [
            r.size if r.low.const >= 0 and r.low.const + r.size <= extent else _ANYWHERE
            for r, extent in zip(whole, buffer.static_shape, strict=True)
        ]
        fill = wanted.access.fill

        def value(at: tuple[Affine, ...]) -> Expr:
            load = Load(Access(buffer.name, at, fill), buffer.dtype)
            if not wanted.shift:
                return load
            return apply("bit_xor", load, Const(-wanted.shift, buffer.dtype), dtype=buffer.dtype)

        self._fill(buffer, target, box, value, extents, vectors=4)
        self.storage[hold.buffer] = target

    def _use_packed(self, hold: Hold, box: Sequence[Range], wanted: Factor | None) -> None:
        if any(self.schedule.place(s.name).at < hold.at for s in self.kernel.readers(hold.buffer)):
            raise UnsupportedError(f"the constant '{hold.buffer}' is packed for some of its readers only")
        ribs = panel_ribs(self.kernel, self.schedule, hold)
        storage, packing = packed(
            self.kernel, self.schedule, hold, box, self.parameters[hold.buffer], self.lanes, ribs, wanted
        )
        if ribs:
            self.panelled[hold.buffer] = (hold, box)
        if self.packings.setdefault(hold.buffer, packing) != packing:
            raise UnsupportedError(f"the constant '{hold.buffer}' would need two packings")
        self.storage[hold.buffer] = storage

    def _select_panels(self, stage: Stage, ranges: Ranges) -> bool:
        """The panels that a stage's own loops have reached; False where they select none."""
        found = False
        for access in stage.reads:
            if access.buffer in self.panelled:
                hold, whole = self.panelled[access.buffer]
                assert hold.layout is not None
                axis = hold.layout[-1]
                reached = access_box(access, ranges, self.buffers[access.buffer].static_shape)[axis]
                box = (*whole[:axis], reached, *whole[axis + 1 :])
                base = self.parameters[access.buffer]
                self.storage[access.buffer], _ = packed(
                    self.kernel, self.schedule, hold, box, base, self.lanes
                )
                found = True
        return found

    def _fill(
        self,
        buffer: Buffer,
        target: Storage,
        box: Sequence[Range],
        value: Callable[[tuple[Affine, ...]], Expr],
        extents: Sequence[int] | None = None,
        vectors: int = 1,
    ) -> None:
        """Write value(index) to every element of a box; squares are transposed where the source runs the other way.

        `extents`: what the index may reach along each axis, if it is not only the box. `vectors`: how many a turn.
        """
        names = [f"axis{axis}" for axis in range(len(box))]
        index = tuple(dim(name) for name in names)
        dims = tuple(map(Dim, names, extents or [r.size for r in box]))
        stage = Stage("fill", dims, value(index), Access("filled", index))
        contiguous = [name for name, stride in zip(names, target.strides, strict=True) if stride == 1]
        vector = contiguous[-1] if contiguous else None
        square = (vector, *names[-1:])
        steps = dict.fromkeys(square, self.lanes * (vectors if names[-1:] == [vector] else 1))
        loops = tuple(Loop(n, steps[n], unit=self.lanes) if n in square else Loop(n, 1) for n in names)
        place = Place("fill", 0, "vec", loops, bind=(("n", (vector,)),) if vector else ())
        self.storage["filled"] = target
        self._stage(stage, place, buffer.dtype, dict(zip(names, box, strict=True)))

    # --- stages ----------------------------------------------------------------------------------------------

    def _compute(self, node: Compute, env: Ranges) -> None:
        stage = node.stage
        followed = [
            s for s in self.kernel.stages if s.repair is not None and s.repair.of == stage.write.buffer
        ]
        if not node.initialise and followed:
            self._keep_old(stage.write.buffer, env)
        ranges = self._domain(stage, infer(self.kernel, env).stages[stage.name])
        if all(range_.size > 0 for range_ in ranges.values()):
            self._stage(stage, node.place, self.buffers[stage.write.buffer].dtype, ranges, node.initialise)

    def _domain(self, stage: Stage, ranges: Mapping[str, Range]) -> Ranges:
        """What a tile needs of a stage; where several stages write one buffer, each does its own part of it."""
        if len(self.kernel.writers(stage.write.buffer)) == 1:
            return dict(ranges)
        clipped = {}
        for name, range_ in ranges.items():
            if range_.low.terms and self.buffers[stage.write.buffer].role == LOCAL:
                raise UnsupportedError(f"stage {stage.name} writes a part of a buffer that tiles cut")
            begin = max(0, range_.low.const)
            end = min(stage.dim(name).size, range_.low.const + range_.size)
            clipped[name] = range_ if range_.low.terms else Range(Affine((), begin), end - begin)
        return clipped

    def _keep_old(self, name: str, env: Ranges) -> None:
        """Copy a tile before it changes: repairs ask for the value that it had."""
        box = infer(self.kernel, env).locals[name]
        buffer = self.buffers[name]
        old = scratch(self.b, buffer, box, range(len(box)), self.lanes)
        self._fill(buffer, old, box, lambda at: Load(Access(name, at), buffer.dtype))
        self.storage[f"old {name}"] = old

    def _fix(self, node: Fix, env: Ranges) -> None:
        """accumulator *= factor(old, new), elementwise over the tile that is accumulated."""
        stage = node.stage
        assert stage.repair is not None
        name, factor = stage.repair.of, stage.repair.factor
        (followed,) = self.kernel.writers(name)
        dtype = self.buffers[name].dtype

        def change(expr: Expr) -> Expr | None:
            if not isinstance(expr, Held):
                return None
            source = name if expr.which == "new" else f"old {name}"
            return Load(Access(source, followed.write.index), dtype)

        target = self.buffers[stage.write.buffer]
        body = Load(stage.write, target.dtype) * rewrite(factor, change)
        dims = tuple(d for d in stage.dims if d.kind != REDUCE)
        repair = Stage(f"repair {stage.name}", dims, body, stage.write)
        ranges = {d.name: infer(self.kernel, env).stages[stage.name][d.name] for d in dims}
        loops = tuple(loop for loop in node.place.loops if loop.dim in ranges)
        self._stage(repair, Place(repair.name, 0, "vec", loops, node.place.bind), target.dtype, ranges)

    def _stage(self, stage: Stage, place: Place, dtype: DType, ranges: Ranges, complete: bool = True) -> None:
        """The stage's own loops, parallel ones outside, and the block in the middle."""
        block = block_kind(place)(self, stage, place, dtype)
        ribs = block.collapse(place.loops, ranges)
        reduce = [rib for rib in ribs if stage.dim(rib.dim).kind == REDUCE]
        parallel = [rib for rib in ribs if rib not in reduce]
        self._outer(_Nest(block, parallel, reduce, complete), 0, ranges, [])

    def _outer(self, nest: "_Nest", number: int, ranges: Ranges, totals: Totals) -> Totals:
        """The parallel loops from one on, the block inside them."""
        if number < len(nest.parallel):
            inside = partial(self._outer, nest, number + 1)
            return self._tiles(nest.parallel[number], len(self.schedule.loops), ranges, inside, totals)
        block = nest.block
        if self._select_panels(block.stage, ranges):
            block.values.relocate()
        block.finish(ranges, self._inner(nest, 0, ranges, block.start(ranges, nest.reduce)), nest.complete)
        return totals

    def _inner(self, nest: "_Nest", number: int, ranges: Ranges, totals: Totals) -> Totals:
        """The reduce loops from one on, a turn of the block inside them."""
        if number < len(nest.reduce):
            inside = partial(self._inner, nest, number + 1)
            return self._tiles(nest.reduce[number], len(self.schedule.loops), ranges, inside, totals)
        return nest.block.accumulate(ranges, totals)


@dataclass(frozen=True)
class _Nest:
    """The loops of a stage around its block."""

    block: Block
    parallel: list[Loop]
    reduce: list[Loop]
    complete: bool
