"""Sequences and optional values."""

from onnx import TensorProto

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import OptionalType, SequenceType, TensorType, Type
from ...build import optional, sequence
from ..reader import declared_input
from ..table import converter
from ..tensors import dtype_of


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


@converter("SequenceAt", since=11)
def at(xs, position):
    return sequence.at(xs, position)


@converter("SequenceErase", since=11)
def erase(xs, position=None):
    return sequence.erase(xs, position)


@converter("SequenceLength", since=11)
def length(xs):
    return sequence.length(xs)


@converter("ConcatFromSequence", since=11)
def concat(xs, *, axis, new_axis=0):
    rank = element_of(xs).rank + bool(new_axis)
    return sequence.concat(xs, axis=axis % rank if -rank <= axis < rank else axis, stack=bool(new_axis))


def element_of(xs: Value) -> TensorType:
    """The tensor type of a sequence's elements."""
    found: Type = xs.type
    if isinstance(found, SequenceType) and isinstance(found.element, TensorType):
        return found.element
    raise UnsupportedError(f"{found} is no sequence of tensors")


@converter("SplitToSequence", since=11)
def split(x, sizes=None, *, axis=0, keepdims=1):
    return sequence.split(x, sizes, axis=axis % x.type.rank, keepdims=bool(keepdims))


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
