"""Models with open dimensions: compiled once for each shape that they are run with."""

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

import isthmus
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.dynamic import DynamicPackage
from isthmus.model import Model
from isthmus.runtime.errors import DeviceError, InputError
from isthmus.runtime.package import load


class Counted:
    """Builds packages and remembers for which batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, model: Model) -> isthmus.Package:
        self.batches.append(model.inputs["image"].shape[0])
        package = isthmus.compile(model)
        assert isinstance(package, isthmus.Package)
        return package


def test_each_shape_is_compiled_once(digits: Path, images: np.ndarray) -> None:
    build = Counted()
    model = isthmus.read(digits)
    package = DynamicPackage(model, build, most=2)
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


def test_a_file_with_open_dimensions_compiles_where_it_is_run(
    digits: Path, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = isthmus.compile(digits)
    package.save(tmp_path / "digits.isth")
    again = isthmus.load(tmp_path / "digits.isth")
    assert isinstance(again, DynamicPackage)
    assert again.inputs == package.inputs
    for batch in (1, 3):
        got, want = (each.run([images[:batch]])["scores"] for each in (again, package))
        np.testing.assert_allclose(got, want, rtol=1e-6)
        assert not again.specialised([images[:batch]]).manifest.fallbacks
    again.save(tmp_path / "again.isth")
    assert (tmp_path / "again.isth").read_bytes() == (tmp_path / "digits.isth").read_bytes()
    monkeypatch.setitem(sys.modules, "isthmus.open_package", None)
    with pytest.raises(DeviceError, match=r"digits\.isth: batch is open.*install isthmus with its compiler"):
        isthmus.load(tmp_path / "digits.isth")
    with pytest.raises(DeviceError, match=r"no code: batch is open.*compile with shapes="):
        load(tmp_path / "digits.isth", {})


def test_the_package_for_some_inputs_has_code(digits: Path, images: np.ndarray, tmp_path: Path) -> None:
    package = isthmus.compile(digits)
    assert isinstance(package, DynamicPackage)
    package.specialised([images[:2]]).save(tmp_path / "digits.isth")
    assert isthmus.load(tmp_path / "digits.isth").run([images[:2]])["scores"].shape == (2, 10)


def model_of(op: str, shapes: dict[str, tuple[int, list[int]]], **attributes: object) -> ModelProto:
    """One node with inputs of a type and shape; its output is `y`."""
    node = helper.make_node(op, list(shapes), ["y"], **attributes)
    inputs = [helper.make_tensor_value_info(name, *what) for name, what in shapes.items() if name]
    graph = helper.make_graph([node], op, inputs, [helper.make_empty_tensor_value_info("y")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_values_that_decide_shapes_are_compiled_for(tmp_path: Path) -> None:
    """A resize can't even be read without them; a reshape can, and runs by its meaning where they are open."""
    f32, i64 = TensorProto.FLOAT, TensorProto.INT64
    x = np.arange(12, dtype="f").reshape(3, 4)
    reshape = isthmus.compile(model_of("Reshape", {"x": (f32, [3, 4]), "shape": (i64, [2])}))
    assert isinstance(reshape, DynamicPackage)
    assert reshape.decisive == ("shape",)
    for target in ([4, 3], [2, 6], [-1, 1]):
        inputs = {"x": x, "shape": np.array(target)}
        np.testing.assert_array_equal(reshape.run(inputs)["y"], x.reshape(target))
        assert not reshape.specialised(inputs).manifest.fallbacks
        assert reshape.specialised(inputs) is reshape.specialised(dict(inputs))
    reshape.save(tmp_path / "reshape.isth")
    saved = isthmus.load(tmp_path / "reshape.isth")
    assert saved.run({"x": x, "shape": np.array([6, 2])})["y"].shape == (6, 2)
    resize = isthmus.compile(
        model_of("Resize", {"x": (f32, [1, 1, 2, 2]), "": (f32, [0]), "scales": (f32, [4])}, mode="nearest")
    )
    image = np.arange(4, dtype="f").reshape(1, 1, 2, 2)
    assert resize.run({"x": image, "scales": np.array([1, 1, 2, 3], "f")})["y"].shape == (1, 1, 4, 6)
    with pytest.raises(UnsupportedError, match="'scales' must be known"):
        resize.save(tmp_path / "resize.isth")
    with pytest.raises(UnsupportedError, match="'scales' must be known"):
        _ = resize.graph


def test_ranks_that_a_model_leaves_open_are_taken_from_the_inputs() -> None:
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    given = helper.make_value_info("xs", helper.make_sequence_type_proto(element))
    node = helper.make_node("ConcatFromSequence", ["xs"], ["y"], axis=0)
    graph = helper.make_graph([node], "g", [given], [helper.make_empty_tensor_value_info("y")])
    package = isthmus.compile(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]))
    assert isinstance(package, DynamicPackage)
    parts = [np.ones((2, 3), "f"), np.zeros((1, 3), "f")]
    assert package.run({"xs": parts})["y"].shape == (3, 3)
    assert package.run({"xs": [np.ones(2, "f")]})["y"].shape == (2,)
    with pytest.raises(InputError, match=r"'xs': is an empty sequence.*give shapes="):
        package.run({"xs": []})
