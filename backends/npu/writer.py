"""Pieces of work as n1's instructions."""

from ...compiler.stream.copies import Copy
from ...compiler.stream.limits import Limits
from ...compiler.stream.multiply import Multiply
from ...compiler.stream.programs import Body, Machine, Pending
from ...compiler.stream.vectors import VectorWork
from ...compiler.stream.writer import LANE_BYTES, Gathering, StreamWriter
from ...runtime.sim.operations import TYPES
from .isa import COMBINES, MICROCODE, PRODUCTS, Gather, Lda, Ldw, Micro, Mxu, Program, Sto, Vec
from .micro import MICRO_OPS

FILL_WIDTHS = (1, 2, 4)
PROGRAMS = 1 << next(o.bits for o in Program.operands if o.name == "number")

LIMITS = Limits(copy=((1 << 20) - 1, 65535, 65535), fill_bytes=FILL_WIDTHS)

MACHINE = Machine(
    operations={name: op.types for name, op in MICRO_OPS.items()},
    elements=TYPES,
    registers=1 << next(o.bits for o in Micro.operands if o.name == "dst"),
    streams=Vec.groups[0].most - 1,
    immediates=Program.groups[0].most,
    length=Program.groups[1].most,
)


class Writer(StreamWriter):
    """One kernel's instructions."""

    limits = LIMITS
    machine = MACHINE

    def copy_in(self, copy: Copy, memory: str, fill: bytes) -> None:
        if memory == "spw":
            self.append(Ldw.of(copy, dram=copy.home, spw=copy.near))
            return
        width, pattern = FILL_WIDTHS.index(len(fill)), int.from_bytes(fill, "little")
        self.append(Lda.of(copy, dram=copy.home, spa=copy.near, fill_width=width, fill=pattern))

    def copy_out(self, copy: Copy, memory: str) -> None:
        self.append(Sto.of(copy, dram=copy.home, spa=copy.near))

    def gather_rows(self, work: Gathering, memory: str) -> None:
        self.append(Gather.of(work, table=work.home, spa=work.near, width=int(work.width == 8)))

    def multiply(self, work: Multiply) -> None:
        pitch = work.pitch // LANE_BYTES
        self.append(
            Mxu.of(
                work,
                type=PRODUCTS.index(work.type.partition("*")[0]),
                accumulate=int(work.accumulate),
                c=work.c // LANE_BYTES,
                pitch=pitch if pitch != work.n else 0,
            )
        )

    def vector(self, work: VectorWork) -> None:
        instruction = Vec(
            number=0,
            combine=COMBINES.index(work.combine or "none"),
            initialise=int(work.initialise),
            **{f"n{axis}": count for axis, count in enumerate(work.counts)},
            streams=tuple(MICROCODE.viewed(s, MACHINE.element_type(s.dtype)) for s in work.streams),
        )
        self.append(Pending(work.body, instruction))


def define(body: Body, number: int) -> Program:
    """The instruction that defines a program."""
    return Program(
        number=number, immediates=body.immediates, micros=tuple(map(MICROCODE.encoded, body.operations))
    )
