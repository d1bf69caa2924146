"""Cycles of the benchmark models on simulated chips, and whether their values are right: `python -m benchmarks.chips`.

Each model is quantised on a few inputs, compiled for each chip and run on another input. Integers must equal the
graph's meaning in every byte (the CPU's package of the same graph gives it, fast); bf16 is compared with fp32.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import isthmus
from isthmus.compiler.ops.engine import get
from isthmus.targets import find_backend

from . import models

COLUMNS = ("chip", "cycles", "of peak", "code KiB", "compile s", "run s", "values")
PRODUCTS = ("quant.conv", "quant.matmul", "nn.conv", "nn.matmul")
LIMIT = 2e-2
"""Largest difference of bf16 from fp32, relative to the largest output."""


def macs(graph: Any) -> int:
    """Multiplications of all products of a graph."""
    return int(sum(get(node.op).cost(node).macs for node in graph.nodes if node.op in PRODUCTS))


def measure(name: str, chips: Sequence[str], precision: str, samples: int, console: Console) -> bool:
    """Print a row a chip; whether all values were right."""
    file = models.path(name)
    calibration = [models.inputs(name, 100 + n) for n in range(samples)] if precision == "int8" else None
    judge = isthmus.compile(file, precision=precision, calibration=calibration)
    given = models.inputs(name, 1)
    wanted = judge.run(given) if precision == "int8" else isthmus.compile(file).run(given)
    table = Table(*COLUMNS, title=f"{models.find(name).title}, {precision}")
    right = True
    for chip in chips:
        begin = time.perf_counter()
        package = isthmus.compile(judge.graph, target=chip)
        compiled = time.perf_counter()
        profile = package.profile(given)  # type: ignore[union-attr]
        seconds = time.perf_counter() - compiled
        array = find_backend(chip).target({}).engine("contract")
        (cycles,) = profile.cycles.values()
        share = macs(package.graph.graph) / (array.pixels * array.rows * array.cols) / cycles  # type: ignore[union-attr]
        verdict, ok = judged(wanted, profile.outputs, precision)
        right = right and ok
        code = len(package.artefact.entry(f"{find_backend(chip).name}/code.bin")) / 1024  # type: ignore[union-attr]
        table.add_row(
            chip,
            f"{cycles:,}",
            f"{share:.1%}",
            f"{code:.0f}",
            f"{compiled - begin:.1f}",
            f"{seconds:.1f}",
            verdict,
        )
    console.print(table)
    return right


def judged(wanted: dict[str, np.ndarray], got: dict[str, np.ndarray], precision: str) -> tuple[str, bool]:
    """In words, and whether it is right."""
    if precision == "int8":
        wrong = sum(int((wanted[name] != got[name]).sum()) for name in wanted)
        return (f"{wrong} differ" if wrong else "equal in every byte"), not wrong
    error = max(float(np.abs(wanted[n] - got[n]).max() / np.abs(wanted[n]).max()) for n in wanted)
    return f"{error:.1e} from fp32", error <= LIMIT


def main() -> int:
    """Measure what the command line names; 1 where a value was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chips", description=(__doc__ or "").split("\n")[0]
    )
    names = ["resnet18", "resnet50", "mobilenetv2"]
    chips = ["n1-16", "n1-32", "n1-128"]
    parser.add_argument("--models", nargs="+", default=names, choices=list(models.MODELS), metavar="NAME")
    parser.add_argument("--chips", nargs="+", default=chips, metavar="NAME", help="targets or chip files")
    parser.add_argument("--precision", default="int8", choices=("int8", "bf16"))
    parser.add_argument("--samples", type=int, default=2, help="inputs to calibrate with")
    options = parser.parse_args()
    console = Console()
    models.ensure(options.models)
    right = [
        measure(name, options.chips, options.precision, options.samples, console) for name in options.models
    ]
    return int(not all(right))


if __name__ == "__main__":
    sys.exit(main())
