"""The recorded models; see `record.py`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from isthmus.compiler.ir.graph import Graph
from isthmus.frontends import registry
from isthmus.frontends.tflite import frontend

HERE = Path(__file__).parent


@cache
def _entries(file: str) -> dict[str, np.ndarray]:
    with np.load(HERE / file) as archive:
        return dict(archive)


@dataclass(frozen=True)
class Recording:
    """One model with the inputs and results of TFLite's kernels; both are empty for a model that is refused."""

    name: str
    model: bytes
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]


class Recordings:
    """Access to recordings, and to models made from them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, name: str) -> Recording:
        for file in ("ops.npz", "models.npz"):
            entries = _entries(file)
            if f"{name}/model" in entries:
                break
        parts = {
            kind: [entries[f"{name}/{kind}{n}"] for n in range(9) if f"{name}/{kind}{n}" in entries]
            for kind in ("in", "out")
        }
        return Recording(name, entries[f"{name}/model"].tobytes(), parts["in"], parts["out"])

    def path(self, data: bytes, name: str = "model") -> Path:
        """The bytes as a file."""
        path = self.folder / f"{name}.tflite"
        path.write_bytes(data)
        return path

    def read(self, name: str, **options) -> Graph:
        return registry.read(self.path(self.get(name).model, name), [frontend], **options)


def names(file: str, runs: bool = True) -> list[str]:
    """The models in a file, those that run or those that are refused."""
    found = {entry.partition("/")[0] for entry in _entries(file)}
    return sorted(name for name in found if (f"{name}/out0" in _entries(file)) == runs)


def pytest_generate_tests(metafunc):
    for argument, file in (("crafted", "ops.npz"), ("network", "models.npz")):
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, names(file))


@pytest.fixture
def recordings(tmp_path) -> Recordings:
    return Recordings(tmp_path)
