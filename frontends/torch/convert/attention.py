"""Scaled dot-product attention, as the IR's one attention op."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.types import boolean
from ...build import nn
from ..promotion import cast
from ..table import converter
from .layout import reshaped, unsqueeze


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
        raise UnsupportedError("it draws random numbers (dropout_p)", hint="call model.eval() before you export")
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


