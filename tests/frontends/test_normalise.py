"""Shared normalisation against numpy, and against counting windows one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.compiler.diagnostics import ModelError, UnsupportedError
from isthmus.compiler.ir.dims import symbol
from isthmus.frontends.normalise import (
    axes_of,
    axis_of,
    ceil_overhang,
    reshape_target,
    same_pads,
    slice_extent,
)

N = symbol("N")
small = st.integers(-9, 9)


@given(st.integers(0, 7), small, small, small.filter(bool))
def test_slices_are_numpys(extent, start, end, step):
    begin, size = slice_extent(extent, start, end, step)
    start = max(start, -extent)
    expected = np.arange(extent)[start:end:step]
    assert [begin + n * step for n in range(size)] == expected.tolist()


@pytest.mark.parametrize(
    ("start", "end", "step", "expected"),
    [
        (0, 2**63 - 1, 1, (0, N)),
        (1, 2**31 - 1, 1, None),
        (0, -1, 1, (0, N - 1)),
        (-3, 2**63 - 1, 1, (N - 3, 3)),
        (-1, -(2**63), -1, (N - 1, N)),
        (0, N, 1, (0, N)),
        (0, N - 2, 1, None),
    ],
)
def test_slices_of_symbolic_extents(start, end, step, expected):
    found = slice_extent(N, start, end, step)
    if expected is not None:
        assert found == expected
    else:
        assert found is None or "min" in str(found)  # clamped exactly, or left to run time


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_same_pads_give_ceil_of_the_ratio(extent, kernel, stride, dilation, upper):
    begin, end = same_pads((extent,), (kernel,), (stride,), (dilation,), upper)
    reach = dilation * (kernel - 1) + 1
    windows = (extent + begin + end - reach) // stride + 1
    assert windows >= -(-extent // stride)
    assert begin + end == 0 or windows == -(-extent // stride)
    assert (end - begin if upper else begin - end) in (0, 1)


def test_same_pads_of_symbolic_extents():
    assert same_pads((N, N), (3, 4), (1, 1), (1, 1), True) == (1, 1, 1, 2)
    with pytest.raises(UnsupportedError, match="depends on the extent 'N'; fix the dimension with shapes="):
        same_pads((N,), (3,), (2,), (1,), True)


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.integers(0, 2))
def test_ceil_mode_counts_windows_that_start_inside(extent, kernel, stride, begin, end):
    if begin >= kernel or end >= kernel or extent + begin + end < kernel:
        return
    (extra,) = ceil_overhang((extent,), (kernel,), (stride,), (1,), (begin, end))
    windows = (extent + begin + end + extra - kernel) // stride + 1
    rounded_up = -(-(extent + begin + end - kernel) // stride) + 1
    started = len([n for n in range(rounded_up) if n * stride < extent + begin])
    assert windows == started


def test_reshape_targets():
    assert reshape_target((2, 3, 4), (0, -1)) == (2, 12)
    assert reshape_target((N, 3, 4), (-1, 12)) == (N, 12)
    assert reshape_target((N, 12), (0, 3, -1)) == (N, 3, 4)
    assert reshape_target((0, 5), (0, 7), zero_copies=False) == (0, 7)


@pytest.mark.parametrize("target", [(-1, -1), (5,), (4, -1), (0, 0, 0)])
def test_reshape_targets_that_do_not_fit(target):
    with pytest.raises(ModelError):
        reshape_target((2, 3), target)


def test_axes():
    assert axis_of(-1, 3) == 2
    assert axes_of((-1, 0), 3) == (2, 0)
    with pytest.raises(ModelError, match="'axis' is 3, expected -3 to 2 for rank 3"):
        axis_of(3, 3)
    with pytest.raises(ModelError, match="names an axis twice"):
        axes_of((0, -3), 3)
