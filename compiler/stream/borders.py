"""Results in the shape of those who read past their edges.

A product of 1 x 1 writes positions; the window behind it reads rows and columns, with a border around them. What stays
in a scratchpad lies there with the border, so it is written by rows and columns too: the product's dims are split.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ..target.backend import Arena, Call, Placed
from ..target.description import Memory
from ..tile.join import every_access, seen_as
from ..tile.stage import INPUT, LOCAL, OUTPUT, Kernel
from .chains import placed_as

SHARE = 0.25
"""What part of a memory an array takes at most that is likely to have room there beside tiles."""


def bordered(calls: Sequence[Call], memory: Memory) -> list[Call]:
    """Calls of a segment; those that write an array which may stay in a memory write it as its reader sees it."""
    found = list(calls)
    for number, call in enumerate(calls):
        for buffer in call.kernel.role(OUTPUT):
            shape = _shape_with_border(calls[number + 1 :], call.operands[buffer.name])
            bytes_ = prod(buffer.static_shape) * buffer.dtype.bytes
            if shape not in (None, buffer.static_shape) and bytes_ <= SHARE * memory.bytes:
                assert shape is not None
                found[number] = _seen_as(found[number], buffer.name, shape)
    return found


def _shape_with_border(calls: Sequence[Call], placed: Placed) -> tuple[int, ...] | None:
    """The shape in which an array of the arena is seen by the first call that reads past its edges."""
    if not isinstance(placed, Arena):
        return None
    for call in calls:
        for buffer in call.kernel.role(INPUT):
            if call.operands[buffer.name] == placed and _is_read_past(call.kernel, buffer.name):
                return buffer.static_shape
        if any(call.operands[buffer.name] == placed for buffer in call.kernel.role(OUTPUT)):
            return None
    return None


def _is_read_past(kernel: Kernel, name: str) -> bool:
    accesses = (access for stage in kernel.stages for access in every_access(stage))
    return any(access.buffer == name and access.fill is not None for access in accesses)


def _seen_as(call: Call, name: str, shape: tuple[int, ...]) -> Call:
    """The call with a buffer in a finer shape; as it is where its dims can't be split."""
    kernel = seen_as(call.kernel, name, shape)
    if kernel is None:
        return call
    outer = (buffer for buffer in kernel.buffers if buffer.role != LOCAL)
    operands = {each.name: placed_as(call.operands[each.name], each.static_shape) for each in outer}
    return replace(call, kernel=kernel, operands=operands)
