"""The inputs of the benchmark models."""

import numpy as np
import pytest

from benchmarks.models import ALL, NARROW, ensure, find, inputs, path


@pytest.mark.parametrize("name", ALL)
def test_inputs_depend_on_the_seed_alone(name):
    first, again, other = inputs(name, 1), inputs(name, 1), inputs(name, 2)
    assert first.keys() == again.keys() == other.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)


def test_pictures_are_float32_of_the_usual_size():
    (picture,) = inputs("resnet50").values()
    assert (picture.shape, picture.dtype) == ((1, 3, 224, 224), np.float32)
    assert 0.9 < picture.std() < 1.4


def test_padding_masks_the_end_and_leaves_two_segments_before_it():
    arrays = inputs("bert_base", 3, padding=40)
    assert arrays["attention_mask"].tolist() == [[1] * 88 + [0] * 40]
    assert not arrays["token_type_ids"][0, 88:].any()
    assert set(arrays["token_type_ids"][0, :88].tolist()) == {0, 1}
    assert inputs("bert_base", 3)["attention_mask"].all()


@pytest.mark.parametrize(
    ("name", "padding"), [("gpt2", 1), ("resnet18", 1), ("bert_base", 128), ("bert_base", -1)]
)
def test_padding_that_does_not_fit_is_refused(name, padding):
    with pytest.raises(ValueError, match="padding"):
        inputs(name, padding=padding)


def test_an_unknown_model_is_refused_with_the_names_known():
    with pytest.raises(ValueError, match="vgg: not a benchmark model, expected one of resnet18, resnet50"):
        path("vgg")


def test_a_file_that_exists_is_not_made_again(tmp_path):
    path("gpt2", tmp_path).write_bytes(b"kept")
    assert ensure(["gpt2"], tmp_path) == [tmp_path / "gpt2.onnx"]
    assert path("gpt2", tmp_path).read_bytes() == b"kept"


@pytest.mark.parametrize("name", NARROW)
def test_8_bit_forms_lie_beside_their_floats_and_take_the_same_inputs(name, tmp_path):
    floats = find(name).floats
    assert path(name, tmp_path) == path(floats, tmp_path).with_suffix(".int8.onnx")
    assert all(np.array_equal(array, inputs(floats, 2)[key]) for key, array in inputs(name, 2).items())
