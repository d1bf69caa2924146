"""What the spine's loops confine each dim to: the ranges that `infer` starts from, and the holds' boxes that follow.

Loop variables are named by position ("0", "1", ...) and count elements: a tile starts at its variable's value.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...runtime.records import dataclass
from ..diagnostics import VerifyError
from .infer import Range, infer
from .schedule import Hold, Loop, Schedule, trips
from .stage import Affine, Kernel, dim


def variable(depth: int) -> str:
    """The name of the variable of the spine loop at `depth`."""
    return str(depth)


def loop_ranges(extents: Mapping[str, Any], loops: Sequence[Loop], sizes: Sequence[Any]) -> dict[str, Range]:
    """The range of each looped dim under all the given loops, whose tiles have the given sizes.

    A loop of a single tile confines nothing: its dim keeps the range that it had outside.
    """
    ranges: dict[str, Range] = {}
    for depth, (loop, size) in enumerate(zip(loops, sizes, strict=True)):
        outer = ranges.get(loop.dim, Range(Affine(), extents[loop.dim]))
        if outer.size != size:
            ranges[loop.dim] = Range(dim(variable(depth)), size)
    return ranges


def largest_tiles(kernel: Kernel, schedule: Schedule) -> tuple[Any, ...]:
    """For each spine loop the size that none of its tiles exceeds; the outer size where there is one tile only."""
    around: dict[str, Any] = {name: dim.extent for name, dim in kernel.dims.items()}
    sizes = []
    for loop in schedule.loops:
        around[loop.dim] = largest_tile(around[loop.dim], loop)
        sizes.append(around[loop.dim])
    return tuple(sizes)


def largest_tile(outer: Any, loop: Loop) -> Any:
    """As `largest_tiles`, for one loop over a range of `outer` elements (an int, or symbolic)."""
    whole = max(1, loop.step // loop.unit) * loop.unit
    if not isinstance(outer, int):
        return whole
    return outer if trips(outer, loop.step, loop.unit) <= 1 else min(outer, whole)


def clip(low: int, size: int, extent: int) -> tuple[int, int]:
    """The part of low .. low + size - 1 that lies in 0 .. extent - 1, as (low, size); size 0 where there is none."""
    start, stop = max(0, low), min(extent, low + size)
    return (start, stop - start) if stop > start else (min(start, extent), 0)


@dataclass(frozen=True, slots=True)
class Slide:
    """How a rolled hold moves: by the spine loop at `depth`, along `axis` of its buffer, in a ring of `rows`."""

    depth: int
    axis: int
    rows: Any


def slide(kernel: Kernel, schedule: Schedule, hold: Hold) -> Slide:
    """The innermost spine loop that moves the tile of a rolled hold, and the ring that it needs.

    VerifyError when that loop is not one over the hold's `roll`, or moves the tile along several axes, or backwards.
    """
    sizes = largest_tiles(kernel, schedule)[: hold.at]
    extents = {name: dim.extent for name, dim in kernel.dims.items()}
    box = infer(kernel, loop_ranges(extents, schedule.loops[: hold.at], sizes)).buffer(kernel, hold.buffer)
    moving = [int(name) for range_ in box for name in range_.low.dims]
    if not moving or schedule.loops[max(moving)].dim != hold.roll:
        raise VerifyError(
            f"no loop over '{hold.roll}' is the innermost one that moves the tile of '{hold.buffer}'"
        )
    depth = max(moving)
    axes = [axis for axis, range_ in enumerate(box) if variable(depth) in range_.low.dims]
    reach = box[axes[0]].low.coefficient(variable(depth))
    if len(axes) > 1 or reach < 0:
        raise VerifyError(
            f"loop '{hold.roll}' moves the tile of '{hold.buffer}' along several axes or backwards"
        )
    rows = box[axes[0]].size + (hold.slots - 1) * reach * sizes[depth]
    return Slide(depth, axes[0], rows)
