"""Placed kernels -> instruction streams: tile each distinct kernel once, emit each call, set tokens."""

from collections.abc import Sequence

from ..diagnostics import UnsupportedError
from ..target.backend import Call, Compiled, External, Joint, KernelsRefused
from ..target.description import Target
from .chains import divide
from .entries import Program
from .home import Home, aligned
from .instructions import Instructions
from .tiled import Kernels, estimate

__all__ = ["compile_segments", "estimate", "joints"]


def joints(calls: Sequence[Call], target: Target) -> list[Joint]:
    """The calls of a segment that become one kernel; none where a call can't be tiled."""
    kernels, found, first = Kernels(target), [], 0
    try:
        for call, count in divide(calls, kernels.costs):
            if count > 1:
                found.append(Joint(first, count, kernels.costs(call).cycles))
            first += count
    except UnsupportedError:
        return []
    return found


def compile_segments(
    segments: Sequence[Sequence[Call]], arena: int, target: Target, instructions: Instructions
) -> Compiled:
    """The program of a package's part on the chip; see `Backend.compile`."""
    kernels = Kernels(target)
    reasons = {}
    for number, call in enumerate(call for calls in segments for call in calls):
        try:
            kernels.find(call)
        except UnsupportedError as error:
            reasons[number] = error.message
    if reasons:
        raise KernelsRefused(reasons)
    places = [_externals(calls) for calls in segments]
    page = target.home.page * target.home.channels
    home = Home(arena, max((size for _, size in places), default=0), page)
    program = Program(kernels, target, instructions, home)
    for calls, (externals, _) in zip(segments, places):
        program.add(calls, externals)
    if program.reasons:
        raise KernelsRefused(program.reasons)
    meta = {
        "chip": target.record(),
        "dram": {"arena": 0, "bytes": arena, "constants": program.home.constant_base},
        "entries": program.entries,
        "kernels": program.names,
    }
    reports, cycles = tuple(program.reports), tuple(program.cycles)
    return Compiled(program.code, program.home.blob(), meta, (), reports, cycles=cycles)


def _externals(calls: Sequence[Call]) -> tuple[dict[str, tuple[int, int]], int]:
    """Offset and bytes of a segment's external arrays, in the order of first use, and the bytes of all."""
    found: dict[str, tuple[int, int]] = {}
    total = 0
    for call in calls:
        for buffer in call.kernel.buffers:
            placed = call.operands.get(buffer.name)
            if not isinstance(placed, External) or placed.slot in found:
                continue
            size = buffer.dtype.bytes
            for extent in buffer.static_shape:
                size *= extent
            found[placed.slot] = (total, size)
            total += aligned(size)
    return found, total
