"""Tiling for chips whose memories software fills: which tiles lie where, how large, loaded how often.

No chip and no op is named. Candidates are loop orders times depths of holds; all tile sizes of one such pair are costed
at once, as numpy arrays. Engines and home's transfers work side by side, so the slowest of them counts, plus what can't
overlap; what an engine takes for a box stands in `work.py`.
"""

from collections.abc import Mapping, Sequence
from itertools import product as cartesian
from math import ceil, prod
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..diagnostics import UnsupportedError
from ..target.description import Target
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
    top = np.maximum.reduce(parts)
    return top + 0.02 * (sum(parts) - top)


def _first_turn(parts: Sequence[np.ndarray], turns: np.ndarray) -> np.ndarray:
    """Cycles by which engines that take turns are apart: one begins when the one before has its first tile."""
    return (sum(parts) - np.maximum.reduce(parts)) / turns


@dataclass(frozen=True)
class StagedChoice:
    """A schedule and what it is predicted to cost."""

    schedule: Schedule
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


def stage_tiles(kernel: Kernel, target: Target, interleaved: bool = False) -> StagedChoice:
    """The cheapest schedule; UnsupportedError where nothing fits the target's memories. `interleaved`: tiles are worked
    on in pieces, beside those of the kernels before and after."""
    return Staging(kernel, target, interleaved).choice()


class Staging(Candidates):
    """The choice of a schedule for one kernel on one target; see `stage_tiles`."""

    def __init__(self, kernel: Kernel, target: Target, interleaved: bool = False):
        super().__init__(kernel, target)
        self.pieces = PIECES if interleaved else 1
        self.most_places = 2 * MOST_PLACES if interleaved else MOST_PLACES
        self.kept_free = 0.0 if interleaved else 0.5

    def choice(self) -> StagedChoice:
        """The best of all orders, depths and sizes; of equal ones the first."""
        best: tuple[float, StagedChoice | None] = float("inf"), None
        for order, dims in spines(self):
            best = self._better(order, dims, best)
        if best[1] is None:
            raise UnsupportedError(
                f"no tiles of kernel {self.kernel.name} fit the memories of {self.target.name}"
            )
        return best[1]

    def _better(
        self, order: tuple[str, ...], dims: list[Cut], best: tuple[float, StagedChoice | None]
    ) -> tuple[float, StagedChoice | None]:
        """The cheapest schedule of one loop order with its cost, if it is cheaper than the best so far.

        Candidates whose engines alone take as long as that are left out: copies only add to it.
        """
        self.grid(dims)
        turns = [np.ones(self.count)]
        for name in order:
            turns.append(turns[-1] * np.ceil(self.extents[name] / self.steps[name]))
        engines = self.engine_cycles(order, turns)
        alive = np.flatnonzero(_overlapped(list(engines.values())) < best[0])
        if not alive.size:
            return best
        turns = [each[alive] for each in turns]
        engines = {name: cycles[alive] for name, cycles in engines.items()}
        filling = _first_turn(list(engines.values()), turns[self.reduced(order)] * self.pieces)
        fixed, options = self._depths(order)
        tiles: dict[tuple[str, int], tuple[np.ndarray, _Move | None]] = {}
        for depths in options:
            holds = {**fixed, **depths}
            for name, depth in holds.items() - tiles.keys():
                tiles[name, depth] = self._tile(name, order[:depth], turns[depth], engines, alive)
            fits = self._fits({name: tiles[name, depth][0] for name, depth in holds.items()})
            if not fits.any():
                continue
            moves = [move for hold in holds.items() if (move := tiles[hold][1]) is not None]
            parts, prologue = self._transfers(moves, engines)
            total = np.where(fits, _overlapped(list(parts.values())) + prologue + filling, np.inf)
            place = int(np.argmin(total))
            if total[place] < best[0]:
                sizes = {each.name: int(self.steps[each.name][alive[place]]) for each in dims}
                times = {name: int(turns[depth][place]) for name, depth in holds.items()}
                room = {hold[0]: int(tiles[hold][0][place]) for hold in holds.items()}
                slots = self._slots_of(times, room)
                estimate = Overlap(
                    {name: float(cycles[place]) for name, cycles in parts.items()}, float(prologue[place])
                )
                choice = StagedChoice(self._schedule(order, dims, sizes, holds, slots), estimate)
                best = float(total[place]), choice
        return best

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
        bytes_, once = (each[alive] for each in self.tile(buffer, loops))
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

    def _slots_of(self, times: Mapping[str, int], room: Mapping[str, int]) -> dict[str, int]:
        """Places of each buffer whose tiles change so many times and take so many bytes together. Few tiles that only
        arrays read have a place each, where half of their memory has room for that (all of it where kernels are
        interleaved): the next kernel's are loaded meanwhile."""
        slots = {name: self.slots[name] if count > 1 else 1 for name, count in times.items()}
        used: dict[str, int] = {}
        for name, bytes_ in room.items():
            used[self.memory[name]] = used.get(self.memory[name], 0) + bytes_
        for name, count in times.items():
            memory = self.memory[name]
            more = room[name] // slots[name] * max(0, count - slots[name])
            small = used[memory] + more <= self.target.memories[memory].bytes * (1 - self.kept_free)
            if more and small and count <= self.most_places and memory not in self.vector.writes:
                slots[name] = count
                used[memory] += more
        return slots

    def _fits(self, bytes_: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which candidates the memories have room for, by the bytes that each buffer takes."""
        room: dict[str, Any] = {}
        for name, need in bytes_.items():
            room[self.memory[name]] = room.get(self.memory[name], 0) + need
        return np.logical_and.reduce(
            [need <= self.target.memories[name].bytes for name, need in room.items()]
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
        turnaround = np.maximum.reduce([move.turnaround for move in moves])
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
            elif prod(buffer.static_shape) * buffer.dtype.bytes <= self.room(buffer.name) // 32:
                depths = depths[:1]  # small enough to stay
            several[buffer.name] = depths
        names = list(several)
        return fixed, [dict(zip(names, choice)) for choice in cartesian(*several.values())]

    def _schedule(
        self,
        order: tuple[str, ...],
        dims: Sequence[Cut],
        sizes: Mapping[str, int],
        holds: Mapping[str, int],
        slots: Mapping[str, int],
    ) -> Schedule:
        units = {each.name: each.unit for each in dims}
        loops = tuple(
            Loop(name, ceil(sizes[name] / units[name]) * units[name], unit=units[name]) for name in order
        )
        touched = {a.buffer for s in self.kernel.stages for a in (*s.reads, s.write)}
        held = tuple(
            Hold(name, self.memory[name], depth, slots[name])
            for name, depth in sorted(holds.items(), key=lambda entry: entry[1])
            if name in touched
        )
        places = []
        for stage in self.kernel.stages:
            depth = self.place_depth(stage, order)
            places.append(Place(stage.name, depth, self.engine(stage).name, lag=self.lags[stage.name]))
        return Schedule(loops, held, tuple(places))
