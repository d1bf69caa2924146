"""Sequences and optional values."""

import numpy as np
from onnx import TensorProto

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import OptionalType, SequenceType, TensorType, Type
from ...build import optional, sequence, shape
from ...known import whole
from ...normalise import axis_of
from ..reader import declared_input
from ..table import converter
from ..tensors import dtype_of
from .layout import squeezed
from .parts import slices


@converter("SequenceConstruct", since=11)
def construct(*xs):
    return sequence.construct(*xs)


@converter("SequenceEmpty", since=11)
def empty(*, dtype=None):
    """The elements' rank is not stated: whatever puts the first element in decides it, see `insert`."""
    return sequence.empty(
        element=TensorType(dtype_of(dtype or TensorProto.FLOAT, "its attribute 'dtype'"), ())
    )


def is_empty(value: Value) -> bool:
    """Whether a sequence is a fresh one whose elements' rank is still open."""
    return value.node.op == "sequence.empty"


@converter("SequenceInsert", since=11)
def insert(xs, x, position=None):
    if is_empty(xs):
        if xs.type.element.dtype != x.dtype:
            raise UnsupportedError(f"a sequence of {xs.type.element.dtype} can't hold {x.type}")
        return sequence.construct(x)
    return sequence.insert(xs, x, position)


def elements(xs: Value) -> tuple[Value, ...] | None:
    """The elements of a sequence that is put together here, which most are: then it need not exist at run time."""
    if xs.node.op != "sequence.construct":
        return None
    return tuple(value for value in xs.node.operands if value is not None)


@converter("SequenceAt", since=11)
def at(xs, position):
    known, listed = elements(xs), whole(position)
    if known is not None and listed is not None:
        return known[axis_of(listed[0], len(known), "position")]
    return sequence.at(xs, position)


@converter("SequenceErase", since=11)
def erase(xs, position=None):
    return sequence.erase(xs, position)


@converter("SequenceLength", since=11)
def length(xs):
    known = elements(xs)
    return sequence.length(xs) if known is None else constant(np.array(len(known), np.int64))


@converter("ConcatFromSequence", since=11)
def concat(xs, *, axis, new_axis=0):
    rank = element_of(xs).rank + bool(new_axis)
    axis, known = axis_of(axis, rank), elements(xs)
    if known is None:
        return sequence.concat(xs, axis=axis, stack=bool(new_axis))
    if new_axis:
        known = tuple(shape.reshape(x, shape=(*x.shape[:axis], 1, *x.shape[axis:])) for x in known)
    return shape.concat(*known, axis=axis) if len(known) > 1 else known[0]


def element_of(xs: Value) -> TensorType:
    """The tensor type of a sequence's elements."""
    found: Type = xs.type
    if isinstance(found, SequenceType) and isinstance(found.element, TensorType):
        return found.element
    raise UnsupportedError(f"{found} is no sequence of tensors")


MOST_PARTS = 256
"""Parts into which a tensor is split while reading; more are split at run time."""


@converter("SplitToSequence", since=11)
def split(x, sizes=None, *, axis=0, keepdims=1):
    axis = axis_of(axis, x.type.rank)
    parts = _part_sizes(x.shape[axis], sizes)
    if parts is None or not 0 < len(parts) <= MOST_PARTS:
        return sequence.split(x, sizes, axis=axis, keepdims=bool(keepdims))
    values = slices(x, parts, axis)
    if sizes is None and not keepdims:
        values = tuple(squeezed(value, (axis,)) for value in values)
    return sequence.construct(*values)


def _part_sizes(extent: Dim, sizes: Value | None) -> tuple[int, ...] | None:
    """The sizes of parts, where both they and the extent are known."""
    given = (1,) if sizes is None else whole(sizes)
    if given is None or not isinstance(extent, int):
        return None
    if sizes is not None and sizes.type.rank == 1:
        return given
    size = given[0]
    if size < 1:
        raise ModelError(f"the size of its parts is {size}, expected 1 or more")
    count = -(-extent // size)
    return None if count > MOST_PARTS else tuple(min(size, extent - n * size) for n in range(count))


@converter("Optional", since=15)
def make(x=None, *, type=None):
    if x is not None:
        return optional.make(x)
    if type is None:
        raise UnsupportedError("an absent optional value needs the attribute 'type'")
    found = declared_input("", type)
    if found.dtype is None or found.shape is None or found.containers not in ((), ("optional",)):
        raise UnsupportedError("its type is not a tensor of known rank", hint="state the type in full")
    return optional.make(element=TensorType(found.dtype, found.shape))


@converter("OptionalGetElement", since=15)
def get(x):
    return optional.get(x) if isinstance(x.type, OptionalType) else x


@converter("OptionalHasElement", since=18)
def has(x=None):
    return optional.has(x) if x is not None and isinstance(x.type, OptionalType) else constant(x is not None)


@converter("OptionalHasElement", since=15)
def has_15(x):
    return has(x)
