"""The instruction set f1. Queues are its engines: load, weights, conv, misc, save; memories dram, fm, wgt, psum.

A chip file fixes the parallelism of the arrays, the memories and the part that holds them; the instructions are the
same on all overlays of the family. Elements are integers: i8 products, programs in i32 and i64.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from ...runtime.sim import microcode
from ...runtime.sim.access import Access
from ...runtime.sim.copies import load_accesses, store_accesses
from ...runtime.sim.fields import Instruction, group, operand
from ...runtime.sim.isa import Isa
from ...runtime.sim.microcode import COMBINES
from ...runtime.sim.operations import OPERATIONS
from ...runtime.sim.packed import Packed
from ...runtime.sim.vectors import Source, Step

MEMORIES = ("fm", "wgt", "psum", "index")
VALUES = ("i32", "i64")
"""What programs compute in."""

MICRO_OPS = {
    name: replace(OPERATIONS[name], types=tuple(t for t in OPERATIONS[name].types if t in VALUES))
    for name in (
        *("copy", "cast", "neg", "abs", "add", "sub", "mul", "mac", "max", "min"),
        *("bit_and", "bit_or", "bit_xor", "shift_left", "shift_right", "lt", "le", "eq", "where"),
        *("requantize", "rescale", "scaled", "lookup", "div", "isqrt"),
    )
}
"""The operations of programs, in the order of their numbers."""


class Copy(Instruction, mnemonic="copy", opcode=0):
    """What copies share: n2 planes of n1 rows of n0 bytes between DRAM and a scratchpad."""

    dram: int = operand(32, "the first row in DRAM, padding left out", unit="byte address", advance=True)
    near: int = operand(24, "the first row in the scratchpad", unit="byte address", advance=True)
    n0: int = operand(20, "contiguous bytes of a row", unit="bytes", least=1)
    n1: int = operand(16, "rows of a plane", default=1)
    n2: int = operand(12, "planes", default=1)
    s1: int = operand(28, "from row to row in DRAM", unit="bytes", default=0)
    d1: int = operand(20, "from row to row in the scratchpad; 0: n0", unit="bytes", default=0)
    s2: int = operand(28, "from plane to plane in DRAM", unit="bytes", default=0)
    d2: int = operand(
        20, "from plane to plane in the scratchpad; 0: its rows times d1", unit="bytes", default=0
    )

    memory: ClassVar[str] = "fm"

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        return load_accesses(vars(self), "dram", self.memory, self.near)


class Load(Copy, mnemonic="load", opcode=4, queue="load"):
    """DRAM to feature maps, rows and planes of `fill` around them, which read nothing.

    The row (i2, i1), both counted from the first one with padding, goes to near + i2*d2 + i1*d1."""

    before1: int = operand(8, "rows of padding before each plane's rows", default=0)
    after1: int = operand(8, "rows of padding behind each plane's rows", default=0)
    before2: int = operand(8, "planes of padding before", default=0)
    after2: int = operand(8, "planes of padding behind", default=0)
    fill: int = operand(8, "each byte of padding", default=0)


class Weights(Copy, mnemonic="weights", opcode=5, queue="weights"):
    """DRAM to weights, packed as `conv` reads them."""

    memory = "wgt"


class Save(Copy, mnemonic="save", opcode=6, queue="save"):
    """Feature maps to DRAM."""

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        return store_accesses(vars(self), "dram", self.memory, self.near)


class Conv(Instruction, mnemonic="conv", opcode=7, queue="conv"):
    """Convolution or matrix product in i8: for m1 lines of m0 pixels and n output channels,

    psum[c + (i1*m0 + i0)*pitch + 4*j] = or += sum over t2 < k2, t1 < k1, t0 < k0 of
    fm[a + i1*am1 + i0*am0 + t2*ak2 + t1*ak1 + t0] * W(t2, t1, t0, j)

    t0 runs along input channels, t1 and t2 over the window. W is packed in wgt: element (t2, t1, t0, j) lies at
    w + ((((j / cols)*k2 + t2)*k1 + t1)*K0 + t0)*cols + j % cols, K0 = k0 rounded up to whole `rows`; `rows` and `cols`
    are the array's parallel input and output channels, `pixels` of a line it does at once. Sums are i32 and wrap."""

    accumulate: int = operand(1, "add to what psum holds", default=0)
    m0: int = operand(16, "pixels of a line", least=1)
    a: int = operand(24, "the first input", unit="byte address", advance=True)
    w: int = operand(24, "the first weight", unit="byte address", advance=True)
    n: int = operand(16, "output channels", least=1)
    c: int = operand(24, "the first sum", unit="byte address", advance=True)
    k0: int = operand(16, "input channels", least=1)
    k1: int = operand(6, "columns of the window", default=1, least=1)
    k2: int = operand(6, "rows of the window", default=1, least=1)
    m1: int = operand(16, "lines", default=1, least=1)
    am0: int = operand(22, "from pixel to pixel", unit="bytes")
    am1: int = operand(22, "from line to line", unit="bytes", default=0)
    ak1: int = operand(22, "along a row of the window", unit="bytes", default=0)
    ak2: int = operand(22, "from row to row of the window", unit="bytes", default=0)
    pitch: int = operand(18, "from pixel to pixel of psum", unit="bytes", least=4)

    def packed(self, context: Any) -> Packed:
        """`context` has the array's `rows` and `cols`."""
        places = ("fm", self.a), ("wgt", self.w), ("psum", self.c)
        return Packed(vars(self), *places, 1, self.pitch, context["rows"], context["cols"])

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        return self.packed(context).accesses(self.accumulate)


class Micro(microcode.Micro):
    """One operation of a program: dst = op(a, b, c, d, e), computed in `type`.

    A source is a register, a stream of the instruction (from 1 on) or an immediate, read as `type`; an immediate in
    i64 is extended by its sign."""

    op: int = operand(6, "the operation", choices=tuple(MICRO_OPS))


class View(microcode.View):
    """A stream: the element of (i4, i3, i2, i1, i0) lies at base + the sum of i times stride.

    In `index` nothing is read: the element is that very sum as an i32, its base a two's complement number."""

    memory: int = operand(2, "which memory", choices=MEMORIES)


MICROCODE = microcode.Microcode(Micro, View, MICRO_OPS, MEMORIES)


MULTIPLY = (Step("mul", "i32", "i32", 0, (Source("stream", 1), Source("stream", 2))),)
TAKE = (Step("copy", "i32", "i32", 0, (Source("stream", 1),)),)


class Misc(Instruction, ABC, mnemonic="misc", opcode=0):
    """What the instructions of the misc engine share: five extents, streams over them, a program, a combination."""

    n0: int = operand(16, "innermost extent, along the lanes", least=1)
    n1: int = operand(16, "extent", default=1, least=1)
    n2: int = operand(16, "extent", default=1, least=1)
    n3: int = operand(16, "extent", default=1, least=1)
    n4: int = operand(9, "outermost extent", default=1, least=1)
    initialise: int = operand(1, "combine anew, not onto what stream 0 holds", default=1)
    streams: tuple[View, ...] = group(View, 8, "the destination, then the sources", default=())

    @abstractmethod
    def program(self) -> tuple[tuple[Step, ...], tuple[int, ...]]:
        """Operations and immediates."""

    @abstractmethod
    def combined(self) -> int:
        """How results are combined, a number of `COMBINES`."""

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        counts = (self.n0, self.n1, self.n2, self.n3, self.n4)
        return MICROCODE.accesses(self.streams, counts, self.combined(), self.initialise)


class Depthwise(Misc, mnemonic="depthwise", opcode=8, queue="misc"):
    """Sums of products channel by channel: stream 0 = or += stream 1 * stream 2, summed over the dimensions in which
    stream 0 has stride 0, in i32, which wraps."""

    def program(self) -> tuple[tuple[Step, ...], tuple[int, ...]]:
        return MULTIPLY, ()

    def combined(self) -> int:
        return COMBINES.index("sum")


class Pool(Misc, mnemonic="pool", opcode=9, queue="misc"):
    """Windows of stream 1 combined into stream 0, over the dimensions in which stream 0 has stride 0, in i32."""

    combine: int = operand(2, "how", least=1, choices=COMBINES)

    def program(self) -> tuple[tuple[Step, ...], tuple[int, ...]]:
        return TAKE, ()

    def combined(self) -> int:
        return self.combine


class Elementwise(Misc, mnemonic="elementwise", opcode=10, queue="misc"):
    """Runs the program that it carries on every element; stream 0 is the destination, 1 to 7 are sources, the last
    operation gives what is stored. With `combine`, results are combined as `pool` does."""

    combine: int = operand(2, "how results are combined", default=0, choices=COMBINES)
    immediates: tuple[int, ...] = group(None, 16, "constants", default=())
    micros: tuple[Micro, ...] = group(Micro, 24, "operations", default=())

    def program(self) -> tuple[tuple[Step, ...], tuple[int, ...]]:
        return MICROCODE.steps(self.micros), self.immediates

    def combined(self) -> int:
        return self.combine


def context(chip: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `accesses` needs to know of a chip record: the array's parallel channels."""
    return chip["engines"]["conv"]


F1 = Isa("f1", (Load, Weights, Save, Conv, Depthwise, Pool, Elementwise))
