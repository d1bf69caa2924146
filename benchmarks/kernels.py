"""Single kernels out of the tiler, weights cold, as shares of the core's peak: `python -m benchmarks.kernels`.

Each case is a chain of one layer repeated with weights of its own, so that every call finds its weights outside the
second-level cache as in a network. A call's time is the chain's own clock; runs between two slow probes of the core are
left out. `reference` is the share that a hand-scheduled prototype reached on the same class of machine, where it had
such a kernel.
"""

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

import isthmus
from isthmus.backends.cpu.peaks import Peak
from isthmus.compiler.ir import DTYPES, Graph, Location, TensorType, Value, at, constant, graph_input
from isthmus.compiler.ops.activation import relu
from isthmus.compiler.ops.attention import attention
from isthmus.compiler.ops.contract import matmul
from isthmus.compiler.ops.convolution import conv
from isthmus.compiler.ops.math import add
from isthmus.compiler.ops.norm import softmax
from isthmus.compiler.ops.shape import transpose

QUIET = 0.93
BETWEEN = Location("kernels", ("between",))
"""Of layers that bring a chain's values back to the shape of its input, and are not measured."""
_RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Case:
    """A layer: `build` appends one repetition to a value and gives the new value; `gflop` is the kernel's work."""

    name: str
    shape: tuple[int, ...]
    build: Callable[[Value, Location], Value]
    gflop: float
    reference: float | None
    repeats: int = 8


def _weights(*shape: int) -> Value:
    return constant((_RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32))


def _conv(x: Value, outputs: int, size: int, residual: Value | None = None) -> Value:
    pad = size // 2
    y = conv(
        x,
        _weights(outputs, int(x.shape[1]), size, size),
        _weights(outputs),
        strides=(1, 1),
        pads=(pad,) * 4,
        dilations=(1, 1),
    )
    return relu(y if residual is None else add(y, residual))


def _expanding(x: Value, where: Location) -> Value:
    with at(where):
        wide = _conv(x, 2048, 1)
    with at(BETWEEN):
        return _conv(wide, 512, 1)


def _residual(x: Value, where: Location) -> Value:
    with at(BETWEEN):
        narrow = _conv(x, 64, 1)
    with at(where):
        return _conv(narrow, 256, 1, x)


def _same(x: Value, where: Location) -> Value:
    with at(where):
        return _conv(x, 512, 3)


def _tall(x: Value, where: Location) -> Value:
    with at(where):
        y = relu(add(matmul(x, _weights(3072, 768)), _weights(768)))
    with at(BETWEEN):
        return relu(matmul(y, _weights(768, 3072)))


def _turned(x: Value, where: Location) -> Value:
    with at(where):
        return matmul(transpose(x, perm=(1, 0)), _weights(1024, 256))


def _attention(x: Value, where: Location) -> Value:
    with at(where):
        return attention(x, x, x, scale=0.125)


def _softmax(x: Value, where: Location) -> Value:
    with at(where):
        return softmax(x, axis=1)


CASES = (
    Case("3x3 512@7", (1, 512, 7, 7), _same, 0.2312, 0.80),
    Case("1x1 512-2048@7", (1, 512, 7, 7), _expanding, 0.10276, 0.88),
    Case("1x1 64-256@56 + residual", (1, 256, 56, 56), _residual, 0.10276, 0.69, 4),
    Case("128x3072x768", (128, 3072), _tall, 0.60398, 0.84),
    Case("attention 12x128x64", (1, 12, 128, 64), _attention, 0.10066 / 2, 0.645),
    Case("attention 6x750x64", (1, 6, 750, 64), _attention, 0.864, None),
    Case("attention 2x4096x64", (1, 2, 4096, 64), _attention, 8.59, None, 1),
    Case("4096x1024x256, rows from columns", (1024, 4096), _turned, 2.1475, None, 1),
    Case("softmax 1536x128", (1536, 128), _softmax, 0.0, 0.0),
)
SOFTMAX_SECONDS = 52e-6  # of the prototype, at 241 GFLOP/s peak
SOFTMAX_PEAK = 241.0


def measure(case: Case, peak: Peak, runs: int) -> dict[str, float | None]:
    """Best time of a call in seconds, GFLOP/s, peak in GFLOP/s, share of the peak and share of the reference."""
    x = value = graph_input("x", TensorType(DTYPES["f32"], case.shape))
    for n in range(case.repeats):
        value = case.build(value, Location("kernels", (f"case{n}",)))
    package = isthmus.compile(isthmus.Model(Graph([x], [value], ["y"], case.name)), threads=1)
    data = {"x": _RNG.standard_normal(case.shape).astype(np.float32)}
    best_peak, samples = 0.0, []
    for _ in range(runs):
        before = peak(5)
        steps = defaultdict(float)
        for step in package.profile(data, threads=1).steps:
            steps[step.name.partition(":")[2]] += step.seconds
        speed = min(before, peak(5))
        best_peak = max(best_peak, before)
        samples.append((speed, [seconds for name, seconds in steps.items() if name.startswith("case")]))
    fastest = max(speed for speed, _ in samples)
    quiet = [calls for speed, calls in samples if speed >= QUIET * fastest]
    seconds = min(float(np.mean(calls)) for calls in quiet)
    if not case.gflop:
        share = SOFTMAX_SECONDS * SOFTMAX_PEAK / (seconds * best_peak)
        return {"seconds": seconds, "gflops": 0.0, "peak": best_peak, "share": 0.0, "of_reference": share}
    speed = case.gflop / seconds
    share = speed / best_peak
    return {
        "seconds": seconds,
        "gflops": speed,
        "peak": best_peak,
        "share": share,
        "of_reference": share / case.reference if case.reference else None,
    }


def main() -> int:
    """Measure and print all cases."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kernels", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--runs", type=int, default=60, help="runs of each chain (default: 60)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    peak = Peak()
    results = {case.name: measure(case, peak, options.runs) for case in CASES}
    if options.json:
        print(json.dumps(results))
        return 0
    table = Table("kernel", "us", "GFLOP/s", "peak", "share of peak", "of the prototype's share")
    for name, found in results.items():
        table.add_row(
            name,
            f"{found['seconds'] * 1e6:.1f}",
            f"{found['gflops']:.0f}",
            f"{found['peak']:.0f}",
            f"{found['share']:.1%}",
            "" if found["of_reference"] is None else f"{found['of_reference']:.0%}",
        )
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
