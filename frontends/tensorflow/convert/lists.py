"""Tensor lists, which loops collect their results in: here one tensor [length, element...].

A list whose elements' shape the file leaves open begins with extents of 0 there; the first element that is set decides.
"""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i32
from ...build import shape
from ...known import dims, ints
from ..table import converter
from .layout import cast_to, inserted


def blank(length: Dim, element: tuple[Dim, ...], like: Value | None = None, dtype=None) -> Value:
    """A list of zeros."""
    zero = constant(np.zeros((), (like.dtype if like is not None else dtype).numpy))
    return shape.expand(zero, shape=(length, *element))


def is_open(value: Value) -> bool:
    """Whether a value is a fresh list whose elements' shape is not known yet."""
    return value.node.op == "shape.expand" and 0 in value.shape[1:]


@converter("TensorListReserve")
def reserve(element_shape, num_elements, *, element_dtype, shape_type=None):
    if element_dtype is None:
        raise UnsupportedError("lists of lists are not supported", hint="keep tensors in lists")
    length = ints(num_elements, "num_elements")[0]
    extents = dims(element_shape)
    if extents is None or element_shape.type.rank == 0:
        extents = (0,)
    return blank(length, tuple(0 if dim == -1 else dim for dim in extents), dtype=element_dtype)


@converter("TensorListFromTensor")
def from_tensor(x, element_shape, *, element_dtype=None, shape_type=None):
    return x


@converter("TensorListStack")
def stack(x, element_shape, *, element_dtype=None, num_elements=-1):
    if is_open(x):
        raise UnsupportedError("the shape of its elements is not known: nothing was put into the list")
    return x


@converter("TensorListLength")
def length_of(x):
    return cast_to(shape.slice(shape.of(x), starts=(0,), sizes=(1,), steps=(1,)), i32)


@converter("TensorListGetItem")
def get_item(x, index, element_shape, *, element_dtype=None):
    return shape.gather(x, index, axis=0)


@converter("TensorListGather")
def gather(x, indices, element_shape, *, element_dtype=None):
    return shape.gather(x, indices, axis=0)


@converter("TensorListSetItem")
def set_item(x, index, item, *, resize_if_index_out_of_bounds=False, element_dtype=None):
    if is_open(x):
        x = blank(x.shape[0], item.shape, like=item)
    if x.type.rank != item.type.rank + 1:
        raise ModelError(f"an element {item.type} does not fit a list of {x.type}")
    return shape.scatter_nd(x, shape.reshape(index, shape=(1, 1)), inserted(item, 0), reduction="none")
