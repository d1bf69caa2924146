"""Time: engines with in-order queues, a fetch unit, counting semaphores, and DRAM shared by those that move data.

Instructions are fetched in program order, `issue_cycles` for each word, into their engines' queues, which hold
`queue_depth` each; a full queue stalls the fetch unit. An engine takes up an instruction when it is at the head, all
its semaphores have a token, and the engine accepts it; it then prepares (`lead`), occupies the engine (`busy`, or as
long as its transfer takes), and is complete `tail` cycles later, when it signals. The simulation costs a few heap
operations an instruction.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import field, fields
from functools import lru_cache, partial
from heapq import heappop, heappush
from math import ceil
from typing import Any

import numpy as np

from ..errors import Problem
from ..records import dataclass
from .bursts import Parts
from .channels import Memory, Mover
from .dram import Dram
from .errors import HazardError
from .fields import SEMAPHORES

FETCH, PREPARE, END = "fetch", "prepare", "end"
"""Causes of a stall that are no engine: its instructions are not fetched yet; preparation that nothing hides; no more
work until the end of the entry."""
_BARRIER = -2
_LOADS, _STORES = 3, 15
"""Copies of an engine that have begun and are not complete at the scratchpad's port, at most."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a stream asks of a chip, arrays over its instructions in program order.

    `engine` numbers the engine, -1 for halt and -2 for a barrier. `wait` and `signal` are masks. `words` are those that
    the fetch unit reads. `lead`, `busy` and `tail` are cycles; `overlap`: how long before the end of `busy` the engine
    accepts the next one's preparation. A copy asks for DRAM after `busy` cycles of overhead: `first` is the first of
    its own in `parts`, -1 for what is none; `transfer` and `port` are about what it takes by itself of DRAM and of the
    scratchpad's port. `write` is 1 for a copy to DRAM. `settled` is 1 where all that the
    engine did before must be complete first.
    """

    engine: np.ndarray
    wait: np.ndarray
    signal: np.ndarray
    words: np.ndarray
    lead: np.ndarray
    busy: np.ndarray
    tail: np.ndarray
    overlap: np.ndarray
    settled: np.ndarray
    transfer: np.ndarray
    port: np.ndarray
    first: np.ndarray
    write: np.ndarray
    parts: Parts

    def of(self, instructions: Sequence[int]) -> "Work":
        """What some of the instructions ask, in that order."""
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        return Work(
            **{name: each if name == "parts" else each[instructions] for name, each in columns.items()}
        )


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
    events: list[_Event] = []
    memory = Memory(dram)
    cores = [_Core(n, work, engines, memory, events, control) for n, work in enumerate(works)]
    for core in cores:
        core.fetch(0.0)
    while True:
        until = events[0][0] if events else _NEVER
        if memory.serve(until):
            continue
        if events:
            time, _, _, happens, subject = heappop(events)
            happens(subject, time)
        else:
            break
    for core in cores:
        if core.open:
            raise HazardError("deadlock", problems=core.deadlock(located))
    return [core.timeline() for core in cores]


_Event = tuple[float, int, int, Callable[[Any, float], None], Any]
"""Time, core, running number, what happens, and to which engine or instruction."""
_NONE = -1
_NEVER = float("inf")


class _Engine:
    """One engine: its instructions, how many of them were fetched and taken up, when it is free, and the semaphore for
    which its head waits."""

    def __init__(self, name: str, number: int, members: list[int]):
        self.name, self.number, self.members = name, number, members
        self.fetched = self.taken = 0
        self.accepts = self.free = self.last_done = 0.0
        self.missing = _NONE
        self.asking, self.flying = False, 0  # for bursts of a copy; copies that are not known to be complete
        self.mover: Mover | None = None
        self.at_port: deque[float] = deque(
            [0.0]
        )  # when the last copies are through there, as many as may be under way
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
        memory: Memory,
        events: list[_Event],
        control: Control,
    ):
        self.number, self.memory, self.events, self.control = number, memory, events, control
        self.size = len(work.engine)
        self.owner = work.engine.tolist()
        self.issue = (work.words * control.issue_cycles).tolist()
        self.waits = [_numbers(mask) for mask in work.wait.tolist()]
        self.signals = [_numbers(mask) for mask in work.signal.tolist()]
        self.lead, self.busy, self.tail, self.overlap = (
            each.tolist() for each in (work.lead, work.busy, work.tail, work.overlap)
        )
        self.first = work.first.astype(int).tolist()
        self.settled = work.settled.tolist()
        self.engines = [
            _Engine(name, n, np.nonzero(work.engine == n)[0].tolist()) for n, name in enumerate(engines)
        ]
        lists = work.parts.lists()
        for engine in self.engines:
            copies = [each for each in engine.members if self.first[each] >= 0]
            if copies:
                asked, written = partial(self.asked, engine), partial(self.written, engine)
                ahead = _STORES if work.write[copies[0]] else _LOADS
                engine.at_port = deque([0.0] * ahead, ahead)
                engine.mover = memory.add(lists, bool(work.write[copies[0]]), asked, written)
        self.tokens: list[deque[tuple[float, str]]] = [deque() for _ in range(SEMAPHORES)]
        self.arrival = [0.0] * self.size
        self.latency = memory.dram.latency + memory.registers
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
        if engine.taken == engine.fetched or engine.asking or engine.flying == len(engine.at_port):
            return
        instruction = engine.members[engine.taken]
        arrival = self.arrival[instruction]
        settled = 0.0
        if self.settled[instruction]:
            if engine.flying:
                return
            settled = engine.at_port[-1] if engine.mover is not None else engine.last_done
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
        if not engine.flying:
            engine.stands(time, cause)
            engine.stands(time + self.lead[instruction], PREPARE)
        if self.first[instruction] >= 0:
            self.begin[instruction] = time
            engine.asking = True
            engine.flying += 1
            self.push(time + self.busy[instruction], self.begin_copy, engine)
        else:
            begin = self.begin[instruction] = engine.free
            self.finish(engine, instruction, begin + self.busy[instruction])
        self.fetch(time)

    def begin_copy(self, engine: _Engine, time: float) -> None:
        """The instruction that an engine has taken up asks for DRAM."""
        instruction = engine.members[engine.taken - 1]
        assert engine.mover is not None
        engine.mover.start(instruction, self.first[instruction], time)

    def asked(self, engine: _Engine, time: float) -> None:
        """An engine has asked for all of a copy: it takes up the next one."""
        engine.asking = False
        engine.accepts = max(engine.accepts, time)
        self.next_copy(engine)

    def written(self, engine: _Engine, instruction: int, end: float, port: float) -> None:
        """DRAM has served a copy at `end`, and the port is through with it at `port`."""
        end, port = float(-(-end // 1)), float(-(-port // 1))
        engine.flying -= 1
        begin = self.begin[instruction] = max(self.begin[instruction], engine.free)
        engine.free = self.end[instruction] = max(begin, end)
        engine.at_port.append(port)
        engine.last_done = max(engine.last_done, port + self.tail[instruction] - self.latency)
        self.push(engine.last_done, self.complete, instruction)
        self.next_copy(engine)

    def next_copy(self, engine: _Engine) -> None:
        """An engine takes up what comes next once it has asked for all before, of which few are under way."""
        under_way = engine.flying
        if not engine.asking and under_way < len(engine.at_port):
            engine.accepts = max(engine.accepts, engine.at_port[under_way])
            if engine.taken < engine.fetched:
                self.push(engine.accepts, self.take_up, engine)

    def finish(self, engine: _Engine, instruction: int, end: float) -> None:
        """The instruction occupies its engine until `end`."""
        engine.free = self.end[instruction] = end
        engine.accepts = max(engine.accepts, end - self.overlap[instruction])
        engine.last_done = max(engine.last_done, end + self.tail[instruction])
        self.push(engine.last_done, self.complete, instruction)
        if engine.taken < engine.fetched:
            self.push(engine.accepts, self.take_up, engine)

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
