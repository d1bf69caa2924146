"""Damaged models, by the hundred: changed bytes, nonsense in attributes and types. Only our own errors may come out."""

from contextlib import suppress

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from isthmus.compiler.diagnostics import CompileError
from isthmus.frontends import registry
from isthmus.frontends.onnx import frontend
from isthmus.frontends.onnx.conformance import cases

NUMBERS = [-(10**18), -7, -2, -1, 0, 1, 2, 3, 5, 17, 64, 4096, 2**31, 2**62]
TEXTS = [b"", b"xx", b"\xff", b"reflect", b"SAME_UPPER"]


@pytest.fixture(scope="module")
def models():
    return [case.model for case in cases() if case.model.ByteSize() < 20000]


def damaged_bytes(data: bytearray, rng: np.random.Generator) -> bytes:
    for _ in range(rng.integers(1, 5)):
        place = rng.integers(len(data))
        match rng.integers(3):
            case 0:
                data[place] = rng.integers(256)
            case 1:
                del data[place : place + rng.integers(1, 8)]
            case 2:
                data[place:place] = rng.bytes(3)
    return bytes(data)


def damage(model: ModelProto, rng: np.random.Generator) -> None:
    """One change to a node, to an attribute or to the type of an input."""
    pick = lambda items: items[rng.integers(len(items))]  # noqa: E731
    node = pick(model.graph.node) if model.graph.node else onnx.NodeProto()
    entry = pick(model.graph.input) if model.graph.input else onnx.ValueInfoProto()
    tensor = entry.type.tensor_type
    match rng.integers(7):
        case 0 if node.attribute:
            attribute = pick(node.attribute)
            attribute.i, attribute.f, attribute.s = (
                pick(NUMBERS),
                pick([np.nan, np.inf, -1.0, 1e30]),
                pick(TEXTS),
            )
            attribute.t.data_type = rng.integers(30)
            attribute.ints.append(pick(NUMBERS))
        case 1 if node.attribute:
            node.attribute.remove(pick(node.attribute))
        case 2 if node.input:
            node.input[rng.integers(len(node.input))] = pick(["", *node.input])
        case 3 if node.input:
            node.input.append(node.input[0])
        case 4:
            tensor.elem_type = rng.integers(28)
        case 5:
            tensor.shape.dim.add(dim_value=pick([0, 1, 2, 2**40]))
        case 6 if all(0 < dim.dim_value < 50 for dim in tensor.shape.dim):
            shape = [dim.dim_value for dim in tensor.shape.dim]
            values = rng.integers(-3, 6, shape).astype(np.int64)
            model.graph.initializer.append(numpy_helper.from_array(values, entry.name))


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files(models, seed, tmp_path):
    rng = np.random.default_rng(seed)
    for _ in range(150):
        model = models[rng.integers(len(models))]
        path = tmp_path / "damaged.onnx"
        path.write_bytes(damaged_bytes(bytearray(model.SerializeToString()), rng))
        with suppress(CompileError):
            registry.read(path, [frontend])


@pytest.mark.parametrize("seed", range(4))
def test_damaged_nodes(models, seed):
    rng = np.random.default_rng(seed)
    for _ in range(150):
        model = ModelProto()
        model.CopyFrom(models[rng.integers(len(models))])
        for _ in range(rng.integers(1, 4)):
            damage(model, rng)
        with suppress(CompileError):
            registry.read(model, [frontend])
