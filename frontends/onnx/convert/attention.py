"""Attention (opsets 23 to 28), as the IR's one attention op wherever its scores themselves are not asked for."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import boolean
from ...build import math, nn, shape
from ...extents import positions
from ..table import converter


@converter("Attention", since=25)
def attention(
    q,
    k,
    v,
    mask=None,
    past_key=None,
    past_value=None,
    lengths=None,
    *,
    is_causal=0,
    kv_num_heads=None,
    left_window_size=-1,
    q_num_heads=None,
    qk_matmul_output_mode=0,
    right_window_size=-1,
    scale=None,
    softcap=0.0,
    softmax_precision=None,
    call,
):
    if call.wants(3) or left_window_size >= 0 or right_window_size >= 0:
        return NotImplemented
    flat = q.type.rank == 3
    if flat:
        q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    past: Dim = 0
    if past_key is not None:
        past = past_key.shape[2]
        k, v = shape.concat(past_key, k, axis=2), shape.concat(past_value, v, axis=2)
    if not isinstance(past, int) or not isinstance(q.shape[3], int):
        raise UnsupportedError(
            "its past length or head size is not fixed", hint="fix the dimensions with shapes="
        )
    mask = None if mask is None else _reach(mask, k.shape[2])
    causal = bool(is_causal)
    if lengths is not None:
        allowed = _within(lengths, q, k, causal and past_key is None)
        causal = causal and past_key is not None
        mask = allowed if mask is None else _both(mask, allowed)
    if mask is not None and mask.dtype not in (boolean, q.dtype):
        mask = math.cast(mask, dtype=q.dtype)
    factor = float(q.shape[3]) ** -0.5 if scale is None else scale
    y = nn.attention(
        q, k, v, mask, scale=factor, causal=causal, offset=past if causal else 0, softcap=softcap
    )
    if flat:
        y = shape.transpose(y, perm=(0, 2, 1, 3))
        y = shape.reshape(y, shape=(*y.shape[:2], y.shape[2] * y.shape[3]))
    return y, k, v


def _heads(x: Value, count: int | None) -> Value:
    """[B, S, heads * size] as [B, heads, S, size]."""
    if not count:
        raise ModelError("operands of rank 3 need 'q_num_heads' and 'kv_num_heads'")
    batch, length, width = x.shape
    return shape.transpose(shape.reshape(x, shape=(batch, length, count, width // count)), perm=(0, 2, 1, 3))


def _reach(mask: Value, columns: Dim) -> Value:
    """A mask over all keys: one that ends early masks the rest."""
    missing = columns - mask.shape[-1]
    if missing == 0 or mask.shape[-1] == 1:
        return mask
    if not isinstance(missing, int):
        raise UnsupportedError(f"its mask {mask.type} covers an unknown part of {columns} keys")
    rest = constant(np.array(False)) if mask.dtype == boolean else constant(-np.inf, mask.dtype)
    ends = tuple(0 if axis < mask.type.rank - 1 else missing for axis in range(mask.type.rank))
    return shape.pad(mask, rest, pads=(*(0,) * mask.type.rank, *ends))


def _within(lengths: Value, q: Value, k: Value, causal: bool) -> Value:
    """Which keys a query may see when only the first `lengths[b]` of each row hold anything: bool [B, 1, S or 1, T]."""
    lengths = shape.reshape(lengths, shape=(lengths.shape[0], 1, 1, 1))
    keys = positions(k, 2)
    keys = shape.reshape(keys, shape=(1, 1, 1, k.shape[2]))
    inside = math.lt(keys, lengths)
    if not causal:
        return inside
    last = math.add(positions(q, 2), math.sub(lengths, _extent(q, 2)))
    return math.logical_and(inside, math.le(keys, last))


def _extent(x: Value, axis: int) -> Value:
    size = shape.slice(shape.of(x), starts=(axis,), sizes=(1,), steps=(1,))
    return shape.reshape(size, shape=())


def _both(mask: Value, allowed: Value) -> Value:
    if mask.dtype == boolean:
        return math.logical_and(mask, allowed)
    return math.where(allowed, mask, constant(-np.inf, mask.dtype))


@converter("Attention", since=24)
def attention_24(
    q,
    k,
    v,
    mask=None,
    past_key=None,
    past_value=None,
    lengths=None,
    *,
    is_causal=0,
    kv_num_heads=None,
    q_num_heads=None,
    qk_matmul_output_mode=0,
    scale=None,
    softcap=0.0,
    softmax_precision=None,
    call,
):
    return attention(
        q,
        k,
        v,
        mask,
        past_key,
        past_value,
        lengths,
        is_causal=is_causal,
        kv_num_heads=kv_num_heads,
        q_num_heads=q_num_heads,
        scale=scale,
        softcap=softcap,
        call=call,
    )


@converter("Attention", since=23)
def attention_23(
    q,
    k,
    v,
    mask=None,
    past_key=None,
    past_value=None,
    *,
    is_causal=0,
    kv_num_heads=None,
    q_num_heads=None,
    qk_matmul_output_mode=0,
    scale=None,
    softcap=0.0,
    softmax_precision=None,
    call,
):
    return attention(
        q,
        k,
        v,
        mask,
        past_key,
        past_value,
        is_causal=is_causal,
        kv_num_heads=kv_num_heads,
        q_num_heads=q_num_heads,
        scale=scale,
        softcap=softcap,
        call=call,
    )
