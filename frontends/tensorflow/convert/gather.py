"""Gathers, scatters, one-hot rows, the largest elements."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import constant
from ....compiler.ir.types import i32, i64
from ...build import shape
from ...known import dims, ints
from ...normalise import axis_of
from ..table import converter
from .layout import broadcast_to, cast_to


@converter("GatherV2")
def gather(x, indices, axis, *, batch_dims=0):
    place = axis_of(ints(axis, "axis")[0], x.type.rank)
    batch = batch_dims % (indices.type.rank + 1) if batch_dims < 0 else batch_dims
    if not batch:
        return shape.gather(x, indices, axis=place)
    if place != batch:
        # the gathered axis comes right after the batch axes for the op, and back to its place afterwards
        rank = x.type.rank
        x = shape.transpose(x, perm=(*range(batch), place, *(n for n in range(batch, rank) if n != place)))
    coordinates = shape.reshape(indices, shape=(*indices.shape, 1))
    out = shape.gather_nd(x, coordinates, batch_dims=batch)
    if place == batch:
        return out
    taken = indices.type.rank - batch
    head = range(batch + taken, place + taken)
    perm = (*range(batch), *head, *range(batch, batch + taken), *range(place + taken, out.type.rank))
    return shape.transpose(out, perm=perm)


@converter("Gather")
def gather_1(x, indices, *, validate_indices=True):
    return shape.gather(x, indices, axis=0)


@converter("ResourceGather")
def resource_gather(x, indices, *, batch_dims=0, validate_indices=True, dtype=None):
    return gather(x, indices, constant(np.array(batch_dims, np.int32)), batch_dims=batch_dims)


@converter("GatherNd")
def gather_nd(x, indices, *, bad_indices_policy=""):
    return shape.gather_nd(x, indices, batch_dims=0)


@converter("ResourceGatherNd")
def resource_gather_nd(x, indices, *, dtype=None):
    return gather_nd(x, indices)


@converter("ScatterNd")
def scatter_nd(indices, updates, target, *, bad_indices_policy=""):
    zeros = broadcast_to(constant(np.zeros((), updates.dtype.numpy)), target)
    return shape.scatter_nd(zeros, indices, updates, reduction="add")


@converter("TensorScatterUpdate")
def tensor_scatter_update(x, indices, updates, *, bad_indices_policy=""):
    return shape.scatter_nd(x, indices, updates, reduction="none")


@converter("TensorScatterAdd")
def tensor_scatter_add(x, indices, updates, *, bad_indices_policy=""):
    return shape.scatter_nd(x, indices, updates, reduction="add")


@converter("OneHot")
def one_hot(indices, depth, on_value, off_value, *, axis=-1):
    values = shape.concat(*(shape.reshape(v, shape=(1,)) for v in (off_value, on_value)), axis=0)
    size = dims(depth)
    place = axis_of(axis, indices.type.rank + 1)
    return shape.onehot(indices, depth, values, axis=place, size=size[0] if size else None)


@converter("TopKV2")
def top_k(x, k, *, sorted=True, index_type=i32):
    size = dims(k)
    values, indices = shape.topk(
        x, cast_to(k, i64), axis=x.type.rank - 1, largest=True, sorted=True, size=size[0] if size else None
    )
    return values, cast_to(indices, index_type)


@converter("Where")
def where(condition):
    """The coordinates of what is not 0, one row each."""
    return shape.transpose(shape.nonzero(condition), perm=(1, 0))


@converter("Unique")
def unique(x, *, out_idx=i32):
    values, _, inverse, _ = shape.unique(x, axis=None, sorted=False)
    return values, cast_to(inverse, out_idx)


@converter("NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5")
def non_max_suppression(*operands, pad_to_max_output_size=False):
    raise UnsupportedError(
        "boxes are not suppressed here", hint="export the model up to its boxes and scores"
    )
