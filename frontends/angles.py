"""Angles, which the IR has no op for."""

from ..compiler.ir.graph import Value, constant
from .build import math


def arc_tangent(y: Value, x: Value) -> Value:
    """The angle of the place (x, y): the arc tangent of the quotient, moved into the quadrant that the signs say."""
    angle = math.atan(math.div(y, x))
    half = math.where(
        math.lt(y, 0), constant(-3.141592653589793, y.dtype), constant(3.141592653589793, y.dtype)
    )
    angle = math.where(math.lt(x, 0), math.add(angle, half), angle)
    upright = math.mul(math.sign(y), constant(1.5707963267948966, y.dtype))
    return math.where(math.eq(x, 0), upright, angle)
