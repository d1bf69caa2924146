"""The search against all assignments, on random graphs of units; and that it is never worse than its starts."""

from itertools import product

import numpy as np
import pytest

from isthmus.compiler.partition import search
from isthmus.compiler.partition.balance import Balance, loads
from isthmus.compiler.partition.model import Model, latency, scheduled


def draw(seed: int, units: int, devices: int = 3, host_only: float = 0.15) -> Model:
    """A random graph of units; the host is device 0, whose memory is 0."""
    rng = np.random.default_rng(seed)
    seconds: list[list[float | None]] = []
    reads, makes = [], []
    for unit in range(units):
        cost: list[float | None] = [float(rng.exponential(s)) for s in (8.0, 3.0, 4.0)[:devices]]
        if rng.random() < host_only:
            cost[1:] = [None] * (devices - 1)
        seconds.append(cost)
        earlier = range(max(0, unit - 3), unit)
        chosen = [n for n in earlier if rng.random() < 0.6] or list(earlier)[-1:]
        reads.append([n + 1 for n in chosen] or [0])
        makes.append([unit + 1])
    routes = {
        (a, b): [(n, float(rng.uniform(0.1, 0.5)), 0.5)]
        for n, (a, b) in enumerate((a, b) for a in range(devices) for b in range(devices) if a != b)
    }
    sizes = [int(rng.integers(1, 8)) for _ in range(units + 1)]
    names = ["host", "fast", "other"][:devices]
    none = [0] * devices
    return Model(
        seconds, reads, makes, sizes, [0], [units], list(range(devices)), 0, routes, len(routes),
        [1] * units, none, names, [0.0] * units,
    )  # fmt: skip


def assignments(model: Model):
    return product(*(model.choices(unit) for unit in range(len(model.seconds))))


@pytest.mark.parametrize("seed", range(4))
def test_small_graphs_are_searched_exactly(seed):
    model = draw(seed, units=6)
    start = search.greedy(model, [1, 2, 0])
    found = search.best_latency(model, [start])
    seconds = [scheduled(model, each) for each in found]
    every = sorted(scheduled(model, each) for each in assignments(model))
    assert seconds == every[: len(found)]
    assert len(found) > 1


@pytest.mark.parametrize("seed", range(3))
def test_the_heuristic_comes_near_the_optimum(seed, monkeypatch):
    model = draw(seed, units=7)
    monkeypatch.setattr(search, "EXACT", 0)
    (found,) = search.best_latency(model, [search.greedy(model, [1, 2, 0])])
    assert latency(model, found) <= 1.05 * min(latency(model, each) for each in assignments(model))


@pytest.mark.parametrize("seed", range(2))
def test_large_graphs_are_never_worse_than_the_starts_and_mostly_better(seed):
    model = draw(seed, units=30)
    starts = [search.greedy(model, order) for order in ([1, 2, 0], [0, 1, 2])]
    (found,) = search.best_latency(model, starts)
    assert latency(model, found) < min(latency(model, each) for each in starts)
    assert [found] == search.best_latency(model, starts)


@pytest.mark.parametrize("seed", range(3))
def test_the_period_of_a_stream_is_searched_for_as_well(seed):
    model = draw(seed, units=6)
    start = search.greedy(model, [1, 2, 0])
    found = search.best_throughput(model, [start])
    least = min(max(loads(model, each)) for each in assignments(model))
    assert max(loads(model, found)) == pytest.approx(least)


def test_what_does_not_fit_a_memory_is_not_put_there():
    model = draw(0, units=6)
    model.limits[1] = 2
    for found in search.best_latency(model, [search.greedy(model, [0])]):
        assert sum(device == 1 for device in found) <= 2
    forced = [1 if model.seconds[unit][1] is not None else 0 for unit in range(6)]
    assert forced.count(1) > 2
    assert latency(model, forced) == max(loads(model, forced)) == float("inf")


def test_a_device_does_other_work_while_a_unit_waits():
    """The second unit reads what the first makes elsewhere; the third, after it, needs nothing of either."""
    model = Model(
        [[None, 3.0], [1.0, None], [4.0, None]], [[0], [1], [0]], [[1], [2], [3]], [0] * 4, [0], [2, 3],
        [0, 1], 0, {(0, 1): [(0, 1.0, 0.0)], (1, 0): [(1, 1.0, 0.0)]}, 2, [0] * 3, [0, 0], ["a", "b"], [0.0] * 3,
    )  # fmt: skip
    assert latency(model, (1, 0, 0)) == 8.0
    assert scheduled(model, (1, 0, 0)) == 5.0


def test_a_value_is_sent_once_to_each_memory_and_links_take_turns():
    model = Model(
        [[None, 1.0], [1.0, None], [1.0, None]], [[0], [1], [1]], [[1], [2], [3]], [0, 10, 0, 0], [0], [2, 3],
        [0, 1], 0, {(0, 1): [(0, 1.0, 0.0)], (1, 0): [(1, 0.1, 0.5)]}, 2, [0] * 3, [0, 0], ["a", "b"], [0.0] * 3,
    )  # fmt: skip
    assert latency(model, (1, 0, 0)) == pytest.approx(1.0 + 10 * 0.1 + 0.5 + 2.0)
    assert loads(model, (1, 0, 0)) == pytest.approx([2.0, 1.0, 0.0, 1.0])


@pytest.mark.parametrize("seed", range(3))
def test_loads_after_a_move_are_those_counted_from_the_start(seed):
    model = draw(seed, units=12)
    model.limits[1] = 7
    rng = np.random.default_rng(seed)
    start = [int(rng.choice(model.choices(unit))) for unit in range(12)]
    balance = Balance(model, start)
    for _ in range(40):
        moved = sorted({int(unit) for unit in rng.integers(0, 12, 3)})
        trial = [int(rng.choice(model.choices(u))) if u in moved else start[u] for u in range(12)]
        assert balance.moved(moved, trial) == pytest.approx(loads(model, trial))
    assert balance.busy == loads(model, start)
