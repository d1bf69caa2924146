"""How busy one input keeps each device and each link: the greatest of these is the period of a stream.

A search judges thousands of assignments that differ in a few units: only what these read and make is counted anew.
"""

from collections.abc import Iterable, Sequence

from .model import Assignment, Model


def loads(model: Model, assignment: Sequence[int]) -> list[float]:
    """Seconds for which each device, then each link, is busy with one input; all infinite where a memory is too small.
    Of the first units only, if no more are assigned."""
    return Balance(model, assignment).busy


class Balance:
    """The loads of one assignment, and of those that differ a little from it."""

    def __init__(self, model: Model, assignment: Sequence[int]):
        self.model, self.assignment = model, list(assignment)
        units = range(len(self.assignment))
        self._homes = dict.fromkeys(model.given, model.host)
        self._makers: dict[int, int] = {}
        self._readers: dict[int, list[int]] = {}
        for unit in units:
            for value in model.makes[unit]:
                self._makers[value] = unit
                self._homes[value] = model.memory[self.assignment[unit]]
            for value in model.reads[unit]:
                self._readers.setdefault(value, []).append(unit)
        self._leaving = {value for value in model.outputs if value in self._homes}
        self._times = [0.0] * (len(model.memory) + model.links)
        self._held = [0] * len(model.memory)
        for unit in units:
            self._charge(unit, self.assignment[unit], 1, self._times, self._held)
        for value in self._homes:
            self._send(value, self.assignment, self._homes[value], 1.0, self._times)

    @property
    def busy(self) -> list[float]:
        """The loads of the assignment itself; see `loads`."""
        return self._judged(self._times, self._held)

    def moved(self, units: Iterable[int], trial: Assignment | Sequence[int]) -> list[float]:
        """The loads of `trial`, in which just these units are elsewhere; see `loads`."""
        times, held = self._times[:], self._held[:]
        touched: dict[int, None] = {}
        for unit in units:
            self._charge(unit, self.assignment[unit], -1, times, held)
            self._charge(unit, trial[unit], 1, times, held)
            touched.update(dict.fromkeys(self.model.reads[unit]))
            touched.update(dict.fromkeys(self.model.makes[unit]))
        for value in touched:
            home = self._homes[value]
            self._send(value, self.assignment, home, -1.0, times)
            maker = self._makers.get(value)
            home = home if maker is None else self.model.memory[trial[maker]]
            self._send(value, trial, home, 1.0, times)
        return self._judged(times, held)

    def _judged(self, times: list[float], held: list[int]) -> list[float]:
        full = any(limit and most > limit for most, limit in zip(held, self.model.limits))
        return [float("inf")] * len(times) if full else times

    def _charge(self, unit: int, device: int, sign: int, times: list[float], held: list[int]) -> None:
        times[device] += sign * (self.model.seconds[unit][device] or 0.0)
        held[device] += sign * self.model.weights[unit]

    def _send(
        self, value: int, assignment: Sequence[int], home: int, sign: float, times: list[float]
    ) -> None:
        """Count the ways of a value from its home to every other memory in which it is read."""
        model, first = self.model, len(self.model.memory)
        memories = {model.memory[assignment[unit]] for unit in self._readers.get(value, ())}
        if value in self._leaving:
            memories.add(model.host)
        memories.discard(home)
        for memory in memories:
            for link, second, _ in model.routes.get((home, memory), ()):
                times[first + link] += sign * model.sizes[value] * second
