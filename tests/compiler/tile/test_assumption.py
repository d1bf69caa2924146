"""Other chips that tiles are chosen for: a chip with more is offered what one with less is."""

import pytest

from isthmus.compiler.tile.assumption import ladders


@pytest.mark.parametrize("bandwidth", [8.0, 16.0, 32.0, 256.0])
def test_twice_the_bandwidth_is_offered_what_half_of_it_is(bandwidth: float) -> None:
    def offered(own: float) -> set[tuple[float, float, bool, int]]:
        return {
            (own * each.bandwidth, each.share, each.interleaved, each.spare)
            for ladder in ladders(own)
            for each in ladder
        }

    assert offered(bandwidth) <= offered(2 * bandwidth)


@pytest.mark.parametrize("bandwidth", [0.5, 4.0, 1e40, float("inf")])
def test_ladders_are_few(bandwidth: float) -> None:
    assert 12 <= len(ladders(bandwidth)) <= 40
