"""Candidate spines of a kernel: orders of loops, and for each loop the sizes of tiles that are worth a look."""

from collections.abc import Iterable, Iterator
from itertools import permutations
from math import ceil, lcm

from ...runtime.records import dataclass
from .placing import Placing
from .products import Product
from .stage import INPUT, Affine

PARTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 56, 64, 96, 112, 128, 256, 512)
"""Into how many parts a dim may be cut."""

SUMS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
"""Into how many parts the sum of a product may be cut."""

_NARROW = 64  # at most so many candidate sizes of one dim


@dataclass(frozen=True)
class Cut:
    """A dim of the spine: its candidate tile sizes, and the multiple at which tiles are cut."""

    name: str
    sizes: tuple[int, ...]
    unit: int = 1


def spines(placing: Placing) -> Iterator[tuple[tuple[str, ...], list[Cut]]]:
    """Loop orders with candidate sizes for each loop."""
    if placing.is_chain:
        yield from _chain_spines(placing)
        return
    if placing.products:
        yield from _product_spines(placing)
        return
    for names in _orders(placing):
        for position in range(len(names)):  # outer dims one by one, one dim in parts, inner dims whole
            outer = [Cut(name, (1,)) for name in names[:position]]
            sizes = parts(placing.extents[names[position]], 1)
            if position < len(names) - 1 and position:
                sizes = sizes[:-1] or sizes
            dims = [*outer, Cut(names[position], sizes)]
            yield tuple(each.name for each in dims), dims
    if not placing.common:
        yield (), []


def _orders(placing: Placing) -> Iterator[tuple[str, ...]]:
    """The dims as they are; where an input lacks some of them also with one that it has in front, so that it is loaded
    once."""
    names = tuple(placing.common)
    yield names
    inputs = {buffer.name for buffer in placing.kernel.role(INPUT)}
    reads = [a.dims for stage in placing.kernel.stages for a in stage.reads if a.buffer in inputs]
    first = {name for dims in reads if set(names) - set(dims) for name in names[1:] if name in dims}
    for name in names:
        if name in first:
            yield name, *(other for other in names if other != name)


def _chain_spines(placing: Placing) -> Iterator[tuple[tuple[str, ...], list[Cut]]]:
    """Rows of the final result in stripes, or columns where it has no rows; the sum of the last product whole or in
    pieces, where it comes last."""
    assert placing.array is not None
    final = placing.kernel.stages[-1]
    names = [
        part.single for part in final.write.index if isinstance(part, Affine) and part.single is not None
    ]
    if not names:
        return
    last = list(placing.products.values())[-1]
    *rows, lane = names
    single = [Cut(name, (1,)) for name in rows[:-2] if placing.extents[name] > 1]
    dims = [Cut(name, parts(placing.extents[name], 1)) for name in rows[-2:]]
    if len(dims) == 2:
        dims[1] = Cut(rows[-1], parts(placing.extents[rows[-1]], 1)[:3])
    unit = lcm(placing.array.rows, placing.array.cols)
    columns = Cut(lane, parts(placing.extents[lane], placing.array.cols), placing.array.cols)
    if last.lane == lane:
        if not rows:
            dims = [columns]
        k = max(last.k, key=lambda each: placing.extents[each])
        cut = [Cut(k, parts(placing.extents[k], unit)[:8], unit)]
    else:
        cut = [columns]
    for chosen in (dims, [*dims, *cut]):  # sums begin anew with each tile of rows: what cuts them comes last
        order = [*single, *chosen]
        yield tuple(each.name for each in order), order


def _product_spines(placing: Placing) -> Iterator[tuple[tuple[str, ...], list[Cut]]]:
    assert placing.array is not None
    (found,) = placing.products.values()
    n = found.lane
    rows = found.m[-2:]
    forced = [name for name in placing.common if name not in rows and name != n]
    single = [Cut(name, (1,)) for name in forced if placing.extents[name] > 1]
    dims = [Cut(name, parts(placing.extents[name], 1)) for name in rows]
    if len(dims) == 2:  # the inner of two row dims is cut only where the outer one is cut to single rows
        dims[1] = Cut(rows[1], parts(placing.extents[rows[1]], 1)[:4])
    dims.append(Cut(n, parts(placing.extents[n], placing.array.cols), placing.array.cols))
    split = _split(placing, found)
    for pieces in [[], split] if split else [[]]:
        for chosen in permutations(dims):
            order = [*single, *chosen, *pieces]
            yield tuple(each.name for each in order), order


def _split(placing: Placing, found: Product) -> list[Cut]:
    """The dim of the sum that may be cut: the longest one."""
    assert placing.array is not None
    name = max(found.k, key=lambda each: placing.extents[each])
    last = found.rows.index[-1]
    unit = placing.array.rows if isinstance(last, Affine) and name in last.dims else 1
    units = ceil(placing.extents[name] / unit)
    sizes = _cut(placing.extents[name], unit, (*SUMS, min(units, SUMS[-1]))) if units > 1 else ()
    return [Cut(name, sizes, unit)] if sizes else []


def parts(extent: int, unit: int) -> tuple[int, ...]:
    """Tile sizes that cut an extent in nearly equal parts at multiples of `unit`, largest first."""
    return _cut(extent, unit, (*PARTS, ceil(extent / unit)))[:_NARROW]


def _cut(extent: int, unit: int, counts: Iterable[int]) -> tuple[int, ...]:
    """The same into so many parts."""
    units = ceil(extent / unit)
    sizes = {ceil(units / parts) * unit for parts in counts if parts <= units}
    return tuple(sorted({min(size, extent) for size in sizes}, reverse=True))
