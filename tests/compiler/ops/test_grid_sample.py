"""nn.grid_sample against ONNX's reference."""

import numpy as np
import pytest

from isthmus.compiler.diagnostics import TypeRuleError
from isthmus.compiler.ops import get


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("shape", [(2, 1, 5, 4), (1, 2, 3, 4, 5)], ids=str)
def test_grid_sample_is_onnx_grid_sample(onnx_reference, shape, mode, padding, align_corners):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    spatial = len(shape) - 2
    grid = rng.uniform(-1.8, 1.8, (shape[0], *(3,) * spatial, spatial)).astype(np.float32)
    (got,) = get("nn.grid_sample").evaluate(x, grid, mode=mode, padding=padding, align_corners=align_corners)
    (want,) = onnx_reference(
        "GridSample", x, grid, mode=mode, padding_mode=padding, align_corners=int(align_corners)
    )
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_not_a_number_reads_nothing():
    x = np.ones((1, 1, 2, 2), np.float32)
    grid = np.full((1, 1, 1, 2), np.nan, np.float32)
    (got,) = get("nn.grid_sample").evaluate(x, grid, mode="nearest")
    np.testing.assert_array_equal(got, [[[[0]]]])


@pytest.mark.parametrize(
    ("grid", "attributes", "message"),
    [
        ((1, 3, 3, 3), {}, "are not"),
        ((2, 3, 3, 2), {}, "different batches"),
        ((1, 3, 3, 2), {"mode": "area"}, "mode is 'area'"),
    ],
)
def test_refusals(grid, attributes, message):
    with pytest.raises(TypeRuleError, match=message):
        get("nn.grid_sample")(np.zeros((1, 2, 4, 4), np.float32), np.zeros(grid, np.float32), **attributes)
