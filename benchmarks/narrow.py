"""int8 and bf16 beside the peers, like with like: alternating runs of one model in one process.

    python -m benchmarks.narrow resnet50 mobilenetv2              # int8
    python -m benchmarks.narrow resnet50 --precision bf16

int8: isthmus calibrates the float model; the peers run a model with quantize nodes that ONNX Runtime's own tool has
made of the same float model on the same inputs (u8 activations, i8 weights, a scale an output channel). bf16: OpenVINO
with its own choice of precision, which is bf16 where the processor has it; ONNX Runtime has none and stands there in
float32.
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import isthmus

from . import models
from .engines import ENGINES, JUDGE, PEERS, SUBJECT, Arrays, open_openvino
from .probe import QUIET, fastest_cores
from .rounds import alternate
from .summary import quietest, summarise


class Reader:
    """The calibration inputs as ONNX Runtime's tool asks for them."""

    def __init__(self, samples: Sequence[Arrays]):
        self._left = list(samples)

    def get_next(self) -> Arrays | None:
        return self._left.pop() if self._left else None


def with_nodes(file: Path, target: Path, samples: Sequence[Arrays], method: str = "MinMax") -> None:
    """Write the model with quantize nodes to `target`; `method`: ONNX Runtime's name of one to choose ranges."""
    from onnxruntime import quantization

    prepared = target.with_suffix(".prepared")
    quantization.shape_inference.quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(target),
        Reader(samples),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod[method],
    )
    prepared.unlink()


def quantised(name: str, file: Path) -> Path:
    """The model with quantize nodes beside the float one, made where it is missing."""
    target = file.with_suffix(".int8.onnx")
    if not target.exists():
        with_nodes(file, target, models.calibration(name))
    return target


def packages(name: str, file: Path, precision: str, folder: Path, keep: bool) -> dict[str, Path]:
    """Ours in float32 and in the precision; those that are there already if they are to be kept."""
    found = {}
    for each in ("f32", precision):
        package = found[each] = folder / f"{name}.{each}.isth"
        if keep and package.exists():
            continue
        samples = models.calibration(name) if each == "int8" else None
        isthmus.compile(file, precision=each, calibration=samples).save(package)
    return found


def measure(name: str, precision: str, threads: int, runs: int, folder: Path, keep: bool) -> dict[str, float]:
    """The least seconds of each engine, ours in float32 besides, over quiet rounds."""
    (file,) = models.ensure([name])
    ours = packages(name, file, precision, folder, keep)
    cores, reference = fastest_cores(threads)
    os.sched_setaffinity(0, set(cores))
    opened: dict[str, Any] = {
        f"{SUBJECT} {each}": ENGINES[SUBJECT].open(package, threads) for each, package in ours.items()
    }
    theirs = quantised(name, file) if precision == "int8" else file
    asked = "f32" if precision == "int8" else None
    for peer, start in ((JUDGE, ENGINES[JUDGE].open), ("openvino", partial(open_openvino, precision=asked))):
        try:
            opened[peer] = start(theirs, threads)
        except (
            Exception
        ) as error:  # a peer that refuses the model is left out; the other one is still measured
            print(f"{name}: {peer} refuses it: {' '.join(str(error).split())[:200]}")
    probes, seconds = alternate(opened, models.inputs(name, models.SAMPLES), cores, runs, reference)
    kept = quietest(probes, runs)
    if min(probes[index] for index in kept) < QUIET * max(reference, *probes):
        print(f"{name}: the cores were not quiet, the figures are rough")
    return {engine: summarise([times[n] for n in kept]).minimum for engine, times in seconds.items()}


def line(name: str, precision: str, seconds: dict[str, float]) -> str:
    """A row of the table: milliseconds, the better peer's time as a multiple of ours, and what floats take of it."""
    ours = seconds[f"{SUBJECT} {precision}"]
    better = min((seconds[peer] for peer in PEERS if peer in seconds), default=float("nan"))
    times = " ".join(f"{engine} {value * 1e3:.2f} ms" for engine, value in seconds.items())
    floats = seconds[f"{SUBJECT} f32"] / ours
    return f"{name} {precision}: {times}; {better / ours:.2f} times the better peer, {floats:.2f} times f32"


def main() -> None:
    """Measure the models named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.narrow", description=__doc__)
    parser.add_argument("names", nargs="+", choices=tuple(models.MODELS), metavar="NAME", help="models")
    parser.add_argument("--precision", default="int8", choices=("int8", "bf16"))
    parser.add_argument("--threads", default=1, type=int)
    parser.add_argument("--runs", default=30, type=int, help="quiet rounds")
    parser.add_argument("--folder", default=Path("build/bench"), type=Path, help="where packages go")
    parser.add_argument("--keep", action="store_true", help="take packages that are there")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        asked = (options.precision, options.threads, options.runs, options.folder, options.keep)
        seconds = measure(name, *asked)
        print(line(name, options.precision, seconds), flush=True)


if __name__ == "__main__":
    main()
