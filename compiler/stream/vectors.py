"""All work but products as what one instruction of a vector engine does: a program over strided streams."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product as cartesian
from math import prod

from ...runtime.records import dataclass
from ..ir.types import DType, i32
from ..target.description import Engine
from ..tile.stage import Access, Affine, Apply, Const, Index, Kernel, Load, Stage, walk
from ..tile.work import lane_dim
from .emit import Box, Ints, Tile
from .places import merged, start, step
from .programs import Body


@dataclass(frozen=True, slots=True)
class Stream:
    """One operand: elements of `dtype` in `memory` from byte address `base` on, `strides` in elements, innermost first.

    Without a memory nothing is read: the element is base plus the strides times their places. With `table` it is a
    table of so many elements, which a lookup in the program reads; strides mean nothing then.
    """

    memory: str
    dtype: DType
    base: int
    strides: Ints
    table: int = 0


_Operand = tuple[Access | Affine, Tile | None, bool]
"""What an operand reads or writes, the tile that holds it, and whether it is a table."""


@dataclass(frozen=True, slots=True)
class VectorWork:
    """A program on every element of a box. `counts` are innermost first, as many as an instruction has; stream 0 is
    the destination. `combine` (sum, max or min) runs over the dims in which the destination's stride is 0, onto what it
    holds unless `initialise` is set."""

    body: Body
    combine: str | None
    initialise: bool
    counts: Ints
    streams: tuple[Stream, ...]


class Vectors:
    """A stage as work of a vector engine, box by box, in instructions of `most_dims` dims. `item_bytes`: of memories
    whose elements are wider than their type. What depends on the sizes of boxes and tiles alone is found out once."""

    def __init__(
        self,
        kernel: Kernel,
        stage: Stage,
        engine: Engine,
        body: Body,
        most_dims: int,
        item_bytes: Mapping[str, int],
    ):
        self.stage, self.body, self.most_dims, self.item_bytes = stage, body, most_dims, item_bytes
        self.lane = lane_dim(kernel, stage, engine)
        looked_up = {
            node.arguments[1] for node in walk(stage.body) if isinstance(node, Apply) and node.op == "lookup"
        }
        self.operands = (stage.write, *map(_access, body.sources))
        self.tables = [source in looked_up for source in (None, *body.sources)]
        self._dims: dict[object, list[tuple[int, Ints]]] = {}

    def work(self, box: Box, tiles: Mapping[str, Tile], initialise: bool) -> Iterator[VectorWork]:
        """A box of the stage; `initialise`: its sums begin here."""
        held = [tiles[each.buffer] if isinstance(each, Access) else None for each in self.operands]
        operands = list(zip(self.operands, held, self.tables, strict=True))
        sizes = (*(size for _, size in box.values()), *(tile and tile.size for tile in held))
        if sizes not in self._dims:
            self._dims[sizes] = self._merged(box, operands)
        dims = self._dims[sizes]
        bases = [0 if table else _start(each, tile, box) for each, tile, table in operands]
        split = max(0, len(dims) - self.most_dims)
        outer, inner = dims[:split], dims[split:][::-1]
        rest = self.most_dims - len(inner)
        counts = tuple([count for count, _ in inner] + [1] * rest)
        for places in cartesian(*(range(count) for count, _ in outer)):
            streams = tuple(
                _stream(
                    tile,
                    bases[s] + sum(p * steps[s] for p, (_, steps) in zip(places, outer)),
                    [*(steps[s] for _, steps in inner), *[0] * rest],
                    table,
                    self.item_bytes,
                )
                for s, (_, tile, table) in enumerate(operands)
            )
            again = any(p and not steps[0] for p, (_, steps) in zip(places, outer))
            yield VectorWork(self.body, self.stage.combine, initialise and not again, counts, streams)

    def _merged(self, box: Box, operands: Sequence[_Operand]) -> list[tuple[int, Ints]]:
        """The dims of a box, outermost first: counts, and steps of each operand; tables have none."""
        target = operands[0][1]
        assert target is not None
        dims = [
            (box[name][1], tuple(0 if table else _step(each, tile, name) for each, tile, table in operands))
            for name in self._order(box, target)
            if box[name][1] > 1
        ]
        return merged(dims) or [(1, (0,) * len(operands))]

    def _order(self, box: Box, target: Tile) -> list[str]:
        """Dims outermost first: as the destination lies, reduced ones before, the dim along the lanes last."""
        names = [name for name in box if name != self.lane]
        names.sort(key=lambda name: (-step(self.stage.write, target, name) or -(1 << 40), name))
        return [*names, *([self.lane] if self.lane is not None else [])]


def filling(tile: Tile, body: Body, most_dims: int, item_bytes: Mapping[str, int]) -> Iterator[VectorWork]:
    """What of a tile lies past its buffer's edges set to what a program without sources gives: axis by axis what comes
    before and behind, of the axes inside all."""
    low, size = tile.inside
    box = [(0, whole) for whole in tile.size]
    for axis, (first, whole) in enumerate(zip(tile.low, tile.size)):
        before = low[axis] - first
        for begin, count in ((0, before), (before + size[axis], whole - before - size[axis])):
            if count:
                box[axis] = (begin, count)
                yield _filled(tile, body, box, most_dims, item_bytes)
        box[axis] = (before, size[axis])


def _filled(
    tile: Tile, body: Body, box: Sequence[tuple[int, int]], most_dims: int, item_bytes: Mapping[str, int]
) -> VectorWork:
    """A box of a tile, as (begin, count) along each axis, set by a program."""
    dims = merged([(count, (pitch,)) for (_, count), pitch in zip(box, tile.pitch) if count > 1]) or [
        (1, (0,))
    ]
    first = sum(begin * pitch for (begin, _), pitch in zip(box, tile.pitch))
    rest = [1] * (most_dims - len(dims))
    strides = [*(steps[0] for _, steps in dims[::-1]), *[0] * len(rest)]
    counts = (*(count for count, _ in dims[::-1]), *rest)
    return VectorWork(body, None, True, counts, (_stream(tile, first, strides, False, item_bytes),))


def constant_stage(tile: Tile) -> Stage:
    """The stage that sets an element to what is read past the buffer's edges."""
    return Stage("fill", (), Const(tile.fill or 0, tile.buffer.dtype), Access(tile.buffer.name, ()))


def _stream(
    tile: Tile | None, first: int, strides: Sequence[int], table: bool, item_bytes: Mapping[str, int]
) -> Stream:
    if tile is None:
        return Stream("", i32, first, tuple(strides))
    size = item_bytes.get(tile.memory, tile.buffer.dtype.bytes)
    base = tile.address + first * size
    if table:
        return Stream(tile.memory, tile.buffer.dtype, base, (0,) * len(strides), prod(tile.size))
    return Stream(tile.memory, tile.buffer.dtype, base, tuple(strides))


def _access(source: Load | Index) -> Access | Affine:
    return source.access if isinstance(source, Load) else source.affine


def _step(access: Access | Affine, tile: Tile | None, name: str) -> int:
    if isinstance(access, Affine):
        return access.coefficient(name)
    assert tile is not None
    return step(access, tile, name)


def _start(access: Access | Affine, tile: Tile | None, box: Box) -> int:
    if isinstance(access, Affine):
        return access.const + sum(c * box[name][0] for name, c in access.terms)
    assert tile is not None
    return start(access, tile, box)
