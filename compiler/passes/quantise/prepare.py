"""Rewrites of the float graph that make its parts visible to quantisation: attention as products and a softmax."""

import numpy as np

from ...ops import attention
from ...rewrite import As, Maybe, Rule, Var
from ...target.attention import parts
from ..base import Rewrite

RULES = (
    Rule(
        "attention => products and softmax",
        As("y", attention.attention(Var("q"), Var("k"), Var("v"), Maybe("mask"))),
        parts,
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
