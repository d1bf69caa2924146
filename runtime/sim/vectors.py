"""Values of vector engines: a program evaluated on whole numpy views, one call an operation."""

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import cached_property, partial
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ..errors import ExecutionError
from ..records import dataclass
from .access import Access
from .contraction import Contract, contraction
from .memories import Memories, Prepared
from .numbers import DTYPES, stored, widened
from .operations import OPERATIONS

_REDUCE = {"sum": np.add, "max": np.maximum, "min": np.minimum}
_MOST_TURNS = (
    64  # of a loop over what reals are combined along: more are reduced by numpy after one evaluation
)
_MOST_ELEMENTS = (
    1 << 16
)  # of integers that are evaluated at once before they are combined, so that they stay in a cache
_REALS = ("bf16", "f32")


@dataclass(frozen=True, slots=True)
class Source:
    """An operand of an operation: a "register", a "stream" of the instruction (from 1 on), or an "immediate"."""

    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Step:
    """An operation of a program: register `dst` = name(sources), computed in `type`; casts limit to `to`."""

    name: str
    type: str
    to: str
    dst: int
    sources: tuple[Source, ...]


@dataclass
class Stream:
    """Elements of `dtype` in a memory from byte address `base` on, `strides` in elements, outermost first.

    With `table` it is a table of so many elements. Without a memory nothing is read: the element is base plus the
    strides times its place, as an i32.
    """

    memory: str
    dtype: str
    base: int
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    table: int = 0
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._numpy = DTYPES[self.dtype]
        size = self._numpy.itemsize if self.memory else 1
        if self.table:
            self.shape, self.strides = (self.table,), (size,)
        else:
            self.shape = tuple(count if stride else 1 for count, stride in zip(self.counts, self.strides))
            self.strides = tuple(size * stride for stride in self.strides)

    def access(self, write: bool = False) -> Access:
        """The bytes that it touches, of a stream that has a memory."""
        size = self._numpy.itemsize
        if self.table:
            return Access(self.memory, write, self.base, size * self.table)
        return Access(self.memory, write, self.base, size, tuple(zip(self.counts[::-1], self.strides[::-1])))

    def at(self, memories: Memories, base: int) -> np.ndarray:
        """The elements if it began there, not copied."""
        if not self.memory:
            return self._places + np.int32(base)
        return np.ndarray(self.shape, self._numpy, memories.near[self.memory], base, self.strides)

    def part(self, axis: int, first: int, count: int) -> tuple[slice, ...] | None:
        """What of its elements is needed for some positions of a dimension; None for all."""
        if self.table or self.shape[axis] == 1:
            return None
        return (*(slice(None),) * axis, slice(first, first + count))

    @cached_property
    def _places(self) -> np.ndarray:
        """Each element's own number from 0 on, for a stream that reads no memory."""
        total = np.zeros((1,) * len(self.shape), np.int32)
        for axis, (extent, stride) in enumerate(zip(self.shape, self.strides)):
            line = np.arange(extent, dtype=np.int32) * np.int32(stride)
            total = total + line.reshape([-1 if each == axis else 1 for each in range(len(self.shape))])
        return total


def prepare(
    program: Sequence[Step],
    immediates: Sequence[int],
    streams: Sequence[Stream],
    combine: str = "none",
    initialise: bool = True,
) -> Prepared:
    """The effect of a program on every element; stream 0 is the destination.

    With `combine` ("sum", "max" or "min") results are combined over the dims in which the destination's stride is 0,
    onto what it holds unless `initialise` is set.
    """
    sweep = Sweep(program, immediates, streams, combine, initialise)
    return partial(sweep.run, [stream.base for stream in streams])


class Sweep:
    """A program over streams that may begin anywhere: what instructions have in common that differ in that alone. See
    `prepare`."""

    def __init__(
        self,
        program: Sequence[Step],
        immediates: Sequence[int],
        streams: Sequence[Stream],
        combine: str = "none",
        initialise: bool = True,
    ):
        self.program, self.immediates, self.streams = program, immediates, streams
        self.combine, self.initialise = combine, initialise

    def run(self, bases: Sequence[int], memories: Memories) -> None:
        """Execute it with streams that begin at these addresses."""
        body = self._body  # first, since it tells what is wrong with the program
        arrays = [stream.at(memories, base) for stream, base in zip(self.streams, bases)]
        out, dtype = arrays[0], self.streams[0].dtype
        if self.combine == "none":
            _store(out, body.evaluate(arrays), dtype)
            return
        ufunc = _REDUCE[self.combine]
        if self._contract is not None:
            totals = [(None, self._contract(*(arrays[source.number] for source in self.program[0].sources)))]
        else:
            totals = self._in_turns(arrays, ufunc) if self._real else self._in_blocks(arrays, ufunc)
        for part, total in totals:
            place = out if part is None else out[part]
            if not self.initialise:
                total = ufunc(widened(place, dtype), total)
            _store(place, total, dtype)

    @cached_property
    def _body(self) -> "_Body":
        return _Body(self.program, self.immediates, self.streams)

    @cached_property
    def _contract(self) -> Contract | None:
        """Sums of products of bytes as a product of matrices, where they are one."""
        operations = [
            (step.name, step.type, *(source.kind for source in step.sources)) for step in self.program
        ]
        if self.combine != "sum" or operations != [("mul", "i32", "stream", "stream")]:
            return None
        left, right = (self.streams[source.number] for source in self.program[0].sources)
        if not left.dtype == right.dtype == "i8" or not left.memory or not right.memory:
            return None
        return contraction(self.streams[0].counts, left.shape, right.shape, self._reduced)

    @cached_property
    def _real(self) -> bool:
        """Whether values may be reals, for which the order in which they are combined matters."""
        return any(stream.dtype in _REALS for stream in self.streams[1:]) or any(
            step.type == "f32" or step.to in _REALS for step in self.program
        )

    @cached_property
    def _reduced(self) -> tuple[int, ...]:
        """Dimensions that are combined."""
        target = self.streams[0]
        return tuple(
            axis for axis, count in enumerate(target.counts) if count > 1 and target.shape[axis] == 1
        )

    @cached_property
    def _blocks(self) -> list[tuple[tuple[int, ...], list[tuple[slice, ...] | None]]]:
        """Parts of the work along the outermost dimension that is kept, each with its extents and what it takes of
        each stream."""
        counts = self.streams[0].counts
        kept = (axis for axis, count in enumerate(counts) if count > 1 and axis not in self._reduced)
        axis = next(kept, None)
        if axis is None or prod(counts) <= _MOST_ELEMENTS:
            return [(counts, [None] * len(self.streams))]
        step = max(1, _MOST_ELEMENTS * counts[axis] // prod(counts))
        found = []
        for first in range(0, counts[axis], step):
            count = min(step, counts[axis] - first)
            parts = [stream.part(axis, first, count) for stream in self.streams]
            found.append(((*counts[:axis], count, *counts[axis + 1 :]), parts))
        return found

    def _in_blocks(self, arrays: list[np.ndarray], ufunc: Any) -> list[tuple[Any, np.ndarray]]:
        """Integers combined, in any order: parts of the destination, and their values."""
        totals = []
        for counts, parts in self._blocks:
            value = self._body.evaluate(_taken(arrays, parts))
            value = np.broadcast_to(value, counts)
            total = ufunc.reduce(value, axis=self._reduced, dtype=value.dtype, keepdims=True)
            totals.append((parts[0], total))
        return totals

    def _in_turns(self, arrays: list[np.ndarray], ufunc: Any) -> list[tuple[Any, np.ndarray]]:
        """Reals combined along outer dimensions first, each in the order of its index."""
        counts, axes = self.streams[0].counts, self._reduced
        turns = prod(counts[axis] for axis in axes)
        total: Any = None
        if turns <= _MOST_TURNS:
            for index in product(*(range(counts[axis]) for axis in axes)):
                taken = arrays
                for axis, first in zip(axes, index):
                    taken = _taken(taken, [stream.part(axis, first, 1) for stream in self.streams])
                value = self._body.evaluate(taken)
                total = value if total is None else ufunc(total, value)
            return [(None, total)]
        value = np.broadcast_to(self._body.evaluate(arrays), counts)
        kept = [axis for axis in range(len(counts)) if axis not in axes]
        ordered = value.transpose(*axes, *kept).reshape(turns, *(counts[axis] for axis in kept))
        ordered = np.ascontiguousarray(ordered)  # numpy adds along an outer axis one by one, inside in pairs
        total = ufunc.reduce(ordered, axis=0, dtype=value.dtype)
        return [(None, total.reshape([1 if axis in axes else counts[axis] for axis in range(len(counts))]))]


def _taken(arrays: list[np.ndarray], parts: Sequence[tuple[slice, ...] | None]) -> list[np.ndarray]:
    return [array if part is None else array[part] for array, part in zip(arrays, parts)]


def _store(place: np.ndarray, value: np.ndarray, dtype: str) -> None:
    place[...] = stored(value, dtype) if dtype == "bf16" else value


class _Body:
    """A program as calls of functions on numbered values: immediates, streams, registers."""

    def __init__(self, program: Sequence[Step], immediates: Sequence[int], streams: Sequence[Stream]):
        raw = np.array(immediates, np.int32)
        self._immediates: dict[str, np.ndarray] = {
            "i32": raw,
            "f32": raw.view(np.float32),
            "i64": raw.astype(np.int64),
        }
        self._streams = streams
        self._places: dict[tuple[str, int, str], int] = {}
        self.values: list[Any] = []
        self.reads: list[tuple[int, int, str]] = []  # value, stream, its type
        self.calls: list[tuple[Callable[..., Any], list[int], int]] = []
        for step in program:
            operands = [self._operand(step, position) for position in range(len(step.sources))]
            result = self._place("register", step.dst)
            op = OPERATIONS[step.name]
            self.calls.append((partial(op.numpy, to=step.to) if op.to else op.numpy, operands, result))

    def evaluate(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The value of the last operation on the elements of the streams."""
        values = self.values.copy()
        for place, stream, dtype in self.reads:
            values[place] = widened(arrays[stream], dtype)
        value: Any = None
        for function, operands, place in self.calls:
            value = values[place] = function(*[values[each] for each in operands])
        return value

    def _operand(self, step: Step, position: int) -> int:
        """The number of an operand's value."""
        source = step.sources[position]
        if source.kind == "immediate":
            as_index = position == 0 and step.name in ("where", "lookup")
            type = "i32" if as_index else step.type
            return self._place("immediate", source.number, type, self._immediates[type][source.number])
        if source.kind == "stream" and source.number >= len(self._streams):
            raise ExecutionError(
                f"{step.name} reads stream {source.number}, which vec does not have", location="vec"
            )
        return self._place(source.kind, source.number)

    def _place(self, kind: str, number: int, type: str = "", value: Any = None) -> int:
        """The place of an immediate, a stream or a register among the values."""
        place = self._places.setdefault((kind, number, type), len(self.values))
        if place == len(self.values):
            self.values.append(value)
            if kind == "stream":
                self.reads.append((place, number, self._streams[number].dtype))
        return place
