"""Reading models: what is known of them, their reference meaning, other shapes."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import isthmus
from isthmus.compiler.diagnostics import ModelError
from isthmus.compiler.ir.text import parse_graph, print_graph


def test_model_tells_its_ports_and_its_text(digits: Path) -> None:
    model = isthmus.read(digits)
    assert {name: str(type) for name, type in model.inputs.items()} == {"image": "f32[batch, 1, 8, 8]"}
    assert {name: str(type) for name, type in model.outputs.items()} == {"scores": "f32[batch, 10]"}
    assert model.symbols == ("batch",)
    assert model.text.startswith('graph "digits"(%image: f32[batch, 1, 8, 8]')
    assert str(model) == model.text
    assert model.location == "digits.onnx"
    assert model.sha256 == hashlib.sha256(digits.read_bytes()).hexdigest()


def test_evaluate_is_what_onnxruntime_computes(digits: Path, images: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(digits, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": images[:16]})
    model = isthmus.read(digits)
    by_name = model.evaluate({"image": images[:16]})
    np.testing.assert_allclose(by_name["scores"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.evaluate([images[:16]])["scores"], by_name["scores"])


def test_evaluate_names_wrong_inputs(digits: Path, images: np.ndarray) -> None:
    with pytest.raises(isthmus.IsthmusError, match="no such input; the inputs are: image"):
        isthmus.read(digits).evaluate({"picture": images})


def test_shapes_bind_dimensions(digits: Path) -> None:
    bound = isthmus.read(digits, {"image": (4, 1, 8, 8)})
    assert str(bound.outputs["scores"]) == "f32[4, 10]"
    assert bound.symbols == ()
    again = isthmus.read(isthmus.read(digits), {"image": ("n", None, None, None)})
    assert str(again.outputs["scores"]) == "f32[n, 10]"
    with pytest.raises(ModelError, match="got 3 for dimension 1, the model declares 1"):
        isthmus.read(digits, {"image": (4, 3, 8, 8)})
    with pytest.raises(ModelError, match="names 'picture', which is no input; its inputs are: image"):
        isthmus.read(digits, {"picture": (4, 1, 8, 8)})


def test_constants_take_the_place_of_inputs(digits: Path, images: np.ndarray) -> None:
    model = isthmus.read(digits, constants={"image": images[:2]})
    assert model.inputs == {}
    expected = isthmus.read(digits).evaluate([images[:2]])["scores"]
    np.testing.assert_allclose(model.evaluate({})["scores"], expected, rtol=1e-5, atol=1e-6)


def test_objects_read_like_files(digits: Path, images: np.ndarray) -> None:
    from_object = isthmus.read(onnx.load(digits))
    expected = isthmus.read(digits).evaluate([images[:2]])["scores"]
    np.testing.assert_allclose(from_object.evaluate([images[:2]])["scores"], expected, rtol=1e-5, atol=1e-6)
    assert len(from_object.sha256) == 64
    with pytest.raises(ModelError, match=r"builtins\.dict are not models"):
        isthmus.read({})


def test_a_graph_is_bound_without_its_source(digits: Path) -> None:
    graph = parse_graph(print_graph(isthmus.read(digits).graph))
    assert isthmus.read(graph).symbols == ("batch",)
    assert not isthmus.read(graph, {"image": (1, 1, 8, 8)}).symbols
    with pytest.raises(ModelError, match="image"):
        isthmus.read(graph, {"image": (1, 3, 8, 8)})
