"""Signal to noise of networks in int8 after calibration, with mixed precision for a budget, and what bounds it.

    python -m benchmarks.quantisation           # trained networks for digits, and the benchmark models of pictures
    python -m benchmarks.quantisation resnet50 --budget 30 --layers

`input alone` is the float network on its input rounded to 8 bits, `weights alone` the float network with its weights
rounded as they stand: without evening out channels an 8-bit network can't be expected to pass either. The benchmark
models' weights are random, so that noise grows on its way through them; those of the networks for digits are trained
(`examples/digits/train_blocks.py`).
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import isthmus
from isthmus.compiler.ir.graph import Graph, Value, constant
from isthmus.compiler.passes.quantise.parameters import symmetric_scales
from isthmus.compiler.passes.quantise.report import Noise

from . import models

TRAINED = ("digits_residual", "digits_inverted", "digits_depthwise")
NAMES = (*TRAINED, "resnet18", "resnet50", "mobilenetv2", "vit_base")
FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Subject:
    """A network, and what makes an input of a number."""

    name: str

    @property
    def trained(self) -> bool:
        return self.name in TRAINED

    @property
    def file(self) -> Path:
        """Its file; the benchmark models are made where they are missing."""
        if self.trained:
            return FOLDER / "tests" / "api" / "models" / f"{self.name}.onnx"
        (file,) = models.ensure([self.name])
        return file

    @property
    def tested(self) -> int:
        """On how many inputs, none of the first 50, it is tested."""
        return 64 if self.trained else 2

    @property
    def options(self) -> dict[str, Any]:
        """Of `compile`."""
        return {"shapes": {"image": (1, 1, 8, 8)}} if self.trained else {}

    def inputs(self, number: int) -> dict[str, np.ndarray]:
        """The same for the same number."""
        if not self.trained:
            return models.inputs(self.name, number)
        with np.load(FOLDER / "api" / "demo" / "digits.npz") as digits:
            images = digits["images"]
        return {"image": images[number % len(images)][None, None].astype(np.float32) / 16}


def rounded(array: np.ndarray) -> np.ndarray:
    """An input as 8 bits hold it."""
    if array.dtype.kind != "f":
        return array
    scale = (array.max() - array.min()) / 255
    return (np.rint(array / scale) * scale).astype(array.dtype)


def with_rounded_weights(graph: Graph) -> Graph:
    """Weights as 8 bits hold them, a scale an output channel."""
    new: dict[Value, Value] = {}
    for node in graph.nodes:
        operands = [None if v is None else new[v] for v in node.operands]
        weights = operands[1].constant if node.op in ("nn.conv", "nn.matmul") and operands[1] else None
        if weights is not None:
            axis = 0 if node.op == "nn.conv" else weights.ndim - 1
            scales = symmetric_scales(weights, axis).reshape(
                [-1 if n == axis else 1 for n in range(weights.ndim)]
            )
            operands[1] = constant((np.rint(weights / scales) * scales).astype(np.float32))
        changed = any(a is not b for a, b in zip(operands, node.operands))
        new.update(zip(node.results, (node.with_operands(operands) if changed else node).results))
    return graph.replace([new[value] for value in graph.outputs])


def measure(subject: Subject, samples: int, choices: dict[str, Any]) -> Iterator[str]:
    """One line for a network, then its layers if they were asked for."""
    file, options, layers = subject.file, subject.options, choices.pop("layers")
    calibration = [subject.inputs(number) for number in range(samples)]
    begin = time.perf_counter()
    quantised = isthmus.compile(
        file, precision="int8", calibration=calibration, quantisation={**choices, "report": layers}, **options
    )
    seconds = time.perf_counter() - begin
    floats = isthmus.compile(file, **options)
    weights = isthmus.compile(with_rounded_weights(floats.graph.graph))
    noises = [Noise(), Noise(), Noise()]
    for number in range(50, 50 + subject.tested):
        inputs = subject.inputs(number)
        coarse = {name: rounded(array) for name, array in inputs.items()}
        key, want = next(iter(floats.run(inputs).items()))
        for noise, run in zip(noises, (quantised.run(inputs), floats.run(coarse), weights.run(inputs))):
            noise.add(want, run[key])
    products = [node.op for node in quantised.graph.graph.nodes]
    left = sum(products.count(op) for op in ("nn.conv", "nn.matmul"))
    whole = left + sum(products.count(op) for op in ("quant.conv", "quant.matmul"))
    figures = " ".join(f"{noise.decibels:13.2f}" for noise in noises)
    yield f"{subject.name:16} {figures} {left:7} of {whole:3} {seconds:9.1f}"
    if layers:
        yield str(quantised.quantisation)


def main() -> None:
    """Measure the networks named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantisation", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help="networks (default: all of pictures)")
    parser.add_argument("--samples", type=int, default=16, help="calibration inputs")
    parser.add_argument("--ranges", default="mse", help="mse, percentile, minmax or entropy")
    parser.add_argument(
        "--budget", type=float, help="dB that outputs must have; costly layers compute in bf16"
    )
    parser.add_argument("--layers", action="store_true", help="show every layer's signal to noise")
    options = parser.parse_args()
    choices = {"ranges": options.ranges, "layers": options.layers}
    if options.budget is not None:
        choices |= {"budget": options.budget, "rest": "bf16"}
    heads = ("int8 dB", "input alone", "weights alone")
    print(f"{'network':16} {' '.join(f'{head:>13}' for head in heads)} {'in floats':>14} {'compile s':>9}")
    for name in options.names:
        for text in measure(Subject(name), options.samples, dict(choices)):
            print(text, flush=True)


if __name__ == "__main__":
    main()
