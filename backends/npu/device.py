"""The NPU, simulated: what n1's instructions do to its memories."""

from functools import partial

from ...runtime.errors import ExecutionError
from ...runtime.sim import effects
from ...runtime.sim.copies import load, prepare_gather, store
from ...runtime.sim.device import Entry, Model, Prepare, SimulatedContext, SimulatedDevice
from ...runtime.sim.fields import Instruction
from ...runtime.sim.memories import Prepared
from ...runtime.sim.products import Multiply, multiply
from ...runtime.sim.stream import Block
from ...runtime.sim.vectors import Step
from .costs import costs
from .isa import (
    COMBINES,
    LANE_BYTES,
    MICROCODE,
    N1,
    PRODUCTS,
    Gather,
    Lda,
    Ldw,
    Mxu,
    Program,
    Sto,
    Vec,
    context,
    packed,
)
from .programs import faults, in_force, steps

__all__ = ["Entry", "NpuDevice", "SimulatedContext", "device"]


class NpuDevice(SimulatedDevice):
    """Chips of the kind n1; the package says which one.

    `exact`: bf16 sums in the order that the manual states. `checked`: entry points are proved before they first run,
    and runs are watched for reads of what was not written.
    """

    def __init__(self, exact: bool = False, checked: bool = False):
        of: dict[type[Instruction], Prepare] = {
            Lda: _loads,
            Gather: _gathers,
            Ldw: _loads,
            Sto: _stores,
            Mxu: partial(_products, exact),
            Vec: _vectors,
        }
        super().__init__("npu", Model(N1, costs, context, of), checked)


def _loads(entry: Entry, block: Block) -> list[Prepared]:
    memory = "spa" if block.kind is Lda else "spw"
    return effects.moves(entry, block, memory, lambda first: load(vars(first), memory, _fill(first)))


def _fill(record: Lda | Ldw) -> bytes:
    if not isinstance(record, Lda):
        return b"\0"
    return record.fill.to_bytes(4, "little")[: 1 << record.fill_width]


def _stores(entry: Entry, block: Block) -> list[Prepared]:
    return effects.moves(entry, block, "spa", lambda first: store(vars(first), "spa"))


def _gathers(entry: Entry, block: Block) -> list[Prepared]:
    places = entry.resolved(block.columns["table"])
    return [
        prepare_gather(vars(record), *place, "spa", record.spa, 8 if record.width else 4)
        for record, place in zip(block.records(), places)
        if isinstance(record, Gather)
    ]


def _products(exact: bool, entry: Entry, block: Block) -> list[Prepared]:
    array = entry.chip["engines"]["mxu"]

    def product(first: Mxu) -> Multiply:
        views = packed(vars(first), array["rows"], array["cols"]).views()
        return multiply(PRODUCTS[first.type], 2, *views, bool(first.accumulate), exact)

    return effects.products(block, product, LANE_BYTES)


def _vectors(entry: Entry, block: Block) -> list[Prepared]:
    programs, numbers = in_force(entry.stream)
    if -1 in numbers:
        number = block.columns["number"][numbers.index(-1)]
        raise ExecutionError(f"program {number} is not defined", location="vec")
    bodies = [(_defined(program), program.immediates) for program in programs]
    return effects.sweeps(
        MICROCODE,
        block,
        "streams",
        lambda row, vec: bodies[numbers[row]],
        lambda vec: (COMBINES[vec.combine], bool(vec.initialise)),
        besides=numbers,
    )


def _defined(program: Program) -> tuple[Step, ...]:
    """The steps of a sound program."""
    wrong = faults(program)
    if wrong:
        raise ExecutionError(wrong[0], location=f"program {program.number}")
    return steps(program)


def device() -> NpuDevice:
    """What the entry point `isthmus.devices` names."""
    return NpuDevice()
