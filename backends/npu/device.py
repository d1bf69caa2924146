"""The NPU, simulated: what n1's instructions do to its memories."""

from collections.abc import Sequence
from functools import partial

from ...runtime.errors import ExecutionError
from ...runtime.sim import products, vectors
from ...runtime.sim.copies import prepare_gather, prepare_load, prepare_store
from ...runtime.sim.device import Entry, Model, Prepare, SimulatedContext, SimulatedDevice
from ...runtime.sim.fields import Instruction
from ...runtime.sim.memories import Prepared
from ...runtime.sim.stream import Block
from .costs import costs
from .isa import (
    COMBINES,
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
from .programs import faults, steps

__all__ = ["Entry", "NpuDevice", "SimulatedContext", "device"]


class NpuDevice(SimulatedDevice):
    """Chips of the kind n1; the package says which one.

    `exact`: bf16 sums in the order that the manual states. `checked`: entry points are proved before they first run,
    and runs are watched for reads of what was not written.
    """

    def __init__(self, exact: bool = False, checked: bool = False):
        effects: dict[type[Instruction], Prepare] = {
            Lda: _loads,
            Gather: _gathers,
            Ldw: _loads,
            Sto: _stores,
            Vec: _vectors,
        }
        effects[Mxu] = partial(_products, exact)
        super().__init__("npu", Model(N1, costs, context, effects), checked)


def _loads(entry: Entry, block: Block) -> list[Prepared]:
    memory = "spa" if block.kind is Lda else "spw"
    places = entry.resolved(block.columns["dram"])
    return [
        prepare_load(row, region, offset, memory, row[memory], _fill(row))
        for row, (region, offset) in zip(block.rows(), places)
    ]


def _fill(row: dict[str, int]) -> bytes:
    return row.get("fill", 0).to_bytes(4, "little")[: 1 << row.get("fill_width", 0)]


def _stores(entry: Entry, block: Block) -> list[Prepared]:
    places = entry.resolved(block.columns["dram"])
    return [prepare_store(row, *place, "spa", row["spa"]) for row, place in zip(block.rows(), places)]


def _gathers(entry: Entry, block: Block) -> list[Prepared]:
    places = entry.resolved(block.columns["table"])
    return [
        prepare_gather(row, *place, "spa", row["spa"], 8 if row["width"] else 4)
        for row, place in zip(block.rows(), places)
    ]


def _products(exact: bool, entry: Entry, block: Block) -> list[Prepared]:
    array = entry.chip["engines"]["mxu"]
    return [_product(row, array["rows"], array["cols"], exact) for row in block.rows()]


def _product(field: dict[str, int], rows: int, cols: int, exact: bool) -> Prepared:
    views = packed(field, rows, cols).views()
    return products.prepare(PRODUCTS[field["type"]], 2, *views, bool(field["accumulate"]), exact)


def _vectors(entry: Entry, block: Block) -> Sequence[Prepared]:
    programs: dict[int, tuple[tuple[vectors.Step, ...], tuple[int, ...]]] = {}
    pending = []
    if Program in entry.stream.blocks:
        defined = entry.stream.blocks[Program]
        pending = list(zip(defined.positions.tolist(), defined.records()))[::-1]
    found = []
    for position, record in zip(block.positions.tolist(), block.records()):
        while pending and pending[-1][0] < position:
            program = pending.pop()[1]
            assert isinstance(program, Program)
            programs[program.number] = _defined(program), program.immediates
        assert isinstance(record, Vec)
        found.append(_vector(record, programs.get(record.number)))
    return found


def _defined(program: Program) -> tuple[vectors.Step, ...]:
    """The steps of a sound program."""
    wrong = faults(program)
    if wrong:
        raise ExecutionError(wrong[0], location=f"program {program.number}")
    return steps(program)


def _vector(vec: Vec, program: tuple[tuple[vectors.Step, ...], tuple[int, ...]] | None) -> Prepared:
    """The effect of one `vec` under the program, steps and immediates, that holds when it starts."""
    if program is None:
        raise ExecutionError(f"program {vec.number} is not defined", location="vec")
    counts = (vec.n4, vec.n3, vec.n2, vec.n1, vec.n0)
    streams = [MICROCODE.stream(view, counts) for view in vec.streams]
    return vectors.prepare(*program, streams, COMBINES[vec.combine], bool(vec.initialise))


def device() -> NpuDevice:
    """What the entry point `isthmus.devices` names."""
    return NpuDevice()
