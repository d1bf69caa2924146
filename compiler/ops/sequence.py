"""Sequences and optional values: opaque, run by their meaning. A sequence is a list, an absent optional is None."""

from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError, UnsupportedError
from ..ir.dims import fresh
from ..ir.types import OptionalType, SequenceType, TensorType, Type, boolean, i64
from .engine import case, op
from .rules import check_axis

_PAIR = ["f32[2, 3]", "f32[4, 3]"]


def _joined(a: TensorType, b: TensorType) -> TensorType:
    """The type of an element that may be either: extents on which they disagree become unknown."""
    if a.dtype != b.dtype:
        raise TypeRuleError(f"a sequence can't hold both {a} and {b}")
    if a.rank != b.rank:
        raise UnsupportedError(
            f"a sequence of both {a} and {b} is not supported", hint="give its elements one rank"
        )
    return a.with_shape(tuple(m if m == n else fresh() for m, n in zip(a.shape, b.shape)))


def _element(sequence: Type) -> TensorType:
    """The type of a new value taken from a sequence: what is not known of all elements is unknown anew."""
    if not isinstance(sequence, SequenceType) or not isinstance(sequence.element, TensorType):
        raise TypeRuleError(f"expected a sequence of tensors, got {sequence}")
    element = sequence.element
    return element.with_shape(tuple(dim if isinstance(dim, int) else fresh() for dim in element.shape))


def _check_position(position: TensorType | None) -> None:
    if position is not None and not (position.dtype.is_integer and position.shape in ((), (1,))):
        raise TypeRuleError(f"the position is {position}, expected one integer")


def _place(position: np.ndarray, length: int) -> int:
    """A position, which may count from the end, as 0 <= place < length."""
    place = int(np.reshape(position, ()))
    if not -length <= place < length:
        raise IndexError(f"position {place} of a sequence of {length}")
    return place % length


def _construct_type(*xs: TensorType) -> SequenceType:
    if not xs:
        raise TypeRuleError("sequence.construct needs an element", hint="sequence.empty makes one without")
    element = xs[0]
    for x in xs[1:]:
        element = _joined(element, x)
    return SequenceType(element)


@op(
    "sequence.construct",
    infer=_construct_type,
    samples=(case("f32[2, 3]"), case("i64[2]", "i64[5]", "i64[2]")),
)
def construct(*xs):
    """The operands as a sequence."""
    return list(xs)


def _empty_type(*, element: TensorType) -> SequenceType:
    return SequenceType(element)


@op(
    "sequence.empty",
    infer=_empty_type,
    samples=(case(element=TensorType(i64, (2,))), case(element=TensorType(boolean, ()))),
)
def empty(*, element: TensorType):
    """A sequence without elements that may hold elements of a type."""
    return []


def _at_type(sequence: SequenceType, position: TensorType) -> TensorType:
    _check_position(position)
    return _element(sequence)


@op("sequence.at", infer=_at_type, samples=(case(_PAIR, np.int64(1)), case(_PAIR, np.int32(-2))))
def at(sequence, position):
    """The element at a position; negative ones count from the end."""
    return sequence[_place(position, len(sequence))]


def _length_type(sequence: SequenceType) -> TensorType:
    _element(sequence)
    return TensorType(i64, ())


@op("sequence.length", infer=_length_type, samples=(case(_PAIR), case(["u8[]"])))
def length(sequence):
    """How many elements the sequence has, as i64."""
    return np.int64(len(sequence))


def _insert_type(sequence: SequenceType, x: TensorType, position: TensorType | None = None) -> SequenceType:
    _check_position(position)
    return SequenceType(_joined(_element(sequence), x))


@op(
    "sequence.insert",
    infer=_insert_type,
    samples=(
        case(_PAIR, "f32[2, 3]"),
        case(_PAIR, "f32[1, 3]", np.int64(0)),
        case(_PAIR, "f32[1, 1]", np.int64(-1)),
    ),
)
def insert(sequence, x, position=None):
    """The sequence with x before the element at a position, or at the end."""
    place = int(np.reshape(len(sequence) if position is None else position, ()))
    if not -len(sequence) <= place <= len(sequence):
        raise IndexError(f"position {place} of a sequence of {len(sequence)}")
    out = list(sequence)
    out.insert(place, x)
    return out


def _erase_type(sequence: SequenceType, position: TensorType | None = None) -> SequenceType:
    _check_position(position)
    return SequenceType(_element(sequence))


@op("sequence.erase", infer=_erase_type, samples=(case(_PAIR), case(_PAIR, np.int64(0))))
def erase(sequence, position=None):
    """The sequence without the element at a position, or without the last."""
    place = _place(np.array(-1) if position is None else position, len(sequence))
    return [x for n, x in enumerate(sequence) if n != place]


def _concat_type(sequence: SequenceType, *, axis: int, stack: bool) -> TensorType:
    element = _element(sequence)
    check_axis(axis, element.rank + stack)
    if stack:
        return element.with_shape((*element.shape[:axis], fresh(), *element.shape[axis:]))
    return element.with_shape(tuple(fresh() if n == axis else dim for n, dim in enumerate(element.shape)))


@op(
    "sequence.concat",
    infer=_concat_type,
    samples=(case(_PAIR, axis=0), case(["i8[3]", "i8[3]"], axis=1, stack=True)),
)
def concat(sequence, *, axis: int, stack: bool = False):
    """The elements one after the other along an axis, or along a new one (`stack`)."""
    return np.stack(sequence, axis) if stack else np.concatenate(sequence, axis)


def _split_type(x: TensorType, sizes: TensorType | None = None, *, axis: int, keepdims: bool) -> SequenceType:
    check_axis(axis, x.rank)
    if sizes is not None and not (sizes.dtype.is_integer and sizes.rank <= 1):
        raise TypeRuleError(f"the sizes are {sizes}, expected an integer or a list of them")
    if sizes is None and not keepdims:
        return SequenceType(x.with_shape(x.shape[:axis] + x.shape[axis + 1 :]))
    part = 1 if sizes is None else fresh()
    return SequenceType(x.with_shape((*x.shape[:axis], part, *x.shape[axis + 1 :])))


@op(
    "sequence.split",
    infer=_split_type,
    samples=(
        case("f32[2, 5]", axis=1),
        case("f32[3, 2]", axis=0, keepdims=False),
        case("i64[7]", np.int64(3), axis=0),
        case("u8[2, 7]", np.array([3, 0, 4]), axis=1),
    ),
)
def split(x, sizes=None, *, axis: int, keepdims: bool = True):
    """x in parts along an axis: of the sizes given, of one size with a smaller rest, or of one element each."""
    extent = x.shape[axis]
    if sizes is None:
        parts = np.split(x, extent, axis) if extent else []
        return parts if keepdims else [np.squeeze(part, axis) for part in parts]
    if sizes.ndim:
        if sizes.sum() != extent:
            raise ValueError(f"sizes {sizes.tolist()} of an axis of {extent}")
        return np.split(x, np.cumsum(sizes)[:-1], axis)
    return np.split(x, np.arange(int(sizes), extent, int(sizes)), axis)


def _make_type(x: Type | None = None, *, element: TensorType | None) -> OptionalType:
    if (
        isinstance(x, TensorType)
        and element is not None
        and (x.dtype != element.dtype or x.rank != element.rank)
    ):
        raise TypeRuleError(f"an optional {element} can't hold {x}")
    if x is None and element is None:
        raise TypeRuleError(
            "optional.make needs a value, or the type of the absent one", hint="set 'element'"
        )
    return OptionalType(x if x is not None else element)  # type: ignore[arg-type]


@op(
    "optional.make",
    infer=_make_type,
    samples=(case("f32[3]"), case(None, element=TensorType(i64, ())), case(["f32[2]", "f32[1]"])),
)
def make(x=None, *, element: TensorType | None = None):
    """x as an optional value; without x an absent one."""
    return x


def _get_type(x: Any) -> Type:
    return x.element if isinstance(x, OptionalType) else x


@op("optional.get", infer=_get_type, samples=(case("f32[3]"), case("bool[]")))
def get(x):
    """The value of an optional (or plain) value; an error if it is absent."""
    if x is None:
        raise ValueError("the optional value is absent")
    return x


def _has_type(x: Type | None = None) -> TensorType:
    return TensorType(boolean, ())


@op("optional.has", infer=_has_type, samples=(case("f32[3]"), case(None)))
def has(x=None):
    """Whether an optional value is there, as bool; plain values are."""
    return np.bool_(x is not None)
