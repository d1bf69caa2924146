"""Boxes in pieces: all of a box, each element once, along rows, where an engine's work is long enough."""

from isthmus.compiler.stream.pieces import MOST, Box, Pieces
from isthmus.compiler.tile.text import parse_kernel
from isthmus.targets import find_backend

TARGET = find_backend("n1-32").select("n1-32").target({})

MEANS = parse_kernel("""kernel "means" {
  input x: i8[48, 16, 64]  local h: i8[48, 16, 64]  local s: i32[64]  output y: i8[48, 16, 64]
  stage twice (i: 48, j: 16, c: 64): h[i, j, c] = add(x[i, j, c], 1:i8)
  stage sums (c: 64, reduce i: 48, reduce j: 16): s[c] = sum cast(h[i, j, c]):i32
  stage less (i: 48, j: 16, c: 64): y[i, j, c] = cast(add(cast(h[i, j, c]):i32, s[c])):i8
}""")


def pieces(stage: str, **sizes: int) -> list[Box]:
    """Those of a box of a stage that begins at 3 along each dim."""
    kernel = MEANS
    found = Pieces(kernel, TARGET, dict.fromkeys(s.name for s in kernel.stages), {"vec": 1000.0})
    return list(
        found.of(
            next(s for s in kernel.stages if s.name == stage),
            {name: (3, size) for name, size in sizes.items()},
        )
    )


def test_long_boxes_are_cut_along_rows():
    found = pieces("less", i=40, j=16, c=64)
    assert [box["i"] for box in found] == [(3, 7), (10, 7), (17, 7), (24, 7), (31, 7), (38, 5)]
    assert len(found) == MOST
    assert all((box["j"], box["c"]) == ((3, 16), (3, 64)) for box in found)


def test_short_boxes_and_sums_over_rows_stay_whole():
    assert pieces("less", i=2, j=16, c=64) == [{"i": (3, 2), "j": (3, 16), "c": (3, 64)}]
    assert len(pieces("sums", c=61, i=40, j=13)) == 1
