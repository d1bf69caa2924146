"""Shape arithmetic over symbols, and what is left to run time."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir.dims import Expr, symbol
from isthmus.compiler.ir.graph import constant, graph_input
from isthmus.compiler.ir.types import TensorType, boolean, f32, i64
from isthmus.compiler.ops import get
from isthmus.frontends.known import LARGEST, dims, ints, known, memory, remember, sign

N = symbol("N")
X = graph_input("x", TensorType(f32, (N, 6, 4)))


def op(name, *operands, **attributes):
    return get(name)(*operands, **attributes)


def vector(*numbers):
    return constant(np.array(numbers, np.int64))


def test_shape_of_is_known_with_its_symbols():
    assert dims(op("shape.of", X)) == (N, 6, 4)


def test_slices_gathers_and_joins_keep_symbols():
    extents = op("shape.of", X)
    first = op("shape.slice", extents, starts=(0,), sizes=(1,), steps=(1,))
    last = op("shape.gather", extents, vector(-1), axis=0)
    assert dims(op("shape.concat", first, vector(-1), last, axis=0)) == (N, -1, 4)


def test_arithmetic_is_carried_out_on_polynomials():
    extents = op("shape.of", X)
    doubled = op("math.add", op("math.mul", extents, vector(2, 1, 1)), vector(0, 1, 1))
    assert dims(doubled) == (N * 2, 7, 5)
    assert dims(op("math.div", doubled, vector(2, 1, 1))) == (N, 7, 5)
    assert dims(op("reduce.prod", extents, axes=(0,), keepdims=False)) == (N * 24,)
    assert dims(op("math.sub", extents, extents)) == (0, 0, 0)


def test_extents_pass_through_floats():
    extents = op("math.cast", op("shape.of", X), dtype=f32)
    assert dims(op("math.cast", op("math.floor", extents), dtype=i64)) == (N, 6, 4)


def test_comparisons_that_no_extent_can_change_are_decided():
    extents = op("shape.of", X)
    placeholder = op("math.eq", extents, vector(-1, -1, -1))
    assert known(placeholder).tolist() == [False, False, False]
    assert dims(op("math.where", placeholder, vector(1, 1, 1), extents)) == (N, 6, 4)


def test_what_the_data_decide_is_not_known():
    extents = op("shape.of", X)
    assert known(op("math.eq", extents, vector(1, 1, 1))) is None  # N may be 1
    assert known(graph_input("n", TensorType(i64, (2,)))) is None
    assert known(op("math.div", op("math.sub", extents, vector(9, 9, 9)), vector(2, 2, 2))) is None


def test_static_results_have_their_dtype():
    total = op("math.add", vector(1, 2), vector(3, 4))
    assert known(total).dtype == np.int64
    assert known(op("math.gt", total, vector(4, 4))).dtype == np.bool_


def test_random_numbers_and_large_values_are_not_evaluated():
    assert known(op("random.uniform", shape=(2,), dtype=f32)) is None
    assert known(constant(np.zeros(LARGEST + 1, np.float32))) is None


def test_long_chains_are_walked_once():
    value = vector(1)
    for _ in range(40):
        value = op("math.add", value, value)  # 2**40 paths
    with memory():
        assert dims(value) == (2**40,)


def test_a_value_can_be_declared_known():
    value = graph_input("extent", TensorType(i64, (1,)))
    with memory():
        remember(value, np.array([N], object))
        assert dims(op("math.add", value, 1)) == (N + 1,)


def test_ints_say_what_is_known_instead():
    with pytest.raises(UnsupportedError, match=r"'axes' must be known .* known only at run time"):
        ints(graph_input("axes", TensorType(i64, (2,))), "axes")
    with pytest.raises(UnsupportedError, match=r"known as \[N, 6, 4\]; make it a constant"):
        ints(op("shape.of", X), "repeats")


@pytest.mark.parametrize(
    ("dim", "expected"),
    [(3, 1), (0, 0), (-2, -1), (N + 1, 1), (-N - 1, -1), (N, None), (N - 1, None), (N * N * 2 + 1, 1)],
)
def test_sign(dim, expected):
    assert sign(dim) == expected
    assert isinstance(dim, int | Expr)


def test_bools_of_symbols_stay_unknown():
    assert known(op("math.cast", op("shape.of", X), dtype=boolean)) is None


def test_what_would_take_memory_is_not_evaluated():
    padded = op("shape.pad", vector(1), pads=(2**40, -(2**40)))
    assert padded.shape == (1,)
    assert known(padded) is None


def test_expressions_that_grow_without_bound_are_given_up():
    extents = op("shape.of", graph_input("x", TensorType(f32, (N, symbol("M")))))
    value = op("reduce.sum", extents, axes=(0,), keepdims=False)
    with memory():
        for _ in range(40):
            value = op("math.mul", value, value)
            known(value)
        assert known(value) is None
