"""tarn: a chip for int8 networks on isthmus's accelerator kit. Its instructions, how kernels become them, what they do."""

from math import ceil

import numpy as np

from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.stream.backend import StreamBackend
from isthmus.compiler.stream.instructions import Instructions
from isthmus.compiler.stream.programs import Machine
from isthmus.compiler.stream.writer import Limits, StreamWriter
from isthmus.runtime.sim.access import Access
from isthmus.runtime.sim.copies import prepare_load, prepare_store
from isthmus.runtime.sim.costs import collect, multiplication, transfer
from isthmus.runtime.sim.device import Model, SimulatedDevice
from isthmus.runtime.sim.fields import Instruction, Item, group, operand
from isthmus.runtime.sim.isa import Isa
from isthmus.runtime.sim.products import View, prepare

MEMORIES, TYPES, COMBINES = ("pad", "taps", "sums"), ("i8", "u8", "i32"), ("none", "sum", "max", "min")
DTYPES = {"i8": np.dtype("i1"), "u8": np.dtype("u1"), "i32": np.dtype("<i4")}
LIMITS = {name: (np.iinfo(dtype).min, np.iinfo(dtype).max) for name, dtype in DTYPES.items()}
REGISTER, STREAM, CONSTANT = 0, 8, 16  # where registers, source streams and constants begin among operands


class Fetch(Instruction, mnemonic="fetch", opcode=8, queue="fetch"):
    """DRAM to a scratchpad: n1 rows of n0 bytes, rows of padding around them."""
    into: int = operand(1, "the scratchpad", choices=MEMORIES[:2])
    near: int = operand(20, "first row there, padding included", unit="byte address", advance=True)
    dram: int = operand(32, "first row that is read", unit="byte address", advance=True)
    n0: int = operand(16, "bytes of a row", unit="bytes", least=1)
    n1: int = operand(16, "rows that are read", default=1)
    s1: int = operand(24, "from row to row in DRAM", unit="bytes", default=0)
    d1: int = operand(16, "from row to row in the scratchpad; 0: n0", unit="bytes", default=0)
    before1: int = operand(8, "rows of padding before", default=0)
    after1: int = operand(8, "rows of padding behind", default=0)
    fill: int = operand(8, "what padding is made of", default=0)

    def accesses(self, context=None):
        rows = ((self.before1 + self.n1 + self.after1, self.d1 or self.n0),)
        write = Access(MEMORIES[self.into], True, self.near, self.n0, rows)
        return (*[Access("dram", False, self.dram, self.n0, ((self.n1, self.s1),))] * (self.n1 > 0), write)


class Put(Instruction, mnemonic="put", opcode=9, queue="put"):
    """The pad to DRAM: n1 rows of n0 bytes."""
    near: int = operand(20, "first row in the pad", unit="byte address", advance=True)
    dram: int = operand(32, "first row in DRAM", unit="byte address", advance=True)
    n0: int = operand(16, "bytes of a row", unit="bytes", least=1)
    n1: int = operand(16, "rows", default=1)
    s1: int = operand(24, "from row to row in DRAM", unit="bytes", default=0)
    d1: int = operand(16, "from row to row in the pad; 0: n0", unit="bytes", default=0)

    def accesses(self, context=None):
        read = Access("pad", False, self.near, self.n0, ((self.n1, self.d1 or self.n0),))
        return read, Access("dram", True, self.dram, self.n0, ((self.n1, self.s1),))


class Dot(Instruction, mnemonic="dot", opcode=10, queue="array"):
    """sums[i, j] = or += sum over t < k of pad[i, t] * taps[j / cols, t, j % cols], for i < m, j < n; i8 times i8."""
    accumulate: int = operand(1, "add to what sums holds", default=0)
    a: int = operand(20, "row 0 in the pad", unit="byte address", advance=True)
    w: int = operand(20, "the first tile of columns", unit="byte address", advance=True)
    c: int = operand(20, "the first sum", unit="byte address", advance=True)
    m: int = operand(16, "rows", least=1)
    n: int = operand(12, "columns", least=1)
    k: int = operand(16, "terms", least=1)
    step: int = operand(16, "from row to row in the pad", unit="bytes")
    tile: int = operand(20, "from one tile of columns to the next", unit="bytes")
    pitch: int = operand(16, "from row to row of sums", unit="bytes")

    def accesses(self, context=None):
        a = Access("pad", False, self.a, self.k, ((self.m, self.step),))
        run = -(-self.k // context["rows"]) * context["rows"] * context["cols"]
        w = Access("taps", False, self.w, run, ((-(-self.n // context["cols"]), self.tile),))
        c = Access("sums", True, self.c, 4 * self.n, ((self.m, self.pitch),))
        return (a, w, *[c._replace(write=False)] * self.accumulate, c)


class Stream(Item):
    """Elements of three dims, strides in elements."""
    memory: int = operand(2, "where", choices=MEMORIES)
    dtype: int = operand(2, "their type", choices=TYPES)
    base: int = operand(20, "the first one", unit="byte address", advance=True)
    s0: int = operand(20, "stride of the innermost dim", signed=True)
    s1: int = operand(20, "stride", signed=True)
    s2: int = operand(20, "stride of the outermost dim", signed=True)

    def view(self, counts):
        """(memory, first byte, extents, strides in bytes): extent 1 where the stride is 0."""
        size, strides = DTYPES[TYPES[self.dtype]].itemsize, (self.s2, self.s1, self.s0)
        shape = tuple(n if stride else 1 for n, stride in zip(counts, strides))
        return View(MEMORIES[self.memory], self.base, shape, tuple(size * stride for stride in strides))


OPERATIONS = {  # on 64-bit numbers, of which the low 32 bits are kept
    "copy": lambda x: x, "neg": np.negative, "abs": np.abs, "add": np.add, "sub": np.subtract, "mul": np.multiply,
    "max": np.maximum, "min": np.minimum, "bit_and": np.bitwise_and, "bit_xor": np.bitwise_xor, "eq": np.equal,
    "lt": np.less, "le": np.less_equal, "where": lambda c, x, y: np.where(c != 0, x, y),
    "shift_left": lambda x, y: np.where((y >= 0) & (y < 32), x << (y & 31), 0),
    "shift_right": lambda x, y: x >> np.where((y >= 0) & (y < 32), y, 31),
    "cast": lambda x: x, "requantize": lambda x, m, s, zero: ((x * m + (1 << s - 1)) >> s) + zero,
}  # fmt: skip


class Step(Item):
    """register dst = op(a, b, c, d): operands 0 to 7 are registers, 8 to 15 streams, 16 to 31 constants."""
    op: int = operand(5, "the operation; cast and requantize limit to the type `to`", choices=tuple(OPERATIONS))
    to: int = operand(2, "see op", choices=TYPES)
    dst: int = operand(3, "the register")
    a: int = operand(5, "operand", default=0)
    b: int = operand(5, "operand", default=0)
    c: int = operand(5, "operand", default=0)
    d: int = operand(5, "operand", default=0)
