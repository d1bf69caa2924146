"""Attention as products and a softmax, for targets that don't run it as one kernel; quantisation sees its parts so.

Between the products values are f32, also where the operands are narrower.
"""

from typing import Any

import numpy as np

from ..ir.graph import Value, constant
from ..ir.types import f32
from ..ops import attention, contract, math, norm, shape
from ..rewrite import As, Maybe, Rule, Var

FAR = np.float32(-1e30)
"""Stands for minus infinity: its exponential is 0, and no NaN comes of it."""


def parts(q: Value, k: Value, v: Value, y: Value, mask: Value | None = None, **_: Any) -> Value | None:
    """q k^T * scale, capped, masked; softmax; times v. Query heads that share a key head are rows of one product.

    A row that sees nothing gives the mean of v, not 0.
    """
    scores = _scores(q, k, y, mask)
    return None if scores is None else _mixed(norm.softmax(scores, axis=3), v, y)


def exact_parts(q: Value, k: Value, v: Value, y: Value, mask: Value | None = None, **_: Any) -> Value | None:
    """As `parts`, with 0 for rows that see nothing."""
    bounded = None if mask is None or mask.dtype.kind == "bool" else math.maximum(_wide(mask), constant(FAR))
    scores = _scores(q, k, y, mask if bounded is None else bounded)
    if scores is None:
        return None
    weights = norm.softmax(scores, axis=3)
    if mask is not None:
        seen = mask if bounded is None else math.gt(_wide(mask), constant(np.float32(-np.inf)))
        weights = math.where(seen, weights, constant(np.float32(0)))
    return _mixed(weights, v, y)


def _scores(q: Value, k: Value, y: Value, mask: Value | None) -> Value | None:
    """In f32, [batch, heads, rows, columns]; None where sizes are open, or rows see nothing whatever the mask."""
    given = y.node.attributes
    batch, heads, rows, depth = q.shape
    groups, columns = k.shape[1], k.shape[2]
    sizes = (heads, rows, groups, columns)
    if not all(isinstance(size, int) for size in sizes) or y.dtype.name not in ("f32", "bf16"):
        return None
    if given["causal"] and given["offset"] < 0:
        return None
    shared = heads // groups
    together = shape.reshape(q, shape=(batch, groups, shared * rows, depth))
    scores = contract.matmul(_wide(together), _wide(shape.transpose(k, perm=(0, 1, 3, 2))))
    scores = math.mul(
        shape.reshape(scores, shape=(batch, heads, rows, columns)), constant(np.float32(given["scale"]))
    )
    if given["softcap"]:
        cap = constant(np.float32(given["softcap"]))
        scores = math.mul(math.tanh(math.div(scores, cap)), cap)
    if mask is not None and mask.dtype.kind == "bool":
        scores = math.where(mask, scores, constant(FAR))
    elif mask is not None:
        scores = math.add(scores, _wide(mask))
    if given["causal"]:
        seen = np.tri(rows, columns, given["offset"]) > 0  # type: ignore[arg-type]
        scores = math.where(constant(seen), scores, constant(FAR))
    return scores


def _mixed(weights: Value, v: Value, y: Value) -> Value:
    batch, heads, rows, columns = weights.shape
    groups = v.shape[1]
    shared = heads // groups * rows
    weights = shape.reshape(weights, shape=(batch, groups, shared, columns))
    if v.dtype == f32:
        return shape.reshape(contract.matmul(weights, v), shape=y.shape)
    narrow = math.cast(weights, dtype=v.dtype)  # an array takes both factors narrow
    mixed = contract.matmul(_wide(narrow), _wide(v))
    return shape.reshape(math.cast(mixed, dtype=y.dtype), shape=y.shape)


def _wide(x: Value) -> Value:
    return x if x.dtype == f32 else math.cast(x, dtype=f32)


RULES = (
    Rule(
        "attention => products and softmax, rows that see nothing 0",
        As("y", attention.attention(Var("q"), Var("k"), Var("v"), Maybe("mask"))),
        exact_parts,
        samples=(
            {
                "q": "f32[2, 3, 5, 8]",
                "k": "f32[2, 3, 7, 8]",
                "v": "f32[2, 3, 7, 4]",
                "mask": "f32[5, 7]",
                "nn.attention.scale": 0.35,
            },
            {
                "q": "f32[1, 4, 5, 3]",
                "k": "f32[1, 2, 5, 3]",
                "v": "f32[1, 2, 5, 3]",
                "mask": np.tri(5, dtype=bool),
                "nn.attention.scale": 0.5,
                "nn.attention.causal": True,
                "nn.attention.softcap": 3.0,
            },
        ),
    ),
)
