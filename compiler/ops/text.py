"""Strings: opaque, run by their meaning on the host. A tensor of strings is an array of Python's str objects."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import fresh
from ..ir.types import TensorType, boolean, i64
from .engine import case, op
from .rules import broadcast, differ, only

_STRINGS = ("string",)
_WORDS = np.array([["a.b", "", " x  y "], ["a", "b.c.d", "Xy"]], object)


def _each(function: Any, *arrays: np.ndarray) -> np.ndarray:
    """The results of a function for the elements of arrays, broadcast, as an array of objects."""
    broadcast_to = np.broadcast_shapes(*(array.shape for array in arrays))
    out = np.empty(broadcast_to, object)
    flat = [np.broadcast_to(array, broadcast_to).reshape(-1) for array in arrays]
    out.reshape(-1)[:] = [function(*items) for items in zip(*flat, strict=True)]
    return out


@op(
    "text.concat",
    infer=only(_STRINGS, broadcast),
    samples=(case("string[3]", "string[2, 1]"), case(_WORDS, "string[]")),
)
def concat(x, y):
    """x followed by y, element by element with numpy broadcasting."""
    return _each(lambda a, b: str(a) + str(b), x, y)


def _split_type(x: TensorType, *, delimiter: str, most: int | None) -> tuple[TensorType, TensorType]:
    if most is not None and most < 0:
        raise TypeRuleError(f"'most' is {most}, expected 0 or more")
    return x.with_shape((*x.shape, fresh())), x.with_dtype(i64)


@op(
    "text.split",
    infer=only(_STRINGS, _split_type),
    samples=(case(_WORDS), case(_WORDS, delimiter="."), case(_WORDS, delimiter=".", most=1)),
)
def split(x, *, delimiter: str = "", most: int | None = None):
    """The parts of each string on a new last axis, filled up with "", and their numbers.

    Without a delimiter parts are separated by white space. `most` bounds the number of cuts, from the left.
    """
    cuts = -1 if most is None else most
    parts = _each(lambda text: str(text).split(delimiter or None, cuts), x)
    counts = _each(len, parts).astype(np.int64)
    width = int(counts.max(initial=0))
    out = np.full((*x.shape, width), "", object)
    for index in np.ndindex(x.shape):
        out[index][: counts[index]] = parts[index]
    return out, counts


_CASES: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "": str}


def _normalise_type(x: TensorType, *, change: str, dropped: tuple[str, ...], ignore_case: bool) -> TensorType:
    if change not in _CASES or x.rank not in (1, 2) or (x.rank == 2 and differ(x.shape[0], 1)):
        raise TypeRuleError(
            f"normalise takes strings [C] or [1, C] and a change of case, got {x}, '{change}'"
        )
    return x.with_shape((*x.shape[:-1], fresh()))


@op(
    "text.normalise",
    infer=only(_STRINGS, _normalise_type),
    samples=(
        case(np.array(["Mon", "tue", "WED"], object), change="upper", dropped=("mon",)),
        case(np.array([["Mon", "tue"]], object), dropped=("MON", "tue"), ignore_case=True),
    ),
)
def normalise(x, *, change: str = "", dropped: tuple[str, ...] = (), ignore_case: bool = False):
    """The strings that are not among `dropped`, in another case; one "" where none is left. x is [C] or [1, C]."""
    fold = _CASES["lower" if ignore_case else ""]
    stop = {fold(word) for word in dropped}
    kept = [_CASES[change](str(text)) for text in x.reshape(-1) if fold(str(text)) not in stop]
    out = np.empty(len(kept) or 1, object)
    out[:] = kept or [""]
    return out.reshape(*x.shape[:-1], -1)


def _match_type(x: TensorType, *, pattern: str) -> TensorType:
    try:
        re.compile(pattern)
    except re.error as error:
        raise TypeRuleError(f"the pattern {pattern!r} can't be read: {error}") from None
    return x.with_dtype(boolean)


@op(
    "text.full_match",
    infer=only(_STRINGS, _match_type),
    samples=(case(_WORDS, pattern="[a-z.]+"), case(_WORDS, pattern="")),
)
def full_match(x, *, pattern: str):
    r"""Whether each string as a whole matches a regular expression; \d, \w and \s mean ASCII."""
    compiled = re.compile(pattern, re.ASCII)
    return _each(lambda text: compiled.fullmatch(str(text)) is not None, x).astype(bool)


def _index_type(x: TensorType, *, words: tuple[str, ...]) -> TensorType:
    return x.with_dtype(i64)


@op(
    "text.index_of",
    infer=only(_STRINGS, _index_type),
    samples=(case(_WORDS, words=("a", "Xy", "a")), case("string[4]", words=("s1", "s3"))),
)
def index_of(x, *, words: tuple[str, ...]):
    """The position of each string in a list, the last one where it is listed twice, -1 where it is not."""
    places = {word: n for n, word in enumerate(words)}
    return _each(lambda text: places.get(str(text), -1), x).astype(np.int64)
