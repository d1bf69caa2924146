"""The benchmark models: their names, files and inputs. `python -m benchmarks.models` makes the files.

Building and exporting them needs torch and transformers, and lives in `benchmarks.export`; this needs numpy only.
"""

import argparse
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

CACHE = Path(__file__).resolve().parent.parent / "build" / "models"
TOLERANCE = 1e-4
"""Largest error of an output, relative to its largest magnitude, that counts as correct in fp32."""
SAMPLES = 4
"""Inputs on which 8-bit forms are calibrated."""
PLAIN = {"winograd": "off"}
"""The CPU's options for a package whose graph other chips get: without what the CPU rewrites for itself."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Images:
    """One picture: `pixel_values`, float32 [1, 3, size, size]."""

    size: int = 224

    def make(self, rng: np.random.Generator, padding: int) -> Arrays:
        """A coarse random pattern plus noise; plain noise looks alike to a network that ends in an average."""
        if padding:
            raise ValueError("padding: a picture has none, expected 0")
        cell = self.size // 7
        coarse = rng.standard_normal((1, 3, 7, 7)).repeat(cell, axis=2).repeat(cell, axis=3)
        noise = rng.standard_normal((1, 3, self.size, self.size))
        return {"pixel_values": (coarse + 0.5 * noise).astype(np.float32)}


@dataclass(frozen=True)
class Tokens:
    """One row of `input_ids`, int64 [1, length]; with `masked` also `attention_mask` and `token_type_ids`."""

    length: int
    vocabulary: int
    masked: bool = False

    def make(self, rng: np.random.Generator, padding: int) -> Arrays:
        """Random tokens; with `masked` the last `padding` positions are masked and the rest splits in two segments."""
        if (padding and not self.masked) or padding >= self.length:
            raise ValueError(f"padding: {padding} positions do not fit this model's input")
        shape = (1, self.length)
        arrays = {"input_ids": rng.integers(0, self.vocabulary, shape, dtype=np.int64)}
        if self.masked:
            kept = self.length - padding
            positions = np.arange(self.length, dtype=np.int64)[None]
            arrays["attention_mask"] = (positions < kept).astype(np.int64)
            second = (positions >= rng.integers(1, kept)) & (positions < kept) if kept > 1 else positions < 0
            arrays["token_type_ids"] = second.astype(np.int64)
        return arrays


@dataclass(frozen=True)
class Numbers:
    """Normally distributed float32 arrays of given shapes, by name."""

    shapes: Mapping[str, tuple[int, ...]]

    def make(self, rng: np.random.Generator, padding: int) -> Arrays:
        """The arrays; nothing in them can be masked."""
        if padding:
            raise ValueError(f"padding: got {padding}, expected 0: this input has no mask")
        return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in self.shapes.items()}


@dataclass(frozen=True)
class Both:
    """The arrays of two kinds of input; the first decides on a mask."""

    first: Tokens
    second: Numbers

    def make(self, rng: np.random.Generator, padding: int) -> Arrays:
        """The arrays of both."""
        return self.first.make(rng, padding) | self.second.make(rng, 0)


@dataclass(frozen=True)
class Model:
    """A benchmark model: the name of its file, the kind of its input, the outputs in order, and its group.

    Means are taken over the group "networks"; "rows" are products of one row, bound by memory. `floats`: the model that
    it is the 8-bit form of. `tolerance`: the largest error that counts as correct, relative to the largest magnitude.
    """

    name: str
    title: str
    kind: Images | Tokens | Numbers | Both
    outputs: tuple[str, ...] = ("logits",)
    group: str = "networks"
    floats: str | None = None
    tolerance: float = TOLERANCE

    @property
    def masked(self) -> bool:
        """Whether the input has a mask, so that `inputs` takes a `padding`."""
        return isinstance(self.kind, Tokens) and self.kind.masked


MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model("resnet18", "ResNet-18", Images()),
        Model("resnet50", "ResNet-50", Images()),
        Model("mobilenetv2", "MobileNetV2", Images()),
        Model("vit_base", "ViT-base", Images()),
        Model(
            "bert_base", "BERT-base", Tokens(128, 30522, masked=True), ("last_hidden_state", "pooler_output")
        ),
        Model("gpt2", "GPT-2", Tokens(64, 50257)),
        Model("convnext_tiny", "ConvNeXt-tiny", Images()),
        Model("efficientnet_b0", "EfficientNet-B0", Images()),
        Model("unet", "U-Net", Images(224), ("mask",)),
        Model("bilstm", "LSTM, both ways", Numbers({"sequence": (64, 1, 256)}), ("states",)),
        Model("row_3072", "1x768x3072", Numbers({"x": (1, 768)}), ("y",), "rows"),
        Model("row_50257", "1x768x50257", Numbers({"x": (1, 768)}), ("y",), "rows"),
        Model(
            "gpt2_step",
            "GPT-2, one token",
            Both(Tokens(1, 50257), Numbers({"past": (12, 2, 1, 12, 64, 64)})),
            group="rows",
        ),
    )
}

NARROW: Mapping[str, Model] = {
    f"{name}.int8": replace(
        MODELS[name],
        name=f"{name}.int8",
        title=f"{MODELS[name].title}, int8",
        group="int8",
        floats=name,
        tolerance=0.5,  # each engine rounds its own way, and random weights amplify that: only nonsense is further off
    )
    for name in ("resnet50", "mobilenetv2")
}
"""8-bit forms: ours is calibrated, the peers' has quantize nodes; see `narrow.py`."""

ALL = {**MODELS, **NARROW}


def find(name: str) -> Model:
    """The model of that name; raises ValueError that lists the names."""
    if name not in ALL:
        raise ValueError(f"{name}: not a benchmark model, expected one of {', '.join(ALL)}")
    return ALL[name]


def inputs(name: str, seed: int = 0, *, padding: int = 0) -> Arrays:
    """Random inputs by name, the same for the same seed; `padding` masks that many positions at the end (BERT)."""
    if padding < 0:
        raise ValueError(f"padding: got {padding}, expected 0 or more")
    return find(name).kind.make(np.random.default_rng([seed, padding]), padding)


def calibration(name: str) -> list[Arrays]:
    """The inputs on which an 8-bit form is calibrated."""
    return [inputs(name, number) for number in range(SAMPLES)]


def path(name: str, folder: Path = CACHE) -> Path:
    """Where the model's ONNX file lies."""
    return folder / f"{find(name).name}.onnx"


def ensure(names: Iterable[str] = tuple(ALL), folder: Path = CACHE, seed: int = 0) -> list[Path]:
    """The models' files, made where they are missing; raises RuntimeError where a made model fails its check."""
    files = [path(name, folder) for name in names]
    missing = [file for file in files if not file.exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        for file in missing:
            if (floats := find(file.stem).floats) is not None:
                from .narrow import quantised

                quantised(floats, *ensure([floats], folder, seed))
                continue
            draft = file.with_suffix(f".{os.getpid()}.part")
            from .export import export  # torch and transformers, wanted only here

            try:
                print(export(find(file.stem), draft, seed), flush=True)
                draft.replace(file)
            finally:
                draft.unlink(missing_ok=True)
    return files


def main() -> None:
    """Make the models named on the command line, or all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models", description="Make the benchmark models."
    )
    parser.add_argument("names", nargs="*", default=list(ALL), help="models to make (default: all)")
    parser.add_argument(
        "--folder", type=Path, default=CACHE, help="where the files go (default: build/models)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random weights")
    options = parser.parse_args()
    try:
        files = ensure(options.names, options.folder, options.seed)
    except ValueError as error:
        parser.error(str(error))
    for file in files:
        print(file)


if __name__ == "__main__":
    main()
