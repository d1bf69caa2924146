"""Products of tiles as what one instruction of an array does: strided rows times packed columns onto accumulators."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product as cartesian

from ..diagnostics import UnsupportedError
from ..target.description import Engine
from ..tile.products import Product
from ..tile.stage import LOCAL, Kernel, Stage
from ..tile.work import best_mapping
from .columns import Columns
from .emit import Box, Ints, Tile
from .places import by_dim, coefficient, merged, start, step

MOST_TAPS = 63
"""Steps of a dim of a sum beside its run that an instruction takes: 6 bits on every chip."""


@dataclass(frozen=True, slots=True)
class Multiply:
    """C[i1, i0, j] = or += sum over t2 < k2, t1 < k1, t0 < k0 of A[i1, i0, t2, t1, t0] * W[t2, t1, t0, j].

    A and C begin at the byte addresses `a` and `c`, `am0` to `ak2` are strides of A in bytes, `pitch` that of C's rows
    i1*m0 + i0 in bytes. W is packed at `w`, `tile` bytes from one tile of columns to the next. `type` is the product's,
    `mapping` which of the engine's mappings is the quickest.
    """

    type: str
    accumulate: bool
    mapping: int
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


def multiplications(
    kernel: Kernel,
    stage: Stage,
    found: Product,
    array: Engine,
    box: Box,
    tiles: Mapping[str, Tile],
    accumulate: bool,
    rows: int,
    sums: int,
    far: bool,
    lane_bytes: int,
) -> Iterator[Multiply]:
    """A product on a box, cut into instructions with `rows` dims of rows (1 or 2) and `sums` beside the run (0 to 2).

    `far`: tiles of columns of one instruction may lie any distance apart, not only side by side. UnsupportedError where
    tiles do not lie as an array needs them.
    """
    left, right, target = tiles[found.rows.buffer], tiles[found.columns.buffer], tiles[stage.write.buffer]
    n = found.lane
    extents = {name: size for name, (_, size) in box.items()}
    columns = Columns(kernel, found, array, {name: extents[name] for name in (*found.k, n)})
    size = left.buffer.dtype.bytes
    pitch = _pitch(stage, target, n)
    names = (*found.batch, *found.m, *(each for each in found.n if each != n))
    dims = merged(
        [
            (extents[name], (step(found.rows, left, name), step(stage.write, target, name)))
            for name in names
            if extents[name] > 1
        ]
    )
    inner: tuple[int, Ints] = (1, (0, pitch))
    middle: tuple[int, Ints] = (1, (0, 0))
    if dims and dims[-1][1][1] == pitch:
        inner = dims.pop()
    if rows > 1 and dims and dims[-1][1][1] == pitch * inner[0]:
        middle = dims.pop()
    outer = ((extents[name], step(found.rows, left, name)) for name in columns.outer)
    terms = [part for extent, each in outer for part in _cut(extent, each)]
    apart, together = terms[: max(0, len(terms) - sums)], terms[max(0, len(terms) - sums) :]
    (k2, ak2), (k1, ak1) = [(1, 0)] * (2 - len(together)) + together
    a0 = left.address + start(found.rows, left, box) * size
    c0 = target.address + start(stage.write, target, box) * lane_bytes
    lows = by_dim(found.columns, right.low)
    if right.buffer.role == LOCAL and not Columns.of(kernel, found, array, right.size).is_plain:
        raise UnsupportedError("the columns of a product are not written as its array reads them")
    skipped, rest = divmod(box[n][0] - lows[n], array.cols)
    if rest or any(box[name][0] != lows[name] for name in found.k):
        raise UnsupportedError("a product begins inside a packed tile of columns")
    w0 = right.address + skipped * columns.pitch * size
    deep = columns.depth * array.cols * k1 * k2 * size
    count = columns.length * k1 * k2
    k_tiles = columns.depth // array.rows * k1 * k2
    mapping = best_mapping(array, found, inner[0], middle[0], extents[n], count, k_tiles, k1 * k2)
    width = array.cols if apart and not far else extents[n]
    for *places, first in cartesian(*(range(each) for each, _ in dims), range(0, extents[n], width)):
        for number, term in enumerate(cartesian(*(range(each) for each, _ in apart))):
            yield Multiply(
                type=found.type,
                accumulate=accumulate or number > 0,
                mapping=mapping,
                a=a0
                + sum(p * steps[0] for p, (_, steps) in zip(places, dims)) * size
                + sum(t * each for t, (_, each) in zip(term, apart)) * size,
                w=w0 + number * deep + first // array.cols * columns.pitch * size,
                c=c0 + (first + sum(p * steps[1] for p, (_, steps) in zip(places, dims))) * lane_bytes,
                m0=inner[0],
                m1=middle[0],
                n=min(width, extents[n] - first),
                k0=columns.length,
                k1=k1,
                k2=k2,
                am0=inner[1][0] * size,
                am1=middle[1][0] * size,
                ak1=ak1 * size if k1 > 1 else 0,
                ak2=ak2 * size if k2 > 1 else 0,
                pitch=pitch * lane_bytes,
                tile=columns.pitch * size,
            )


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
