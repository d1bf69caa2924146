"""`isthmus demo`: one small network followed through every stage, then run on images that its training never saw."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.compilation import build_model
from isthmus.compiler.ir.graph import Graph
from isthmus.compiler.ir.text import print_graph
from isthmus.compiler.pipeline import Built
from isthmus.display import stages
from isthmus.explanation import Explanation, explain_built
from isthmus.model import Model, read
from isthmus.package import Package, load
from isthmus.runtime.records import dataclass

Say = Callable[[str], None]

WIDTH = 110
SHOWN = 6
"""Images of which the answers are printed one by one."""


@dataclass(frozen=True)
class Demonstration:
    """Right answers among the images, seconds of compilation and of the runs (minimum and all, one image a run), and
    the largest difference of any score from the reference meaning."""

    images: int
    right: int
    compile_seconds: float
    fastest_seconds: float
    total_seconds: float
    difference: float

    @property
    def accuracy(self) -> float:
        return self.right / self.images

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {**asdict(self), "accuracy": self.accuracy}


def demonstrate(target: str, threads: int | None, say: Say) -> Demonstration:
    """Show and run everything; `say` is given the text, a block at a time."""
    threads = threads or 1  # a network this small gains nothing from more
    with as_file(files("isthmus.demo")) as folder:
        model = read(folder / "digits.onnx", {"image": (1, 1, 8, 8)})
        with np.load(folder / "digits.npz") as held_out:
            images, labels = held_out["images"], held_out["labels"]
    _say_graphs(model, say)
    begin = time.perf_counter()
    built = build_model(model, target)
    assert isinstance(built, Built)
    compile_seconds = time.perf_counter() - begin
    explanation = explain_built(built, model, target)
    _say_kernels(explanation, say)
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        path = Path(folder, "digits.isth")
        built.artefact.save(path)
        package = load(path, threads)
        assert isinstance(package, Package)  # its shapes are fixed
        _say_package(package, path.stat().st_size, compile_seconds, say)
        inputs = images[:, None, None].astype(np.float32) / 16
        result = _answer(package, model, inputs, labels, compile_seconds)
        _say_answers(package, images, inputs, labels, result, say)
    return result


def _answer(
    package: Package, model: Model, inputs: np.ndarray, labels: np.ndarray, compile_seconds: float
) -> Demonstration:
    """Run every image, one at a time, and compare with the reference meaning of the model as read."""
    package.run([inputs[0]])
    seconds, scores = [], []
    for image in inputs:
        begin = time.perf_counter()
        outputs = package.run([image])
        seconds.append(time.perf_counter() - begin)
        scores.append(outputs["scores"][0])
    expected = [model.evaluate([image])["scores"][0] for image in inputs[:SHOWN]]
    difference = float(np.abs(np.subtract(scores[:SHOWN], expected)).max())
    right = int((np.argmax(scores, 1) == labels).sum())
    return Demonstration(len(inputs), right, compile_seconds, min(seconds), sum(seconds), difference)


def _say_graphs(model: Model, say: Say) -> None:
    say(_heading(f"1. The model as read: {model.location}, a graph of whole tensors"))
    say(_graph(model.graph))
    say(_heading("2. Passes, and what each of them found"))
    found = stages(model.graph)
    for stage in found:
        changes = sum(stage.hits.values())
        say(
            f"{stage.name}: {changes or 'no'} change{'s' * (changes != 1)}, {len(stage.graph.nodes)} nodes after"
        )
        for rule, count in sorted(stage.hits.items()):
            say(f"    {count} x {rule}")
    say(_heading("3. The graph after all passes"))
    say(_graph(found[-1].graph))


def _say_kernels(explanation: Explanation, say: Say) -> None:
    say(_heading("4. Kernels: what is computed together, where, and what it should cost"))
    say(str(explanation))
    costliest = max(explanation.steps, key=lambda step: step.cycles)
    say(_heading(f"5. The costliest kernel, {costliest.name}: its stages, then its schedule over tiles"))
    say(_narrow(costliest.kernel))
    say(costliest.schedule)


def _say_package(package: Package, size: int, compile_seconds: float, say: Say) -> None:
    say(_heading(f"6. The package: one file of {size:,} bytes, made in {compile_seconds:.2f} s"))
    for name, entry in sorted(package.manifest.entries.items()):
        say(f"    {entry.size:>9,} bytes  {name}")


def _say_answers(
    package: Package,
    images: np.ndarray,
    inputs: np.ndarray,
    labels: np.ndarray,
    result: Demonstration,
    say: Say,
) -> None:
    say(_heading("7. Run on handwritten digits that the training has not seen"))
    answers = [int(package.run([image])["scores"].argmax()) for image in inputs[:SHOWN]]
    shades = " .:-=+*#%"
    rows = [
        "   ".join("".join(shades[pixel // 2] * 2 for pixel in image[row]) for image in images[:SHOWN])
        for row in range(8)
    ]
    say("\n".join(rows))
    captions = [f"read {answer}, is {label}" for answer, label in zip(answers, labels)]
    say("   ".join(f"{caption:<16}" for caption in captions) + "\n")
    say(f"{result.right} of {result.images} images right: accuracy {result.accuracy:.1%}")
    speed = (
        f"{result.fastest_seconds * 1e6:.0f} us an image at best, {result.total_seconds * 1e3:.1f} ms for all"
    )
    say(f"{speed}, on {package.threads} thread{'s' * (package.threads != 1)}")
    say(f"largest difference from the reference meaning: {result.difference:.1e}")


def _heading(text: str) -> str:
    return f"\n{text}\n{'-' * len(text)}"


def _graph(graph: Graph) -> str:
    return _narrow(str(print_graph(graph, locations=False)))


def _narrow(text: str) -> str:
    """Long lines (constants) cut short."""
    return "\n".join(
        line if len(line) <= WIDTH else f"{line[: WIDTH - 4]} ..." for line in text.rstrip().split("\n")
    )
