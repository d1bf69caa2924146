"""From the values that were seen to the range that 8 bits are to cover: histograms, and four ways to choose.

Min-max keeps all; percentile cuts rare extremes; MSE takes the bounds of least squared error; entropy those that change
the distribution least (Kullback-Leibler divergence, as in Migacz, "8-bit inference with TensorRT", 2017).
"""

from collections.abc import Callable

import numpy as np

from .parameters import HIGH, LOW, Parameters

BINS = 4096
PERCENTILE = 99.99
_CANDIDATES = 64


class Histogram:
    """Counts of values in `BINS` equal bins over -reach to reach, a power of two that doubles where it is too small."""

    def __init__(self) -> None:
        self.reach = 0.0
        self.counts = np.zeros(BINS, np.int64)
        self.low, self.high = np.inf, -np.inf

    def add(self, values: np.ndarray) -> None:
        """Count values in; what is not finite or stands for minus infinity is left out."""
        flat = values.reshape(-1)
        low, high = float(flat.min(initial=np.inf)), float(flat.max(initial=-np.inf))
        if not -1e30 < low <= high < 1e30:
            flat = flat[np.abs(flat) < 1e30]
            if not flat.size:
                return
            low, high = float(flat.min()), float(flat.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(-low, high))
        scale = np.float32(BINS / (2 * self.reach)) if self.reach else np.float32(0)
        places = (flat * scale + np.float32(BINS // 2)).astype(np.int32)
        self.counts += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)

    def _widen(self, size: float) -> None:
        if size <= self.reach:
            return
        reach = 2.0 ** np.ceil(np.log2(size))
        while self.reach and self.reach < reach:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[BINS // 4 : -BINS // 4] = pairs
            self.reach *= 2
        self.reach = max(self.reach, reach)

    @property
    def centres(self) -> np.ndarray:
        return (np.arange(BINS) + 0.5) * (2 * self.reach / BINS) - self.reach

    @property
    def seen(self) -> bool:
        return self.low <= self.high


Choice = Callable[[Histogram, bool], tuple[float, float]]


def _min_max(histogram: Histogram, symmetric: bool) -> tuple[float, float]:
    return histogram.low, histogram.high


def _percentile(histogram: Histogram, symmetric: bool) -> tuple[float, float]:
    """Without the share (100 - percentile) % of the values at each end."""
    below = np.cumsum(histogram.counts)
    share = below[-1] * (1 - PERCENTILE / 100)
    first = int(np.searchsorted(below, share, "right"))
    last = int(np.searchsorted(below, below[-1] - share, "left"))
    half = histogram.reach / BINS
    low = max(histogram.low, histogram.centres[first] - half)
    return low, min(histogram.high, histogram.centres[min(last, BINS - 1)] + half)


def _error(histogram: Histogram, low: float, high: float, symmetric: bool) -> float:
    """Sum of the squared errors of all values."""
    parameters = Parameters.covering(low, high, symmetric)
    centres = histogram.centres
    codes = np.clip(np.rint(centres / parameters.scale) + parameters.zero, LOW, HIGH)
    lost = (codes - parameters.zero) * parameters.scale - centres
    return float(histogram.counts @ (lost * lost))


def _best(
    histogram: Histogram, symmetric: bool, error: Callable[[Histogram, float, float, bool], float]
) -> tuple[float, float]:
    """Bounds of least error: first both shrunk alike, then each of them by itself."""
    low, high = histogram.low, histogram.high
    shares = np.linspace(1, 0.2, _CANDIDATES)
    errors = [error(histogram, low * share, high * share, symmetric) for share in shares]
    share = float(shares[int(np.argmin(errors))])
    low, high = low * share, high * share
    if symmetric or low >= 0 or high <= 0:
        return low, high
    steps = np.linspace(0.5, min(1.5, 1 / share), _CANDIDATES // 2)
    low *= float(steps[int(np.argmin([error(histogram, low * step, high, symmetric) for step in steps]))])
    high *= float(steps[int(np.argmin([error(histogram, low, high * step, symmetric) for step in steps]))])
    return low, high


def _mse(histogram: Histogram, symmetric: bool) -> tuple[float, float]:
    return _best(histogram, symmetric, _error)


def _divergence(histogram: Histogram, low: float, high: float, symmetric: bool) -> float:
    """Of the distribution after quantisation from that of the values, those outside counted at the bounds."""
    parameters = Parameters.covering(low, high, symmetric)
    codes = np.clip(np.rint(histogram.centres / parameters.scale) + parameters.zero, LOW, HIGH).astype(int)
    inside = (histogram.centres >= parameters.low) & (histogram.centres <= parameters.high)
    counts = histogram.counts.astype(np.float64)
    occupied = counts > 0
    # each number's share spread over the occupied bins that it stands for
    bins = np.bincount(codes[occupied & inside] - LOW, minlength=256)
    share = np.bincount(codes[inside] - LOW, counts[inside], minlength=256)
    spread = np.where(bins > 0, share / np.maximum(bins, 1), 0)[codes - LOW] * (occupied & inside)
    reference = counts * inside
    ends = np.flatnonzero(inside)
    if not ends.size or spread.sum() == 0:
        return np.inf
    reference[ends[0]] += counts[: ends[0]].sum()
    reference[ends[-1]] += counts[ends[-1] + 1 :].sum()
    p, q = reference / reference.sum(), np.maximum(spread / spread.sum(), 1e-12)
    used = p > 0
    return float((p[used] * np.log(p[used] / q[used])).sum())


def _entropy(histogram: Histogram, symmetric: bool) -> tuple[float, float]:
    return _best(histogram, symmetric, _divergence)


METHODS: dict[str, Choice] = {
    "minmax": _min_max,
    "percentile": _percentile,
    "mse": _mse,
    "entropy": _entropy,
}


def choose(histogram: Histogram, method: str, symmetric: bool) -> Parameters:
    """The parameters of values that were seen like this."""
    low, high = METHODS[method](histogram, symmetric)
    return Parameters.covering(low, high, symmetric)
