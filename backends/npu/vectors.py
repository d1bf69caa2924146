"""The vector unit's values: a program evaluated on whole numpy views, one call a micro-operation."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from ...runtime.errors import ExecutionError
from ...runtime.sim.memories import Memories, Prepared
from ...runtime.sim.numbers import DTYPES, stored, widened
from .isa import COMBINES, ITEM_BYTES, LANE_BYTES, MEMORIES, Program, Vec, View
from .micro import MICRO_OPS, TYPES
from .programs import Source, Step, faults, steps

_REDUCE = {"sum": np.add, "max": np.maximum, "min": np.minimum}
_MOST_TURNS = 64  # of a loop over reduced dimensions: more are reduced by numpy after one evaluation
_DIMS = 5
_BASE_BITS = next(each.bits for each in View.operands if each.name == "base")


class _Stream:
    """A view of a memory: dimensions outermost first, those with stride 0 of extent 1."""

    def __init__(self, view: View, counts: Sequence[int]):
        self.memory = MEMORIES[view.memory]
        self.dtype = TYPES[view.dtype]
        self.numpy = DTYPES[self.dtype]
        self.base = view.base * LANE_BYTES if self.memory == "acc" else view.base
        self.index = self.memory == "index"
        size = 1 if self.index else ITEM_BYTES[self.dtype]
        if view.table:
            self.shape: tuple[int, ...] = (view.s0,)
            self.strides: tuple[int, ...] = (size,)
        else:
            strides = (view.s4, view.s3, view.s2, view.s1, view.s0)
            self.shape = tuple(count if stride else 1 for count, stride in zip(counts, strides))
            self.strides = tuple(size * stride for stride in strides)

    def at(self, memories: Memories, turn: dict[int, int] | None = None) -> np.ndarray:
        """The elements; with `turn`, only those at the given positions of some dimensions, which get extent 1."""
        base, shape = self.base, self.shape
        if self.index:
            return self._places(turn or {})
        if turn and len(shape) == _DIMS:
            base += sum(self.strides[axis] * index for axis, index in turn.items() if shape[axis] > 1)
            shape = tuple(1 if axis in turn else extent for axis, extent in enumerate(shape))
        return np.ndarray(shape, self.numpy, memories.near[self.memory], base, self.strides)

    def _places(self, turn: dict[int, int]) -> np.ndarray:
        """The element's own number, for a stream that reads no memory."""
        signed = self.base - (self.base >> _BASE_BITS - 1 << _BASE_BITS)
        total = np.full((1,) * _DIMS, signed, np.int32)
        for axis, (extent, stride) in enumerate(zip(self.shape, self.strides)):
            if axis in turn:
                total = total + np.int32(stride * turn[axis] * (extent > 1))
            elif extent > 1:
                line = np.arange(extent, dtype=np.int32) * np.int32(stride)
                total = total + line.reshape([-1 if each == axis else 1 for each in range(_DIMS)])
        return total


def prepare(vec: Vec, program: Program | None) -> Prepared:
    """The effect of one `vec` under the program that holds when it starts."""
    if program is None:
        raise ExecutionError(f"program {vec.number} is not defined", location="vec")
    wrong = faults(program)
    if wrong:
        raise ExecutionError(wrong[0], location=f"program {vec.number}")
    counts = (vec.n4, vec.n3, vec.n2, vec.n1, vec.n0)
    streams = [_Stream(view, counts) for view in vec.streams]
    body = _Body(steps(program), program.immediates, streams)
    combine = COMBINES[vec.combine]
    target = streams[0]
    reduced = [axis for axis in range(_DIMS) if counts[axis] > 1 and target.shape[axis] == 1]
    if combine == "none":

        def run(memories: Memories) -> None:
            target.at(memories)[...] = stored(body.evaluate(memories, None), target.dtype)

        return run
    ufunc, initialise = _REDUCE[combine], bool(vec.initialise)

    def run_combined(memories: Memories) -> None:
        out = target.at(memories)
        total = body.combined(memories, ufunc, counts, reduced)
        if not initialise:
            total = ufunc(widened(out, target.dtype), total)
        out[...] = stored(total, target.dtype)

    return run_combined


class _Body:
    """A program bound to the streams of an instruction."""

    def __init__(self, program: tuple[Step, ...], immediates: tuple[int, ...], streams: list[_Stream]):
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
        kept = [axis for axis in range(_DIMS) if axis not in axes]
        ordered = value.transpose(*axes, *kept).reshape(turns, *(counts[axis] for axis in kept))
        if value.dtype.kind == "f":
            ordered = np.ascontiguousarray(
                ordered
            )  # numpy adds along an outer axis one by one, inside in pairs
        total = ufunc.reduce(ordered, axis=0, dtype=value.dtype)
        return total.reshape([1 if axis in axes else counts[axis] for axis in range(_DIMS)])

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
                    op = MICRO_OPS[step.name]
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
