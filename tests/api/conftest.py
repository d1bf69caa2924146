"""The demo's network, as model, as package in memory and as a file, made once."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus import cli

DIGITS = Path(str(files("isthmus.demo").joinpath("digits.onnx")))
SHAPES = {"image": (1, 1, 8, 8)}


@dataclass(frozen=True)
class Finished:
    """Exit status, standard output and standard error of a command line."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Finished]:
    """Runs a command line in this process."""

    def run(*arguments: object) -> Finished:
        status = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Finished(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def digits() -> Path:
    """The ONNX file; its batch is symbolic."""
    return DIGITS


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """f32 [360, 1, 8, 8]."""
    with np.load(DIGITS.with_name("digits.npz")) as held_out:
        return held_out["images"][:, None].astype(np.float32) / 16


@pytest.fixture(scope="session")
def package() -> isthmus.Package:
    """Compiled for one image."""
    return isthmus.compile(DIGITS, shapes=SHAPES)


@pytest.fixture(scope="session")
def packed(package: isthmus.Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a file."""
    path = tmp_path_factory.mktemp("packed") / "digits.isth"
    package.save(path)
    return path


@pytest.fixture
def given(images: np.ndarray, tmp_path: Path) -> Path:
    """One image as an .npz file."""
    path = tmp_path / "in.npz"
    np.savez(path, image=images[:1])
    return path
