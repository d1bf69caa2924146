"""Attention layers."""

from math import sqrt

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ...build import math, nn, shape
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
def attention(
    query, value, key=None, scale=None, *, score_mode="dot", use_scale=False, use_causal_mask=False
):
    if score_mode != "dot" or use_scale or query.type.rank != 3:
        raise UnsupportedError(
            "this form of attention", hint="export it with model.export(), and read the SavedModel"
        )
    q, v, k = (
        shape.reshape(x, shape=(x.shape[0], 1, *x.shape[1:]))
        for x in (query, value, value if key is None else key)
    )
    out = nn.attention(q, k, v, None, scale=1.0, causal=use_causal_mask)
    return shape.reshape(out, shape=(out.shape[0], *out.shape[2:]))
