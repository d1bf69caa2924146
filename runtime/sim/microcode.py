"""An encoding for programmable vector engines: operations of 64 bits, operand streams of 128 over five dimensions.

A chip derives from `Micro` and `View` to name its operations and memories, and binds both in a `Microcode`. What an
engine that is asked for less may use instead stands in `programs.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Generic, TypeVar

import numpy as np

from ..records import dataclass
from .access import Access
from .fields import Item, operand
from .numbers import DTYPES
from .operations import TYPES, VALUE_TYPES, Operation
from .stream import Columns
from .vectors import Source, Step, Stream

SOURCES = ("none", "register", "stream", "immediate")
COMBINES = ("none", "sum", "max", "min")
INDEX = "index"
"""The name of the memory of streams that read nothing."""

_BASE_BITS = 24


class Micro(Item):
    """One operation of a vector program: dst = op(a, b, c, d, e), computed in `type`.

    A source is a register, a stream of the instruction (from 1 on) or an immediate of the program, read as `type`;
    an immediate in i64 is extended by its sign."""

    op: int = operand(6, "the operation")
    type: int = operand(2, "what it computes in", choices=VALUE_TYPES)
    to: int = operand(3, "to what `cast`, `requantize` and `rescale` limit their result", choices=TYPES)
    dst: int = operand(4, "the register that gets the result")
    a_from: int = operand(2, "where operand a is", default=0, choices=SOURCES)
    a: int = operand(4, "its number", default=0)
    b_from: int = operand(2, "where operand b is", default=0, choices=SOURCES)
    b: int = operand(4, "its number", default=0)
    c_from: int = operand(2, "where operand c is", default=0, choices=SOURCES)
    c: int = operand(4, "its number", default=0)
    d_from: int = operand(2, "where operand d is", default=0, choices=SOURCES)
    d: int = operand(4, "its number", default=0)
    e_from: int = operand(2, "where operand e is", default=0, choices=SOURCES)
    e: int = operand(4, "its number", default=0)


class View(Item):
    """A stream of a vector instruction: the element of (i4, i3, i2, i1, i0) lies at base + the sum of i times stride.

    In `index` nothing is read: the element is that very sum as an i32, its base a two's complement number."""

    memory: int = operand(2, "which memory")
    dtype: int = operand(3, "the elements' type", choices=TYPES)
    base: int = operand(_BASE_BITS, "the first element", unit="byte address", advance=True)
    table: int = operand(
        1, "a table for `lookup`: s0 is the number of its elements, other strides are 0", default=0
    )
    s0: int = operand(17, "stride of i0", unit="elements", signed=True, default=0)
    s1: int = operand(17, "stride of i1", unit="elements", signed=True, default=0)
    s2: int = operand(20, "stride of i2", unit="elements", signed=True, default=0)
    s3: int = operand(22, "stride of i3", unit="elements", signed=True, default=0)
    s4: int = operand(22, "stride of i4", unit="elements", signed=True, default=0)


_Micro = TypeVar("_Micro", bound=Micro)
_View = TypeVar("_View", bound=View)


@dataclass(frozen=True)
class Microcode(Generic[_Micro, _View]):
    """A chip's micro-operations and views. `operations` are in the order of their numbers, `memories` in that of
    theirs, `units` gives the bytes of a unit of `base` where that is not one; `streams` of an instruction at most."""

    micro: type[_Micro]
    view: type[_View]
    operations: Mapping[str, Operation]
    memories: Sequence[str]
    units: Mapping[str, int] = field(default_factory=dict)
    streams: int = 8

    def operation(self, name: str, dst: int, *sources: Source, type: str = "i32", to: str = "i32") -> _Micro:
        """register `dst` = name(sources...), computed in `type`; ValueError for wrong sources or types."""
        op = self.operations[name]
        if len(sources) != op.arity or type not in op.types:
            raise ValueError(
                f"{name} takes {op.arity} sources of {' or '.join(op.types)}, got {len(sources)} of {type}"
            )
        fields: dict[str, int] = {}
        for letter, source in zip("abcde", sources):
            fields |= {f"{letter}_from": SOURCES.index(source.kind), letter: source.number}
        number = list(self.operations).index(name)
        return self.micro(op=number, type=VALUE_TYPES.index(type), to=TYPES.index(to), dst=dst, **fields)

    # --- what code generation writes ---------------------------------------------------------------------------

    def encoded(self, operation: Any) -> _Micro:
        """An operation of a body as an item; see `compiler/stream/programs.py`."""
        operands: dict[str, int] = {}
        for letter, (kind, number) in zip("abcde", operation.operands):
            operands |= {f"{letter}_from": SOURCES.index(kind), letter: number}
        return self.micro(
            op=list(self.operations).index(operation.op),
            type=VALUE_TYPES.index(operation.type),
            to=TYPES.index(operation.to) if operation.to in TYPES else 0,
            dst=operation.register,
            **operands,
        )

    def viewed(self, stream: Any, dtype: str) -> _View:
        """A stream of vector work, whose elements are of `dtype`, as an item; see `compiler/stream/vectors.py`."""
        memory = stream.memory or INDEX
        strides = (stream.table, 0, 0, 0, 0) if stream.table else stream.strides
        return self.view(
            memory=self.memories.index(memory),
            dtype=TYPES.index(dtype),
            base=stream.base // self.units.get(memory, 1) & (1 << _BASE_BITS) - 1,
            table=int(stream.table > 0),
            **{f"s{axis}": stride for axis, stride in enumerate(strides)},
        )

    # --- what decoded items mean -------------------------------------------------------------------------------

    def stream(self, view: View, counts: tuple[int, ...]) -> Stream:
        """The operand over counts n4 to n0."""
        name = self.memories[view.memory]
        strides = (view.s4, view.s3, view.s2, view.s1, view.s0)
        table = view.s0 if view.table else 0
        memory = "" if name == INDEX else name
        return Stream(memory, TYPES[view.dtype], self._base(view), counts, strides, table)

    def bases(self, views: Columns) -> list[int]:
        """Where streams begin: byte addresses, or in `index` numbers."""
        base = views["base"]
        found = base * np.array([self.units.get(name, 1) for name in self.memories])[views["memory"]]
        if INDEX in self.memories:
            numbers = views["memory"] == self.memories.index(INDEX)
            found = np.where(numbers, _signed(base), found)
        return found.tolist()

    def accesses(
        self, views: Sequence[View], counts: tuple[int, ...], combine: int, initialise: int
    ) -> tuple[Access, ...]:
        """What an instruction touches over counts n0 to n4; view 0 is the destination."""
        target = self._access(views[0], counts)._replace(write=True)
        reads = tuple(self._access(view, counts) for view in views[1:] if self.memories[view.memory] != INDEX)
        if combine and not initialise:
            reads = (*reads, target._replace(write=False))
        return (*reads, target)

    def _access(self, view: View, counts: tuple[int, ...]) -> Access:
        size = DTYPES[TYPES[view.dtype]].itemsize
        memory, base = self.memories[view.memory], self._base(view)
        if view.table:
            return Access(memory, False, base, size * view.s0)
        strides = (view.s0, view.s1, view.s2, view.s3, view.s4)
        dims = tuple((count, size * stride) for count, stride in zip(counts, strides))
        return Access(memory, False, base, size, dims)

    def _base(self, view: View) -> int:
        name = self.memories[view.memory]
        return _signed(view.base) if name == INDEX else view.base * self.units.get(name, 1)

    def steps(self, micros: Sequence[Micro]) -> tuple[Step, ...]:
        """A program's operations, sources in order."""
        names = tuple(self.operations)
        found = []
        for micro in micros:
            name = names[micro.op]
            kinds = (micro.a_from, micro.b_from, micro.c_from, micro.d_from, micro.e_from)
            numbers = (micro.a, micro.b, micro.c, micro.d, micro.e)
            sources = tuple(Source(SOURCES[kind], number) for kind, number in zip(kinds, numbers))
            kept = sources[: self.operations[name].arity]
            found.append(Step(name, VALUE_TYPES[micro.type], TYPES[micro.to], micro.dst, kept))
        return tuple(found)

    # --- what is wrong with a program --------------------------------------------------------------------------

    def faults(self, micros: Sequence[Micro], immediates: Sequence[int]) -> list[str]:
        """Sources that are not there, registers that are read before they are written or hold another type than the
        operation's."""
        found = []
        held: dict[int, str] = {}
        if not micros:
            found.append("it has no operations")
        for number, step in enumerate(self.steps(micros)):
            where = f"operation {number}, {step.name}"
            op = self.operations[step.name]
            if step.type not in op.types:
                found.append(f"{where}, computes in {step.type}, expected {' or '.join(op.types)}")
            for position, source in enumerate(step.sources):
                faults = self._source_faults(len(immediates), step, position, source, held)
                found += [f"{where}, {fault}" for fault in faults]
            held[step.dst] = self._result_type(step)
        return found

    def _result_type(self, step: Step) -> str:
        """i32, f32 or i64; of a lookup "", since the table says."""
        if step.name == "lookup":
            return ""
        result = self.operations[step.name].result
        if result == "to":
            return {"f32": "f32", "bf16": "f32", "i64": "i64"}.get(step.to, "i32")
        return result or step.type

    def _source_faults(
        self, immediates: int, step: Step, position: int, source: Source, held: Mapping[int, str]
    ) -> list[str]:
        wanted = "i32" if position == 0 and step.name in ("where", "lookup") else step.type
        if source.kind == "immediate" and source.number >= immediates:
            return [f"reads immediate {source.number} of {immediates}"]
        if source.kind == "stream" and not 1 <= source.number < self.streams:
            return [f"reads stream {source.number}, expected 1 to {self.streams - 1}"]
        if source.kind == "none":
            return [f"lacks operand {'abcde'[position]}"]
        if source.kind == "register" and source.number not in held:
            return [f"reads register {source.number} before anything is written to it"]
        if source.kind == "register" and held[source.number] not in (wanted, ""):
            return [f"reads register {source.number} as {wanted}, which holds {held[source.number]}"]
        return []


def _signed(base: Any) -> Any:
    """A two's complement number of the bits of a base."""
    return base - (base >> _BASE_BITS - 1 << _BASE_BITS)
