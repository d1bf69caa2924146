"""Tiles as strided copies between home and a scratchpad, padding included."""

from collections.abc import Iterator, Sequence
from itertools import product as cartesian
from math import prod

from ...runtime.records import dataclass
from .emit import Ints, Tile
from .places import offset, shape_of


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy: planes of rows of n0 bytes between `home` and `near`, byte addresses.

    Counts n1 (rows) and n2 (planes) are those that are copied; strides in bytes are s1, s2 at home and d1, d2 in the
    scratchpad. A stride that follows from the others is 0: d1 of rows that touch, d2 of planes that do, any of a single
    row. `before` and `after` count rows and planes of padding in the scratchpad, where `near` is the first one.
    """

    home: int
    near: int
    n0: int
    n1: int = 1
    n2: int = 1
    s1: int = 0
    s2: int = 0
    d1: int = 0
    d2: int = 0
    before1: int = 0
    after1: int = 0
    before2: int = 0
    after2: int = 0

    @property
    def padded(self) -> bool:
        """Whether anything is filled in."""
        return bool(self.before1 or self.after1 or self.before2 or self.after2)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a copy: elements copied, padding around them, strides at home and in the tile in elements; places in
    the tile that nobody reads may be left out."""

    inside: int
    before: int
    after: int
    home: int
    tile: int
    unread: frozenset[int] = frozenset()

    @property
    def padded(self) -> bool:
        return bool(self.before or self.after)

    @property
    def total(self) -> int:
        """Elements in the tile."""
        return self.before + self.inside + self.after


_NONE = Axis(0, 0, 0, 0, 0)
_ONE = Axis(1, 0, 0, 0, 0)


def copies_in(
    tile: Tile, home: int, shape: Ints, dims: int = 2, unread: Sequence[frozenset[int]] = ()
) -> Iterator[Copy]:
    """A tile with its padding from a row-major array. `home` is the address of the first element that is copied,
    `dims` how many strided dims (1 or 2) an instruction has beside its run; `unread` are places along each axis of the
    tile that nobody reads: of axes outside those dims they are left out."""
    low, size = tile.inside
    axes = [
        Axis(
            n,
            a - first,
            whole - n - (a - first),
            prod(shape[axis + 1 :]),
            pitch,
            unread[axis] if unread else frozenset(),
        )
        for axis, (a, n, first, whole, pitch) in enumerate(zip(low, size, tile.low, tile.size, tile.pitch))
    ]
    return _copies(axes, home, tile, dims)


def copies_out(tile: Tile, home: int, dims: int = 2) -> Iterator[Copy]:
    """A tile to its place in a row-major array that begins at `home`."""
    shape, bytes_ = shape_of(tile), tile.buffer.dtype.bytes
    axes = [
        Axis(n, 0, 0, prod(shape[axis + 1 :]), pitch)
        for axis, (n, pitch) in enumerate(zip(tile.size, tile.pitch))
    ]
    return _copies(axes, home + offset(tile.low, shape) * bytes_, tile, dims)


def _copies(axes: Sequence[Axis], home: int, tile: Tile, dims: int) -> Iterator[Copy]:
    run, axes = joined(axes)
    bytes_ = tile.buffer.dtype.bytes
    axes = [*[_ONE] * max(0, dims - len(axes)), *axes]
    outer, inner = axes[: len(axes) - dims], axes[len(axes) - dims :]
    second, first = inner if dims == 2 else (_ONE, inner[0])
    for places in cartesian(*([n for n in range(axis.total) if n not in axis.unread] for axis in outer)):
        rows = first
        read = all(axis.before <= n < axis.before + axis.inside for axis, n in zip(outer, places))
        far = sum((n - axis.before) * axis.home for axis, n in zip(outer, places)) if read else 0
        near = sum(n * axis.tile for axis, n in zip(outer, places))
        planes, before2 = (second, second.before) if read else (_NONE, second.before + second.inside)
        if not read and dims == 1:
            rows, planes, before2 = Axis(0, first.before + first.inside, first.after, 0, first.tile), _ONE, 0
        yield Copy(
            home=home + far * bytes_,
            near=tile.address + near * bytes_,
            before1=rows.before,
            after1=rows.after,
            before2=before2,
            after2=second.after,
            **_counts(run, rows, planes, second, bytes_),
        )


def _counts(run: int, rows: Axis, planes: Axis, place: Axis, bytes_: int) -> dict[str, int]:
    """Counts and strides of a copy; those that follow from the others are 0."""
    pitch = rows.tile * bytes_ if rows.total > 1 else run * bytes_
    several = place.before + planes.inside + place.after > 1
    return {
        "n0": run * bytes_,
        "n1": rows.inside,
        "n2": planes.inside,
        "s1": rows.home * bytes_ if rows.inside > 1 else 0,
        "s2": planes.home * bytes_ if planes.inside > 1 else 0,
        "d1": pitch if pitch != run * bytes_ else 0,
        "d2": place.tile * bytes_ if several and place.tile * bytes_ != rows.total * pitch else 0,
    }


def joined(axes: Sequence[Axis]) -> tuple[int, list[Axis]]:
    """The contiguous run of a copy, in elements, and the axes outside it that are left, outermost first."""
    axes = list(axes)
    run = 1
    while axes and not axes[-1].padded and axes[-1].home == run and axes[-1].tile == run:
        run *= axes.pop().inside
    out: list[Axis] = []
    for axis in axes:
        if axis.inside == 1 and not axis.padded:
            continue
        outer = out[-1] if out else None
        if (
            outer is not None
            and not (outer.padded or axis.padded or outer.unread or axis.unread)
            and outer.home == axis.home * axis.inside
            and outer.tile == axis.tile * axis.inside
        ):
            out[-1] = Axis(outer.inside * axis.inside, 0, 0, axis.home, axis.tile)
        else:
            out.append(axis)
    return run, out
