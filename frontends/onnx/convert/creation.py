"""Ops that make tensors: constants, ranges, identity matrices, and the shapes of others."""

import numpy as np

from ....compiler.diagnostics import ModelError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DTYPES
from ...build import math, reduce, shape
from ...extents import positions, range_size, rank_of
from ...known import dims
from ..table import converter
from ..tensors import dtype_of


@converter("Constant", since=12)
def constant_of(
    *,
    value=None,
    sparse_value=None,
    value_float=None,
    value_floats=None,
    value_int=None,
    value_ints=None,
    value_string=None,
    value_strings=None,
):
    if value is not None:
        return constant(value)
    if sparse_value is not None:
        return _sparse(*sparse_value)
    for item, dtype in ((value_float, "f32"), (value_floats, "f32"), (value_int, "i64"), (value_ints, "i64")):
        if item is not None:
            return constant(np.array(item), DTYPES[dtype])
    for item in (value_string, value_strings):
        if item is not None:
            return constant(np.array(item, object))
    raise ModelError("Constant has no value", hint="give one of its attributes value, value_float, ...")


@converter("Constant", since=11)
def constant_of_11(*, value=None, sparse_value=None):
    return constant_of(value=value, sparse_value=sparse_value)


@converter("Constant")
def constant_of_1(*, value):
    return constant(value)


def _sparse(values: np.ndarray, indices: np.ndarray, extents: tuple[int, ...]) -> Value:
    zeros = shape.expand(constant(np.zeros((), values.dtype)), shape=extents)
    return shape.scatter_nd(zeros, constant(indices), constant(values), reduction="none")


@converter("ConstantOfShape", since=9)
def constant_of_shape(extents, *, value=None):
    filler = constant(np.zeros((), np.float32) if value is None else value.reshape(()))
    target = dims(extents)
    if target is not None:
        return shape.expand(filler, shape=target)
    return shape.expand_dynamic(filler, extents, rank=rank_of(extents, "input"))


@converter("Shape", since=15)
def shape_of(x, *, start=0, end=None):
    rank = x.type.rank
    start, end, _ = slice(start, end).indices(rank)
    whole = shape.of(x)
    if (start, end) == (0, rank):
        return whole
    return shape.slice(whole, starts=(start,), sizes=(max(end - start, 0),), steps=(1,))


@converter("Shape")
def shape_of_1(x):
    return shape_of(x)


@converter("Size")
def size_of(x):
    return reduce.prod(shape.of(x), axes=(0,), keepdims=False)


@converter("Range", since=11)
def range_of_11(start, limit, delta):
    return range_of(start, limit, delta)


@converter("Range", since=27)
def range_of(start, limit, delta, *, stash_type=1):
    """`stash_type` is the precision that half floats are counted in; the IR's op counts in f32 or wider."""
    bounds = [shape.reshape(v, shape=()) if v.type.rank else v for v in (start, limit, delta)]
    return shape.range(*bounds, size=range_size(*map(dims, bounds)))


@converter("EyeLike", since=9)
def eye_like(x, *, dtype=None, k=0):
    kind = x.dtype if dtype is None else dtype_of(dtype, "its attribute 'dtype'")
    rows = math.add(positions(x, 0), k)
    return math.cast(math.eq(rows, positions(x, 1)), dtype=kind)
