"""DRAM time: what a strided transfer asks of the channels, and how concurrent transfers share them.

A channel reads whole bursts, opens a page wherever a stream leaves the one before, and stands still for refresh at the
end of each period, which closes all pages.
Transfers in flight take turns, a burst each: a fluid model, exact between two changes of who is in flight, so that its
cost does not depend on the length of a transfer. Each stream is taken to have banks of its own, so streams don't close
one another's pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

_SAMPLED_ROWS = 64
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Dram:
    """The figures of a chip's DRAM: bytes, bytes a cycle (of all channels), cycles, numbers."""

    bytes_per_cycle: float
    channels: int = 1
    interleave: int = 256
    latency: int = 0
    burst: int = 1
    page: int = 1 << 40
    page_miss: int = 0
    refresh_every: int = 0
    refresh_for: int = 0
    outstanding: int = 0

    @staticmethod
    def of(record: Mapping[str, Any]) -> "Dram":
        """From the record of a chip; fields that are not timing are left out, 0 for a page is none."""
        known = {name: record[name] for name in Dram.__slots__ if record.get(name)}
        return Dram(**known)

    @property
    def cycles_of_a_burst(self) -> float:
        """On its channel, which has at most `outstanding` bursts under way, whoever asked for them: each from its grant
        until its data begin to leave, latency later, at the rate of all channels."""
        alone = self.burst * self.channels / self.bytes_per_cycle
        if not self.outstanding:
            return alone
        return max(alone, (self.latency + alone - alone / self.channels) / self.outstanding)

    @property
    def working(self) -> int:
        """Cycles between refreshes."""
        return max(1, self.refresh_every - self.refresh_for)

    def refreshes(self, time: float) -> int:
        """How many have begun by then; a period ends with one."""
        return int((time + self.refresh_for) // self.refresh_every) if self.refresh_every else 0

    def active(self, time: float) -> float:
        """Cycles until `time` in which it was not refreshing; each period ends with the refresh."""
        if not self.refresh_every:
            return time
        working = self.working
        periods = time // self.refresh_every
        return periods * working + min(time - periods * self.refresh_every, working)

    def wall(self, active: float) -> float:
        """The time at which that many cycles were active."""
        if not self.refresh_every:
            return active
        working = self.working
        periods = max(0, ceil(active / working - _ROUNDING) - 1)
        return periods * self.refresh_every + (active - periods * working)


@dataclass(frozen=True, slots=True)
class Demand:
    """What transfers ask: active cycles when alone, the share of all channels they then take, and how the cycles come
    about: bytes in whole bursts, and pages opened; `opening`: cycles to open the page of the first burst; `reopening`:
    cycles more when a refresh has closed the page that the transfer before left open. Arrays over transfers."""

    cycles: np.ndarray
    share: np.ndarray
    burst_bytes: np.ndarray
    pages: np.ndarray
    opening: np.ndarray
    reopening: np.ndarray


def demand(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> Demand:
    """Of the transfers of one stream in order: n2 planes of n1 rows of n0 bytes at strides s2, s1; i64 arrays,
    n1 * n2 = 0 for none.

    Bursts are those of the rows themselves; planes are taken to lie to the bursts as the first one does.
    """
    rows = n1 * n2
    kept = _kept_open(dram, address, n0, n1, n2, s1, s2)
    n0, n1, n2, s1, s2 = _joined(n0, n1, n2, np.abs(s1), np.abs(s2))
    bursts = _bursts(dram.burst, address, n0, n1, n2, s1, s2)
    used = _channels(dram, address, n0, n1, n2, s1, s2)
    pages = np.maximum(_pages(dram, address, n0, n1, n2, s1, s2) - kept, 0) * used
    burst_bytes = bursts * dram.burst
    cycles = bursts / used * dram.cycles_of_a_burst + pages / used * dram.page_miss
    share = used / dram.channels
    found = (cycles, share, burst_bytes, pages, ~kept * dram.page_miss, kept * dram.page_miss)
    return Demand(*(np.where(rows == 0, 0, each) for each in found))


def _joined(n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> tuple[np.ndarray, ...]:
    """Rows that follow one another become one; so do planes."""
    joined = (s1 == n0) & (n1 > 1)
    n0, n1 = np.where(joined, n0 * n1, n0), np.where(joined, 1, n1)
    single = n1 == 1
    n1, s1, n2 = np.where(single, n2, n1), np.where(single, s2, s1), np.where(single, 1, n2)
    joined = (s1 == n0) & (n1 > 1)
    n0, n1 = np.where(joined, n0 * n1, n0), np.where(joined, 1, n1)
    return n0, n1, n2, s1, s2


def _bursts(burst: int, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> np.ndarray:
    """Bursts that the rows touch, one that two successive rows share once. The pattern of the first rows repeats, or
    that of the first planes where they have few rows."""
    few = n1 <= _SAMPLED_ROWS // 2
    planes = np.where(few, _SAMPLED_ROWS // np.maximum(n1, 1), 1)
    rows, repeated = np.where(few, planes * n1, _SAMPLED_ROWS), np.where(few, planes * s2, _SAMPLED_ROWS * s1)
    number = np.arange(_SAMPLED_ROWS)
    inner = np.where(few[:, None], number % np.maximum(n1, 1)[:, None], number)
    outer = np.where(few[:, None], number // np.maximum(n1, 1)[:, None], 0)
    start = address[:, None] + inner * s1[:, None] + outer * s2[:, None]
    first, last = start // burst, (start + n0[:, None] - 1) // burst
    each = last - first + 1
    each[:, 1:] -= first[:, 1:] == last[:, :-1]
    sums = np.cumsum(each, axis=1)
    total, again = np.where(few, n1 * n2, n1), np.arange(len(n1))
    rest = total % np.maximum(rows, 1)
    partial = np.where(rest > 0, sums[again, rest - 1], 0)
    seam = (address + repeated) // burst == last[again, rows - 1]
    counted = total // np.maximum(rows, 1) * sums[again, rows - 1] + partial
    counted -= seam * np.maximum((total - 1) // np.maximum(rows, 1), 0)
    return np.where(few, counted, counted * n2)


def _channels(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> np.ndarray:
    """Channels over which the rows are spread."""
    period = dram.interleave * dram.channels
    in_a_row = (address % dram.interleave + n0 + dram.interleave - 1) // dram.interleave
    starts = np.minimum(n1, period // np.maximum(np.gcd(s1, period), dram.interleave))
    planes = np.minimum(n2, period // np.maximum(np.gcd(s2, period), dram.interleave))
    spanned = ((n1 - 1) * s1 + (n2 - 1) * s2 + n0 + dram.interleave - 1) // dram.interleave + 1
    used = np.minimum(in_a_row * starts * planes, np.maximum(in_a_row, spanned))
    return np.clip(used, 1, dram.channels)


def _pages(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> np.ndarray:
    """Pages opened: a page of every channel holds page * channels bytes of the address space."""
    whole = dram.page * dram.channels

    def reached(size: Any) -> Any:
        return (address % whole + size + whole - 1) // whole

    span = (n1 - 1) * s1 + n0
    plane = np.where(s1 <= whole, reached(span), n1 * reached(n0))
    onwards = (s1 <= whole) & (s2 <= whole) & (s2 >= span)
    return np.where(onwards, reached((n2 - 1) * s2 + span), plane * n2)


def _kept_open(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> np.ndarray:
    """Whether a transfer begins in the page in which the one before it ended."""
    whole = dram.page * dram.channels
    end = address + (n2 - 1) * s2 + (n1 - 1) * s1 + n0 - 1
    some = np.nonzero(n1 * n2 > 0)[0]
    kept = np.zeros(len(address), bool)
    kept[some[1:]] = address[some[1:]] // whole == end[some[:-1]] // whole
    return kept


class Sharing:
    """Transfers in flight: who finishes when. Times are in cycles; owners are small numbers. A refresh closes the page
    of each that is in flight, which takes `page_miss` to open again."""

    def __init__(self, dram: Dram):
        self.dram = dram
        self.left: dict[int, float] = {}
        self.share: dict[int, float] = {}
        self.clock = 0.0  # in active cycles, up to which `left` is right
        self.refreshes = 0  # up to then
        self.pace: dict[int, float] = {}
        self.ended: dict[int, int] = {}  # refreshes before the last transfer of each owner was complete
        self.first: tuple[float, int] | None = None  # what `next` says, until who is in flight changes

    def add(self, owner: int, time: float, cycles: float, share: float, reopening: float = 0.0) -> None:
        """A transfer starts; it takes `reopening` cycles more if there was a refresh since the owner's last one."""
        self._advance(time)
        closed = self.refreshes > self.ended.get(owner, 0)
        self.left[owner], self.share[owner] = cycles + (reopening if closed else 0.0), share
        self._repace()

    def remove(self, owner: int, time: float) -> None:
        """A transfer is complete."""
        self._advance(time)
        rest = self.left.pop(owner)
        del self.share[owner]
        for other in self.left:
            self.left[other] += rest / len(self.left)
        self.ended[owner] = self.refreshes
        self._repace()

    def next(self) -> tuple[float, int]:
        """When the first of the transfers in flight will be complete, and whose it is; infinite without any."""
        if not self.left:
            return float("inf"), -1
        if self.first is None:
            until, owner = min((self._until(owner), owner) for owner in self.left)
            self.first = self.dram.wall(until), owner
        return self.first

    def _until(self, owner: int) -> float:
        """The active cycle in which a transfer will be complete, the pages opened again that refreshes close."""
        pace, working = self.pace[owner], self.dram.working
        left = max(0.0, self.left[owner] - self._ahead(owner))
        if not self.dram.refresh_every:
            return self.clock + left / pace
        refresh = (self.refreshes + 1) * working
        if self.clock + left / pace <= refresh + _ROUNDING:
            return self.clock + left / pace
        left += self.dram.page_miss - (refresh - self.clock) * pace
        a_period = max(working * pace - self.dram.page_miss, 1.0)
        periods = max(0, ceil((left - working * pace) / a_period - _ROUNDING))
        return refresh + periods * working + (left - periods * a_period) / pace

    def _ahead(self, owner: int) -> float:
        """By how much its last burst comes before what it has at an even pace: turns are whole bursts, and its own is
        in the middle of a round on the average. Who is left then makes up for it."""
        return self.dram.cycles_of_a_burst * (1 - self.pace[owner]) / 2

    def _advance(self, time: float) -> None:
        clock, refreshes = self.dram.active(time), self.dram.refreshes(time)
        reopened = (refreshes - self.refreshes) * self.dram.page_miss
        for owner in self.left:
            self.left[owner] += reopened - (clock - self.clock) * self.pace[owner]
        self.clock, self.refreshes = max(self.clock, clock), max(self.refreshes, refreshes)

    def _repace(self) -> None:
        """Who asks for less than an equal part gets it whole; the others share what is left."""
        room, waiting = 1.0, len(self.share)
        self.pace, self.first = {}, None
        for owner, share in sorted(self.share.items(), key=lambda each: each[1]):
            given = min(share, room / waiting)
            self.pace[owner] = given / share if share > 0 else 1.0
            room, waiting = room - given, waiting - 1
