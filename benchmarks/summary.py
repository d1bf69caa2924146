"""The statistics of the report: minima, medians, ratios, geometric means, and which rounds count."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """The shortest and the middle of some durations, in seconds, and how many there were."""

    minimum: float
    median: float
    count: int


def summarise(seconds: Sequence[float]) -> Times:
    """Minimum and median; raises ValueError where there is nothing to summarise."""
    if not seconds:
        raise ValueError("durations: got none, expected at least one")
    return Times(min(seconds), statistics.median(seconds), len(seconds))


def geometric_mean(ratios: Iterable[float]) -> float | None:
    """The geometric mean of positive ratios, None of none; raises ValueError on one that is not positive."""
    ratios = list(ratios)
    if any(not ratio > 0 for ratio in ratios):
        raise ValueError(f"ratios: got {min(ratios)}, expected positive numbers only")
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios)) if ratios else None


def quietest(probes: Sequence[float], count: int) -> list[int]:
    """The positions of the `count` rounds with the highest probe, in order; all of them where there are fewer."""
    ranked = sorted(range(len(probes)), key=lambda index: (-probes[index], index))
    return sorted(ranked[:count])
