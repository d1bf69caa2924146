"""Graphs as exporters write them, from opset 7 to 23: compiled, beside ONNX Runtime; see `graphs.py`."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.external_data_helper import convert_model_to_external_data

import isthmus

from .graphs import MODELS, inputs, model


@pytest.mark.parametrize("name", MODELS)
def test_a_graph_gives_what_onnx_runtime_gives(name: str, tmp_path: Path) -> None:
    made = model(name)
    path = tmp_path / "model.onnx"
    if name == "weights beside the file":
        convert_model_to_external_data(made, location="model.bin", size_threshold=100)
    onnx.save(made, path)
    package = isthmus.compile(path, cache=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for draw in range(2):
        given = inputs(name, made, draw)
        got = package.run(given)
        for port, want in zip(session.get_outputs(), session.run(None, dict(given)), strict=True):
            assert (got[port.name].shape, got[port.name].dtype) == (want.shape, want.dtype)
            near = {"rtol": 2e-3, "atol": 1e-3} if name == "half precision" else {"rtol": 1e-4, "atol": 2e-5}
            np.testing.assert_allclose(got[port.name], want, err_msg=port.name, **near)
