"""The block of a product on a machine with matrix tiles (AMX): two by two tiles of sums that stay in the machine.

Rows are loaded from where they lie, their distance as stride; columns from packed panels. Sums go to memory, where the
stages that follow find them. (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.)
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.types import DType
from ...compiler.tile.infer import Range
from ...compiler.tile.schedule import Loop, Place
from ...compiler.tile.stage import PARALLEL, Access, Stage
from .block import Block
from .builder import Builder, Register
from .dot import DotBlock
from .leaves import LEAVES

if TYPE_CHECKING:
    from .kernel import KernelEmitter

ROWS, ROW_BYTES = 16, 64  # of a tile
_TWO = 2  # tiles of rows, and of columns
_OPERATIONS = {
    ("i8", "i8"): "tdpbssd",
    ("i8", "u8"): "tdpbsud",
    ("u8", "i8"): "tdpbusd",
    ("u8", "u8"): "tdpbuud",
    ("bf16", "bf16"): "tdpbf16ps",
}
_PALETTE = 1
_Group = tuple[dict[str, int], int]


class ArrayBlock(DotBlock):
    """Tiles 0 to 3 are sums, row by row, 4 and 5 rows, 6 and 7 columns."""

    def __init__(self, emitter: "KernelEmitter", stage: Stage, place: Place, dtype: DType):
        super().__init__(emitter, stage, place, dtype)
        self.inner: str | None = None
        self._usual: Register | None = None

    def start(self, ranges: Mapping[str, Range], ribs: Sequence[Loop]) -> list[Register]:
        """Tiles shaped for the block, their sums zero; no register carries anything."""
        steps = {rib.dim: rib.step for rib in ribs}
        inner = {name: Range(r.low, min(r.size, steps.get(name, r.size))) for name, r in ranges.items()}
        self.values.begin(inner)
        groups = self._row_groups(inner)
        shape = _shape([size for _, size in groups], self._widths(), self.unit // self.leaf.group)
        self._usual = self.e.tiles.want(shape)
        for i in range(len(groups)):
            for j in range(len(self._starts())):
                self._call("tilezero", _TWO * i + j)
        return []

    def accumulate(self, ranges: Mapping[str, Range], totals: list[Register]) -> list[Register]:
        """One turn: tiles of both factors loaded, all their products added."""
        self.values.begin(ranges)
        self.values.prefetch()
        starts = self._starts()
        operation = _OPERATIONS[self.dtype(self.row).name, self.dtype(self.column).name]
        for turn in self._groups(ranges):
            groups = self._row_groups(ranges)
            for i, (row, _) in enumerate(groups):
                self._move("tileloadd64", 4 + i, self.row, {**row, **turn}, self.inner)
            for j, start in enumerate(starts):
                assert self.vector is not None
                self._move("tileloadd64", 6 + j, self.column, {**turn, self.vector: start}, self.along)
                for i in range(len(groups)):
                    self._call(operation, _TWO * i + j, 4 + i, 6 + j)
        return totals

    def finish(self, ranges: Mapping[str, Range], totals: list[Register], complete: bool) -> None:
        """Sums into memory; UnsupportedError where they would have to be added to what is there."""
        if not complete:
            raise UnsupportedError(f"stage {self.stage.name} adds to sums that matrix tiles have left")
        self.values.begin(ranges)
        for i, (row, _) in enumerate(self._row_groups(ranges)):
            for j, start in enumerate(self._starts()):
                assert self.vector is not None
                at = {**row, self.vector: start}
                self._move("tilestored64", _TWO * i + j, self.stage.write, at, self.inner)
        if self._usual is not None:
            _load_shape(self.b, self._usual)

    def _widths(self) -> list[int]:
        """Columns of each tile of columns: what lies behind the last one is not ours to write."""
        assert self.vector is not None
        size = self.values.ranges[self.vector].size
        return [min(ROWS, size - start) for start in self._starts()]

    def _row_groups(self, ranges: Mapping[str, Range]) -> list[_Group]:
        """The first points and the numbers of rows of at most two tiles."""
        names = [
            d.name for d in self.stage.kind(PARALLEL) if d.name != self.vector and ranges[d.name].size > 1
        ]
        if not names:
            return [({}, 1)]
        self.inner = names[-1]
        outer = names[:-1]
        size = ranges[self.inner].size
        lines = [dict.fromkeys(outer[-1:], n) for n in range(ranges[outer[-1]].size)] if outer else [{}]
        parts = [(n, min(ROWS, size - n)) for n in range(0, size, ROWS)]
        groups = [({**line, self.inner: first}, count) for line in lines for first, count in parts]
        if len(groups) > _TWO or len(outer) > 1:
            raise UnsupportedError(f"stage {self.stage.name} has a block of more than two tiles of rows")
        return groups

    def _move(
        self, verb: str, tile: int, access: Access, point: Mapping[str, int], along: str | None
    ) -> None:
        """A tile from or to memory; its rows lie one step of `along` apart (a group of them for what is packed)."""
        storage = self.e.storage[access.buffer]
        linear = self.values.linear(access)
        step = linear.coefficient(along) * storage.dtype.bytes if along is not None else 0
        if along == self.along:
            step *= self.leaf.group
        pointer = self.values.pointer(access, point)
        callee = self.b.intrinsic(f"llvm.x86.{verb}", "void", ["i8 immarg", "ptr", "i64"])
        self.b.line(f"call void {callee}(i8 {tile}, ptr {pointer.text}, i64 {step or ROW_BYTES})")

    def _call(self, verb: str, *tiles: int) -> None:
        callee = self.b.intrinsic(f"llvm.x86.{verb}", "void", ["i8 immarg"] * len(tiles))
        self.b.line(f"call void {callee}({', '.join(f'i8 {tile}' for tile in tiles)})")


def _shape(rows: Sequence[int], columns: Sequence[int], depth: int) -> bytes:
    """Of all tiles, as LDTILECFG takes it: `rows` of the tiles of rows, `columns` (32 bits each) of those of columns,
    and their sums; `depth` columns of the former are as many rows of the latter."""
    shape = bytearray(ROW_BYTES)
    shape[0] = _PALETTE
    sums = [(_TWO * i + j, m, n) for i, m in enumerate(rows) for j, n in enumerate(columns)]
    factors = [(4 + i, m, depth) for i, m in enumerate(rows)] + [
        (6 + j, depth, n) for j, n in enumerate(columns)
    ]
    for tile, count, width in (*sums, *factors):
        shape[16 + 2 * tile] = width * ROW_BYTES // ROWS
        shape[48 + tile] = count
    return bytes(shape)


class TileShapes:
    """How the tiles are shaped in a kernel: as most blocks want them, from its begin to its end. A block that wants
    another shape has it for itself. To shape them takes as long as a dozen of products, some 200 cycles."""

    def __init__(self, builder: Builder):
        self.b = builder
        self._shapes: dict[bytes, Register] = {}
        self._before: Register | None = None

    def want(self, shape: bytes) -> Register | None:
        """Shape the tiles; the shape to go back to afterwards, None where that is the same."""
        usual = next(iter(self._shapes.values()), None)
        config = self._shapes.get(shape)
        if config is None:
            config = self._shapes[shape] = self._stored(shape)
        if usual is None:
            self._begin(config)
        elif config is not usual:
            _load_shape(self.b, config)
            return usual
        return None

    def end(self) -> None:
        """Shape the tiles as the caller had them: who shaped them once for good would stop at an illegal instruction if
        he found others (as ONNX Runtime does, which shapes them once a thread)."""
        if self._before is not None:
            _load_shape(self.b, self._before)

    def _stored(self, shape: bytes) -> Register:
        config = self.b.alloca(ROW_BYTES)
        for n in range(0, ROW_BYTES, 8):
            word = int.from_bytes(shape[n : n + 8], "little")
            name = f"{config.text}.{n}"
            self.b.entry_lines.append(f"{name} = getelementptr i8, ptr {config.text}, i64 {n}")
            self.b.entry_lines.append(f"store i64 {word}, ptr {name}, align 8")
        return config

    def _begin(self, config: Register) -> None:
        self._before = self.b.alloca(ROW_BYTES)
        for verb, place in (("sttilecfg", self._before), ("ldtilecfg", config)):
            self.b.entry_lines.append(_shaping(self.b, verb, place))


def _load_shape(builder: Builder, config: Register) -> None:
    builder.line(_shaping(builder, "ldtilecfg", config))


def _shaping(builder: Builder, verb: str, config: Register) -> str:
    return f"call void {builder.intrinsic(f'llvm.x86.{verb}', 'void', ['ptr'])}(ptr {config.text})"


def block_kind(place: Place) -> type[Block]:
    """What emits the innermost block of a stage: neighbours along a sum are bound for the engines of `leaves.py`."""
    if not place.bound("k"):
        return Block
    return DotBlock if LEAVES[place.engine].calls else ArrayBlock
