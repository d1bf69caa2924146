"""DRAM time: the figures of a chip's, and how concurrent transfers share it; what each asks stands in `demand.py`.

A channel reads whole bursts, opens a page wherever a stream leaves the one before, and stands still for refresh at the
end of each period, which closes all pages.
Transfers in flight take turns, a burst each: a fluid model, exact between two changes of who is in flight, so that its
cost does not depend on the length of a transfer. Each stream is taken to have banks of its own, so streams don't close
one another's pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from math import ceil, exp
from typing import Any

import numpy as np

from ..records import dataclass

_ROUNDING = 1e-9
BUFFERED = 62
"""Bursts that a copy engine holds for its port at most."""
_AT_ONCE = 2.5
"""Cycles from one transfer to the next of an engine that has it ready: whole ones, and one to take it up."""


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

    def on_channels(self, bursts: np.ndarray) -> np.ndarray:
        """Of so many bursts from address 0 on those that each channel has, along a new last axis."""
        run = self.bursts_of_a_channel
        turns, rest = np.divmod(bursts, run * self.channels)
        first = run * np.arange(self.channels)
        return turns[..., None] * run + np.clip(rest[..., None] - first, 0, run)

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

    @property
    def without(self) -> int:
        """Cycles from the last burst that is back before a refresh to the first one behind it."""
        return self.refresh_for + self.page_miss + self.latency

    def served(self, bursts: np.ndarray, pages: np.ndarray) -> np.ndarray:
        """Cycles of a channel for so many bursts and pages opened."""
        return bursts * self.cycles_of_a_burst + pages * self.page_miss

    def gap(self, write: bool = False) -> float:
        """Cycles that a channel waits for each `outstanding` bursts that follow one another in a page."""
        at_once = (self.outstanding or np.inf) * self.cycles_of_a_burst
        return max(0.0, self.slots_free_again(write) - at_once)

    def held(self, bursts: np.ndarray, pages: np.ndarray, write: bool) -> np.ndarray:
        """Cycles in which places of bursts under way are taken, of which a channel has `outstanding` for all."""
        slots = bursts / (self.outstanding or np.inf)
        return slots * self.slots_free_again(write) + np.minimum(slots, pages) * self.page_miss

    @cached_property
    def working(self) -> int:
        """Cycles between refreshes."""
        return max(1, self.refresh_every - self.refresh_for)

    def refreshes(self, time: float) -> int:
        """How many have begun by then; a period ends with one."""
        return int((time + self.refresh_for) // self.refresh_every) if self.refresh_every else 0

    def refreshing(self, time: float) -> bool:
        """Whether one is going on."""
        return bool(self.refresh_every) and time % self.refresh_every >= self.working

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


@dataclass(slots=True, eq=False)
class Transfer:
    """What one transfer asks, see `demand.Demand`, and how it goes while it is in flight.

    `spare`: cycles that it takes less where nothing is under way, as no burst waits for another one's place. A refresh
    closes its page, which costs `reopens` cycles if the next burst would not have opened one anyway, less those waits;
    a burst that was being served is, half of one on the average. `opens` and `together`: cycles of its turns that
    belong to bursts which open a page, and the part of its time that it saves if others open theirs before those are
    back.

    `left` are the cycles that are to come, `pace` how fast they go by, `again` how many a refresh adds.
    """

    cycles: float
    following: float
    served: float
    held: float
    on: Sequence[float]
    turn: float
    touches: int
    keeps: int
    spare: float
    reopens: float
    opens: float
    together: float
    owner: int = -1
    left: float = 0.0
    pace: float = 1.0
    again: float = 0.0

    def follow(self) -> None:
        """It follows on the one before at once: a channel that was through earlier has begun with its bursts."""
        part = self.following / self.cycles
        self.cycles, self.served, self.held = self.following, self.served * part, self.held * part
        self.on = [min(1.0, each / part) for each in self.on]

    def reopen(self, page_miss: float, channels: int) -> None:
        """So many channels have closed the pages that it would have gone on in: bursts that open them have longer
        turns."""
        bursts = sum(self.on) * self.cycles / self.turn
        self.turn += channels * page_miss / bursts
        self.opens += self.turn * min(1.0, channels / bursts)


def transfers(dram: Dram, work: Any) -> list[Transfer | None]:
    """Those of instructions, whose columns are those of `events.Work`; None where there is none."""
    found: list[Transfer | None] = [None] * len(work.transfer)
    chosen = np.nonzero(work.transfer > 0)[0]
    names = ("transfer", "following", "served", "held", "on", "turn")
    asked = [getattr(work, name)[chosen] for name in names]
    cycles, _, served, _, _, turn = asked
    opens, touches, keeps = (
        work.opens[chosen],
        work.touches[chosen].astype(int),
        work.keeps[chosen].astype(int),
    )
    gap = np.maximum(np.minimum(cycles - served, dram.gap()), 0.0)
    windows = (
        cycles / turn / (dram.outstanding or np.inf)
    )  # behind the last one nothing waits, however small it is
    spare, reopens = gap * (1 - (np.ceil(windows) - windows)), dram.page_miss * (1 - opens) - gap
    together = np.minimum(gap, dram.page_miss) * opens / turn
    columns = (*asked, touches, keeps, spare, reopens, opens * turn, together)
    for place, each in zip(chosen.tolist(), map(Transfer, *(column.tolist() for column in columns))):
        found[place] = each
    return found


class Sharing:
    """Transfers in flight: who finishes when. Times are in cycles; owners are small numbers. A refresh closes the page
    of each that is in flight, which takes `page_miss` to open again.

    `time` is when the first of the transfers in flight will be complete, and `owner` whose it is; infinite and -1
    without any."""

    def __init__(self, dram: Dram):
        self.dram = dram
        self.flights: list[Transfer] = []
        self.clock = 0.0  # in active cycles, up to which what is left of the flights is right
        self.refreshes = 0  # up to then
        self.idle = -float("inf")  # since when, where nothing is in flight
        self.ended: dict[int, float] = {}  # when the last transfer of each owner was complete
        self.closed: dict[int, int] = {}  # masks of channels that each owner has not touched since a refresh
        self.time, self.owner = float("inf"), -1

    def add(self, owner: int, time: float, transfer: Transfer) -> float:
        """A transfer starts; cycles in which it opens pages that a refresh has closed."""
        self._advance(time)
        earlier = transfer.following < transfer.cycles
        if earlier and not self.flights and time < self.ended.get(owner, 0) + _AT_ONCE:
            transfer.follow()
        closed = self.closed.get(owner, 0)
        reopened = closed & transfer.keeps
        reopening = self.dram.page_miss if reopened else 0.0
        if reopened:
            transfer.reopen(reopening, reopened.bit_count())
        self.closed[owner] = closed & ~transfer.touches
        transfer.owner, transfer.left = owner, transfer.cycles + reopening
        if not self.flights and transfer.spare:
            transfer.left -= transfer.spare * min(1.0, (time - self.idle) / self.dram.slots_free_again())
        self.flights.append(transfer)
        self._repace()
        return reopening

    def remove(self, owner: int, time: float) -> None:
        """A transfer is complete."""
        self._advance(time)
        flight = next(each for each in self.flights if each.owner == owner)
        self.flights.remove(flight)
        rest = flight.left
        if self.dram.refreshing(time):
            rest, self.closed[owner] = 0.0, -1
        for other in self.flights:
            other.left += rest / len(self.flights)
        self.idle = self.ended[owner] = time
        self._repace()

    def _advance(self, time: float) -> None:
        clock, refreshes = self.dram.active(time), self.dram.refreshes(time)
        more, elapsed = refreshes - self.refreshes, clock - self.clock
        for flight in self.flights:
            flight.left += more * flight.again - elapsed * flight.pace
        if more > 0:
            self.closed = dict.fromkeys(self.closed, -1)
            self.closed |= {flight.owner: ~flight.touches for flight in self.flights}
            self.refreshes = refreshes
        if elapsed > 0:
            self.clock = clock

    def _repace(self) -> None:
        """A transfer is as fast as it can be on the channel that lets it least; those most asked for come first."""
        self.time, self.owner = float("inf"), -1
        if not self.flights:
            return
        for flight in self.flights:
            flight.pace = 1.0
        if len(self.flights) > 1:
            channels = dict.fromkeys(zip(*[flight.on for flight in self.flights]))
            for parts in sorted(channels, key=sum, reverse=True):
                self._divide(parts)
        for flight in self.flights:
            flight.again = flight.reopens - flight.pace * self.dram.cycles_of_a_burst / 2
        self.time, self.owner = min([(self._until(flight), flight.owner) for flight in self.flights])

    def _divide(self, parts: Sequence[float]) -> None:
        """A channel, on which transfers are for `parts` of their time: who asks for less than its turns are of all gets
        it whole; the others share what is left. Where some are held by bursts that are under way, others go on
        meanwhile; and the pages of two that are opened within as many bursts as may be under way cost the wait for
        those once."""
        if sum(parts) <= 1:
            return
        present = sorted(
            [
                (flight.pace * part / flight.turn, flight.owner, flight)
                for flight, part in zip(self.flights, parts)
                if part
            ]
        )
        flights = [flight for *_, flight in present]
        room, turns = 1.0, sum([flight.turn for flight in flights])
        served = held = 0.0
        slower = []
        for appetite, _, flight in present:
            asked = appetite * flight.turn
            given = min(asked, room * flight.turn / turns)
            slower.append(given / asked)
            served += given * flight.served / flight.cycles
            held += given * (flight.held / flight.cycles - self._together(flight, flights))
            room, turns = room - given, turns - flight.turn
        faster = 1 / max(served, held)
        for flight, pace in zip(flights, slower):
            flight.pace *= min(1.0, pace * faster)

    def _together(self, flight: Transfer, present: Sequence[Transfer]) -> float:
        """The part of its time that a transfer saves because others open pages."""
        if not flight.together or len(present) == 1:
            return 0.0
        others = sum([each.opens for each in present]) - flight.opens
        bursts = (self.dram.outstanding - 1) / sum([each.turn for each in present])
        return flight.together * (1 - exp(-bursts * others))

    def _until(self, flight: Transfer) -> float:
        """When a transfer will be complete, the pages opened again that refreshes close. A refresh waits for the burst
        that is being served.

        A transfer's last burst comes before what it has at an even pace: turns are whole bursts, and its own is in the
        middle of a round on the average. Who is left then makes up for it."""
        dram, pace = self.dram, flight.pace
        left = max(0.0, flight.left - dram.cycles_of_a_burst * (1 - pace) / 2)
        refresh = (self.refreshes + 1) * dram.working
        if not dram.refresh_every or self.clock + left / pace <= refresh + _ROUNDING:
            return dram.wall(self.clock + left / pace)
        left -= (refresh - self.clock) * pace
        if left <= dram.cycles_of_a_burst * pace:
            return dram.wall(refresh) + left / pace
        left += flight.again
        a_period = max(dram.working * pace - flight.again, 1.0)
        periods = max(0, ceil((left - dram.working * pace) / a_period - _ROUNDING))
        return dram.wall(refresh + periods * dram.working + (left - periods * a_period) / pace)
