"""Times of repeated runs. Cores are shared, so the minimum says what the code takes and the median what one waits."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from isthmus.runtime.records import dataclass

WARM_UP = 2


@dataclass(frozen=True)
class Times:
    """Seconds of each run, in order."""

    seconds: tuple[float, ...]

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.seconds)

    def to_json(self) -> dict[str, Any]:
        """Seconds as JSON values."""
        return {
            "minimum": self.minimum,
            "median": self.median,
            "mean": self.mean,
            "seconds": list(self.seconds),
        }

    def __str__(self) -> str:
        figures = (
            f"min {self.minimum * 1e3:.3f}, median {self.median * 1e3:.3f}, mean {self.mean * 1e3:.3f} ms"
        )
        return f"{figures} over {len(self.seconds)} runs"


def measure(
    run: Callable[[], object], runs: int, advance: Callable[[str], None] = lambda done: None
) -> Times:
    """Times of `runs` calls, after `WARM_UP` that are not counted."""
    for _ in range(WARM_UP):
        run()
    seconds = []
    for number in range(runs):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
        advance(f"{number + 1} of {runs}")
    return Times(tuple(seconds))
