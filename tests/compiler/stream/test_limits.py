"""Work beyond what an instruction does is cut into pieces that touch the same places, once each."""

from collections.abc import Iterator
from itertools import product as cartesian

import numpy as np
import pytest

from isthmus.compiler.ir.types import i8, i32
from isthmus.compiler.stream.copies import Copy
from isthmus.compiler.stream.limits import LINE, Limits
from isthmus.compiler.stream.multiply import Multiply
from isthmus.compiler.stream.programs import Body
from isthmus.compiler.stream.vectors import Stream, VectorWork

SMALL = Limits(
    copy=(LINE + 1, 3, 2),
    rows=(4, 3),
    vector=(6, 3, 4, 2, 2),
    strides=(9, 30, 100, 1000, 1000),
)
SEEDS = range(60)


def _copied(copy: Copy) -> Iterator[tuple[int, int | None]]:
    """Each byte of the scratchpad that a copy writes, and the one at home that it takes; None for padding."""
    d1 = copy.d1 or copy.n0
    lines = copy.before1 + copy.n1 + copy.after1
    d2 = copy.d2 or lines * d1
    planes = copy.before2 + copy.n2 + copy.after2
    for plane, line, byte in cartesian(range(planes), range(lines), range(copy.n0)):
        k, j = plane - copy.before2, line - copy.before1
        inside = 0 <= k < copy.n2 and 0 <= j < copy.n1
        home = copy.home + k * copy.s2 + j * copy.s1 + byte if inside else None
        yield copy.near + plane * d2 + line * d1 + byte, home


@pytest.mark.parametrize("seed", SEEDS)
def test_pieces_of_a_copy_move_the_same_bytes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n0 = int(rng.choice([1, 7, LINE, LINE + 1, 3 * LINE + 5]))
    n1, n2, before1, after1, before2, after2 = (
        int(n) for n in rng.integers((1, 1, 0, 0, 0, 0), (9, 6, 3, 3, 3, 3))
    )
    d1 = int(rng.choice([0, n0 + 3]))
    d2 = int(rng.choice([0, (before1 + n1 + after1) * (d1 or n0) + 11]))
    copy = Copy(1000, 500, n0, n1, n2, n0 + 20, 9 * (n0 + 20), d1, d2, before1, after1, before2, after2)
    pieces = list(SMALL.copies(copy))
    moved = [pair for piece in pieces for pair in _copied(piece)]
    assert sorted(moved, key=str) == sorted(_copied(copy), key=str)
    assert all(p.n0 <= LINE + 1 and p.n1 <= 3 and p.n2 <= 2 for p in pieces)


def _elements(work: VectorWork) -> Iterator[tuple[int, ...]]:
    """The places that each element of vector work reads and writes."""
    for place in cartesian(*map(range, work.counts)):
        yield tuple(
            s.base
            if s.table
            else s.base + s.dtype.bytes * sum(p * stride for p, stride in zip(place, s.strides))
            for s in work.streams
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_pieces_of_vector_work_touch_the_same_elements(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = tuple(int(n) for n in rng.choice([1, 1, 2, 3, 7, 13], 5))
    strides = tuple(int(n) for n in rng.choice([1, 2, 8, 25, 70, 700], 5))
    summed = int(rng.integers(5))
    packed = np.cumprod((1, *counts[:4]))
    target = Stream("spa", i32, 0, tuple(0 if axis == summed else int(s) for axis, s in enumerate(packed)))
    work = VectorWork(
        Body((), (), ()),
        "sum",
        True,
        counts,
        (target, Stream("spa", i8, 10_000, strides[::-1]), Stream("spa", i32, 77, (0,) * 5, 4)),
    )
    pieces = list(SMALL.vectors(work, {}))
    assert sorted(e for piece in pieces for e in _elements(piece)) == sorted(_elements(work))
    for piece in pieces:
        assert all(map(int.__le__, piece.counts, SMALL.vector))
        for stream in piece.streams:
            assert all(map(int.__le__, map(abs, stream.strides), SMALL.strides))
    begun = [place for p in pieces if p.initialise for place in {e[0] for e in _elements(p)}]
    assert sorted(begun) == sorted({e[0] for e in _elements(work)}), "each sum begins once"


@pytest.mark.parametrize(("m0", "m1"), [(1, 1), (4, 3), (9, 1), (3, 7), (9, 8)])
def test_pieces_of_a_product_have_the_same_rows(m0: int, m1: int) -> None:
    work = Multiply("i8*i8+i32", False, (), 100, 7, 1000, m0, m1, 8, 4, 1, 1, 5, 111, 0, 0, 32, 0)

    def rows(piece: Multiply) -> Iterator[tuple[int, int]]:
        for i1, i0 in cartesian(range(piece.m1), range(piece.m0)):
            yield piece.a + i1 * piece.am1 + i0 * piece.am0, piece.c + (i1 * piece.m0 + i0) * piece.pitch

    pieces = list(SMALL.products(work))
    assert sorted(row for piece in pieces for row in rows(piece)) == sorted(rows(work))
    assert all(piece.m0 <= 4 and piece.m1 <= 3 for piece in pieces)
