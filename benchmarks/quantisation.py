"""Signal to noise of the benchmark models in int8: after calibration, and of their inputs alone rounded to 8 bits.

The latter is a bound that no 8-bit network with that input can pass. `python -m benchmarks.quantisation resnet18`.
"""

import argparse
import time

import numpy as np

import isthmus

from . import models

IMAGES = ("resnet18", "resnet50", "mobilenetv2", "vit_base")
TESTED = 2


def decibels(want: np.ndarray, got: np.ndarray) -> float:
    """10 log10 of signal over error."""
    want = want.astype(np.float64)
    return float(10 * np.log10((want**2).sum() / max(((want - got) ** 2).sum(), 1e-300)))


def rounded(array: np.ndarray) -> np.ndarray:
    """An input as 8 bits hold it."""
    if array.dtype.kind != "f":
        return array
    scale = (array.max() - array.min()) / 255
    return (np.rint(array / scale) * scale).astype(array.dtype)


def measure(name: str, samples: int, ranges: str) -> str:
    """One line for a model: dB of its logits in int8 and for a rounded input, seconds of compiling."""
    (file,) = models.ensure([name])
    begin = time.perf_counter()
    integers = isthmus.compile(
        file,
        precision="int8",
        calibration=[models.inputs(name, seed) for seed in range(samples)],
        quantisation={"ranges": ranges},
    )
    seconds = time.perf_counter() - begin
    floats = isthmus.compile(file)
    found, bound = [], []
    for seed in range(1000, 1000 + TESTED):
        inputs = models.inputs(name, seed)
        key = models.find(name).outputs[0]
        want = floats.run(inputs)[key]
        found.append(decibels(want, integers.run(inputs)[key]))
        bound.append(decibels(want, floats.run({k: rounded(v) for k, v in inputs.items()})[key]))
    return f"{name:12} {np.mean(found):7.2f} {np.mean(bound):12.2f} {seconds:9.1f}"


def main() -> None:
    """Measure the models named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantisation", description=__doc__)
    parser.add_argument("names", nargs="*", default=IMAGES, help="models (default: those of pictures)")
    parser.add_argument("--samples", type=int, default=16, help="calibration inputs")
    parser.add_argument("--ranges", default="mse", help="mse, percentile, minmax or entropy")
    options = parser.parse_args()
    print(f"{'model':12} {'int8 dB':>7} {'input alone':>12} {'compile s':>9}")
    for name in options.names:
        print(measure(name, options.samples, options.ranges), flush=True)


if __name__ == "__main__":
    main()
