"""Where tiles lie: behind one another, round and round in a memory."""

import numpy as np
import pytest

from isthmus.compiler.stream.emit import round_and_round


@pytest.mark.parametrize("seed", range(40))
def test_tiles_lie_apart_where_they_reach_no_further_than_the_memory(seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = 64 * int(rng.integers(8, 40))
    sizes = [64 * int(n) for n in rng.integers(1, 7, int(rng.integers(1, 9)))]
    begin = 64 * int(rng.integers(whole // 64))
    places, length = round_and_round(sizes, begin, whole)
    if max(sizes) > whole or length > whole:
        return
    taken = np.zeros(whole, int)
    for place, size in zip(places, sizes):
        assert place + size <= whole
        taken[place : place + size] += 1
    assert taken.max() == 1
    assert places[0] in (begin, 0)


def test_a_tile_that_does_not_fit_before_the_end_lies_at_the_beginning() -> None:
    assert round_and_round([128, 128, 64], 640, 896) == ([640, 768, 0], 320)
    assert round_and_round([192, 128], 768, 896) == ([0, 192], 448)
    assert round_and_round([512, 512], 0, 896)[1] > 896
