"""What memories are charged for: one array that is read in several ways, what is left between, what comes from home."""

import numpy as np
import pytest

from isthmus.backends.cpu.machine import select
from isthmus.backends.cpu.target import describe
from isthmus.compiler.tile.stage import Kernel
from isthmus.compiler.tile.text import parse_kernel
from isthmus.compiler.tile.tiler import tile
from isthmus.compiler.tile.traffic import memory_cycles, one_array

TARGET = describe(select("avx2", None))
WINDOWS = """kernel "windows" {{
  input a: f32[{n}, 512]  input b: f32[{n}, 512]  input c: f32[{n}, 512]  output y: f32[{m}, 512]
  stage s (i: {m}, j: 512): y[i, j] = add(add(a[4*i + 1, j], b[4*i + 3, j]), {last})
}}"""
STRIDED = """kernel "strided" {{
  input x: f32[{n}, {n}, 64]  constant w: f32[64, 32]  output y: f32[28, 28, 32]
  stage s (i: 28, j: 28, f: 32, reduce c: 64): y[i, j, f] = sum mul(x[{s}*i, {s}*j, c], w[c, f])
}}"""


def traffic(kernel: Kernel, memory: str) -> float:
    """Bytes that come from a memory where nothing is cut."""
    cycles = memory_cycles(kernel, TARGET, (), np.zeros((0, 1), int), ())
    return float(cycles[memory][0]) * TARGET.memories[memory].bandwidth


def test_inputs_that_are_read_some_rows_apart_are_one_array() -> None:
    kernel = parse_kernel(WINDOWS.format(n=400, m=100, last="c[4*i + 2, j]"))
    assert one_array(kernel) == {"a": "a", "b": "a", "c": "a"}
    rows = 3 * 100  # of four rows each fourth is read by nobody
    assert traffic(kernel, "l3") == pytest.approx((rows + 100) * 2048 * (1 + 32 / (400 * 2048)), rel=0.01)


def test_inputs_that_are_read_at_one_place_or_in_other_steps_are_not() -> None:
    same = parse_kernel(WINDOWS.format(n=400, m=100, last="c[4*i + 1, j]"))
    assert one_array(same) == {"a": "a", "b": "a"}
    other = parse_kernel(WINDOWS.format(n=400, m=100, last="c[i, j]"))
    assert one_array(other) == {"a": "a", "b": "a", "c": "c"}


def test_what_lies_between_rows_that_are_read_is_not_charged() -> None:
    near, apart = (traffic(parse_kernel(STRIDED.format(n=n, s=s)), "l3") for n, s in ((28, 1), (56, 2)))
    assert apart == pytest.approx(near, rel=0.2)


def test_only_weights_and_what_caches_have_no_room_for_come_from_home() -> None:
    small, large = (parse_kernel(STRIDED.format(n=n, s=n // 28)) for n in (28, 56))
    assert traffic(small, "dram") == pytest.approx(64 * 32 * 4 * (1 + 32 / 8192), rel=0.01)
    assert traffic(large, "dram") == traffic(small, "dram")
    huge = parse_kernel(WINDOWS.format(n=40_000, m=10_000, last="c[4*i + 2, j]"))
    assert traffic(huge, "dram") >= 4 * 10_000 * 2048


def test_rows_of_elementwise_kernels_pass_by_whole() -> None:
    """Columns a line wide, row after row, would open a page for each."""
    kernel = parse_kernel(WINDOWS.format(n=400, m=100, last="c[4*i + 2, j]"))
    loops = tile(kernel, TARGET)[0].schedule.loops
    assert [loop.dim for loop in loops][-2:] == ["i", "j"]
    assert loops[-2].step == 1
