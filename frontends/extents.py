"""Values that stand for extents and positions, which converters of several families compute with."""

from collections.abc import Sequence
from math import prod

import numpy as np

from ..compiler.diagnostics import ModelError, UnsupportedError
from ..compiler.ir.dims import Dim, ceildiv
from ..compiler.ir.graph import Value, constant
from ..compiler.ir.types import i64
from .build import shape
from .known import never_negative

HIGHEST_RANK = 64
"""As in numpy, in which ops are defined."""

MOST_MADE = 2**25
"""Elements of a constant that a model does not hold, but asks for: a tiny file can ask for any number."""


def made(*extents: int) -> None:
    """Raise UnsupportedError where a constant of these extents is too large to be made while a model is read."""
    if prod(max(extent, 0) for extent in extents) > MOST_MADE:
        raise UnsupportedError(
            f"it asks for a constant of shape {list(extents)}, more than {MOST_MADE} elements are not made",
            hint="make it an input",
        )


def rank_of(vector: Value, name: str) -> int:
    """The number of elements of a vector of extents, which decides a result's rank."""
    if vector.type.rank != 1 or not isinstance(vector.shape[0], int):
        raise UnsupportedError(f"its operand '{name}' is {vector.type}: the rank of the result is not known")
    if vector.shape[0] > HIGHEST_RANK:
        raise ModelError(
            f"its operand '{name}' is {vector.type}: ranks above {HIGHEST_RANK} are not supported"
        )
    return vector.shape[0]


def positions(x: Value, axis: int) -> Value:
    """The index along one axis, i64 with extent 1 in all other axes."""
    extent = shape.slice(shape.of(x), starts=(axis,), sizes=(1,), steps=(1,))
    if isinstance(x.shape[axis], int):
        extent = constant(np.array([x.shape[axis]], np.int64))
    line = shape.range(
        constant(0, i64), shape.reshape(extent, shape=()), constant(1, i64), size=x.shape[axis]
    )
    return shape.reshape(line, shape=tuple(x.shape[axis] if n == axis else 1 for n in range(x.type.rank)))


def everywhere(x: Value) -> Value:
    """A mask of x's shape that is True throughout."""
    return shape.expand(constant(np.array(True)), shape=x.shape)


def range_size(
    start: Sequence[Dim] | None, limit: Sequence[Dim] | None, delta: Sequence[Dim] | None
) -> Dim | None:
    """How many integers a range has, where that is known; with symbols, where it can't be less than none."""
    if not (start and limit and delta and isinstance(delta[0], int) and delta[0]):
        return None
    span = (limit[0] - start[0]) * (1 if delta[0] > 0 else -1)
    if isinstance(span, int):
        return max(0, -(-span // abs(delta[0])))
    return ceildiv(span, abs(delta[0])) if never_negative(span) else None
