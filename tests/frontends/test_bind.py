"""Input shapes from the user, unified with those of the model."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import ModelError
from isthmus.compiler.ir.dims import symbol
from isthmus.compiler.ir.types import SequenceType, TensorType, f32, i64
from isthmus.frontends.bind import bind_inputs
from isthmus.frontends.source import SourceGraph, SourceInput, SourceModel

N, S = symbol("N"), symbol("S")


def bound(*inputs, shapes=None, constants=None):
    graph = SourceGraph("g", tuple(inputs), (), ())
    found = bind_inputs(SourceModel("m", graph, 0, list), shapes or {}, constants or {})
    return {entry.name: given for entry, given in found}


def test_unbound_dimensions_stay():
    assert bound(SourceInput("x", f32, (N, 3))) == {"x": TensorType(f32, (N, 3))}


def test_a_name_binds_all_its_uses():
    found = bound(SourceInput("x", f32, (N, 3)), SourceInput("y", i64, (N + 1, N * 2)), shapes={"x": (4, 3)})
    assert found == {"x": TensorType(f32, (4, 3)), "y": TensorType(i64, (5, 8))}


def test_dimensions_can_be_named_and_left():
    found = bound(SourceInput("x", f32, (N, S)), shapes={"x": ("batch", None)})
    assert found["x"].shape == (symbol("batch"), S)


def test_sums_are_solved():
    found = bound(SourceInput("x", f32, (N + S, N)), shapes={"x": (9, 4)})
    assert found["x"].shape == (9, 4)
    assert bound(SourceInput("x", f32, (N * 2 + 1,)), shapes={"x": (9,)})["x"].shape == (9,)


def test_a_shape_gives_the_rank():
    assert bound(SourceInput("x", f32, None), shapes={"x": (2, None)})["x"].rank == 2


def test_sequences_keep_their_container():
    found = bound(SourceInput("x", f32, (N,), ("sequence",)), shapes={"x": (4,)})
    assert found["x"] == SequenceType(TensorType(f32, (4,)))


def test_constants_are_arrays_of_the_inputs_dtype():
    found = bound(SourceInput("k", i64, (N,)), SourceInput("x", f32, (N,)), constants={"k": [1, 2]})
    assert isinstance(found["k"], np.ndarray)
    assert found["k"].dtype == np.int64
    assert found["x"].shape == (2,)


@pytest.mark.parametrize(
    ("inputs", "shapes", "message"),
    [
        (
            [SourceInput("x", f32, (N, 3))],
            {"z": (1, 3)},
            "m: shapes= names 'z', which is no input; its inputs are: x",
        ),
        ([SourceInput("x", f32, (N, 3))], {"x": (1, 4)}, "m:x: got 4 for dimension 1, the model declares 3"),
        (
            [SourceInput("x", f32, (N, 3))],
            {"x": (1, 3, 1)},
            "m:x: got a shape of rank 3, the model declares [N, 3]",
        ),
        (
            [SourceInput("x", f32, (N,)), SourceInput("y", f32, (N,))],
            {"x": (2,), "y": (3,)},
            "m:y: got 3 for dimension 0, but 'N' is 2 already",
        ),
        (
            [SourceInput("x", f32, (N * 2,))],
            {"x": (3,)},
            "m:x: got 3 for dimension 0, the model declares 2*N",
        ),
        ([SourceInput("x", f32, (N,))], {"x": (-3,)}, "m:x: got -3 for dimension 0, which is negative"),
        (
            [SourceInput("x", f32, None)],
            {},
            "m:x: the input has no shape, not even a rank; give its shape: shapes={'x': (...)}",
        ),
    ],
)
def test_clashes(inputs, shapes, message):
    with pytest.raises(ModelError) as raised:
        bound(*inputs, shapes=shapes)
    assert str(raised.value) == message


def test_all_clashes_are_told_at_once():
    with pytest.raises(ModelError) as raised:
        bound(SourceInput("x", f32, (2, 3)), shapes={"x": (1, 4), "z": ()})
    assert len(raised.value.problems) == 3
