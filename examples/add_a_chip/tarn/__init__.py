"""tarn: a small chip for int8 networks, made of isthmus's accelerator kit. It shares nothing with other chips."""

from isthmus import kit
from isthmus.kit import Access, operand

MEMORIES, TYPES, COMBINES = ("pad", "taps", "sums"), ("i8", "u8", "i32"), ("none", "sum", "max", "min")
OPERATIONS = (
    *("copy", "cast", "neg", "abs", "add", "sub", "mul", "max", "min", "bit_and", "bit_xor"),
    *("shift_left", "shift_right", "lt", "le", "eq", "where", "requantize"),
)
PROGRAMS = kit.Programs(MEMORIES, TYPES, OPERATIONS)


class Move(kit.Instruction, mnemonic="move", opcode=8, queue="dma"):
    """Copies n1 rows of n0 bytes between DRAM and a scratchpad; into the scratchpad with rows of padding around."""

    out: int = operand(1, "whether it goes to DRAM")
    memory: int = operand(1, "the scratchpad", choices=MEMORIES[:2])
    near: int = operand(20, "first row there, padding included", unit="byte address", advance=True)
    dram: int = operand(32, "first row in DRAM", unit="byte address", advance=True)
    n0: int = operand(16, "bytes of a row", unit="bytes", least=1)
    n1: int = operand(16, "rows that are copied", default=1)
    s1: int = operand(24, "from row to row in DRAM", unit="bytes", default=0)
    d1: int = operand(16, "from row to row in the scratchpad; 0: n0", unit="bytes", default=0)
    before1: int = operand(8, "rows of padding before", default=0)
    after1: int = operand(8, "rows of padding behind", default=0)
    fill: int = operand(8, "what padding is made of", default=0)

    def accesses(self, context=None):
        rows = ((self.before1 + self.n1 + self.after1, self.d1 or self.n0),)
        near = Access(MEMORIES[self.memory], not self.out, self.near, self.n0, rows)
        far = Access("dram", bool(self.out), self.dram, self.n0, ((self.n1, self.s1),))
        return (far, near) if self.n1 else (near,)

    def effect(self, entry):
        place = (*entry.place(self.dram), MEMORIES[self.memory], self.near)
        if self.out:
            return kit.prepare_store(vars(self), *place)
        return kit.prepare_load(vars(self), *place, bytes([self.fill]))


class Dot(kit.Instruction, mnemonic="dot", opcode=9, queue="array"):
    """sums[i, j] = or += sum over t < k of pad[i, t] * taps[j / cols, t, j % cols], for i < m and j < n, in i8."""

    accumulate: int = operand(1, "add to what sums holds")
    a: int = operand(20, "row 0 in the pad", unit="byte address", advance=True)
    w: int = operand(20, "the first tile of columns in taps", unit="byte address", advance=True)
    c: int = operand(20, "the first sum", unit="byte address", advance=True)
    m: int = operand(16, "rows", least=1)
    n: int = operand(12, "columns", least=1)
    k: int = operand(16, "terms", least=1)
    step: int = operand(16, "from row to row in the pad", unit="bytes")
    tile: int = operand(20, "from one tile of columns to the next", unit="bytes")
    pitch: int = operand(16, "from row to row of sums", unit="bytes")

    def views(self, cols):
        a = kit.View("pad", self.a, (self.m, self.k), (self.step, 1))
        w = kit.View("taps", self.w, (self.k, -(-self.n // cols), cols), (cols, self.tile, 1))
        return a, w, kit.View("sums", self.c, (self.m, self.n), (self.pitch, 4))

    def accesses(self, cols):
        a, w, c = (view.access(bytes) for view, bytes in zip(self.views(cols), (1, 1, 4)))
        return (a, w, c, c._replace(write=True)) if self.accumulate else (a, w, c._replace(write=True))

    def effect(self, entry):
        return kit.prepare_product("i8", 1, *self.views(columns(entry.chip)), bool(self.accumulate))


class Map(kit.Instruction, mnemonic="map", opcode=10, queue="alu"):
    """Runs a program on n2 x n1 x n0 elements; flow 0 is the destination, the last step gives what is stored there."""

    combine: int = operand(2, "results over the dims in which the destination has stride 0", choices=COMBINES)
    initialise: int = operand(1, "combine anew, not onto what the destination holds")
    n0: int = operand(16, "innermost extent, along the lanes", least=1)
    n1: int = operand(16, "extent", least=1)
    n2: int = operand(16, "extent", least=1)
    constants: tuple = kit.group(None, 16, "numbers", default=())
    words: tuple = kit.group(None, 16, "the program, a word a step", default=())
    flows: tuple = kit.group(kit.Flow, 6, "the destination, then the sources", default=())

    def accesses(self, cols):
        target, *reads = (s.access() for s in PROGRAMS.streams(self.flows, (self.n2, self.n1, self.n0)))
        again = (target,) if self.combine and not self.initialise else ()
        return (*reads, *again, target._replace(write=True))

    def effect(self, entry):
        streams = PROGRAMS.streams(self.flows, (self.n2, self.n1, self.n0))
        how = COMBINES[self.combine], bool(self.initialise)
        return PROGRAMS.prepare(self.words, self.constants, streams, *how)


TARN = kit.Isa("tarn", (Move, Dot, Map))


class Writer(kit.StreamWriter):
    """Pieces of work as instructions."""

    limits = kit.Limits(copy=(65535, 65535), rows=(65535,), sums=0, far_columns=True, vector=3 * (65535,))
    machine = kit.Machine(dict.fromkeys(OPERATIONS, ("i32",)), TYPES, 8, streams=5, immediates=16, length=16)

    def copy_in(self, copy, memory, fill):
        self.append(Move.of(copy, out=0, memory=MEMORIES.index(memory), dram=copy.home, fill=fill[0]))

    def copy_out(self, copy, memory):
        self.append(Move.of(copy, out=1, memory=MEMORIES.index(memory), dram=copy.home))

    def multiply(self, work):
        self.append(Dot.of(work, accumulate=int(work.accumulate), m=work.m0, k=work.k0, step=work.am0))

    def vector(self, work):
        fields = dict(zip(("n0", "n1", "n2"), work.counts))
        fields["combine"], fields["initialise"] = COMBINES.index(work.combine or "none"), int(work.initialise)
        fields["flows"] = tuple(PROGRAMS.flow(s, self.machine.element_type(s.dtype)) for s in work.streams)
        words = tuple(PROGRAMS.word(operation) for operation in work.body.operations)
        self.append(Map(**fields, words=words, constants=work.body.immediates))


def columns(chip):
    return chip["engines"]["array"]["cols"]


def costs(chip, stream):
    """Cycles of every instruction; how long the array takes stands in the chip file."""

    def moves(chip, block):
        return kit.transfer(chip, block.columns, "dma", "pad")

    def dots(chip, block):
        array, (m, n, k) = chip["engines"]["array"], (block.columns[name] for name in "mnk")
        return kit.multiplication(array, 0 * m, m, n, k, -(-k // array["rows"]), 1) | {"mac_i8": m * n * k}

    def maps(chip, block):
        n0, n1, n2 = (block.columns[name] for name in ("n0", "n1", "n2"))
        return {"busy": -(-n0 // chip["engines"]["alu"]["lanes"]) * n1 * n2 * block.counts["words"]}

    return kit.collect(chip, stream, TARN.queues, {Move: moves, Dot: dots, Map: maps}, ("mac_i8",))


class Backend(kit.StreamBackend):
    name, chips, default = "tarn", __name__, "tarn-6x10"

    def instructions(self):
        return kit.Instructions(TARN, Writer, columns)


backend = Backend()


def device():
    return kit.SimulatedDevice("tarn", kit.Model(TARN, costs, columns))
