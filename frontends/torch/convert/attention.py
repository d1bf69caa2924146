"""Scaled dot-product attention, as the IR's one attention op."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.types import boolean
from ...build import math, nn
from ..promotion import cast
from ..table import converter
from .layout import reshaped, transpose, unsqueeze
from .linear import linear
from .parts import split


@converter("scaled_dot_product_attention")
def attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
):
    if dropout_p:
        raise UnsupportedError(
            "it draws random numbers (dropout_p)", hint="call model.eval() before you export"
        )
    if not isinstance(query.shape[-1], int):
        raise UnsupportedError("its head size is not fixed", hint="fix the dimension with shapes=")
    factor = float(query.shape[-1]) ** -0.5 if scale is None else scale
    heads = [_four(x) for x in (query, key, value)]
    mask = None if attn_mask is None else _mask(attn_mask, query.type.rank)
    if mask is not None and mask.dtype != boolean:
        mask = cast(mask, query.dtype)
    y = nn.attention(*heads, mask, scale=factor, causal=is_causal)
    return reshaped(y, (*query.shape[:-1], value.shape[-1]))


def _four(x):
    """[..., heads, length, size] as [batch, heads, length, size]."""
    if x.type.rank < 4:
        return reshaped(x, (*(1,) * (4 - x.type.rank), *x.shape))
    return x if x.type.rank == 4 else reshaped(x, (product(x.shape[:-3]), *x.shape[-3:]))


def _mask(mask, rank: int):
    while mask.type.rank < min(rank, 4):
        mask = unsqueeze(mask, 0)
    return mask if mask.type.rank <= 4 else reshaped(mask, (product(mask.shape[:-3]), *mask.shape[-3:]))


def _self_attention(x, heads: int, projection, output, mask, mask_type: int | None):
    """Attention of x [batch, length, width] to itself; `projection` and `output` are weight and bias."""
    batch, length, width = x.shape
    parts = []
    for part in split(linear(x, *projection), (width,), 2):
        parts.append(transpose(reshaped(part, (batch, length, heads, width // heads)), 1, 2))
    allowed = None
    if mask is not None:
        allowed = math.logical_not(cast(mask, boolean))
        allowed = reshaped(allowed, (batch, 1, 1, length)) if mask_type == 1 else allowed
    y = attention(*parts, allowed)
    return linear(reshaped(transpose(y, 1, 2), (batch, length, width)), *output)


@converter("_native_multi_head_attention")
def native_multi_head_attention(
    query,
    key,
    value,
    embed_dim: int,
    num_head: int,
    qkv_weight,
    qkv_bias,
    proj_weight,
    proj_bias,
    mask=None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
    *,
    call,
):
    """What a layer in inference mode calls where all three are one tensor, as masks are bools: True is left out."""
    if query is not key or key is not value or (call.wants(1) and need_weights):
        raise UnsupportedError(
            "attention to other tensors, or its weights as a result, is not supported in this fused form",
            hint="export with torch.export, or ask for no weights",
        )
    return _self_attention(
        query, num_head, (qkv_weight, qkv_bias), (proj_weight, proj_bias), mask, mask_type
    ), None


@converter("_transformer_encoder_layer_fwd")
def transformer_encoder_layer(
    src,
    embed_dim: int,
    num_heads: int,
    qkv_weight,
    qkv_bias,
    proj_weight,
    proj_bias,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1,
    norm_bias_1,
    norm_weight_2,
    norm_bias_2,
    ffn_weight_1,
    ffn_bias_1,
    ffn_weight_2,
    ffn_bias_2,
    mask=None,
    mask_type: int | None = None,
):
    def attended(x):
        return _self_attention(
            x, num_heads, (qkv_weight, qkv_bias), (proj_weight, proj_bias), mask, mask_type
        )

    def widened(x):
        inner = linear(x, ffn_weight_1, ffn_bias_1)
        return linear(math.gelu(inner) if use_gelu else math.relu(inner), ffn_weight_2, ffn_bias_2)

    def normed(x, weight, bias):
        return nn.layer_norm(x, weight, bias, axis=x.type.rank - 1, epsilon=eps)

    if norm_first:
        x = math.add(src, attended(normed(src, norm_weight_1, norm_bias_1)))
        return math.add(x, widened(normed(x, norm_weight_2, norm_bias_2)))
    x = normed(math.add(src, attended(src)), norm_weight_1, norm_bias_1)
    return normed(math.add(x, widened(x)), norm_weight_2, norm_bias_2)
