"""Reductions: nothing to reduce, wide accumulation, positions among equals, and what is refused."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import TensorType, graph_input, symbol
from isthmus.compiler.ir.types import f32, i64
from isthmus.compiler.ops import REGISTRY, Op, reduce
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.tile.untiled import run_untiled


def run(op: Op, array: np.ndarray, **attributes: Any) -> np.ndarray:
    return op.evaluate(array, **op.bind(attributes))[0]


@pytest.mark.parametrize(
    ("op", "dtype", "want"),
    [
        (reduce.sum_of, np.float32, 0.0),
        (reduce.product_of, np.float32, 1.0),
        (reduce.max_of, np.float32, -np.inf),
        (reduce.min_of, np.float32, np.inf),
        (reduce.max_of, np.int8, -128),
        (reduce.min_of, np.uint8, 255),
        (reduce.max_of, np.bool_, False),
        (reduce.min_of, np.bool_, True),
    ],
)
def test_reducing_nothing_gives_the_neutral_value(op: Op, dtype: Any, want: Any) -> None:
    assert run(op, np.zeros((0, 2), dtype), axes=(0,), keepdims=False).tolist() == [want, want]


def test_narrow_floats_are_summed_in_f32() -> None:
    """In bf16 256 + 1 is 256 again."""
    ones = np.ones(1000, ml_dtypes.bfloat16)
    assert float(run(reduce.sum_of, ones, axes=(0,), keepdims=False)) == 1000
    kernel = REGISTRY["reduce.sum"].kernel(
        reduce.sum_of(graph_input("x", parse_type("bf16[1000]")), axes=(0,)).node
    )
    assert kernel is not None
    assert run_untiled(kernel, {"x0": ones})["y0"].tolist() == [1000]


def test_integers_wrap_and_their_mean_truncates() -> None:
    assert run(reduce.sum_of, np.array([100, 100], np.int8), axes=(0,)).tolist() == [-56]
    assert run(reduce.mean, np.array([-3, 0], np.int32), axes=(0,)).tolist() == [-1]


def test_position_of_the_first_and_last_extreme() -> None:
    values = np.array([1.0, 5, 5, 1])
    assert run(reduce.argmax, values, axis=0, keepdims=False) == 1
    assert run(reduce.argmax, values, axis=0, keepdims=False, select_last=True) == 2
    assert run(reduce.argmin, values, axis=0, keepdims=False, select_last=True) == 3


def test_mean_over_a_symbolic_axis_counts_it_when_it_runs() -> None:
    x = graph_input("x", TensorType(f32, (symbol("N"), 3)))
    kernel = REGISTRY["reduce.mean"].kernel(reduce.mean(x, axes=(0, 1)).node)
    assert kernel is not None
    for extent in (1, 5):
        values = np.arange(extent * 3, dtype=np.float32).reshape(extent, 3)
        assert run_untiled(kernel, {"x0": values})["y0"] == values.mean()


@pytest.mark.parametrize(
    ("values", "attributes", "want"),
    [
        ([1, 2, 3], {}, [1, 3, 6]),
        ([1, 2, 3], {"exclusive": True}, [0, 1, 3]),
        ([1, 2, 3], {"reverse": True}, [6, 5, 3]),
        ([1, 2, 3], {"reverse": True, "exclusive": True}, [5, 3, 0]),
        ([], {"exclusive": True}, []),
    ],
)
def test_cumsum(values: list[int], attributes: dict[str, bool], want: list[int]) -> None:
    assert run(reduce.cumsum, np.array(values, np.int64), axis=0, **attributes).tolist() == want


@pytest.mark.parametrize(
    ("attributes", "op", "text", "message"),
    [
        ({"axes": (2,)}, reduce.sum_of, "f32[2, 3]", "'axes' is 2, expected 0 to 1 for rank 2"),
        ({"axes": (-1,)}, reduce.sum_of, "f32[2, 3]", "'axes' is -1, expected 0 to 1 for rank 2"),
        ({"axes": (1, 1)}, reduce.sum_of, "f32[2, 3]", r"'axes' names an axis twice: \[1, 1\]"),
        ({"axes": (0,)}, reduce.sum_of, "bool[2]", "expected a dtype of kind float or int or uint"),
        ({"axis": 0}, reduce.argmax, "f32[0]", "an axis without elements has no extreme"),
        ({"axis": 1}, reduce.cumsum, "f32[2]", "'axis' is 1, expected 0 to 0 for rank 1"),
    ],
)
def test_refused(attributes: dict[str, Any], op: Op, text: str, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        op(graph_input("x", parse_type(text)), **attributes)


def test_positions_are_i64() -> None:
    assert reduce.argmin(graph_input("x", parse_type("u8[4, 3]")), axis=1).type == TensorType(i64, (4, 1))
