"""Sums of products of bytes as products of matrices, beside the sums themselves."""

import numpy as np
import pytest

from isthmus.runtime.sim.contraction import contraction

COUNTS = (3, 5, 2, 7, 11)


def bytes_of(seed: int, moving: str) -> np.ndarray:
    """i8 with the extents of the dims named, 1 along the others; the first element is the least there is."""
    shape = [count if name in moving else 1 for name, count in zip("abcde", COUNTS)]
    found = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    found.flat[0] = -128
    return found


@pytest.mark.parametrize(
    ("left", "right", "summed"),
    [("ab", "bc", "b"), ("ade", "bde", "de"), ("abde", "cbd", "b"), ("ecd", "abcd", "cd"), ("ab", "cd", "")],
)
def test_a_contraction_is_the_sum(left: str, right: str, summed: str) -> None:
    x, y = bytes_of(0, left), bytes_of(1, right)
    moving = [name in left + right for name in "abcde"]
    counts = [count if moves else 1 for count, moves in zip(COUNTS, moving)]
    axes = tuple("abcde".index(name) for name in summed)
    run = contraction(counts, x.shape, y.shape, axes)
    assert run is not None
    wanted = np.add.reduce(x.astype(np.int32) * y, axis=axes, keepdims=True)
    got = run(x, y)
    assert got.dtype == np.int32
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize(
    ("counts", "left", "right", "reduced"),
    [
        ((4, 1, 5), (4, 1, 5), (1, 1, 5), (2,)),  # no columns
        ((4, 6, 5), (4, 1, 5), (1, 6, 1), (2,)),  # one of the two stands still along the sum
        ((4, 6, 5), (4, 1, 1), (1, 6, 1), (2,)),  # both do
        ((4, 6, 1025), (4, 1, 1025), (1, 6, 1025), (2,)),  # sums that f32 need not hold
    ],
)
def test_other_sums_are_none(
    counts: tuple[int, ...], left: tuple[int, ...], right: tuple[int, ...], reduced: tuple[int, ...]
) -> None:
    assert contraction(counts, left, right, reduced) is None
