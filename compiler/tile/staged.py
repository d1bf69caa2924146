"""Tiling for chips whose memories software fills: which tiles lie where, how large, loaded how often.

No chip and no op is named. Candidates are loop orders times depths of holds; all tile sizes of one such pair are costed
at once, as numpy arrays. Engines and home's transfers work side by side, so the slowest of them counts, plus what can't
overlap; what an engine takes for a box stands in `work.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product as cartesian
from math import ceil, prod

import numpy as np

from ..diagnostics import UnsupportedError
from ..target.description import Target
from .candidates import INSTRUCTION, Candidates
from .schedule import Hold, Loop, Place, Schedule
from .spines import Cut, spines
from .stage import LOCAL, OUTPUT, Kernel

HANDOVER = 40
"""Cycles from the end of a copy to the beginning of its use and back."""


@dataclass(frozen=True)
class Overlap:
    """Predicted cycles: each engine's and home's own, which overlap, and what comes before and after them."""

    parts: Mapping[str, float]
    prologue: float

    @property
    def cycles(self) -> float:
        parts = list(self.parts.values())
        return max(parts) + 0.02 * (sum(parts) - max(parts)) + self.prologue


@dataclass(frozen=True)
class StagedChoice:
    """A schedule and what it is predicted to cost."""

    schedule: Schedule
    estimate: Overlap


def stage_tiles(kernel: Kernel, target: Target, keep: int = 1) -> list[StagedChoice]:
    """The `keep` cheapest schedules, best first; UnsupportedError where nothing fits the target's memories."""
    return Staging(kernel, target).choices(keep)


class Staging(Candidates):
    """The choice of a schedule for one kernel on one target."""

    def choices(self, keep: int) -> list[StagedChoice]:
        """The best of all orders, depths and sizes."""
        found: list[tuple[float, int, StagedChoice]] = []
        for order, dims in spines(self):
            found += self._ranked(order, dims, keep, len(found))
        if not found:
            raise UnsupportedError(
                f"no tiles of kernel {self.kernel.name} fit the memories of {self.target.name}"
            )
        found.sort(key=lambda entry: entry[:2])
        return [choice for _, _, choice in found[:keep]]

    def _ranked(
        self, order: tuple[str, ...], dims: list[Cut], keep: int, before: int
    ) -> list[tuple[float, int, StagedChoice]]:
        """The cheapest schedules of one loop order, with their cost and a number that settles ties."""
        self.grid(dims)
        turns = [np.ones(self.count)]
        for name in order:
            turns.append(turns[-1] * np.ceil(self.extents[name] / self.steps[name]))
        fixed, options = self._depths(order)
        engines = self.engine_cycles(order, turns)
        out: list[tuple[float, int, StagedChoice]] = []
        for depths in options:
            holds = {**fixed, **depths}
            parts, room, prologue, turnaround = self._transfers(order, turns, holds, engines)
            parts = {**engines, **parts, "turns": turnaround}
            fits = np.ones(self.count, bool)
            for name, need in room.items():
                fits &= need <= self.target.memories[name].bytes
            for buffer in self.kernel.role(LOCAL):
                if buffer.name in holds and self.is_packed(buffer.name):
                    fits &= self.are_columns_whole(buffer, order[: holds[buffer.name]])
            if not fits.any():
                continue
            stacked = np.array(list(parts.values()))
            top = stacked.max(0)
            total = np.where(fits, top + 0.02 * (stacked.sum(0) - top) + prologue, np.inf)
            for place in np.argsort(total, kind="stable")[:keep]:
                if not np.isfinite(total[place]):
                    break
                sizes = {each.name: int(self.steps[each.name][place]) for each in dims}
                slots = {
                    name: self.slots[name] if turns[depth][place] > 1 else 1 for name, depth in holds.items()
                }
                estimate = Overlap(
                    {name: float(cycles[place]) for name, cycles in parts.items()}, float(prologue[place])
                )
                choice = StagedChoice(self._schedule(order, dims, sizes, holds, slots), estimate)
                out.append((float(total[place]), before + len(out), choice))
        out.sort(key=lambda entry: entry[:2])
        return out[:keep]

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

    def _transfers(
        self,
        order: tuple[str, ...],
        turns: Sequence[np.ndarray],
        holds: Mapping[str, int],
        engines: Mapping[str, np.ndarray],
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Cycles of home's transfers and of each engine that does them; bytes needed of each memory; the prologue; and
        what tiles in two places allow: one is filled only when it has been used, so two turns take a copy and its use.
        """
        home = self.target.home
        room = {self.memory[name]: np.zeros(self.count) for name in holds}
        queues: dict[str, np.ndarray] = {}
        total, turnaround = np.zeros(self.count), np.zeros(self.count)
        prologue = np.full(self.count, float(home.latency))
        for name, depth in holds.items():
            buffer = self.kernel.buffer(name)
            bytes_, once = self.tile(buffer, order[:depth])
            room[self.memory[name]] += bytes_ * np.where(turns[depth] > 1, self.slots[name], 1)
            if buffer.role == LOCAL:
                continue
            cycles = turns[depth] * once
            total += cycles
            queue = self.queue(buffer, self.memory[name])
            queues[queue] = queues.get(queue, 0) + cycles + turns[depth] * INSTRUCTION
            both = (cycles + turns[depth] * (home.latency + HANDOVER) + engines[self.user(buffer)]) / 2
            turnaround = np.maximum(turnaround, np.where(turns[depth] > 1, both, 0))
            prologue += 0.5 * once
        return {home.name: total, **queues}, room, prologue, turnaround

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
