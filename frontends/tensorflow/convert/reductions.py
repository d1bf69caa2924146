"""Reductions, positions of extreme elements, running sums."""

from ....compiler.ir.types import boolean, i64, u8
from ...build import math, reduce
from ...known import ints
from ...normalise import axes_of, axis_of
from ..table import converter
from .layout import cast_to


def _reduction(op, dtype=None):
    def convert(x, axes, *, keep_dims=False):
        listed = axes_of(ints(axes, "axis"), x.type.rank, "axis")
        if dtype is not None:
            return math.cast(op(math.cast(x, dtype=dtype), axes=listed, keepdims=keep_dims), dtype=x.dtype)
        return op(x, axes=listed, keepdims=keep_dims)

    return convert


for _name, _op, _dtype in (
    ("Sum", reduce.sum, None),
    ("Mean", reduce.mean, None),
    ("Prod", reduce.prod, None),
    ("Max", reduce.max, None),
    ("Min", reduce.min, None),
    ("All", reduce.min, u8),
    ("Any", reduce.max, u8),
):
    converter(_name)(_reduction(_op, _dtype))


def _position(op):
    def convert(x, dimension, *, output_type=i64):
        axis = axis_of(ints(dimension, "dimension")[0], x.type.rank, "dimension")
        x = math.cast(x, dtype=u8) if x.dtype == boolean else x
        return cast_to(op(x, axis=axis, keepdims=False), output_type)

    return convert


for _name, _op in (("ArgMax", reduce.argmax), ("ArgMin", reduce.argmin)):
    converter(_name)(_position(_op))


def _running(op):
    def convert(x, axis, *, exclusive=False, reverse=False):
        place = axis_of(ints(axis, "axis")[0], x.type.rank)
        return op(x, axis=place, exclusive=exclusive, reverse=reverse)

    return convert


for _name, _op in (("Cumsum", reduce.cumsum), ("Cumprod", reduce.cumprod)):
    converter(_name)(_running(_op))
