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
from isthmus.compiler.partition.knowledge import Knowledge
from isthmus.compiler.partition.partition import Partition
from isthmus.compiler.partition.system import System
from isthmus.compiler.pipeline import optimise
from isthmus.compiler.system_build import SystemBuilt, passes_for, work_out
from isthmus.package import Package
from isthmus.system_explanation import explain_system
from isthmus.targets import find_target

from . import models
from .clock import ALONE, CHOSEN, GREEDY, clocked, ways

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


def _row(judge: Any, path: str, given: Any, wanted: dict[str, np.ndarray]) -> tuple[list[str], bool]:
    system = find_target(path)
    assert isinstance(system, System)
    graph, _ = optimise(judge.graph.graph, passes=passes_for(system, ()))
    partition, planning = planned(Partition(graph, system, Knowledge()))
    row, predicted, clock = [Path(path).stem, str(len(partition.units))], [], []
    for way in (CHOSEN, ALONE, GREEDY):
        layout, run, _ = clocked(partition, ways(partition)[way])
        predicted.append(layout.predicted().seconds)
        clock.append(run.seconds)
        row.append(f"{predicted[-1] * 1e3:.3f} {clock[-1] * 1e3:.3f}")
    ok = all(times[0] <= min(times) for times in (predicted, clock))

    partition, streaming = planned(Partition(graph, system, partition.known, "throughput"))
    periods = {name: clocked(partition, way)[2] for name, way in ways(partition).items() if name != GREEDY}
    chosen = periods.pop(CHOSEN)
    row += [f"x {min(periods.values()) / chosen:.2f}", f"{planning:.1f} {streaming:.1f}"]
    ok = ok and max(planning, streaming) <= PLANNING
    return (row, ok) if not wanted else _checked(judge, path, given, wanted, row, ok)


def _checked(
    judge: Any, path: str, given: Any, wanted: dict[str, np.ndarray], row: list[str], ok: bool
) -> tuple[list[str], bool]:
    """The row with whether a run gives the right values, and for how many nodes `explain` tells why they run there."""
    built = build_model(judge.graph, path)
    assert isinstance(built, SystemBuilt)
    outputs = Package(built.artefact).run(given)
    wrong = sum(int((wanted[name] != outputs[name]).sum()) for name in wanted)
    told = explain_system(built, "", path).placements
    reasons = sum(bool(each.device != built.system.host or each.reason) for each in told)
    row += [f"{wrong} differ" if wrong else "equal", f"{reasons}/{len(told)}"]
    return row, ok and not wrong and reasons == len(told)


def planned(partition: Partition) -> tuple[Partition, float]:
    """The partition again, and processor seconds of planning: tiling is left out, the code needs it too."""
    work_out(partition)  # kernels are tiled once
    begin = time.process_time()
    partition = Partition(partition.graph, partition.system, partition.known, partition.objective)
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
