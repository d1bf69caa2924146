"""How far the tiler's choice is from the best of the schedules beside it: `python -m benchmarks.tiles`.

Of each kernel the choice and ten others are compiled: those right behind it in the ranking, and some spread over the
schedules that are predicted to take up to twice as long. They take turns, each with weights outside all caches and
inputs inside, and the least time of each counts. The least of many noisy times is too small: so the choice and the
three that were fastest are timed anew, and the ratios of both passes are given. Kernels are those of the benchmark
networks, to which the figures of the cost model are fitted, or of layers with sizes that none of them has.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import isthmus
from isthmus.backends.cpu.target import describe
from isthmus.compilation import build_model
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.pipeline import Built
from isthmus.compiler.tile.choice import Choice
from isthmus.compiler.tile.draw import draw_arrays
from isthmus.compiler.tile.stage import CONSTANT, INPUT, LOCAL, Buffer, Kernel
from isthmus.compiler.tile.text import print_kernel, print_schedule
from isthmus.compiler.tile.tiler import tile
from isthmus.compiler.tile.traffic import one_array
from isthmus.runtime.memory import empty
from tests.backends.cpu.running import Image, Work, machine

from . import layers, models

NEAR, SPREAD, WORSE = 4, 6, 2.0
"""Schedules right behind the choice, those spread over the others, and how much worse than it they are predicted to
be at most."""
FASTEST = 3
"""Schedules that are timed anew beside the choice."""
ALL = 1000
"""More schedules than a kernel has candidates."""
FLUSH = 48 << 20
"""Bytes that are read before each call: more than the caches that a core reaches."""
SHORT = 50e-6
"""Seconds below which a kernel isn't looked at: the call itself weighs too much."""
FAR = 1.05
"""How many times the best one's time a choice may take in the mean."""


@dataclass(frozen=True)
class Found:
    """What was measured of a kernel: how often it occurs where it was found, the seconds of every schedule in a first
    pass, the choice first; of the choice and those that were fastest in a second one; texts and predicted parts, in
    cycles."""

    where: str
    name: str
    times: int
    first: tuple[float, ...]
    second: tuple[float, ...]
    kernel: str
    schedules: tuple[str, ...]
    predicted: tuple[dict[str, float], ...]

    @property
    def ratios(self) -> tuple[float, float]:
        """The choice's time by the best one's, as the first pass has it and as the second one does."""
        return self.first[0] / min(self.first), self.second[0] / min(self.second)

    @property
    def weight(self) -> float:
        """Seconds that the kernel takes where it was found."""
        return self.times * self.second[0]


class Bench:
    """Schedules of one kernel, and arrays to call them on."""

    def __init__(self, kernel: Kernel, schedules: Sequence[Choice], flush: np.ndarray):
        arrays = draw_arrays(kernel, np.random.default_rng(0))
        self.image = Image([Work(kernel, arrays, choice.schedule) for choice in schedules])
        self.flush = flush
        outside = [b for b in kernel.buffers if b.role not in (LOCAL, CONSTANT)]
        same = one_array(kernel)
        made = {b.name: _array(b, arrays.get(b.name)) for b in outside if same.get(b.name, b.name) == b.name}
        self.arrays = [made[same.get(b.name, b.name)] for b in outside]

    def best(self, numbers: Sequence[int], rounds: int) -> list[float]:
        """The least seconds of each of the schedules, which take turns in another order each round; infinite for one
        that has no code."""
        least, rng = dict.fromkeys(numbers, float("inf")), np.random.default_rng(0)
        for _ in range(rounds):
            for number in rng.permutation(list(numbers)):
                if number not in self.image.refused:
                    least[number] = min(least[number], self._seconds(int(number)))
        return [least[number] for number in numbers]

    def _seconds(self, number: int) -> float:
        self.flush.sum()
        for array in reversed(self.arrays):
            array.view(np.uint8).max(initial=0)
        call = self.image.call(number, self.arrays)
        start = time.perf_counter()
        call()
        return time.perf_counter() - start


def _array(buffer: Buffer, given: np.ndarray | None) -> np.ndarray:
    """As a run has it: on a whole cache line."""
    array = empty(buffer.static_shape, buffer.dtype.numpy)
    array[...] = given if buffer.role == INPUT else 0
    return array


def others(choices: Sequence[Choice]) -> list[Choice]:
    """The choice, the nearest ones behind it, and some spread over the rest of the ranking, denser at its beginning."""
    within = [c for c in choices if c.estimate.cycles <= WORSE * choices[0].estimate.cycles]
    distinct = list({choice.schedule: choice for choice in reversed(within)}.values())[::-1]
    near, rest = distinct[: NEAR + 1], distinct[NEAR + 1 :]
    places = np.geomspace(1, len(rest), SPREAD).astype(int) - 1 if rest else ()
    return [*near, *(rest[n] for n in sorted(set(places)))]


def measured(
    where: str, name: str, kernel: Kernel, times: int, rounds: int, flush: np.ndarray
) -> Found | None:
    """What a kernel's schedules take; None where there is no choice, or the kernel is short."""
    picked = others(tile(kernel, describe(machine(None)), ALL))
    if len(picked) < 2:
        return None
    bench = Bench(kernel, picked, flush)
    if bench.best([0], 3)[0] < SHORT:
        return None
    first = bench.best(range(len(picked)), rounds)
    second = bench.best(list(dict.fromkeys([0, *np.argsort(first)[:FASTEST].tolist()])), rounds)
    return Found(
        where,
        name,
        times,
        tuple(first),
        tuple(second),
        print_kernel(kernel),
        tuple(print_schedule(choice.schedule) for choice in picked),
        tuple(c.estimate.parts for c in picked),
    )


def kernels(model: isthmus.Model) -> Iterator[tuple[str, Kernel, int]]:
    """The distinct kernels of a model on the CPU with their names and how often they occur, those that are predicted to
    take longest first."""
    built = build_model(model, "cpu")
    assert isinstance(built, Built)
    found: dict[str, list] = {}
    for report in built.reports:
        found.setdefault(print_kernel(report.kernel), []).append(report)
    for same in sorted(found.values(), key=lambda each: -len(each) * each[0].cycles):
        yield same[0].name, same[0].kernel, len(same)


def networks(names: Iterable[str], most: int) -> Iterator[tuple[str, str, Kernel, int]]:
    """The kernels that take longest of each of some benchmark networks."""
    for name in names:
        models.ensure([name])
        for number, (label, kernel, times) in enumerate(kernels(isthmus.read(models.path(name)))):
            if number < most:
                yield name, label, kernel, times


def unseen(count: int) -> Iterator[tuple[str, str, Kernel, int]]:
    """All kernels of so many layers of sizes that no network has."""
    for name, graph in layers.draw(count):
        for label, kernel, times in kernels(isthmus.Model(graph)):
            yield name, label, kernel, times


def main() -> int:
    """Measure what the command line asks for; 1 where the mean is further from the best than it may be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tiles", description=(__doc__ or "").split("\n")[0]
    )
    known = [name for name, model in models.MODELS.items() if model.group == "networks"]
    parser.add_argument("--models", nargs="*", default=known, choices=list(models.MODELS), metavar="NAME")
    parser.add_argument("--kernels", type=int, default=12, help="kernels of a network at most (default: 12)")
    parser.add_argument("--layers", type=int, default=27, help="layers of other sizes (default: 27)")
    parser.add_argument("--rounds", type=int, default=15, help="calls of each schedule in a pass")
    parser.add_argument("--json", type=Path, help="keep all that was measured in this file")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    flush, found = np.ones(FLUSH // 4, np.float32), []
    for where, name, kernel, times in (
        *networks(options.models, options.kernels),
        *unseen(options.layers),
    ):
        try:
            each = measured(where, name, kernel, times, options.rounds, flush)
        except UnsupportedError:
            continue
        if each is not None:
            found.append(each)
            print(f"{where}: {name}: {each.ratios[0]:.3f}, {each.ratios[1]:.3f}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in found]))
    seen = [each for each in found if each.where in models.MODELS]
    apart = [each for each in found if each.where not in models.MODELS]
    right = [summary("kernels of networks", seen), summary("layers of other sizes", apart)]
    return int(not all(right))


def summary(title: str, found: Sequence[Found]) -> bool:
    """Print the kernels and their means; whether both means of the second pass are near enough."""
    if not found:
        return True
    table = Table("where", "kernel", "times", "schedules", "us", "to the best", "measured anew", title=title)
    for each in found:
        ratios = (f"{ratio:.3f}" for ratio in each.ratios)
        table.add_row(
            each.where,
            each.name,
            str(each.times),
            str(len(each.first)),
            f"{each.second[0] * 1e6:.0f}",
            *ratios,
        )
    Console(width=140).print(table)
    ratios = np.array([each.ratios for each in found])
    weights = np.array([each.weight for each in found])
    plain = np.exp(np.log(ratios).mean(0))
    weighted = weights.sum() / (weights[:, None] / ratios).sum(0)
    for what, (first, second) in (("geometric mean", plain), ("by time", weighted)):
        print(f"{len(found)} {title}, {what}: {first:.3f} times the best, measured anew {second:.3f}")
    return bool(max(plain[1], weighted[1]) <= FAR)


if __name__ == "__main__":
    sys.exit(main())
