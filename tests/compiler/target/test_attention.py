"""Attention in parts, exact: rows that see nothing, and narrow operands."""

from typing import Any

import numpy as np
import pytest

from isthmus.compiler.ir import Graph, constant, graph_input
from isthmus.compiler.ops.attention import attention
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.interpret import run_graph
from isthmus.compiler.rewrite import apply
from isthmus.compiler.target.attention import RULES

HIDDEN = np.tri(4, 6, -1)
"""The first row sees nothing."""
FAR = float(np.finfo(np.float32).min)


def both(mask: np.ndarray | None, dtype: str = "f32", **more: Any) -> tuple[np.ndarray, np.ndarray]:
    """What attention gives, and its parts, for random operands."""
    inputs = [
        graph_input(f"x{n}", parse_type(f"{dtype}[1, 2, {rows}, 3]")) for n, rows in enumerate((4, 6, 6))
    ]
    given = None if mask is None else constant(mask)
    graph = Graph(inputs, [attention(*inputs, given, scale=0.5, **more)], ["y"])
    after, hits = apply(graph, RULES)
    assert hits
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(v.type.static_shape).astype(v.dtype.numpy) for v in inputs]
    return run_graph(graph, arrays)[0], run_graph(after, arrays)[0]


@pytest.mark.parametrize(
    "mask",
    [
        HIDDEN > 0,
        np.where(HIDDEN, 0, -np.inf).astype(np.float32),
        np.where(HIDDEN, 0, FAR).astype(np.float32),
    ],
    ids=["truth values", "minus infinity", "the least float"],
)
def test_rows_that_see_nothing(mask: np.ndarray) -> None:
    want, got = both(mask)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


def test_narrow_operands_are_summed_wide() -> None:
    want, got = both(None, "bf16", causal=True)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got.astype(np.float32), want.astype(np.float32), rtol=2e-2, atol=1e-2)


def test_rows_before_the_first_key_stay_one_op() -> None:
    inputs = [graph_input(f"x{n}", parse_type("f32[1, 2, 4, 3]")) for n in range(3)]
    graph = Graph(inputs, [attention(*inputs, scale=0.5, causal=True, offset=-1)], ["y"])
    assert not apply(graph, RULES)[1]
