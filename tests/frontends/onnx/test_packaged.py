"""The models that the onnx package ships with inputs and outputs; no converter was written after them."""

from pathlib import Path

import onnx
import pytest
from onnx import SequenceProto, TensorProto, numpy_helper

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ops.interpret import evaluate
from isthmus.frontends import registry
from isthmus.frontends.onnx import frontend
from isthmus.frontends.onnx.conformance import differs

DATA = Path(onnx.__file__).parent / "backend/test/data"
REFUSED = {"test_gradient_of_add", "test_gradient_of_add_and_mul"}  # training


def models(suite):
    return sorted(DATA.glob(f"{suite}/*/model.onnx"))


def load(path, entry):
    """The value of an input or output in a file, by the type that the model declares for it."""
    if entry.type.HasField("sequence_type"):
        return numpy_helper.to_list(SequenceProto.FromString(path.read_bytes()))
    return numpy_helper.to_array(TensorProto.FromString(path.read_bytes()))


def check(path):
    graph, declared = registry.read(path, [frontend]), onnx.load(path).graph
    entries = [entry for entry in declared.input if entry.name in graph.input_names]
    for folder in sorted(path.parent.glob("test_data_set_*")):
        inputs = {entry.name: load(folder / f"input_{n}.pb", entry) for n, entry in enumerate(entries)}
        for n, (entry, got) in enumerate(zip(declared.output, evaluate(graph, inputs).values(), strict=True)):
            want = load(folder / f"output_{n}.pb", entry)
            assert differs(got, want, 1e-3, 1e-5) == "", f"{path.parent.name}: output {n}"


@pytest.mark.parametrize("suite", ["pytorch-converted", "pytorch-operator"])
def test_suite(suite):
    found = models(suite)
    assert len(found) > 30
    for path in found:
        check(path)


def test_simple_models():
    for path in models("simple"):
        if path.parent.name in REFUSED:
            with pytest.raises(UnsupportedError):
                check(path)
        else:
            check(path)


def test_nets_are_read():
    """Well-known networks with their weights left out; `ConstantOfShape` stands for these."""
    found = sorted((DATA / "light").glob("*.onnx"))
    assert len(found) >= 9
    for path in found:
        graph = registry.read(path, [frontend])
        assert graph.outputs[0].type.is_static
