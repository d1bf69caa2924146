"""Models with quantize and dequantize nodes: no samples needed, the same integers as other models."""

from typing import Any

import numpy as np
import pytest

from isthmus.compiler.ir import constant
from isthmus.compiler.ir.types import DType, f32, i8, u8
from isthmus.compiler.ops import activation, convolution, pool, quant
from isthmus.compiler.passes.quantise.imported import on_grid

from .graphs import graph_of, normal, quantise

IMAGE = "f32[1, 3, 6, 6]"


def around(x: Any, scale: float, zero: int, dtype: DType) -> Any:
    """Quantised and dequantised."""
    parameters = (constant(np.float32(scale)), constant(np.asarray(zero, dtype.numpy)))
    return quant.dequantize(
        quant.quantize(x, *parameters, axis=0, dtype=dtype), *parameters, axis=0, dtype=f32
    )


def network(x: Any, dtype: DType = u8) -> Any:
    zero, floor = (128, 0) if dtype == u8 else (0, -128)
    w = np.clip(np.rint(normal(4, 3, 3, 3) * 40), -127, 127) * np.float32(0.01)
    attributes = {"strides": (1, 1), "pads": (1,) * 4, "dilations": (1, 1)}
    y = convolution.conv(around(x, 0.03, zero, dtype), constant(w.astype(np.float32)), None, **attributes)
    y = around(activation.relu(y), 0.05, floor, dtype)
    return around(
        pool.max_pool(y, kernel=(2, 2), strides=(2, 2), pads=(0,) * 4, dilations=(1, 1)), 0.05, floor, dtype
    )


@pytest.mark.parametrize("dtype", [u8, i8], ids=str)
def test_nodes_become_integers_without_samples(dtype: DType) -> None:
    found = quantise(graph_of(lambda x: network(x, dtype), IMAGE), [])
    assert found.core == ["quant.conv", "math.add", "quant.requantize_fixed", "nn.max_pool"] or (
        found.core == ["quant.conv", "quant.requantize_fixed", "nn.max_pool"]
    )
    assert found.decibels() > 45  # some results lie halfway between two steps


def test_weights_keep_the_grid_that_they_lie_on() -> None:
    codes = np.random.default_rng(1).integers(-90, 90, (6, 5, 3, 3)).astype(np.float32)
    scales = np.linspace(0.001, 0.02, 6).astype(np.float32)
    found = on_grid(codes * scales.reshape(-1, 1, 1, 1), 0)
    assert found is not None
    np.testing.assert_allclose(
        found.codes * found.scales.reshape(-1, 1, 1, 1), codes * scales.reshape(-1, 1, 1, 1), rtol=1e-5
    )
    whole = on_grid(codes * np.float32(0.01), None)
    assert whole is not None
    assert whole.scales.shape == ()
    assert on_grid(normal(6, 50), 0) is None
