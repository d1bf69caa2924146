"""DRAM burst by burst, against channels that are looked at cycle by cycle."""

from collections import deque

import numpy as np
import pytest

from isthmus.runtime.sim.bursts import BUFFERED, Copies, copies, rows_of
from isthmus.runtime.sim.channels import Memory, Mover
from isthmus.runtime.sim.dram import Dram

Rows = tuple[int, int, int, int, int, int]
"""Address, bytes of a row, rows, planes, and from one to the next."""

PINNED = Dram(16, 1, 256, 40, 64, 2048, 24, 3120, 280, 16)
NEVER = float("inf")


def asked(dram: Dram, *each: Rows, port: float = 1e9, write: bool = False) -> Copies:
    return copies(dram, rows_of(*map(np.array, zip(*each))), np.zeros(len(each)), port, write)


def served(dram: Dram, *movers: list[Rows], writes: bool = False) -> list[list[float]]:
    """When the copies of each mover are served, which all begin at once; the last one writes, if any does."""
    memory, ends = Memory(dram), [[0.0] * len(each) for each in movers]

    def add(number: int, rows: list[Rows]) -> None:
        write = writes and number == len(movers) - 1
        found = asked(dram, *rows, write=write)
        todo = deque(enumerate(found.first.tolist()))

        def begin(time: float) -> None:
            if todo:
                mover.start(*todo.popleft(), time)

        def written(copy: int, end: float, time: float) -> None:
            ends[number][copy] = end

        mover: Mover = memory.add(found.parts.lists(), write, begin, written)
        begin(0.0)

    for number, rows in enumerate(movers):
        add(number, rows)
    while memory.serve(NEVER):
        pass
    return ends


def bursts_of(dram: Dram, rows: Rows) -> list[int]:
    address, n0, n1, n2, s1, s2 = rows
    found: list[int] = []
    for start in (address + plane * s2 + row * s1 for plane in range(n2) for row in range(n1)):
        every = range(start // dram.burst, (start + n0 - 1) // dram.burst + 1)
        found += [burst for burst in every if burst != (found[-1] if found else -1)]
    return found


def cycle_by_cycle(dram: Dram, *movers: list[Rows]) -> list[list[float]]:
    """The same of loads: a burst is asked for a cycle, eight wait at a channel, who has waited longest has the turn."""
    todo = [
        deque((burst, n) for n, rows in enumerate(each) for burst in bursts_of(dram, rows)) for each in movers
    ]
    ends = [[0.0] * len(each) for each in movers]
    channels, lag = range(dram.channels), dram.cycles_of_a_burst * (1 - 1 / dram.channels)
    queues = [[deque[tuple[int, int]]() for _ in movers] for _ in channels]
    free, turn = [0.0] * dram.channels, [0] * dram.channels
    under_way = [list[float]() for _ in channels]
    pages = [[-1] * len(movers) for _ in channels]
    time = 1
    while any(todo) or any(any(each) for each in queues):
        room = [[len(queue) < 8 for queue in each] for each in queues]
        refreshing = dram.refresh_every and (time + 1) % dram.refresh_every >= dram.working
        for channel in channels:
            under_way[channel] = [each for each in under_way[channel] if each > time]
            if refreshing:
                pages[channel] = [-1] * len(movers)
            waiting = [(turn[channel] + n) % len(movers) for n in range(len(movers))]
            waiting = [n for n in waiting if queues[channel][n]]
            full = dram.outstanding and len(under_way[channel]) >= dram.outstanding
            if refreshing or full or free[channel] > time or not waiting:
                continue
            mover = waiting[0]
            burst, copy = queues[channel][mover].popleft()
            page = burst * dram.burst // (dram.page * dram.channels)
            miss = dram.page_miss * (page != pages[channel][mover])
            pages[channel][mover], turn[channel] = page, mover + 1
            free[channel] = time + dram.cycles_of_a_burst + miss
            under_way[channel].append(time + miss + dram.latency + 1 + lag)
            ends[mover][copy] = max(ends[mover][copy], free[channel])
        for mover, each in enumerate(todo):
            if each:
                channel = each[0][0] * dram.burst // dram.interleave % dram.channels
                if room[channel][mover]:
                    queues[channel][mover].append(each.popleft())
        time += 1
    return ends


def drawn(source: np.random.Generator) -> Rows:
    n0 = int(source.choice((64, 100, 256, 700, 1500)))
    n1, n2 = int(source.integers(1, 6)), int(source.choice((1, 2)))
    s1 = n0 + int(source.choice((0, 20, 64, 448, 1024, 1920)))
    return int(source.integers(1 << 16)), n0, n1, n2, s1, n1 * s1


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("movers", [1, 2, 3])
def test_copies_are_served_as_cycle_by_cycle(channels: int, movers: int) -> None:
    dram = Dram(8 * channels, channels, 256, 60, 64, 2048, 24, 900, 80, 16)
    source, errors = np.random.default_rng(3), []
    for _ in range(12):
        every = [[drawn(source) for _ in range(4)] for _ in range(movers)]
        found, expected = served(dram, *every), cycle_by_cycle(dram, *every)
        errors += [abs(a / b - 1) for one, other in zip(found, expected) for a, b in zip(one, other)]
    assert np.mean(errors) < 0.003
    assert np.median(errors) < 0.001


def test_few_places_for_bursts_under_way_hold_a_channel_up() -> None:
    dram = Dram(64, 1, 256, 100, 64, outstanding=10)
    every = [[(0, 6400, 1, 1, 0, 0)], [(1 << 16, 6400, 1, 1, 0, 0)]]
    for count in (1, 2):
        found, expected = served(dram, *every[:count]), cycle_by_cycle(dram, *every[:count])
        assert found == [pytest.approx(each, rel=0.01) for each in expected]
        assert max(found)[0] == pytest.approx(count * 6400 / 64 / 10 * 101, rel=0.12)


def test_turns_are_bursts_so_who_opens_a_page_in_each_takes_longer_ones() -> None:
    """Bursts of 28 cycles beside such of 4: as many of both as long as there are any of the shorter ones."""
    paged, plain = (0, 64, 20, 1, 2048, 0), (1 << 20, 64 * 20, 1, 1, 0, 0)
    (one,), (other,) = served(PINNED, [paged], [plain])
    assert other == pytest.approx(20 * (28 + 4) + 24, abs=40)
    assert one == pytest.approx(other, abs=40)


def test_who_asks_for_less_than_its_turn_gets_it_whole() -> None:
    """Rows of 3 bytes are asked for one a cycle, 11 of them for a burst of 4 cycles."""
    narrow, plain = (0, 3, 1000, 1, 6, 0), (1 << 20, 1 << 14, 1, 1, 0, 0)
    ((alone,),) = served(PINNED, [narrow])
    (one,), _ = served(PINNED, [narrow], [plain])
    assert alone == pytest.approx(1000, rel=0.05)
    assert one < 1.15 * alone


def test_long_copies_are_looked_at_in_few_parts() -> None:
    rows = (0, 64, 4000, 1, 8192, 0)
    parts = asked(PINNED, rows).parts
    assert len(parts.bursts) == 4000 // 32 + 1
    ((found,),) = served(PINNED, [rows])
    ((expected,),) = cycle_by_cycle(PINNED, [rows])
    assert found == pytest.approx(expected, rel=0.003)


def test_pages_that_planes_share_are_opened_once() -> None:
    """Planes of 12,544 bytes every 14,336: of pages of 4,096 each second plane begins in the one before's last."""
    dram = Dram(32, 2, 256, 80, 64, 2048, 40, outstanding=16)
    rows = (0, 256, 13, 13, 1024, 14336)
    found = asked(dram, rows)
    assert (found.bytes[0], found.pages[0]) == (169 * 256, 13 * 4 - 6)
    assert served(dram, [rows])[0] == pytest.approx(cycle_by_cycle(dram, [rows])[0], rel=0.01)


def test_bursts_and_pages_are_counted() -> None:
    def counted(*rows: int) -> tuple[float, ...]:
        found = asked(PINNED, tuple(rows))  # type: ignore[arg-type]
        return found.cycles[0], found.bytes[0], found.pages[0]

    assert counted(0, 4096, 1, 1, 0, 0) == (4096 / 16 + 2 * 24, 4096, 2)
    assert counted(32, 4096, 1, 1, 0, 0)[1:] == (4096 + 64, 3)
    assert counted(0, 64, 64, 1, 64, 0) == counted(0, 64, 8, 8, 64, 512) == counted(0, 4096, 1, 1, 0, 0)
    assert counted(60, 8, 3, 1, 4096, 0)[1:] == (3 * 128, 3)
    assert counted(0, 10, 0, 1, 0, 0) == (0, 0, 0)


def test_bursts_are_exact_for_any_rows() -> None:
    source = np.random.default_rng(3)
    for _ in range(100):
        rows = drawn(source)
        assert asked(PINNED, rows).bytes[0] == 64 * len(bursts_of(PINNED, rows))


def test_a_page_stays_open_from_one_copy_to_the_next_until_a_refresh_closes_it() -> None:
    every = [(address, 64, 1, 1, 0, 0) for address in (0, 64, 4096)]
    assert asked(PINNED, *every).pages.tolist() == [1, 0, 1]
    assert np.diff(served(PINNED, every)[0]).tolist() == [4, 28]
    memory = Memory(PINNED)
    ends: list[float] = []
    found = asked(PINNED, *every[:2])
    mover = memory.add(
        found.parts.lists(), False, lambda time: None, lambda copy, end, time: ends.append(end)
    )
    for copy, time in enumerate((0, 2800)):
        mover.start(copy, int(found.first[copy]), time)
        while memory.serve(time + 30):
            pass
    mover.start(1, int(found.first[1]), 2838)
    while memory.serve(NEVER):
        pass
    assert ends == [30, 2806, 3119 + 28]


def test_a_port_that_is_behind_by_its_buffer_holds_dram_back() -> None:
    """A byte a cycle: 64 for each burst, of which DRAM is not further ahead than the buffer is large."""
    rows = (0, 64, 200, 1, 128, 0)
    found = asked(PINNED, rows, port=1)
    memory, times = Memory(PINNED), []
    mover = memory.add(
        found.parts.lists(),
        False,
        lambda time: times.append(time),
        lambda copy, end, time: times.append(time),
    )
    mover.start(0, 0, 0)
    while memory.serve(NEVER):
        pass
    begin = 2 + 24 + 41
    assert times[1] == begin + 200 * 64
    assert times[0] == pytest.approx(times[1] - BUFFERED * 64, abs=8 * 64)


def test_a_memory_that_serves_several_bursts_a_cycle_is_asked_for_as_many() -> None:
    dram = Dram(256, 8, 256, 40, 64)
    assert served(dram, [(0, 1 << 16, 1, 1, 0, 0)])[0][0] == pytest.approx((1 << 16) / 256, rel=0.05)


def test_a_memory_without_latency_is_asked_at_once() -> None:
    dram = Dram(16, 1, 256, 0, 64)
    assert served(dram, [(0, 3, 4096, 1, 12, 0)]) == [[768 * 4]]
    assert served(Dram(16), [(0, 1600, 1, 1, 0, 0)], [(0, 800, 1, 1, 0, 0)]) == [
        [pytest.approx(150)],
        [pytest.approx(100, abs=0.1)],
    ]
