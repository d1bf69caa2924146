"""Rules that see attention in the products around a softmax, whatever way the exporter scales, masks and transposes.

A row all of whose keys are masked by -inf is NaN in the decomposed form and 0 in `nn.attention`: the one place where
the two differ, and what guards against that NaN in exported graphs means the same as the op.
"""

from typing import Any

import numpy as np

from ..ir.dims import Dim
from ..ir.graph import Value, constant
from ..ir.types import DType, boolean, f32
from ..ops import attention as op
from ..ops import contract, math, norm, shape
from ..rewrite import AnyOf, As, Attr, Const, Maybe, Number, Pattern, Rule, Splat, Var, example, uniform
from .algebra import holds_all

ABSORBS = -1e30
"""A fill at most this low swallows any score that is added to it, in f32 and wider."""


def _scaled(pattern: Pattern, factor: str, divisor: str | None = None) -> AnyOf:
    """The pattern, or its product or quotient with a number, which is bound."""
    quotient = () if divisor is None else (math.div(pattern, Splat(divisor)),)
    return AnyOf((math.mul(pattern, Splat(factor)), *quotient, pattern))


_PRODUCT = contract.matmul(_scaled(Var("q"), "a", "e"), _scaled(Var("kt"), "b"))
_SCORES = _scaled(_PRODUCT, "c", "d")
_MASKED = AnyOf(
    (
        math.add(_SCORES, Var("mask")),
        math.add(math.add(_SCORES, Var("mask")), Var("more")),
        math.where(Var("keep"), _SCORES, Splat("low")),
        math.where(Var("drop"), Splat("low"), _SCORES),
        _SCORES,
    )
)
_SOFTMAX = norm.softmax(AnyOf((_MASKED, math.cast(_MASKED, dtype=Attr("wide")))), axis=Attr("axis"))
_WEIGHTS = AnyOf((_SOFTMAX, math.cast(_SOFTMAX)))
_GUARDED = AnyOf((math.where(math.isnan(As("p", _WEIGHTS)), Number(0), Var("p")), _WEIGHTS))


def _fits(
    q: Value, kt: Value, v: Value, axis: int, low: float = -np.inf, wide: DType | None = None, **bound: Any
) -> bool:
    rank = q.type.rank
    if v.dtype != q.dtype or not (wide is None or holds_all(wide, q.dtype)):
        return False
    if (
        not q.dtype.is_float
        or not 2 <= rank <= 4
        or not kt.type.rank == v.type.rank == rank
        or axis != rank - 1
    ):
        return False
    batch, keys = q.shape[:-2], kt.shape[:-2]
    if keys != v.shape[:-2] or not _groups(batch, keys):
        return False
    if not (low == -np.inf or (low <= ABSORBS and q.dtype.bits >= 32)):
        return False
    scores = (*batch, q.shape[-2], kt.shape[-1])
    masks = [bound[name] for name in ("mask", "more", "keep", "drop") if name in bound]
    if any(mask.dtype not in (q.dtype, boolean) for mask in masks):
        return False
    return all(_broadcasts(mask.shape, scores) for mask in masks)


def _groups(batch: tuple[Dim, ...], keys: tuple[Dim, ...]) -> bool:
    """Equal, or one key head for all query heads."""
    return batch == keys or (len(batch) == 2 and batch[0] == keys[0] and keys[1] == 1)


def _broadcasts(mask: tuple[Dim, ...], scores: tuple[Dim, ...]) -> bool:
    return len(mask) <= len(scores) and all(a in (1, b) for a, b in zip(mask[::-1], scores[::-1]))


def _build(
    q: Value,
    kt: Value,
    v: Value,
    axis: int,
    a: float = 1.0,
    b: float = 1.0,
    c: float = 1.0,
    d: float = 1.0,
    e: float = 1.0,
    low: float = 0.0,
    wide: DType | None = None,
    mask: Value | None = None,
    more: Value | None = None,
    keep: Value | None = None,
    drop: Value | None = None,
    p: Value | None = None,
) -> Value:
    if mask is not None and more is not None:
        mask = math.add(mask, more)
    if drop is not None:
        keep = math.logical_not(drop)
    if keep is not None:
        # a finite fill leaves a row that is masked as a whole uniform, which only an added mask does as well
        mask = keep if low == -np.inf else math.where(keep, constant(0, q.dtype), constant(low, q.dtype))
    k = shape.transpose(kt, perm=(*range(kt.type.rank - 2), kt.type.rank - 1, kt.type.rank - 2))
    full = [_ranked(value) for value in (q, k, v)]
    result = op.attention(*full, None if mask is None else _ranked_mask(mask, q), scale=a * b * c / d / e)
    return result if q.type.rank == 4 else shape.reshape(result, shape=(*q.shape[:-1], v.shape[-1]))


def _ranked(value: Value) -> Value:
    """[B, S, D] as [B, 1, S, D], [S, D] as [1, 1, S, D]."""
    rank = value.type.rank
    if rank == 4:
        return value
    batch = value.shape[:-2] if rank == 3 else (1,)
    return shape.reshape(value, shape=(*batch, 1, *value.shape[-2:]))


def _ranked_mask(mask: Value, q: Value) -> Value:
    if q.type.rank == 3 and mask.type.rank == 3:
        return shape.reshape(mask, shape=(mask.shape[0], 1, *mask.shape[1:]))
    return mask


def _repeated(name: str) -> Pattern:
    return shape.reshape(shape.expand(Var(name), shape=Attr(f"{name}s")))


def _repeats_heads(q: Value, k: Value, v: Value, ks: tuple[Dim, ...], vs: tuple[Dim, ...], **_: Any) -> bool:
    """Whether k and v were [B, G, 1, T, D] before they became [B, G, N, T, D] for G * N query heads."""
    return all(
        value.type.rank == len(expanded) == 5
        and value.shape[2] == 1
        and (*value.shape[:2], *value.shape[3:]) == (*expanded[:2], *expanded[3:])
        and value.shape[1] * expanded[2] == q.shape[1]
        for value, expanded in ((k, ks), (v, vs))
    )


def _grouped(q: Value, k: Value, v: Value, mask: Value | None = None, **bound: Any) -> Value:
    def narrow(value: Value) -> Value:
        return shape.reshape(value, shape=(*value.shape[:2], *value.shape[3:]))

    return op.attention(q, narrow(k), narrow(v), mask, **{n: bound[n] for n in _OPTIONS})


def _causal_offset(mask: Value) -> int | None:
    """The offset for which a constant added mask says just what `causal` does; None if there is none."""
    array = mask.constant
    if array is None or array.ndim < 2 or array.dtype == bool or any(dim != 1 for dim in array.shape[:-2]):
        return None
    plane = array.reshape(array.shape[-2:])
    offset = int(np.count_nonzero(plane[0] == 0)) - 1 if len(plane) else -1
    seen = np.tri(*plane.shape, offset, dtype=bool)
    says_so = bool((plane[seen] == 0).all() and (plane[~seen] <= ABSORBS).all())
    return offset if says_so and offset >= 0 else None


def _masks_nothing(mask: Value) -> bool:
    number = uniform(mask)
    return number is not None and bool(number == (mask.dtype == boolean))


def _is_plane(q: Value, k: Value, mask: Value) -> bool:
    """Whether the mask has a value for each query and key, so that its diagonal means something."""
    return mask.shape[-2:] == (q.shape[-2], k.shape[-2]) and _causal_offset(mask) is not None


def _causal(q: Value, k: Value, v: Value, mask: Value, scale: float, softcap: float) -> Value:
    return op.attention(q, k, v, scale=scale, causal=True, offset=_causal_offset(mask), softcap=softcap)


_OPTIONS = ("scale", "causal", "offset", "softcap")
_ANY_OPTIONS: dict[str, Any] = {name: Attr(name) for name in _OPTIONS}
_SIZES = {"q": "f32[2, 3, 4, 5]", "kt": "f32[2, 3, 5, 6]", "v": "f32[2, 3, 6, 7]", "axis": 3}
_SCALES = {"a": 0.7, "b": 0.6, "c": 0.5, "d": 1.5, "e": 1.2, "wide": f32, "math.cast.dtype": f32}
_KEEP = np.array([[1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0]], bool)
_MASKS = {"mask": "f32[3, 1, 6]", "more": "f32[4, 1]", "keep": _KEEP, "drop": ~_KEEP}
_FLAT = {"q": "f32[2, 4, 5]", "kt": "f32[2, 5, 6]", "v": "f32[2, 6, 7]", "axis": 2}
_FLAT_MASKS = {"mask": "f32[2, 1, 6]", "more": "f32[6]", "keep": _KEEP, "drop": ~_KEEP}
_TRIANGLE = np.where(np.tri(4, 6, 2, dtype=bool), 0, -3e38).astype(np.float32)
_HEADS = {
    "q": "f32[2, 6, 4, 5]",
    "k": "f32[2, 3, 1, 7, 5]",
    "v": "f32[2, 3, 1, 7, 5]",
    "ks": (2, 3, 2, 7, 5),
    "vs": (2, 3, 2, 7, 5),
    "shape.reshape.shape": (2, 6, 7, 5),
    "mask": "f32[4, 7]",
    "scale": 0.5,
    "causal": True,
    "offset": 3,
    "softcap": 0.0,
}

RULES = (
    Rule(
        "softmax(q k * scale + mask) v => attention(q, k, v, mask)",
        contract.matmul(_GUARDED, Var("v")),
        _build,
        guard=_fits,
        samples=(
            {**_SIZES, **_SCALES, **_MASKS, "low": -np.inf},
            {**_SIZES, **_SCALES, **_MASKS, "low": -3e38},
            {**_FLAT, **_FLAT_MASKS, **_SCALES, "low": -np.inf},
        ),
    ),
    Rule(
        "attention(q, repeated k, repeated v) => attention(q, k, v) in groups",
        op.attention(Var("q"), _repeated("k"), _repeated("v"), Maybe("mask"), **_ANY_OPTIONS),
        _grouped,
        guard=_repeats_heads,
        samples=(_HEADS, {**_HEADS, "mask": None}),
    ),
    Rule(
        "attention with a mask that masks nothing => attention",
        op.attention(Var("q"), Var("k"), Var("v"), Const("mask"), **_ANY_OPTIONS),
        lambda q, k, v, mask, **options: op.attention(q, k, v, **options),
        guard=lambda mask, **_: _masks_nothing(mask),
        samples=(
            {**_HEADS, "k": "f32[2, 3, 7, 5]", "v": "f32[2, 3, 7, 4]", "mask": np.zeros((4, 7), np.float32)},
            {**_HEADS, "k": "f32[2, 3, 7, 5]", "v": "f32[2, 3, 7, 4]", "mask": np.ones(7, bool)},
        ),
    ),
    Rule(
        "attention with where(m, 0, -inf) as mask => attention with m",
        op.attention(
            Var("q"),
            Var("k"),
            Var("v"),
            math.where(Var("mask"), Number(0), Number(-np.inf)),
            **_ANY_OPTIONS,
        ),
        lambda q, k, v, mask, **options: op.attention(q, k, v, mask, **options),
        guard=lambda mask, **_: mask.type.rank <= 4,
        shared=True,
        samples=(
            example(
                lambda q, k, v, mask, zero, low: op.attention(
                    q, k, v, math.where(mask, zero, low), scale=0.5
                ),
                "f32[2, 6, 4, 5]",
                "f32[2, 3, 7, 5]",
                "f32[2, 3, 7, 4]",
                "bool[4, 7]",
                np.float32(0),
                np.float32(-np.inf),
            ),
        ),
    ),
    Rule(
        "attention with an expanded mask => attention with the mask",
        op.attention(
            Var("q"),
            Var("k"),
            Var("v"),
            shape.expand(Var("mask")),
            **_ANY_OPTIONS,
        ),
        lambda q, k, v, mask, **options: op.attention(q, k, v, mask, **options),
        shared=True,
        samples=(
            {
                **_HEADS,
                "k": "f32[2, 3, 7, 5]",
                "v": "f32[2, 3, 7, 4]",
                "mask": "f32[1, 7]",
                "shape.expand.shape": (4, 7),
            },
        ),
    ),
    Rule(
        "attention with a triangular mask => causal attention",
        op.attention(
            Var("q"),
            Var("k"),
            Var("v"),
            Const("mask"),
            scale=Attr("scale"),
            causal=False,
            softcap=Attr("softcap"),
        ),
        _causal,
        guard=lambda q, k, mask, **_: _is_plane(q, k, mask),
        samples=(
            {
                "q": "f32[2, 3, 4, 5]",
                "k": "f32[2, 3, 6, 5]",
                "v": "f32[2, 3, 6, 7]",
                "mask": _TRIANGLE,
                "scale": 0.5,
                "softcap": 0.0,
            },
        ),
    ),
)
