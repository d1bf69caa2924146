"""Results that lie across what they come from: laid out as they are read where arrays take them, else turned."""

import numpy as np
import pytest

from isthmus.compiler.stream.compose import preparations
from isthmus.compiler.tile.placing import Placing
from isthmus.compiler.tile.stage import LOCAL
from isthmus.compiler.tile.text import parse_kernel
from isthmus.compiler.tile.untiled import run_untiled
from isthmus.targets import find_backend

PRODUCT = """kernel "windows" {
  input x: f32[3, 16, 64]
  local q: i8[16, 64, 3]
  input w: i8[3, 8]
  output y: i32[16, 64, 8]
  stage quantise (c: 3, h: 16, v: 64): q[h, v, c] = cast(round(mul(x[c, h, v], 4.0:f32))):i8
  stage sum (h: 16, v: 64, n: 8, reduce c: 3):
    y[h, v, n] = sum mul(cast(q[h, v, c]):i32, cast(w[c, n]):i32)
}"""
TARGET = find_backend("n1-32").target({})


def test_an_array_takes_rows_as_they_come() -> None:
    """The second way has no copy across lanes: the local's axes are those of what it is made of. The third one writes
    across them."""
    kernel = parse_kernel(PRODUCT)
    turned, laid, across = preparations(kernel, TARGET)
    assert len(laid.stages) == len(turned.stages) - 1
    assert laid.buffer("q").static_shape == (3, 16, 64)
    assert {b.role for b in laid.buffers if b.name == "q"} == {LOCAL}
    draw = np.random.default_rng(0)
    given = {
        "x": draw.normal(0, 8, (3, 16, 64)).astype(np.float32),
        "w": draw.integers(-128, 128, (3, 8)).astype(np.int8),
    }
    wanted = run_untiled(kernel, given)["y"]
    assert len(across.stages) == len(laid.stages)
    assert across.buffer("q").static_shape == (16, 64, 3)
    for way in (turned, laid, across):
        assert np.array_equal(run_untiled(way, given)["y"], wanted)


@pytest.mark.parametrize("other", ["z[h, v, c] = cast(q[h, v, c]):i32"])
def test_what_others_read_too_is_turned(other: str) -> None:
    text = PRODUCT.replace("output y", "output z: i32[16, 64, 3]\n  output y").rstrip("}")
    kernel = parse_kernel(f"{text}  stage out (h: 16, v: 64, c: 3): {other}\n}}")
    assert len(preparations(kernel, TARGET)) == 1


def test_work_that_comes_back_to_an_engine_runs_behind() -> None:
    """The vector engine quantises the next tile while the array multiplies this one: what it drains comes later."""
    kernel = preparations(parse_kernel(PRODUCT), TARGET)[1]
    lags = Placing(kernel, TARGET).lags
    assert lags == {"quantise": 0, "sum": 0, "sum.out": 1}
