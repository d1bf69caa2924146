"""Which loops run on several cores, and how evenly."""

import pytest

from isthmus.compiler.tile.choice import parallel_loops, uneven
from isthmus.compiler.tile.schedule import PARALLEL_LOOP, Loop

ORDER = (Loop("rows", 1), Loop("columns", 32))


def parallel(extents: dict[str, int], light: bool) -> list[str]:
    return [loop.dim for loop in parallel_loops(ORDER, extents, light) if loop.kind == PARALLEL_LOOP]


def test_loops_become_parallel_until_there_are_enough_chunks() -> None:
    assert parallel({"rows": 14, "columns": 3584}, light=False) == ["rows"]
    assert parallel({"rows": 7, "columns": 3584}, light=False) == ["rows", "columns"]


def test_light_chunks_are_not_cut_into_very_many() -> None:
    assert parallel({"rows": 7, "columns": 3584}, light=True) == ["rows"]
    assert parallel({"rows": 7, "columns": 256}, light=True) == ["rows", "columns"]
    assert parallel({"rows": 2, "columns": 3584}, light=True) == ["rows", "columns"]  # two alone are too few


@pytest.mark.parametrize(("chunks", "factor"), [(1, 1.5), (2, 1.0), (7, 15 / 14), (8, 1.0), (9, 19 / 18)])
def test_chunks_that_two_cores_cannot_halve_take_longer(chunks: int, factor: float) -> None:
    loops = [Loop("rows", 1, PARALLEL_LOOP), Loop("columns", 32)]
    assert uneven(loops, {"rows": chunks, "columns": 3584}) == pytest.approx(factor)
