"""Elementwise mathematics. Each op is one scalar operation, or a body written in them."""

import numpy as np

from ..tile.stage import Expr, apply, lift
from .engine import case, op
from .rules import broadcast, per_element, pointwise, same_type, scalar

_PAIRS = (case("f32[4, 5]", "f32[5]"), case("f32[3, 1]", "f32[1, 17]"), case("i32[6]", "i32[6]"))
_ONE = (case("f32[4, 37]"),)


@op("math.add", infer=broadcast, stages=pointwise(scalar("add")), samples=_PAIRS)
def add(x, y):
    """x + y; integers wrap."""
    return np.add(x, y)


@op("math.exp", infer=same_type(), stages=pointwise(scalar("exp")), cost=per_element(10), samples=_ONE)
def exp(x):
    """e to the power x."""
    return np.exp(x)


def _relu(x: Expr) -> Expr:
    return apply("max", x, lift(0, x.dtype))


@op("math.relu", infer=same_type(), stages=pointwise(_relu), samples=_ONE)
def relu(x):
    """max(x, 0)."""
    return np.maximum(x, np.zeros((), x.dtype))
