"""Reductions, running sums, the largest elements."""

import numpy as np

from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import f32, i8, i32
from ...build import math, reduce, shape
from ...known import ints
from ...normalise import axis_of
from ..table import converter


def axes_operand(x: Value, axes: Value) -> tuple[int, ...]:
    """The axes of a reduction: not negative, in order, none twice."""
    return tuple(sorted({axis_of(axis, x.type.rank) for axis in ints(axes, "axes")}))


def _reduction(op: str, name: str, newest: int, moves: bool = False) -> None:
    @converter(op, newest=newest, moves=moves)
    def convert(x, axes, *, keep_dims=False):
        return getattr(reduce, name)(x, axes=axes_operand(x, axes), keepdims=bool(keep_dims))


_reduction("MEAN", "mean", 3)
_reduction("SUM", "sum", 2)
_reduction("REDUCE_PROD", "prod", 2)
_reduction("REDUCE_MAX", "max", 3, moves=True)
_reduction("REDUCE_MIN", "min", 3, moves=True)


def _logical(op: str, name: str) -> None:
    @converter(op)
    def convert(x, axes, *, keep_dims=False):
        numbers = math.cast(x, dtype=i8)
        found = getattr(reduce, name)(numbers, axes=axes_operand(x, axes), keepdims=bool(keep_dims))
        return math.ne(found, 0)


_logical("REDUCE_ANY", "max")
_logical("REDUCE_ALL", "min")


def _extreme(op: str, name: str) -> None:
    @converter(op, newest=3, moves=True)
    def convert(x, axis, *, output_type=0, call):
        (place,) = ints(axis, "axis")
        found = getattr(reduce, name)(x, axis=axis_of(place, x.type.rank), keepdims=False)
        return math.cast(found, dtype=call.node.origin.outputs[0].dtype)


_extreme("ARG_MAX", "argmax")
_extreme("ARG_MIN", "argmin")


@converter("BUCKETIZE")
def bucketize(x, *, boundaries=()):
    """How many boundaries each number has reached."""
    bounds = constant(np.asarray(boundaries, np.float32))
    numbers = shape.reshape(math.cast(x, dtype=f32), shape=(*x.shape, 1))
    reached = math.cast(math.ge(numbers, bounds), dtype=i32)
    return reduce.sum(reached, axes=(x.type.rank,), keepdims=False)


@converter("CUMSUM")
def cumsum(x, axis, *, exclusive=False, reverse=False):
    (place,) = ints(axis, "axis")
    place = axis_of(place, x.type.rank)
    return reduce.cumsum(x, axis=place, exclusive=bool(exclusive), reverse=bool(reverse))


@converter("TOPK_V2", newest=3)
def top_k(x, k, *, call):
    (size,) = ints(k, "k")
    values, places = shape.topk(x, k, axis=x.type.rank - 1, size=size)
    return values, math.cast(places, dtype=call.node.origin.outputs[1].dtype)


@converter("L2_NORMALIZATION", newest=2)
def l2_normalization(x, *, fused_activation_function="NONE"):
    total = reduce.sum(math.mul(x, x), axes=(x.type.rank - 1,))
    return math.div(x, math.max(math.sqrt(total), 1e-6))
