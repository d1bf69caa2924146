"""Where held tiles lie: scratch tiles on the stack, and panels of constants that were packed at compile time."""

from collections.abc import Sequence
from math import prod

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.types import DType
from ...compiler.tile.infer import Range, infer
from ...compiler.tile.schedule import Hold, Loop, Schedule, segments
from ...compiler.tile.stage import PARALLEL, Affine, Buffer, Kernel, dim
from ...runtime.records import dataclass, replace
from .builder import Builder, Register
from .dot import Factor
from .storage import Storage

_STACK_LIMIT = 1 << 20
_CROWDED = 512
"""Rows a multiple of so many bytes apart would share a few sets of a cache."""


@dataclass(frozen=True)
class Packing:
    """How a constant is laid out for a kernel: `outer` axes whole, then panels of the last axis of `order`.

    Each panel holds the axes of `order`, its last axis padded to a multiple of `unit`; panels follow each other.
    `panels` lists (start, size) along that axis. Elements become `dtype`, if one is given. `group` neighbours along the
    axis before the last one lie beside each other, as many as `depth` divides, filled up with zeros; with `signs` they
    are magnitudes, and after those of all columns stand as many masks, all ones for what is negative. Where rows are
    shifted by `shift`, or turned round by signs, a panel ends in what makes up for that, in 32 bits a column.
    """

    buffer: str
    outer: tuple[int, ...]
    order: tuple[int, ...]
    panels: tuple[tuple[int, int], ...]
    unit: int
    dtype: DType | None = None
    group: int = 1
    depth: int = 1
    shift: int = 0
    signs: bool = False

    @property
    def planes(self) -> int:
        """How many elements of a panel each number takes."""
        return 2 if self.signs else 1

    @property
    def ends(self) -> bool:
        """Whether panels end in numbers with which sums begin."""
        return bool(self.shift) or self.signs


def dense(buffer: Buffer, base: Register) -> Storage:
    """A row-major array in the caller's memory."""
    shape = buffer.static_shape
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return Storage(base, tuple(strides), (Affine(),) * len(strides), Affine(), buffer.dtype)


def scratch(
    builder: Builder, buffer: Buffer, box: Sequence[Range], order: Sequence[int], lanes: int
) -> Storage:
    """Stack memory for a tile, axes in `order`, the last one padded to whole vectors."""
    sizes = [box[axis].size for axis in order]
    if sizes and sizes[-1] >= lanes:
        sizes[-1] = -(-sizes[-1] // lanes) * lanes
    if len(sizes) > 1 and not sizes[-1] * buffer.dtype.bytes % _CROWDED:
        sizes[-1] += lanes
    strides = [0] * len(box)
    step = 1
    for axis, size in reversed(list(zip(order, sizes, strict=True))):
        strides[axis] = step
        step *= size
    bytes = (step + lanes) * buffer.dtype.bytes
    if bytes > _STACK_LIMIT:
        raise UnsupportedError(
            f"the tile of '{buffer.name}' takes {bytes} bytes of stack, at most {_STACK_LIMIT}"
        )
    lows = tuple(r.low for r in box)
    extents = tuple(r.size for r in box)
    return Storage(
        builder.alloca(bytes), tuple(strides), lows, Affine(), buffer.dtype, padded=True, sizes=extents
    )


def panel_ribs(kernel: Kernel, schedule: Schedule, hold: Hold) -> tuple[Loop, ...]:
    """The loops of a packed constant's only reader that cut its last axis further: each turn has a panel of its own."""
    assert hold.layout is not None
    readers = kernel.readers(hold.buffer)
    accesses = [access for stage in readers for access in stage.reads if access.buffer == hold.buffer]
    if len(accesses) != 1:
        return ()
    part = accesses[0].index[hold.layout[-1]]
    columns = {d.name for d in readers[0].kind(PARALLEL)} & {
        part.single if isinstance(part, Affine) else None
    }
    return tuple(rib for rib in schedule.place(readers[0].name).loops if rib.dim in columns)


def packed(
    kernel: Kernel,
    schedule: Schedule,
    hold: Hold,
    box: Sequence[Range],
    base: Register,
    lanes: int,
    ribs: Sequence[Loop] = (),
    wanted: Factor | None = None,
) -> tuple[Storage, Packing]:
    """A constant packed at compile time: the address of the panel that the current loops select, and the packing.

    `box` is the part under these loops, `ribs` those of the reader that cut panels; see `panel_ribs`. Where a leaf
    wants neighbours together, addresses are right for the first of each group.
    """
    assert hold.layout is not None
    buffer = kernel.buffer(hold.buffer)
    packing = Packing(buffer.name, (), (), (), lanes)
    if wanted is not None:
        packing = replace(
            packing,
            dtype=wanted.dtype,
            group=wanted.group,
            depth=wanted.depth,
            shift=wanted.shift,
            signs=wanted.signs,
        )
    dtype, group = packing.dtype or buffer.dtype, packing.group
    *rest, panel = hold.layout
    outer = tuple(a for a in rest if box[a].low.terms or box[a].size != buffer.static_shape[a])
    inner = [a for a in rest if a not in outer]
    if any(box[a].size != 1 for a in outer):
        raise UnsupportedError(f"the packed constant '{buffer.name}' moves along two axes at once")
    shape = buffer.static_shape
    sizes = {a: box[a].size for a in inner}
    if wanted is not None:
        if not inner or inner[-1] != wanted.axis:
            raise UnsupportedError(f"the packed constant '{buffer.name}' moves along what is summed")
        sizes[wanted.axis] = _padded(sizes[wanted.axis], wanted.depth)
    ends = prod(sizes.values()) * packing.planes
    rows = ends + (group if packing.ends else 0)
    unit = hold.panel or lanes
    if hold.panel is not None and (wanted is not None or unit % lanes):
        raise UnsupportedError(
            f"panels of {unit} columns of '{buffer.name}' are not whole vectors of numbers"
        )
    tile = _padded(box[panel].size, unit)
    width = hold.panel or tile
    strides, lows = [0] * len(shape), [Affine()] * len(shape)
    strides[panel] = group
    for axis in (panel, *inner):
        lows[axis] = box[axis].low
    step = width * packing.planes
    for axis in reversed(inner):
        strides[axis], step = step, step * sizes[axis]
    step = rows * _padded(shape[panel], unit)
    for axis in reversed(outer):
        strides[axis], step = step, step * shape[axis]
    storage = Storage(
        base,
        tuple(strides),
        tuple(lows),
        box[panel].low * rows,
        dtype,
        padded=True,
        ahead=rows * tile * dtype.bytes if hold.slots > 1 else 0,
        held_at=hold.at,
        ends=ends * width if packing.ends else 0,
        panels=(panel, width, (rows - 1) * width) if hold.panel is not None else None,
    )
    panels = _panels(kernel, schedule.loops[: hold.at], buffer, panel)
    for rib in ribs:
        panels = _cut(panels, rib)
    if any(start % unit for start, _ in panels):
        raise UnsupportedError(f"the packed constant '{buffer.name}' is not cut at multiples of {unit}")
    if hold.panel is not None:
        panels = tuple(
            (start + n, min(unit, size - n)) for start, size in panels for n in range(0, size, unit)
        )
    return storage, replace(packing, outer=outer, order=(*inner, panel), panels=panels, unit=unit)


def _padded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


def _panels(kernel: Kernel, loops: Sequence[Loop], buffer: Buffer, axis: int) -> tuple[tuple[int, int], ...]:
    """How the loops cut an axis of a constant, as (start, size)."""
    panels: tuple[tuple[int, int], ...] = ((0, buffer.static_shape[axis]),)
    if infer(kernel, {}).buffer(kernel, buffer.name)[axis] != Range(Affine(), buffer.static_shape[axis]):
        raise UnsupportedError(f"the packed constant '{buffer.name}' is read in part")
    for loop in loops:
        moved = infer(kernel, {loop.dim: Range(dim("probe"), 1)}).buffer(kernel, buffer.name)[axis].low
        if not moved.terms:
            continue
        if moved.terms != (("probe", 1),):
            raise UnsupportedError(f"the packed constant '{buffer.name}' is not cut by whole panels")
        panels = _cut(panels, loop)
    return panels


def _cut(panels: Sequence[tuple[int, int]], loop: Loop) -> tuple[tuple[int, int], ...]:
    return tuple(
        (start + cut.start + n * cut.size, cut.size)
        for start, size in panels
        for cut in segments(size, loop.step, loop.unit)
        for n in range(cut.count)
    )
