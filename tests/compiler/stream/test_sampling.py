"""Operands that are read at every s-th place alone: tiles leave out the rest, values stay the same."""

import numpy as np
import pytest

from isthmus.compiler.stream.sampling import sampled
from isthmus.compiler.tile.text import parse_kernel
from isthmus.compiler.tile.untiled import run_untiled

STRIDED = """kernel "strided" {
  input x: i8[8, 12, 64]
  input w: i8[64, 32]
  output y: i32[4, 4, 32]
  stage sum (h: 4, v: 4, n: 32, reduce c: 64):
    y[h, v, n] = sum mul(cast(x[2*h + 1, 3*v, c]):i32, cast(w[c, n]):i32)
}"""


def test_axes_are_split_by_the_stride() -> None:
    kernel = parse_kernel(STRIDED)
    found = sampled(kernel)
    assert found.buffer("x").static_shape == (4, 2, 4, 3, 64)
    draw = np.random.default_rng(0)
    x, w = (draw.integers(-128, 128, shape).astype(np.int8) for shape in ((8, 12, 64), (64, 32)))
    given = {"x": x.reshape(4, 2, 4, 3, 64), "w": w}
    assert np.array_equal(run_untiled(found, given)["y"], run_untiled(kernel, {"x": x, "w": w})["y"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2*h + 1, 3*v, c", "h, v, c"),
        ("x: i8[8, 12, 64]", "x: i8[9, 11, 64]"),
    ],
    ids=["every place", "an axis that the stride does not divide"],
)
def test_others_stay_as_they_are(old: str, new: str) -> None:
    kernel = parse_kernel(STRIDED.replace(old, new))
    assert sampled(kernel) is kernel
