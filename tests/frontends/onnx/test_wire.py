"""Cutting big tensors out of serialised models: nothing else may change, and damage is noticed."""

import mmap
import time
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto

from isthmus.compiler.diagnostics import ModelError
from isthmus.frontends import registry
from isthmus.frontends.onnx import frontend
from isthmus.frontends.onnx.wire import IN_MODEL, cut


@pytest.fixture
def weighty(onnx):
    """Weights small and big, in initializers, in an attribute, in a body."""
    big, small = np.arange(3000, dtype=np.float32), np.ones(3, np.float32)
    body = onnx.graph([], [], [onnx.value("c", None)], [onnx.tensor("c", big)])
    other = onnx.graph([], [], [onnx.value("d", None)], [onnx.tensor("d", big + 1)])
    nodes = [
        onnx.node("Constant", "", "k", value=onnx.tensor("v", big * 2)),
        onnx.node("If", "flag", "i", then_branch=body, else_branch=other),
        onnx.node("Sum", "x w k i", "y"),
    ]
    inputs = [onnx.value("x", [3000]), onnx.value("flag", [], TensorProto.BOOL)]
    return onnx.model(nodes, inputs, weights=[onnx.tensor("w", big * 3), onnx.tensor("s", small)])


def test_only_big_tensors_are_cut(weighty):
    data = weighty.SerializeToString()
    slim = ModelProto.FromString(cut(data))
    assert len(cut(data)) < 2000 < 48000 < len(data)
    tensors = [
        slim.graph.initializer[0],
        slim.graph.node[0].attribute[0].t,
        slim.graph.node[1].attribute[0].g.initializer[0],
        slim.graph.node[1].attribute[1].g.initializer[0],
    ]
    contents = []
    for tensor in tensors:
        notes = {entry.key: entry.value for entry in tensor.external_data}
        assert notes.pop("location") == IN_MODEL
        place = slice(int(notes["offset"]), int(notes["offset"]) + int(notes["length"]))
        contents.append(np.frombuffer(data[place], np.float32)[1])
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
        tensor.raw_data = data[place]
    assert sorted(contents) == [1, 2, 2, 3]
    assert slim == weighty


def test_a_stated_location_gives_way_to_the_note(onnx, tmp_path):
    """Quantisers that have read external data write that the data are in the message, behind them."""
    weight = onnx.tensor("w", np.arange(3000, dtype=np.float32))
    weight.data_location = TensorProto.DEFAULT
    model = onnx.model([onnx.node("Add", "x w", "y")], [onnx.value("x", [3000])], weights=[weight])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    graph = onnx.read(tmp_path / "m.onnx")
    (found,) = (n.attributes["value"].array for n in graph.nodes if str(n.location) == "m.onnx:w")
    assert found[-1] == 2999


def test_weights_are_views_of_the_file(onnx, weighty, tmp_path):
    (tmp_path / "m.onnx").write_bytes(weighty.SerializeToString())
    graph = onnx.read(tmp_path / "m.onnx")
    (weight,) = (n.attributes["value"].array for n in graph.nodes if str(n.location) == "m.onnx:w")
    base = weight
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
    assert not weight.flags.writeable
    assert weight.tolist() == (np.arange(3000) * 3).tolist()


def test_a_model_of_half_a_gigabyte_is_read_at_once(onnx, tmp_path):
    """The file is sparse: reading its weights would show in the time, copying them in the memory."""
    model = onnx.model([onnx.node("Add", "x w", "y")], [onnx.value("x", [1 << 27])]).SerializeToString()
    size = 1 << 29
    head = b"\x08" + varint(size // 4) + b"\x10\x01" + b"\x42\x01w" + b"\x4a" + varint(size)
    tensor = b"\x2a" + varint(len(head) + size) + head
    path = tmp_path / "big.onnx"
    with open(path, "wb") as stream:
        stream.write(model + b"\x3a" + varint(len(tensor) + size) + tensor)
        stream.truncate(stream.tell() + size)
    start = time.process_time()
    graph = registry.read(path, [frontend])
    assert time.process_time() - start < 0.5
    assert str(graph.outputs[0].type) == "f32[134217728]"


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def test_truncation_is_noticed_anywhere(onnx, weighty, tmp_path):
    """A prefix may happen to be a whole message, but then it lacks the opsets that come last."""
    data = weighty.SerializeToString()
    path = tmp_path / "m.onnx"
    for length in [*range(200), *range(200, len(data), 997), *range(len(data) - 80, len(data))]:
        path.write_bytes(data[:length])
        with pytest.raises(ModelError):
            onnx.read(path)


@given(st.binary(max_size=300))
def test_any_bytes_are_cut_or_refused(data):
    with suppress(ModelError):
        assert isinstance(cut(data), bytes)


def test_deep_nesting_is_refused():
    message = b""
    for _ in range(40):
        for tag in (0x32, 0x2A, 0x0A):  # attribute.g, node.attribute, graph.node
            rest = b"\x0a" + varint(4997) + bytes(4997)
            message = bytes([tag]) + varint(len(message) + len(rest)) + message + rest
    with pytest.raises(ModelError, match="messages are nested more than 100 deep"):
        cut(b"\x3a" + varint(len(message)) + message)
