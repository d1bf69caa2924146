"""Tiles as copies: what windows step over is left out."""

from isthmus.compiler.ir.types import dtype_of
from isthmus.compiler.stream.copies import copies_in
from isthmus.compiler.stream.emit import Tile
from isthmus.compiler.tile.stage import INPUT, Buffer

SHAPE = (3, 4, 5, 6)


def test_planes_that_nobody_reads_are_left_out():
    tile = Tile(Buffer("x", SHAPE, dtype_of("int8"), INPUT), "near", 0, (0, -1, -1, 0), (3, 6, 7, 6), 0)
    none: frozenset[int] = frozenset()
    every = list(copies_in(tile, 0, SHAPE))
    assert len(every) == 3
    assert list(copies_in(tile, 0, SHAPE, unread=[frozenset({1}), none, none, none])) == every[::2]
    assert list(copies_in(tile, 0, SHAPE, unread=[none, none, frozenset({2}), none])) == every
