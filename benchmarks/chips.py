"""Cycles of the benchmark models on simulated chips, and whether their values are right: `python -m benchmarks.chips`.

Each model is quantised on a few inputs, compiled for each chip and run on another input. Integers must equal the
graph's meaning in every byte (the CPU's package of the same graph gives it, fast); bf16 is compared with fp32.
With --properties it is checked besides what must hold of any package and any pair of chips.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import isthmus
from isthmus.compilation import build_model, finish
from isthmus.compiler.target.backend import KernelReport
from isthmus.compiler.target.description import Target
from isthmus.compiler.tile.products import product
from isthmus.compiler.tile.stage import CONSTANT
from isthmus.compiler.tile.work import body_cost
from isthmus.package import Package
from isthmus.runtime.sim.dram import Dram
from isthmus.targets import find_backend
from isthmus.testing.properties import SLACK, broken, cycles_with_more

from . import models

COLUMNS = (
    *(
        "chip",
        "cycles",
        "runs/s",
        "fused bound",
        "vector bound",
        "reached",
        "of peak",
        "overlap",
        "at most",
        "code KiB",
        "compile s",
        "run s",
    ),
    *("host steps", "values"),
)
LIMIT = 2e-2
"""Largest difference of bf16 from fp32, relative to the largest output."""

Row = dict[str, Any]


def measure(name: str, chips: Sequence[str], precision: str, samples: int) -> Iterator[tuple[Row, Package]]:
    """A row a chip, with the package."""
    file = models.path(name)
    calibration = [models.inputs(name, 100 + n) for n in range(samples)] if precision == "int8" else None
    judge = isthmus.compile(file, precision=precision, calibration=calibration, options=models.PLAIN)
    given = models.inputs(name, 1)
    wanted = judge.run(given) if precision == "int8" else isthmus.compile(file).run(given)
    for chip in chips:
        begin = time.perf_counter()
        built = build_model(judge.graph, chip)
        package = finish(built)
        compiled = time.perf_counter()
        target = find_backend(chip).target({})
        profile = package.profile(given)
        seconds = time.perf_counter() - compiled
        error, right = judged(wanted, profile.outputs, precision)
        moved = sum(k["dram_bytes"] for run in profile.chips for k in run.summary["kernels"])
        yield (
            {
                "model": name,
                "precision": precision,
                "chip": chip,
                **figures([run.summary for run in profile.chips]),
                "vector": vector_bound(built.reports, target),
                "overlap at most": overlap_bound(built.reports, moved, target),
                "code": sum(
                    len(package.artefact.entry(device.code)) for device in package.artefact.program.devices
                ),
                "compile": compiled - begin,
                "run": seconds,
                "host steps": len(package.manifest.fallbacks),
                "error": error,
                "right": right,
            },
            package,
        )


def figures(segments: Sequence[dict[str, Any]]) -> Row:
    """Of the segments of a run: cycles, runs a second of all cores together, each at an input of its own, the bound of
    the fused network, MACs by peak, overlap of the longest one."""
    total = sum(each["cycles"] for each in segments)
    peak = segments[0]["peak_macs_per_cycle"]
    return {
        "cycles": total,
        "runs": 1 / sum(1 / each["runs_per_second"] for each in segments),
        "bound": sum(each["bound"] for each in segments),
        "peak": sum(each["macs"] for each in segments) / peak / total,
        "overlap": max(segments, key=lambda each: each["cycles"])["overlap"],
    }


def vector_bound(reports: Sequence[KernelReport], target: Target) -> float:
    """Cycles of the vector unit at least: every element that the network's kernels work out on it, each once, on full
    lanes. What stripes compute again, padding and pauses between instructions come on top."""
    vector = target.engine("elementwise")
    types = next((engine.types for engine in target.engines.values() if engine.does == "contract"), ())
    total = 0.0
    for report in reports:
        if not report.cycles:
            continue  # a part of the kernel before, which is counted there
        for stage in report.kernel.stages:
            if product(report.kernel, stage, types) is None:
                points = prod(d.size for d in stage.dims)
                total += points / vector.lanes * body_cost(stage, vector)
    return total


def overlap_bound(reports: Sequence[KernelReport], moved: float, target: Target) -> float:
    """The greatest share of the transfers of `moved` bytes beside which products can run: the weights of kernels that
    follow one another come while these run, but for what their memory holds before. Home opens each page once, has as
    many bursts under way as it can, and refreshes."""
    home = Dram.of(next(each for each in target.record()["memories"].values() if each["home"]))
    array = next(engine for engine in target.engines.values() if engine.does == "contract")

    def cycles(bytes_: float) -> float:
        bursts, pages = (bytes_ / size / home.channels for size in (home.burst, home.page))
        slots = bursts / (home.outstanding or float("inf"))
        served = bursts * home.cycles_of_a_burst + pages * home.page_miss
        held = slots * home.slots_free_again() + min(slots, pages) * home.page_miss
        return home.wall(max(served, held))

    alone = most = 0.0
    for report in reports:
        kernel = report.kernel
        if report.cycles:  # else a part of the kernel before, which is counted there
            found = (product(kernel, stage, array.types) for stage in kernel.stages)
            columns = {each.columns.buffer for each in found if each is not None}
            weights = sum(
                prod(b.static_shape) * b.dtype.bytes for b in kernel.role(CONSTANT) if b.name in columns
            )
            alone = max(0.0, alone + cycles(weights) - report.breakdown[array.name] if columns else alone)
            most = max(most, alone - cycles(target.memories[array.b].bytes))
    return 1 - most / cycles(moved)


def judged(wanted: dict[str, np.ndarray], got: dict[str, np.ndarray], precision: str) -> tuple[float, bool]:
    """For integers how many elements differ, else the largest difference by the largest output; whether it is right."""
    if precision == "int8":
        wrong = sum(int((wanted[name] != got[name]).sum()) for name in wanted)
        return wrong, not wrong
    error = max(float(np.abs(wanted[n] - got[n]).max() / np.abs(wanted[n]).max()) for n in wanted)
    return error, error <= LIMIT


def cells(row: Row) -> list[str]:
    """A row as text."""
    if row["precision"] == "int8":
        verdict = f"{row['error']:.0f} differ" if row["error"] else "equal in every byte"
    else:
        verdict = f"{row['error']:.1e} from fp32"
    return [
        row["chip"],
        f"{row['cycles']:,}",
        f"{row['runs']:,.1f}",
        f"{row['bound']:,.0f}",
        f"{row['vector']:,.0f}",
        f"{max(row['bound'], row['vector']) / row['cycles']:.1%}",
        f"{row['peak']:.1%}",
        f"{row['overlap']:.1%}",
        f"{row['overlap at most']:.1%}",
        f"{row['code'] / 1024:.0f}",
        f"{row['compile']:.1f}",
        f"{row['run']:.1f}",
        str(row["host steps"]),
        verdict,
    ]


def slower(package: Package, chip: str, row: Row) -> Iterator[str]:
    """Variants of a chip that have more of something, and take longer for it; the row gets their cycles."""
    for what, wider in cycles_with_more(package.graph, chip).items():
        row[f"cycles, more {what}"] = wider
        if wider > SLACK * row["cycles"]:
            yield f"with twice the {what} {wider:,} cycles, expected at most {row['cycles']:,}"


def main() -> int:
    """Measure what the command line names; 1 where a value was wrong or a property did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chips", description=(__doc__ or "").split("\n")[0]
    )
    names = ["resnet18", "resnet50", "mobilenetv2"]
    parser.add_argument("--models", nargs="+", default=names, choices=list(models.MODELS), metavar="NAME")
    parser.add_argument(
        "--chips",
        nargs="+",
        default=["n1-16", "n1-32", "n1-128"],
        metavar="NAME",
        help="targets or chip files",
    )
    parser.add_argument("--precision", default="int8", choices=("int8", "bf16"))
    parser.add_argument("--samples", type=int, default=2, help="inputs to calibrate with")
    parser.add_argument(
        "--properties", action="store_true", help="check what must hold of times, traces and code"
    )
    parser.add_argument("--json", type=Path, help="a file that gets the rows too")
    options = parser.parse_args()
    console = Console(width=160)
    models.ensure(options.models)
    rows, sound = [], True
    for name in options.models:
        table = Table(*COLUMNS, title=f"{models.find(name).title}, {options.precision}")
        problems: list[str] = []
        for row, package in measure(name, options.chips, options.precision, options.samples):
            table.add_row(*cells(row))
            rows.append(row)
            if options.properties:
                problems += (f"{row['chip']}: {each}" for each in broken(package))
                problems += (f"{row['chip']}: {each}" for each in slower(package, row["chip"], row))
        console.print(table, *problems, sep="\n")
        sound = sound and not problems
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return int(not (sound and all(row["right"] for row in rows)))


if __name__ == "__main__":
    sys.exit(main())
