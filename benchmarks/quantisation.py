"""Signal to noise of networks in int8 after calibration, with mixed precision for a budget, and what bounds it.

    python -m benchmarks.quantisation           # trained networks for digits, and the benchmark models of pictures
    python -m benchmarks.quantisation resnet50 --budget 30 --layers
    python -m benchmarks.quantisation mobilenetv2.imagenet efficientnet_lite0 --peer    # trained on real pictures

`same`: of how many inputs a classifier's greatest score is that of floats. `bf16`: all of the network in bf16. `input
alone` is the float network on its input rounded to 8 bits, `weights alone` the float network with its weights rounded
as they stand: without evening out channels and correcting biases an 8-bit network can't be expected to pass either.
The benchmark models' weights are random, so that noise grows on its way through them; those of the networks for
digits are trained (`examples/digits/train_blocks.py`), and so are those of `pretrained.py`, whose packages have to be
installed. `--peer`: ONNX Runtime on the model with quantize nodes that its own tool makes on the same samples, by
that of its ways to choose ranges that comes out best.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

import isthmus
from isthmus.compiler.ir.graph import Graph, Value, constant
from isthmus.compiler.passes.quantise.parameters import symmetric_scales
from isthmus.compiler.passes.quantise.report import Noise

from . import models, pretrained

TRAINED = ("digits_residual", "digits_inverted", "digits_depthwise")
NAMES = (*TRAINED, "resnet18", "resnet50", "mobilenetv2", "vit_base")
FOLDER = Path(__file__).resolve().parent.parent


PEER_METHODS = ("MinMax", "Percentile", "Entropy")


@dataclass(frozen=True)
class Subject:
    """A network: its file, what makes an input of a number, on how many it is tested, and its open shapes."""

    name: str
    file: Path
    inputs: Callable[[int], dict[str, np.ndarray]]
    tested: int
    shapes: dict[str, tuple[int, ...]]


def find(name: str) -> Subject:
    """The network of that name; the benchmark models are made where they are missing."""
    if name in TRAINED:
        file = FOLDER / "tests" / "api" / "models" / f"{name}.onnx"
        return Subject(name, file, digit, 64, {"image": (1, 1, 8, 8)})
    if name in pretrained.NETWORKS:
        network = pretrained.NETWORKS[name]
        return Subject(name, network.file, network.inputs, 32, network.shapes)
    (file,) = models.ensure([name])
    return Subject(name, file, partial(models.inputs, name), 2, {})


def digit(number: int) -> dict[str, np.ndarray]:
    """An image of the demo."""
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


class Score:
    """Noise of first outputs, and how often their greatest element is that of floats."""

    def __init__(self) -> None:
        self.noise, self.same, self.all = Noise(), 0, 0

    def add(self, want: np.ndarray, got: np.ndarray) -> None:
        """Count one output in."""
        self.noise.add(want, got)
        if want.ndim == 2:
            self.same += int(want.argmax() == got.argmax())
            self.all += 1

    @property
    def share(self) -> str:
        """Of inputs with the same greatest element, where outputs are scores."""
        return f"{self.same}/{self.all}" if self.all else "-"


def score(subject: Subject, runs: Sequence[Callable[[dict[str, np.ndarray]], np.ndarray]]) -> list[Score]:
    """Of what makes first outputs of inputs, against the first of them."""
    scores = [Score() for _ in runs[1:]]
    for number in range(pretrained.FIRST_TEST, pretrained.FIRST_TEST + subject.tested):
        inputs = subject.inputs(number)
        want, *others = (run(inputs) for run in runs)
        for each, got in zip(scores, others):
            each.add(want, got)
    return scores


def first(package: Any) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """The first output of a package."""
    return lambda inputs: next(iter(package.run(inputs).values()))


def measure(subject: Subject, samples: int, choices: dict[str, Any]) -> Iterator[str]:
    """One line for a network, then its layers if they were asked for."""
    calibration = [subject.inputs(number) for number in range(samples)]
    begin = time.perf_counter()
    quantised = isthmus.compile(
        subject.file, precision="int8", calibration=calibration, quantisation=choices, shapes=subject.shapes
    )
    seconds = time.perf_counter() - begin
    floats, narrow = (
        isthmus.compile(subject.file, precision=each, shapes=subject.shapes) for each in ("f32", "bf16")
    )
    weights = isthmus.compile(with_rounded_weights(floats.graph.graph))

    def coarse(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return first(floats)({name: rounded(array) for name, array in inputs.items()})

    runs = (first(floats), first(quantised), first(narrow), coarse, first(weights))
    ours, *others = score(subject, runs)
    products = [node.op for node in quantised.graph.graph.nodes]
    left = sum(products.count(op) for op in ("nn.conv", "nn.matmul"))
    whole = left + sum(products.count(op) for op in ("quant.conv", "quant.matmul"))
    figures = " ".join(f"{each.noise.decibels:13.2f}" for each in others)
    yield (
        f"{subject.name:20} {ours.noise.decibels:7.2f} {ours.share:>6} {figures} {left:7} of {whole:3} {seconds:9.1f}"
    )
    if choices["report"]:
        yield str(quantised.quantisation)


def peer(subject: Subject, samples: int) -> str:
    """One line for ONNX Runtime."""
    import onnxruntime
    from onnxruntime.tools.onnx_model_utils import make_input_shape_fixed

    from .narrow import with_nodes

    def opened(file: Path) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda inputs: session.run(None, inputs)[0]

    calibration = [subject.inputs(number) for number in range(samples)]
    with TemporaryDirectory() as folder:
        model = onnx.load(subject.file)
        for name, shape in subject.shapes.items():
            make_input_shape_fixed(model.graph, name, shape)
        file = Path(folder) / "fixed.onnx"
        onnx.save(model, file)
        runs = [opened(file)]
        for method in PEER_METHODS:
            target = Path(folder) / f"{method}.onnx"
            with redirect_stdout(StringIO()):
                with_nodes(file, target, calibration, method)
            runs.append(opened(target))
        scores = dict(zip(PEER_METHODS, score(subject, runs)))
    method, best = max(scores.items(), key=lambda each: each[1].noise.decibels)
    return f"  {'ONNX Runtime':18} {best.noise.decibels:7.2f} {best.share:>6} {method}"


def main() -> None:
    """Measure the networks named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantisation", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help="networks (default: all of pictures)")
    parser.add_argument("--samples", type=int, default=16, help="calibration inputs")
    parser.add_argument("--ranges", default="mse", help="mse, percentile, minmax or entropy")
    parser.add_argument(
        "--budget", type=float, help="dB that outputs must have; what costs most stays in floats"
    )
    parser.add_argument("--rest", default="bf16", help="floats of a budget: bf16 or f32")
    parser.add_argument("--peer", action="store_true", help="measure ONNX Runtime's own quantisation as well")
    parser.add_argument("--layers", action="store_true", help="show every layer's signal to noise")
    options = parser.parse_args()
    choices = {"ranges": options.ranges, "report": options.layers, "rest": options.rest}
    if options.budget is not None:
        choices["budget"] = options.budget
    heads = " ".join(f"{head:>13}" for head in ("bf16 dB", "input alone", "weights alone"))
    print(f"{'network':20} {'int8 dB':>7} {'same':>6} {heads} {'in floats':>14} {'compile s':>9}")
    for name in options.names:
        try:
            subject = find(name)
        except RuntimeError as error:
            parser.error(str(error))
        for text in measure(subject, options.samples, choices):
            print(text, flush=True)
        if options.peer:
            print(peer(subject, options.samples), flush=True)


if __name__ == "__main__":
    main()
