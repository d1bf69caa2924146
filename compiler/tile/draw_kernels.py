"""Random kernels: small graphs of stages with windows, strides, reversals, reductions, scans and shared buffers.

They are integer, so that any order of summation gives the same bits. Their schedules come from `draw.py`.
"""

import numpy as np

from ...runtime.records import replace
from ..ir.types import i32
from .evaluate import span
from .stage import (
    INPUT,
    LOCAL,
    OUTPUT,
    PARALLEL,
    REDUCE,
    SCAN,
    Access,
    Affine,
    Buffer,
    Const,
    Dim,
    Expr,
    Kernel,
    Load,
    Stage,
    dim,
)

_DIMS = 6


def draw_kernel(random: np.random.Generator) -> Kernel:
    """A well-formed kernel of two to six stages over at most six dims of one to six elements."""
    return _Draw(random).kernel()


class _Draw:
    def __init__(self, random: np.random.Generator):
        self.random = random
        self.extents = {f"d{n}": int(random.integers(1, 7)) for n in range(_DIMS)}
        self.buffers: dict[str, Buffer] = {}
        self.readable: list[str] = []

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def one(self, items: list[str]) -> str:
        return items[int(self.random.integers(len(items)))]

    def kernel(self) -> Kernel:
        count = int(self.random.integers(2, 7))
        stages: list[Stage] = []
        while len(stages) < count:
            kind = self.random.random()
            if kind < 0.15:
                stages += self.pair(len(stages))
            elif kind < 0.25 and not any(stage.kind(SCAN) for stage in stages):
                stages += self.recurrence(len(stages))
            else:
                stages.append(self.stage(len(stages)))
        read = {access.buffer for stage in stages for access in stage.reads}
        buffers = [
            Buffer(b.name, b.shape, b.dtype, OUTPUT) if b.role == LOCAL and b.name not in read else b
            for b in self.buffers.values()
        ]
        return Kernel("drawn", tuple(buffers), tuple(stages))

    def buffer(self, prefix: str, shape: list[int], role: str) -> str:
        name = f"{prefix}{len(self.buffers)}"
        self.buffers[name] = Buffer(name, tuple(shape), i32, role)
        return name

    def target(self, shape: list[int]) -> str:
        """A new local or output, that later stages may read."""
        local = self.chance(0.75)
        name = self.buffer("t" if local else "y", shape, LOCAL if local else OUTPUT)
        if local or self.chance(0.4):
            self.readable.append(name)
        return name

    def shuffled(self, dims: list[str]) -> list[str]:
        return [dims[n] for n in self.random.permutation(len(dims))]

    def stage(self, number: int) -> Stage:
        dims = self.shuffled(list(self.extents))[: int(self.random.integers(1, 4))]
        reduced = dims[: int(self.random.integers(0, len(dims) + 1))] if self.chance(0.6) else []
        body = self.body(dims)
        order = self.shuffled([d for d in dims if d not in reduced])
        target = self.target([self.extents[d] for d in order])
        return self.built(number, dims, reduced, body, Access(target, tuple(dim(d) for d in order)))

    def pair(self, number: int) -> list[Stage]:
        """Two stages that write one buffer, the second behind the first along an axis."""
        first, second, *others = self.shuffled(list(self.extents))
        shared = others[: int(self.random.integers(0, 2))]
        reduced = others[2:3] if self.chance(0.5) else []
        bodies = [self.body([own, *shared, *reduced]) for own in (first, second)]
        target = self.target([self.extents[first] + self.extents[second], *(self.extents[d] for d in shared)])
        index = [dim(first), dim(second) + self.extents[first]]
        return [
            self.built(
                number + n,
                [own, *shared, *reduced],
                reduced,
                bodies[n],
                Access(target, (index[n], *(dim(d) for d in shared))),
            )
            for n, own in enumerate((first, second))
        ]

    def recurrence(self, number: int) -> list[Stage]:
        """Two stages along a scan: one looks at earlier states, the other makes the next state."""
        scan, kept, *others = self.shuffled(list(self.extents))
        looked = others[0] if self.chance(0.5) else kept
        reduced = [looked] if looked != kept else []
        shape = [self.extents[scan], self.extents[kept]]
        gate = self.buffer("t", shape, LOCAL)
        rest = self.body([scan, kept])
        state = self.target(shape)
        behind = dim(scan) - int(self.random.integers(1, 3))
        inside = self.extents[looked] <= self.extents[kept]
        fill = int(self.random.integers(-2, 3))
        earlier = Load(Access(state, (behind, dim(looked) + (0 if inside else -1)), fill), i32)
        here = (dim(scan), dim(kept))
        bodies = [
            earlier + self.operand([kept, *reduced]),
            Load(Access(gate, here), i32) - rest,
        ]
        stages = [
            self.built(number, [scan, kept, *reduced], reduced, bodies[0], Access(gate, here)),
            self.built(number + 1, [scan, kept], [], bodies[1], Access(state, here)),
        ]
        dims = {scan: Dim(scan, self.extents[scan], SCAN)}
        return [replace(s, dims=tuple(dims.get(d.name, d) for d in s.dims)) for s in stages]

    def built(self, number: int, dims: list[str], reduced: list[str], body: Expr, write: Access) -> Stage:
        return Stage(
            f"s{number}",
            tuple(Dim(d, self.extents[d], REDUCE if d in reduced else PARALLEL) for d in dims),
            body,
            write,
            self.one(["sum", "sum", "max", "min"]) if reduced else None,
        )

    def body(self, dims: list[str]) -> Expr:
        """An expression in which every dim occurs."""
        loads = [self.load(dims) for _ in range(int(self.random.integers(1, 3)))]
        missing = [d for d in dims if all(d not in load.access.dims for load in loads)]
        if missing:
            loads.append(self.operand(missing))
        body: Expr = loads[0]
        for load in loads[1:]:
            body = (body + load, body - load, body * load)[int(self.random.integers(3))]
        return (
            body * 3 + Const(1, i32) if self.chance(0.5) else body
        )  # a zero that is read by mistake then shows

    def operand(self, dims: list[str]) -> Load:
        name = self.buffer("x", [self.extents[d] for d in dims], INPUT)
        return Load(Access(name, tuple(dim(d) for d in dims)), i32)

    def load(self, dims: list[str]) -> Load:
        """A read of what an earlier stage wrote, at random coordinates, or of a new operand."""
        if not self.readable or self.chance(0.3):
            return self.operand([d for d in dims if self.chance(0.8)] or dims[:1])
        name = self.one(self.readable[-3:] if self.chance(0.8) else self.readable)
        box = {d: (0, self.extents[d]) for d in dims}
        index, outside = [], False
        for extent in self.buffers[name].shape:
            assert isinstance(extent, int)
            index.append(self.coordinate(dims, extent))
            low, high = span(index[-1], box)
            outside = outside or low < 0 or high >= extent
        return Load(Access(name, tuple(index), int(self.random.integers(-2, 3)) if outside else None), i32)

    def coordinate(self, dims: list[str], extent: int) -> Affine:
        """A plain dim, a window, a stride or reversal, or a constant."""
        fitting = [d for d in dims if self.extents[d] == extent] or dims
        shift = int(self.random.integers(-2, 3))
        kind = self.random.random()
        if kind < 0.55:
            return dim(self.one(fitting))
        if kind < 0.8:
            return dim(self.one(dims)) * int(self.random.integers(1, 3)) + dim(self.one(dims)) + shift
        if kind < 0.9:
            return dim(self.one(dims)) * (-1, 1, 2, 3)[int(self.random.integers(4))] + shift
        return Affine((), int(self.random.integers(0, extent)))
