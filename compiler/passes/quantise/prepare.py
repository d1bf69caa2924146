"""Rewrites of the float graph that make its parts visible to quantisation: attention as products and a softmax."""

from typing import Any

import numpy as np

from ...ir.graph import Value, constant
from ...ops import attention, contract, math, norm, shape
from ...rewrite import As, Maybe, Rule, Var
from ..base import Rewrite

_FAR = np.float32(-1e30)
"""Stands for minus infinity: its exponential is 0, and no NaN comes of it."""


def _parts(q: Value, k: Value, v: Value, y: Value, mask: Value | None = None, **_: Any) -> Value | None:
    """q k^T * scale, capped, masked; softmax; times v. Query heads that share a key head are rows of one product."""
    given = y.node.attributes
    batch, heads, rows, depth = q.shape
    groups, columns = k.shape[1], k.shape[2]
    sizes = (heads, rows, groups, columns)
    if not all(isinstance(size, int) for size in sizes) or y.dtype.name != "f32":
        return None
    if given["causal"] and given["offset"] < 0:
        return None  # rows that see nothing are 0, which a softmax can't say
    shared = heads // groups
    scores = contract.matmul(
        shape.reshape(q, shape=(batch, groups, shared * rows, depth)), shape.transpose(k, perm=(0, 1, 3, 2))
    )
    scores = math.mul(
        shape.reshape(scores, shape=(batch, heads, rows, columns)), constant(np.float32(given["scale"]))
    )
    if given["softcap"]:
        cap = constant(np.float32(given["softcap"]))
        scores = math.mul(math.tanh(math.div(scores, cap)), cap)
    if mask is not None:
        scores = (
            math.where(mask, scores, constant(_FAR)) if mask.dtype.kind == "bool" else math.add(scores, mask)
        )
    if given["causal"]:
        seen = np.tri(rows, columns, given["offset"]) > 0  # type: ignore[arg-type]
        scores = math.where(constant(seen), scores, constant(_FAR))
    weights = shape.reshape(norm.softmax(scores, axis=3), shape=(batch, groups, shared * rows, columns))
    return shape.reshape(contract.matmul(weights, v), shape=y.shape)


RULES = (
    Rule(
        "attention => products and softmax",
        As("y", attention.attention(Var("q"), Var("k"), Var("v"), Maybe("mask"))),
        _parts,
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

PREPARE = Rewrite("prepare quantisation", RULES)
