"""Ops that move elements: common refinements of shapes, which cases have stages, and what is refused."""

from typing import Any

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import TensorType, Value, constant, graph_input, symbol
from isthmus.compiler.ir.types import f32
from isthmus.compiler.ops import REGISTRY, dynamic, gather, scatter, sequence, shape
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.shape import refine

N = symbol("N")


def x(text: str, name: str = "x") -> Value:
    return graph_input(name, parse_type(text))


def kernel(value: Value) -> Any:
    return REGISTRY[value.node.op].kernel(value.node)


@pytest.mark.parametrize(
    ("a", "b", "want"),
    [
        ((4, 6), (2, 2, 3, 2), ([2, 3, 2, 2], [[3, 2], [1, 0]], [[3], [2], [1], [0]])),
        ((2, 6), (4, 3), ([3, 2, 2], [[2], [1, 0]], [[2, 1], [0]])),
        ((6, 4), (8, 3), None),
        ((1, 5, 1), (5,), ([5], [[], [0], []], [[0]])),
        ((), (1, 1), ([], [], [[], []])),
        ((N, 6), (N, 2, 3), ([3, 2, N], [[2], [1, 0]], [[2], [1], [0]])),
        ((N * 4,), (N, 4), ([4, N], [[1, 0]], [[1], [0]])),
        ((N, 4), (4, N), None),
        ((0, 3), (3, 0), None),
    ],
)
def test_refine(a: Any, b: Any, want: Any) -> None:
    assert refine(a, b) == want


def test_a_reshape_without_common_refinement_is_opaque() -> None:
    assert kernel(shape.reshape(x("f32[6, 4]"), shape=(8, 3))) is None
    assert kernel(shape.reshape(x("f32[6, 4]"), shape=(2, 12))) is not None


def test_a_reshape_that_needs_a_symbolic_factor_is_opaque() -> None:
    y = shape.reshape(graph_input("x", TensorType(f32, (2, N, 4))), shape=(N * 2, 4))
    assert kernel(y) is None


def test_a_known_padding_value_is_a_fill() -> None:
    known = kernel(shape.pad(x("f32[3]"), constant(np.float32(7)), pads=(1, 1)))
    assert [access.fill for access in known.stages[0].reads] == [7.0]
    unknown = kernel(shape.pad(x("f32[3]"), x("f32[]", "value"), pads=(1, 1)))
    assert {access.buffer for access in unknown.stages[0].reads} == {"x0", "x1"}


def test_strings_have_no_stages() -> None:
    assert kernel(shape.transpose(x("string[2, 3]"), perm=(1, 0))) is None


def test_indices_out_of_range_are_errors_in_the_meaning() -> None:
    values = np.arange(4)
    for index in (4, -5):
        with pytest.raises(IndexError):
            gather.gather.evaluate(values, np.int64(index), axis=0)
        with pytest.raises(IndexError):
            gather.gather_elements.evaluate(values, np.array([index]), axis=0)
        with pytest.raises(IndexError):
            scatter.scatter_elements.evaluate(
                values, np.array([index]), np.array([9]), axis=0, reduction="none"
            )


def test_equal_elements_keep_their_order_in_topk() -> None:
    values = np.array([3, 1, 3, 2, 3])
    assert scatter.topk.evaluate(values, np.int64(4), axis=0)[1].tolist() == [0, 2, 4, 3]
    assert scatter.topk.evaluate(values, np.int64(4), axis=0, largest=False)[1].tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: shape.reshape(x("f32[4, 6]"), shape=(5, 5)), r"has 24 elements, the shape \[5, 5\] has 25"),
        (
            lambda: shape.transpose(x("f32[4, 6]"), perm=(0, 0)),
            r"'perm' is \[0, 0\], expected a permutation of 2 axes",
        ),
        (lambda: shape.slice_of(x("f32[4]"), starts=(0, 0), sizes=(1,), steps=(1,)), "got 2, 1 and 1"),
        (
            lambda: shape.slice_of(x("f32[4]"), starts=(1,), sizes=(4,), steps=(1,)),
            "indices 1 to 4 of axis 0 are outside",
        ),
        (lambda: shape.concat(axis=0), "concat needs an operand"),
        (lambda: shape.concat(x("f32[2]"), x("f32[2, 1]"), axis=0), "the ranks differ"),
        (lambda: shape.concat(x("f32[2, 3]"), x("f32[3, 3]"), axis=1), "along axis 1: axis 0 differs"),
        (lambda: shape.concat(x("f32[2]"), axis=-1), "'axis' is -1, expected 0 to 0 for rank 1"),
        (lambda: shape.pad(x("f32[2]"), pads=(1,)), "'pads' has 1 entries, expected 2"),
        (
            lambda: shape.pad(x("f32[2]"), pads=(1, 1), mode="mirror"),
            "'mode' is 'mirror', expected one of constant",
        ),
        (
            lambda: shape.pad(x("f32[2]"), x("f32[1]"), pads=(1, 1)),
            r"the padding value is f32\[1\], expected f32\[\]",
        ),
        (lambda: shape.pad(x("f32[2]"), pads=(-1, -2)), "can't be padded by"),
        (lambda: shape.tile(x("f32[2]"), repeats=(2, 2)), "expected 1 counts >= 0"),
        (lambda: shape.trilu(x("f32[2]")), "trilu needs rank 2 or more"),
        (lambda: gather.gather(x("f32[2]"), x("f32[1]"), axis=0), "expected an integer dtype"),
        (lambda: gather.gather_elements(x("f32[2]"), x("i64[1, 1]"), axis=0), "expected the rank of x"),
        (
            lambda: gather.gather_elements(x("f32[2, 2]"), x("i64[1, 3]"), axis=0),
            "larger than x .* on axis 1",
        ),
        (lambda: gather.gather_nd(x("f32[2]"), x("i64[1, 2]")), "don't fit x"),
        (
            lambda: gather.gather_nd(x("f32[2, 3]"), x("i64[3, 1]"), batch_dims=1),
            "the batch axes of x .* differ",
        ),
        (
            lambda: scatter.scatter_elements(x("f32[2]"), x("i64[1]"), x("f32[1]"), axis=0, reduction="sum"),
            "'reduction' is 'sum', expected one of none, add",
        ),
        (
            lambda: scatter.scatter_elements(x("f32[2]"), x("i64[1]"), x("f32[2]"), axis=0),
            "the shape of the indices",
        ),
        (lambda: scatter.scatter_nd(x("f32[2]"), x("i64[1, 1]"), x("f32[2]")), r"the updates are f32\[2\]"),
        (lambda: scatter.topk(x("f32[2]"), x("i64[]"), axis=0, size=3), "top 3 of 2 elements"),
        (lambda: gather.onehot(x("i64[2]"), x("i64[]"), x("f32[3]"), axis=0), r"values \[off, on\]"),
        (
            lambda: gather.reverse_sequence(x("f32[2, 3]"), x("i64[3]"), batch_axis=0, time_axis=1),
            "lengths .* don't fit axis 0",
        ),
        (lambda: dynamic.reshape_dynamic(x("f32[2]"), x("i64[]"), rank=1), "expected a vector of integers"),
        (lambda: dynamic.expand_dynamic(x("f32[2, 2]"), x("i64[1]"), rank=1), "can't be expanded to rank 1"),
        (lambda: dynamic.slice_dynamic(x("f32[2]"), x("i64[2]"), x("i64[2]")), "2 slices of"),
        (lambda: dynamic.pad_dynamic(x("f32[2]"), x("i64[2]"), x("f32[2]")), "the padding value is"),
        (lambda: dynamic.range_of(x("i64[1]"), x("i64[]"), x("i64[]")), r"range takes numbers of shape \[\]"),
        (lambda: dynamic.compress(x("f32[2]"), x("i64[2]")), "expected a vector of bool"),
        (lambda: sequence.construct(), "needs an element; sequence.empty makes one without"),
        (lambda: sequence.construct(x("f32[2]"), x("i64[2]")), "can't hold both"),
        (lambda: sequence.at(x("f32[2]"), x("i64[]")), "expected a sequence of tensors"),
        (lambda: sequence.at(sequence.construct(x("f32[2]")), x("f32[]")), "expected one integer"),
        (lambda: sequence.make(), "needs a value, or the type of the absent one"),
        (lambda: sequence.make(x("f32[2]"), element=parse_type("i64[2]")), "an optional .* can't hold"),
    ],
)
def test_refused(build: Any, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        build()
