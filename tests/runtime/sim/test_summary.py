"""What a run adds up to: how much of transfers and products happens at one time, and all of it one after another."""

import numpy as np

from isthmus.runtime.sim.bursts import Parts
from isthmus.runtime.sim.costs import WORK
from isthmus.runtime.sim.dram import Dram
from isthmus.runtime.sim.events import Timeline, Work
from isthmus.runtime.sim.summary import Roof, summarise

DRAM = Dram(bytes_per_cycle=16, refresh_every=100, refresh_for=20)


def summary(spans: list[tuple[int, int]], transfers: list[int], macs: list[int]) -> dict:
    """Of instructions with these spans, a transfer where it has cycles of DRAM, a product where it has MACs."""
    begin, end = np.array(spans, np.float64).T
    none, count = np.zeros(len(spans)), len(spans)
    transfer = np.array(transfers, np.float64)
    busy = np.where(transfer > 0, 3, end - begin)
    engine = np.zeros(count, np.int64)
    work_of = dict.fromkeys(WORK, none) | {"busy": busy, "transfer": transfer}
    masks = {"wait": engine, "signal": engine}
    work = Work(engine=engine, **masks, words=engine + 1, **work_of, parts=Parts.joined([], 1))
    timeline = Timeline(("all",), int(end.max()), begin, end, end, [*range(count)], {"all": {}})
    counts = {"mac_i8": np.array(macs, np.float64), "dram_byte": none}
    kernels = [{"name": "k", "sources": ["n"]}]
    roof = Roof(4, DRAM, 160)
    return summarise(timeline, work, counts, np.zeros(count, int), kernels, roof, 1, 1000, {})


def test_overlap_is_a_share_of_the_shorter() -> None:
    spans = [(0, 10), (5, 15), (12, 20), (20, 30)]
    found = summary(spans, [7, 0, 5, 0], [0, 40, 0, 40])
    assert found["overlap"] == (5 + 3) / 18
    assert summary([(0, 10), (10, 12)], [10, 0], [0, 1])["overlap"] == 0
    assert summary([(0, 10), (2, 4)], [10, 0], [0, 1])["overlap"] == 1
    assert summary([(0, 10)], [10], [0])["overlap"] == 1


def test_the_serial_sum_counts_fetching_work_transfers_and_refreshes() -> None:
    found = summary([(0, 10), (10, 90)], [7, 0], [0, 64])
    assert found["serial"] == DRAM.wall(1 + 3 + 7 + 1 + 80)
    assert found["bound"] == 64 / 4
