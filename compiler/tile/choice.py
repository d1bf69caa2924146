"""Choices that the tilers of all kernel shapes make in one way: which loops run on several cores, and how evenly."""

from collections.abc import Mapping, Sequence
from math import ceil, prod

from ...runtime.records import dataclass
from .cost import Estimate
from .schedule import PARALLEL_LOOP, Loop, Schedule, trips

CHUNKS = 8  # tiles that a parallel loop should offer, so that slow cores can be outrun
TOO_MANY = 128  # tiles of so little work that half of CHUNKS is better


@dataclass(frozen=True)
class Choice:
    """A schedule with its cost breakdown (cycles on one core)."""

    schedule: Schedule
    estimate: Estimate


def parallel_loops(order: Sequence[Loop], extents: dict[str, int], light: bool = False) -> list[Loop]:
    """Leading loops over distinct parallel dims become parallel until they offer enough chunks.

    `light`: their tiles are little work, so that taking one counts, and very many of them are no gain.
    """
    loops = [loop for loop in order if loop.step < extents[loop.dim] or _last_of_dim(order, loop)]
    out: list[Loop] = []
    chunks = 1
    seen: set[str] = set()
    for n, loop in enumerate(loops):
        if (
            chunks < CHUNKS
            and not (light and chunks >= CHUNKS // 2 and chunks * _trips(loop, extents) > TOO_MANY)
            and len(out) == n
            and loop.dim not in seen
            and (not out or out[-1].kind == PARALLEL_LOOP)
        ):
            loop = Loop(loop.dim, loop.step, PARALLEL_LOOP, loop.unit)
            chunks *= _trips(loop, extents)
        seen.add(loop.dim)
        out.append(loop)
    return out


def uneven(loops: Sequence[Loop], extents: Mapping[str, int]) -> float:
    """By what a kernel takes longer than its share of the work on one core and on two, in the mean: of seven chunks two
    cores take four and three."""
    chunks = prod(_trips(loop, extents) for loop in loops if loop.kind == PARALLEL_LOOP)
    return (1 + 2 * ceil(chunks / 2) / chunks) / 2


def _trips(loop: Loop, extents: Mapping[str, int]) -> int:
    return trips(extents[loop.dim], loop.step, loop.unit)


def _last_of_dim(order: Sequence[Loop], loop: Loop) -> bool:
    return [other for other in order if other.dim == loop.dim][-1] is loop
