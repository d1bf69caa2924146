"""Time: engines with in-order queues, a fetch unit, counting semaphores, and DRAM shared by those that move data.

Instructions are fetched in program order, `issue_cycles` for each word, into their engines' queues, which hold
`queue_depth` each; a full queue stalls the fetch unit. An engine takes up an instruction when it is at the head, all
its semaphores have a token, and the engine accepts it; it then prepares (`lead`), occupies the engine (`busy`, or as
long as its transfer takes), and is complete `tail` cycles later, when it signals. The simulation costs a few heap
operations an instruction.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import field
from functools import lru_cache
from heapq import heappop, heappush
from math import ceil
from typing import Any

import numpy as np

from ..errors import Problem
from ..records import dataclass
from .dram import BUFFERED, Dram, Sharing, transfers
from .errors import HazardError
from .fields import SEMAPHORES

FETCH, PREPARE, END = "fetch", "prepare", "end"
"""Causes of a stall that are no engine: its instructions are not fetched yet; preparation that nothing hides; no more
work until the end of the entry."""
_BARRIER = -2
_INSTANT = 1e-6
AHEAD = 3
"""Copies of an engine that DRAM may have begun and that are not complete at the scratchpad's port."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a stream asks of a chip, arrays over its instructions in program order.

    `engine` numbers the engine, -1 for halt and -2 for a barrier. `wait` and `signal` are masks. `words` are those that
    the fetch unit reads. `lead`, `busy` and `tail` are cycles; `overlap`: how long before the end of `busy` the engine
    accepts the next one's preparation. `transfer`: active cycles of DRAM when alone, after `busy` cycles of overhead,
    in bursts of `turn` cycles; `on`, [instructions, channels], `following`, `served`, `held`, `opens`, `touches`,
    `keeps`: see `demand.Demand`; `port`: cycles at the scratchpad's port, which follow DRAM's and which `AHEAD` copies
    may be behind them: `last` of them after the transfer and `tail`, and `behind` of them after the first `opening`
    cycles of it; a refresh that comes upon the port costs `starved`. `settled` is 1 where all that the engine did
    before must be complete first.
    """

    engine: np.ndarray
    wait: np.ndarray
    signal: np.ndarray
    words: np.ndarray
    lead: np.ndarray
    busy: np.ndarray
    tail: np.ndarray
    overlap: np.ndarray
    transfer: np.ndarray
    following: np.ndarray
    served: np.ndarray
    held: np.ndarray
    on: np.ndarray
    turn: np.ndarray
    opens: np.ndarray
    port: np.ndarray
    opening: np.ndarray
    behind: np.ndarray
    last: np.ndarray
    starved: np.ndarray
    touches: np.ndarray
    keeps: np.ndarray
    settled: np.ndarray


@dataclass(frozen=True, slots=True)
class Control:
    """The fetch unit and the queues."""

    queue_depth: int = 8
    issue_cycles: float = 1


@dataclass(slots=True)
class Timeline:
    """When what happened, in cycles. Arrays are over instructions in program order: `begin` and `end` of the time that
    an instruction occupied its engine, `done` when it was complete; 0 for control. `order` has the instructions in the
    order in which they were complete. `stalls` gives for each engine the idle cycles by cause: the engine whose token
    was the last to come, or one of FETCH, PREPARE, END."""

    engines: tuple[str, ...]
    cycles: int
    begin: np.ndarray
    end: np.ndarray
    done: np.ndarray
    order: list[int]
    stalls: dict[str, dict[str, float]] = field(default_factory=dict)

    def busy(self, work: Work) -> dict[str, float]:
        """Cycles that each engine was occupied: the sum of its spans."""
        spans = self.end - self.begin
        return {name: float(spans[work.engine == number].sum()) for number, name in enumerate(self.engines)}


Located = Callable[[int], str]
"""Where an instruction comes from, for a message."""


def simulate(
    work: Work, engines: Sequence[str], dram: Dram, control: Control, located: Located = lambda _: "code"
) -> Timeline:
    """Run the clock; HazardError when the stream can't go on, naming what each engine waits for."""
    return simulate_together((work,), engines, dram, control, located)[0]


def simulate_together(
    works: Sequence[Work],
    engines: Sequence[str],
    dram: Dram,
    control: Control,
    located: Located = lambda _: "code",
) -> list[Timeline]:
    """Run the clock of several cores, a stream each, which share the DRAM and nothing else; see `simulate`."""
    sharing, events = Sharing(dram), list[_Event]()
    cores = [_Core(n, work, engines, sharing, events, control) for n, work in enumerate(works)]
    for core in cores:
        core.fetch(0.0)
    while True:
        if events and events[0][0] <= sharing.time:
            time, _, _, happens, subject = heappop(events)
            happens(subject, time)
        elif sharing.owner >= 0:
            number, engine = divmod(sharing.owner, len(engines))
            cores[number].transferred(engine, sharing.time)
        else:
            break
    for core in cores:
        if core.open:
            raise HazardError("deadlock", problems=core.deadlock(located))
    return [core.timeline() for core in cores]


_Event = tuple[float, int, int, Callable[[Any, float], None], Any]
"""Time, core, running number, what happens, and to which engine or instruction."""
_NONE = -1


class _Engine:
    """One engine: its instructions, how many of them were fetched and taken up, when it is free, and the semaphore for
    which its head waits."""

    def __init__(self, name: str, number: int, members: list[int]):
        self.name, self.number, self.members = name, number, members
        self.fetched = self.taken = 0
        self.accepts = self.free = self.last_done = 0.0
        self.missing, self.transferring = _NONE, False
        self.at_port: deque[float] = deque([0.0] * AHEAD, AHEAD)  # when the last copies are complete there
        self.idle: dict[str, float] = {}

    def stands(self, until: float, cause: str) -> None:
        """It is idle until then, if it is free before."""
        if until > self.free:
            self.idle[cause] = self.idle.get(cause, 0.0) + (until - self.free)
            self.free = until


class _Core:
    """One core's state. It shares the DRAM, as one owner an engine, and the heap of events with others."""

    def __init__(
        self,
        number: int,
        work: Work,
        engines: Sequence[str],
        sharing: Sharing,
        events: list[_Event],
        control: Control,
    ):
        self.number, self.sharing, self.events, self.control = number, sharing, events, control
        self.size = len(work.engine)
        self.owner = work.engine.tolist()
        self.issue = (work.words * control.issue_cycles).tolist()
        self.waits = [_numbers(mask) for mask in work.wait.tolist()]
        self.signals = [_numbers(mask) for mask in work.signal.tolist()]
        self.lead, self.busy, self.tail, self.overlap = (
            each.tolist() for each in (work.lead, work.busy, work.tail, work.overlap)
        )
        self.transfer, self.port, self.opening = (
            each.tolist() for each in (work.transfer, work.port, work.opening)
        )
        self.behind, self.last, self.starved = (
            each.tolist() for each in (work.behind, work.last, work.starved)
        )
        self.asked = transfers(sharing.dram, work)
        self.settled = work.settled.tolist()
        self.engines = [
            _Engine(name, n, np.nonzero(work.engine == n)[0].tolist()) for n, name in enumerate(engines)
        ]
        self.tokens: list[deque[tuple[float, str]]] = [deque() for _ in range(SEMAPHORES)]
        self.arrival = [0.0] * self.size
        self.begin, self.end, self.done = ([0.0] * self.size for _ in range(3))
        self.order: list[int] = []
        self.open = sum(owner >= 0 for owner in self.owner)
        self.next_fetch, self.fetch_time = 0, 0.0
        self.pushed = 0

    def push(self, time: float, happens: Callable[[Any, float], None], subject: Any) -> None:
        """Something of this core happens then, behind what has been pushed before for the same time."""
        self.pushed += 1
        heappush(self.events, (time, self.number, self.pushed, happens, subject))

    def fetch(self, time: float) -> None:
        """Hand on instructions while queues have room; a barrier waits until all before it are complete."""
        depth = self.control.queue_depth
        while self.next_fetch < self.size:
            number = self.owner[self.next_fetch]
            if number == _BARRIER:
                if len(self.order) < sum(engine.fetched for engine in self.engines):
                    return
            elif number >= 0:
                engine = self.engines[number]
                if engine.fetched - engine.taken >= depth:
                    return
                engine.fetched += 1
            self.fetch_time = max(self.fetch_time, time) + self.issue[self.next_fetch]
            self.arrival[self.next_fetch] = self.fetch_time
            if number >= 0 and engine.fetched - engine.taken == 1:
                self.push(max(self.fetch_time, engine.accepts), self.take_up, engine)
            self.next_fetch += 1
            time = 0.0

    def take_up(self, engine: _Engine, time: float) -> None:
        """Start the instruction at the head of a queue, if it can."""
        if engine.taken == engine.fetched or engine.transferring:
            return
        instruction = engine.members[engine.taken]
        arrival = self.arrival[instruction]
        settled = engine.last_done if self.settled[instruction] else 0.0
        ready = max(arrival, engine.accepts, settled)
        if ready > time:
            self.push(ready, self.take_up, engine)
            return
        waits = self.waits[instruction]
        for semaphore in waits:
            if not self.tokens[semaphore]:
                engine.missing = semaphore
                return
        engine.missing = _NONE
        latest, cause = arrival, FETCH
        for semaphore in waits:
            when, producer = self.tokens[semaphore].popleft()
            if when >= latest:
                latest, cause = when, producer
        engine.taken += 1
        engine.stands(time, cause)
        engine.stands(time + self.lead[instruction], PREPARE)
        begin = self.begin[instruction] = engine.free
        end = begin + self.busy[instruction]
        if self.asked[instruction] is not None:
            engine.transferring = True
            self.push(end, self.begin_transfer, engine)
        else:
            self.finish(engine, instruction, end)
        self.fetch(time)

    def begin_transfer(self, engine: _Engine, time: float) -> None:
        """The instruction that an engine has taken up asks for DRAM."""
        instruction = engine.members[engine.taken - 1]
        asked = self.asked[instruction]
        assert asked is not None
        reopening = self.sharing.add(self.number * len(self.engines) + engine.number, time, asked)
        if reopening:
            self.transfer[instruction] += reopening
            self.opening[instruction] = max(self.opening[instruction], reopening)

    def transferred(self, number: int, time: float) -> None:
        """The transfer of an engine is complete."""
        engine = self.engines[number]
        self.sharing.remove(self.sharing.owner, time)
        engine.transferring = False
        self.finish(engine, engine.members[engine.taken - 1], float(-(-time // 1)))

    def finish(self, engine: _Engine, instruction: int, end: float) -> None:
        """The instruction occupies its engine until `end`."""
        engine.free = self.end[instruction] = end
        engine.accepts = max(engine.accepts, end - self.overlap[instruction])
        tail = self.tail[instruction]
        done = end + tail + self.last[instruction]
        if self.port[instruction]:
            come = self.come(instruction, end) + tail
            at_port = max(come, engine.at_port[-1] + self.port[instruction])
            done = max(done, self.held_back(instruction, end, at_port))
            engine.at_port.append(done)
            engine.accepts = max(engine.accepts, engine.at_port[0])
        engine.last_done = max(engine.last_done, done)
        self.push(engine.last_done, self.complete, instruction)
        if engine.taken < engine.fetched:
            self.push(engine.accepts, self.take_up, engine)

    def come(self, instruction: int, end: float) -> float:
        """When the port could have written a transfer if it had not to wait for the `tail`: it waits for the burst
        behind the first page that was closed, and for the first one behind a refresh."""
        dram, behind = self.sharing.dram, self.behind[instruction]
        start = self.begin[instruction]
        if not self.transfer[instruction]:
            return start + behind
        begin, over = dram.active(start), dram.active(end)
        part = self.opening[instruction] / self.transfer[instruction]
        opened = dram.wall(begin + part * (over - begin) + _INSTANT) + behind
        refreshes = dram.refreshes(end)
        again = refreshes * dram.refresh_every  # the end of the last refresh
        if end <= again or dram.refreshes(start) == refreshes:
            return opened
        before = (dram.active(again) - begin) / max(over - begin - dram.page_miss, 1.0)
        return max(opened, again + dram.page_miss + max(0.0, 1 - before) * behind)

    def held_back(self, instruction: int, end: float, done: float) -> float:
        """When a port is through that would be at `done`: DRAM brings no more than the buffer takes, so that refreshes
        come upon the transfer after `end` too, where it might have been complete."""
        starved, dram = self.starved[instruction], self.sharing.dram
        if not starved:
            return done
        read = done - BUFFERED * dram.burst / dram.bytes_per_cycle
        return done + starved * max(0, dram.refreshes(read) - dram.refreshes(end))

    def complete(self, instruction: int, time: float) -> None:
        """The instruction's effect is there: it signals."""
        self.done[instruction] = time
        self.order.append(instruction)
        self.open -= 1
        signals = self.signals[instruction]
        if signals:
            producer = self.engines[self.owner[instruction]].name
            for semaphore in signals:
                self.tokens[semaphore].append((time, producer))
            for engine in self.engines:
                if engine.missing in signals:
                    self.take_up(engine, time)
        if self.next_fetch < self.size and self.owner[self.next_fetch] == _BARRIER:
            self.fetch(time)

    def timeline(self) -> Timeline:
        cycles = ceil(max(self.done, default=0.0))
        for engine in self.engines:
            engine.stands(cycles, END)
        return Timeline(
            tuple(engine.name for engine in self.engines),
            cycles,
            np.array(self.begin),
            np.array(self.end),
            np.array(self.done),
            self.order,
            {engine.name: engine.idle for engine in self.engines},
        )

    def deadlock(self, located: Located) -> list[Problem]:
        """What the head of each queue waits for."""
        found = []
        for engine in self.engines:
            if engine.taken < engine.fetched:
                instruction = engine.members[engine.taken]
                missing = [str(each) for each in self.waits[instruction] if not self.tokens[each]]
                what = f"instruction {instruction} on {engine.name} waits for ever"
                why = f"{what}: semaphore {', '.join(missing)} has no token"
                found.append(Problem(located(instruction), why, "recompile the model"))
        return found


@lru_cache(1 << 12)
def _numbers(mask: int) -> tuple[int, ...]:
    """The semaphores of a mask."""
    if not mask:
        return ()
    return tuple(number for number in range(SEMAPHORES) if mask >> number & 1)
