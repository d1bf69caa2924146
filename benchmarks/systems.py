"""What several devices are worth: `python -m benchmarks.systems` over the models and the systems of `examples/systems`.

Each model is quantised once and kept in build/systems, rows of the table too: a measurement goes on where it stopped.
For each system: latency of the chosen placement, of everything on the CPU and of greedy placement by priority, as
predicted and by the common clock, for which chips are compiled for and simulated; the period of a stream against that
of the best single device; planning time; values, if they are run.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import isthmus
from isthmus import cache
from isthmus.compilation import build_model
from isthmus.compiler.partition.knowledge import Knowledge
from isthmus.compiler.partition.partition import Partition
from isthmus.compiler.partition.system import System
from isthmus.compiler.pipeline import optimise
from isthmus.compiler.system_build import SystemBuilt, passes_for, work_out
from isthmus.interpreter import resting
from isthmus.package import Package
from isthmus.system_explanation import explain_system
from isthmus.targets import find_target

from . import models
from .clock import ALONE, CHOSEN, GREEDY, CommonClock, ways

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
        made = isthmus.compile(
            models.path(name), precision="int8", calibration=calibration, options=models.PLAIN
        )
        made.save(path)
    return isthmus.load(path)


@dataclass(frozen=True)
class Row:
    """What was measured on one system, as the table shows it, and whether every bar was met."""

    cells: list[str]
    right: bool


def measure(name: str, systems: Sequence[str], run: bool, console: Console) -> bool:
    """Print a row a system; whether every bar that the table shows was met."""
    judge, given = quantised(name), models.inputs(name, 1)
    table = Table(*COLUMNS, title=models.find(name).title)
    clock, rows = CommonClock(), []
    wanted: dict[str, np.ndarray] = {}
    for system in systems:
        row = kept_row(name, system, run)
        if row is None:
            wanted = wanted or (judge.run(given) if run else {})
            row = _row(judge, system, clock)
            row = _checked(judge, system, given, wanted, row) if run else row
            keep_row(name, system, run, row)
        rows.append(row)
        table.add_row(*row.cells)
    console.print(table)
    return all(row.right for row in rows)


def kept_row(name: str, system: str, run: bool) -> Row | None:
    """What the same compiler measured of the same model before."""
    try:
        kept = json.loads(_place(name, system).read_text())
    except (OSError, ValueError):
        return None
    return Row(kept["cells"], kept["right"]) if kept["key"] == _key(name, system, run) else None


def keep_row(name: str, system: str, run: bool, row: Row) -> None:
    """Keep a row beside the models, so that a measurement may go on where it was stopped."""
    _place(name, system).write_text(json.dumps({"key": _key(name, system, run), **asdict(row)}))


def _place(name: str, system: str) -> Path:
    return FOLDER / f"{name}@{Path(system).stem}.json"


def _key(name: str, system: str, run: bool) -> str:
    """What a row depends on: model, system, and all of the compiler."""
    model = (FOLDER / f"{name}.isth").stat()
    path = Path(system)
    how = {"system": path.read_text() if path.is_file() else system, "run": run}
    return cache.key(Path(name), f"{model.st_size} {model.st_mtime_ns}", how)


def _row(judge: Any, path: str, clock: CommonClock) -> Row:
    system = find_target(path)
    assert isinstance(system, System)
    latency, planning = planned(judge, system)
    cells, predicted, counted = [Path(path).stem, str(len(latency.units))], [], []
    for way in (CHOSEN, ALONE, GREEDY):
        layout, run, _ = clock.of(latency, ways(latency)[way])
        predicted.append(layout.predicted().seconds)
        counted.append(run.seconds)
        cells.append(f"{predicted[-1] * 1e3:.3f} {counted[-1] * 1e3:.3f}")
    right = all(times[0] <= min(times) for times in (predicted, counted))

    throughput, streaming = planned(judge, system, "throughput", latency)
    periods = {name: clock.of(throughput, way)[2] for name, way in ways(throughput).items() if name != GREEDY}
    chosen = periods.pop(CHOSEN)
    cells += [f"x {min(periods.values()) / chosen:.2f}", f"{planning:.1f} {streaming:.1f}"]
    return Row(cells, right and max(planning, streaming) <= PLANNING)


def _checked(judge: Any, path: str, given: Any, wanted: dict[str, np.ndarray], row: Row) -> Row:
    """The row with whether a run gives the right values, and for how many nodes `explain` tells why they run there."""
    built = build_model(judge.graph, path)
    assert isinstance(built, SystemBuilt)
    outputs = Package(built.artefact).run(given)
    wrong = sum(int((wanted[name] != outputs[name]).sum()) for name in wanted)
    told = explain_system(built, "", path).placements
    reasons = sum(bool(each.device != built.system.host or each.reason) for each in told)
    cells = [*row.cells, f"{wrong} differ" if wrong else "equal", f"{reasons}/{len(told)}"]
    return Row(cells, row.right and not wrong and reasons == len(told))


def planned(
    judge: Any, system: System, objective: str = "latency", before: Partition | None = None
) -> tuple[Partition, float]:
    """The partition of a model, and processor seconds of planning, no garbage collected, as in `compile`: tiling is
    left out, the code needs it too. `before`: the partition for another objective, whose costs are known."""
    if before is None:
        graph, _ = optimise(judge.graph.graph, passes=passes_for(system, ()))
        known = Knowledge()
    else:
        graph, known = before.graph, before.known
    work_out(Partition(graph, system, known, objective))  # kernels are tiled once
    with resting():
        begin = time.process_time()
        found = Partition(graph, system, known, objective)
        work_out(found)
        taken = time.process_time() - begin
    return found, taken


def plan(name: str, systems: Sequence[str], console: Console) -> bool:
    """Print how long planning takes on each system; whether that is within the bar."""
    judge = quantised(name)
    table = Table("system", "units", "latency s", "stream s", title=models.find(name).title)
    slowest = 0.0
    for path in systems:
        system = find_target(path)
        assert isinstance(system, System)
        found, taken = planned(judge, system)
        _, streaming = planned(judge, system, "throughput", found)
        slowest = max(slowest, taken, streaming)
        table.add_row(Path(path).stem, str(len(found.units)), f"{taken:.1f}", f"{streaming:.1f}")
    console.print(table)
    return slowest <= PLANNING


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
    parser.add_argument("--planning", action="store_true", help="time planning alone")
    options = parser.parse_args()
    console = Console(width=150)
    if options.planning:
        right = [plan(name, options.systems, console) for name in options.models]
        return int(not all(right))
    right = [measure(name, options.systems, not options.no_run, console) for name in options.models]
    return int(not all(right))


if __name__ == "__main__":
    sys.exit(main())
