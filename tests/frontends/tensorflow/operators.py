"""Operators of TensorFlow: a function and its inputs each, for `record.py`. Needs TensorFlow."""

import numpy as np
import tensorflow as tf

RANDOM = np.random.default_rng(5)


def floats(*shape: int, low: float = -2, high: float = 2) -> np.ndarray:
    return RANDOM.uniform(low, high, shape).astype(np.float32)


def ints(*shape: int, low: int = -9, high: int = 9) -> np.ndarray:
    return RANDOM.integers(low, high, shape).astype(np.int32)


_UNARY = [
    tf.abs,
    tf.atan,
    tf.sinh,
    tf.math.ceil,
    tf.cos,
    tf.nn.elu,
    tf.math.erf,
    tf.math.erfc,
    tf.exp,
    tf.math.expm1,
]
_UNARY += [
    tf.floor,
    tf.math.is_finite,
    tf.negative,
    tf.nn.relu,
    tf.nn.relu6,
    tf.round,
    tf.nn.selu,
    tf.sigmoid,
]
_UNARY += [
    tf.sign,
    tf.nn.softplus,
    tf.nn.softsign,
    tf.square,
    tf.tanh,
    tf.nn.leaky_relu,
    tf.nn.gelu,
    tf.nn.swish,
]
_POSITIVE = [tf.math.log, tf.math.log1p, tf.math.rsqrt, tf.sqrt, tf.math.reciprocal, tf.asin, tf.atanh]
_BINARY = [
    tf.add,
    tf.subtract,
    tf.multiply,
    tf.divide,
    tf.maximum,
    tf.minimum,
    tf.math.floordiv,
    tf.math.floormod,
]
_BINARY += [
    tf.math.squared_difference,
    tf.math.divide_no_nan,
    tf.greater,
    tf.less_equal,
    tf.not_equal,
    tf.equal,
]
_WHOLE = [
    tf.add,
    tf.math.floordiv,
    tf.math.floormod,
    tf.truncatediv,
    tf.math.mod,
    tf.less,
    tf.bitwise.bitwise_xor,
]


_CONV, _DEPTHWISE, _TRANSPOSED = floats(3, 2, 2, 4), floats(3, 3, 2, 2), floats(3, 3, 5, 4)


def convolved(x):
    w, d = map(tf.constant, (_CONV, _DEPTHWISE))
    return [
        tf.nn.conv2d(x, w, 2, "SAME"),
        tf.nn.conv2d(x, w, 1, "VALID", dilations=2),
        tf.nn.conv2d(x, w, 1, [[0, 0], [1, 2], [0, 1], [0, 0]]),
        tf.nn.depthwise_conv2d(x, d, (1, 2, 2, 1), "SAME"),
        tf.nn.conv1d(x[:, 0], w[0], 2, "SAME"),
    ]


def transposed(x):
    w = tf.constant(_TRANSPOSED)
    return [
        tf.nn.conv2d_transpose(x, w, (2, 14, 12, 5), 2, "SAME"),
        tf.nn.conv2d_transpose(x, w, (2, 13, 12, 5), 2, "SAME"),
        tf.nn.conv2d_transpose(x, w, (2, 16, 14, 5), 2, "VALID"),
    ]


def pooled(x):
    return [
        tf.nn.max_pool2d(x, 3, 2, "SAME"),
        tf.nn.max_pool2d(x, 2, 2, "VALID"),
        tf.nn.avg_pool2d(x, 3, 2, "SAME"),
        tf.nn.local_response_normalization(x, 2, 1.0, 0.5, 0.7),
        tf.compat.v1.nn.fused_batch_norm(
            x, [1.0, 2, 3, 4], [0.5] * 4, [0.1, 0.2, 0.3, 0.4], [1.0, 2, 3, 4], 1e-3, is_training=False
        )[0],
    ]


def resized(x):
    old = tf.compat.v1.image
    return [
        tf.image.resize(x, (5, 9), "bilinear"),
        tf.image.resize(x, (11, 4), "nearest"),
        tf.image.resize(x, (13, 11), "bicubic"),
        old.resize_bilinear(x, (9, 8), align_corners=True),
        old.resize_bilinear(x, (9, 8)),
        old.resize_nearest_neighbor(x, (4, 9)),
        old.resize_nearest_neighbor(x, (10, 9), align_corners=True),
        tf.nn.depth_to_space(x, 2),
        tf.nn.space_to_depth(x[:, :6], 2),
    ]


def sliced(x):
    return [
        x[1:, ::-1],
        x[..., 1],
        x[:, tf.newaxis, 2, -3:],
        x[-1],
        x[:, 1:5:3, :2],
        tf.slice(x, (0, 1, 2), (-1, 2, 1)),
        *tf.split(x, 2, axis=1),
        *tf.split(x, (1, -1), axis=2),
        *tf.unstack(x, axis=2),
        tf.reverse(x, (0, -1)),
        tf.reverse_sequence(x, (1, 3, 4), seq_axis=1),
        tf.roll(x, 1, 0),
    ]


def moved(x):
    rows = tf.shape(x)[0]
    return [
        tf.reshape(x, (-1, rows * 2)),
        tf.transpose(x, (2, 0, 1)),
        tf.expand_dims(x, -2),
        tf.squeeze(x[:1, :, :1], (0,)),
        tf.stack([x, x * 2], axis=1),
        tf.concat([x, x[:, :1]], axis=-2),
        tf.tile(x, (1, 2, 1)),
        tf.broadcast_to(x[:, :1], tf.shape(x)),
        tf.fill((rows, 2), 3.0) + tf.zeros((rows, 1)),
        tf.range(rows) + tf.size(x),
        tf.pad(x, ((0, 1), (2, 0), (1, 1)), constant_values=7.0),
        tf.pad(x, ((0, 0), (2, 1), (1, 1)), "REFLECT"),
        tf.pad(x, ((1, 0), (2, 1), (0, 2)), "SYMMETRIC"),
        tf.space_to_batch_nd(x, (2,), ((1, 1),)),
        tf.batch_to_space(tf.concat([x, x], 0), (2,), ((0, 1),)),
        tf.linalg.band_part(x, 1, 0),
        tf.ones_like(x) * tf.cast(tf.rank(x), tf.float32),
    ]


def gathered(x, i):
    return [
        tf.gather(x, i, axis=1),
        tf.gather(x, i[:, :3], batch_dims=1, axis=2),
        tf.gather_nd(x, tf.stack([i[:, 0], i[:, 1]], -1)),
        tf.scatter_nd(i[:, :1], x[:, 0], (4, 5)),
        tf.tensor_scatter_nd_update(x[0], i[:2, :1], x[1, :2]),
        tf.one_hot(i, 4, 2.0, -1.0, axis=1),
        *tf.math.top_k(x, 2),
        tf.argmax(x, 1),
        tf.argmin(x, -1, output_type=tf.int32),
        tf.where(x > 1),
        tf.where(x > 0, x, -1.0),
    ]


def reduced(x):
    return [
        tf.reduce_sum(x, (0, 2)),
        tf.reduce_mean(x, -1, keepdims=True),
        tf.reduce_max(x),
        tf.reduce_prod(x, 1),
        tf.reduce_any(x > 1, 1),
        tf.reduce_all(x > -1, 2),
        tf.cumsum(x, 1, exclusive=True),
        tf.math.cumprod(x, -1, reverse=True),
        tf.nn.softmax(x),
        tf.nn.log_softmax(x, 1),
        tf.reduce_logsumexp(x, 1),
        tf.nn.l2_loss(x),
        tf.clip_by_value(x, -1.0, 0.5),
        tf.add_n([x, x, x]),
    ]


def products(x, y):
    return [
        tf.matmul(x, y, transpose_b=True),
        tf.matmul(x, y, transpose_a=True),
        tf.einsum("bij,bkj->bik", x, y),
        tf.nn.bias_add(x, [1.0, 2, 3, 4, 5]),
    ]


def branches(x):
    """A condition that the data decide, one of a number, and one inside another."""
    inner = lambda: tf.cond(x[0, 0] > -5.0, lambda: x * 2.0, lambda: x)  # noqa: E731
    return tf.cond(tf.reduce_sum(x) > 0.0, inner, lambda: tf.reverse(x, (0,)))


def loops(x):
    """A loop with a carried list of unknown element shape, one that the data end, and one in a loop."""
    rows = tf.TensorArray(tf.float32, 4)
    for n in tf.range(4):
        rows = rows.write(n, x[0] * tf.cast(n, tf.float32))
    doubled = tf.while_loop(lambda v: tf.reduce_sum(v) < 50.0, lambda v: [v + tf.abs(x)], [tf.abs(x)])[0]
    nested = tf.while_loop(
        lambda n, v: n < 3,
        lambda n, v: (n + 1, tf.while_loop(lambda m, w: m < n, lambda m, w: (m + 1, w + x), (0, v))[1]),
        (0, x),
    )[1]
    return [rows.stack(), doubled, nested]


def dtypes(x, n):
    return [
        tf.cast(x, tf.int32),
        tf.cast(n, tf.float32) / 2.0,
        tf.cast(n > 0, tf.float32),
        tf.cast(x, tf.float16) + tf.constant(0.5, tf.float16),
        tf.bitcast(x, tf.int32),
        tf.cast(n, tf.int64) * 2**33,
    ]


def segmented(x, i):
    """Negative segments count for nothing, empty ones hold what the reduction starts from."""
    rows = tf.TensorArray(tf.float32, 4).unstack(x)
    return [
        tf.math.segment_sum(x, [0, 0, 2, 2]),
        tf.math.unsorted_segment_sum(x, i, 3),
        tf.math.unsorted_segment_max(x, [2, 0, 2, -1], 4),
        tf.math.unsorted_segment_min(x, [2, 0, 2, -1], 4),
        tf.math.unsorted_segment_prod(x, [1, 1, 1, 0], 2),
        tf.raw_ops.Bucketize(input=x, boundaries=[-1.0, 0.0, 0.5]),
        rows.gather([3, 0, 0]),
    ]


OPERATORS = {
    "unary": (lambda x: [op(x) for op in _UNARY], [floats(3, 4)]),
    "positive": (
        lambda x: [op(x) for op in _POSITIVE[:-1]] + [tf.math.acosh(x + 1)],
        [floats(3, 4, low=0.1, high=0.9)],
    ),
    "binary": (lambda x, y: [op(x, y) for op in _BINARY], [floats(3, 4), floats(4)]),
    "whole": (lambda x, y: [op(x, y) for op in _WHOLE], [ints(4, 5), ints(5, low=1)]),
    "conv": (convolved, [floats(2, 7, 6, 2)]),
    "conv_transpose": (transposed, [floats(2, 7, 6, 4)]),
    "pool": (pooled, [floats(2, 7, 6, 4)]),
    "resize": (resized, [floats(2, 7, 6, 4)]),
    "slice": (sliced, [floats(3, 6, 4)]),
    "move": (moved, [floats(3, 4, 5)]),
    "gather": (gathered, [floats(3, 4, 5), ints(3, 4, low=0, high=3)]),
    "reduce": (reduced, [floats(3, 4, 5)]),
    "product": (products, [floats(2, 3, 5), floats(2, 3, 5)]),
    "branch": (branches, [floats(2, 3, low=0.5)]),
    "branch_not_taken": (branches, [floats(2, 3, high=-0.5)]),
    "loop": (loops, [floats(2, 3)]),
    "dtype": (dtypes, [floats(3, 4, low=-9, high=9), ints(3, 4)]),
    "segment": (segmented, [floats(4, 5), ints(4, 5, low=-1, high=3)]),
}
