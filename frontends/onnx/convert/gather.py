"""Gathers, scatters, selections: indices may be negative, as the IR's ops take them."""

import numpy as np

from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ...build import shape
from ...known import dims
from ...normalise import axis_of
from ..table import converter


@converter("Gather")
def gather(x, indices, *, axis=0):
    return shape.gather(x, indices, axis=axis_of(axis, x.type.rank))


@converter("GatherElements", since=11)
def gather_elements(x, indices, *, axis=0):
    return shape.gather_elements(x, indices, axis=axis_of(axis, x.type.rank))


@converter("GatherND", since=12)
def gather_nd(x, indices, *, batch_dims=0):
    return shape.gather_nd(x, indices, batch_dims=batch_dims)


@converter("GatherND", since=11)
def gather_nd_11(x, indices):
    return gather_nd(x, indices)


@converter("ScatterElements", since=16)
def scatter_elements(x, indices, updates, *, axis=0, reduction="none"):
    return shape.scatter_elements(x, indices, updates, axis=axis_of(axis, x.type.rank), reduction=reduction)


@converter("ScatterElements", since=11)
def scatter_elements_11(x, indices, updates, *, axis=0):
    return scatter_elements(x, indices, updates, axis=axis)


@converter("Scatter", since=9, until=11)
def scatter(x, indices, updates, *, axis=0):
    return scatter_elements(x, indices, updates, axis=axis)


@converter("ScatterND", since=16)
def scatter_nd(x, indices, updates, *, reduction="none"):
    return shape.scatter_nd(x, indices, updates, reduction=reduction)


@converter("ScatterND", since=11)
def scatter_nd_11(x, indices, updates):
    return scatter_nd(x, indices, updates)


@converter("TopK", since=11)
def topk(x, k, *, axis=-1, largest=1, sorted=1):
    size = first_dim(k)
    k = shape.reshape(k, shape=()) if k.type.rank else k
    axis = axis_of(axis, x.type.rank)
    return shape.topk(x, k, axis=axis, largest=bool(largest), sorted=bool(sorted), size=size)


def first_dim(count: Value) -> Dim | None:
    """The extent that an operand of one element states, if that is known."""
    found = dims(count)
    return found[0] if found else None


@converter("TopK", since=10)
def topk_10(x, k, *, axis=-1):
    return topk(x, k, axis=axis)


@converter("TopK")
def topk_1(x, *, axis=-1, k):
    return topk(x, constant(np.array(k, np.int64)), axis=axis)


@converter("OneHot", since=9)
def one_hot(indices, depth, values, *, axis=-1):
    axis = axis_of(axis, indices.type.rank + 1)
    size = first_dim(depth)
    depth = shape.reshape(depth, shape=()) if depth.type.rank else depth
    return shape.onehot(indices, depth, values, axis=axis, size=size)


@converter("ReverseSequence", since=10)
def reverse_sequence(x, lengths, *, batch_axis=1, time_axis=0):
    return shape.reverse_sequence(x, lengths, batch_axis=batch_axis, time_axis=time_axis)


@converter("Compress", since=9)
def compress(x, condition, *, axis=None):
    return shape.compress(x, condition, axis=None if axis is None else axis_of(axis, x.type.rank))


@converter("Unique", since=11)
def unique(x, *, axis=None, sorted=1):
    axis = None if axis is None else axis_of(axis, x.type.rank)
    return shape.unique(x, axis=axis, sorted=bool(sorted))
