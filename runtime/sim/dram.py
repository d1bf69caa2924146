"""DRAM time: what a strided transfer asks of the channels, and how concurrent transfers share them.

A channel reads whole bursts, opens a page wherever a transfer leaves the one before, and stands still for refresh.
Transfers in flight share channels fairly: a fluid model, exact between two changes of who is in flight, so that its
cost does not depend on the length of a transfer. Each stream is taken to have banks of its own, so streams don't close
one another's pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_SAMPLED_ROWS = 64


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

    def active(self, time: float) -> float:
        """Cycles until `time` in which it was not refreshing; each period ends with the refresh."""
        if not self.refresh_every:
            return time
        working = self.refresh_every - self.refresh_for
        periods = time // self.refresh_every
        return periods * working + min(time - periods * self.refresh_every, working)

    def wall(self, active: float) -> float:
        """The time at which that many cycles were active."""
        if not self.refresh_every:
            return active
        working = self.refresh_every - self.refresh_for
        periods = active // working
        return periods * self.refresh_every + (active - periods * working)


@dataclass(frozen=True, slots=True)
class Demand:
    """What transfers ask: active cycles when alone, the share of all channels they then take, and how the cycles come
    about: bytes in whole bursts, and pages opened. Arrays over transfers."""

    cycles: np.ndarray
    share: np.ndarray
    burst_bytes: np.ndarray
    pages: np.ndarray


def demand(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> Demand:
    """Of transfers of n2 planes of n1 rows of n0 bytes at strides s2, s1; i64 arrays, n1 * n2 = 0 for none.

    Bursts are those of the rows themselves; planes are taken to lie to the bursts as the first one does.
    """
    n0, n1, n2, s1, s2 = _joined(n0, n1, n2, np.abs(s1), np.abs(s2))
    rows = n1 * n2
    bursts = _bursts(dram.burst, address, n0, n1, s1) * n2
    used = _channels(dram, address, n0, n1, n2, s1, s2)
    pages = _pages(dram, address, n0, n1, n2, s1, s2, used)
    burst_bytes = bursts * dram.burst
    per_channel = dram.bytes_per_cycle / dram.channels
    cycles = burst_bytes / (used * per_channel) + pages / used * dram.page_miss
    share = used / dram.channels
    if dram.outstanding and dram.latency:
        limit = dram.outstanding * dram.burst / dram.latency
        if limit < per_channel:
            cycles, share = cycles * per_channel / limit, share * limit / per_channel
    return Demand(*(np.where(rows == 0, 0, each) for each in (cycles, share, burst_bytes, pages)))


def _joined(n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> tuple[np.ndarray, ...]:
    """Rows that follow one another become one; so do planes."""
    joined = (s1 == n0) & (n1 > 1)
    n0, n1 = np.where(joined, n0 * n1, n0), np.where(joined, 1, n1)
    single = n1 == 1
    n1, s1, n2 = np.where(single, n2, n1), np.where(single, s2, s1), np.where(single, 1, n2)
    joined = (s1 == n0) & (n1 > 1)
    n0, n1 = np.where(joined, n0 * n1, n0), np.where(joined, 1, n1)
    return n0, n1, n2, s1, s2


def _bursts(burst: int, address: Any, n0: Any, n1: Any, s1: Any) -> np.ndarray:
    """Bursts that the rows of a plane touch; the pattern of the first rows repeats."""
    row = np.arange(_SAMPLED_ROWS)
    start = (address[:, None] + row * s1[:, None]) % burst
    each = (start + n0[:, None] + burst - 1) // burst
    sums = np.cumsum(each, axis=1)
    rest = n1 % _SAMPLED_ROWS
    partial = np.where(rest > 0, sums[np.arange(len(n1)), rest - 1], 0)
    return n1 // _SAMPLED_ROWS * sums[:, -1] + partial


def _channels(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> np.ndarray:
    """Channels over which the rows are spread."""
    period = dram.interleave * dram.channels
    in_a_row = (address % dram.interleave + n0 + dram.interleave - 1) // dram.interleave
    starts = np.minimum(n1, period // np.maximum(np.gcd(s1, period), dram.interleave))
    planes = np.minimum(n2, period // np.maximum(np.gcd(s2, period), dram.interleave))
    spanned = ((n1 - 1) * s1 + (n2 - 1) * s2 + n0 + dram.interleave - 1) // dram.interleave + 1
    used = np.minimum(in_a_row * starts * planes, np.maximum(in_a_row, spanned))
    return np.clip(used, 1, dram.channels)


def _pages(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any, used: Any) -> np.ndarray:
    """Pages opened in all channels: a page of every channel holds page * channels bytes of the address space."""
    whole = dram.page * dram.channels
    row = (address % whole + n0 + whole - 1) // whole
    span = (n1 - 1) * s1 + n0
    plane = np.where(s1 <= whole, (address % whole + span + whole - 1) // whole, n1 * row)
    return plane * n2 * used


class Sharing:
    """Transfers in flight: who finishes when. Times are in cycles; owners are small numbers."""

    def __init__(self, dram: Dram):
        self.dram = dram
        self.left: dict[int, float] = {}
        self.share: dict[int, float] = {}
        self.clock = 0.0  # in active cycles, up to which `left` is right
        self.pace = 1.0

    def add(self, owner: int, time: float, cycles: float, share: float) -> None:
        """A transfer starts."""
        self._advance(time)
        self.left[owner], self.share[owner] = cycles, share
        self._repace()

    def remove(self, owner: int, time: float) -> None:
        """A transfer is complete."""
        self._advance(time)
        del self.left[owner], self.share[owner]
        self._repace()

    def next(self) -> tuple[float, int]:
        """When the first of the transfers in flight will be complete, and whose it is; infinite without any."""
        if not self.left:
            return float("inf"), -1
        owner = min(self.left, key=self.left.__getitem__)
        return self.dram.wall(self.clock + max(0.0, self.left[owner]) / self.pace), owner

    def _advance(self, time: float) -> None:
        clock = self.dram.active(time)
        done = (clock - self.clock) * self.pace
        for owner in self.left:
            self.left[owner] -= done
        self.clock = max(self.clock, clock)

    def _repace(self) -> None:
        total = sum(self.share.values())
        self.pace = 1.0 if total <= 1 else 1 / total
