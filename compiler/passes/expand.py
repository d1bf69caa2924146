"""Ops that are stated as one, and computed as several that have stages."""

from typing import Any

from ..ir.graph import Value
from ..ops.resize import resampled, resize
from ..rewrite import As, Rule, Var
from .base import Rewrite


def _resample(x: Value, y: Value, **_: Any) -> Value | None:
    return resampled(x, y.node.attributes)


RULES = (
    Rule(
        "resize => resample along each axis",
        As("y", resize(Var("x"))),
        _resample,
        samples=(
            {"x": "f32[1, 2, 3, 5]", "nn.resize.shape": (1, 2, 7, 4), "nn.resize.mode": "linear"},
            {"x": "f32[2, 3]", "nn.resize.shape": (4, 6)},
            {"x": "u8[3, 4]", "nn.resize.shape": (5, 2), "nn.resize.mode": "cubic"},
        ),
    ),
)

EXPAND = Rewrite("expand", RULES)
