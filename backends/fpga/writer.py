"""Pieces of work as f1's instructions."""

from functools import lru_cache

from ...compiler.stream.copies import Copy
from ...compiler.stream.limits import Limits
from ...compiler.stream.multiply import Multiply
from ...compiler.stream.programs import Machine, Operation
from ...compiler.stream.vectors import VectorWork
from ...compiler.stream.writer import StreamWriter
from ...runtime.sim.microcode import COMBINES
from .isa import (
    MICRO_OPS,
    MICROCODE,
    Conv,
    Depthwise,
    Elementwise,
    Load,
    Micro,
    Misc,
    Pool,
    Save,
    View,
    Weights,
)

TYPES = ("i8", "u8", "i16", "i32", "i64")
"""Elements of streams."""

_PLACES = (("stream", 1), ("stream", 2))


class Writer(StreamWriter):
    """One kernel's instructions."""

    limits = Limits(copy=((1 << 20) - 1, 65535, 4095))
    machine = Machine(
        operations={name: op.types for name, op in MICRO_OPS.items()},
        elements=TYPES,
        registers=1 << next(o.bits for o in Micro.operands if o.name == "dst"),
        streams=MICROCODE.streams - 1,
        immediates=next(g.most for g in Elementwise.groups if g.name == "immediates"),
        length=next(g.most for g in Elementwise.groups if g.name == "micros"),
    )

    def copy_in(self, copy: Copy, memory: str, fill: bytes) -> None:
        if memory == "wgt":
            self.append(Weights.of(copy, dram=copy.home))
        else:
            self.append(Load.of(copy, dram=copy.home, fill=fill[0]))

    def copy_out(self, copy: Copy, memory: str) -> None:
        self.append(Save.of(copy, dram=copy.home))

    def multiply(self, work: Multiply) -> None:
        self.append(Conv.of(work, accumulate=int(work.accumulate)))

    def vector(self, work: VectorWork) -> None:
        fields = {f"n{axis}": count for axis, count in enumerate(work.counts)}
        fields["initialise"] = int(work.initialise)
        views = tuple(MICROCODE.viewed(s, self.machine.element_type(s.dtype)) for s in work.streams)
        self.append(_window(work, fields, views) or _program(work, fields, views))


def _window(work: VectorWork, extents: dict[str, int], views: tuple[View, ...]) -> Misc | None:
    """Sums of products and windows as instructions of their own; None for all other work."""
    body = tuple((o.op, o.type, o.operands) for o in work.body.operations)
    if body == (("copy", "i32", _PLACES[:1]),) and work.combine:
        return Pool(**extents, streams=views, combine=COMBINES.index(work.combine))
    if body == (("mul", "i32", _PLACES),) and work.combine == "sum":
        return Depthwise(**extents, streams=views)
    return None


@lru_cache(1 << 10)
def _encoded(operations: tuple[Operation, ...]) -> tuple[Micro, ...]:
    return tuple(map(MICROCODE.encoded, operations))


def _program(work: VectorWork, extents: dict[str, int], views: tuple[View, ...]) -> Misc:
    return Elementwise(
        **extents,
        streams=views,
        combine=COMBINES.index(work.combine or "none"),
        immediates=work.body.immediates,
        micros=_encoded(work.body.operations),
    )
