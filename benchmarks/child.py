"""Measurements that need a process of their own: cold compilation, peak memory, and the alternating runs.

`call` starts `python -m benchmarks.child` on a task of TASKS and returns its result, or the sentence that
says why there is none; an engine that dies takes only its own measurement with it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1200.0
"""Seconds after which a measurement is given up."""

Result = dict[str, Any]


def call(task: str, **arguments: Any) -> Result:
    """Run a task in a fresh process: its result, or {"error": sentence} where it failed or died."""
    with tempfile.TemporaryDirectory() as home:
        # A home of its own keeps engines' caches out: what is called cold is cold. numpy gets one thread for the probe.
        environment = os.environ | {"HOME": home, "XDG_CACHE_HOME": home, "OPENBLAS_NUM_THREADS": "1"}
        # An installed package has its bytecode, pip writes it; a checkout on a machine that writes none would not.
        environment |= {"PYTHONPYCACHEPREFIX": str(ROOT / "build" / "bytecode")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        answer = Path(home, "answer.json")
        command = [sys.executable, "-m", "benchmarks.child", task, json.dumps(arguments), str(answer)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT
            )
        except subprocess.TimeoutExpired:
            return {"error": f"gave no result within {LIMIT:.0f} s"}
        if done.returncode < 0:
            return {"error": f"died with {signal.Signals(-done.returncode).name}"}
        if not answer.exists():
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode} and no message"]
            return {"error": lines[-1]}
        return json.loads(answer.read_text())


def compile_cold(model: str, package: str, calibrated: str | None = None) -> Result:
    """Compile an ONNX file into a package: seconds of `isthmus.compile` and of `save`, and bytes of the package.

    `calibrated`: in 8 bits, on inputs of the benchmark model of that name; finding ranges counts.
    """
    import isthmus

    from .models import calibration

    precision = "f32" if calibrated is None else "int8"
    samples = None if calibrated is None else calibration(calibrated)
    start = time.perf_counter()
    compiled = isthmus.compile(model, target="cpu", cache=False, precision=precision, calibration=samples)
    middle = time.perf_counter()
    compiled.save(package)
    end = time.perf_counter()
    return {"seconds": middle - start, "save_seconds": end - middle, "bytes": Path(package).stat().st_size}


def footprint(engine: str, name: str, file: str) -> Result:
    """Open a file, run it once: seconds to open it, and the peak resident memory in bytes, imports included."""
    from .engines import ENGINES
    from .models import inputs

    start = time.perf_counter()
    run = ENGINES[engine].open(Path(file), 1)
    opened = time.perf_counter()
    run(inputs(name))
    return {"open_seconds": opened - start, "peak_bytes": peak_bytes()}


def peak_bytes() -> int:
    """The largest resident set that this process has had, in bytes.

    From /proc: `getrusage` would also count the parent's memory, which a child shares until it calls exec.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status: no VmHWM line, expected one (Linux 2.6 or newer)")


def cores(threads: int) -> Result:
    """The cores to measure on, those that are fastest now, and their speed in GFLOP/s."""
    from .probe import fastest_cores

    chosen, speed = fastest_cores(threads)
    return {"cores": chosen, "gflops": speed}


def alternate(**arguments: Any) -> Result:
    """The alternating runs of one model; see `benchmarks.rounds`."""
    from .rounds import measure

    return measure(**arguments)


TASKS: dict[str, Callable[..., Result]] = {
    "compile": compile_cold,
    "footprint": footprint,
    "cores": cores,
    "alternate": alternate,
}


def main(task: str, arguments: str, answer: str) -> None:
    """Run a task and write its result, or its error, as JSON."""
    try:
        result = TASKS[task](**json.loads(arguments))
    except Exception as error:  # whatever an engine raises is this measurement's result
        text = " ".join(str(error).split())
        result = {"error": text or type(error).__name__}
    Path(answer).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
