"""The recordings against TFLite's interpreter itself; applications of Keras are compared beside those of TensorFlow."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.frameworks

HERE = Path(__file__).parent


@pytest.fixture
def record(monkeypatch):
    """The module that made the recordings, by its file: those of other folders have the same name."""
    pytest.importorskip("tensorflow")
    monkeypatch.syspath_prepend(str(HERE))
    spec = spec_from_file_location("tflite_record", HERE / "record.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
