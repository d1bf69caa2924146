"""From what emission walks through to single pieces of work, each of which a chip's writer spells as an instruction."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from itertools import product as cartesian
from math import prod
from typing import ClassVar, Self

import numpy as np

from ...runtime.records import dataclass
from ...runtime.sim.fields import Instruction
from ..diagnostics import UnsupportedError
from ..target.backend import Constant, Placed
from ..target.description import Target
from ..tile.products import Product
from ..tile.schedule import Hold
from ..tile.stage import CONSTANT, Affine, Kernel, Load, Lookup, Stage
from .columns import Columns
from .copies import Axis, Copy, copies_in, copies_out, joined
from .emit import Box, Ints, Tile
from .home import Home, aligned
from .limits import Limits
from .mappings import quickest
from .multiply import Multiplier, Multiply
from .places import offset, shape_of, start
from .programs import Machine, Pending
from .vectors import Vectors, VectorWork, constant_stage, filling

LANE_BYTES = 4
"""Accumulators hold i32 or f32."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """`count` rows of n0 bytes of a table of `rows` rows, `pitch` bytes apart, chosen by indices of `width` bytes at
    `index` in the scratchpad, to `near` and on every d1 bytes (0: n0). Byte addresses."""

    home: int
    near: int
    n0: int
    count: int
    index: int
    width: int
    d1: int
    pitch: int
    rows: int


@dataclass
class StreamWriter(ABC):
    """One kernel's instructions; `operands` say where its buffers lie at home.

    A chip states its `limits` and `machine`, and makes instructions in the abstract methods, handing each to `append`.
    """

    kernel: Kernel
    target: Target
    products: Mapping[str, Product | None]
    operands: Mapping[str, Placed]
    home: Home
    written: list[tuple[Ints, Instruction | Pending | Multiply]] = field(default_factory=list)
    now: Ints = ()
    copied: tuple[int, str, Copy, Ints] | None = None

    limits: ClassVar[Limits]
    machine: ClassVar[Machine]

    def __post_init__(self) -> None:
        self.array = next((e for e in self.target.engines.values() if e.does == "contract"), None)
        self.columns = {p.columns.buffer: p for p in self.products.values() if p is not None}
        self.engine = self.target.engine("elementwise")
        self.vectors: dict[str, Vectors] = {}
        self.multipliers: dict[str, Multiplier] = {}
        self.reached: dict[str, list[frozenset[int] | None]] = {}
        self.item_bytes = {self.array.accumulators: LANE_BYTES} if self.array is not None else {}

    def again(self, operands: Mapping[str, Placed], home: Home) -> Self:
        """A writer of the same kernel at other places, with what has been found out about it."""
        found = replace(self, operands=operands, home=home, written=[], now=(), copied=None)
        found.vectors, found.multipliers, found.reached = self.vectors, self.multipliers, self.reached
        return found

    # --- what a chip spells ------------------------------------------------------------------------------------

    @abstractmethod
    def copy_in(self, copy: Copy, memory: str, fill: bytes) -> None:
        """From home to a scratchpad; padding is `fill` over and over."""

    @abstractmethod
    def copy_out(self, copy: Copy, memory: str) -> None:
        """From a scratchpad to home, without padding."""

    @abstractmethod
    def multiply(self, work: Multiply) -> None:
        """A product of tiles."""

    @abstractmethod
    def vector(self, work: VectorWork) -> None:
        """A program over streams."""

    def gather_rows(self, work: Gathering, memory: str) -> None:
        """Rows of a table at home; UnsupportedError where a chip does not say how."""
        raise UnsupportedError(f"{self.target.name} has no instruction that looks up rows")

    # --- the order ---------------------------------------------------------------------------------------------

    def begin(self, at: Ints) -> None:
        self.now = at

    def append(self, instruction: Instruction | Pending) -> None:
        """An instruction at the current point of the order."""
        self.written.append((self.now, instruction))

    def instructions(self) -> list[Instruction | Pending]:
        """What was written, in the order of the queues; products by the mappings that are quickest in this order."""
        ordered = [each for _, each in sorted(self.written, key=lambda entry: entry[0])]
        mappings = iter(quickest([each.ways for each in ordered if isinstance(each, Multiply)]))
        self.written = []
        for each in ordered:
            if isinstance(each, Multiply):
                self.multiply(replace(each, mapping=next(mappings)))
            else:
                self.append(each)
        return [each for _, each in self.written if not isinstance(each, Multiply)]

    # --- emission's calls --------------------------------------------------------------------------------------

    def bytes_of(self, kernel: Kernel, hold: Hold, size: Ints) -> int:
        buffer = kernel.buffer(hold.buffer)
        if hold.buffer in self.columns:
            return self._columns(hold.buffer, size).elements * buffer.dtype.bytes
        return prod(size) * self.item_bytes.get(hold.memory, buffer.dtype.bytes)

    def load(self, tile: Tile) -> None:
        bytes_ = tile.buffer.dtype.bytes
        operand = self.operands[tile.buffer.name]
        low, size = tile.inside
        if tile.buffer.name in self.columns:
            self._load_columns(tile, operand)
        elif tile.buffer.role == CONSTANT:
            assert isinstance(operand, Constant)
            where = tuple(slice(a, a + n) for a, n in zip(low, size))
            home = self.home.constant((operand.key, operand.array.shape, low, size), operand.array[where])
            if (low, size) == (tile.low, tile.size):
                self._flat(tile, home, prod(size) * bytes_)
            else:
                self._load_box(tile, home, size)
        else:
            shape = shape_of(tile)
            self._load_box(tile, self.home.address(operand) + offset(low, shape) * bytes_, shape)

    def _load_box(self, tile: Tile, home: int, shape: Ints) -> None:
        copies = list(copies_in(tile, home, shape, self.limits.copy_dims, self._unread(tile)))
        self._copies_in(copies, tile, self._pattern(tile) if any(copy.padded for copy in copies) else b"\0")

    def _copies_in(self, copies: Iterable[Copy], tile: Tile, fill: bytes = b"\0") -> None:
        for copy in copies:
            for piece in self.limits.copies(copy):
                self.copy_in(piece, tile.memory, fill)

    def _unread(self, tile: Tile) -> list[frozenset[int]]:
        """Along each axis of a tile the places that no stage reads, wherever it is: windows may step over some."""
        name = tile.buffer.name
        if name not in self.reached:
            reads = [a for stage in self.kernel.stages for a in stage.reads if a.buffer == name]
            self.reached[name] = [
                _coordinates(self.kernel, [access.index[axis] for access in reads])
                for axis in range(len(tile.size))
            ]
        return [
            frozenset(n for n in range(size) if reached is not None and low + n not in reached)
            for low, size, reached in zip(tile.low, tile.size, self.reached[name])
        ]

    def _pattern(self, tile: Tile) -> bytes:
        pattern = np.array(tile.fill or 0).astype(tile.buffer.dtype.numpy).tobytes()
        if len(pattern) not in self.limits.fill_bytes:
            most = max(self.limits.fill_bytes)
            raise UnsupportedError(f"padding of {tile.buffer.dtype} is no pattern of at most {most} bytes")
        return pattern

    def _flat(self, tile: Tile, home: int, count: int) -> None:
        """Contiguous bytes, in one copy with those that were written just before where they lie side by side at home
        and in the tile's memory."""
        before, self.copied = self.copied, None
        copy = Copy(home, tile.address, count)
        if before is not None and self._follows(before, tile.memory, copy):
            self.written.pop()
            first = before[2]
            copy = replace(first, n0=home - first.home + count)
        known = len(self.written)
        self._copies_in([copy], tile)
        if len(self.written) == known + 1:
            self.copied = len(self.written), tile.memory, copy, self.now[:-1]

    def _follows(self, before: tuple[int, str, Copy, Ints], memory: str, copy: Copy) -> bool:
        """Whether a copy goes on where one ends that was written last, but for what aligns it."""
        written, where, first, now = before
        step = aligned(first.n0)
        beside = (first.home + step, first.near + step) == (copy.home, copy.near)
        together = (written, where, now) == (len(self.written), memory, self.now[:-1])
        return together and beside and step + copy.n0 <= self.limits.copy[0]

    def _load_columns(self, tile: Tile, operand: Placed) -> None:
        """Packed when compiled if they are constant, else row by row."""
        columns = self._columns(tile.buffer.name, tile.size)
        if isinstance(operand, Constant):
            key = (
                *(operand.key, operand.array.shape, columns.found.columns),
                *(tile.low, tile.size, tuple(columns.outer), columns.run),
            )
            if key not in self.home.places:
                self.home.constant(key, columns.packed(operand.array, tile.low))
            self._copies_in([columns.runs(tile, self.home.places[key])], tile)
        else:
            home = self.home.address(operand)
            self._copies_in(columns.copies(tile, home, self.limits.copy_dims), tile)

    def _columns(self, name: str, size: Ints) -> Columns:
        assert self.array is not None
        return Columns.of(self.kernel, self.columns[name], self.array, size)

    def store(self, tile: Tile) -> None:
        home = self.home.address(self.operands[tile.buffer.name])
        for copy in copies_out(tile, home, self.limits.copy_dims):
            for piece in self.limits.copies(copy):
                self.copy_out(piece, tile.memory)

    def fill(self, tile: Tile) -> None:
        body = self.machine.body(constant_stage(tile), tile.buffer.dtype)
        self._vectors(filling(tile, body, len(self.limits.vector), self.item_bytes))

    def _vectors(self, works: Iterable[VectorWork]) -> None:
        for work in works:
            for piece in self.limits.vectors(work, self.item_bytes):
                self.vector(piece)

    def contract(
        self, stage: Stage, found: Product, box: Box, tiles: Mapping[str, Tile], accumulate: bool
    ) -> None:
        if stage.name not in self.multipliers:
            assert self.array is not None
            cuts = len(self.limits.rows), self.limits.sums, self.limits.far_columns
            self.multipliers[stage.name] = Multiplier(
                self.kernel, stage, found, self.array, *cuts, LANE_BYTES
            )
        for work in self.multipliers[stage.name].work(box, tiles, accumulate):
            self.written += ((self.now, piece) for piece in self.limits.products(work))

    def elementwise(self, stage: Stage, box: Box, tiles: Mapping[str, Tile], initialise: bool) -> None:
        if stage.name not in self.vectors:
            body = self.machine.body(stage, tiles[stage.write.buffer].buffer.dtype)
            dims = len(self.limits.vector)
            self.vectors[stage.name] = Vectors(self.kernel, stage, self.engine, body, dims, self.item_bytes)
        self._vectors(self.vectors[stage.name].work(box, tiles, initialise))

    def gather(self, stage: Stage, box: Box, tiles: Mapping[str, Tile]) -> None:
        load = stage.body
        assert isinstance(load, Load)
        lookup, *inner = load.access.index
        assert isinstance(lookup, Lookup)
        table, target = self.kernel.buffer(load.access.buffer), tiles[stage.write.buffer]
        indices = tiles[lookup.access.buffer]
        rows, *shape = (int(extent) for extent in table.shape)  # type: ignore[arg-type]
        bytes_, width = table.dtype.bytes, indices.buffer.dtype.bytes
        ranges = [box[part.dims[0]] if isinstance(part, Affine) and part.dims else (0, 1) for part in inner]
        sizes = [size for _, size in ranges]
        run, axes = joined(
            [Axis(n, 0, 0, prod(shape[a + 1 :]), prod(sizes[a + 1 :])) for a, n in enumerate(sizes)]
        )
        operand = self.operands[table.name]
        if isinstance(operand, Constant):
            home = self.home.constant((operand.key, operand.array.shape), operand.array)
        else:
            home = self.home.address(operand)
        names = [part.dims[0] for part in lookup.access.index if isinstance(part, Affine) and part.dims]
        taken = tuple(box[name][1] for name in names)
        if indices.size != taken and len(names) > 1:
            raise UnsupportedError("indices of rows do not lie side by side")
        if target.size[1:] != (*taken, *sizes)[1:]:
            raise UnsupportedError("rows that are looked up do not lie side by side in their tile")
        for places in cartesian(*(range(axis.inside) for axis in axes)):
            at = offset(tuple(low for low, _ in ranges), tuple(shape))
            at += sum(n * axis.home for axis, n in zip(axes, places))
            near = start(stage.write, target, box) + sum(n * axis.tile for axis, n in zip(axes, places))
            work = Gathering(
                home=home + at * bytes_,
                near=target.address + near * bytes_,
                n0=run * bytes_,
                count=prod(taken),
                index=indices.address + start(lookup.access, indices, box) * width,
                width=width,
                d1=prod(sizes) * bytes_ if axes else 0,
                pitch=prod(shape) * bytes_,
                rows=rows,
            )
            self.gather_rows(work, target.memory)


def _coordinates(kernel: Kernel, parts: Sequence[Affine | Lookup]) -> frozenset[int] | None:
    """The values that coordinates have over all of a kernel; None where all of a range, or any."""
    found: set[int] = set()
    for part in parts:
        if isinstance(part, Lookup) or any(abs(coefficient) == 1 for _, coefficient in part.terms):
            return None
        values = {part.const}
        for name, coefficient in part.terms:
            values = {value + coefficient * n for value in values for n in range(kernel.dims[name].size)}
        found |= values
    return frozenset(found)
