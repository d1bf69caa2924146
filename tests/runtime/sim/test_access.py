"""Boxes of strided runs: bounds and overlap against sets of bytes."""

import random

from isthmus.runtime.sim.access import Access, conflict


def touched(access: Access) -> set[int]:
    return {start + byte for start in access.starts().tolist() for byte in range(access.bytes)}


def drawn(source: random.Random) -> Access:
    dims = tuple((source.randint(1, 4), source.randint(-12, 12)) for _ in range(source.randrange(4)))
    return Access("spa", source.random() < 0.5, source.randrange(40), source.randint(1, 5), dims)


def test_bounds_and_overlap_are_those_of_the_bytes():
    source = random.Random(5)
    overlapping = 0
    for _ in range(3000):
        one, other = drawn(source), drawn(source)
        bytes_of_one, bytes_of_other = touched(one), touched(other)
        assert (one.first, one.end) == (min(bytes_of_one), max(bytes_of_one) + 1)
        assert touched(one.simplified()) == bytes_of_one
        assert one.overlaps(other) == bool(bytes_of_one & bytes_of_other)
        overlapping += one.overlaps(other)
    assert 500 < overlapping < 2900


def test_other_memories_and_two_reads_do_not_conflict():
    read = Access("spa", False, 0, 8)
    write = Access("spa", True, 4, 1)
    assert conflict(read, write)
    assert conflict(write, write)
    assert not conflict(read, read)
    assert not conflict(read, write._replace(memory="spw"))
