"""The instruction set n1. Queues are its engines: lda, ldw, mxu, vec, sto; memories dram, spa, spw, acc.

A chip file fixes sizes and speeds; the instructions are the same on all n1 chips. Rows and columns of the array are a
property of the chip, on which only the packing of weights depends.
"""

from collections.abc import Mapping
from typing import Any

from ...runtime.sim import microcode
from ...runtime.sim.access import Access
from ...runtime.sim.copies import load_accesses, store_accesses
from ...runtime.sim.fields import Instruction, group, operand
from ...runtime.sim.isa import Isa
from ...runtime.sim.microcode import COMBINES
from ...runtime.sim.packed import Packed
from .micro import MICRO_OPS

MEMORIES = ("spa", "spw", "acc", "index")
PRODUCTS = ("i8", "bf16")
LANE_BYTES = 4
PRODUCT_BYTES = (1, 2)


class Lda(Instruction, mnemonic="lda", opcode=4, queue="lda"):
    """DRAM to activation scratchpad: n2 planes of n1 rows of n0 bytes, with rows and planes of padding around.

    Planes before1..after2 count from the first one written: destination row (i2, i1), both counted from the first
    padding row, lies at spa + i2*d2 + i1*d1; padding rows hold `fill` over and over and read nothing."""

    dram: int = operand(32, "first row in DRAM, padding left out", unit="byte address", advance=True)
    spa: int = operand(24, "first row in the scratchpad, padding included", unit="byte address", advance=True)
    n0: int = operand(20, "contiguous bytes of a row", unit="bytes", least=1)
    fill_width: int = operand(2, "bytes of `fill` that padding repeats", default=0, choices=("1", "2", "4"))
    n1: int = operand(16, "rows of a plane that are read", default=1)
    n2: int = operand(16, "planes that are read", default=1)
    s1: int = operand(32, "from row to row in DRAM", unit="bytes", signed=True, default=0)
    s2: int = operand(32, "from plane to plane in DRAM", unit="bytes", signed=True, default=0)
    d1: int = operand(24, "from row to row in the scratchpad; 0: n0", unit="bytes", default=0)
    before1: int = operand(8, "rows of padding before each plane's rows", default=0)
    d2: int = operand(
        24, "from plane to plane in the scratchpad; 0: a plane's rows times d1", unit="bytes", default=0
    )
    after1: int = operand(8, "rows of padding behind each plane's rows", default=0)
    before2: int = operand(8, "planes of padding before", default=0)
    after2: int = operand(8, "planes of padding behind", default=0)
    fill: int = operand(32, "what padding is made of, lowest byte first", default=0)

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        return load_accesses(vars(self), "dram", "spa", self.spa)


class Gather(Instruction, mnemonic="gather", opcode=5, queue="lda"):
    """DRAM to activation scratchpad: `count` rows of n0 bytes from a table, chosen by indices in the scratchpad."""

    table: int = operand(32, "row 0 of the table in DRAM", unit="byte address")
    spa: int = operand(24, "the first row's place", unit="byte address", advance=True)
    n0: int = operand(20, "bytes of a row", unit="bytes", least=1)
    width: int = operand(1, "what indices are", default=0, choices=("i32", "i64"))
    count: int = operand(16, "rows", least=1)
    index: int = operand(24, "the first index, in the scratchpad", unit="byte address", advance=True)
    d1: int = operand(24, "from row to row in the scratchpad; 0: n0", unit="bytes", default=0)
    pitch: int = operand(32, "from row to row of the table", unit="bytes")
    rows: int = operand(32, "rows of the table; an index outside it stops the chip", least=1)

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        return (
            Access("spa", False, self.index, self.count * (8 if self.width else 4)),
            Access("dram", False, self.table, (self.rows - 1) * self.pitch + self.n0),
            Access("spa", True, self.spa, self.n0, ((self.count, self.d1 or self.n0),)),
        )


class Ldw(Instruction, mnemonic="ldw", opcode=6, queue="ldw"):
    """DRAM to weight scratchpad: n2 planes of n1 rows of n0 bytes."""

    dram: int = operand(32, "first row in DRAM", unit="byte address", advance=True)
    spw: int = operand(24, "first row in the scratchpad", unit="byte address", advance=True)
    n0: int = operand(20, "contiguous bytes of a row", unit="bytes", least=1)
    n1: int = operand(16, "rows of a plane", default=1, least=1)
    n2: int = operand(16, "planes", default=1, least=1)
    s1: int = operand(32, "from row to row in DRAM", unit="bytes", signed=True, default=0)
    s2: int = operand(32, "from plane to plane in DRAM", unit="bytes", signed=True, default=0)
    d1: int = operand(24, "from row to row in the scratchpad; 0: n0", unit="bytes", default=0)
    d2: int = operand(24, "from plane to plane in the scratchpad; 0: n1 times d1", unit="bytes", default=0)

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        return load_accesses(vars(self), "dram", "spw", self.spw)


class Sto(Instruction, mnemonic="sto", opcode=7, queue="sto"):
    """Activation scratchpad to DRAM: n2 planes of n1 rows of n0 bytes."""

    dram: int = operand(32, "first row in DRAM", unit="byte address", advance=True)
    spa: int = operand(24, "first row in the scratchpad", unit="byte address", advance=True)
    n0: int = operand(20, "contiguous bytes of a row", unit="bytes", least=1)
    n1: int = operand(16, "rows of a plane", default=1, least=1)
    n2: int = operand(16, "planes", default=1, least=1)
    s1: int = operand(32, "from row to row in DRAM", unit="bytes", signed=True, default=0)
    s2: int = operand(32, "from plane to plane in DRAM", unit="bytes", signed=True, default=0)
    d1: int = operand(24, "from row to row in the scratchpad; 0: n0", unit="bytes", default=0)
    d2: int = operand(24, "from plane to plane in the scratchpad; 0: n1 times d1", unit="bytes", default=0)

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        return store_accesses(vars(self), "dram", "spa", self.spa)


class Mxu(Instruction, mnemonic="mxu", opcode=8, queue="mxu"):
    """Matrix product or convolution: for i1 < m1, i0 < m0, j < n,

    acc[c + (i1*m0 + i0)*pitch + j] = or += sum over t2 < k2, t1 < k1, t0 < k0 of
    A[a + i1*am1 + i0*am0 + t2*ak2 + t1*ak1 + t0*size] * W(t2, t1, t0, j)

    A lies in spa, `size` is its bytes an element. W is packed in spw: element (t2, t1, t0, j) at
    w + size*((((j / cols)*k2 + t2)*k1 + t1)*K0 + t0)*cols + j % cols), K0 = k0 rounded up to whole rows of the array;
    what lies in W beyond k0 and n is ignored. i8*i8 sums in i32, which wraps; bf16*bf16 is exact and sums in f32, in
    the order t2, t1, t0, rounded once an addition."""

    type: int = operand(1, "elements of A and W", default=0, choices=PRODUCTS)
    accumulate: int = operand(1, "add to what acc holds", default=0)
    mapping: int = operand(2, "which of the chip's mappings runs it; changes time only", default=0)
    m0: int = operand(16, "inner rows of the result", least=1)
    a: int = operand(24, "A in spa", unit="byte address", advance=True)
    w: int = operand(24, "W in spw", unit="byte address", advance=True)
    n: int = operand(16, "columns of the result", least=1)
    c: int = operand(20, "the result in acc", unit="lane", advance=True)
    k0: int = operand(16, "inner extent of the sum, contiguous in A", least=1)
    pitch: int = operand(16, "from row to row of the result; 0: n", unit="lanes", default=0)
    k1: int = operand(6, "middle extent of the sum", default=1, least=1)
    k2: int = operand(6, "outer extent of the sum", default=1, least=1)
    am0: int = operand(24, "from inner row to inner row of A", unit="bytes")
    am1: int = operand(24, "from outer row to outer row of A", unit="bytes", default=0)
    m1: int = operand(16, "outer rows of the result", default=1, least=1)
    ak1: int = operand(24, "in A, along the middle extent", unit="bytes", default=0)
    ak2: int = operand(24, "in A, along the outer extent", unit="bytes", default=0)

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        """`context` has the array's `rows` and `cols`."""
        return packed(vars(self), context["rows"], context["cols"]).accesses(self.accumulate)


def packed(field: Mapping[str, int], rows: int, cols: int) -> Packed:
    """The product of an `mxu` on an array of so many rows and columns, by the instruction's fields."""
    places = ("spa", field["a"]), ("spw", field["w"]), ("acc", LANE_BYTES * field["c"])
    pitch = LANE_BYTES * (field["pitch"] or field["n"])
    return Packed(field, *places, PRODUCT_BYTES[field["type"]], pitch, rows, cols)


class Micro(microcode.Micro):
    """One operation of a vector program: dst = op(a, b, c, d, e), computed in `type`.

    A source is a register, a stream of the vec instruction (from 1 on) or an immediate of the program, read as `type`;
    an immediate in i64 is extended by its sign."""

    op: int = operand(6, "the operation", choices=tuple(MICRO_OPS))


class Program(Instruction, mnemonic="program", opcode=9, queue="vec"):
    """Defines what `vec` computes an element; stays until it is redefined."""

    number: int = operand(4, "which of the sixteen programs")
    immediates: tuple[int, ...] = group(None, 16, "constants, the bits of i32 or f32", default=())
    micros: tuple[Micro, ...] = group(Micro, 32, "operations; the last one's result is stored", default=())


class View(microcode.View):
    """A stream of a vec instruction: the element of (i4, i3, i2, i1, i0) lies at base + the sum of i times stride.

    In `index` nothing is read: the element is that very sum as an i32, its base a two's complement number."""

    memory: int = operand(2, "which memory", choices=MEMORIES)
    base: int = operand(
        24, "the first element: bytes in spa and spw, lanes in acc", unit="byte address", advance=True
    )


MICROCODE = microcode.Microcode(Micro, View, MICRO_OPS, MEMORIES, {"acc": LANE_BYTES})


class Vec(Instruction, mnemonic="vec", opcode=10, queue="vec"):
    """Runs a program on every element of up to five dimensions; stream 0 is the destination, 1 to 7 the sources.

    With `combine`, results are combined over the dimensions in which the destination's stride is 0, onto what the
    destination holds unless `initialise` is set. Without it, each element of the destination is written once."""

    number: int = operand(4, "the program")
    combine: int = operand(2, "how results are combined", default=0, choices=COMBINES)
    initialise: int = operand(1, "start from the combination's identity, not from the destination", default=1)
    n0: int = operand(16, "innermost extent, along the lanes", least=1)
    n1: int = operand(16, "extent", default=1, least=1)
    n2: int = operand(16, "extent", default=1, least=1)
    n3: int = operand(16, "extent", default=1, least=1)
    n4: int = operand(9, "outermost extent", default=1, least=1)
    streams: tuple[View, ...] = group(View, 8, "the destination, then the sources", default=())

    def accesses(self, context: Any = None) -> tuple[Access, ...]:
        counts = (self.n0, self.n1, self.n2, self.n3, self.n4)
        return MICROCODE.accesses(self.streams, counts, self.combine, self.initialise)


def context(chip: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `accesses` needs to know of a chip record: the array's rows and columns."""
    return chip["engines"]["mxu"]


N1 = Isa("n1", (Lda, Gather, Ldw, Sto, Mxu, Program, Vec))
