"""Recorded models, unpacked, and the comparison with what TensorFlow made of them; see record.py."""

import tarfile
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from isthmus.compiler.ops.interpret import evaluate
from isthmus.frontends import registry
from isthmus.frontends.driver import convert
from isthmus.frontends.keras import frontend as keras
from isthmus.frontends.tensorflow import frontend as tensorflow

HERE = Path(__file__).parent
FRONTENDS = [keras, tensorflow]


def arrays(stored, prefix: str) -> list[np.ndarray]:
    """The arrays whose names are a prefix and a number, in order."""
    count = sum(name.startswith(prefix) for name in stored)
    return [stored[f"{prefix}{n}"] for n in range(count)]


@dataclass(frozen=True)
class Recorded:
    """A recorded model's folder, its inputs and TensorFlow's results."""

    folder: Path

    def check(self, form: str, tolerance: float = 2e-5) -> None:
        """Read one of the forms and compare all results."""
        stored = np.load(self.folder / "arrays.npz")
        compare(self.folder / form, arrays(stored, "in"), arrays(stored, "out"), tolerance)


def compare(path: Path, inputs, expected, tolerance: float = 2e-5) -> None:
    frontend, model = registry.load(str(path), FRONTENDS)
    names = [entry.name for entry in model.graph.inputs]
    shapes = {name: x.shape for name, x in zip(names, inputs, strict=True)}
    graph = convert(model, frontend.converters, shapes, {})
    results = evaluate(graph, dict(zip(names, inputs, strict=True)))
    assert len(results) == len(expected)
    for got, want in zip(results.values(), expected, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="session")
def record():
    """The module that records; it loads TensorFlow."""
    spec = spec_from_file_location("record", HERE / "record.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def operators() -> dict[str, np.ndarray]:
    """The recorded operators: graphs, inputs and results."""
    return dict(np.load(HERE / "ops.npz"))


@pytest.fixture
def check_operator(operators, tmp_path):
    """Reads one recorded operator's graph and compares all results."""

    def check(name: str) -> None:
        path = tmp_path / "graph.pb"
        path.write_bytes(operators[f"{name}/graph"].tobytes())
        compare(path, arrays(operators, f"{name}/in"), arrays(operators, f"{name}/out"))

    return check


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """Unpacks a recorded model, once."""
    done: dict[str, Recorded] = {}

    def unpack(name: str) -> Recorded:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            with tarfile.open(HERE / f"{name}.tar.xz") as archive:
                archive.extractall(folder, filter="data")
            done[name] = Recorded(folder)
        return done[name]

    return unpack
