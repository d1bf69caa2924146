"""How fast the cores are at this moment, and waiting until the process is still.

On a shared machine a core can drop to half its speed for seconds, each core by itself, so every round of a
measurement is taken between two probes of just the cores that it runs on.
"""

import os
import threading
import time
from collections.abc import Sequence

import numpy as np

SIZE = 256  # three float32 matrices of 256 kB: in the second-level cache of any core that is measured here
REPEATS = 9
QUIET = 0.85
"""A core counts as quiet at this share of the best probe seen: jitter is under a tenth, a busy neighbour half."""


def gflops(cores: Sequence[int]) -> float:
    """The speed of the slowest of these cores, measured on all at once: a float32 matrix product, 10^9 FLOP a second.

    Takes about 2 ms. The product must run in one thread (OPENBLAS_NUM_THREADS=1, set for child processes).
    """
    speeds: dict[int, float] = {}
    together = threading.Barrier(len(cores))

    def measure(core: int) -> None:
        os.sched_setaffinity(0, {core})  # of this thread only
        left = np.full((SIZE, SIZE), 0.5, np.float32)
        result = np.empty_like(left)
        np.matmul(left, left, out=result)
        together.wait()
        best = float("inf")
        for _ in range(REPEATS):
            start = time.perf_counter()
            np.matmul(left, left, out=result)
            best = min(best, time.perf_counter() - start)
        speeds[core] = 2 * SIZE**3 / best / 1e9

    threads = [threading.Thread(target=measure, args=(core,)) for core in cores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return min(speeds.values())


def fastest_cores(count: int, seconds: float = 0.5) -> tuple[list[int], float]:
    """The `count` cores that probe fastest now, and the speed of the slowest of them over `seconds` of probing.

    Raises ValueError where this process may not run on so many.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if count > len(allowed):
        raise ValueError(f"threads: got {count}, but this process may run on {len(allowed)} cores only")
    ranked = sorted(allowed, key=lambda core: -gflops([core]))[:count]
    chosen = sorted(ranked)
    speed, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        speed = max(speed, gflops(chosen))
    return chosen, speed


def settle(limit: float = 0.05, step: float = 0.001) -> None:
    """Wait, at most `limit` s, until no thread of this process burns time: workers spin a while for more work."""
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        busy, start = time.process_time(), time.perf_counter()
        time.sleep(step)
        if time.process_time() - busy < 0.2 * (time.perf_counter() - start):
            return
