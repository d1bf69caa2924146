"""Keras's own networks with random weights, through TFLite's converter, against its reference kernels."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import isthmus

pytestmark = pytest.mark.frameworks

HERE = Path(__file__).parent

# The extents of their images, small ones where the network allows it.
NETWORKS = {
    "MobileNetV2": 96,
    "MobileNetV3Small": 96,
    "ResNet50": 64,
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "InceptionV3": 96,
    "Xception": 96,
    "NASNetMobile": 224,
    "ConvNeXtTiny": 64,
}


@pytest.fixture
def record(monkeypatch):
    """The module that made the recordings, by its file: those of other folders have the same name."""
    pytest.importorskip("tensorflow")
    monkeypatch.syspath_prepend(str(HERE))
    spec = spec_from_file_location("tflite_record", HERE / "record.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("integers", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_application(name, integers, record, tmp_path):
    import keras

    def make():
        build = getattr(keras.applications, name)
        shape = (NETWORKS[name], NETWORKS[name], 3)
        return build(weights=None, classifier_activation=None, input_shape=shape)

    data, (first,) = record.network(make, integers, settled=True)
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(data)
    (input_name,) = isthmus.read(path).inputs
    package = isthmus.compile(path, target="cpu", shapes={input_name: first.shape})
    (got,), (want,) = package.run([first]).values(), record.results(data, [first])
    if not integers:
        assert np.abs(got - want).max() <= 1e-4 * max(np.abs(want).max(), 1)
        return
    (other,) = record.results(data, [first // 4])
    assert (other != want).mean() > 0.2, "the outputs depend on the input"
    assert (np.abs(got.astype(int) - want) <= 1).mean() >= 0.999


def test_recordings_are_what_the_interpreter_computes(record, recordings):
    for name, case in record.CASES.items():
        recording = recordings.get(name)
        if not case.runs:
            continue
        assert record.build(case) == recording.model, name
        for got, want in zip(
            record.results(recording.model, recording.inputs, case.reference), recording.outputs
        ):
            np.testing.assert_array_equal(got, want, name)
