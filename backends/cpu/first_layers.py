"""First layers in bf16: a convolution of a picture's few channels becomes one of a single channel.

Channels last, a row of a window is one run of memory. As one dim of the sum it serves engines that multiply neighbours
along a sum; three channels, or seven columns, do not fill a group of two, and would fill little of a matrix tile.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...compiler.ir.graph import Value, constant
from ...compiler.ir.types import bf16
from ...compiler.ops import convolution, shape
from ...compiler.rewrite import As, Const, Maybe, Rule, Var
from ...compiler.target.description import Target

MOST = 4
"""Channels: of more each is long enough by itself."""


def pays(target: Target) -> bool:
    """Whether some engine multiplies neighbours along a sum of bf16."""
    return any(e.group > 1 and "bf16*bf16+f32" in e.types for e in target.engines.values())


def _is_first(y: Value, w: Value) -> bool:
    given = y.node.attributes
    plain = w.type.rank == 4 and y.type.is_static and given["groups"] == 1 and set(given["dilations"]) == {1}
    return plain and y.dtype == bf16 and 1 < w.type.static_shape[1] <= MOST


def _merged(y: Value, x: Value, w: Value, b: Value | None) -> Value:
    """As many channels as a power of two, and of each row one after the other's."""
    assert w.constant is not None
    given, (batch, channels, height, width) = y.node.attributes, x.type.static_shape
    together = 1 << (channels - 1).bit_length()
    more = together - channels
    rows = shape.transpose(x, perm=(0, 2, 3, 1))
    rows = shape.pad(rows, pads=(0,) * 7 + (more,)) if more else rows
    rows = shape.reshape(rows, shape=(batch, 1, height, width * together))
    weights = np.pad(w.constant.transpose(0, 2, 3, 1), ((0, 0), (0, 0), (0, 0), (0, more)))
    weights = weights.reshape(len(weights), 1, weights.shape[1], -1)
    top, left, bottom, right = given["pads"]
    return convolution.conv(
        rows,
        constant(np.ascontiguousarray(weights)),
        b,
        strides=(given["strides"][0], given["strides"][1] * together),
        pads=(top, left * together, bottom, right * together),
        dilations=(1, 1),
        groups=1,
    )


_SAMPLE: Mapping[str, Any] = {
    "x": "bf16[1, 3, 9, 10]",
    "w": "bf16[5, 3, 3, 3]",
    "b": "bf16[5]",
    "nn.conv.strides": (2, 2),
    "nn.conv.pads": (1, 1, 1, 1),
    "nn.conv.dilations": (1, 1),
    "nn.conv.groups": 1,
}

RULES = (
    Rule(
        "conv of few channels => conv of rows",
        As("y", convolution.conv(Var("x"), Const("w"), Maybe("b"))),
        _merged,
        guard=lambda y, w, **_: _is_first(y, w),
        samples=(_SAMPLE, {**_SAMPLE, "x": "bf16[2, 2, 6, 7]", "w": "bf16[4, 2, 2, 3]", "b": None}),
    ),
)


def rules(target: Target) -> tuple[Rule, ...]:
    """The rule where it pays on a target."""
    return RULES if pays(target) else ()
