"""Ready-made encodings for vector instructions: operand streams as items, programs as words of 32 bits.

A chip may declare its own instead, as n1 does; see `backends/npu/isa.py`.
"""

from collections.abc import Sequence
from typing import Any

from .fields import Item, operand
from .memories import Prepared
from .operations import OPERATIONS
from .vectors import Source, Step, Stream, prepare


class Flow(Item):
    """Elements over up to three dims; strides in elements, s0 is the innermost dim's. `memory` and `dtype` number
    those of the chip."""

    memory: int = operand(4, "where they are")
    dtype: int = operand(4, "their type")
    base: int = operand(24, "the first one", unit="byte address", advance=True)
    s0: int = operand(24, "innermost stride", unit="elements", signed=True)
    s1: int = operand(24, "middle stride", unit="elements", signed=True)
    s2: int = operand(24, "outermost stride", unit="elements", signed=True)


class Programs:
    """Programs of a chip with the given memories, element types and operations, at most 32 of them.

    A step is a word: from bit 0 on its operation (5 bits), the type to which casts limit (3), the result's register
    (3), and up to four operands (5 bits each), of which 0 to 7 are registers, 8 to 15 streams, 16 to 31 constants. Four
    operands take 31 bits, so that words stay positive.
    """

    def __init__(self, memories: Sequence[str], types: Sequence[str], operations: Sequence[str]):
        self.memories, self.types, self.operations = memories, types, operations

    def word(self, operation: Any) -> int:
        """The word of an operation of a body; see `compiler/stream/programs.py`."""
        found = (
            self.operations.index(operation.op)
            | self.types.index(operation.to) << 5
            | operation.register << 8
        )
        for place, (kind, number) in enumerate(operation.operands):
            found |= _BEGIN[kind] + number << 11 + 5 * place
        return found

    def step(self, word: int) -> Step:
        """What a word means; values are i32."""
        name = self.operations[word & 31]
        places = [word >> 11 + 5 * n & 31 for n in range(OPERATIONS[name].arity)]
        return Step(name, "i32", self.types[word >> 5 & 7], word >> 8 & 7, tuple(map(_source, places)))

    def flow(self, stream: Any, dtype: str) -> Flow:
        """A stream of vector work, whose elements are of `dtype`, as an item; see `compiler/stream/vectors.py`."""
        s0, s1, s2 = stream.strides
        memory, type = self.memories.index(stream.memory), self.types.index(dtype)
        return Flow(memory=memory, dtype=type, base=stream.base, s0=s0, s1=s1, s2=s2)

    def streams(self, flows: Sequence[Flow], counts: tuple[int, int, int]) -> list[Stream]:
        """Items as operands over counts, outermost first."""
        return [
            Stream(self.memories[f.memory], self.types[f.dtype], f.base, counts, (f.s2, f.s1, f.s0))
            for f in flows
        ]

    def prepare(
        self,
        words: Sequence[int],
        immediates: Sequence[int],
        streams: Sequence[Stream],
        combine: str = "none",
        initialise: bool = True,
    ) -> Prepared:
        """The effect of a program of words; see `vectors.prepare`."""
        return prepare([self.step(word) for word in words], immediates, streams, combine, initialise)


_BEGIN = {"register": 0, "stream": 8, "immediate": 16}


def _source(place: int) -> Source:
    kind = next(kind for kind, begin in reversed(_BEGIN.items()) if place >= begin)
    return Source(kind, place - _BEGIN[kind])
