"""What a kernel does side by side falls into kernels of their own; what exchanges anything stays together."""

from pathlib import Path

import numpy as np

from isthmus.compiler.tile.components import components
from isthmus.compiler.tile.draw import draw_arrays
from isthmus.compiler.tile.text import parse_kernel
from isthmus.compiler.tile.untiled import run_untiled

TWO_WAYS = """kernel "two ways" {
  input x: f32[6, 3]
  constant u: f32[2, 3]
  local h: f32[6, 3]
  local g: f32[6, 3]
  output y: f32[6, 2, 3]
  stage forth (scan t: 6, i: 3): h[t, i] = add(mul(h[t - 1, i] else 0.0, u[0, i]), x[t, i])
  stage back (scan t: 6, i: 3): g[t, i] = add(mul(g[t - 1, i] else 0.0, u[1, i]), x[-t + 5, i])
  stage first (scan t: 6, i: 3): y[t, 0, i] = h[t, i]
  stage second (scan t: 6, i: 3): y[-t + 5, 1, i] = g[t, i]
}"""


def test_directions_are_parts_that_write_their_share_of_an_output() -> None:
    kernel = parse_kernel(TWO_WAYS)
    parts = components(kernel)
    assert [[stage.name for stage in part.stages] for part in parts] == [
        ["forth", "first"],
        ["back", "second"],
    ]
    assert [[b.name for b in part.buffers] for part in parts] == [["x", "u", "h", "y"], ["x", "u", "g", "y"]]
    arrays = draw_arrays(kernel, np.random.default_rng(2))
    whole = run_untiled(kernel, arrays)["y"]
    halves = [run_untiled(part, {name: arrays[name] for name in "xu"})["y"] for part in parts]
    assert np.array_equal(whole[:, 0], halves[0][:, 0])
    assert np.array_equal(whole[:, 1], halves[1][:, 1])


def test_what_reads_from_each_other_is_one_part() -> None:
    for name in ("rnn", "attention", "cascade"):
        text = (Path(__file__).parent / "kernels" / f"{name}.kernel").read_text()
        kernel = parse_kernel(text)
        assert components(kernel) == [kernel]
    joined = TWO_WAYS.replace("add(mul(g[t - 1, i]", "add(mul(h[t - 1, i]")
    assert len(components(parse_kernel(joined))) == 1
