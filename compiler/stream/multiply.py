"""Products of tiles as what one instruction of an array does: strided rows times packed columns onto accumulators."""

from collections.abc import Iterator, Mapping
from itertools import product as cartesian

from ...runtime.records import dataclass
from ..diagnostics import UnsupportedError
from ..target.description import Engine
from ..tile.products import Product
from ..tile.stage import LOCAL, Kernel, Stage
from ..tile.work import mapping_costs
from .columns import Columns
from .emit import Box, Ints, Tile
from .mappings import Mapped
from .places import by_dim, coefficient, merged, start, step

MOST_TAPS = 63
"""Steps of a dim of a sum beside its run that an instruction takes: 6 bits on every chip."""


@dataclass(frozen=True, slots=True)
class Multiply:
    """C[i1, i0, j] = or += sum over t2 < k2, t1 < k1, t0 < k0 of A[i1, i0, t2, t1, t0] * W[t2, t1, t0, j].

    A and C begin at the byte addresses `a` and `c`, `am0` to `ak2` are strides of A in bytes, `pitch` that of C's rows
    i1*m0 + i0 in bytes. W is packed at `w`, `tile` bytes from one tile of columns to the next. `type` is the product's,
    `ways` what it takes by each of the engine's mappings, and `mapping` which one runs it.
    """

    type: str
    accumulate: bool
    ways: tuple[Mapped, ...]
    a: int
    w: int
    c: int
    m0: int
    m1: int
    n: int
    k0: int
    k1: int
    k2: int
    am0: int
    am1: int
    ak1: int
    ak2: int
    pitch: int
    tile: int
    mapping: int = 0


@dataclass(frozen=True, slots=True)
class _Shape:
    """What of a product on a box depends on sizes alone: how its columns lie, the dims of rows that an instruction
    takes (`inner`, `middle`: count, and steps of A and C in elements) and those run out around it (`dims`: of W too),
    the same of the sum (`k2`, `k1` and `apart`: count and step of A), steps of W from product to product, and what
    it takes by each mapping."""

    columns: Columns
    inner: tuple[int, Ints]
    middle: tuple[int, Ints]
    dims: list[tuple[int, Ints]]
    k2: tuple[int, int]
    k1: tuple[int, int]
    apart: list[tuple[int, int]]
    products: Mapping[str, int]
    pitch: int
    ways: tuple[Mapped, ...]


class Multiplier:
    """A product as work of an array, box by box, in instructions with `rows` dims of rows (1 or 2) and `sums` beside
    the run (0 to 2). What depends on the sizes of boxes and tiles alone is found out once.

    `far`: tiles of columns of one instruction may lie any distance apart, not only side by side.
    """

    def __init__(
        self,
        kernel: Kernel,
        stage: Stage,
        found: Product,
        array: Engine,
        rows: int,
        sums: int,
        far: bool,
        lane_bytes: int,
    ):
        self.kernel, self.stage, self.found, self.array = kernel, stage, found, array
        self.rows, self.sums, self.far, self.lane_bytes = rows, sums, far, lane_bytes
        self._shapes: dict[object, _Shape] = {}

    def work(self, box: Box, tiles: Mapping[str, Tile], accumulate: bool) -> Iterator[Multiply]:
        """A box of the product. UnsupportedError where tiles do not lie as an array needs them."""
        found, stage, array = self.found, self.stage, self.array
        left, right, target = (
            tiles[name] for name in (found.rows.buffer, found.columns.buffer, stage.write.buffer)
        )
        extents = {name: size for name, (_, size) in box.items()}
        key = tuple(extents.values()), left.size, right.size, target.size
        if key not in self._shapes:
            self._shapes[key] = self._shape(extents, left, right, target)
        shape = self._shapes[key]
        columns, size, n = shape.columns, left.buffer.dtype.bytes, found.lane
        (k2, ak2), (k1, ak1) = shape.k2, shape.k1
        a0 = left.address + start(found.rows, left, box) * size
        c0 = target.address + start(stage.write, target, box) * self.lane_bytes
        lows = by_dim(found.columns, right.low)
        skipped, rest = divmod(box[n][0] - lows[n], array.cols)
        if rest or any(box[name][0] != lows[name] for name in found.k):
            raise UnsupportedError("a product begins inside a packed tile of columns")
        skipped *= columns.pitch
        skipped += sum((box[name][0] - lows[name]) * each for name, each in shape.products.items())
        w0 = right.address + skipped * size
        deep = columns.depth * array.cols * k1 * k2 * size
        width = array.cols if shape.apart and not self.far else extents[n]
        pieces = range(0, extents[n], width)
        for *places, first in cartesian(*(range(each) for each, _ in shape.dims), pieces):
            a, c, w = (sum(p * steps[n] for p, (_, steps) in zip(places, shape.dims)) for n in range(3))
            for number, term in enumerate(cartesian(*(range(each) for each, _ in shape.apart))):
                yield Multiply(
                    type=found.type,
                    accumulate=accumulate or number > 0,
                    ways=shape.ways,
                    a=a0 + (a + sum(t * each for t, (_, each) in zip(term, shape.apart))) * size,
                    w=w0 + number * deep + (w + first // array.cols * columns.pitch) * size,
                    c=c0 + (c + first) * self.lane_bytes,
                    m0=shape.inner[0],
                    m1=shape.middle[0],
                    n=min(width, extents[n] - first),
                    k0=columns.length,
                    k1=k1,
                    k2=k2,
                    am0=shape.inner[1][0] * size,
                    am1=shape.middle[1][0] * size,
                    ak1=ak1 * size if k1 > 1 else 0,
                    ak2=ak2 * size if k2 > 1 else 0,
                    pitch=shape.pitch * self.lane_bytes,
                    tile=columns.pitch * size,
                )

    def _shape(self, extents: Mapping[str, int], left: Tile, right: Tile, target: Tile) -> _Shape:
        kernel, found, array, write = self.kernel, self.found, self.array, self.stage.write
        n = found.lane
        columns = Columns(kernel, found, array, {name: extents[name] for name in (*found.k, n)})
        held = Columns.of(kernel, found, array, right.size)
        products = held.steps()
        pitch = _pitch(self.stage, target, n)
        names = (*found.batch, *found.m, *(each for each in found.n if each != n))
        dims = merged(
            [
                (
                    extents[name],
                    (step(found.rows, left, name), step(write, target, name), products.get(name, 0)),
                )
                for name in names
                if extents[name] > 1
            ]
        )
        inner: tuple[int, Ints] = (1, (0, pitch))
        middle: tuple[int, Ints] = (1, (0, 0))
        if dims and dims[-1][1][2] == 0:  # rows of one product, beside which others' may lie
            pitch = dims[-1][1][1]
        if dims and dims[-1][1][1:] == (pitch, 0):
            inner = dims.pop()
        if self.rows > 1 and dims and dims[-1][1][1:] == (pitch * inner[0], 0):
            middle = dims.pop()
        outer = ((extents[name], step(found.rows, left, name)) for name in columns.outer)
        terms = [part for extent, each in outer for part in _cut(extent, each)]
        apart, together = terms[: max(0, len(terms) - self.sums)], terms[max(0, len(terms) - self.sums) :]
        k2, k1 = [(1, 0)] * (2 - len(together)) + together
        if right.buffer.role == LOCAL and not held.is_plain:
            raise UnsupportedError("the columns of a product are not written as its array reads them")
        runs = k1[0] * k2[0]
        count, k_tiles = columns.length * runs, columns.depth // array.rows * runs
        figures = array, found, inner[0], middle[0], extents[n], count, k_tiles, runs
        ways = tuple(map(Mapped, mapping_costs(*figures), mapping_costs(*figures, "drain")))
        return _Shape(columns, inner, middle, dims, k2, k1, apart, products, pitch, ways)


def _cut(extent: int, step: int) -> list[tuple[int, int]]:
    """A dim of a sum as dims that an instruction takes, outermost first: extents and steps."""
    if extent <= MOST_TAPS:
        return [(extent, step)]
    inner = next(each for each in range(MOST_TAPS, 0, -1) if extent % each == 0)
    if inner == 1:
        return [(extent, step), (1, 0), (1, 0)]  # instructions of their own
    return [*_cut(extent // inner, inner * step), (inner, step)]


def _pitch(stage: Stage, target: Tile, n: str) -> int:
    """Lanes from row to row of a product's result."""
    if step(stage.write, target, n) != 1:
        raise UnsupportedError("the columns of a product are not innermost in its result")
    axis = next(a for a, part in enumerate(stage.write.index) if coefficient(part, n))
    return target.size[axis]
