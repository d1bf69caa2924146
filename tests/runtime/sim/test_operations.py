"""Operations of vector programs whose implementation has more than one way."""

import numpy as np
import pytest

from isthmus.runtime.sim import operations


@pytest.mark.parametrize("to", ["i8", "u8"])
def test_narrow_requantisation_is_that_in_64_bits(to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves, both sides of them and of the limits, any multiplier and shift that f64 takes."""
    draw, count = np.random.default_rng(0), 20000
    shift = draw.integers(1, 45, count).astype(np.int32)
    multiplier = draw.integers(-(1 << 31), (1 << 31) - 1, count).astype(np.int32)
    wanted = draw.integers(-300, 300, count) + draw.choice([0, 0.5, 0.25, -0.5], count)
    x = wanted * 2.0**shift / np.where(multiplier == 0, 1, multiplier) + draw.integers(-1, 2, count)
    x = np.clip(np.round(x), -(2**31), 2**31 - 1).astype(np.int32)
    zero = draw.integers(-255, 256, count).astype(np.int32)
    requantize = operations.OPERATIONS["requantize"].numpy
    short = requantize(x, multiplier, shift, zero, to)
    monkeypatch.setattr(operations, "_EXACT_SHIFT", 0)
    assert np.array_equal(requantize(x, multiplier, shift, zero, to), short)
    assert len(np.unique(short)) == 256
