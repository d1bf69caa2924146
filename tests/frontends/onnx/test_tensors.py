"""Tensor messages of every element type, in every form of storage, against onnx's own decoder."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from isthmus.frontends.files import Folder
from isthmus.frontends.onnx.tensors import DTYPE, TensorReader

READER = TensorReader(b"", None)
NUMBERS = [number for number, dtype in DTYPE.items() if dtype.kind not in ("string",)]
NAMES = {number: TensorProto.DataType.Name(number) for number in NUMBERS}


def sample(number: int) -> np.ndarray:
    """An odd number of elements, so that packed types leave bits over."""
    dtype = DTYPE[number]
    rng = np.random.default_rng(number)
    if dtype.kind == "bool":
        return rng.integers(0, 2, (3, 5)).astype(bool)
    if dtype.is_integer:
        high = 2 ** min(dtype.bits - (dtype.kind == "int"), 60)
        return rng.integers(-high if dtype.kind == "int" else 0, high, (3, 5)).astype(dtype.numpy)
    values = rng.standard_normal((3, 5)) * (1 + 1j if dtype.kind == "complex" else 1)
    return np.abs(values).astype(dtype.numpy) if dtype.name == "f8e8m0" else values.astype(dtype.numpy)


def check(proto: TensorProto, expected: np.ndarray, reader: TensorReader = READER) -> None:
    found = reader.array(proto)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.astype(complex).tolist() == expected.astype(complex).tolist()


@pytest.mark.parametrize("number", NUMBERS, ids=NAMES.get)
def test_raw(number):
    expected = sample(number)
    check(numpy_helper.from_array(expected), expected)


@pytest.mark.parametrize("number", NUMBERS, ids=NAMES.get)
def test_typed(number):
    expected = sample(number)
    proto = helper.make_tensor("t", number, expected.shape, expected.reshape(-1).tolist())
    assert not proto.HasField("raw_data")
    check(proto, numpy_helper.to_array(proto))


@pytest.mark.parametrize("number", NUMBERS, ids=NAMES.get)
def test_external(number, tmp_path):
    expected = sample(number)
    proto = numpy_helper.from_array(expected)
    (tmp_path / "w.bin").write_bytes(b"skip" + proto.raw_data + b"more")
    proto.ClearField("raw_data")
    proto.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "w.bin", "offset": "4"}.items():
        proto.external_data.add(key=key, value=value)
    check(proto, expected, TensorReader(b"", Folder(tmp_path / "m.onnx")))


def test_strings_scalars_and_nothing():
    words = helper.make_tensor("t", TensorProto.STRING, [2], ["é", "b"])
    assert READER.array(words).tolist() == ["é", "b"]
    check(numpy_helper.from_array(np.float32(3)), np.array(3, np.float32))
    check(numpy_helper.from_array(np.zeros((0, 4), np.int64)), np.zeros((0, 4), np.int64))


def test_sparse():
    values = numpy_helper.from_array(np.array([5, 6], np.float32), "v")
    flat = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1, 5])), [2, 3])
    pairs = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([[0, 1], [1, 2]])), [2, 3])
    for proto in (flat, pairs):
        assert READER.dense(proto).tolist() == [[0, 5, 0], [0, 0, 6]]


def test_external_data_beside_a_linked_model(tmp_path):
    """A model that is a link, as in caches of downloads, finds its data beside the file that the link names."""
    store, view = tmp_path / "store", tmp_path / "view"
    store.mkdir()
    view.mkdir()
    (store / "m").write_bytes(b"")
    (store / "w").write_bytes(bytes(range(8)))
    (view / "m.onnx").symlink_to(store / "m")
    (view / "w.bin").symlink_to(store / "w")
    assert Folder(view / "m.onnx").open("w.bin")[3] == 3
