"""Models with open dimensions: compiled once for each shape that they are run with."""

from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus import dynamic
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.dynamic import DynamicPackage
from isthmus.model import Model
from isthmus.runtime.errors import InputError


class Counted:
    """Builds packages and remembers for which batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, model: Model) -> isthmus.Package:
        self.batches.append(model.inputs["image"].shape[0])
        package = isthmus.compile(model)
        assert isinstance(package, isthmus.Package)
        return package


def test_each_shape_is_compiled_once(
    digits: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic, "KEPT", 2)
    build = Counted()
    model = isthmus.read(digits)
    package = DynamicPackage(model, build)
    expected = model.evaluate([images[:3]])["scores"]
    for batch in (1, 2, 1, 3, 1, 2):
        got = package.run({"image": images[:batch]})["scores"]
        np.testing.assert_allclose(got, expected[:batch], rtol=1e-4, atol=1e-5)
    assert build.batches == [1, 2, 3, 2], "2 was used longest ago when 3 came"


def test_compile_leaves_open_what_the_model_leaves_open(digits: Path, images: np.ndarray) -> None:
    package = isthmus.compile(digits)
    assert package.inputs[0].shape == ("batch", 1, 8, 8)
    assert package.outputs[0].shape == ("batch", 10)
    assert package.graph.symbols == ("batch",)
    assert package.profile([images[:2]]).outputs["scores"].shape == (2, 10)
    with pytest.raises(InputError, match=r"expected f32\[batch, 1, 8, 8\]"):
        package.run([images[:2, :, :4]])


def test_saving_asks_for_shapes(digits: Path, images: np.ndarray, tmp_path: Path) -> None:
    package = isthmus.compile(digits)
    with pytest.raises(UnsupportedError, match=r"digits\.onnx: .*batch is open.* --shapes image=1,1,8,8"):
        package.save(tmp_path / "digits.isth")
    assert list(tmp_path.iterdir()) == []
    assert isinstance(package, DynamicPackage)
    package.specialised([images[:2]]).save(tmp_path / "digits.isth")
    assert isthmus.load(tmp_path / "digits.isth").run([images[:2]])["scores"].shape == (2, 10)
