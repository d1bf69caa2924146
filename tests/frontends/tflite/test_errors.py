"""Models that are refused: by line, with the place and the way out. Damaged files give nothing but our own errors."""

import struct
from dataclasses import replace

import numpy as np
import pytest
import tflite

from isthmus.compiler.diagnostics import CompileError, ModelError, UnsupportedError
from isthmus.frontends import registry
from isthmus.frontends.tflite import frontend
from isthmus.frontends.tflite.sparse import Level, Sparsity


def refusal(path) -> list[str]:
    with pytest.raises(CompileError) as raised:
        registry.read(path, [frontend])
    return str(raised.value).split("\n")


def place(table, slot: int) -> int:
    """Where a field of a table is stored; `slot` is its place in the table's index."""
    offset = table._tab.Offset(slot)
    assert offset, "the field has its default value and is not stored"
    return table._tab.Pos + offset


def vector(table, slot: int) -> int:
    """Where the elements of a vector begin; their count stands before them."""
    return table._tab.Vector(table._tab.Offset(slot))


class Damage:
    """A recorded model whose numbers can be changed."""

    def __init__(self, recordings, name: str):
        self.recordings = recordings
        self.data = bytearray(recordings.get(name).model)
        self.model = tflite.Model.GetRootAs(bytes(self.data))
        self.graph = self.model.Subgraphs(0)

    def put(self, where: int, number: int, form: str = "<i") -> "Damage":
        struct.pack_into(form, self.data, where, number)
        return self

    def refusal(self) -> list[str]:
        return refusal(self.recordings.path(bytes(self.data)))


REFUSED = {
    "custom": (
        "TFLite_Detection_PostProcess_0: custom.TFLite_Detection_PostProcess",
        "custom ops carry no definition",
    ),
    "flex": ("FlexErfinv_0", "it is TensorFlow's op 'Erfinv' and no TFLite op", "SELECT_TF_OPS"),
    "unknown_op": ("SVDF_0: SVDF is not supported: there is no converter for it", "convert again"),
    "newer_version": ("RELU_0", "its version 99 is not known, versions 1 to 3 are", "older converter"),
    "no_quantised_form": ("DIV_0", "its quantised form is not known", "without quantisation"),
    "between_scales": ("RESHAPE_0", "different scales or zero points", "newer converter"),
    "complex_result": ("", "inputs and results of complex numbers are not supported", "real and"),
    "complex_input": ("", "inputs and results of complex numbers are not supported", "real and"),
    "variable": ("VAR_HANDLE_0", "it keeps a state between runs", "frozen variables"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_node_is_refused(name, recordings):
    (line,) = refusal(recordings.path(recordings.get(name).model, name))
    assert line.startswith(f"{name}.tflite:")
    for text in REFUSED[name]:
        assert text in line


def test_all_unknown_operators_are_named_at_once(recordings):
    damage = Damage(recordings, "convolutions_f32")
    codes = [damage.model.OperatorCodes(n) for n in range(damage.model.OperatorCodesLength())]
    for number, name in ((500, "CONV_2D"), (501, "SOFTMAX")):
        (code,) = (code for code in codes if code.BuiltinCode() == getattr(tflite.BuiltinOperator, name))
        damage.put(place(code, 10), number)
    lines = damage.refusal()
    assert [line.partition(" is not supported")[0].rpartition(": ")[2] for line in lines] == [
        "operator number 500",
        "operator number 501",
    ]
    assert "(2 nodes)" in lines[0]
    with pytest.raises(UnsupportedError):
        registry.read(recordings.path(bytes(damage.data)), [frontend])


def test_other_files(recordings):
    (line,) = refusal(recordings.path(b""))
    assert line.startswith("model.tflite: not a TFLite model")
    assert "right file" in line
    (line,) = refusal(recordings.path(b"\x08\x07\x12\x04test" * 9))
    assert "does not have the identifier 'TFL3'" in line


def test_schema_version(recordings):
    damage = Damage(recordings, "slice_f32")
    (line,) = damage.put(place(damage.model, 4), 2).refusal()
    assert "has schema version 2, expected 3" in line
    assert "converter" in line


def test_numbers_of_tensors(recordings):
    damage = Damage(recordings, "slice_f32")
    inputs = vector(damage.graph.Operators(0), 6)
    (line,) = damage.put(inputs, 77).refusal()
    assert line.startswith("model.tflite:SLICE_0: reads tensor 77, there are 4")
    (line,) = damage.put(inputs, 3).refusal()
    assert "reads tensor 3 't3', which has no value there" in line
    damage = Damage(recordings, "slice_f32")
    (line,) = damage.put(vector(damage.graph, 8), 9).refusal()
    assert "its outputs name tensor 9, there are 4" in line
    damage = Damage(recordings, "slice_f32")
    (line,) = damage.put(vector(damage.graph, 8), 1).put(vector(damage.graph.Operators(0), 8), 2).refusal()
    assert line.startswith("model.tflite")


SPARSE = {
    "rows": (Level(0, 3, None), Level(1, 0, ([0, 2, 2, 5], [1, 4, 0, 2, 3]))),
    "segments that end early": (Level(0, 3, None), Level(1, 0, ([0, 2, 2, 4], [1, 4, 0, 2, 3]))),
    "segments that go back": (Level(0, 3, None), Level(1, 0, ([0, 6, 2, 5], [1, 4, 0, 2, 3]))),
    "too few segments": (Level(0, 3, None), Level(1, 0, ([0, 5], [1, 4, 0, 2, 3]))),
    "a place outside": (Level(0, 3, None), Level(1, 0, ([0, 2, 2, 5], [1, 5, 0, 2, 3]))),
    "more places than values": (Level(0, 3, None), Level(1, 5, None)),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_constants_that_do_not_fit(name):
    levels = tuple(
        replace(level, compressed=level.compressed and tuple(map(np.array, level.compressed)))
        for level in SPARSE[name]
    )
    if name == "rows":
        found = Sparsity(levels, ()).dense(np.arange(1, 6), (3, 5))
        assert found.tolist() == [[0, 1, 0, 0, 2], [0] * 5, [3, 0, 4, 5, 0]]
    else:
        with pytest.raises(ModelError, match="its sparse form"):
            Sparsity(levels, ()).dense(np.arange(1, 6), (3, 5))


def test_blocks_that_do_not_divide_a_sparse_constant():
    levels = tuple(Level(n, 2, None) for n in range(3))
    with pytest.raises(ModelError, match=r"blocks of 2 do not divide its shape \[3, 2\]"):
        Sparsity(levels, (0,)).dense(np.ones(4), (3, 2))


def test_constants(recordings):
    damage = Damage(recordings, "slice_f32")
    (line,) = damage.put(vector(damage.graph.Tensors(1), 4), 5).refusal()
    assert line.startswith(
        "model.tflite:t1: the constant is declared i32[5] (20 bytes), its data are 16 bytes"
    )
    damage = Damage(recordings, "slice_f32")
    (line,) = damage.put(place(damage.graph.Tensors(1), 8), 99, "<I").refusal()
    assert "reads tensor 1 't1', which has no value there" in line
    damage = Damage(recordings, "slice_f32")
    (line,) = damage.put(vector(damage.graph.Tensors(1), 4), -4).refusal()
    assert "tensor 1 't1' has the shape [-4]" in line


def test_constant_beyond_the_file(recordings):
    damage = Damage(recordings, "slice_f32")
    buffer = damage.model.Buffers(damage.graph.Tensors(1).Buffer())
    (line,) = damage.put(vector(buffer, 4) - 4, 2**20).refusal()
    assert line.startswith("model.tflite:t1: its data lie beyond the")
    assert "copy the file again" in line


def test_scales(recordings):
    damage = Damage(recordings, "conv_i8_channels")
    scales = vector(damage.graph.Tensors(1).Quantization(), 8)
    (line,) = damage.put(scales - 4, 3).refusal()
    assert "'t1' of shape [4, 3, 3, 3] has 3 scales and 4 zero points for axis 0" in line
    damage = Damage(recordings, "conv_i8_channels")
    (line,) = damage.put(scales, struct.unpack("<i", struct.pack("<f", float("nan")))[0]).refusal()
    assert "'t1' has a scale that is negative or not finite" in line


@pytest.mark.parametrize("name", ["hard_swish_i8", "conv_i8"])
def test_quantised_results_that_are_no_integers(name, recordings):
    damage = Damage(recordings, name)
    result = damage.graph.Operators(damage.graph.OperatorsLength() - 1).Outputs(0)
    (line, *_) = damage.put(place(damage.graph.Tensors(result), 6), 99, "<b").refusal()
    assert "does not hold integers; convert the model again" in line


def test_more_entries_than_bytes(recordings):
    damage = Damage(recordings, "slice_f32")
    (line,) = damage.put(vector(damage.graph, 4) - 4, 2**31 - 1).refusal()
    assert "its tables claim more entries than its" in line
    damage = Damage(recordings, "slice_f32")
    (line,) = damage.put(place(damage.model, 8), 2**30).refusal()
    assert "an offset leads out of its" in line
    assert "copy or convert the file again" in line


def test_operator_codes(recordings):
    damage = Damage(recordings, "add_i8")
    code = damage.model.OperatorCodes(0)
    (line,) = damage.put(place(code, 8), 0).refusal()
    assert "ADD_0" in line
    assert "its version 0 is not known" in line


def test_body_that_calls_its_caller(recordings):
    damage = Damage(recordings, "gru_f32")
    operators = [damage.graph.Operators(n) for n in range(damage.graph.OperatorsLength())]
    loop = next(op for op in operators if op.BuiltinOptionsType() == tflite.BuiltinOptions.WhileOptions)
    options = tflite.WhileOptions()
    options.Init(loop.BuiltinOptions().Bytes, loop.BuiltinOptions().Pos)
    line, *_ = damage.put(place(options, 6), 0).refusal()
    assert line.startswith("model.tflite:WHILE_")
    assert "subgraph 0 calls itself" in line
    line, *_ = damage.put(place(options, 6), 99).refusal()
    assert "refers to subgraph 99, it has 7" in line


def test_signatures(recordings):
    path = recordings.path(recordings.get("signatures").model)
    (line,) = refusal(path)
    assert "has several signatures and none is 'serving_default': encode, decode" in line
    assert "model.tflite#encode" in line
    (line,) = refusal(f"{path}#other")
    assert "has no signature 'other'; its signatures are: encode, decode" in line
    graph = registry.read(f"{path}#decode", [frontend])
    assert (graph.input_names, graph.output_names) == (("decode_in0",), ("decode_out0",))


def test_open_extents_are_symbols(recordings):
    graph = recordings.read("open_batch_f32")
    assert str(graph.inputs[0].type) == "f32[u0, 3]"
    assert str(recordings.read("open_batch_f32", shapes={"t0": (5, 3)}).inputs[0].type) == "f32[5, 3]"


@pytest.mark.parametrize("name", ["conv_i8", "lstm_f32"])
def test_truncated_file(name, recordings):
    data = recordings.get(name).model
    for size in np.linspace(8, len(data) * 0.9, 40).astype(int):
        lines = refusal(recordings.path(data[:size]))
        assert all(line.startswith("model.tflite") for line in lines)


@pytest.mark.parametrize("name", ["conv_i8", "strided_slice_f32", "resize_i8", "slice_at_f32", "gru_f32"])
def test_changed_bytes(name, recordings):
    """A changed file is read or refused; nothing else comes out."""
    original, rng, refused = recordings.get(name).model, np.random.default_rng(0), 0
    # a loop whose bound is changed takes long to unroll
    for _ in range(15 if name.startswith("gru") else 60):
        data = bytearray(original)
        for place_ in rng.integers(8, len(data), 3):
            data[place_] = rng.integers(256)
        try:
            registry.read(recordings.path(bytes(data)), [frontend])
        except (ModelError, CompileError):
            refused += 1
    assert refused > 2
