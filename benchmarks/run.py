"""Measures isthmus beside its peers on the benchmark models: `python -m benchmarks`, or `make bench`.

For each model: cold compile time and peak memory in fresh processes, then, for each number of threads, one
process in which all engines' outputs are compared and their runs alternate. Results go to build/bench.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

from . import models, regression, report
from .child import ROOT, call
from .engines import ENGINES, JUDGE, PEERS, SUBJECT
from .plot import draw
from .summary import summarise

Result = dict[str, Any]
WIDTH = 150
"""Columns of the tables where they do not go to a terminal."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 where isthmus gave a wrong output or has become slower than recorded, else 0."""
    machine = _machine()
    options = _options(arguments, machine["cpu"])
    written = options.folder / "bench.json"
    best = _best_probes(written, machine)
    console = Console(stderr=options.json)
    if not console.is_terminal:
        console.width = WIDTH
    with console.status("making the models that are missing") as status:
        files = models.ensure(options.models, options.cache)
        options.folder.mkdir(parents=True, exist_ok=True)
        results: list[Result] = []
        for file in files:
            status.update(f"{file.stem}: compiling and loading in fresh processes")
            result = _standing(file, options)
            results.append(result)
            for threads in options.threads:
                status.update(f"{file.stem}: alternating runs, threads: {threads}")
                result["threads"][str(threads)] = _race(file, result, threads, best, options)
                status.console.print(report.line(result, threads), highlight=False)
    document: Result = {"machine": machine, "runs": options.runs, "best_probes": best, "models": results}
    document["means"] = {str(threads): report.means(results, threads) for threads in options.threads}
    written.write_text(json.dumps(document, indent=1) + "\n")
    if options.json:
        print(json.dumps(document))
    else:
        report.show(document, console)
    draw(document, options.folder / "bench.png")
    console.print(f"written: {written} and bench.png beside it", soft_wrap=True)
    slower = regression.regressions(document, options.against or {})
    for line in slower:
        Console(stderr=True).print(f"[red]slower:[/] {line}", soft_wrap=True, highlight=False)
    if options.record is not None:
        regression.record(document, options.record)
    return int(bool(slower) or any(report.is_wrong(result) for result in results))


def _options(arguments: list[str] | None, cpu: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    for flag, names in (("--models", tuple(models.ALL)), ("--peers", PEERS)):
        described = f"some of {', '.join(names)} (default: all)"
        parser.add_argument(flag, default=names, choices=names, nargs="+", metavar="NAME", help=described)
    parser.add_argument("--threads", default=[1, 2], type=int, nargs="+", metavar="N", help="default: 1 2")
    parser.add_argument("--runs", default=30, type=int, help="quiet rounds for each model (default: 30)")
    parser.add_argument(
        "--compiles", default=3, type=int, help="cold compilations for each model (default: 3)"
    )
    parser.add_argument("--cache", default=models.CACHE, type=Path, help="where the ONNX files are kept")
    parser.add_argument("--folder", default=ROOT / "build" / "bench", type=Path, help="where the results go")
    parser.add_argument("--json", action="store_true", help="print the results as JSON instead of tables")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the ratios to the better peer")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="fail where such a ratio is over 10 %% larger than recorded",
    )
    options = parser.parse_args(arguments)
    if options.against is not None:
        try:
            options.against = regression.read(options.against, cpu)
        except ValueError as error:
            parser.error(f"--against: {error}")
    options.folder = options.folder.resolve()
    options.cache = options.cache.resolve()
    if min(options.runs, options.compiles, *options.threads) < 1:
        parser.error("--runs, --compiles and --threads: expected positive numbers")
    if max(options.threads) > len(os.sched_getaffinity(0)):
        parser.error(f"--threads: this process may run on {len(os.sched_getaffinity(0))} cores only")
    return options


def _standing(file: Path, options: argparse.Namespace) -> Result:
    """What does not depend on threads: the package, its cold compile times, and each engine's peak memory."""
    package = options.folder / f"{file.stem}.isth"
    package.unlink(missing_ok=True)
    floats = models.find(file.stem).floats
    (source,) = [file] if floats is None else models.ensure([floats], options.cache)
    asked = {"model": str(source), "package": str(package), "calibrated": floats}
    compiled = [call("compile", **asked)]
    while len(compiled) < options.compiles and "error" not in compiled[0]:
        compiled.append(call("compile", **asked))
    result: Result = {"name": file.stem, "onnx_bytes": file.stat().st_size, "footprint": {}, "threads": {}}
    failed = next((attempt for attempt in compiled if "error" in attempt), None)
    if failed is not None:
        result["refused"] = failed["error"]
    else:
        result["compile"] = {
            "seconds": [attempt["seconds"] for attempt in compiled],
            "save_seconds": [attempt["save_seconds"] for attempt in compiled],
            "package_bytes": compiled[0]["bytes"],
        }
    for engine, path in _files(file, result, options, options.peers).items():
        result["footprint"][engine] = call("footprint", engine=engine, name=file.stem, file=path)
    return result


def _race(
    file: Path, result: Result, threads: int, best: dict[str, float], options: argparse.Namespace
) -> Result:
    """The alternating runs, with the statistics of each engine's seconds added; raises the best probe in `best`."""
    machine = call("cores", threads=threads)
    if "error" in machine:
        return machine
    race = call(
        "alternate",
        name=file.stem,
        files=_files(file, result, options, {JUDGE, *options.peers}),
        timed=[SUBJECT, *options.peers],
        cores=machine["cores"],
        runs=options.runs,
        reference=max(machine["gflops"], best.get(str(threads), 0.0)),
    )
    if "best_probe" in race:
        best[str(threads)] = race["best_probe"]
    for engine in race.get("engines", {}).values():
        if engine.get("seconds"):
            engine |= vars(summarise(engine["seconds"]))
    return race


def _files(file: Path, result: Result, options: argparse.Namespace, peers: Iterable[str]) -> dict[str, str]:
    """What each engine opens: the ONNX file, or the package; isthmus is left out where it refused the model."""
    subject = {} if "refused" in result else {SUBJECT: str(options.folder / f"{file.stem}.isth")}
    return subject | {engine: str(file) for engine in ENGINES if engine in peers}


def _best_probes(written: Path, machine: Result) -> dict[str, float]:
    """The best probe by threads of the report before, if it is this machine's: it may be slow for all of this one."""
    try:
        before = json.loads(written.read_text())
        return dict(before["best_probes"]) if before["machine"]["cpu"] == machine["cpu"] else {}
    except (OSError, ValueError, KeyError):
        return {}


def _machine() -> Result:
    """The processor, the system and the versions that the numbers belong to."""
    cpu = platform.processor() or platform.machine()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    told = dict(map(str.strip, line.split(":", 1)) for line in reversed(lines) if ":" in line)
    if "model name" in told:  # a hypervisor may give several generations one name
        numbers = [f"{word} {told[word]}" for word in ("cpu family", "model") if word in told]
        cpu = f"{told['model name']} ({', '.join(numbers)})" if numbers else told["model name"]
    versions = {name: metadata.version(name) for name in (*ENGINES, "numpy")}
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "versions": versions,
    }
