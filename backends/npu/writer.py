"""Pieces of work as n1's instructions."""

from ...compiler.stream.copies import Copy
from ...compiler.stream.multiply import Multiply
from ...compiler.stream.programs import Body, Machine, Operation, Pending
from ...compiler.stream.vectors import Stream, VectorWork
from ...compiler.stream.writer import LANE_BYTES, Gathering, Limits, StreamWriter
from .isa import COMBINES, MEMORIES, PRODUCTS, Gather, Lda, Ldw, Micro, Mxu, Program, Sto, Vec, View
from .micro import MICRO_OPS, SOURCES, TYPES, VALUE_TYPES

FILL_WIDTHS = (1, 2, 4)
PROGRAMS = 1 << next(o.bits for o in Program.operands if o.name == "number")
_BASE_MASK = (1 << next(o.bits for o in View.operands if o.name == "base")) - 1

LIMITS = Limits(copy_bytes=(1 << 20) - 1, fill_bytes=FILL_WIDTHS)

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
            streams=tuple(map(_view, work.streams)),
        )
        self.append(Pending(work.body, instruction))


def _view(stream: Stream) -> View:
    memory = stream.memory or "index"
    base = {"acc": stream.base // LANE_BYTES, "index": stream.base & _BASE_MASK}.get(memory, stream.base)
    strides = (stream.table, 0, 0, 0, 0) if stream.table else stream.strides
    return View(
        memory=MEMORIES.index(memory),
        dtype=TYPES.index(MACHINE.element_type(stream.dtype)),
        base=base,
        table=int(stream.table > 0),
        **{f"s{axis}": stride for axis, stride in enumerate(strides)},
    )


def define(body: Body, number: int) -> Program:
    """The instruction that defines a program."""
    return Program(number=number, immediates=body.immediates, micros=tuple(map(_micro, body.operations)))


def _micro(operation: Operation) -> Micro:
    operands: dict[str, int] = {}
    for letter, (kind, number) in zip("abcde", operation.operands):
        operands |= {f"{letter}_from": SOURCES.index(kind), letter: number}
    return Micro(
        op=list(MICRO_OPS).index(operation.op),
        type=VALUE_TYPES.index(operation.type),
        to=TYPES.index(operation.to) if operation.to in TYPES else 0,
        dst=operation.register,
        **operands,
    )
