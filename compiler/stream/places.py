"""Where elements lie in tiles and in row-major arrays: offsets and steps, in elements."""

from collections.abc import Mapping, Sequence
from math import prod

from ..diagnostics import UnsupportedError
from ..tile.stage import Access, Affine, Lookup
from .emit import Box, Ints, Tile


def offset(low: Ints, shape: Ints) -> int:
    """The place of an element in a row-major array."""
    return sum(a * prod(shape[axis + 1 :]) for axis, a in enumerate(low))


def coefficient(part: Affine | Lookup, name: str) -> int:
    """How far a coordinate moves with a dim; a looked-up one does not."""
    return 0 if isinstance(part, Lookup) else part.coefficient(name)


def step(access: Access, tile: Tile, name: str) -> int:
    """From neighbour to neighbour along a dim in a tile."""
    return sum(coefficient(part, name) * pitch for part, pitch in zip(access.index, tile.pitch))


def start(access: Access, tile: Tile, box: Box) -> int:
    """The place in a tile of the first element of a box."""
    total = 0
    for part, low, pitch in zip(access.index, tile.low, tile.pitch):
        if isinstance(part, Affine):
            total += (part.const + sum(c * box[name][0] for name, c in part.terms) - low) * pitch
    return total


def by_dim(access: Access, numbers: Ints) -> dict[str, int]:
    """Numbers of a box by dim, where each axis is one dim. UnsupportedError for other accesses."""
    out = {}
    for part, number in zip(access.index, numbers):
        if isinstance(part, Affine) and part.terms:
            if part.single is None:
                raise UnsupportedError(f"the columns of a product are read at {part}")
            out[part.single] = number
    return out


def merged(dims: Sequence[tuple[int, Ints]]) -> list[tuple[int, Ints]]:
    """Dims as (count, steps of each operand), outermost first, those joined that nest in all operands."""
    out: list[tuple[int, Ints]] = []
    for count, steps in dims:
        if out and all(outer == inner * count for outer, inner in zip(out[-1][1], steps)):
            out[-1] = (out[-1][0] * count, steps)
        else:
            out.append((count, steps))
    return out


def shape_of(tile: Tile) -> Ints:
    """The extents of a tile's buffer."""
    return tuple(int(extent) for extent in tile.buffer.shape)  # type: ignore[arg-type]


def steps_at_home(access: Access, shape: Ints, names: Mapping[str, int]) -> dict[str, int]:
    """From neighbour to neighbour along dims in a row-major array."""
    return {
        name: sum(coefficient(part, name) * prod(shape[axis + 1 :]) for axis, part in enumerate(access.index))
        for name in names
    }
