"""Sweeps: programs over streams, whole, in blocks and as products of matrices, beside numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isthmus.runtime.errors import ExecutionError
from isthmus.runtime.sim import vectors
from isthmus.runtime.sim.memories import Memories
from isthmus.runtime.sim.vectors import Source, Step, Stream, Sweep

COUNTS = (2, 3, 7, 5, 11)
CHIP = {"memories": {"pad": {"bytes": 1 << 16}, "home": {"home": True}}}
PRODUCT = (Step("mul", "i32", "i32", 0, (Source("stream", 1), Source("stream", 2))),)


def dense(counts: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of elements one after another, 0 along dims of one."""
    strides, size = [], 1
    for count in reversed(counts):
        strides.append(size if count > 1 else 0)
        size *= count
    return tuple(reversed(strides))


def stream(dtype: str, kept: str) -> Stream:
    """A stream that moves along the dims named."""
    shape = tuple(count if name in kept else 1 for name, count in zip("abcde", COUNTS))
    return Stream("pad", dtype, 0, COUNTS, dense(shape))


def filled() -> Memories:
    memories = Memories(CHIP)
    memories.near["pad"][...] = np.random.default_rng(3).integers(0, 256, 1 << 16)
    return memories


def part(memories: Memories, of: Stream, base: int) -> Any:
    return of.at(memories, base).copy()


@pytest.mark.parametrize("initialise", [True, False])
@pytest.mark.parametrize(("combine", "ufunc"), [("sum", np.add), ("max", np.maximum), ("min", np.minimum)])
@pytest.mark.parametrize(
    ("left", "right", "out", "types"),
    [
        ("abcde", "abe", "cde", ("i8", "u8", "i32")),  # a window
        ("ade", "bde", "ab", ("i8", "i8", "i32")),  # matrices
        ("bcd", "abe", "abcde", ("i16", "i8", "i32")),  # nothing is combined
        ("abcde", "abcde", "", ("i8", "i8", "i64")),  # all is
    ],
)
@pytest.mark.parametrize("most", [1, 100, 1 << 16])
def test_integers_combine_in_any_blocks(
    combine: str,
    ufunc: Callable[..., Any],
    initialise: bool,
    left: str,
    right: str,
    out: str,
    types: tuple[str, str, str],
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectors, "_MOST_ELEMENTS", most)
    streams = [stream(dtype, kept) for dtype, kept in zip((types[2], *types[:2]), (out, left, right))]
    bases, memories = (0, 32768, 49152), filled()
    before, x, y = (part(memories, of, base).astype(np.int64) for of, base in zip(streams, bases))
    axes = tuple(axis for axis, name in enumerate("abcde") if name not in out)
    wanted = ufunc.reduce(np.broadcast_to(x * y, COUNTS), axis=axes, keepdims=True)  # type: ignore[attr-defined]
    wanted = wanted if initialise else ufunc(before, wanted)
    Sweep(PRODUCT, (), streams, combine, initialise).run(bases, memories)
    assert np.array_equal(part(memories, streams[0], 0), wanted.astype(streams[0].at(memories, 0).dtype))


def test_a_destination_may_be_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks are read before the first one is stored."""
    monkeypatch.setattr(vectors, "_MOST_ELEMENTS", 1)
    out, source = Stream("pad", "i8", 0, (6, 4), (1, 0)), Stream("pad", "i8", 0, (6, 4), (4, 1))
    memories = filled()
    wanted = part(memories, source, 0).max(1)
    Sweep((Step("copy", "i32", "i32", 0, (Source("stream", 1),)),), (), [out, source], "max").run(
        (3, 0), memories
    )
    assert np.array_equal(part(memories, out, 3)[:, 0], wanted)


@pytest.mark.parametrize("combine", ["none", "sum"])
def test_a_stream_that_is_not_there_is_named(combine: str) -> None:
    streams = [stream("i32", "ab"), stream("i8", "ab")]
    with pytest.raises(ExecutionError, match="mul reads stream 2, which vec does not have"):
        Sweep(PRODUCT, (), streams, combine).run((0, 64), filled())
