"""One model on all engines, in one process and on fixed cores: first the outputs compared, then alternating runs.

In a round each engine has one turn: wait until the others' workers rest, run untimed until its own weights
and workers are back, then the run that is timed. A probe of the cores stands between rounds.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .engines import ENGINES, JUDGE, Arrays, Run
from .models import find, inputs
from .probe import QUIET, gflops, settle
from .summary import quietest

ACCURACY_SEEDS = (1, 2)
PADDING = 40
"""How many positions are masked in the padded case of a model with a mask."""
WARM_SECONDS = 0.03
"""How long an engine runs untimed: the scheduler may wake its workers on one core and takes a while to part them."""
PATIENCE = 3
"""Rounds at most, as a multiple of those asked for, while the machine is slow."""


def measure(
    name: str, files: dict[str, str], timed: Sequence[str], cores: Sequence[int], runs: int, reference: float
) -> dict[str, Any]:
    """Errors of every engine in `files` against the judge, and the seconds of each run of those in `timed`.

    `reference` is the best probe seen so far, in GFLOP/s; more rounds are run while fewer than `runs` were quiet
    by it, and of all the `runs` with the best probes are returned.
    """
    os.sched_setaffinity(0, set(cores))  # before the engines make their threads, which inherit it
    engines: dict[str, dict[str, Any]] = {engine: {} for engine in files}
    opened: dict[str, Run] = {}
    for engine, file in files.items():
        try:
            opened[engine] = ENGINES[engine].open(Path(file), len(cores))
            opened[engine](inputs(name))
        except (
            Exception
        ) as error:  # an engine that refuses the model is shown so; the others are still measured
            opened.pop(engine, None)
            engines[engine]["error"] = " ".join(str(error).split()) or type(error).__name__
    for engine, run in opened.items():
        if JUDGE in opened and engine != JUDGE:
            engines[engine] |= _judge(name, run, opened[JUDGE])
    raced = {engine: opened[engine] for engine in timed if engine in opened}
    probes, seconds = alternate(raced, inputs(name), cores, runs, reference)
    kept = quietest(probes, runs)
    for engine, durations in seconds.items():
        engines[engine]["seconds"] = [durations[index] for index in kept]
    best = max([reference, *probes])
    return {
        "engines": engines,
        "probes": [probes[index] for index in kept],
        "best_probe": best,
        "quiet": sum(probes[index] >= QUIET * best for index in kept),
        "rounds": len(probes),
    }


def alternate(
    opened: dict[str, Run], arrays: Arrays, cores: Sequence[int], runs: int, reference: float
) -> tuple[list[float], dict[str, list[float]]]:
    """The lower of the two probes around each round, in GFLOP/s, and the seconds of each engine's timed runs."""
    probes: list[float] = []
    seconds: dict[str, list[float]] = {engine: [] for engine in opened}
    before = gflops(cores)
    while opened and len(probes) < PATIENCE * runs:
        for engine, run in opened.items():
            settle()
            warm = time.perf_counter() + WARM_SECONDS
            run(arrays)
            while time.perf_counter() < warm:
                run(arrays)
            start = time.perf_counter()
            run(arrays)
            seconds[engine].append(time.perf_counter() - start)
        settle()
        after = gflops(cores)
        probes.append(min(before, after))
        before, reference = after, max(reference, after)
        if sum(probe >= QUIET * reference for probe in probes) >= runs:
            break
    return probes, seconds


def _judge(name: str, run: Run, judge: Run) -> dict[str, Any]:
    """The largest "difference" over two inputs (and a padded one where there is a mask); "wrong" if too much."""
    cases = [inputs(name, seed) for seed in ACCURACY_SEEDS]
    if find(name).masked:
        cases.append(inputs(name, 3, padding=PADDING))
    worst = 0.0
    for case in cases:
        wanted, got = judge(case), run(case)
        for output, want in wanted.items():
            try:
                worst = max(worst, difference(got[output], want))
            except ValueError as error:
                return {"wrong": f"output {output}: {error}"}
    wrong = {"wrong": f"differs by {worst:.1e}"} if worst > find(name).tolerance else {}
    return {"difference": worst} | wrong


def difference(got: np.ndarray, want: np.ndarray) -> float:
    """The largest error relative to the largest magnitude wanted.

    Raises ValueError where the shapes differ or a value is not finite.
    """
    if got.shape != want.shape:
        raise ValueError(f"got shape {got.shape}, expected {want.shape}")
    if not np.isfinite(got).all():
        raise ValueError(
            f"got {np.count_nonzero(~np.isfinite(got))} values that are not finite, expected none"
        )
    scale = float(np.abs(want).max())
    error = float(np.abs(got - want).max())
    return error / scale if scale else error
