"""Attention as ONNX Runtime has it (domain com.microsoft): packed projections, caches, groups of heads, rotations."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import boolean, i64
from ...build import math, nn, shape
from ...known import whole
from ..table import converter
from .contrib import MICROSOFT


def heads(x: Value, count: int) -> Value:
    """[B, S, count * size] as [B, count, S, size]."""
    batch, length, width = x.shape
    return shape.transpose(shape.reshape(x, shape=(batch, length, count, width // count)), perm=(0, 2, 1, 3))


def joined(x: Value) -> Value:
    """[B, heads, S, size] as [B, S, heads * size]."""
    batch, count, length, size = x.shape
    return shape.reshape(shape.transpose(x, perm=(0, 2, 1, 3)), shape=(batch, length, count * size))


def columns(x: Value, begin: Dim, size: Dim) -> Value:
    """A part of the last axis."""
    rank = x.type.rank
    starts = (*(0,) * (rank - 1), begin)
    return shape.slice(x, starts=starts, sizes=(*x.shape[:-1], size), steps=(1,) * rank)


def _line(extent: Dim, *form: Dim) -> Value:
    """0, 1, ... below an extent, i64 in a shape."""
    if not isinstance(extent, int):
        raise UnsupportedError(f"its extent '{extent}' must be known", hint="fix it with shapes=")
    return shape.reshape(constant(np.arange(extent, dtype=np.int64)), shape=form)


def _wide(x: Value) -> Value:
    return x if x.dtype == i64 else math.cast(x, dtype=i64)


def _mask(index: Value | None, keys: Dim) -> Value | None:
    """Which keys may be seen, broadcast to [B, heads, S, T]: from lengths [B], or 0 and 1 in [B, T] or [B, S, T]."""
    if index is None:
        return None
    batch = index.shape[0]
    if index.type.rank == 1:
        return math.lt(_line(keys, 1, 1, 1, keys), shape.reshape(_wide(index), shape=(batch, 1, 1, 1)))
    if index.type.rank > 3 or index.shape[-1] != keys:
        raise UnsupportedError(f"a mask {index.type} for {keys} keys is not supported", hint="use [B, T]")
    seen = index if index.dtype == boolean else math.ne(index, 0)
    rows = 1 if index.type.rank == 2 else index.shape[1]
    return shape.reshape(seen, shape=(batch, 1, rows, keys))


def _attended(
    q: Value,
    k: Value,
    v: Value,
    seen: Value | None,
    bias: Value | None,
    *,
    scale: float,
    causal: bool,
    past: Dim = 0,
    softcap: float = 0.0,
) -> Value:
    """Attention of [B, heads, S, size] with a mask of what is seen and a bias that is added to the scores."""
    if not isinstance(past, int) or not isinstance(q.shape[3], int):
        raise UnsupportedError("its past length or head size is not fixed", hint="fix them with shapes=")
    mask = bias if seen is None else seen
    if seen is not None and bias is not None:
        mask = math.where(seen, bias, constant(-np.inf, bias.dtype))
    factor = scale or float(q.shape[3]) ** -0.5
    return nn.attention(
        q, k, v, mask, scale=factor, causal=causal, offset=past if causal else 0, softcap=softcap
    )


@converter("Attention", domain=MICROSOFT)
def attention(
    x,
    weights,
    bias=None,
    mask_index=None,
    past=None,
    attention_bias=None,
    past_length=None,
    *,
    do_rotary=0,
    mask_filter_value=-10000.0,
    num_heads,
    past_present_share_buffer=0,
    qkv_hidden_sizes=None,
    rotary_embedding_dim=0,
    scale=0.0,
    unidirectional=0,
    call,
):
    """One product gives queries, keys and values side by side."""
    if do_rotary or past_present_share_buffer or past_length is not None:
        raise UnsupportedError("rotation, and a cache that is shared, are not supported here")
    mixed = nn.matmul(x, weights)
    mixed = mixed if bias is None else math.add(mixed, bias)
    sizes = qkv_hidden_sizes or (mixed.shape[2] // 3,) * 3
    parts = [heads(columns(mixed, sum(sizes[:n]), sizes[n]), num_heads) for n in range(3)]
    q, k, v = parts
    length: Dim = 0
    if past is not None:
        length = past.shape[3]
        k, v = (shape.concat(_half(past, n), part, axis=2) for n, part in enumerate((k, v)))
    seen = _mask(mask_index, k.shape[2])
    y = _attended(q, k, v, seen, attention_bias, scale=scale, causal=bool(unidirectional), past=length)
    if not call.wants(1):
        return joined(y)
    pair = [shape.reshape(part, shape=(1, *part.shape)) for part in (k, v)]
    return joined(y), shape.concat(*pair, axis=0)


def _half(past: Value, n: int) -> Value:
    """Keys (0) or values (1) of a cache [2, B, heads, T, size]."""
    sizes = (1, *past.shape[1:])
    return shape.reshape(
        shape.slice(past, starts=(n, 0, 0, 0, 0), sizes=sizes, steps=(1,) * 5), shape=sizes[1:]
    )


@converter("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(
    query,
    key=None,
    value=None,
    bias=None,
    key_padding_mask=None,
    attention_bias=None,
    past_key=None,
    past_value=None,
    past_length=None,
    cache_indirection=None,
    *,
    mask_filter_value=-10000.0,
    num_heads,
    scale=0.0,
    unidirectional=0,
    call,
):
    if key is None or value is None or query.type.rank != 3 or past_length is not None or call.wants(3):
        raise UnsupportedError(
            "packed operands, shared caches and the scores as an output are not supported",
            hint="export separate query, key and value",
        )
    if bias is not None:
        width, inner = query.shape[2], bias.shape[0] - query.shape[2] * 2
        query = math.add(query, columns(bias, 0, width))
        key = math.add(key, columns(bias, width, width)) if key.type.rank == 3 else key
        value = math.add(value, columns(bias, width * 2, inner)) if value.type.rank == 3 else value
    q = heads(query, num_heads)
    k, v = (heads(x, num_heads) if x.type.rank == 3 else x for x in (key, value))
    past: Dim = 0
    if past_key is not None:
        past = past_key.shape[2]
        k, v = shape.concat(past_key, k, axis=2), shape.concat(past_value, v, axis=2)
    seen = _mask(key_padding_mask, k.shape[2])
    y = _attended(q, k, v, seen, attention_bias, scale=scale, causal=bool(unidirectional), past=past)
    return joined(y), k, v


def rotated(x: Value, cos: Value, sin: Value, interleaved: bool) -> Value:
    """The first elements of each head of x [B, heads, S, size] turned by angles [B or 1, 1, S, half of them]."""
    half = cos.shape[-1]
    if not isinstance(half, int):
        raise UnsupportedError("the number of angles is not known", hint="fix it with shapes=")
    turned, rest = columns(x, 0, 2 * half), columns(x, 2 * half, x.shape[3] - 2 * half)
    form = (*x.shape[:3], half, 2) if interleaved else (*x.shape[:3], 2, half)
    axis = 4 if interleaved else 3
    pairs = shape.reshape(turned, shape=form)
    a, b = (_taken(pairs, axis, n) for n in range(2))
    new = (math.sub(math.mul(a, cos), math.mul(b, sin)), math.add(math.mul(a, sin), math.mul(b, cos)))
    single = tuple(1 if n == axis else extent for n, extent in enumerate(form))
    turned = shape.concat(*(shape.reshape(part, shape=single) for part in new), axis=axis)
    turned = shape.reshape(turned, shape=(*x.shape[:3], 2 * half))
    return turned if rest.shape[3] == 0 else shape.concat(turned, rest, axis=3)


def _taken(x: Value, axis: int, n: int) -> Value:
    starts = tuple(n if m == axis else 0 for m in range(x.type.rank))
    sizes = tuple(1 if m == axis else extent for m, extent in enumerate(x.shape))
    part = shape.slice(x, starts=starts, sizes=sizes, steps=(1,) * x.type.rank)
    return shape.reshape(part, shape=(*x.shape[:axis], *x.shape[axis + 1 :]))


def _angles(table: Value, places: Value) -> Value:
    """Rows of a table [places, angles] for places [B, S], as [B, 1, S, angles]."""
    rows = shape.gather(table, places, axis=0)
    return shape.reshape(rows, shape=(rows.shape[0], 1, *rows.shape[1:]))


@converter("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(
    x,
    positions,
    cos,
    sin,
    *,
    interleaved=0,
    is_packed_batching=0,
    num_heads=0,
    rotary_embedding_dim=0,
    scale=1.0,
):
    """Positions are [B, S], or [1]: that of the first element."""
    if is_packed_batching or scale != 1:
        raise UnsupportedError("packed batches and a scale are not supported")
    flat = x.type.rank == 3
    if flat:
        width = rotary_embedding_dim or 2 * cos.shape[1]
        count = num_heads or x.shape[2] // width
        x = heads(x, count)
    if positions.type.rank == 1:
        first = shape.reshape(_wide(positions), shape=(1, 1))
        positions = math.add(_line(x.shape[2], 1, x.shape[2]), first)
    y = rotated(x, _angles(cos, positions), _angles(sin, positions), bool(interleaved))
    return joined(y) if flat else y


@converter("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(
    query,
    key,
    value,
    past_key,
    past_value,
    last_keys,
    total_length,
    cos=None,
    sin=None,
    *more,
    do_rotary=0,
    k_quant_type="NONE",
    kv_cache_bit_width=0,
    kv_num_heads,
    local_window_size=-1,
    num_heads,
    qk_output=0,
    rotary_interleaved=0,
    scale=0.0,
    smooth_softmax=0,
    softcap=0.0,
    v_quant_type="NONE",
):
    """New keys and values go into the cache behind those of each batch element; all see what came before them."""
    if any(given is not None for given in more) or smooth_softmax > 0 or qk_output:
        raise UnsupportedError("positions, biases, sinks and scores of its own are not supported")
    if k_quant_type != "NONE" or v_quant_type != "NONE":
        raise UnsupportedError("a quantised cache is not supported")
    if key is None:
        size = query.shape[2] // (num_heads + 2 * kv_num_heads)
        widths = (num_heads * size, kv_num_heads * size, kv_num_heads * size)
        query, key, value = (columns(query, sum(widths[:n]), width) for n, width in enumerate(widths))
    q, k, v = heads(query, num_heads), heads(key, kv_num_heads), heads(value, kv_num_heads)
    batch, length = q.shape[0], q.shape[2]
    held: Dim = past_key.shape[2] if past_key is not None else 0
    wanted = whole(total_length)
    total = held + length if wanted is None else wanted[0]
    if not isinstance(total, int) or not isinstance(held, int) or not isinstance(length, int):
        raise UnsupportedError("its lengths are not known", hint="fix them with shapes=")
    lengths = math.add(shape.reshape(_wide(last_keys), shape=(batch, 1)), 1)
    first = math.sub(lengths, length) if held and total != length else math.mul(lengths, 0)
    places = math.add(first, _line(length, 1, length))
    if do_rotary:
        if cos is None or sin is None:
            raise ModelError("rotation needs 'cos_cache' and 'sin_cache'")
        angles = _angles(cos, places), _angles(sin, places)
        q, k = (rotated(x, *angles, bool(rotary_interleaved)) for x in (q, k))
    if held and total != length:
        missing = max(total - held, 0)
        k, v = (_written(old, new, places, missing) for old, new in ((past_key, k), (past_value, v)))
    keys = _line(k.shape[2], 1, 1, 1, k.shape[2])
    rows = shape.reshape(places, shape=(batch, 1, length, 1))
    seen = math.le(keys, rows)
    if local_window_size > 0:
        seen = math.logical_and(seen, math.gt(keys, math.sub(rows, local_window_size)))
    y = _attended(q, k, v, seen, None, scale=scale, causal=False, softcap=softcap)
    return joined(y), k, v


def _written(old: Value, new: Value, places: Value, missing: int) -> Value:
    """A cache [B, heads, T, size], made longer by the rows missing, with new rows at places [B, S]."""
    cache = old if missing == 0 else shape.pad(old, pads=(0, 0, 0, 0, 0, 0, missing, 0))
    batch, length = places.shape
    indices = shape.expand(shape.reshape(places, shape=(batch, 1, length, 1)), shape=new.shape)
    return shape.scatter_elements(cache, indices, new, axis=2)
