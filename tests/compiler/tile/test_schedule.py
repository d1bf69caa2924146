"""Loops are cut into balanced tiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.compiler.tile.schedule import Segment, segments, trips


@given(extent=st.integers(0, 200), step=st.integers(1, 60), data=st.data())
def test_tiles_cover_the_extent_once_and_are_balanced(extent: int, step: int, data: st.DataObject) -> None:
    unit = data.draw(st.integers(1, step))
    found = segments(extent, step, unit)
    tiles = [segment.size for segment in found for _ in range(segment.count)]
    assert sum(tiles) == extent
    assert len(tiles) == trips(extent, step, unit)
    assert all(1 <= size <= step for size in tiles)
    assert all(size % unit == 0 for size in tiles[:-1])
    assert len(found) <= 3
    assert max(tiles, default=0) - min(tiles[:-1], default=max(tiles, default=0)) <= unit
    starts = [segment.start + n * segment.size for segment in found for n in range(segment.count)]
    assert starts == [sum(tiles[:n]) for n in range(len(tiles))]


@pytest.mark.parametrize(
    ("extent", "step", "unit", "expected"),
    [
        (49, 14, 1, (Segment(0, 13, 1), Segment(13, 12, 3))),
        (56, 14, 1, (Segment(0, 14, 4),)),
        (40, 32, 16, (Segment(0, 32, 1), Segment(32, 8, 1))),
        (5, 8, 1, (Segment(0, 5, 1),)),
    ],
)
def test_examples(extent: int, step: int, unit: int, expected: tuple[Segment, ...]) -> None:
    assert segments(extent, step, unit) == expected
