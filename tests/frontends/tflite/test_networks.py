"""Small networks against TFLite's reference kernels, by their meaning and compiled for the CPU."""

import numpy as np
import pytest

import isthmus
from isthmus.compiler.ops.interpret import evaluate


def check(got, recording):
    for array, want in zip(got.values(), recording.outputs, strict=True):
        assert (array.dtype, array.shape) == (want.dtype, want.shape)
        if want.dtype.kind == "f":
            np.testing.assert_allclose(array, want, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(array, want)


def test_network(network, recordings):
    recording = recordings.get(network)
    path = recordings.path(recording.model)
    check(isthmus.read(path).evaluate(recording.inputs), recording)


@pytest.mark.parametrize("name", ["convolutions_i8", "unet_f32", "gru_f32"])
def test_compiled_network(name, recordings):
    recording = recordings.get(name)
    path = recordings.path(recording.model)
    shapes = dict(zip(isthmus.read(path).inputs, (array.shape for array in recording.inputs), strict=True))
    check(isthmus.compile(path, target="cpu", shapes=shapes).run(recording.inputs), recording)


def test_unrolled_turns_share_their_weights(recordings):
    nodes = [node for node in recordings.read("gru_f32").nodes if node.op == "constant"]
    assert sum(node.result.shape == (18, 8) for node in nodes) == 2, "one for each direction"


def test_loop_that_stays_a_loop(recordings, monkeypatch):
    monkeypatch.setattr("isthmus.frontends.tflite.convert.control.MOST_UNROLLED", 0)
    for name in ("lstm_f32", "gru_f32"):
        recording = recordings.get(name)
        graph = recordings.read(name)
        assert sum(node.op == "control.loop" for node in graph.nodes) == 3
        check(evaluate(graph, recording.inputs), recording)
