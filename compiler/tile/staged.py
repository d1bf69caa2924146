"""Tiling for chips whose memories software fills: which tiles lie where, how large, loaded how often.

No chip and no op is named. Candidates are loop orders times depths of holds; all tile sizes of one such pair are costed
at once, as numpy arrays. Engines and home's transfers work side by side, so the slowest of them counts, plus what can't
overlap; what an engine takes for a box stands in `work.py`.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
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

PRESSED = 0.72
"""The share of a kernel's time in which home is busy, beyond which tiles come late where others are copied beside."""

PIECES = 2
"""How many turns a tile counts for that is worked on in pieces."""

MOST_PLACES = 8
"""Places of a buffer at most, beyond those that it needs: addresses that take turns make bodies of loops longer."""

MOST_OPTIONS = 1 << 14
"""Ways to hold the buffers of a kernel under one order of loops, beyond which buffers alike are held alike."""

_TOGETHER = 1 << 12
"""Pairs of a candidate and the depths of its holds that are costed at once."""


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


def _apart(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Cycles by which engines are apart of which one begins when the one before is through."""
    return sum(parts) - reduce(np.maximum, parts)


def _at(cycles: np.ndarray, row: int, place: int) -> float:
    """What is so for one bandwidth and one candidate, in an array over both or over candidates."""
    return float(cycles[place] if cycles.ndim == 1 else cycles[row, place])


def _alike(depths: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """Buffers in groups, those of one being held at the same one of their depths: each has its own, unless there are
    more than `MOST_OPTIONS`; then those of the same depths share theirs. Where there is no choice, all are together."""
    several = [name for name, own in depths.items() if len(own) > 1]
    groups: dict[Any, list[str]] = {None: [name for name in depths if name not in several]}
    many = prod(len(depths[name]) for name in several) > MOST_OPTIONS
    for name in several:
        groups.setdefault(tuple(depths[name]) if many else name, []).append(name)
    return [names for names in groups.values() if names]


@dataclass(frozen=True)
class StagedChoice:
    """A schedule and what it is predicted to cost."""

    schedule: Schedule
    estimate: Overlap


@dataclass(frozen=True)
class _Found:
    """A candidate that was the cheapest so far: its loops and their tiles' sizes; by buffer where it is held, how often
    its tile changes, and the bytes that it takes."""

    dims: Sequence[Cut]
    order: tuple[str, ...]
    sizes: Mapping[str, int]
    holds: Mapping[str, int]
    times: Mapping[str, int]
    room: Mapping[str, int]
    estimate: Overlap


@dataclass(frozen=True)
class _Held:
    """A buffer at each of the `depths` where it may be held: how often its tile changes and the bytes that it takes,
    arrays by depth and candidate; cycles to move one tile, by bandwidth besides."""

    depths: Sequence[int]
    times: np.ndarray
    room: np.ndarray
    once: np.ndarray


@dataclass(frozen=True)
class _Move:
    """What moving the tiles of a buffer takes, for each bandwidth and candidate: home's cycles, those of the engine
    `queue` that does it, what comes before and after all, and what tiles in two places allow: one is filled only when
    it has been used, so two turns take a copy and its use."""

    queue: str
    cycles: np.ndarray
    queued: np.ndarray
    ends: np.ndarray
    turnaround: np.ndarray


@dataclass(frozen=True)
class _Spine:
    """Candidates of one order of loops: the `steps` of each dim, cycles of engines, by which of them work begins late
    (`filling`) and what candidates take at least (`bound`), both by condition; and where buffers may be held."""

    order: tuple[str, ...]
    dims: Sequence[Cut]
    steps: Mapping[str, np.ndarray]
    engines: Mapping[str, np.ndarray]
    filling: np.ndarray
    bound: np.ndarray
    held: Mapping[str, _Held]

    def found(
        self, place: int, picks: Mapping[str, int], parts: Mapping[str, float], prologue: float
    ) -> _Found:
        """A candidate that holds each buffer at one of its depths, and what it is predicted to cost."""
        return _Found(
            self.dims,
            self.order,
            {name: int(steps[place]) for name, steps in self.steps.items()},
            {name: each.depths[picks[name]] for name, each in self.held.items()},
            {name: int(each.times[picks[name], place]) for name, each in self.held.items()},
            {name: int(each.room[picks[name], place]) for name, each in self.held.items()},
            Overlap(parts, prologue),
        )


def stage_tiles(kernel: Kernel, target: Target) -> StagedChoice:
    """The cheapest schedule; UnsupportedError where nothing fits the target's memories."""
    return Staging(kernel, target, (AS_IT_IS,)).choice(AS_IT_IS)


class Staging(Candidates):
    """The choice of schedules for one kernel on one target under some assumptions, all with as many spare places;
    UnsupportedError for what has no engine.

    Cycles are arrays over candidates, with a row for each condition: a bandwidth, and whether kernels are interleaved;
    how much of the memories may be used makes no candidate dearer, it decides on whether it fits.
    """

    def __init__(self, kernel: Kernel, target: Target, assumptions: Sequence[Assumption]):
        conditions = list(dict.fromkeys((each.bandwidth, each.interleaved) for each in assumptions))
        bandwidths = list(dict.fromkeys(bandwidth for bandwidth, _ in conditions))
        super().__init__(kernel, target, bandwidths, assumptions[0].spare)
        self.row = np.array([bandwidths.index(bandwidth) for bandwidth, _ in conditions])
        self.pieces = np.array([[PIECES if interleaved else 1] for _, interleaved in conditions])
        shares = sorted({each.share for each in assumptions}, reverse=True)
        self.share = np.array(shares)
        self.cells = {
            each: (conditions.index((each.bandwidth, each.interleaved)), shares.index(each.share))
            for each in assumptions
        }
        # what nobody asks for is never improved
        self.least = np.full((len(conditions), len(shares)), -np.inf)
        self.least[tuple(zip(*self.cells.values()))] = np.inf
        self.best: dict[tuple[int, int], _Found] = {}
        self._small: dict[str, np.ndarray] = {}
        for order, dims in spines(self):
            self._improve(order, dims)
        self.forget()

    def choice(self, assumption: Assumption) -> StagedChoice:
        """The best of all orders, depths and sizes, of equal ones the first; UnsupportedError where nothing fits."""
        found = self.best.get(self.cells[assumption])
        if found is None:
            name, chip = self.kernel.name, self.target.name
            raise UnsupportedError(f"no tiles of kernel {name} fit the memories of {chip}")
        return self._choice(found, assumption)

    def _by_condition(self, cycles: np.ndarray) -> np.ndarray:
        """Of what depends on the bandwidth, or on none, a row for each condition."""
        return np.broadcast_to(cycles, (len(self.bandwidth), cycles.shape[-1]))[self.row]

    def _improve(self, order: tuple[str, ...], dims: list[Cut]) -> None:
        """Look at the schedules of one loop order for cheaper ones.

        Candidates whose engines alone take as long as the best are left out: copies only add to it.
        """
        self.grid(dims)
        turns = [np.ones(self.count)]
        for name in order:
            turns.append(turns[-1] * np.ceil(self.extents[name] / self.steps[name]))
        engines = self.engine_cycles(order, turns)
        busy = _overlapped(list(engines.values()))
        alive = np.flatnonzero((busy < self.least.max()).reshape(-1, self.count).any(0))
        if not alive.size:
            return
        turns = [each[alive] for each in turns]
        engines = {name: cycles[..., alive] for name, cycles in engines.items()}
        apart = self._by_condition(_apart(list(engines.values())))
        filling = apart / (turns[self.reduced(order)] * self.pieces)
        spine = _Spine(
            order,
            dims,
            {each.name: self.steps[each.name][alive] for each in dims},
            engines,
            filling,
            self._by_condition(busy[..., alive]) + filling,
            {name: self._held(name, at, order, turns, alive) for name, at in self._depths(order).items()},
        )
        groups = _alike({name: each.depths for name, each in spine.held.items()})
        options = [len(spine.held[names[0]].depths) for names in groups]
        block = max(1, _TOGETHER // alive.size)
        for begin in range(0, prod(options), block):
            numbers = np.arange(begin, min(begin + block, prod(options)))
            found = zip(groups, np.unravel_index(numbers, options), strict=True)
            self._hold(spine, {name: pick for names, pick in found for name in names})

    def _hold(self, spine: _Spine, picks: Mapping[str, np.ndarray]) -> None:
        """Look at a spine under some options, each of which picks a depth for every buffer."""
        share, stay = self._share(spine.held, picks), self._stay(picks)
        option, place = np.nonzero(self._hopeful(spine.bound, share, stay))
        if not place.size:
            return
        engines = {name: cycles[..., place] for name, cycles in spine.engines.items()}
        moves = [
            self._move(name, each, picks[name][option], place, engines)
            for name, each in spine.held.items()
            if self.kernel.buffer(name).role != LOCAL
        ]
        parts, prologue = self._transfers(moves, engines)
        total = self._by_condition(_overlapped(list(parts.values())) + prologue) + spine.filling[:, place]
        fits = (share[option, place] <= self.share[:, None]) & stay[option].T
        costs = np.where(fits, total[:, None], np.inf)
        best = costs.argmin(axis=2)
        least = np.take_along_axis(costs, best[..., None], axis=2)[..., 0]
        for cell in zip(*np.nonzero(least < self.least)):
            number, row = best[cell], self.row[cell[0]]
            self.best[cell] = spine.found(
                int(place[number]),
                {name: int(pick[option[number]]) for name, pick in picks.items()},
                {name: _at(cycles, row, number) for name, cycles in parts.items()},
                _at(prologue, row, number),
            )
        self.least = np.minimum(self.least, least)

    def _hopeful(self, bound: np.ndarray, share: np.ndarray, stay: np.ndarray) -> np.ndarray:
        """Which candidates of some options, bool[options, candidates], may be cheaper than the best: by what they take
        at least under each condition, the share of the memories that they need, and the shares with which options
        `stay`, bool[options, shares]."""
        limit = np.full((len(stay), len(bound), len(self.share) + 1), -np.inf)
        limit[..., 1:] = np.maximum.accumulate(np.where(stay[:, None], self.least, -np.inf), axis=2)
        enough = np.searchsorted(-self.share, -share, side="right")  # how many shares have room for it
        return np.any(bound < np.take_along_axis(limit, enough[:, None], axis=2), axis=1)

    def _held(
        self,
        name: str,
        depths: Sequence[int],
        order: tuple[str, ...],
        turns: Sequence[np.ndarray],
        alive: np.ndarray,
    ) -> _Held:
        """A buffer at some depths under an order of loops, by how many turns those around it make."""
        buffer = self.kernel.buffer(name)
        times = np.array([turns[depth] for depth in depths])
        tiles = [self.tile(buffer, order[:depth]) for depth in depths]
        room = np.array([bytes_[alive] for bytes_, _ in tiles]) * np.where(times > 1, self.slots[name], 1)
        if buffer.role == LOCAL and self.is_packed(name):
            whole = np.array([self.are_columns_whole(buffer, order[:depth])[alive] for depth in depths])
            room = np.where(whole, room, np.inf)
        once = np.array([np.atleast_2d(once)[:, alive] for _, once in tiles]).swapaxes(0, 1)
        return _Held(depths, times, room, once)

    def _move(
        self, name: str, held: _Held, depth: np.ndarray, place: np.ndarray, engines: Mapping[str, np.ndarray]
    ) -> _Move:
        """What moving the tiles of a buffer takes, of candidates by their places, each held at one of the depths."""
        buffer = self.kernel.buffer(name)
        once, turns = held.once[:, depth, place], held.times[depth, place]
        cycles = turns * once
        used = engines[self.user(buffer)]
        both = (cycles + turns * (self.target.home.latency + HANDOVER) + used) / 2
        queue, queued = self.queue(buffer, self.memory[name]), cycles + turns * INSTRUCTION
        return _Move(queue, cycles, queued, 0.5 * once, np.where(turns > 1, both, 0))

    def _slots_of(self, found: _Found, assumption: Assumption) -> dict[str, int]:
        """Places of each buffer. Few tiles that only arrays read have a place each, where half of their memory has room
        for that (all of it where kernels are interleaved): the next kernel's are loaded meanwhile. Of many tiles of
        columns one more than takes turns has a place where home is `PRESSED`."""
        most, usable = (2 * MOST_PLACES, 1.0) if assumption.interleaved else (MOST_PLACES, 0.5)
        slots = {name: self.slots[name] if count > 1 else 1 for name, count in found.times.items()}
        used: dict[str, int] = {}
        for name, bytes_ in found.room.items():
            used[self.memory[name]] = used.get(self.memory[name], 0) + bytes_
        parts = found.estimate.parts
        pressed = parts[self.target.home.name] > PRESSED * max(parts.values())
        for name, count in found.times.items():
            memory, one = self.memory[name], found.room[name] // slots[name]
            room = self.target.memories[memory].bytes * assumption.share - used[memory]
            spare = room - self.target.memories[memory].bytes * assumption.share * (1 - usable)
            more = max(0, count - slots[name])
            if not more or memory in self.vector.writes:
                continue
            if one * more > spare or count > most:
                more = int(pressed and self.is_packed(name) and one <= room)
            slots[name] += more
            used[memory] += one * more
        return slots

    def _share(self, held: Mapping[str, _Held], picks: Mapping[str, np.ndarray]) -> np.ndarray:
        """The share of the fullest memory that each candidate needs of each option, which picks a depth a buffer."""
        room: dict[str, Any] = {}
        for name, each in held.items():
            room[self.memory[name]] = room.get(self.memory[name], 0) + each.room[picks[name]]
        return reduce(np.maximum, [need / self.target.memories[name].bytes for name, need in room.items()])

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

    def _depths(self, order: tuple[str, ...]) -> dict[str, list[int]]:
        """Where buffers may be held, those first that have one place: just inside a loop that moves them."""
        inner = self.reduced(order)
        one: dict[str, list[int]] = {}
        several: dict[str, list[int]] = {}
        for buffer in self.kernel.buffers:
            if buffer.role in (LOCAL, OUTPUT):
                users = (*self.kernel.writers(buffer.name), *self.kernel.readers(buffer.name))
                one[buffer.name] = [min(self.place_depth(stage, order) for stage in users)]
                if any(stage.name in self.cut(order) for stage in self.kernel.writers(buffer.name)):
                    one[buffer.name] = [inner]
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
        return {**one, **several}

    def _is_small(self, name: str) -> np.ndarray:
        """With which shares of the memories an operand is small enough to stay for the whole kernel."""
        if name not in self._small:
            buffer = self.kernel.buffer(name)
            bytes_ = prod(buffer.static_shape) * buffer.dtype.bytes
            self._small[name] = bytes_ <= self.room(name) * self.share // 32
        return self._small[name]

    def _stay(self, picks: Mapping[str, np.ndarray]) -> np.ndarray:
        """Of options, which pick a depth a buffer, with which shares of the memories no small operand is held deeper
        than at its first one: bool[options, shares]."""
        sound = [
            (pick == 0)[:, None] | ~self._is_small(name)
            for name, pick in picks.items()
            if self.kernel.buffer(name).role not in (LOCAL, OUTPUT)
        ]
        (options,) = {len(pick) for pick in picks.values()}
        return np.logical_and.reduce(sound, axis=0) if sound else np.ones((options, len(self.share)), bool)

    def _choice(self, found: _Found, assumption: Assumption) -> StagedChoice:
        """A candidate's schedule."""
        slots = self._slots_of(found, assumption)
        units = {each.name: each.unit for each in found.dims}
        loops = tuple(
            Loop(name, ceil(found.sizes[name] / units[name]) * units[name], unit=units[name])
            for name in found.order
        )
        touched = {a.buffer for s in self.kernel.stages for a in (*s.reads, s.write)}
        held = tuple(
            Hold(name, self.memory[name], depth, slots[name])
            for name, depth in sorted(found.holds.items(), key=lambda entry: entry[1])
            if name in touched
        )
        places = []
        for stage in self.kernel.stages:
            depth = self.place_depth(stage, found.order)
            places.append(Place(stage.name, depth, self.engine(stage).name, lag=self.lags[stage.name]))
        return StagedChoice(Schedule(loops, held, tuple(places)), found.estimate)
