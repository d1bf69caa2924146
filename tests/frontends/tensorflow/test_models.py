"""Recorded networks in every form give what TensorFlow gave, in an environment without it."""

import sys

import pytest

from isthmus.frontends import registry
from isthmus.frontends.onnx import frontend as onnx
from isthmus.frontends.tensorflow import frontend as tensorflow

FORMS = ("saved", "frozen.pb", "model.keras", "model.h5")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["cnn", "lstm", "gru", "transformer", "unet", "several", "rarer", "masked"])
def test_network(recorded, name, form):
    if form.endswith(("keras", "h5")):
        pytest.importorskip("h5py")
    recorded(name).check(form)
    assert "tensorflow" not in sys.modules, "read without the framework"


def test_variables_of_the_first_generation(recorded):
    model = recorded("first_generation")
    model.check("saved#score")
    with pytest.raises(AssertionError, match="Not equal"):
        model.check("saved#double")


def test_the_file_inside_the_folder_will_do(recorded):
    recorded("cnn").check("saved/saved_model.pb")
    path = recorded("cnn").folder / "saved/saved_model.pb"
    assert registry.choose(path, [onnx, tensorflow]) is tensorflow, "ONNX's messages begin alike"


def test_batches_of_any_size(recorded):
    """The batch stays open until shapes are given; results keep their names."""
    graph = registry.read(recorded("cnn").folder / "saved", [tensorflow])
    assert [str(value.type) for value in graph.inputs] == ["f32[u0, 9, 9, 3]"]
    assert graph.output_names == ("output_0",)
