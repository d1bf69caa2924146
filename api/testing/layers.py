"""Ops that fit a value of any shape: what networks are made of, drawn at random."""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from isthmus.compiler.ir.graph import Value, constant
from isthmus.compiler.ops import get

Layer = Callable[[np.random.Generator, Value, Sequence[Value]], Value | None]

_UNARY = ("relu", "neg", "tanh", "sigmoid", "abs", "gelu", "silu", "hard_swish", "exp", "erf")
_BINARY = ("add", "sub", "mul", "max", "min", "div")


def grow(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value:
    """A random op applied to float `x`, and maybe to values of `others`, with random weights of the right shapes."""
    while True:
        layer: Layer = _LAYERS[int(rng.integers(len(_LAYERS)))]
        made = layer(rng, x, others)
        if made is not None:
            return made


def _weight(rng: np.random.Generator, x: Value, *shape: int) -> Value:
    fan = max(1, prod(shape[1:]))
    return constant((rng.standard_normal(shape) / fan**0.5).astype(x.dtype.numpy))


def _one(rng: np.random.Generator, items: Sequence[Any]) -> Any:
    return items[int(rng.integers(len(items)))]


def _axis(rng: np.random.Generator, x: Value) -> int:
    return int(rng.integers(x.type.rank))


def _unary(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    return get(f"math.{_one(rng, _UNARY)}")(x)


def _binary(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    op = get(f"math.{_one(rng, _BINARY)}")
    alike = [v for v in others if v.dtype == x.dtype and v.shape == x.shape]
    if alike and rng.random() < 0.6:
        return op(x, _one(rng, alike))
    shape = [extent if rng.random() < 0.6 else 1 for extent in x.type.static_shape]
    operands = [x, _weight(rng, x, *shape[int(rng.integers(len(shape) + 1)) :])]
    return op(*(operands if rng.random() < 0.7 else operands[::-1]))


def _product(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    if x.type.rank < 2:
        return None
    *outer, _, inner = x.type.static_shape
    fitting = [
        v
        for v in others
        if v.dtype == x.dtype and v.shape[:-2] == tuple(outer) and v.shape[-2:-1] == (inner,)
    ]
    if fitting and rng.random() < 0.5:
        return get("nn.matmul")(x, _one(rng, fitting))
    return get("nn.matmul")(x, _weight(rng, x, inner, _one(rng, (1, 3, 8, 17, 32))))


def _spatial(x: Value) -> int:
    return x.type.rank - 2 if 3 <= x.type.rank <= 5 else 0


def _convolution(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    spatial = _spatial(x)
    if not spatial:
        return None
    channels = x.type.static_shape[1]
    groups = _one(rng, [n for n in (1, 1, 2, channels) if channels % n == 0])
    outputs = groups * _one(rng, (1, 2, 5) if groups > 1 else (1, 6, 16))
    kernel, stride, dilation = (
        [_one(rng, options) for _ in range(spatial)] for options in ((1, 3, 2), (1, 1, 2), (1, 1, 2))
    )
    pads = [_one(rng, (0, 1, 2)) for _ in range(2 * spatial)]
    for n, size in enumerate(x.type.static_shape[2:]):
        pads[n] += max(0, dilation[n] * (kernel[n] - 1) + 1 - size - pads[n] - pads[spatial + n])
    return get("nn.conv")(
        x,
        _weight(rng, x, outputs, channels // groups, *kernel),
        _weight(rng, x, outputs) if rng.random() < 0.5 else None,
        strides=tuple(stride),
        pads=tuple(pads),
        dilations=tuple(dilation),
        groups=groups,
    )


def _pool(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    spatial = _spatial(x)
    if not spatial:
        return None
    form = {
        "strides": (_one(rng, (1, 2)),) * spatial,
        "pads": (1,) * 2 * spatial,
        "dilations": (1,) * spatial,
    }
    if rng.random() < 0.5:
        return get("nn.max_pool")(x, kernel=(3,) * spatial, **form)
    return get("nn.avg_pool")(x, kernel=(3,) * spatial, count_include_pad=bool(rng.random() < 0.5), **form)


def _transposed(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    spatial = _spatial(x)
    if not spatial:
        return None
    stride = _one(rng, (1, 2, 3))
    kernel = stride * _one(rng, (1, 2))  # other kernels leave phases a tap short: see drawing
    cut = tuple(_one(rng, (0, 1)) if stride > 1 else 0 for _ in range(2 * spatial))
    return get("nn.conv_transpose")(
        x,
        _weight(rng, x, x.type.static_shape[1], _one(rng, (1, 5, 16)), *[kernel] * spatial),
        strides=(stride,) * spatial,
        pads=cut if min(x.type.static_shape[2:]) > 1 else (0,) * 2 * spatial,
        dilations=(1,) * spatial,
        output_padding=(0,) * spatial,
    )


def _resize(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    spatial = _spatial(x)
    if not spatial:
        return None
    shape = tuple(
        n if axis < 2 else _one(rng, (2 * n, n + 1, -(-n // 2))) for axis, n in enumerate(x.type.static_shape)
    )
    scales = tuple(new / old for new, old in zip(shape, x.type.static_shape, strict=True))
    return get("nn.resize")(x, shape=shape, scales=scales, mode=_one(rng, ("nearest", "linear", "cubic")))


def _groups(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    if not _spatial(x):
        return None
    channels = x.type.static_shape[1]
    scale, bias = _weight(rng, x, channels), _weight(rng, x, channels)
    if rng.random() < 0.5:
        return get("nn.instance_norm")(x, scale, bias, epsilon=1e-3)
    groups = _one(rng, [n for n in (1, 2, 3, 4) if channels % n == 0])
    return get("nn.group_norm")(x, scale, bias, groups=groups, epsilon=1e-3)


def _attention(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    if x.type.rank != 4:
        return None
    batch, heads, rows, width = x.type.static_shape
    keys = _one(rng, (1, rows, 19))
    k, v = (
        _weight(rng, x, batch, heads, keys, width),
        _weight(rng, x, batch, heads, keys, _one(rng, (width, 3))),
    )
    return get("nn.attention")(x, k, v, scale=width**-0.5, causal=bool(rng.random() < 0.5 and keys == rows))


def _rows(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    if not x.type.rank:
        return None
    axis = _axis(rng, x)
    inner = x.type.static_shape[axis:]
    kind = rng.random()
    if kind < 0.4:
        return get(_one(rng, ("nn.softmax", "nn.log_softmax")))(x, axis=axis)
    scale = _weight(rng, x, *inner)
    if kind < 0.8:
        return get("nn.layer_norm")(x, scale, _weight(rng, x, *inner), axis=axis, epsilon=1e-3)
    return get("nn.rms_norm")(x, scale, axis=axis, epsilon=1e-3)


def _reduction(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    axes = tuple(n for n in range(x.type.rank) if rng.random() < 0.5)
    op = get(f"reduce.{_one(rng, ('sum', 'mean', 'max', 'min'))}")
    return op(x, axes=axes, keepdims=bool(rng.random() < 0.6))


def _transpose(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    return get("shape.transpose")(x, perm=tuple(int(n) for n in rng.permutation(x.type.rank)))


def _reshape(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    left = prod(x.type.static_shape)
    shape: list[int] = []
    while left > 1 and len(shape) < 4:
        shape.append(int(_one(rng, [n for n in range(2, left + 1) if left % n == 0])))
        left //= shape[-1]
    shape += [left] * (left > 1) + [1] * int(rng.random() < 0.2)
    return get("shape.reshape")(x, shape=tuple(int(n) for n in rng.permutation(shape)))


def _slice(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    starts, sizes, steps = [], [], []
    for extent in x.type.static_shape:
        step = _one(rng, (1, 1, 1, 2, -1))
        size = int(rng.integers(1, -(-extent // abs(step)) + 1))
        room = extent - (size - 1) * abs(step)
        first = int(rng.integers(room))
        starts.append(first if step > 0 else first + (size - 1) * -step)
        sizes.append(size)
        steps.append(step)
    return get("shape.slice")(x, starts=tuple(starts), sizes=tuple(sizes), steps=tuple(steps))


def _pad(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    mode = _one(rng, ("constant", "constant", "edge", "reflect", "wrap"))
    most = min(2, *(extent - 1 for extent in x.type.static_shape)) if mode == "reflect" and x.type.rank else 2
    pads = tuple(int(n) for n in rng.integers(0, most + 1, 2 * x.type.rank))
    return get("shape.pad")(x, pads=pads, mode=mode)


def _concat(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    if not x.type.rank:
        return None
    axis = _axis(rng, x)
    alike = [v for v in others if v.dtype == x.dtype and v.type.rank == x.type.rank]
    fitting = [v for v in alike if all(n == axis or v.shape[n] == x.shape[n] for n in range(x.type.rank))]
    parts = [x, *(_one(rng, [x, *fitting]) for _ in range(int(rng.integers(1, 3))))]
    return get("shape.concat")(*(parts[int(n)] for n in rng.permutation(len(parts))), axis=axis)


def _expand(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    shape = [extent if extent != 1 else _one(rng, (1, 3)) for extent in x.type.static_shape]
    return get("shape.expand")(x, shape=(*((2,) if rng.random() < 0.3 else ()), *shape))


def _gather(rng: np.random.Generator, x: Value, others: Sequence[Value]) -> Value | None:
    if not x.type.rank:
        return None
    axis = _axis(rng, x)
    extent = x.type.static_shape[axis]
    indices = rng.integers(-extent, extent, _one(rng, ((), (3,), (2, 2))))
    return get("shape.gather")(x, constant(np.asarray(indices, np.int64)), axis=axis)


_LAYERS: tuple[Layer, ...] = (
    *(_unary, _binary, _product, _convolution) * 2,
    *(
        _pool,
        _transposed,
        _resize,
        _groups,
        _attention,
        _rows,
        _reduction,
        _transpose,
        _reshape,
        _slice,
        _pad,
        _concat,
        _expand,
        _gather,
    ),
)
