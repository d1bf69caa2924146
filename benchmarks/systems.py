"""What several devices are worth: `python -m benchmarks.systems` over the models and the systems of `examples/systems`.

Each model is quantised once and kept in build/systems. For each system: latency of the chosen placement, of everything
on the CPU and of greedy placement by priority, as predicted and by the common clock, for which chips are compiled for
and simulated; the period of a stream against that of the best single device; planning time; values, if they are run.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import isthmus
from isthmus.compilation import build_model
from isthmus.compiler.partition.partition import Partition
from isthmus.compiler.system_build import SystemBuilt, work_out
from isthmus.package import Package
from isthmus.system_explanation import explain_system

from . import models
from .clock import ALONE, GREEDY, clocked, plain_ways

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "systems"
SYSTEMS = sorted(str(path) for path in (ROOT / "examples" / "systems").glob("*.toml"))
COLUMNS = (
    "system",
    "units",
    "latency ms: predicted, by the clock",
    "all on the CPU",
    "greedy",
    "stream",
    "planning s: latency, stream",
    "values",
    "told",
)
PLANNING = 5
"""Seconds that planning may take."""


def quantised(name: str, samples: int = 2) -> Any:
    """The model in 8-bit integers, from the cache or made."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.isth"
    if not path.exists():
        models.ensure([name])
        calibration = [models.inputs(name, 100 + n) for n in range(samples)]
        isthmus.compile(models.path(name), precision="int8", calibration=calibration).save(path)
    return isthmus.load(path)


def measure(name: str, systems: Sequence[str], run: bool, console: Console) -> bool:
    """Print a row a system; whether every bar that the table shows was met."""
    judge = quantised(name)
    given = models.inputs(name, 1)
    wanted = judge.run(given) if run else {}
    table = Table(*COLUMNS, title=models.find(name).title)
    right = True
    for system in systems:
        row, ok = _row(judge, system, given, wanted)
        table.add_row(*row)
        right = right and ok
    console.print(table)
    return right


def _row(judge: Any, system: str, given: Any, wanted: dict[str, np.ndarray]) -> tuple[list[str], bool]:
    built = build_model(judge.graph, system)
    assert isinstance(built, SystemBuilt)
    partition, planning = planned(built, "latency")
    plain = plain_ways(partition)
    ways = {"chosen": (built.chosen.layout, built.compiled)} | {
        name: (plain[name], None) for name in (ALONE, GREEDY)
    }
    predicted = {name: layout.predicted().seconds for name, (layout, _) in ways.items()}
    clock = {name: clocked(*each)[0].seconds for name, each in ways.items()}
    ok = all(times["chosen"] <= min(times.values()) for times in (predicted, clock))
    row = [Path(system).stem, str(len(partition.units))]
    row += [f"{predicted[name] * 1e3:.3f} {clock[name] * 1e3:.3f}" for name in ways]

    partition, streaming = planned(built, "throughput")
    candidates = work_out(partition)
    assert candidates is not None
    singles = [layout for name, layout in plain_ways(partition).items() if name != GREEDY]
    period = min(clocked(layout)[1] for layout in singles)
    row.append(f"x {period / clocked(candidates[0].layout)[1]:.2f}")
    row.append(f"{planning:.1f} {streaming:.1f}")
    ok = ok and max(planning, streaming) <= PLANNING

    values = "-"
    if wanted:
        outputs = Package(built.artefact).run(given)
        wrong = sum(int((wanted[name] != outputs[name]).sum()) for name in wanted)
        values, ok = f"{wrong} differ" if wrong else "equal", ok and not wrong
    told = explain_system(built, "", system).placements
    reasons = sum(bool(each.device != built.system.host or each.reason) for each in told)
    return [*row, values, f"{reasons}/{len(told)}"], ok and reasons == len(told)


def planned(built: SystemBuilt, objective: str) -> tuple[Partition, float]:
    """The partition for an objective, and processor seconds of planning: tiling is left out, the code needs it too."""
    known = built.partition.known
    work_out(Partition(built.graph, built.system, known, objective))  # kernels are tiled once
    begin = time.process_time()
    partition = Partition(built.graph, built.system, known, objective)
    work_out(partition)
    return partition, time.process_time() - begin


def main() -> int:
    """Measure what the command line names; 1 where a bar was missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.systems", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--models", nargs="+", default=list(models.MODELS), choices=list(models.MODELS), metavar="NAME"
    )
    parser.add_argument(
        "--systems", nargs="+", default=SYSTEMS, metavar="TARGET", help="system files or names with +"
    )
    parser.add_argument("--no-run", action="store_true", help="predict only")
    options = parser.parse_args()
    console = Console(width=150)
    right = [measure(name, options.systems, not options.no_run, console) for name in options.models]
    return int(not all(right))


if __name__ == "__main__":
    sys.exit(main())
