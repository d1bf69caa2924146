"""Rows reduced by the segments that they belong to, and numbers sorted into buckets."""

import numpy as np

from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType, i32
from ...build import math, reduce, shape
from ...known import ints
from ..table import converter
from .layout import inserted


def _lowest(dtype: DType) -> float:
    return (np.finfo if dtype.is_float else np.iinfo)(dtype.numpy).min


def _highest(dtype: DType) -> float:
    return (np.finfo if dtype.is_float else np.iinfo)(dtype.numpy).max


def _reduced(x: Value, segments: Value, count: int, start: float, reduction: str) -> Value:
    """Rows of a negative segment go into a row of their own, which is cut off."""
    element = x.shape[segments.type.rank :]
    begin = shape.expand(constant(np.array(start, x.dtype.numpy)), shape=(count + 1, *element))
    places = math.where(math.lt(segments, 0), constant(count, segments.dtype), segments)
    out = shape.scatter_nd(begin, inserted(places, segments.type.rank), x, reduction=reduction)
    return shape.slice(out, starts=(0,) * out.type.rank, sizes=(count, *element), steps=(1,) * out.type.rank)


def _register(name: str, reduction: str, start) -> None:
    @converter(f"UnsortedSegment{name}")
    def unsorted_segments(x, segments, num_segments):
        count = ints(num_segments, "num_segments")[0]
        return _reduced(x, segments, count, start(x.dtype), reduction)


_register("Sum", "add", lambda _: 0)
_register("Prod", "mul", lambda _: 1)
_register("Max", "max", _lowest)
_register("Min", "min", _highest)


@converter("SegmentSum")
def segment_sum(x, segments):
    return _reduced(x, segments, max(ints(segments, "segment_ids"), default=-1) + 1, 0, "add")


@converter("Bucketize")
def bucketize(x, *, boundaries):
    """How many boundaries each number has reached."""
    bounds = constant(np.asarray(boundaries, x.dtype.numpy if x.dtype.is_float else np.float32))
    numbers = inserted(x if x.dtype.is_float else math.cast(x, dtype=bounds.dtype), x.type.rank)
    reached = math.cast(math.ge(numbers, bounds), dtype=i32)
    return reduce.sum(reached, axes=(x.type.rank,), keepdims=False)
