"""The mappings of products that follow one another are those with which all of them together take least."""

from collections.abc import Sequence
from itertools import pairwise
from itertools import product as cartesian

import numpy as np
import pytest

from isthmus.compiler.stream.mappings import Mapped, quickest


def _cycles(products: Sequence[Sequence[Mapped]], mappings: Sequence[int]) -> float:
    ways = [ways[number] for ways, number in zip(products, mappings)]
    waits = (one.drain for one, other in pairwise(ways) if not other.drain)
    return sum(way.cycles for way in ways) + sum(waits)


@pytest.mark.parametrize("seed", range(30))
def test_no_other_mappings_take_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, drains = int(rng.integers(1, 6)), rng.choice([0, 0, 64, 256], 3).tolist()
    products = [
        [Mapped(float(rng.integers(50, 500)), float(drain)) for drain in drains] for _ in range(count)
    ]
    found = quickest(products)
    least = min(_cycles(products, each) for each in cartesian(range(3), repeat=count))
    assert _cycles(products, found) == least


def test_sums_stay_while_waiting_would_cost_more_than_another_mapping_gains() -> None:
    still = [Mapped(100, 256), Mapped(300, 0)]
    moving = [Mapped(150, 256), Mapped(100, 0)]
    assert quickest([still, moving, still]) == [0, 0, 0]
    assert quickest([moving] * 3) == [1, 1, 1]
    assert quickest([]) == []
