"""Instructions for what emission walks through: copies, products and vector work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product as cartesian
from math import prod

import numpy as np

from ...compiler.diagnostics import UnsupportedError
from ...compiler.stream.emit import Box, Ints, Tile
from ...compiler.target.backend import Constant, Placed
from ...compiler.target.description import Target
from ...compiler.tile.products import Product
from ...compiler.tile.schedule import Hold
from ...compiler.tile.stage import (
    CONSTANT,
    REDUCE,
    Access,
    Affine,
    Apply,
    Const,
    Index,
    Kernel,
    Load,
    Lookup,
    Stage,
    walk,
)
from ...compiler.tile.staged import best_mapping, lane_dim, sum_run
from ...runtime.sim.fields import Instruction
from .dram import Dram
from .isa import COMBINES, LANE_BYTES, MEMORIES, PRODUCTS, Gather, Lda, Ldw, Mxu, Sto, Vec, View
from .micro import TYPES
from .vector import Body, body_of, element_type

MOST_BYTES = (1 << 20) - 1
MOST_DIMS = 5
MOST_COUNT = (1 << 16) - 1
FILL_WIDTHS = (1, 2, 4)
INDEX_MASK = (1 << next(o.bits for o in View.operands if o.name == "base")) - 1


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a copy: elements that are read, padding around them, strides at home and in the tile in elements."""

    inside: int
    before: int
    after: int
    home: int
    tile: int

    @property
    def padded(self) -> bool:
        return bool(self.before or self.after)


@dataclass
class Vector:
    """A vec instruction whose program has no number yet."""

    body: Body
    instruction: Vec


@dataclass
class Writer:
    """One kernel's instructions; `operands` say where its buffers lie at home."""

    kernel: Kernel
    target: Target
    products: Mapping[str, Product | None]
    operands: Mapping[str, Placed]
    dram: Dram
    written: list[tuple[Ints, Instruction | Vector]] = field(default_factory=list)
    now: Ints = ()

    def __post_init__(self) -> None:
        self.array = next((e for e in self.target.engines.values() if e.does == "contract"), None)
        self.columns = {p.columns.buffer: (s, p) for s, p in self.products.items() if p is not None}
        self.engine = self.target.engine("elementwise")
        self.bodies: dict[str, Body] = {}

    def begin(self, at: Ints) -> None:
        self.now = at

    def append(self, instruction: Instruction | Vector) -> None:
        self.written.append((self.now, instruction))

    def instructions(self) -> list[Instruction | Vector]:
        """What was written, in the order of the queues."""
        return [instruction for _, instruction in sorted(self.written, key=lambda entry: entry[0])]

    # --- room --------------------------------------------------------------------------------------------------

    def bytes_of(self, kernel: Kernel, hold: Hold, size: Ints) -> int:
        buffer = kernel.buffer(hold.buffer)
        if hold.buffer in self.columns:
            _, found = self.columns[hold.buffer]
            extents = _sizes(found.columns, size)
            return self._packed_elements(found, extents) * buffer.dtype.bytes
        return prod(size) * (LANE_BYTES if hold.memory == "acc" else buffer.dtype.bytes)

    def _sum(self, found: Product, extents: Mapping[str, int]) -> tuple[list[str], tuple[str, ...]]:
        """The outer dims of a sum, and those of its run."""
        whole = {d.name: d.size for s in self.kernel.stages for d in s.kind(REDUCE)}
        run = sum_run(found, {name for name in found.k if extents[name] < whole[name]})
        return [name for name in found.k if name not in run], run

    def _packed_elements(self, found: Product, extents: Mapping[str, int]) -> int:
        assert self.array is not None
        outer, run = self._sum(found, extents)
        depth = -(-prod(extents[name] for name in run) // self.array.rows) * self.array.rows
        n = found.lane
        columns = -(-extents[n] // self.array.cols) * self.array.cols
        others = prod(size for name, size in extents.items() if name not in (*found.k, n))
        return columns * depth * prod(extents[name] for name in outer) * others

    # --- copies ------------------------------------------------------------------------------------------------

    def load(self, tile: Tile) -> None:
        if tile.buffer.name in self.columns:
            self._load_columns(tile)
        elif tile.buffer.role == CONSTANT:
            constant = self.operands[tile.buffer.name]
            assert isinstance(constant, Constant)
            low, size = tile.inside
            where = tuple(slice(a, a + n) for a, n in zip(low, size))
            address = self.dram.constant(
                (constant.key, constant.array.shape, low, size), constant.array[where]
            )
            if (low, size) == (tile.low, tile.size):
                self._flat(Lda, address, tile.address, prod(size) * tile.buffer.dtype.bytes)
            else:
                self._copy_in(tile, address, size)
        else:
            shape = tuple(int(extent) for extent in tile.buffer.shape)  # type: ignore[arg-type]
            offset = _offset(tile.inside[0], shape) * tile.buffer.dtype.bytes
            self._copy_in(tile, self.dram.address(self.operands[tile.buffer.name]) + offset, shape)

    def _flat(self, kind: type[Lda] | type[Ldw], source: int, target: int, count: int) -> None:
        """One contiguous copy, in pieces where it is too long for one instruction."""
        for begin in range(0, count, MOST_BYTES // 64 * 64):
            piece = min(count - begin, MOST_BYTES // 64 * 64)
            if kind is Lda:
                self.append(Lda(dram=source + begin, spa=target + begin, n0=piece))
            else:
                self.append(Ldw(dram=source + begin, spw=target + begin, n0=piece))

    def _copy_in(self, tile: Tile, source: int, shape: Ints) -> None:
        """A box with its padding; `source` is the address of the first element that is read."""
        low, size = tile.inside
        bytes_ = tile.buffer.dtype.bytes
        axes = [
            Axis(n, a - start, whole - n - (a - start), prod(shape[axis + 1 :]), pitch)
            for axis, (a, n, start, whole, pitch) in enumerate(
                zip(low, size, tile.low, tile.size, tile.pitch)
            )
        ]
        run, axes = _run(axes)
        fill = _fill(tile) if any(axis.padded for axis in axes) else {}
        *outer, second, first = [*[Axis(1, 0, 0, 0, 0)] * max(0, 2 - len(axes)), *axes]
        for places in cartesian(*(range(axis.before + axis.inside + axis.after) for axis in outer)):
            read = all(axis.before <= n < axis.before + axis.inside for axis, n in zip(outer, places))
            home = sum((n - axis.before) * axis.home for axis, n in zip(outer, places))
            near = sum(n * axis.tile for axis, n in zip(outer, places))
            planes, before2 = (second, second.before) if read else (_NONE, second.before + second.inside)
            self.append(
                Lda(
                    dram=source + home * bytes_ if read else source,
                    spa=tile.address + near * bytes_,
                    before1=first.before,
                    after1=first.after,
                    before2=before2,
                    after2=second.after,
                    **fill,
                    **_counts(run, first, planes, second, bytes_),
                )
            )

    def store(self, tile: Tile) -> None:
        shape = tuple(int(extent) for extent in tile.buffer.shape)  # type: ignore[arg-type]
        bytes_ = tile.buffer.dtype.bytes
        target = self.dram.address(self.operands[tile.buffer.name]) + _offset(tile.low, shape) * bytes_
        axes = [
            Axis(n, 0, 0, prod(shape[axis + 1 :]), pitch)
            for axis, (n, pitch) in enumerate(zip(tile.size, tile.pitch))
        ]
        run, axes = _run(axes)
        *outer, second, first = [*[Axis(1, 0, 0, 0, 0)] * max(0, 2 - len(axes)), *axes]
        for places in cartesian(*(range(axis.inside) for axis in outer)):
            home = sum(n * axis.home for axis, n in zip(outer, places))
            near = sum(n * axis.tile for axis, n in zip(outer, places))
            self.append(
                Sto(
                    dram=target + home * bytes_,
                    spa=tile.address + near * bytes_,
                    **_counts(run, first, second, second, bytes_),
                )
            )

    def fill(self, tile: Tile) -> None:
        kind = tile.buffer.dtype
        body = body_of(Stage("fill", (), Const(tile.fill or 0, kind), Access(tile.buffer.name, ())), kind)
        view = _view(Access(tile.buffer.name, ()), tile, 0, [1], False)
        for begin in range(0, prod(tile.size), MOST_COUNT):
            size = LANE_BYTES if tile.memory == "acc" else kind.bytes
            piece = replace(
                view, base=view.base + begin * size // (LANE_BYTES if tile.memory == "acc" else 1)
            )
            count = min(MOST_COUNT, prod(tile.size) - begin)
            self.append(Vector(body, Vec(number=0, n0=count, streams=(piece,))))

    def _load_columns(self, tile: Tile) -> None:
        """The columns of a product, packed as the array reads them: constants when compiled, else row by row."""
        assert self.array is not None
        _, found = self.columns[tile.buffer.name]
        bytes_ = tile.buffer.dtype.bytes
        operand = self.operands[tile.buffer.name]
        extents = _sizes(found.columns, tile.size)
        lows = _sizes(found.columns, tile.low)
        outer, run = self._sum(found, extents)
        n = found.lane
        others = [name for name in found.columns.dims if name not in (*found.k, n)]
        if any(extents[name] > 1 for name in others):
            raise UnsupportedError("columns of several products are held at once")
        if isinstance(operand, Constant):
            key = (operand.key, operand.array.shape, found.columns, tile.low, tile.size, tuple(outer), run)
            if key not in self.dram.places:
                packed = pack(
                    operand.array,
                    found.columns,
                    lows,
                    extents,
                    outer,
                    run,
                    n,
                    self.array.rows,
                    self.array.cols,
                )
                self.dram.constant(key, packed)
            count = self._packed_elements(found, extents) * bytes_
            self._flat(Ldw, self.dram.places[key], tile.address, count)
            return
        shape = tuple(int(extent) for extent in tile.buffer.shape)  # type: ignore[arg-type]
        steps = {
            d: sum(_coefficient(p, d) * prod(shape[a + 1 :]) for a, p in enumerate(found.columns.index))
            for d in extents
        }
        source = self.dram.address(operand) + _offset(tile.low, shape) * bytes_
        cols, rows = self.array.cols, self.array.rows
        run_length = prod(extents[name] for name in run)
        depth = -(-run_length // rows) * rows
        sums = prod(extents[name] for name in outer)
        pitch = steps[run[-1]] if run else 0
        if steps[n] != 1 or len(run) > 1:
            raise UnsupportedError("the columns of a product do not lie side by side")
        whole, rest = divmod(extents[n], cols)
        for number, places in enumerate(cartesian(*(range(extents[name]) for name in outer))):
            at = source + sum(p * steps[name] for p, name in zip(places, outer)) * bytes_
            near = tile.address + number * depth * cols * bytes_
            for first, count, width in ((0, whole, cols), (whole, 1, rest)):
                if count and width:
                    self.append(
                        Ldw(
                            dram=at + first * cols * bytes_,
                            spw=near + first * sums * depth * cols * bytes_,
                            n0=width * bytes_,
                            n1=run_length,
                            n2=count,
                            s1=pitch * bytes_,
                            s2=cols * bytes_,
                            d1=cols * bytes_,
                            d2=sums * depth * cols * bytes_,
                        )
                    )

    def gather(self, stage: Stage, box: Box, tiles: Mapping[str, Tile]) -> None:
        load = stage.body
        assert isinstance(load, Load)
        lookup, *inner = load.access.index
        assert isinstance(lookup, Lookup)
        table, target = self.kernel.buffer(load.access.buffer), tiles[stage.write.buffer]
        indices = tiles[lookup.access.buffer]
        rows, *shape = (int(extent) for extent in table.shape)  # type: ignore[arg-type]
        bytes_ = table.dtype.bytes
        lows = [box[part.dims[0]][0] if isinstance(part, Affine) and part.dims else 0 for part in inner]
        sizes = [box[part.dims[0]][1] if isinstance(part, Affine) and part.dims else 1 for part in inner]
        run, axes = _run(
            [Axis(n, 0, 0, prod(shape[a + 1 :]), prod(sizes[a + 1 :])) for a, n in enumerate(sizes)]
        )
        operand = self.operands[table.name]
        if isinstance(operand, Constant):
            home = self.dram.constant((operand.key, operand.array.shape), operand.array)
        else:
            home = self.dram.address(operand)
        names = [part.dims[0] for part in lookup.access.index if isinstance(part, Affine) and part.dims]
        count = prod(box[name][1] for name in names)
        if indices.size != tuple(box[name][1] for name in names) and len(names) > 1:
            raise UnsupportedError("indices of rows do not lie side by side")
        for places in cartesian(*(range(axis.inside) for axis in axes)):
            at = _offset(tuple(lows), tuple(shape)) + sum(n * axis.home for axis, n in zip(axes, places))
            near = _start(stage.write, target, box) + sum(n * axis.tile for axis, n in zip(axes, places))
            self.append(
                Gather(
                    table=home + at * bytes_,
                    spa=target.address + near * bytes_,
                    n0=run * bytes_,
                    width=int(indices.buffer.dtype.bytes == 8),
                    count=count,
                    index=indices.address + _start(lookup.access, indices, box) * indices.buffer.dtype.bytes,
                    d1=prod(sizes) * bytes_ if axes else 0,
                    pitch=prod(shape) * bytes_,
                    rows=rows,
                )
            )

    # --- work --------------------------------------------------------------------------------------------------

    def contract(
        self, stage: Stage, found: Product, box: Box, tiles: Mapping[str, Tile], accumulate: bool
    ) -> None:
        assert self.array is not None
        rows, columns = tiles[found.rows.buffer], tiles[found.columns.buffer]
        target = tiles[stage.write.buffer]
        n = found.lane
        extents = {name: size for name, (_, size) in box.items()}
        outer, run = self._sum(found, {name: extents[name] for name in found.k})
        if len(outer) > 2:
            raise UnsupportedError("a sum has more than two dims beside its run")
        size = rows.buffer.dtype.bytes
        dims: list[tuple[int, Ints]] = [
            (extents[name], (_step(found.rows, rows, name), _step(stage.write, target, name)))
            for name in (*found.batch, *found.m, *(each for each in found.n if each != n))
        ]
        dims = merged([entry for entry in dims if entry[0] > 1])
        pitch = self._pitch(stage, target, n)
        inner: tuple[int, Ints] = (1, (0, pitch))
        middle: tuple[int, Ints] = (1, (0, 0))
        if dims and dims[-1][1][1] == pitch:
            inner = dims.pop()
        if dims and dims[-1][1][1] == pitch * inner[0]:
            middle = dims.pop()
        k0 = prod(extents[name] for name in run)
        sums = [(1, 0)] * (2 - len(outer)) + [
            (extents[name], _step(found.rows, rows, name)) for name in outer
        ]
        a0 = rows.address + _start(found.rows, rows, box) * size
        c0 = target.address // LANE_BYTES + _start(stage.write, target, box)
        depth = -(-k0 // self.array.rows) * self.array.rows * sums[0][0] * sums[1][0]
        k_tiles = depth // self.array.rows
        lows = _sizes(found.columns, columns.low)
        skipped, rest = divmod(box[n][0] - lows[n], self.array.cols)
        if rest or any(box[name][0] != lows[name] for name in found.k):
            raise UnsupportedError("a product begins inside a packed tile of columns")
        w0 = columns.address + skipped * depth * self.array.cols * size
        for places in cartesian(*(range(count) for count, _ in dims)):
            a = a0 + sum(p * steps[0] for p, (_, steps) in zip(places, dims)) * size
            c = c0 + sum(p * steps[1] for p, (_, steps) in zip(places, dims))
            self.append(
                Mxu(
                    type=PRODUCTS.index(found.type.partition("*")[0]),
                    accumulate=int(accumulate),
                    mapping=best_mapping(
                        self.array,
                        found,
                        inner[0] * middle[0],
                        extents[n],
                        k0 * sums[0][0] * sums[1][0],
                        k_tiles,
                    ),
                    m0=inner[0],
                    m1=middle[0],
                    a=a,
                    w=w0,
                    n=extents[n],
                    c=c,
                    pitch=pitch if pitch != extents[n] else 0,
                    k0=k0,
                    k1=sums[1][0],
                    k2=sums[0][0],
                    am0=inner[1][0] * size,
                    am1=middle[1][0] * size,
                    ak1=sums[1][1] * size if sums[1][0] > 1 else 0,
                    ak2=sums[0][1] * size if sums[0][0] > 1 else 0,
                )
            )

    def _pitch(self, stage: Stage, target: Tile, n: str) -> int:
        """Lanes from row to row of a product's result."""
        if _step(stage.write, target, n) != 1:
            raise UnsupportedError("the columns of a product are not innermost in its result")
        axis = next(a for a, part in enumerate(stage.write.index) if _coefficient(part, n))
        return target.size[axis]

    def elementwise(self, stage: Stage, box: Box, tiles: Mapping[str, Tile], initialise: bool) -> None:
        target = tiles[stage.write.buffer]
        if stage.name not in self.bodies:
            self.bodies[stage.name] = body_of(stage, target.buffer.dtype)
        body = self.bodies[stage.name]
        streams = [
            (stage.write, target),
            *((_access(source), _tile(source, tiles)) for source in body.sources),
        ]
        tables = {node.arguments[1] for node in _lookups(stage)}
        lane = lane_dim(self.kernel, stage, self.engine)
        names = [name for name in box if name != lane]
        names.sort(key=lambda name: (-_step(stage.write, target, name) or -(1 << 40), name))
        order = [*names, *([lane] if lane is not None else [])]
        dims = [
            (
                box[name][1],
                tuple(
                    0 if source in tables else _stream_step(access, tile, name)
                    for source, (access, tile) in zip((None, *body.sources), streams)
                ),
            )
            for name in order
        ]
        dims = merged([entry for entry in dims if entry[0] > 1]) or [(1, (0,) * len(streams))]
        bases = [
            0 if source in tables else _stream_start(access, tile, box)
            for source, (access, tile) in zip((None, *body.sources), streams)
        ]
        split = max(0, len(dims) - MOST_DIMS)
        started = False
        for places in cartesian(*(range(count) for count, _ in dims[:split])):
            at = [
                base + sum(p * steps[s] for p, (_, steps) in zip(places, dims[:split]))
                for s, base in enumerate(bases)
            ]
            inner = [*dims[split:]][::-1]
            counts = [count for count, _ in inner] + [1] * (MOST_DIMS - len(inner))
            views = tuple(
                _view(access, tile, at[s], [steps[s] for _, steps in inner], source in tables)
                for s, (source, (access, tile)) in enumerate(zip((None, *body.sources), streams))
            )
            reduced_outside = any(steps[0] == 0 for _, steps in dims[:split])
            self.append(
                Vector(
                    body,
                    Vec(
                        number=0,
                        combine=COMBINES.index(stage.combine or "none"),
                        initialise=int(initialise and not (started and reduced_outside)),
                        n0=counts[0],
                        n1=counts[1],
                        n2=counts[2],
                        n3=counts[3],
                        n4=counts[4],
                        streams=views,
                    ),
                )
            )
            started = True


_NONE = Axis(0, 0, 0, 0, 0)


def _counts(run: int, rows: Axis, planes: Axis, place: Axis, bytes_: int) -> dict[str, int]:
    """Counts and strides of a copy; what follows from the others is left at its default, which is not stored."""
    pitch = rows.tile * bytes_ if rows.inside + rows.before + rows.after > 1 else run * bytes_
    height = (rows.before + rows.inside + rows.after) * pitch
    several = place.before + planes.inside + place.after > 1
    return {
        "n0": run * bytes_,
        "n1": rows.inside,
        "n2": planes.inside,
        "s1": rows.home * bytes_ if rows.inside > 1 else 0,
        "s2": planes.home * bytes_ if planes.inside > 1 else 0,
        "d1": pitch if pitch != run * bytes_ else 0,
        "d2": place.tile * bytes_ if several and place.tile * bytes_ != height else 0,
    }


def _lookups(stage: Stage) -> list[Apply]:
    return [node for node in walk(stage.body) if isinstance(node, Apply) and node.op == "lookup"]


def _access(source: Load | Index) -> Access | Affine:
    return source.access if isinstance(source, Load) else source.affine


def _tile(source: Load | Index, tiles: Mapping[str, Tile]) -> Tile | None:
    return tiles[source.access.buffer] if isinstance(source, Load) else None


def _stream_step(access: Access | Affine, tile: Tile | None, name: str) -> int:
    if isinstance(access, Affine):
        return access.coefficient(name)
    assert tile is not None
    return _step(access, tile, name)


def _stream_start(access: Access | Affine, tile: Tile | None, box: Box) -> int:
    if isinstance(access, Affine):
        return access.const + sum(c * box[name][0] for name, c in access.terms)
    assert tile is not None
    return _start(access, tile, box)


def _view(access: Access | Affine, tile: Tile | None, start: int, steps: Sequence[int], table: bool) -> View:
    strides = [*steps, *[0] * (MOST_DIMS - len(steps))]
    if tile is None:
        memory, dtype, base = "index", "i32", start & INDEX_MASK
    else:
        memory, dtype = tile.memory, element_type(tile.buffer.dtype)
        size = LANE_BYTES if memory == "acc" else tile.buffer.dtype.bytes
        base = (tile.address + start * size) // (LANE_BYTES if memory == "acc" else 1)
        if table:
            strides = [prod(tile.size), 0, 0, 0, 0]
    return View(
        memory=MEMORIES.index(memory),
        dtype=TYPES.index(dtype),
        base=base,
        table=int(table),
        s0=strides[0],
        s1=strides[1],
        s2=strides[2],
        s3=strides[3],
        s4=strides[4],
    )


def merged(dims: Sequence[tuple[int, Ints]]) -> list[tuple[int, Ints]]:
    """Dims as (count, strides of each stream), outermost first, those joined that nest in all streams."""
    out: list[tuple[int, Ints]] = []
    for count, steps in dims:
        if out and all(outer == step * count for outer, step in zip(out[-1][1], steps)):
            out[-1] = (out[-1][0] * count, steps)
        else:
            out.append((count, steps))
    return out


def pack(
    array: np.ndarray,
    access: Access,
    lows: Mapping[str, int],
    extents: Mapping[str, int],
    outer: Sequence[str],
    run: Sequence[str],
    n: str,
    rows: int,
    cols: int,
) -> np.ndarray:
    """Columns as the array reads them: [column tiles, outer sums, run filled up to rows, cols], zeros beyond."""
    order = [*outer, *run, n]
    grids = np.ix_(*(np.arange(extents[name]) + lows[name] for name in order))
    where = dict(zip(order, grids))
    index = tuple(
        part.const + sum(c * where.get(name, np.int64(lows.get(name, 0))) for name, c in part.terms)
        for part in access.index
        if isinstance(part, Affine)
    )
    values = np.broadcast_to(array[index], tuple(extents[name] for name in order))
    sums, depth = prod(extents[name] for name in outer), prod(extents[name] for name in run)
    values = values.reshape(sums, depth, extents[n])
    tiles, deep = -(-extents[n] // cols), -(-depth // rows) * rows
    out = np.zeros((sums, deep, tiles * cols), array.dtype)
    out[:, :depth, : extents[n]] = values
    return np.ascontiguousarray(out.reshape(sums, deep, tiles, cols).transpose(2, 0, 1, 3))


def _run(axes: Sequence[Axis]) -> tuple[int, list[Axis]]:
    """The contiguous run of a copy, in elements, and the axes outside it that are left, outermost first."""
    axes = list(axes)
    run = 1
    while axes and not axes[-1].padded and axes[-1].home == run and axes[-1].tile == run:
        run *= axes.pop().inside
    left = [axis for axis in axes if axis.inside != 1 or axis.padded]
    joined: list[Axis] = []
    for axis in left:
        outer = joined[-1] if joined else None
        nests = outer is not None and not outer.padded and not axis.padded
        if (
            outer is not None
            and nests
            and outer.home == axis.home * axis.inside
            and outer.tile == axis.tile * axis.inside
        ):
            joined[-1] = Axis(outer.inside * axis.inside, 0, 0, axis.home, axis.tile)
        else:
            joined.append(axis)
    return run, joined


def _fill(tile: Tile) -> dict[str, int]:
    """The pattern that padding is made of."""
    pattern = np.array(tile.fill or 0).astype(tile.buffer.dtype.numpy).tobytes()
    if len(pattern) not in FILL_WIDTHS:
        raise UnsupportedError(f"padding of {tile.buffer.dtype} is no pattern of at most 4 bytes")
    return {"fill_width": FILL_WIDTHS.index(len(pattern)), "fill": int.from_bytes(pattern, "little")}


def _offset(low: Ints, shape: Ints) -> int:
    """The place of an element in a row-major array."""
    return sum(a * prod(shape[axis + 1 :]) for axis, a in enumerate(low))


def _coefficient(part: Affine | Lookup, name: str) -> int:
    return 0 if isinstance(part, Lookup) else part.coefficient(name)


def _step(access: Access, tile: Tile, name: str) -> int:
    """Elements from neighbour to neighbour along a dim in a tile."""
    return sum(_coefficient(part, name) * pitch for part, pitch in zip(access.index, tile.pitch))


def _start(access: Access, tile: Tile, box: Box) -> int:
    """The place in a tile of the first element of a box."""
    total = 0
    for part, low, pitch in zip(access.index, tile.low, tile.pitch):
        if isinstance(part, Affine):
            total += (part.const + sum(c * box[name][0] for name, c in part.terms) - low) * pitch
    return total


def _sizes(access: Access, sizes: Ints) -> dict[str, int]:
    """A box's numbers by dim: each axis of a product's columns is one dim."""
    out = {}
    for part, size in zip(access.index, sizes):
        if isinstance(part, Affine) and part.terms:
            if part.single is None:
                raise UnsupportedError(f"the columns of a product are read at {part}")
            out[part.single] = size
    return out


def number_programs(
    instructions: Sequence[Instruction | Vector], slots: int, known: dict[object, int]
) -> list[Instruction]:
    """Vector instructions with the number of their program, defined before its first use, kept while it fits."""
    out: list[Instruction] = []
    for each in instructions:
        if isinstance(each, Instruction):
            out.append(each)
            continue
        key = each.body.key
        number = known.pop(key, None)
        if number is None:
            free = next((n for n in range(slots) if n not in set(known.values())), None)
            number = known.pop(next(iter(known))) if free is None else free
            out.append(each.body.program(number))
        known[key] = number  # the last one used goes last
        each.instruction.number = number
        out.append(each.instruction)
    return out
