"""Layers of sizes that no benchmark network has: what is fitted to the networks is judged on these."""

from collections.abc import Callable

import numpy as np

from isthmus.compiler.ir import DTYPES, Graph, TensorType, Value, constant, graph_input
from isthmus.compiler.ops.activation import gelu, relu
from isthmus.compiler.ops.attention import attention
from isthmus.compiler.ops.contract import matmul
from isthmus.compiler.ops.convolution import conv
from isthmus.compiler.ops.math import add
from isthmus.compiler.ops.norm import layer_norm, softmax

SIZES = (10, 13, 20, 26, 40, 52, 80)
"""Rows of a picture; those of the networks are multiples of 7 or powers of 2."""
CHANNELS = (40, 72, 88, 120, 176, 208, 304, 416)
ROWS = (1, 17, 50, 77, 100, 250, 300)
FEATURES = (320, 448, 640, 896, 1280, 1792, 2560)

Layer = Callable[[np.random.Generator], tuple[str, Graph]]


def draw(count: int) -> list[tuple[str, Graph]]:
    """So many layers, a kind after the other, with their names; the same on every call."""
    rng = np.random.default_rng(0)
    return [LAYERS[n % len(LAYERS)](rng) for n in range(count)]


def _graph(name: str, shape: tuple[int, ...], build: Callable[[Value], Value]) -> tuple[str, Graph]:
    x = graph_input("x", TensorType(DTYPES["f32"], shape))
    return name, Graph([x], [build(x)], ["y"], name)


def _weights(rng: np.random.Generator, *shape: int) -> Value:
    return constant(rng.standard_normal(shape).astype(np.float32))


def _among(rng: np.random.Generator, values: tuple[int, ...]) -> int:
    return int(rng.choice(values))


def _convolution(rng: np.random.Generator, kernel: int, grouped: bool = False) -> tuple[str, Graph]:
    size, stride = _among(rng, SIZES), _among(rng, (1, 1, 2))
    inputs = _among(rng, CHANNELS if size < SIZES[-2] else CHANNELS[:4])
    outputs = inputs if grouped else _among(rng, CHANNELS)
    weights = _weights(rng, outputs, 1 if grouped else inputs, kernel, kernel)
    bias = _weights(rng, outputs)

    def build(x: Value) -> Value:
        y = conv(
            x,
            weights,
            bias,
            strides=(stride, stride),
            pads=(kernel // 2,) * 4,
            dilations=(1, 1),
            groups=inputs if grouped else 1,
        )
        return relu(y)

    kind = "each its own" if grouped else f"to {outputs}"
    name = f"{kernel}x{kernel}, {inputs} {kind} at {size}, stride {stride}"
    return _graph(name, (1, inputs, size, size), build)


def product(rng: np.random.Generator, rows: int, inputs: int, outputs: int) -> tuple[str, Graph]:
    """A product of so many rows with a bias and a GELU, and its name."""
    weights, bias = _weights(rng, inputs, outputs), _weights(rng, outputs)
    name = f"{rows} x {inputs} x {outputs}"
    return _graph(name, (rows, inputs), lambda x: gelu(add(matmul(x, weights), bias)))


def _product(rng: np.random.Generator) -> tuple[str, Graph]:
    return product(rng, _among(rng, ROWS), _among(rng, FEATURES), _among(rng, FEATURES))


def _attention(rng: np.random.Generator) -> tuple[str, Graph]:
    heads, length, features = _among(rng, (5, 10, 14)), _among(rng, ROWS[2:]), _among(rng, (40, 48, 80, 96))
    name = f"attention, {heads} heads of {length} x {features}"
    return _graph(name, (1, heads, length, features), lambda x: attention(x, x, x, scale=0.125))


def _rows(rng: np.random.Generator) -> tuple[str, Graph]:
    rows, features = _among(rng, ROWS[2:]) * 8, _among(rng, FEATURES)
    scale, bias = _weights(rng, features), _weights(rng, features)
    if rng.random() < 0.5:
        return _graph(f"softmax of {rows} x {features}", (rows, features), lambda x: softmax(x, axis=1))
    name = f"normalised {rows} x {features}"
    return _graph(name, (rows, features), lambda x: layer_norm(x, scale, bias, axis=1, epsilon=1e-5))


LAYERS: tuple[Layer, ...] = (
    lambda rng: _convolution(rng, 1),
    lambda rng: _convolution(rng, 3),
    _product,
    lambda rng: _convolution(rng, 5, grouped=True),
    lambda rng: _convolution(rng, 1),
    _attention,
    _product,
    lambda rng: _convolution(rng, 5),
    _rows,
)
