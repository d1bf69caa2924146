"""DRAM burst by burst: channels that serve the copies of all engines in turn.

A channel moves a burst at a time, opens a page where an engine's bursts leave the one before, and has so many bursts
`outstanding` at most. At the end of each period it stands still for refresh, which closes all pages. An engine asks for
its bursts in order and is ahead of what a channel has served by a queue; what is read waits in a buffer for the
scratchpad's port, which goes on where it can. Bursts that engines take turns with are counted out at once until one of
them has no more. Times are in cycles.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .dram import Dram

_QUEUED = 8
"""Bursts of an engine that wait at a channel at most."""
_GATHERED = 3
"""And those of a store that are put together or wait for a queue."""
_NEVER = float("inf")
_NOWHERE, _PORT = -1, -2
"""Where a mover is held up that is at no channel."""


class _Part:
    """Bursts of a copy that follow one another on a channel, see `bursts.Parts`: how many are `left`, when the next
    one is `seen`, which takes `miss` cycles more where its page is closed, and how much later each one behind it.
    `first`, `last`: when these bursts are there, and `at_first`, `at_last`: cycles of the port from the copy's
    beginning to them. Behind it the port goes on with the mover's burst `until`, after `through` cycles. A copy's end
    has no bursts, but the `instruction`."""

    page: float
    leaves: float
    turn: float
    apart: float
    miss: float
    seen: float
    __slots__ = (
        "apart", "at_first", "at_last", "end", "first", "instruction", "last", "leaves", "left", "miss", "page", "seen",
        "through", "turn", "until",
    )  # fmt: skip

    def __init__(self, left: float, at_first: float, until: float):
        self.left, self.at_first, self.until = left, at_first, until
        self.first = self.last = self.end = self.at_last = -_NEVER
        self.instruction, self.through = -1, 0.0


class Mover:
    """One engine's copies, whose parts are those of `lists`, see `bursts.Parts.lists`.

    `asked(time)` is told when it has asked for all bursts of a copy, and `written(instruction, end, time)` when it is
    known that DRAM has served all of them at `end` and the port is through at `time`."""

    def __init__(
        self,
        memory: "Memory",
        lists: Sequence[Any],
        write: bool,
        asked: Callable[[float], None],
        written: Callable[[int, float, float], None],
    ):
        channels = len(memory.channels)
        self.memory, self.number, self.lists, self.write = memory, len(memory.movers), lists, write
        self.tell_asked, self.tell_written = asked, written
        self.queues: list[deque[_Part]] = [deque() for _ in range(channels)]
        self.open = [-1.0] * channels
        self.granted, self.asked = (
            [0.0] * channels,
            [0.0] * channels,
        )  # of all copies; of those before the one at hand
        self.held_at, self.needed = _NOWHERE, 0.0
        self.next, self.instruction, self.base, self.begin = -1, -1, 0.0, 0.0
        self.before = 0.0  # bursts of copies before the one at hand
        self.port: deque[_Part] = deque()
        self.port_begin = self.end = self.moved = 0.0
        self.releases: deque[tuple[float, float]] = deque()
        self.again = memory.dram.slots_free_again(write)

    def start(self, instruction: int, first: int, time: float) -> None:
        """It begins with a copy, whose parts are those from `first` on."""
        self.next, self.instruction, self.base = first, instruction, time
        self.begin = time + self.memory.registers
        self.ask(-_NEVER)

    def ask(self, since: float) -> None:
        """It asks for what it can; until then something kept it from that."""
        channels, bursts, page, leaves, turn, before, position, written, steps, apart, first, last = (
            self.lists
        )
        registers, granted, asked = self.memory.registers, self.granted, self.asked
        page_miss = self.memory.dram.page_miss
        slack = _QUEUED + _GATHERED if self.write else _QUEUED
        while True:
            part = self.next
            for number, count in enumerate(before[part]):
                need = asked[number] + count - slack
                if granted[number] < need:
                    self.held_at, self.needed = number, need
                    return
            need = self.before + written[part]
            if need > 0 and registers and not self.write:
                if need > self.moved:
                    self.held_at, self.needed = _PORT, need
                    return
                since = max(since, self.released(need) - registers)
            begin = self.base + steps[part]
            if since + registers > begin:
                self.base += since + registers - begin
                begin = since + registers
            if not bursts[part]:
                break
            each = _Part(bursts[part], first[part], self.before + position[part + 1])
            each.page, each.leaves, each.turn = page[part], leaves[part], turn[part]
            each.apart, each.miss = apart[part], page_miss
            if self.write:
                each.seen = begin + 4 * registers + last[part]
            else:
                each.seen = begin + 2 * registers
                each.at_last, each.through = last[part], first[part + 1]
            self.port.append(each)
            self.memory.channels[channels[part]].add(self, each)
            self.next = part + 1
        self.held_at = _NOWHERE
        for number, count in enumerate(before[part]):
            asked[number] += count
        self.before += position[part]
        end = _Part(0, first[part], self.before)
        end.instruction, end.seen = self.instruction, self.begin
        self.port.append(end)
        if len(self.port) == 1:
            self.move()
        self.tell_asked(begin + registers * (3 if self.write else 0))

    def released(self, bursts: float) -> float:
        """When so many have been written."""
        releases = self.releases
        while len(releases) > 1 and releases[1][0] < bursts:
            releases.popleft()
        if len(releases) < 2 or releases[0][0] >= bursts:
            return releases[0][1]
        (before, begin), (after, end) = releases[0], releases[1]
        return begin + (end - begin) * (bursts - before) / (after - before)

    def move(self) -> None:
        """What is there, in turn, goes through the port, from `port_begin` on if nothing held it back."""
        port, begin = self.port, self.port_begin
        while port and port[0].left <= 0:
            each = port.popleft()
            if each.end > self.end:
                self.end = each.end
            if self.write:
                begin = max(begin, each.last + 2 * self.memory.registers)
            else:
                begin = max(begin, each.first - each.at_first, each.last - each.at_last)
                self.moved = each.until
            if each.instruction >= 0:
                if not self.write:
                    begin = max(begin, each.seen) + each.at_first
                self.tell_written(each.instruction, self.end, begin)
            if not self.write:
                self.releases.append((each.until, begin + each.through))
        self.port_begin = begin
        if self.held_at == _PORT and self.moved >= self.needed:
            self.ask(-_NEVER)


class _Channel:
    """One channel: the movers that have bursts in its queues, when it is `free`, the time of its `next` grant at the
    earliest, when the places of bursts under way are free again, and the next refresh."""

    def __init__(self, number: int, dram: Dram):
        self.number, self.dram = number, dram
        self.movers: list[Mover] = []
        self.free, self.next, self.turn = 0.0, _NEVER, 0
        self.reopens = dram.page_miss + dram.cycles_of_a_burst
        self.places: deque[float] = deque(
            [-_NEVER] * (dram.outstanding if dram.scarce else 0), dram.outstanding or 1
        )
        self.stop = dram.working - (dram.latency > 0) if dram.refresh_every else _NEVER

    def add(self, mover: Mover, part: _Part) -> None:
        """A mover asks for bursts."""
        queue = mover.queues[self.number]
        queue.append(part)
        if len(queue) == 1:
            self.movers.append(mover)
            self.movers.sort(key=_number)
            if part.seen < self.next:
                self.next = max(self.free, part.seen)

    def refresh(self, time: float, movers: Sequence[Mover]) -> float:
        """The time after a refresh that has begun by then."""
        while time >= self.stop:
            over = self.stop + self.dram.refresh_for
            self.stop += self.dram.refresh_every
        for mover in movers:
            mover.open[self.number] = -1
        self.free = max(self.free, over)
        return max(time, over)

    def serve(self, time: float, limit: float) -> None:
        """The next bursts, as many turns as are alike and begin before `limit`."""
        number, movers = self.number, self.movers
        if len(movers) == 1:
            mover = movers[0]
            seen = mover.queues[number][0].seen
            if seen > time:
                self.next = seen
            else:
                self._grant_one(mover, time, limit)
            return
        later, turn = _NEVER, self.turn
        ready, behind = [], []
        for mover in movers:
            seen = mover.queues[number][0].seen
            if seen > time:
                if seen < later:
                    later = seen
            elif mover.number < turn:
                behind.append(mover)
            else:
                ready.append(mover)
        ready += behind
        if not ready:
            self.next = later
        elif len(ready) == 1:
            self._grant_one(ready[0], time, min(limit, later))
        else:
            self._grant(ready, time, min(limit, later))

    def _grant_one(self, mover: Mover, time: float, limit: float) -> None:
        """Bursts of one mover from then on, at least one."""
        number, places = self.number, self.places
        if places and places[0] > time:
            self.next = places[0]
            return
        part = mover.queues[number][0]
        opened, turn, count = time, part.turn, part.left
        if part.page != mover.open[number]:
            opened += part.miss
        if part.apart > turn:
            count = 1
        elif count > 1 and turn:
            count = min(count, max(1, -((opened - limit) // turn)))
            if places:
                count = min(count, self._found(opened, turn))
        self.free = self.next = end = opened + count * turn
        self.turn = mover.number + 1
        if places:
            self._occupy(opened + mover.again, turn, count)
            self.next = max(end, places[0])
        if part.first < 0:
            part.first = opened + mover.again
        self._granted(mover, part, count, end - turn if count > 1 else time, end, turn)

    def _grant(self, ready: list[Mover], time: float, limit: float) -> None:
        """Rounds of turns of several movers from then on, at least a turn of the first."""
        number, places = self.number, self.places
        parts = [mover.queues[number][0] for mover in ready]
        cycles = opening = slowest = 0.0
        rounds = _NEVER
        for mover, part in zip(ready, parts):
            cycles += part.turn
            if part.page != mover.open[number]:
                opening += part.miss
            if part.left < rounds:
                rounds = part.left
            if part.apart > slowest:
                slowest = part.apart
        if slowest > cycles:
            rounds = 1
        if cycles:
            rounds = min(rounds, (limit - time - opening) // cycles)
        if places:
            free = not opening and places[0] <= time
            rounds = min(rounds, free and self._found(time, cycles / len(ready)) // len(ready))
        if rounds < 1:
            self._grant_one(ready[0], time, min(limit, time + 1))
            return
        self.turn = ready[0].number
        self.free = self.next = time + opening + rounds * cycles
        if places:
            self._occupy(time + opening + ready[0].again, cycles / len(ready), int(rounds) * len(ready))
        begin, rest = time, (rounds - 1) * cycles  # pages are opened in the first round
        for mover, part in zip(ready, parts):
            last = begin
            if part.page != mover.open[number]:
                begin += part.miss
                opening -= part.miss
            if part.first < 0:
                part.first = begin + mover.again
            if rest:
                last = begin + opening + rest
            begin += part.turn
            end = begin + opening + rest if rest else begin
            self._granted(mover, part, rounds, last, end, cycles)

    def _granted(
        self, mover: Mover, part: _Part, count: float, last: float, end: float, cycles: float
    ) -> None:
        """A mover has got so many bursts, the last one at `last` and served until `end`, every so many cycles."""
        number = self.number
        left = part.left = part.left - count
        granted = mover.granted[number] = mover.granted[number] + count
        mover.open[number] = part.page = part.leaves
        if left <= 0:
            queue = mover.queues[number]
            queue.popleft()
            if not queue:
                self.movers.remove(mover)
            part.end = end
            part.last = end - part.turn + mover.again
            if part is mover.port[0]:
                mover.move()
        else:
            part.miss = self.reopens - part.turn
            if part.apart > cycles:
                part.seen += count * part.apart
        if mover.held_at == number and granted >= mover.needed:
            mover.ask(last - (granted - mover.needed) * cycles)

    def _found(self, time: float, cycles: float) -> int:
        """How many bursts from then on, so many cycles apart, find a place."""
        found = 0
        for place in self.places:
            if place > time + found * cycles:
                break
            found += 1
        return found

    def _occupy(self, time: float, cycles: float, count: float) -> None:
        """Places of bursts are free again from then on, one after another."""
        self.places.extend([time + n * cycles for n in range(int(count))])


def _number(mover: Mover) -> int:
    return mover.number


class Memory:
    """The channels of a chip's DRAM."""

    def __init__(self, dram: Dram):
        self.dram, self.registers = dram, int(dram.latency > 0)
        self.channels = [_Channel(number, dram) for number in range(dram.channels)]
        self.movers: list[Mover] = []

    def add(self, lists: Sequence[Any], write: bool, asked: Callable, written: Callable) -> Mover:
        """Another engine."""
        self.movers.append(Mover(self, lists, write, asked, written))
        return self.movers[-1]

    def serve(self, until: float) -> bool:
        """The next bursts of the channel that is first, those that are granted before `until`; False for none."""
        channel = self.channels[0]
        for other in self.channels:
            if other.next < channel.next:
                channel = other
        time = channel.next
        if time >= until:
            return False
        if time >= channel.stop:
            time = channel.next = channel.refresh(time, self.movers)
            if time >= until:
                return True
        channel.serve(time, min(until, channel.stop, self._known(channel)))
        return True

    def _known(self, channel: _Channel) -> float:
        """Until when it is known who asks a channel for bursts: movers that are held up at others may go on then."""
        known = _NEVER
        if len(self.channels) == 1:
            return known
        for mover in self.movers:
            at = mover.held_at
            if at >= 0 and at != channel.number:
                left = mover.needed - mover.granted[at]
                known = min(known, self.channels[at].next + left * self.dram.cycles_of_a_burst)
        return known
