"""Values of vector engines: a program evaluated on whole numpy views, one call an operation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from ..errors import ExecutionError
from .access import Access
from .memories import Memories, Prepared
from .numbers import DTYPES, stored, widened
from .operations import OPERATIONS

_REDUCE = {"sum": np.add, "max": np.maximum, "min": np.minimum}
_MOST_TURNS = 64  # of a loop over reduced dimensions: more are reduced by numpy after one evaluation


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

    def at(self, memories: Memories, turn: dict[int, int] | None = None) -> np.ndarray:
        """The elements; with `turn`, only those at the given positions of some dimensions, which get extent 1."""
        base, shape = self.base, self.shape
        if not self.memory:
            return self._places(turn or {})
        if turn and not self.table:
            base += sum(self.strides[axis] * index for axis, index in turn.items() if shape[axis] > 1)
            shape = tuple(1 if axis in turn else extent for axis, extent in enumerate(shape))
        return np.ndarray(shape, self._numpy, memories.near[self.memory], base, self.strides)

    def _places(self, turn: dict[int, int]) -> np.ndarray:
        """The element's own number, for a stream that reads no memory."""
        dims = len(self.counts)
        total = np.full((1,) * dims, self.base, np.int32)
        for axis, (extent, stride) in enumerate(zip(self.shape, self.strides)):
            if axis in turn:
                total = total + np.int32(stride * turn[axis] * (extent > 1))
            elif extent > 1:
                line = np.arange(extent, dtype=np.int32) * np.int32(stride)
                total = total + line.reshape([-1 if each == axis else 1 for each in range(dims)])
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
    target = streams[0]
    counts = target.counts
    body = _Body(tuple(program), tuple(immediates), list(streams))
    reduced = [axis for axis, count in enumerate(counts) if count > 1 and target.shape[axis] == 1]
    if combine == "none":

        def run(memories: Memories) -> None:
            target.at(memories)[...] = stored(body.evaluate(memories, None), target.dtype)

        return run
    ufunc = _REDUCE[combine]

    def run_combined(memories: Memories) -> None:
        out = target.at(memories)
        with np.errstate(all="ignore"):
            total = body.combined(memories, ufunc, counts, reduced)
            if not initialise:
                total = ufunc(widened(out, target.dtype), total)
        out[...] = stored(total, target.dtype)

    return run_combined


class _Body:
    """A program bound to the streams of an instruction."""

    def __init__(self, program: tuple[Step, ...], immediates: tuple[int, ...], streams: list[Stream]):
        self.steps, self.streams = program, streams
        raw = np.array(immediates, np.int32)
        self.immediates = {
            "i32": list(raw),
            "f32": list(raw.view(np.float32)),
            "i64": list(raw.astype(np.int64)),
        }

    def combined(self, memories: Memories, ufunc: Any, counts: Sequence[int], axes: list[int]) -> np.ndarray:
        """Results combined over `axes`, which keep extent 1: outer dimensions first, each in the order of its index."""
        turns = int(np.prod([counts[axis] for axis in axes], dtype=int))
        if turns <= _MOST_TURNS:
            total: Any = None
            for index in product(*(range(counts[axis]) for axis in axes)):
                value = self.evaluate(memories, dict(zip(axes, index)))
                total = value if total is None else ufunc(total, value)
            return total
        value = self.evaluate(memories, None)
        value = np.broadcast_to(value, counts)
        kept = [axis for axis in range(len(counts)) if axis not in axes]
        ordered = value.transpose(*axes, *kept).reshape(turns, *(counts[axis] for axis in kept))
        if value.dtype.kind == "f":
            ordered = np.ascontiguousarray(
                ordered
            )  # numpy adds along an outer axis one by one, inside in pairs
        total = ufunc.reduce(ordered, axis=0, dtype=value.dtype)
        return total.reshape([1 if axis in axes else counts[axis] for axis in range(len(counts))])

    def evaluate(self, memories: Memories, turn: dict[int, int] | None) -> np.ndarray:
        """The value of the last operation."""
        registers: dict[int, Any] = {}
        value: Any = None
        with np.errstate(all="ignore"):
            for step in self.steps:
                operands = [
                    self._operand(source, step, position, registers, memories, turn)
                    for position, source in enumerate(step.sources)
                ]
                if step.name == "lookup":
                    value = self._lookup(step, operands[0], memories)
                else:
                    op = OPERATIONS[step.name]
                    value = op.numpy(*operands, step.to) if op.to else op.numpy(*operands)
                    if value.dtype == np.bool_:
                        value = value.astype(np.int32)
                registers[step.dst] = value
        return value

    def _operand(
        self,
        source: Source,
        step: Step,
        position: int,
        registers: dict[int, Any],
        memories: Memories,
        turn: dict[int, int] | None,
    ) -> Any:
        if source.kind == "register":
            return registers[source.number]
        if source.kind == "immediate":
            as_index = position == 0 and step.name in ("where", "lookup")
            return self.immediates["i32" if as_index else step.type][source.number]
        if source.number >= len(self.streams):
            raise ExecutionError(
                f"{step.name} reads stream {source.number}, which vec does not have", location="vec"
            )
        stream = self.streams[source.number]
        if step.name == "lookup" and position == 1:
            return stream
        return widened(stream.at(memories, turn), stream.dtype)

    def _lookup(self, step: Step, index: Any, memories: Memories) -> np.ndarray:
        stream = self.streams[step.sources[1].number]
        table = stream.at(memories)
        chosen = np.asarray(index)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(table)):
            raise ExecutionError(
                f"index {chosen.min() if chosen.min() < 0 else chosen.max()} is outside a table of {len(table)}",
                location="lookup",
            )
        return widened(table[chosen], stream.dtype)
