"""How reals map to 8-bit numbers."""

import numpy as np

from ....runtime.records import dataclass

LOW, HIGH = -128, 127
_SMALLEST = 2.0**-100
"""Scales below it would leave the range of f32; values that small stand for 0."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """real = (q - zero) * scale, for q from -128 to 127."""

    scale: float
    zero: int = 0

    @staticmethod
    def covering(low: float, high: float, symmetric: bool = False) -> "Parameters":
        """The finest that hold 0 and both bounds; `symmetric`: zero point 0, -128 unused."""
        low, high = min(low, 0.0), max(high, 0.0)
        if symmetric:
            return Parameters(_rounded(max(-low, high) / HIGH))
        scale = _rounded((high - low) / (HIGH - LOW))
        zero = int(np.clip(np.rint(LOW - low / scale), LOW, HIGH))
        return Parameters(scale, zero)

    @property
    def low(self) -> float:
        """The least real that has a number of its own."""
        return (LOW - self.zero) * self.scale

    @property
    def high(self) -> float:
        """The greatest real that has a number of its own."""
        return (HIGH - self.zero) * self.scale

    def quantised(self, array: np.ndarray | float) -> np.ndarray:
        """round(x / scale) + zero as i8, saturated; NaN stands for 0."""
        codes = np.rint(np.asarray(array, np.float64) / self.scale) + self.zero
        return np.clip(np.nan_to_num(codes, nan=self.zero), LOW, HIGH).astype(np.int8)

    def reals(self, codes: np.ndarray) -> np.ndarray:
        """(q - zero) * scale in f64."""
        return (codes.astype(np.float64) - self.zero) * self.scale


def _rounded(scale: float) -> float:
    """A scale that f32 holds."""
    return float(np.float32(max(scale, _SMALLEST)))


def symmetric_scales(weights: np.ndarray, axis: int | None) -> np.ndarray:
    """Scales of weights as -127 to 127: one a slice along `axis`, or one for all."""
    others = tuple(n for n in range(weights.ndim) if n != axis)
    largest = np.abs(weights).max(others if axis is not None else None, initial=0.0)
    return np.maximum(largest.astype(np.float64) / HIGH, _SMALLEST)


def common_shift(factors: list[float], room: float, most: int = 40) -> int | None:
    """The largest shift with which the sum of |factors| * 2^shift stays below `room`; None where not even 1 does."""
    total = sum(map(abs, factors))
    shift = most if total == 0 else min(most, int(np.floor(np.log2(room / total))))
    while shift >= 1 and total * 2.0**shift >= room:
        shift -= 1
    return shift if shift >= 1 else None
