"""One kernel and its schedule as one LLVM function: walks the lowered tree; loops, scopes and packed copies.

What happens inside the innermost block of a stage is in `block.py`. The function computes one chunk: `chunk` numbers
the tiles of the leading parallel loops.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from ...compiler.diagnostics import UnsupportedError
from ...compiler.tile.infer import Range, infer
from ...compiler.tile.lower import Compute, Fix, For, Scope, Tree, lower
from ...compiler.tile.schedule import PARALLEL_LOOP, Hold, Loop, Place, Schedule, Segment, segments
from ...compiler.tile.stage import CONSTANT, LOCAL, Access, Affine, Buffer, Dim, Kernel, Load, Stage, dim
from .block import Block
from .builder import Builder, Register
from .machine import Machine
from .scalars import Scalars
from .storage import Storage

REGISTERS = "reg"
_STACK_LIMIT = 1 << 20


@dataclass(frozen=True)
class Packing:
    """How a constant is laid out for a kernel: `outer` axes whole, then panels of the last axis of `order`.

    Each panel holds the axes of `order`, its last axis padded to a multiple of `unit`; panels follow each other.
    """

    buffer: str
    outer: tuple[int, ...]
    order: tuple[int, ...]
    panels: tuple[tuple[int, int], ...]  # (start, size) along the last axis of `order`
    unit: int


@dataclass(frozen=True)
class KernelCode:
    """A kernel's IR function; `parameters` names the buffers it takes, in order, before the chunk number."""

    name: str
    text: str
    parameters: tuple[str, ...]
    chunks: int
    packings: tuple[Packing, ...]


class KernelEmitter:
    """Emits one kernel. `declarations` collects the intrinsics that the module must declare."""

    def __init__(
        self, kernel: Kernel, schedule: Schedule, machine: Machine, name: str, declarations: set[str]
    ):
        self.kernel = kernel
        self.schedule = schedule
        self.machine = machine
        self.name = name
        self.b = Builder(declarations)
        self.scalars = Scalars(self.b, machine.features)
        self.lanes = machine.lanes
        self.variables: dict[str, Register] = {}
        self.storage: dict[str, Storage] = {}
        self.packings: dict[str, Packing] = {}
        self.turns: dict[str, tuple[int, int]] = {}  # open loop variables: elements a turn, number of turns
        self._open: list[
            tuple[str, int]
        ] = []  # open loop variables with their depth in the spine (ribs: last)
        self.parameters = [b for b in kernel.buffers if b.role != LOCAL]
        for n, buffer in enumerate(self.parameters):
            self.storage[buffer.name] = _dense(buffer, Register(f"%b{n}", "ptr"))

    def emit(self) -> KernelCode:
        """The finished function."""
        tree = lower(self.kernel, self.schedule)
        chunks = self._parallel(tree, {})
        parameters = [self.storage[b.name].parameter for b in self.parameters] + [Register("%chunk", "i64")]
        text = self.b.function(self.name, parameters, "#0", "internal")
        names = tuple(b.name for b in self.parameters)
        return KernelCode(self.name, text, names, chunks, tuple(self.packings.values()))

    # --- loops -----------------------------------------------------------------------------------------------

    def _parallel(self, tree: Sequence[Tree], env: dict[str, Range]) -> int:
        """The leading parallel loops become the chunk number; returns how many chunks there are."""
        leading: list[Loop] = []
        for loop in self.schedule.loops:
            if loop.kind != PARALLEL_LOOP:
                break
            leading.append(loop)
        counts = []
        extents = {name: self._extent(name) for name in (loop.dim for loop in leading)}
        for loop in leading:
            counts.append(sum(s.count for s in segments(extents[loop.dim], loop.step, loop.unit)))
        self.leading = len(leading)
        self.chunk = Register("%chunk", "i64")
        self.counts = counts
        self._nodes(tree, env)
        return prod(counts)

    def _extent(self, name: str) -> int:
        extent = self.kernel.dims[name].extent
        if not isinstance(extent, int):
            raise UnsupportedError(
                f"dim '{name}' of kernel {self.kernel.name} is symbolic", hint="bind the shapes"
            )
        return extent

    def _nodes(self, nodes: Sequence[Tree], env: dict[str, Range]) -> None:
        for node in nodes:
            if isinstance(node, For):
                if node.depth < self.leading:
                    self._chunked(node, env)
                else:
                    self._loop(node.loop, node.depth, env, lambda inner, n=node: self._nodes(n.body, inner))
            elif isinstance(node, Scope):
                self._scope(node, env)
            elif isinstance(node, Compute):
                self._compute(node, env)
            else:
                self._fix(node, env)

    def _chunked(self, node: For, env: dict[str, Range]) -> None:
        """A leading parallel loop: its tile number is a digit of the chunk number."""
        loop, depth = node.loop, node.depth
        inner = prod(self.counts[depth + 1 :])
        digit = self.chunk
        if inner > 1:
            digit = self.b.pure("i64", f"udiv i64 {{0}}, {inner}", [digit])
        if depth and self.counts[depth] > 1:
            digit = self.b.pure("i64", f"urem i64 {{0}}, {self.counts[depth]}", [digit])
        cuts = segments(self._extent(loop.dim), loop.step, loop.unit)

        def body(index: int, before: int) -> None:
            cut = cuts[index]

            def run() -> None:
                name = f"L{depth}"
                offset = self.b.pure("i64", f"mul i64 {{0}}, {cut.size}", [digit])
                self.variables[name] = offset
                low = dim(name) + (cut.start - before * cut.size)
                if cut.count == 1:
                    low = Affine((), cut.start)
                self._open_loop(name, cut, depth)
                self._nodes(node.body, {**env, loop.dim: Range(low, cut.size)})
                self._open.pop()

            if index == len(cuts) - 1:
                run()
                return
            limit = before + cut.count
            condition = self.b.pure("i1", f"icmp ult i64 {{0}}, {limit}", [digit])
            self.b.branch(condition, run, lambda: body(index + 1, limit))

        body(0, 0)

    def _open_loop(self, variable: str, cut: Segment, depth: int) -> None:
        self.turns[variable] = (cut.size, cut.count)
        self._open.append((variable, depth))

    def open_loops(self, depth: int) -> list[str]:
        """Variables of the loops around this point that lie below `depth` in the spine, ribs included."""
        return [name for name, at in self._open if at >= depth]

    def extent(self, buffer: str, axis: int) -> int:
        """Elements of a buffer along an axis."""
        return int(self.kernel.buffer(buffer).shape[axis])  # type: ignore[arg-type]

    def _loop(
        self, loop: Loop, depth: int, env: dict[str, Range], body: Callable[[dict[str, Range]], None]
    ) -> None:
        """A serial loop over the current range of its dim; each segment is emitted with its static size."""
        outer = env.get(loop.dim, Range(Affine(), self._extent(loop.dim)))
        for number, cut in enumerate(segments(outer.size, loop.step, loop.unit)):
            if cut.count == 1:
                body({**env, loop.dim: Range(outer.low + cut.start, cut.size)})
                continue
            variable = f"L{depth}_{number}_{self.b.name()}"

            def turn(register: Register, _: list[Register], variable=variable, cut=cut) -> list[Register]:
                self.variables[variable] = register
                body({**env, loop.dim: Range(outer.low + dim(variable), cut.size)})
                return []

            self._open_loop(variable, cut, depth)
            self.b.loop(cut.start, cut.size, cut.count, [], turn)
            self._open.pop()

    # --- scopes ----------------------------------------------------------------------------------------------

    def _scope(self, node: Scope, env: dict[str, Range]) -> None:
        hold = node.hold
        buffer = self.kernel.buffer(hold.buffer)
        before = self.storage.get(hold.buffer)
        if hold.memory == REGISTERS:
            self.storage[hold.buffer] = Storage.in_registers(buffer.dtype)
        elif buffer.role == LOCAL:
            box = infer(self.kernel, env).locals[buffer.name]
            self.storage[hold.buffer] = self._scratch(buffer, box, tuple(range(len(box))))
            if node.initialise is not None:
                self._initialise(buffer, box, node.initialise)
        elif hold.layout is not None and buffer.role == CONSTANT:
            self.storage[hold.buffer] = self._packed(hold, buffer, env)
        elif hold.layout is not None:
            self._copy_in(hold, buffer, env)
        self._nodes(node.body, env)
        if before is not None:
            self.storage[hold.buffer] = before

    def _scratch(self, buffer: Buffer, box: Sequence[Range], order: Sequence[int]) -> Storage:
        """Stack memory for a tile, axes in `order`, the last one padded to whole vectors."""
        sizes = [box[axis].size for axis in order]
        if sizes and sizes[-1] >= self.lanes:
            sizes[-1] = -(-sizes[-1] // self.lanes) * self.lanes
        strides = [0] * len(box)
        step = 1
        for axis, size in reversed(list(zip(order, sizes, strict=True))):
            strides[axis] = step
            step *= size
        bytes = step * buffer.dtype.bytes
        if bytes > _STACK_LIMIT:
            raise UnsupportedError(
                f"the tile of '{buffer.name}' takes {bytes} bytes of stack, at most {_STACK_LIMIT}"
            )
        padding = self.lanes * buffer.dtype.bytes
        base = self.b.alloca(bytes + padding)
        return Storage(base, tuple(strides), tuple(r.low for r in box), Affine(), buffer.dtype, padded=True)

    def _packed(self, hold: Hold, buffer: Buffer, env: dict[str, Range]) -> Storage:
        """A constant packed at compile time: address of the panel that the current loops select."""
        assert hold.layout is not None
        box = infer(self.kernel, env).buffer(self.kernel, buffer.name)
        panel = hold.layout[-1]
        outer = tuple(a for a in hold.layout[:-1] if box[a].low.terms)
        inner = [a for a in hold.layout[:-1] if a not in outer]
        if any(box[a].size != 1 for a in outer):
            raise UnsupportedError(f"the packed constant '{buffer.name}' moves along two axes at once")
        shape = [int(extent) for extent in buffer.shape]  # type: ignore[arg-type]
        rest = prod(box[a].size for a in inner)
        width = -(-box[panel].size // self.lanes) * self.lanes
        whole = -(-shape[panel] // self.lanes) * self.lanes
        strides = [0] * len(shape)
        strides[panel] = 1
        step = width
        for axis in reversed(inner):
            strides[axis] = step
            step *= box[axis].size
        step = rest * whole
        for axis in reversed(outer):
            strides[axis] = step
            step *= shape[axis]
        lows = [Affine()] * len(shape)
        lows[panel] = box[panel].low
        for axis in inner:
            lows[axis] = box[axis].low
        start = box[panel].low * rest
        self._record_packing(buffer, outer, (*inner, panel))
        base = self.storage[buffer.name]
        ahead = rest * width * buffer.dtype.bytes if hold.slots > 1 else 0
        return Storage(
            base.base,
            tuple(strides),
            tuple(lows),
            start,
            buffer.dtype,
            padded=True,
            ahead=ahead,
            held_at=hold.at,
        )

    def _record_packing(self, buffer: Buffer, outer: tuple[int, ...], order: tuple[int, ...]) -> None:
        axis = order[-1]
        extent = int(buffer.shape[axis])  # type: ignore[arg-type]
        panels = [(0, extent)]
        for loop in self.schedule.loops[: max(h.at for h in self.schedule.holds_of(buffer.name))]:
            moved = infer(self.kernel, {loop.dim: Range(dim("probe"), 1)}).buffer(self.kernel, buffer.name)[
                axis
            ]
            if moved.low.terms:
                if moved.low.terms != (("probe", 1),):
                    raise UnsupportedError(f"the packed constant '{buffer.name}' is not cut by whole panels")
                panels = [
                    (start + cut.start + n * cut.size, cut.size)
                    for start, size in panels
                    for cut in segments(size, loop.step, loop.unit)
                    for n in range(cut.count)
                ]
        packing = Packing(buffer.name, outer, order, tuple(panels), self.lanes)
        if self.packings.setdefault(buffer.name, packing) != packing:
            raise UnsupportedError(f"the constant '{buffer.name}' would need two packings")

    def _copy_in(self, hold: Hold, buffer: Buffer, env: dict[str, Range]) -> None:
        """A run-time copy of an operand's tile into stack memory, axes reordered."""
        assert hold.layout is not None
        box = infer(self.kernel, env).buffer(self.kernel, buffer.name)
        target = self._scratch(buffer, box, hold.layout)
        names = [f"copy{axis}" for axis in range(len(box))]
        source = Access(buffer.name, tuple(dim(n) for n in names))
        write = Access("copy", tuple(dim(n) for n in names))
        stage = Stage("copy", tuple(Dim(n, r.size) for n, r in zip(names, box, strict=True)),
                      Load(source, buffer.dtype), write)  # fmt: skip
        ranges = dict(zip(names, box, strict=True))
        vector = names[hold.layout[-1]]
        loops = tuple(Loop(n, self.lanes if n in (vector, names[-1]) else 1) for n in names)
        place = Place("copy", hold.at, "vec", loops, bind=(("n", (vector,)),))
        self.storage["copy"] = target
        self._stage(stage, place, ranges, True, write_dtype=buffer)
        self.storage[hold.buffer] = target

    def _initialise(self, buffer: Buffer, box: Sequence[Range], combine: str) -> None:
        raise UnsupportedError(
            f"'{buffer.name}' is reduced by a loop of the spine, which CPU code does not do yet"
        )

    def _fix(self, node: Fix, env: dict[str, Range]) -> None:
        raise UnsupportedError(f"stage {node.stage.name} needs repair, which CPU code does not do yet")

    # --- stages ----------------------------------------------------------------------------------------------

    def _compute(self, node: Compute, env: dict[str, Range]) -> None:
        if not node.initialise:
            raise UnsupportedError(
                f"stage {node.stage.name} is cut by a loop of the spine, which CPU code does not do yet"
            )
        boxes = infer(self.kernel, env)
        self._stage(node.stage, node.place, dict(boxes.stages[node.stage.name]), node.initialise)

    def _stage(
        self,
        stage: Stage,
        place: Place,
        ranges: dict[str, Range],
        complete: bool,
        write_dtype: Buffer | None = None,
    ) -> None:
        target = write_dtype or self.kernel.buffer(stage.write.buffer)
        block = Block(self, stage, place, target.dtype)
        ribs = block.collapse(place.loops, ranges)
        parallel = [rib for rib in ribs if stage.dim(rib.dim).kind != "reduce"]
        reduce = [rib for rib in ribs if stage.dim(rib.dim).kind == "reduce"]

        def outer(position: int, ranges: dict[str, Range]) -> None:
            if position < len(parallel):
                self._rib(parallel[position], ranges, lambda inner, _: outer(position + 1, inner) or [], [])
                return
            totals = block.start(ranges, reduce)
            block.finish(ranges, inner(0, ranges, totals))

        def inner(position: int, ranges: dict[str, Range], totals: list[Register]) -> list[Register]:
            if position < len(reduce):
                return self._rib(reduce[position], ranges, lambda r, t: inner(position + 1, r, t), totals)
            return block.accumulate(ranges, totals)

        outer(0, ranges)

    def _rib(
        self,
        loop: Loop,
        ranges: dict[str, Range],
        body: Callable[[dict[str, Range], list[Register]], list[Register]],
        totals: list[Register],
    ) -> list[Register]:
        """A loop of one stage below the spine; accumulators are carried through it in registers."""
        outer = ranges[loop.dim]
        for cut in segments(outer.size, loop.step, loop.unit):
            if cut.count == 1:
                totals = body({**ranges, loop.dim: Range(outer.low + cut.start, cut.size)}, totals)
                continue
            variable = self.b.name("r")

            def turn(
                register: Register, carried: list[Register], variable=variable, cut=cut
            ) -> list[Register]:
                self.variables[variable] = register
                return body({**ranges, loop.dim: Range(outer.low + dim(variable), cut.size)}, carried)

            self._open_loop(variable, cut, len(self.schedule.loops))
            totals = self.b.loop(cut.start, cut.size, cut.count, totals, turn)
            self._open.pop()
        return totals


def _dense(buffer: Buffer, base: Register) -> Storage:
    """A row-major array in memory."""
    strides = [1] * len(buffer.shape)
    for axis in range(len(buffer.shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * int(buffer.shape[axis + 1])  # type: ignore[arg-type]
    return Storage(base, tuple(strides), (Affine(),) * len(strides), Affine(), buffer.dtype, parameter=base)
