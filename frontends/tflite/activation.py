"""The activation that may be fused into an op, on floats."""

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.graph import Value
from ..build import math

BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU6": (0.0, 6.0),
}
"""Activations that only clamp: the least and the greatest value."""


def activated(x: Value, name: str) -> Value:
    """x after the activation fused into the op that computed it."""
    if name == "TANH":
        return math.tanh(x)
    low, high = bounds(name)
    if low is None and high is None:
        return x
    if low == 0 and high is None:
        return math.relu(x)
    return math.clip(x, low, high)


def bounds(name: str) -> tuple[float | None, float | None]:
    """What a fused activation clamps to. Raises UnsupportedError for one that does more."""
    if name not in BOUNDS:
        raise UnsupportedError(
            f"the fused activation {name} is not supported here", hint="apply it as an op of its own"
        )
    return BOUNDS[name]
