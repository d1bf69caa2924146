"""What several devices are worth: `python -m benchmarks.systems` over the models and the systems of `examples/systems`.

Each model is quantised once and kept in build/systems. For each system: predicted latency of the chosen placement, of
everything on the CPU and of greedy placement by priority; the same on the common clock after a run, with values checked
against the CPU's package of the same graph; the period of a stream against the best single device; planning time.
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
from isthmus.compiler.system_build import SystemBuilt, work_out
from isthmus.package import Package
from isthmus.system_explanation import explain_system, ways

from . import models

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "systems"
SYSTEMS = sorted(str(path) for path in (ROOT / "examples" / "systems").glob("*.toml"))
STREAM = 12
COLUMNS = (
    "system",
    "units",
    "planning s",
    "latency ms",
    "all CPU",
    "greedy",
    "on the clock",
    "stream",
    "values",
    "told",
)


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
    known = Knowledge()
    Partition(built.graph, built.system, known)  # kernels are tiled once, for code as well
    begin = time.process_time()
    work_out(Partition(built.graph, built.system, known))
    planning = time.process_time() - begin
    found = {way.name: way for way in ways(built)}
    chosen = found[built.chosen.choice.how]
    host = next((way for name, way in found.items() if name.startswith("all on")), chosen)
    plain = found.get("greedy", host)
    told = explain_system(built, "", system).placements
    reasons = sum(bool(each.device != built.system.host or each.reason) for each in told)
    row = [Path(system).stem, str(len(built.partition.units)), f"{planning:.1f}"]
    row += [f"{each.latency * 1e3:.3f}" for each in (chosen, host, plain)]
    ok = built.chosen.latency <= min(host.latency, plain.latency) and planning <= 5 and reasons == len(told)
    clock, values = "-", "-"
    if wanted:
        profile = Package(built.artefact).profile(given)
        assert profile.system is not None
        clock = f"{profile.system.seconds * 1e3:.3f}"
        wrong = sum(int((wanted[n] != profile.outputs[n]).sum()) for n in wanted)
        values, ok = f"{wrong} differ" if wrong else "equal", ok and not wrong
    stream = build_model(judge.graph, system, options={"objective": "throughput"})
    assert isinstance(stream, SystemBuilt)
    single = best_single(stream)
    row += [clock, f"x {single / stream.chosen.period:.2f}", values, f"{reasons}/{len(told)}"]
    return row, ok


def best_single(built: SystemBuilt) -> float:
    """Seconds an input on the best single device with the host beside it for what it does not run, one at a time."""
    host = built.system.host
    totals = []
    for device in built.system.devices:
        totals.append(
            sum(unit.seconds.get(device.name, unit.seconds.get(host, 0.0)) for unit in built.partition.units)
        )
    return min(totals)


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
