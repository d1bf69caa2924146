"""The order in which work that waits for other work is done: units when placements are judged, kernels when one is.

One algorithm for both, so that the search finds best what is then scheduled.
"""

from collections.abc import Callable, Collection, Hashable, Sequence
from heapq import heappop, heappush

Arrival = Callable[[int, int, float], float]
"""(maker, reader, when the maker is done) -> when what it made is where the reader needs it, were all links free."""


def readers(before: Sequence[Collection[int]]) -> list[list[int]]:
    """For each piece of work what waits for it, from what each waits for."""
    after: list[list[int]] = [[] for _ in before]
    for n, makers in enumerate(before):
        for maker in sorted(makers):
            after[maker].append(n)
    return after


def in_order(
    seconds: Sequence[float],
    devices: Sequence[Hashable],
    before: Sequence[Collection[int]],
    after: Sequence[Sequence[int]],
    arrival: Arrival,
) -> list[int]:
    """Numbers of pieces of work, each as early as it can begin on its device, the one with most work behind it first.

    `before` and `after` say what waits for what: it must not go round in a circle.
    """
    waiting = [len(makers) for makers in before]
    rank = _ranks(seconds, before, after)
    free: dict[Hashable, float] = {}
    done = [0.0] * len(seconds)
    ready = [(0.0, -rank[n], n) for n, count in enumerate(waiting) if not count]
    ready.sort()
    order = []
    while ready:
        begin, _, n = heappop(ready)
        earliest = max(begin, free.get(devices[n], 0.0))
        if ready and earliest > begin and ready[0][0] < earliest:
            heappush(ready, (earliest, -rank[n], n))
            continue
        done[n] = free[devices[n]] = earliest + seconds[n]
        order.append(n)
        for reader in after[n]:
            waiting[reader] -= 1
            if not waiting[reader]:
                there = max(arrival(maker, reader, done[maker]) for maker in before[reader])
                heappush(ready, (there, -rank[reader], reader))
    assert len(order) == len(seconds), "work waits for itself"
    return order


def _ranks(
    seconds: Sequence[float], before: Sequence[Collection[int]], after: Sequence[Sequence[int]]
) -> list[float]:
    """Seconds from the beginning of each to the end of all, transfers left out."""
    rank = [0.0] * len(seconds)
    left = [len(each) for each in after]
    ended = [n for n, count in enumerate(left) if not count]
    while ended:
        n = ended.pop()
        rank[n] = seconds[n] + max((rank[m] for m in after[n]), default=0.0)
        for maker in before[n]:
            left[maker] -= 1
            if not left[maker]:
                ended.append(maker)
    return rank
