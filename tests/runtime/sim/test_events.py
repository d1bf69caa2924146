"""The clock: queues, tokens, preparation, transfers that share DRAM."""

from typing import Any

import numpy as np
import pytest

from isthmus.runtime.sim.costs import WORK, transfer
from isthmus.runtime.sim.demand import demand
from isthmus.runtime.sim.dram import Dram
from isthmus.runtime.sim.errors import HazardError
from isthmus.runtime.sim.events import Control, Timeline, Work, simulate, simulate_together

FAST = Dram(bytes_per_cycle=16)
ENGINES = ("load", "work", "store")
IMMEDIATE = Control(queue_depth=8, issue_cycles=0)


def work(*instructions: dict[str, Any]) -> Work:
    """Instructions as dicts of Work's fields, engines by name ("barrier" for one)."""

    def column(name: str, dtype: Any = float) -> np.ndarray:
        return np.array([each.get(name, 0) for each in instructions], dtype)

    numbers = {name: number for number, name in enumerate(ENGINES)} | {"barrier": -2, "halt": -1}
    engine = np.array([numbers[each["engine"]] for each in instructions])
    masks = {name: column(name, np.int64) for name in ("wait", "signal")}
    others = {name: np.array([each.get(name, 1) for each in instructions]) for name in ("turn", "touches")}
    others["on"] = np.array([each.get("on", [1.0]) for each in instructions])
    for name in ("served", "following"):
        others[name] = np.array([each.get(name, each.get("transfer", 0)) for each in instructions], float)
    zeros = {name: column(name) for name in WORK if name not in others}
    return Work(engine, **masks, words=np.ones(len(engine), int), **zeros, **others)


def timed(*instructions: dict[str, Any], control: Control = IMMEDIATE, dram: Dram = FAST) -> Timeline:
    return simulate(work(*instructions), ENGINES, dram, control)


def test_engines_run_at_once_and_tokens_order_them():
    free = timed({"engine": "load", "busy": 10}, {"engine": "work", "busy": 7})
    assert free.cycles == 10
    ordered = timed(
        {"engine": "load", "busy": 10, "tail": 3, "signal": 1},
        {"engine": "load", "busy": 10, "tail": 3, "signal": 1},
        {"engine": "work", "busy": 7, "wait": 1},
        {"engine": "work", "busy": 7, "wait": 1},
    )
    assert ordered.begin.tolist() == [0, 10, 13, 23]
    assert ordered.done.tolist() == [13, 23, 20, 30]
    assert ordered.order == [0, 2, 1, 3]
    assert ordered.stalls["work"] == {"load": 13 + 3}
    assert ordered.stalls["load"] == {"end": 10}


def test_a_full_queue_holds_up_what_follows():
    slow = [{"engine": "load", "busy": 100} for _ in range(4)]
    last = {"engine": "work", "busy": 1}
    deep = timed(*slow, last, control=Control(queue_depth=8, issue_cycles=1))
    shallow = timed(*slow, last, control=Control(queue_depth=2, issue_cycles=1))
    assert deep.begin[-1] == 5
    assert shallow.begin[-1] == 1 + 100 + 2  # the fourth is fetched when the second starts
    assert shallow.stalls["work"]["fetch"] == 103


def test_a_barrier_waits_for_all():
    timeline = timed(
        {"engine": "load", "busy": 10, "tail": 5},
        {"engine": "barrier"},
        {"engine": "work", "busy": 1},
        {"engine": "halt"},
    )
    assert timeline.begin[2] == 15


def test_preparation_is_hidden_behind_the_one_before_where_it_may():
    plain = {"engine": "work", "lead": 8, "busy": 20}
    assert timed(plain, plain).cycles == 2 * 28
    hidden = plain | {"overlap": 20}
    assert timed(hidden, hidden).cycles == 8 + 2 * 20
    short = plain | {"overlap": 5}
    assert timed(short, short).cycles == 28 + 3 + 20
    assert timed(short, short).stalls["work"]["prepare"] == 8 + 3


def test_transfers_share_channels():
    alone = {"engine": "load", "transfer": 100, "signal": 0}
    other = {"engine": "store", "transfer": 50}
    both = timed(alone, other)
    assert both.end.tolist() == [150, 100]
    halves = timed(alone | {"on": [0.5]}, other | {"on": [0.5]})
    assert halves.end.tolist() == [100, 50]
    late = timed({"engine": "work", "busy": 30, "signal": 1}, alone, other | {"wait": 1})
    assert late.end.tolist() == [30, 150, 130]


def test_a_transfer_is_slowed_by_the_channel_that_others_are_on():
    one, all_ = {"engine": "load", "transfer": 100, "on": [1.0, 0.0]}, {"transfer": 100, "on": [1.0, 1.0]}
    assert timed(one, {"engine": "store", "transfer": 100, "on": [0.0, 1.0]}).end.tolist() == [100, 100]
    assert timed(one, {"engine": "store", **all_}).end.tolist() == [200, 200]
    late = timed(one, {"engine": "store", **all_, "transfer": 150})
    assert late.end.tolist() == [200, 250]


def test_refresh_stops_transfers():
    dram = Dram(bytes_per_cycle=16, refresh_every=100, refresh_for=20)
    timeline = timed({"engine": "load", "transfer": 170}, dram=dram)
    assert timeline.end[0] == 210
    assert [dram.active(time) for time in (0, 50, 80, 95, 100, 110)] == [0, 50, 80, 80, 80, 90]
    for active in (0.0, 79.0, 80.0, 161.0):
        assert dram.active(dram.wall(active)) == active


def test_what_waits_for_ever_is_named():
    with pytest.raises(HazardError) as caught:
        timed(
            {"engine": "load", "busy": 1, "wait": 0b100, "signal": 1},
            {"engine": "work", "busy": 1, "wait": 0b11, "signal": 0b100},
        )
    assert [str(problem) for problem in caught.value.problems] == [
        "code: instruction 0 on load waits for ever: semaphore 2 has no token; recompile the model",
        "code: instruction 1 on work waits for ever: semaphore 0, 1 has no token; recompile the model",
    ]


def random_work(seed: int, count: int = 400) -> Work:
    source = np.random.default_rng(seed)
    instructions: list[dict[str, Any]] = []
    for _ in range(count):
        engine = ENGINES[source.integers(3)]
        each = {"engine": engine, "busy": int(source.integers(1, 40)), "tail": int(source.integers(0, 9))}
        if engine != "work" and source.random() < 0.7:
            each |= {
                "transfer": float(source.integers(1, 300)),
                "on": [float(source.choice([0.25, 0.5, 1.0]))],
            }
        if engine == "work":
            each |= {"lead": int(source.integers(0, 9)), "overlap": int(source.integers(0, each["busy"]))}
        instructions.append(each)
    for first, second in source.integers(0, count, (200, 2)):
        one, other = sorted((int(first), int(second)))
        pair = ENGINES.index(instructions[one]["engine"]) * 3 + ENGINES.index(instructions[other]["engine"])
        if pair % 4 and one != other:
            busy = instructions[one].get("signal", 0) | instructions[other].get("wait", 0)
            if not busy >> pair & 1:
                instructions[one]["signal"] = instructions[one].get("signal", 0) | 1 << pair
                instructions[other]["wait"] = instructions[other].get("wait", 0) | 1 << pair
    return work(*instructions)


@pytest.mark.parametrize("seed", range(4))
def test_spans_and_stalls_fill_the_time_of_every_engine(seed):
    asked = random_work(seed)
    timeline = simulate(asked, ENGINES, FAST, Control(4, 1))
    busy = timeline.busy(asked)
    for number, name in enumerate(ENGINES):
        idle = sum(timeline.stalls[name].values())
        assert busy[name] + idle == pytest.approx(timeline.done.max(), abs=1e-6)
        mine = asked.engine == number
        begin, end = timeline.begin[mine], timeline.end[mine]
        assert np.all(begin[1:] >= end[:-1])
        assert np.all(np.diff(timeline.done[mine]) >= 0)
    assert sorted(timeline.order) == list(range(len(asked.engine)))


@pytest.mark.parametrize("seed", range(4))
def test_time_lies_between_the_busiest_engine_and_one_after_another(seed):
    asked = random_work(seed)
    cycles = simulate(asked, ENGINES, FAST, Control(4, 1)).cycles
    alone = asked.busy + asked.transfer
    least = max(alone[asked.engine == number].sum() for number in range(3))
    serial = (alone + asked.lead + asked.tail + 2).sum()
    assert least <= cycles <= serial
    deeper = simulate(asked, ENGINES, FAST, Control(16, 1)).cycles
    assert deeper <= cycles * 1.01


PINNED = Dram(16, 1, 256, 40, 64, 2048, 24, 3120, 280, 16)


def asked(
    dram: Dram, address: int, n0: int, n1: int = 1, n2: int = 1, s1: int = 0, s2: int = 0
) -> tuple[float, ...]:
    found = demand(dram, *(np.array([value]) for value in (address, n0, n1, n2, s1, s2)))
    return (
        float(found.cycles[0]),
        float(found.on[0].mean()),
        float(found.burst_bytes[0]),
        float(found.pages[0]),
    )


def test_demand_counts_bursts_and_pages():
    assert asked(PINNED, 0, 4096) == (4096 / 16 + 2 * 24, 1, 4096, 2)
    assert asked(PINNED, 32, 4096)[2:] == (4096 + 64, 3)
    assert asked(PINNED, 0, 64, 64, 1, 64) == asked(PINNED, 0, 4096)
    assert asked(PINNED, 0, 64, 8, 8, 64, 512) == asked(PINNED, 0, 4096)
    assert asked(PINNED, 60, 8, 3, 1, 4096)[2:] == (3 * 128, 3)
    assert asked(PINNED, 0, 10, 0) == (0, 0, 0, 0)


def test_bursts_are_exact_for_any_rows():
    source = np.random.default_rng(3)
    for _ in range(200):
        address, n0, n1 = (
            int(source.integers(5000)),
            int(source.integers(1, 300)),
            int(source.integers(1, 200)),
        )
        s1 = n0 + int(source.integers(1, 300))
        expected, before = 0, -1  # a burst that the row before has read is not read again
        for row in range(n1):
            first, last = (address + row * s1) // 64, (address + row * s1 + n0 - 1) // 64
            expected, before = expected + last - first + (first != before), last
        assert asked(PINNED, address, n0, n1, 1, s1)[2] == 64 * expected


def test_channels_are_those_that_the_rows_reach():
    dram = Dram(32, 4, 256, 0, 64, 2048, 24)
    assert asked(dram, 0, 4096)[1] == 1
    assert asked(dram, 0, 256)[1] == 0.25
    assert asked(dram, 0, 64, 10, 1, 1024)[1] == 0.25
    assert asked(dram, 0, 64, 10, 1, 512)[1] == 0.5
    assert asked(dram, 0, 64, 12, 1, 256)[1] == 1
    assert asked(dram, 0, 64, 10, 1, 256)[1] == (2 * 48 + 2 * 40) / (
        4 * 48
    )  # two have a burst more than others


def test_many_rows_that_pass_over_no_channel_are_on_all_of_them_alike():
    dram = Dram(16, 2, 256, 0, 64)
    found = demand(dram, *(np.array([value]) for value in (0, 3, 4096, 1, 12, 0)))
    assert found.on[0].tolist() == [1, 1]  # the first 32 rows: 4 bursts of one, 2 of the other
    apart = demand(dram, *(np.array([value]) for value in (0, 3, 4096, 1, 512, 0)))
    assert apart.on[0].tolist() == pytest.approx([1, 0], abs=1e-3)


def test_a_burst_of_one_row_is_asked_for_a_cycle():
    dram, rows = Dram(16, 1, 256, 40, 64), [np.array([value]) for value in (0, 3, 4096, 1, 12, 0)]
    found = demand(dram, *rows)
    assert (found.served, found.cycles, found.following) == (768 * 4, 4096, 4096)
    assert found.on[0].tolist() == [0.75]
    assert demand(dram, *rows, write=True).cycles == 768 * 4
    assert demand(Dram(16, 1, 256, 0, 64), *rows).cycles == 768 * 4


def test_a_memory_that_serves_several_bursts_a_cycle_is_asked_for_as_many():
    rows = [np.array([value]) for value in (0, 1 << 16, 1, 1, 0, 0)]
    assert demand(Dram(256, 8, 256, 40, 64), *rows).cycles == (1 << 16) / 256


def test_loads_of_channels_are_even_but_for_what_queues_do_not_bridge():
    dram = Dram(32, 2, 256, 0, 64)
    found = demand(dram, *(np.array([value]) for value in (0, 256, 100, 1, 512, 0)))
    assert found.on[0].tolist() == pytest.approx([396 / 400, 4 / 400])  # the queue holds 8 of 400 bursts


def test_pages_that_planes_share_are_opened_once():
    """Planes of 12,544 bytes every 14,336: of pages of 4,096 each second plane begins in the one before's last."""
    dram = Dram(32, 2, 256, 80, 64, 2048, 40, outstanding=16)
    cycles, _, bytes_, pages = asked(dram, 0, 256, 13, 13, 1024, 14336)
    assert (bytes_, pages) == (169 * 256, 13 * 4 - 6)
    assert cycles == pytest.approx(burst_by_burst(dram, 0, 256, 13, 13, 1024, 14336), rel=0.01)


def burst_by_burst(dram: Dram, address: int, n0: int, n1: int, n2: int, s1: int, s2: int) -> float:
    """Cycles of a transfer without refresh, its bursts looked at one after another."""
    run, size = dram.bursts_of_a_channel, dram.page * dram.channels // dram.burst
    free, page, before = [0.0] * dram.channels, [-1] * dram.channels, -1
    back: list[list[float]] = [[-np.inf] * dram.outstanding for _ in range(dram.channels)]
    for start in (address + plane * s2 + row * s1 for plane in range(n2) for row in range(n1)):
        for burst in range(start // dram.burst, (start + n0 - 1) // dram.burst + 1):
            if burst == before:
                continue
            channel = burst // run % dram.channels
            before, miss = burst, dram.page_miss * (page[channel] != burst // size)
            granted = max(free[channel], back[channel][-dram.outstanding])
            free[channel], page[channel] = granted + dram.cycles_of_a_burst + miss, burst // size
            back[channel].append(granted + dram.slots_free_again() + miss)
    return max(free)


@pytest.mark.parametrize("channels", [1, 2])
def test_transfers_take_what_their_bursts_take_one_after_another(channels):
    dram = Dram(8 * channels, channels, 256, 60, 64, 2048, 24, outstanding=8)
    source, errors = np.random.default_rng(3), []
    for _ in range(60):
        n0, n1, n2 = (int(source.choice(each)) for each in ((64, 128, 256, 512), (16, 28, 32), (3, 7, 14)))
        s1 = n0 + int(source.choice((64, 256, 448, 1024, 1920)))
        where = int(source.integers(4096)) * 16, n0, n1, n2, s1, n1 * s1 * int(source.choice((1, 2)))
        errors.append(asked(dram, *where)[0] / burst_by_burst(dram, *where) - 1)
    assert np.mean(np.abs(errors)) < 0.02


def test_few_requests_in_flight_slow_a_channel_for_all_that_use_it():
    dram = Dram(64, 1, 256, 100, 64, outstanding=10)
    cycles, share, *_ = asked(dram, 0, 6400)
    assert cycles == pytest.approx(100 / 10 * 101)  # a place is free a cycle after the latency
    assert share == 1


def test_cores_that_share_the_dram_slow_each_other_down():
    """Two transfers of 100 cycles at half the pace each; work on the engines themselves runs side by side."""
    one = work({"engine": "load", "transfer": 100, "signal": 1}, {"engine": "work", "busy": 50, "wait": 1})
    alone = simulate(one, ENGINES, FAST, IMMEDIATE)
    both = simulate_together([one, one], ENGINES, FAST, IMMEDIATE)
    assert alone.cycles == 150
    assert [each.cycles for each in both] == [250, 250]
    assert simulate_together([one], ENGINES, FAST, IMMEDIATE)[0].cycles == alone.cycles


def test_a_core_that_waits_for_ever_is_told_beside_others():
    sound, stuck = work({"engine": "work", "busy": 1}), work({"engine": "work", "busy": 1, "wait": 1})
    with pytest.raises(HazardError, match="waits for ever"):
        simulate_together([sound, stuck], ENGINES, FAST, IMMEDIATE)


def test_a_page_stays_open_from_one_transfer_to_the_next():
    found = demand(
        PINNED, *(np.array(each) for each in ([0, 64, 4096], [64] * 3, [1] * 3, [1] * 3, [0] * 3, [0] * 3))
    )
    assert found.pages.tolist() == [1, 0, 1]
    assert found.keeps.tolist() == [0, 1, 0]


def test_a_refresh_closes_the_page_that_was_open():
    dram = Dram(16, 1, 256, 0, 64, 2048, 24, 3120, 280)
    load = {"engine": "load", "transfer": 4.0, "keeps": 1}
    late = {"engine": "load", "busy": 3120, "transfer": 4.0, "keeps": 1}
    assert timed(load, load, dram=dram).done.tolist() == [4, 8]
    assert timed(load, late, dram=dram).done.tolist() == [4, 4 + 3120 + 28]


def test_who_needs_less_than_its_turn_gets_it_whole():
    slow = {"engine": "load", "transfer": 100.0, "on": [0.25]}
    fast = {"engine": "store", "transfer": 75.0, "on": [1.0]}
    assert timed(slow, fast).end.tolist() == pytest.approx([100, 100], abs=1)
    assert timed({**slow, "on": [1.0]}, fast).end.tolist() == [175, 150]


def test_dram_runs_ahead_of_the_port_by_three_copies():
    copies = [{"engine": "load", "transfer": 10.0, "port": 100.0} for _ in range(5)]
    timeline = timed(*copies)
    assert timeline.done.tolist() == [100, 200, 300, 400, 500]
    assert timeline.begin.tolist() == [0, 10, 20, 100, 200]


def test_what_reads_what_its_own_engine_brought_waits_until_that_is_there():
    first = {"engine": "load", "busy": 10, "tail": 20}
    assert timed(first, {"engine": "load", "busy": 5}).begin.tolist() == [0, 10]
    assert timed(first, {"engine": "load", "busy": 5, "settled": 1}).begin.tolist() == [0, 30]


def test_refresh_closes_the_pages_of_all_that_is_in_flight():
    """Three transfers that cross two refreshes open a page each again, twice; one that ends before them none."""
    dram = Dram(1, burst=1, page=64, page_miss=10, refresh_every=100, refresh_for=20)
    crossing = [{"engine": name, "transfer": 60} for name in ENGINES]
    alone = simulate(work(crossing[0]), ENGINES, dram, IMMEDIATE)
    together = simulate(work(*crossing), ENGINES, dram, IMMEDIATE)
    assert alone.cycles == 60
    assert together.cycles == 60 * 3 + 2 * (20 + 3 * 10) - 1  # half a burst is served within each refresh


def test_turns_are_bursts_so_who_opens_a_page_in_each_takes_longer_ones():
    """Bursts of 30 cycles beside such of 10: three quarters of the time, and a quarter."""
    paged = {"engine": "load", "transfer": 300.0, "turn": 30.0}
    plain = {"engine": "store", "transfer": 150.0, "turn": 10.0}
    assert timed(paged, plain).end.tolist() == [400, 450]


def test_pages_that_a_refresh_has_closed_make_turns_longer():
    dram = Dram(16, 1, 256, 0, 64, 2048, 40, refresh_every=1000, refresh_for=100)
    found = timed(
        {"engine": "load", "transfer": 4, "turn": 4},
        {"engine": "load", "busy": 1096, "transfer": 100, "turn": 4, "keeps": 1},
        {"engine": "store", "busy": 1100, "transfer": 140, "turn": 140 / 25, "opens": 1 / 25},
        dram=dram,
    )
    assert found.end[1:] == pytest.approx([1100 + 2 * 140] * 2, abs=4)  # a burst


def test_what_waits_for_bursts_under_way_leaves_the_channel_to_others():
    """Each alone is held for 100 cycles, in 60 of which the channel serves it: side by side both are only served."""
    held = {"transfer": 100.0, "served": 50.0, "held": 100.0}
    served = {"transfer": 100.0, "served": 100.0, "held": 50.0}
    assert timed({"engine": "load", **held}, {"engine": "store", **served}).cycles == pytest.approx(
        150, abs=1
    )


def test_a_refresh_closes_pages_on_every_channel_that_is_not_touched_again():
    dram = Dram(16, 2, 256, 0, 64, 2048, 24, 3120, 280)
    both = {"engine": "load", "transfer": 4.0, "touches": 3, "keeps": 3}
    late = {"engine": "load", "busy": 3120, "transfer": 4.0, "touches": 1, "keeps": 1}
    other, again = ({"engine": "load", "transfer": 4.0, "touches": n, "keeps": n} for n in (2, 1))
    ends = timed(both, late, other, again, dram=dram).end.tolist()
    assert np.diff(ends).tolist() == [3120 + 28, 28, 4]


def test_pages_are_opened_on_every_channel_that_a_row_touches():
    dram = Dram(32, 2, 256, 0, 64, 2048, 24)
    assert asked(dram, 0, 256)[3] == 1
    assert asked(dram, 0, 512)[3] == 2
    assert (
        asked(dram, 4096 - 256, 512, 8, 1, 4096)[3] == 16
    )  # the end of a page on one channel, a new one on the other
    assert asked(dram, 0, 64, 8, 1, 4096) == (8 * (4 + 24), 0.5, 512, 8)


def test_a_page_closed_behind_the_first_bursts_is_told_with_what_comes_before_it():
    dram = Dram(16, 1, 256, 0, 64, 2048, 24)
    found = demand(dram, *(np.array(each) for each in ([0, 1920], [64, 512], [1, 1], [1, 1], [0, 0], [0, 0])))
    assert found.opening.tolist() == [24, 24]
    assert found.before.tolist() == [0, 0.25]


def test_what_is_written_leaves_its_place_at_the_rate_of_its_own_channel():
    dram = Dram(32, 2, 256, 80, 64, outstanding=16)
    columns = [np.array([each]) for each in (0, 4096, 1, 1, 0, 0)]
    assert demand(dram, *columns).cycles[0] == 32 / 16 * (80 + 1 + 2)
    assert demand(dram, *columns, write=True).cycles[0] == 32 / 16 * (80 + 1 + 4)


def test_a_channel_that_is_through_goes_on_with_the_next_transfer():
    """Seven runs of four bursts of 4 cycles: four of them on one channel, three on the other, which the next one makes
    up for when it follows at once and nobody else is there."""
    dram = Dram(32, 2, 256, 0, 64)
    address, zeros = np.array([0, 1792]), np.zeros(2, int)
    found = demand(dram, address, zeros + 1792, zeros + 1, zeros + 1, zeros, zeros)
    assert found.cycles.tolist() == [64, 64]
    assert found.following.tolist() == [64, 48]
    first = {"engine": "load", "transfer": 64.0, "on": [1.0, 0.75]}
    second = {**first, "following": 48.0}
    assert timed(first, second, dram=dram).cycles == 64 + 48
    assert timed(first, {**second, "busy": 10}, dram=dram).cycles == 64 + 10 + 64


def test_pages_that_two_open_together_cost_the_wait_for_bursts_under_way_once():
    """Held 83 cycles for each 16 bursts of 64: both save of these 19 cycles where the other opens a page near by."""
    dram = Dram(32, 2, 256, 80, 64, 2048, 40, outstanding=16)

    def cycles(opens: float, *engines: str) -> int:
        asked = {"transfer": 830.0, "served": 640.0, "held": 830.0, "turn": 5.0, "opens": opens}
        return timed(*({"engine": engine, **asked} for engine in engines), dram=dram).cycles

    assert cycles(0.1, "load", "store") < cycles(0, "load", "store") - 40
    assert cycles(0.1, "load") == cycles(0, "load")


def test_a_refresh_that_comes_upon_a_port_starves_it():
    """The transfer is complete before the refresh at 2840, but DRAM brings no more than the port's buffer takes."""
    late = {"engine": "load", "transfer": 2400.0, "port": 4000.0, "behind": 4000.0}
    plain, starved = (timed({**late, "starved": n}, dram=PINNED).cycles for n in (0, 96))
    assert starved == plain + 96
    early = {**late, "transfer": 1000.0, "port": 2000.0, "behind": 2000.0, "starved": 96}
    assert timed(early, dram=PINNED).cycles == timed({**early, "starved": 0}, dram=PINNED).cycles


def test_padding_in_front_holds_dram_back_once_the_buffer_is_full():
    chip = {
        "name": "n",
        "memories": {"dram": {"home": True, "bytes_per_cycle": 16, "latency": 40, "burst": 64}},
        "engines": {"lda": {"does": "load"}},
    }
    columns = {
        name: np.array([each]) for name, each in {"n0": 960, "n1": 7, "n2": 7, "s1": 960, "s2": 6720}.items()
    }
    columns["dram"] = np.array([0])
    assert transfer(chip, columns, "lda", "spa")["busy"][0] == 0
    padded = transfer(chip, columns | {"before2": np.array([1])}, "lda", "spa")
    assert padded["busy"][0] == 7 * 60 - 62 * 4
    assert (
        transfer(chip, columns | {"n2": np.array([0]), "before2": np.array([1])}, "lda", "spa")["busy"][0]
        == 0
    )
