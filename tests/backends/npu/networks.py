"""Small float networks such as users bring: each is a graph of `input`, and arrays to calibrate and to run it with."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from isthmus.compiler.ir import Graph, Value, constant, graph_input
from isthmus.compiler.ir.location import Location, at
from isthmus.compiler.ops import get
from isthmus.compiler.ops.engine import parse_type

Build = Callable[[Value], Value]
NETWORKS: dict[str, tuple[str, Build]] = {}
"""By name: the type of the input, and what is computed of it."""


def network(type: str) -> Callable[[Build], Build]:
    """Registers a function of an input of that type under its own name."""

    def register(build: Build) -> Build:
        NETWORKS[build.__name__] = type, build
        return build

    return register


def graph_of(name: str) -> Graph:
    """The network of that name; nodes are located by op and number."""
    type, build = NETWORKS[name]
    x = graph_input("input", parse_type(type))
    return Graph([x], [build(x)], ["output"], name)


def samples(name: str, count: int, seed: int = 5) -> list[dict[str, np.ndarray]]:
    """Arrays for the input."""
    rng, type = np.random.default_rng(seed), parse_type(NETWORKS[name][0])
    return [{"input": rng.standard_normal(type.static_shape).astype(np.float32)} for _ in range(count)]


def op(name: str, *operands: Value | None, **attributes: object) -> Value:
    """A node whose place in the source is its op's name."""
    place = f"{name.rpartition('.')[2]}_{'x'.join(map(str, operands[0].shape))}"  # type: ignore[union-attr]
    with at(Location("network", (place,))):
        return get(name)(*operands, **attributes)


def weights(*shape: int, gain: float = 1.0) -> Value:
    """Random numbers that keep the scale of what they multiply: over all axes but the first."""
    rng = np.random.default_rng(shape)
    scale = gain / np.sqrt(max(1, prod(shape[1:])))
    return constant((rng.standard_normal(shape) * scale).astype(np.float32))


def conv(
    x: Value,
    outputs: int,
    kernel: Sequence[int] = (3, 3),
    strides: Sequence[int] = (1, 1),
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> Value:
    """A convolution with a bias; padding keeps the size at stride 1."""
    rank = len(kernel)
    dilations = tuple(dilations or (1,) * rank)
    half = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilations))
    w = weights(outputs, x.shape[1] // groups, *kernel)
    shift = constant(np.random.default_rng(outputs).standard_normal(outputs).astype(np.float32) * 0.2)
    how = {
        "strides": tuple(strides),
        "pads": tuple(pads or half * 2),
        "dilations": dilations,
        "groups": groups,
    }
    return op("nn.conv", x, w, shift, **how)


def relu(x: Value) -> Value:
    return op("math.relu", x)


def add(x: Value, y: Value) -> Value:
    return op("math.add", x, y)


def mul(x: Value, y: Value) -> Value:
    return op("math.mul", x, y)


def dense(x: Value, outputs: int) -> Value:
    """A product with [inputs, outputs], and a bias."""
    w = op("shape.transpose", weights(outputs, x.shape[-1]), perm=(1, 0))
    return add(op("nn.matmul", x, w), constant(np.linspace(-0.3, 0.3, outputs, dtype=np.float32)))


def pooled(x: Value) -> Value:
    """The mean of each channel, [n, c]."""
    return op("reduce.mean", x, axes=tuple(range(2, x.type.rank)), keepdims=False)


def reshape(x: Value, *shape: int) -> Value:
    return op("shape.reshape", x, shape=shape)


def transpose(x: Value, *perm: int) -> Value:
    return op("shape.transpose", x, perm=perm)


def norm(x: Value) -> Value:
    width = x.shape[-1]
    scale = constant(np.linspace(0.5, 1.5, width, dtype=np.float32))
    return op(
        "nn.layer_norm", x, scale, constant(np.zeros(width, np.float32)), axis=-1 % x.type.rank, epsilon=1e-5
    )


# --- the networks -----------------------------------------------------------------------------------------------


@network("f32[1, 3, 18, 18]")
def residual(x: Value) -> Value:
    """Two residual blocks, one of them with a stride and a projection."""
    x = relu(conv(x, 12, (5, 5), (2, 2)))
    x = relu(add(conv(relu(conv(x, 12)), 12), x))
    y = conv(relu(conv(x, 20, strides=(2, 2))), 20)
    return dense(pooled(relu(add(y, conv(x, 20, (1, 1), (2, 2))))), 10)


@network("f32[1, 8, 14, 14]")
def inverted_residual(x: Value) -> Value:
    y = op("math.clip", conv(x, 32, (1, 1)), constant(np.float32(0)), constant(np.float32(6)))
    y = op("math.clip", conv(y, 32, groups=32), constant(np.float32(0)), constant(np.float32(6)))
    return add(x, conv(y, 8, (1, 1)))


@network("f32[2, 12, 9, 11]")
def groups_and_dilations(x: Value) -> Value:
    """Grouped, dilated, strided, unevenly padded convolutions on a batch of two."""
    x = relu(conv(x, 18, groups=3))
    x = relu(conv(x, 10, dilations=(2, 3)))
    return conv(x, 7, (3, 2), (2, 1), (0, 1, 2, 0))


@network("f32[1, 6, 12, 12]")
def branches(x: Value) -> Value:
    """Branches that are joined along channels, as in Inception and DenseNet."""
    pool = {"kernel": (3, 3), "strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1)}
    a, b, c = relu(conv(x, 5, (1, 1))), relu(conv(x, 9)), op("nn.max_pool", x, **pool)
    d = op("nn.avg_pool", x, **pool)
    return conv(op("shape.concat", a, b, c, d, axis=1), 8, (1, 1))


@network("f32[1, 4, 8, 8]")
def upsampling(x: Value) -> Value:
    """An encoder and a decoder with a skip, twice the size by nearest neighbours."""
    down = relu(conv(x, 8, strides=(2, 2)))
    how = {"scales": (1.0, 1.0, 2.0, 2.0), "coordinates": "asymmetric", "nearest": "floor"}
    up = op("nn.resize", down, shape=(1, 8, 8, 8), **how)
    return conv(op("shape.concat", up, x, axis=1), 3)


@network("f32[1, 4, 6, 6]")
def bilinear(x: Value) -> Value:
    up = op("nn.resize", relu(conv(x, 6)), shape=(1, 6, 12, 12), scales=(1.0, 1.0, 2.0, 2.0), mode="linear")
    return conv(up, 3)


@network("f32[1, 5, 7, 7]")
def transposed_convolution(x: Value) -> Value:
    how = {
        "strides": (2, 2),
        "pads": (1, 1, 1, 1),
        "dilations": (1, 1),
        "output_padding": (1, 1),
        "groups": 1,
    }
    y = op("nn.conv_transpose", relu(conv(x, 6)), weights(6, 4, 3, 3), **how)
    return op("math.sigmoid", y)


@network("f32[1, 16, 10, 10]")
def squeeze_and_excite(x: Value) -> Value:
    """As in MobileNetV3 and EfficientNet: channels are weighed by a small network of their means."""
    x = op("math.hard_swish", conv(x, 16, groups=16))
    s = op("reduce.mean", x, axes=(2, 3), keepdims=True)
    s = op("math.hard_sigmoid", conv(relu(conv(s, 4, (1, 1))), 16, (1, 1)), alpha=1 / 6)
    return conv(op("math.silu", mul(x, s)), 8, (1, 1))


@network("f32[2, 10, 24]")
def transformer_block(x: Value) -> Value:
    """Attention with a causal mask, and a feed-forward network with GELU, norms before both."""
    y = norm(x)
    q, k, v = (transpose(reshape(dense(y, 24), 2, 10, 3, 8), 0, 2, 1, 3) for _ in range(3))
    y = op("nn.attention", q, k, v, scale=8**-0.5, causal=True)
    x = add(x, dense(reshape(transpose(y, 0, 2, 1, 3), 2, 10, 24), 24))
    return add(x, dense(op("math.gelu", dense(norm(x), 48)), 24))


@network("f32[6, 1, 5]")
def recurrent(x: Value) -> Value:
    """An LSTM over six steps, its last state classified."""
    w, r = weights(1, 32, 5, gain=12), weights(1, 32, 8, gain=12)
    y = get("nn.lstm")(x, w, r)[0]
    last = op("shape.slice", y, starts=(5, 0, 0, 0), sizes=(1, 1, 1, 8), steps=(1, 1, 1, 1))
    return dense(reshape(last, 1, 8), 4)


@network("f32[1, 2, 6, 8, 8]")
def volumes(x: Value) -> Value:
    """Convolutions over three dims."""
    pool = {"kernel": (2, 2, 2), "strides": (2, 2, 2), "pads": (0,) * 6, "dilations": (1,) * 3}
    x = op("nn.max_pool", relu(conv(x, 6, (3, 3, 3), (1, 1, 1))), **pool)
    return pooled(relu(conv(x, 8, (2, 3, 3), (1, 1, 1))))


@network("f32[1, 5, 40]")
def signals(x: Value) -> Value:
    """Convolutions over one dim, dilated more and more, as in WaveNet."""
    for step in (1, 2, 4):
        y = conv(x, 5, (3,), (1,), (2 * step, 0), (step,))
        x = add(x, mul(op("math.tanh", y), op("math.sigmoid", conv(x, 5, (1,), (1,)))))
    return conv(x, 3, (1,), (1,))


@network("f32[1, 3, 10, 10]")
def segmentation(x: Value) -> Value:
    """The class of each pixel: integers come out."""
    return op("reduce.argmax", conv(relu(conv(x, 8)), 5, (1, 1)), axis=1, keepdims=False)


@network("f32[1, 3, 9, 9]")
def normalised(x: Value) -> Value:
    """Instance and group norms, leaky and parametric slopes, softmax over channels."""
    one, none = constant(np.ones(8, np.float32)), constant(np.zeros(8, np.float32))
    x = op("math.leaky_relu", op("nn.instance_norm", conv(x, 8), one, none, epsilon=1e-5), alpha=0.1)
    x = op("nn.group_norm", conv(x, 8), one, none, groups=2, epsilon=1e-5)
    x = op("math.prelu", x, constant(np.full((8, 1, 1), 0.25, np.float32)))
    return op("nn.softmax", conv(x, 4, (1, 1)), axis=1)


@network("f32[1, 12, 8, 8]")
def shuffled(x: Value) -> Value:
    """Channels split and shuffled as in ShuffleNet, then blocks of pixels made channels and back."""
    y = relu(conv(x, 12, groups=4))
    y = reshape(transpose(reshape(y, 1, 4, 3, 8, 8), 0, 2, 1, 3, 4), 1, 12, 8, 8)
    y = conv(y, 12, groups=12)
    y = transpose(reshape(y, 1, 12, 4, 2, 4, 2), 0, 3, 5, 1, 2, 4)
    return conv(reshape(y, 1, 48, 4, 4), 9, (1, 1))


@network("f32[3, 20]")
def mixer(x: Value) -> Value:
    """Dense layers, exponentials, divisions, comparisons: what is no product."""
    y = dense(x, 16)
    gate = op("math.div", y, op("math.add", op("math.abs", y), constant(np.float32(1))))
    z = op("math.where", op("math.gt", y, constant(np.float32(0))), op("math.exp", op("math.neg", y)), gate)
    return dense(op("math.softplus", z), 6)
