"""Attention layers."""

from math import sqrt

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ...build import math, nn, reduce, shape
from ..table import layer


def _projected(x: Value, kernel: Value, bias: Value | None) -> Value:
    """[B, T, D] by [D, H, K] as [B, H, T, K]."""
    heads, size = kernel.shape[1:]
    flat = nn.matmul(x, shape.reshape(kernel, shape=(kernel.shape[0], heads * size)))
    if bias is not None:
        flat = math.add(flat, shape.reshape(bias, shape=(heads * size,)))
    split = shape.reshape(flat, shape=(*x.shape[:2], heads, size))
    return shape.transpose(split, perm=(0, 2, 1, 3))


_INPUTS = ("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask")
_PARTS = ("query_dense", "key_dense", "value_dense", "output_dense")


@layer("MultiHeadAttention", inputs=_INPUTS, parts=_PARTS)
def multi_head_attention(
    query,
    value,
    key=None,
    query_mask=None,
    value_mask=None,
    key_mask=None,
    attention_mask=None,
    *arrays,
    num_heads,
    key_dim,
    value_dim=None,
    use_bias=True,
    output_shape=None,
    attention_axes=None,
    use_causal_mask=False,
):
    if query.type.rank != 3 or output_shape not in (None, ()) or any((query_mask, value_mask, key_mask)):
        raise UnsupportedError(
            "this form of attention", hint="export it with model.export(), and read the SavedModel"
        )
    pairs = [(arrays[2 * n], arrays[2 * n + 1]) if use_bias else (arrays[n], None) for n in range(4)]
    q, k, v = (
        _projected(x, *pair)
        for x, pair in zip((query, value if key is None else key, value), pairs, strict=False)
    )
    mask = None if attention_mask is None else _additive(attention_mask, query)
    out = nn.attention(q, k, v, mask, scale=1 / sqrt(key_dim), causal=use_causal_mask)
    out = shape.transpose(out, perm=(0, 2, 1, 3))
    kernel, bias = pairs[3]
    heads, size, width = kernel.shape
    merged = shape.reshape(out, shape=(*query.shape[:2], heads * size))
    y = nn.matmul(merged, shape.reshape(kernel, shape=(heads * size, width)))
    return y if bias is None else math.add(y, bias)


def _additive(mask: Value, like: Value) -> Value:
    """A mask [B, T, S] of what may be seen as one to be added to scores, for all heads."""
    mask = shape.reshape(mask, shape=(mask.shape[0], 1, *mask.shape[1:])) if mask.type.rank == 3 else mask
    zero, lowest = (constant(np.array(number, like.dtype.numpy)) for number in (0, -3e38))
    return math.where(math.ne(mask, constant(np.zeros((), mask.dtype.numpy))), zero, lowest)


@layer("Attention", inputs=("query", "value", "key"))
def attention(query, value, key=None, *scales, score_mode="dot", use_scale=False, use_causal_mask=False):
    """Scores are products, or sums of tanh(query + key); each may have a factor that was learnt."""
    if (use_causal_mask and (use_scale or score_mode != "dot")) or query.type.rank != 3:
        raise UnsupportedError(
            "this form of attention", hint="export it with model.export(), and read the SavedModel"
        )
    key = value if key is None else key
    if score_mode == "concat":
        sums = _sums(query, key, scales[0] if use_scale else None)
        return nn.matmul(nn.softmax(math.mul(sums, scales[-1]), axis=2), value)
    query = math.mul(query, scales[0]) if use_scale else query
    q, v, k = (shape.reshape(x, shape=(x.shape[0], 1, *x.shape[1:])) for x in (query, value, key))
    out = nn.attention(q, k, v, None, scale=1.0, causal=use_causal_mask)
    return shape.reshape(out, shape=(out.shape[0], *out.shape[2:]))


def _sums(query: Value, key: Value, scale: Value | None) -> Value:
    """Sums of tanh(scale * (query + key)): [B, T, S]."""
    q = shape.reshape(query, shape=(*query.shape[:2], 1, query.shape[2]))
    both = math.add(q, shape.reshape(key, shape=(key.shape[0], 1, *key.shape[1:])))
    return reduce.sum(math.tanh(both if scale is None else math.mul(both, scale)), axes=(3,), keepdims=False)


@layer("AdditiveAttention", inputs=("query", "value", "key"))
def additive_attention(query, value, key=None, scale=None, *, use_scale=True):
    if query.type.rank != 3:
        raise UnsupportedError(
            "this form of attention", hint="export it with model.export(), and read the SavedModel"
        )
    key = value if key is None else key
    if not use_scale:
        return nn.matmul(nn.softmax(_sums(query, key, None), axis=2), value)
    q = shape.reshape(query, shape=(*query.shape[:2], 1, query.shape[2]))
    both = math.tanh(math.add(q, shape.reshape(key, shape=(key.shape[0], 1, *key.shape[1:]))))
    scores = reduce.sum(math.mul(both, scale), axes=(3,), keepdims=False)
    return nn.matmul(nn.softmax(scores, axis=2), value)
