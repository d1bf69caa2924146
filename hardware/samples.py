"""A dozen small layers of int8 networks, which every chip in RTL is held against in a short time."""

from collections.abc import Callable

import numpy as np

from isthmus.compiler.ir.graph import Graph, Value, constant, graph_input
from isthmus.compiler.ir.types import TensorType, dtype_of, i8
from isthmus.compiler.ops import get

Build = Callable[..., Value]
SAMPLES: dict[str, tuple[tuple[tuple[int, ...], ...], Build]] = {}
"""By name the shapes of the i8 inputs, and what is computed of them."""


def sample(*shapes: tuple[int, ...]) -> Callable[[Build], Build]:
    """Registers a function of i8 inputs of these shapes under its own name."""

    def register(build: Build) -> Build:
        SAMPLES[build.__name__] = shapes, build
        return build

    return register


def graph(name: str) -> Graph:
    """The layer of that name."""
    shapes, build = SAMPLES[name]
    inputs = [graph_input(f"x{n}", TensorType(i8, shape)) for n, shape in enumerate(shapes)]
    return Graph(inputs, [build(*inputs)], ["y"], name)


def drawn(*shape: int) -> np.ndarray:
    """Random i8."""
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape).astype(np.int8)


def convolved(
    x: Value, outputs: int, size: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> Value:
    """A convolution that keeps the size at stride 1, its bias and requantisation."""
    weights = constant(drawn(outputs, x.shape[1] // groups, size, size))
    pads = (size // 2 * dilation,) * 4
    how = {"strides": (stride,) * 2, "pads": pads, "dilations": (dilation,) * 2, "groups": groups, "fill": -7}
    return requantised(get("quant.conv")(x, weights, **how), outputs, (outputs, 1, 1))


def requantised(x: Value, channels: int, shape: tuple[int, ...]) -> Value:
    """A bias and a scale for each channel, to i8; along axis 1."""
    bias = constant((np.arange(channels, dtype=np.int32) * 11).reshape(shape))
    scale = np.full(channels, 1 << 24, np.int32), np.full(channels, 34, np.int32), np.array(-7, np.int8)
    total = get("math.add")(x, bias)
    return get("quant.requantize_fixed")(total, *map(constant, scale), axis=1, dtype=dtype_of("int8"))


@sample((1, 16, 14, 14))
def convolution(x: Value) -> Value:
    return convolved(x, 24, 3)


@sample((1, 3, 31, 29))
def first_convolution(x: Value) -> Value:
    return convolved(x, 16, 3, stride=2)


@sample((1, 40, 13, 12))
def pointwise(x: Value) -> Value:
    return convolved(x, 21, 1)


@sample((1, 12, 15, 15))
def dilated(x: Value) -> Value:
    return convolved(x, 10, 3, dilation=2)


@sample((1, 24, 13, 11))
def grouped(x: Value) -> Value:
    return convolved(x, 30, 3, groups=3)


@sample((1, 24, 14, 14))
def depthwise(x: Value) -> Value:
    return convolved(x, 24, 3, groups=24)


@sample((1, 17, 15, 13))
def depthwise_apart(x: Value) -> Value:
    return convolved(x, 17, 5, stride=2, groups=17)


@sample((1, 20, 17, 17))
def max_pool(x: Value) -> Value:
    how = {"strides": (2, 2), "pads": (1,) * 4, "dilations": (1, 1)}
    return get("nn.max_pool")(x, kernel=(3, 3), **how)


@sample((1, 30, 8, 8))
def sum_pool(x: Value) -> Value:
    how = {"strides": (8, 8), "pads": (0,) * 4, "dilations": (1, 1), "fill": 0}
    return requantised(get("quant.sum_pool")(x, kernel=(8, 8), **how), 30, (30, 1, 1))


@sample((1, 24, 12, 12), (1, 24, 12, 12))
def residual(x: Value, y: Value) -> Value:
    return get("quant.add")(x, y, multipliers=(1 << 20, 3 << 19), offset=5, shift=21, zero_point=1)


@sample((1, 16, 14, 14))
def inverted_residual(x: Value) -> Value:
    wide = convolved(convolved(x, 96, 1), 96, 3, groups=96)
    how = {"strides": (1, 1), "pads": (0,) * 4, "dilations": (1, 1)}
    sums = get("quant.conv")(wide, constant(drawn(16, 96, 1, 1)), **how)
    steps = constant(np.full(16, 1 << 10, np.int32))
    return requantised(get("quant.accumulate")(sums, x, steps, axis=1), 16, (16, 1, 1))


@sample((33, 70))
def product(x: Value) -> Value:
    return requantised(get("quant.matmul")(x, constant(drawn(70, 50))), 50, (50,))


@sample((23, 40), (40, 37))
def product_of_two(x: Value, y: Value) -> Value:
    return get("quant.matmul")(x, y)


@sample((1, 16, 12, 12))
def table(x: Value) -> Value:
    return get("quant.lookup")(x, constant(drawn(256)))


@sample((12, 50))
def softmax(x: Value) -> Value:
    powers = constant(np.round(2**15 * np.exp(-np.arange(256) * 0.05)).astype(np.int32))
    return get("quant.softmax")(x, powers, axis=1)
