"""The geometry of windows: taps that never meet an element are left out."""

import numpy as np
import pytest

from isthmus.compiler.ir import graph_input
from isthmus.compiler.ir.types import TensorType, f32
from isthmus.compiler.ops import get
from isthmus.compiler.ops.window import Window

GEOMETRIES = [
    (5, Window((3,), (2,), (1,), ((1, 1),)), 3),
    (2, Window((640,), (640,), (1,), ((0, 638),)), 2),
    (2, Window((64,), (1,), (1,), ((63, 63),)), 64),
    (2, Window((64,), (64,), (1,), ((62, 62),)), 2),
    (3, Window((9,), (1,), (2,), ((14, 2),)), 3),
    (4, Window((2,), (3,), (5,), ((0, 2),)), 1),
]


@pytest.mark.parametrize(("size", "window", "taps"), GEOMETRIES)
def test_taps_that_stay_in_the_padding_are_left_out(size, window, taps):
    x = np.arange(1, size + 1, dtype=np.float32).reshape(1, 1, size)
    kept = window.within_reach((size,))
    assert kept.kernel == (taps,)
    np.testing.assert_array_equal(sum(kept.slices(x)), sum(window.slices(x)))


def test_a_global_window_reads_no_padding():
    x = graph_input("x", TensorType(f32, (1, 8, 2, 2)))
    form = {"strides": (640, 640), "pads": (0,) * 4, "dilations": (1, 1)}
    y = get("nn.avg_pool")(x, kernel=(640, 640), overhang=(638, 638), **form)
    (total, *_) = (stage for stage in get("nn.avg_pool").kernel(y.node).stages if stage.combine)
    assert [dim.extent for dim in total.kind("reduce")] == [2, 2]
    assert all(access.fill is None for access in total.reads)
