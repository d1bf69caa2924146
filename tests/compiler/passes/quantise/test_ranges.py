"""Histograms that grow, and the ranges chosen from them."""

import numpy as np
import pytest

from isthmus.compiler.ops.fixed import fixed_point
from isthmus.compiler.passes.quantise.parameters import Parameters, common_shift
from isthmus.compiler.passes.quantise.ranges import METHODS, Histogram, choose


def histogram(*parts: np.ndarray) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part.astype(np.float32))
    return made


def test_counts_survive_a_wider_range() -> None:
    rng = np.random.default_rng(1)
    small, large = rng.normal(size=1000), rng.normal(size=500) * 70
    grown, whole = histogram(small, large), histogram(np.concatenate([small, large]))
    assert grown.counts.sum() == 1500
    assert grown.reach == whole.reach
    coarse = [h.counts.reshape(64, -1).sum(1) for h in (grown, whole)]
    assert np.abs(coarse[0] - coarse[1]).sum() <= 4  # values that lie on the border of two bins
    assert (grown.low, grown.high) == (whole.low, whole.high)


def test_what_is_not_finite_is_left_out() -> None:
    made = histogram(np.array([-np.inf, -3e38, 1.0, 2.0, np.nan]))
    assert (made.low, made.high, made.counts.sum()) == (1.0, 2.0, 2)
    assert not histogram(np.array([np.nan])).seen


def test_min_max_covers_all_and_percentile_cuts_extremes() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(size=100_000), [80.0]])
    made = histogram(values)
    tops = {name: choose(made, name, False).high for name in METHODS}
    assert tops["minmax"] == pytest.approx(80, rel=0.01)
    assert tops["percentile"] < 6
    assert all(top > 2 for top in tops.values())


def test_least_squares_loses_least() -> None:
    rng = np.random.default_rng(3)
    values = rng.laplace(size=50_000)
    made = histogram(values)

    def lost(name: str) -> float:
        parameters = choose(made, name, False)
        return float(((parameters.reals(parameters.quantised(values)) - values) ** 2).mean())

    assert lost("mse") <= min(lost(name) for name in METHODS) * 1.01


@pytest.mark.parametrize(("low", "high"), [(-1, 3), (0, 6), (2, 3), (-5, -4), (0, 0)])
def test_zero_is_exact_and_bounds_are_covered(low: float, high: float) -> None:
    parameters = Parameters.covering(low, high)
    assert parameters.reals(parameters.quantised(0.0)) == 0
    assert parameters.low <= min(low, 0) + parameters.scale / 2
    assert parameters.high >= max(high, 0) - parameters.scale / 2
    assert Parameters.covering(low, high, symmetric=True).zero == 0


def test_factors_as_multiplier_and_shift() -> None:
    factors = np.array([1e-6, 0.3, 0.9999999999, 1.0, 77.7, 2.0**-40])
    found = fixed_point(factors)
    assert found is not None
    multiplier, shift = found
    assert ((shift >= 1) & (shift <= 62)).all()
    np.testing.assert_allclose(multiplier / 2.0**shift, factors, rtol=2.0**-23)
    exact = multiplier / 2.0**shift == factors
    assert exact.tolist() == [False, False, False, True, False, True]
    assert (multiplier[~exact] >> 7 & 1).all()
    assert not (multiplier & 127).any()
    assert fixed_point(2.0**30) is None
    assert fixed_point(2.0**-70) == (0, 62)


def test_common_shifts_leave_room() -> None:
    assert common_shift([0.5, 0.25], 2.0**20) == 20
    assert common_shift([2.0**20], 2.0**20) is None
    assert common_shift([0.0], 8) == 40
