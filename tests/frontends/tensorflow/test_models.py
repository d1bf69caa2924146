"""Recorded networks in every form give what TensorFlow gave, in an environment without it."""

import sys

import pytest

FORMS = ("saved", "frozen.pb", "model.keras", "model.h5")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["cnn", "lstm", "gru", "transformer", "unet", "several"])
def test_network(recorded, name, form):
    if form.endswith(("keras", "h5")):
        pytest.importorskip("h5py")
    recorded(name).check(form)
    assert "tensorflow" not in sys.modules, "read without the framework"
