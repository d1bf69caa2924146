"""The statistics of the benchmark report."""

import math

import numpy as np
import pytest

from benchmarks.rounds import difference
from benchmarks.summary import Times, geometric_mean, quietest, summarise


def test_summarise_gives_minimum_median_and_count():
    assert summarise([0.3, 0.1, 0.2, 0.9]) == Times(minimum=0.1, median=0.25, count=4)


def test_summarise_refuses_nothing():
    with pytest.raises(ValueError, match="expected at least one"):
        summarise([])


def test_geometric_mean_of_a_ratio_and_its_inverse_is_one():
    assert geometric_mean([4.0, 0.25]) == pytest.approx(1.0)
    assert geometric_mean(ratio for ratio in (1.0, 8.0)) == pytest.approx(math.sqrt(8.0))


def test_geometric_mean_of_nothing_is_none():
    assert geometric_mean([]) is None


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_geometric_mean_refuses_what_is_not_positive(bad):
    with pytest.raises(ValueError, match="positive"):
        geometric_mean([1.0, bad])


def test_quietest_keeps_the_best_probed_rounds_in_order():
    assert quietest([200.0, 110.0, 240.0, 230.0], 2) == [2, 3]
    assert quietest([200.0, 200.0, 200.0], 2) == [0, 1]
    assert quietest([200.0], 5) == [0]


def test_difference_is_relative_to_the_largest_magnitude_wanted():
    want = np.array([[-10.0, 1.0]], np.float32)
    assert difference(want + np.float32(0.01), want) == pytest.approx(1e-3, rel=1e-3)
    assert difference(np.array([0.5]), np.array([0.0])) == 0.5


def test_difference_refuses_other_shapes_and_what_is_not_finite():
    want = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"got shape \(3,\), expected \(2, 3\)"):
        difference(want[0], want)
    with pytest.raises(ValueError, match="got 6 values that are not finite"):
        difference(want * np.nan, want)
