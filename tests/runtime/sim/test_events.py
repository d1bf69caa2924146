"""The clock: queues, tokens, preparation, transfers that share DRAM."""

from typing import Any

import numpy as np
import pytest

from isthmus.runtime.sim.bursts import Parts, copies, rows_of
from isthmus.runtime.sim.costs import WORK
from isthmus.runtime.sim.dram import Dram
from isthmus.runtime.sim.errors import HazardError
from isthmus.runtime.sim.events import Control, Timeline, Work, simulate, simulate_together

FAST = Dram(bytes_per_cycle=16)
ENGINES = ("load", "work", "store")
IMMEDIATE = Control(queue_depth=8, issue_cycles=0)


def work(*instructions: dict[str, Any], dram: Dram = FAST) -> Work:
    """Instructions as dicts of Work's fields, engines by name ("barrier" for one); copies with the `bytes` that they
    move in a row from `at` on, and cycles of padding `behind` it at the port, a byte of which takes `slow` cycles."""

    def column(name: str, dtype: Any = float) -> np.ndarray:
        return np.array([each.get(name, 0) for each in instructions], dtype)

    numbers = {name: number for number, name in enumerate(ENGINES)} | {"barrier": -2, "halt": -1}
    engine = np.array([numbers[each["engine"]] for each in instructions])
    masks = {name: column(name, np.int64) for name in ("wait", "signal")}
    columns = {name: column(name) for name in WORK}
    columns["first"] -= 1
    tables: list[Parts] = []
    for name in ENGINES:
        chosen = [n for n, each in enumerate(instructions) if each["engine"] == name and "bytes" in each]
        if not chosen:
            continue
        at, size = column("at", int)[chosen], column("bytes", int)[chosen]
        ones, zeros = np.ones_like(at), np.zeros_like(at)
        slow = max(instructions[n].get("slow", 0) for n in chosen)
        port = 1 / slow if slow else dram.bytes_per_cycle
        rows = rows_of(at, size, ones, ones, zeros, zeros)
        moved = copies(dram, rows, column("behind")[chosen], port, name == "store")
        columns["first"][chosen] = moved.first + sum(len(each.bursts) for each in tables)
        columns["write"][chosen], columns["transfer"][chosen] = name == "store", moved.cycles
        columns["tail"][chosen] += dram.latency
        tables.append(moved.parts)
    parts = Parts.joined(tables, dram.channels)
    return Work(engine, **masks, words=np.ones(len(engine), int), **columns, parts=parts)


def timed(*instructions: dict[str, Any], control: Control = IMMEDIATE, dram: Dram = FAST) -> Timeline:
    return simulate(work(*instructions, dram=dram), ENGINES, dram, control)


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


def test_copies_take_turns_at_dram():
    """Of 100 and of 50 cycles, alone: side by side until the shorter one is over."""
    load, store = {"engine": "load", "bytes": 1600}, {"engine": "store", "bytes": 800}
    assert timed(load, store).end.tolist() == pytest.approx([150, 100], abs=0.2)
    late = timed({"engine": "work", "busy": 30, "signal": 1}, load, store | {"wait": 1})
    assert late.end.tolist() == pytest.approx([30, 150, 130], abs=0.2)


def test_copies_on_different_channels_do_not_slow_one_another():
    dram = Dram(bytes_per_cycle=32, channels=2)
    load, store = {"engine": "load", "bytes": 256}, {"engine": "store", "bytes": 256}
    assert timed(load, store | {"at": 256}, dram=dram).cycles == pytest.approx(16, abs=1)
    assert timed(load, store, dram=dram).cycles == pytest.approx(32, abs=1)


def test_refresh_stops_copies():
    dram = Dram(bytes_per_cycle=16, refresh_every=100, refresh_for=20)
    timeline = timed({"engine": "load", "bytes": 170 * 16}, dram=dram)
    assert timeline.end[0] == 210
    assert [dram.wall(active) for active in (0, 50, 80, 81, 161)] == [0, 50, 80, 101, 201]


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
        if engine != "work":
            each |= {"bytes": int(source.integers(1, 4800))}
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


def test_cores_that_share_the_dram_slow_each_other_down():
    """Two transfers of 100 cycles at half the pace each; work on the engines themselves runs side by side."""
    one = work({"engine": "load", "bytes": 1600, "signal": 1}, {"engine": "work", "busy": 50, "wait": 1})
    alone = simulate(one, ENGINES, FAST, IMMEDIATE)
    both = simulate_together([one, one], ENGINES, FAST, IMMEDIATE)
    assert alone.cycles == 150
    assert [each.cycles for each in both] == [pytest.approx(250, abs=1)] * 2
    assert simulate_together([one], ENGINES, FAST, IMMEDIATE)[0].cycles == alone.cycles


def test_a_core_that_waits_for_ever_is_told_beside_others():
    sound, stuck = work({"engine": "work", "busy": 1}), work({"engine": "work", "busy": 1, "wait": 1})
    with pytest.raises(HazardError, match="waits for ever"):
        simulate_together([sound, stuck], ENGINES, FAST, IMMEDIATE)


def test_dram_runs_ahead_of_the_port_by_three_copies():
    """Ten cycles each of DRAM, a hundred of the port."""
    copies = [{"engine": "load", "bytes": 160, "slow": 100 / 160} for _ in range(5)]
    timeline = timed(*copies)
    assert timeline.done.tolist() == [100, 200, 300, 400, 500]
    assert timeline.begin.tolist() == [0, 10, 20, 100, 200]


def test_what_reads_what_its_own_engine_brought_waits_until_that_is_there():
    first = {"engine": "load", "busy": 10, "tail": 20}
    assert timed(first, {"engine": "load", "busy": 5}).begin.tolist() == [0, 10]
    assert timed(first, {"engine": "load", "busy": 5, "settled": 1}).begin.tolist() == [0, 30]
