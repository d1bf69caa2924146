"""Tiles of integers: what is refused, and quotients of sums that have passed 32 bits."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ir import graph_input
from isthmus.compiler.ir.types import i8, i16
from isthmus.compiler.ops import get, quant
from isthmus.compiler.ops.engine import parse_type
from isthmus.compiler.ops.tiles import join_tiles, split_tiles

_SPLIT = {"matrix": (1.0, -1.0), "rows": 1, "axis": 0, "step": 1, "begin": 0, "tiles": 4}
_JOIN = {"matrix": (1.0, 1.0), "rows": 1, "axis": 0, "extent": 4}


@pytest.mark.parametrize(
    ("op", "x", "changes", "message"),
    [
        (split_tiles, "i8[5]", {"matrix": (0.5, 1.0)}, "a matrix for i8 has factors that are no integers"),
        (split_tiles, "f32[5]", {"dtype": i16}, r"f32\[5\] as i16, expected its own dtype or wider integers"),
        (split_tiles, "i16[5]", {"dtype": i8}, r"i16\[5\] as i8, expected its own dtype or wider integers"),
        (split_tiles, "f32[5]", {"zero": 3}, r"'zero' is 3, expected 0 for f32\[5\]"),
        (
            join_tiles,
            "i32[2, 4]",
            {"matrix": (0.5, 1.0)},
            "a matrix for i32 has factors that are no integers",
        ),
        (
            join_tiles,
            "i32[2, 4]",
            {"divisor": 0},
            r"'divisor' is 0 for i32\[2, 4\], expected 1, or more for i32",
        ),
        (
            join_tiles,
            "f32[2, 4]",
            {"divisor": 2},
            r"'divisor' is 2 for f32\[2, 4\], expected 1, or more for i32",
        ),
    ],
)
def test_what_does_not_fit_is_refused(op: object, x: str, changes: dict[str, object], message: str) -> None:
    given = {**(_SPLIT if op is split_tiles else _JOIN), **changes}
    with pytest.raises(TypeRuleError, match=message):
        get("nn." + ("split_tiles" if op is split_tiles else "join_tiles"))(
            graph_input("x", parse_type(x)), **given
        )


def test_products_of_wider_integers_are_refused() -> None:
    x, y = (graph_input(name, parse_type("i32[2, 2]")) for name in "xy")
    with pytest.raises(TypeRuleError, match=r"quant.einsum: an operand is i32\[2, 2\], expected i8 or i16"):
        quant.einsum(x, y, equation="ij,jk->ik")


def test_quotients_are_exact_beyond_32_bits() -> None:
    """576 times these numbers passes 32 bits, 64 times does not."""
    wanted = np.array([2**25 - 1, -(2**25), 7_654_321, -1, 0, 3], np.int64)
    wrapped = (wanted * 576).astype(np.int32)
    (got,) = join_tiles.evaluate(wrapped[None], matrix=(1.0,), rows=1, axis=0, extent=6, divisor=576)
    np.testing.assert_array_equal(got, wanted)
