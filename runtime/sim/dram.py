"""The figures of a chip's DRAM, which say how long it takes; what happens at it stands in `channels.py`.

A channel reads whole bursts, opens a page wherever a stream leaves the one before, and stands still for refresh at the
end of each period, which closes all pages. Each stream is taken to have banks of its own, so streams don't close one
another's pages.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from math import ceil
from typing import Any

from ..records import dataclass

_ROUNDING = 1e-9


@dataclass(frozen=True)
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
        known = {each.name: record[each.name] for each in fields(Dram) if record.get(each.name)}
        return Dram(**known)

    @cached_property
    def cycles_of_a_burst(self) -> float:
        """On its channel."""
        return self.burst * self.channels / self.bytes_per_cycle

    @cached_property
    def bursts_of_a_channel(self) -> int:
        """That follow one another before those of the next channel."""
        return max(1, self.interleave // self.burst)

    @property
    def asked_a_cycle(self) -> float:
        """Bursts that a stream asks for: one, or as many as all channels serve in a cycle. A memory without latency is
        asked for all at once."""
        return max(1.0, self.bytes_per_cycle / self.burst) if self.latency else float("inf")

    def slots_free_again(self, write: bool = False) -> float:
        """Cycles from a burst's grant, its page open, until another one may take its place: what is read leaves at the
        rate of all channels, what is written at that of its own. A memory without latency frees it at once."""
        ahead = 0 if write else 1 / self.channels
        return self.latency + (self.latency > 0) + self.cycles_of_a_burst * (1 - ahead)

    @cached_property
    def scarce(self) -> bool:
        """Whether bursts that follow one another in a page wait for places of those under way."""
        at_once = (self.outstanding or float("inf")) * self.cycles_of_a_burst
        return max(self.slots_free_again(), self.slots_free_again(True)) > at_once

    @cached_property
    def working(self) -> int:
        """Cycles between refreshes."""
        return max(1, self.refresh_every - self.refresh_for)

    def wall(self, active: float) -> float:
        """The time at which that many cycles were active."""
        if not self.refresh_every:
            return active
        working = self.working
        periods = max(0, ceil(active / working - _ROUNDING) - 1)
        return periods * self.refresh_every + (active - periods * working)
