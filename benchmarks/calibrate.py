"""How far a CPU's predicted cycles are from what kernels take: `python -m benchmarks.calibrate` prints `[calibration]`.

Each kernel of some models is timed by the clock inside its code, on one core, the least of several runs. `scale` is the
median ratio over kernels that take long, `kernel` the cycles that short ones take beside what is predicted for them.
"""

import argparse
import sys
from collections import defaultdict

import numpy as np

import isthmus
from isthmus.arrays import random_arrays
from isthmus.compilation import build_model, finish
from isthmus.compiler.pipeline import Built
from isthmus.model import read
from isthmus.targets import find_backend

from . import models

LONG, SHORT = 50e-6, 5e-6
"""Seconds from which a kernel counts as long, and up to which as short."""


def ratios(name: str, runs: int) -> list[tuple[float, float]]:
    """Predicted cycles and measured seconds of each kernel of a model, by label; kernels of one label are added up."""
    built = build_model(read(models.path(name)), "cpu")
    assert isinstance(built, Built)
    package = finish(built, threads=1)
    predicted: dict[str, float] = defaultdict(float)
    for report in built.reports:
        predicted[report.name] += report.cycles
    least: dict[str, float] = {}
    arrays = random_arrays(package.inputs)
    for _ in range(runs):
        taken: dict[str, float] = defaultdict(float)
        for step in package.profile(arrays, threads=1).steps:
            taken[step.name] += step.seconds
        least = {label: min(seconds, least.get(label, seconds)) for label, seconds in taken.items()}
    return [(predicted[label], least[label]) for label in predicted if label in least]


def main() -> int:
    """Measure the models that the command line names and print the table for the chip file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.calibrate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--models", nargs="+", default=["resnet18", "mobilenetv2"], choices=list(models.MODELS)
    )
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    clock = find_backend("cpu").target({}).clock_mhz * 1e6
    found = np.array([pair for name in options.models for pair in ratios(name, options.runs)])
    cycles, seconds = found[:, 0], found[:, 1] * clock
    long = found[:, 1] >= LONG
    scale = float(np.median(seconds[long] / cycles[long]))
    short = ~long & (found[:, 1] <= SHORT)
    kernel = float(np.median(seconds[short] - scale * cycles[short])) if short.any() else 0.0
    error = np.abs(scale * cycles[long] / seconds[long] - 1)
    print(f"# isthmus {isthmus.__version__}: {len(found)} kernels of {', '.join(options.models)}")
    total = scale * cycles.sum() / seconds.sum() - 1
    print(f"# median error of long ones after it {np.median(error):.0%}, of the whole {total:+.0%}")
    print(f"[calibration]\nscale = {scale:.2f}\nkernel = {max(0.0, kernel):.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
