"""Scaled dot-product attention as one op, so that it can be tiled as one kernel (softmax corrected as it goes)."""

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim
from ..ir.types import TensorType, boolean
from ..tile.stage import apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import Cost, Tolerance, case, op
from .norm import finite, rescale
from .rules import differ, same_dtype, wide, widen


def _attention_type(
    q: TensorType, k: TensorType, v: TensorType, mask: TensorType | None, **_: object
) -> TensorType:
    dtype = same_dtype(q, k, v)
    if not dtype.is_float or not q.rank == k.rank == v.rank == 4:
        raise TypeRuleError(
            f"attention needs floats q [B, H, S, D], k [B, G, T, D], v [B, G, T, E], got {q}, {k}, {v}"
        )
    batch, heads, rows, depth = q.shape
    groups, columns = k.shape[1], k.shape[2]
    pairs = ((k.shape[0], batch), (k.shape[3], depth), *zip(v.shape[:3], k.shape[:3], strict=True))
    if any(differ(a, b) for a, b in pairs):
        raise TypeRuleError(f"attention: q {q}, k {k} and v {v} do not fit each other")
    if heads != groups and not (
        isinstance(heads, int) and isinstance(groups, int) and groups and heads % groups == 0
    ):
        raise TypeRuleError(f"attention: {groups} key heads do not divide {heads} query heads")
    if mask is not None:
        scores: tuple[Dim, ...] = (batch, heads, rows, columns)
        if mask.dtype not in (dtype, boolean):
            raise TypeRuleError(f"attention: the mask is {mask}, expected {dtype} or bool")
        if mask.rank > 4 or any(
            a != 1 and differ(a, b) for a, b in zip(mask.shape[::-1], scores[::-1], strict=False)
        ):
            raise TypeRuleError(
                f"attention: the mask {mask} does not broadcast to [B, H, S, T] of {q} and {k}"
            )
    return TensorType(dtype, (batch, heads, rows, v.shape[3]))


def _attention_cost(
    results: tuple[TensorType, ...],
    q: TensorType,
    k: TensorType,
    v: TensorType,
    mask: TensorType | None = None,
    **_: object,
) -> Cost:
    scores = q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2]
    return Cost(macs=scores * (q.shape[3] + v.shape[3]), operations=scores * 15)


def _attention_stages(
    s: Stages,
    q: Ref,
    k: Ref,
    v: Ref,
    mask: Ref | None,
    *,
    scale: float,
    causal: bool,
    offset: int,
    softcap: float,
) -> None:
    batch, heads, rows, depth = q.shape
    groups, columns = k.shape[1], k.shape[2]
    (b,) = s.dims(batch)
    if heads == groups:
        split = s.dims(heads)
        group = head = split[0]
    else:
        assert isinstance(heads, int)  # by the type rule
        assert isinstance(groups, int)
        per_group = heads // groups
        split = s.dims(groups, per_group)
        group, head = split[0], split[0] * per_group + split[1]
    i, j = s.dims(rows, columns)
    d, e = s.reduce(depth)[0], s.dims(v.shape[3])[0]
    row = [b, *split, i]
    dtype = wide(q.dtype)

    product = s.total("sum", q[b, head, i, d].cast(dtype) * k[b, group, j, d].cast(dtype), [*row, j])
    score = product if scale == 1.0 else product * scale
    if softcap:
        score = apply("tanh", score * (1 / softcap)) * softcap
    if mask is not None:
        m = mask.broadcast((b, head, i, j))
        score = select(m, score, -np.inf) if m.dtype == boolean else score + m.cast(dtype)
    if causal:
        score = select(s.index(i - j + offset) >= 0, score, -np.inf)
    if score is not product:
        score = s.value(score, [*row, j])
    top = s.total("max", score, row)
    weight = s.value(apply("exp", score - finite(top)), [*row, j])
    total = s.total("sum", weight, row, repair=rescale(top))
    mixed = s.total("sum", weight * v[b, group, j, e].cast(dtype), [*row, e], repair=rescale(top))
    divisor = select(total.equals(0.0), lift(1.0, dtype), total)  # a row that is masked as a whole gives 0
    s.store(s.results[0].at(b, head, i, e), mixed * (1.0 / divisor))


@op(
    "nn.attention",
    infer=_attention_type,
    stages=_attention_stages,
    cost=_attention_cost,
    tolerance=Tolerance(relative=2e-5, absolute=2e-6),
    samples=(
        case("f32[2, 3, 5, 8]", "f32[2, 3, 7, 8]", "f32[2, 3, 7, 4]", scale=0.35),
        case("f32[1, 4, 5, 3]", "f32[1, 2, 5, 3]", "f32[1, 2, 5, 3]", "f32[5, 5]", scale=0.5, causal=True),
        case(
            "f64[2, 2, 3, 4]",
            "f64[2, 1, 6, 4]",
            "f64[2, 1, 6, 5]",
            "bool[2, 1, 1, 6]",
            scale=0.5,
            softcap=3.0,
            causal=True,
            offset=3,
        ),
        case("f32[1, 2, 4, 3]", "f32[1, 2, 3, 3]", "f32[1, 2, 3, 5]", scale=1.0, causal=True, offset=-1),
    ),
)
def attention(
    q, k, v, mask=None, *, scale: float, causal: bool = False, offset: int = 0, softcap: float = 0.0
):
    """softmax(cap(q k^T * scale) + mask) v for q [B, H, S, D], k [B, G, T, D], v [B, G, T, E]; G divides H.

    The mask broadcasts to [B, H, S, T]: added, or bool with False for what is masked. `causal` lets query i see the
    keys j <= i + offset; `softcap` (0: none) bounds scores by softcap * tanh(score / softcap). A query that sees no
    key gives 0, as in ONNX's Attention.
    """
    batch, heads, rows, depth = q.shape
    groups, columns = k.shape[1], k.shape[2]
    grouped = widen(q).reshape(batch, groups, (heads // groups) * rows, depth)
    score = (grouped @ widen(k).swapaxes(2, 3)).reshape(batch, heads, rows, columns) * scale
    if softcap:
        score = np.tanh(score / softcap) * softcap
    if mask is not None:
        score = np.where(mask, score, -np.inf) if mask.dtype == bool else score + mask
    if causal:
        score = np.where(np.tri(rows, columns, offset, dtype=bool), score, -np.inf)
    score = score.astype(widen(q).dtype, copy=False)
    top = score.max(-1, keepdims=True, initial=-np.inf)
    weight = np.exp(score - np.where(top == -np.inf, 0, top))
    total = weight.sum(-1, keepdims=True)
    weight = (weight / np.where(total == 0, 1, total)).reshape(batch, groups, -1, columns)
    mixed = weight.astype(widen(q).dtype, copy=False) @ widen(v)
    return mixed.reshape(batch, heads, rows, -1).astype(q.dtype, copy=False)
