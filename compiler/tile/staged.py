"""Tiling for chips whose memories software fills: which tiles lie where, how large, loaded how often.

No chip and no op is named. Candidates are loop orders times depths of holds; all tile sizes of one such pair are costed
at once, as numpy arrays. Engines and home's transfers work side by side, so the slowest of them counts, plus what can't
overlap; what an engine takes for a box stands in `work.py`.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product as cartesian
from math import ceil, prod
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..diagnostics import UnsupportedError
from ..target.description import Target
from .assumption import AS_IT_IS, Assumption
from .candidates import INSTRUCTION, Candidates
from .schedule import Hold, Loop, Place, Schedule
from .spines import Cut, spines
from .stage import LOCAL, OUTPUT, Kernel

HANDOVER = 40
"""Cycles from the end of a copy to the beginning of its use and back."""

PIECES = 2
"""How many turns a tile counts for that is worked on in pieces."""

MOST_PLACES = 8
"""Places of a buffer at most, beyond those that it needs: addresses that take turns make bodies of loops longer."""


@dataclass(frozen=True)
class Overlap:
    """Predicted cycles: each engine's and home's own, which overlap, and what comes before and after them."""

    parts: Mapping[str, float]
    prologue: float

    @property
    def cycles(self) -> float:
        parts = list(self.parts.values())
        return max(parts) + 0.02 * (sum(parts) - max(parts)) + self.prologue


def _overlapped(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Cycles of parts that overlap, for each candidate; see `Overlap`."""
    top = reduce(np.maximum, parts)
    return top + 0.02 * (sum(parts) - top)


def _first_turn(parts: Sequence[np.ndarray], turns: np.ndarray) -> np.ndarray:
    """Cycles by which engines that take turns are apart: one begins when the one before has its first tile."""
    return (sum(parts) - reduce(np.maximum, parts)) / turns


def _one(cycles: np.ndarray, number: int, place: int) -> float:
    """What is so for one assumption and one candidate, in an array over both or over candidates."""
    return float(cycles[place] if cycles.ndim == 1 else cycles[number, place])


@dataclass(frozen=True)
class StagedChoice:
    """A schedule and what it is predicted to cost."""

    schedule: Schedule
    estimate: Overlap


@dataclass(frozen=True)
class _Found:
    """A candidate that was the cheapest so far: its loops, their tiles' sizes, where buffers are held and in how many
    places."""

    dims: Sequence[Cut]
    order: tuple[str, ...]
    sizes: Mapping[str, int]
    holds: Mapping[str, int]
    slots: Mapping[str, int]
    estimate: Overlap


@dataclass(frozen=True)
class _Move:
    """What the tiles of a buffer at one depth take, for each candidate: home's cycles, those of the engine `queue` that
    does the copies, what comes before and after all, and what tiles in two places allow: one is filled only when it has
    been used, so two turns take a copy and its use."""

    queue: str
    cycles: np.ndarray
    queued: np.ndarray
    ends: np.ndarray
    turnaround: np.ndarray


def stage_tiles(kernel: Kernel, target: Target) -> StagedChoice:
    """The cheapest schedule; UnsupportedError where nothing fits the target's memories."""
    (choice,) = stage_tiles_for(kernel, target, (AS_IT_IS,))
    if choice is None:
        raise UnsupportedError(f"no tiles of kernel {kernel.name} fit the memories of {target.name}")
    return choice


def stage_tiles_for(
    kernel: Kernel, target: Target, assumptions: Sequence[Assumption]
) -> list[StagedChoice | None]:
    """The cheapest schedule under each assumption, None where nothing fits; UnsupportedError for what has no engine."""
    return Staging(kernel, target, assumptions).choices()


class Staging(Candidates):
    """The choice of schedules for one kernel on one target; see `stage_tiles_for`."""

    def __init__(self, kernel: Kernel, target: Target, assumptions: Sequence[Assumption]):
        super().__init__(kernel, target, assumptions)
        self.share = np.array([[each.share] for each in assumptions])
        self.pieces = np.array([[PIECES if each.interleaved else 1] for each in assumptions])
        self.best: list[_Found | None] = [None] * len(assumptions)
        self.least = np.full(len(assumptions), np.inf)

    def choices(self) -> list[StagedChoice | None]:
        """The best of all orders, depths and sizes under each assumption; of equal ones the first."""
        for order, dims in spines(self):
            self._improve(order, dims)
        return [None if each is None else self._choice(each) for each in self.best]

    def _improve(self, order: tuple[str, ...], dims: list[Cut]) -> None:
        """Look at the schedules of one loop order for cheaper ones.

        Candidates whose engines alone take as long as the best are left out: copies only add to it.
        """
        self.grid(dims)
        turns = [np.ones(self.count)]
        for name in order:
            turns.append(turns[-1] * np.ceil(self.extents[name] / self.steps[name]))
        engines = self.engine_cycles(order, turns)
        alive = np.flatnonzero(
            (_overlapped(list(engines.values())) < self.least.max()).reshape(-1, self.count).any(0)
        )
        if not alive.size:
            return
        turns = [each[alive] for each in turns]
        engines = {name: cycles[..., alive] for name, cycles in engines.items()}
        filling = _first_turn(list(engines.values()), turns[self.reduced(order)] * self.pieces)
        fixed, options = self._depths(order)
        tiles: dict[tuple[str, int], tuple[np.ndarray, _Move | None]] = {}
        for depths in options:
            holds = {**fixed, **depths}
            for name, depth in holds.items() - tiles.keys():
                tiles[name, depth] = self._tile(name, order[:depth], turns[depth], engines, alive)
            fits = self._fits({name: tiles[name, depth][0] for name, depth in holds.items()})
            fits &= self._stay(depths, options[0])
            if not fits.any():
                continue
            moves = [move for hold in holds.items() if (move := tiles[hold][1]) is not None]
            parts, prologue = self._transfers(moves, engines)
            total = np.where(fits, _overlapped(list(parts.values())) + prologue + filling, np.inf)
            places = np.argmin(total, axis=1)
            costs = total[np.arange(len(places)), places]
            for number in np.flatnonzero(costs < self.least).tolist():
                place = int(places[number])
                times = {name: int(turns[depth][place]) for name, depth in holds.items()}
                room = {hold[0]: int(tiles[hold][0][place]) for hold in holds.items()}
                self.best[number] = _Found(
                    dims,
                    order,
                    {each.name: int(self.steps[each.name][alive[place]]) for each in dims},
                    holds,
                    self._slots_of(times, room, self.assumptions[number]),
                    Overlap(
                        {name: _one(cycles, number, place) for name, cycles in parts.items()},
                        _one(prologue, number, place),
                    ),
                )
            self.least = np.minimum(self.least, costs)

    def _tile(
        self,
        name: str,
        loops: tuple[str, ...],
        turns: np.ndarray,
        engines: Mapping[str, np.ndarray],
        alive: np.ndarray,
    ) -> tuple[np.ndarray, _Move | None]:
        """Bytes of its memory that a buffer takes whose tiles are those under some loops, which make so many turns; and
        what moving them takes, but for locals."""
        buffer, home = self.kernel.buffer(name), self.target.home
        bytes_, once = (each[..., alive] for each in self.tile(buffer, loops))
        again = turns > 1
        room = bytes_ * np.where(again, self.slots[name], 1)
        if buffer.role == LOCAL:
            sound = (
                self.are_columns_whole(buffer, loops) if self.is_packed(name) else np.ones(self.count, bool)
            )
            return np.where(sound[alive], room, np.inf), None
        cycles = turns * once
        both = (cycles + turns * (home.latency + HANDOVER) + engines[self.user(buffer)]) / 2
        queue, queued = self.queue(buffer, self.memory[name]), cycles + turns * INSTRUCTION
        return room, _Move(queue, cycles, queued, 0.5 * once, np.where(again, both, 0))

    def _slots_of(
        self, times: Mapping[str, int], room: Mapping[str, int], assumption: Assumption
    ) -> dict[str, int]:
        """Places of each buffer whose tiles change so many times and take so many bytes together. Few tiles that only
        arrays read have a place each, where half of their memory has room for that (all of it where kernels are
        interleaved): the next kernel's are loaded meanwhile."""
        most, usable = (2 * MOST_PLACES, 1.0) if assumption.interleaved else (MOST_PLACES, 0.5)
        slots = {name: self.slots[name] if count > 1 else 1 for name, count in times.items()}
        used: dict[str, int] = {}
        for name, bytes_ in room.items():
            used[self.memory[name]] = used.get(self.memory[name], 0) + bytes_
        for name, count in times.items():
            memory = self.memory[name]
            more = room[name] // slots[name] * max(0, count - slots[name])
            small = used[memory] + more <= self.target.memories[memory].bytes * assumption.share * usable
            if more and small and count <= most and memory not in self.vector.writes:
                slots[name] = count
                used[memory] += more
        return slots

    def _fits(self, bytes_: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which candidates the memories have room for under each assumption, by the bytes that each buffer takes."""
        room: dict[str, Any] = {}
        for name, need in bytes_.items():
            room[self.memory[name]] = room.get(self.memory[name], 0) + need
        return np.logical_and.reduce(
            [need <= self.target.memories[name].bytes * self.share for name, need in room.items()]
        )

    def _transfers(
        self, moves: Sequence[_Move], engines: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Cycles of all engines, of home's transfers and of turns; and the prologue."""
        queues: dict[str, Any] = {}
        total: Any = 0.0
        prologue: Any = float(self.target.home.latency)
        for move in moves:
            total = total + move.cycles
            queues[move.queue] = queues.get(move.queue, 0) + move.queued
            prologue = prologue + move.ends
        turnaround = reduce(np.maximum, [move.turnaround for move in moves])
        return {**engines, self.target.home.name: total, **queues, "turns": turnaround}, prologue

    def _depths(self, order: tuple[str, ...]) -> tuple[dict[str, int], list[dict[str, int]]]:
        """Holds of one depth only, and the alternatives for those of several: just inside a loop that moves them."""
        inner = self.reduced(order)
        fixed: dict[str, int] = {}
        several: dict[str, list[int]] = {}
        for buffer in self.kernel.buffers:
            if buffer.role in (LOCAL, OUTPUT):
                users = (*self.kernel.writers(buffer.name), *self.kernel.readers(buffer.name))
                fixed[buffer.name] = min(self.place_depth(stage, order) for stage in users)
                if any(stage.name in self.cut(order) for stage in self.kernel.writers(buffer.name)):
                    fixed[buffer.name] = inner
                continue
            readers = self.kernel.readers(buffer.name)
            if not readers or self.is_gathered(buffer.name):
                continue
            limit = max(self.place_depth(stage, order) for stage in readers)
            moving = self.sizes(frozenset(order)).moving[buffer.name]
            depths = [0, *(n + 1 for n, name in enumerate(order[:limit]) if name in moving)]
            if self.is_packed(buffer.name) and any(name in self.summed for name in moving):
                depths = depths[-1:]  # a packed tile is read whole: it is of one piece of the sum
            elif self._is_small(buffer.name).all():
                depths = depths[:1]
            several[buffer.name] = depths
        names = list(several)
        return fixed, [dict(zip(names, choice)) for choice in cartesian(*several.values())]

    def _is_small(self, name: str) -> np.ndarray:
        """Under which assumptions an operand is small enough to stay for the whole kernel."""
        buffer = self.kernel.buffer(name)
        return prod(buffer.static_shape) * buffer.dtype.bytes <= self.room(name) * self.share // 32

    def _stay(self, depths: Mapping[str, int], first: Mapping[str, int]) -> np.ndarray:
        """Under which assumptions no small operand is held deeper than at its first depth."""
        stay = np.ones_like(self.share, bool)
        for name, depth in depths.items():
            if depth != first[name]:
                stay &= ~self._is_small(name)
        return stay

    def _choice(self, found: _Found) -> StagedChoice:
        """A candidate's schedule."""
        units = {each.name: each.unit for each in found.dims}
        loops = tuple(
            Loop(name, ceil(found.sizes[name] / units[name]) * units[name], unit=units[name])
            for name in found.order
        )
        touched = {a.buffer for s in self.kernel.stages for a in (*s.reads, s.write)}
        held = tuple(
            Hold(name, self.memory[name], depth, found.slots[name])
            for name, depth in sorted(found.holds.items(), key=lambda entry: entry[1])
            if name in touched
        )
        places = []
        for stage in self.kernel.stages:
            depth = self.place_depth(stage, found.order)
            places.append(Place(stage.name, depth, self.engine(stage).name, lag=self.lags[stage.name]))
        return StagedChoice(Schedule(loops, held, tuple(places)), found.estimate)
