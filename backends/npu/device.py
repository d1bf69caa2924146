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
    LANE_BYTES,
    MEMORIES,
    N1,
    PRODUCT_BYTES,
    PRODUCTS,
    Gather,
    Lda,
    Ldw,
    Mxu,
    Program,
    Sto,
    Vec,
    View,
    context,
)
from .micro import TYPES
from .programs import faults, steps

__all__ = ["Entry", "NpuDevice", "SimulatedContext", "device"]

_BASE_BITS = next(each.bits for each in View.operands if each.name == "base")


class NpuDevice(SimulatedDevice):
    """Chips of the kind n1; the package says which one.

    `exact`: bf16 sums in the order that the manual states. `checked`: entry points are proved before they first run.
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
    size = PRODUCT_BYTES[field["type"]]
    m1, m0, k2, k1, k0, n = (field[name] for name in ("m1", "m0", "k2", "k1", "k0", "n"))
    run = -(-k0 // rows) * rows * size * cols
    strides = (*(field[name] for name in ("am1", "am0", "ak2", "ak1")), size)
    a = products.View("spa", field["a"], (m1, m0, k2, k1, k0), strides)
    w = products.View(
        "spw",
        field["w"],
        (k2, k1, k0, -(-n // cols), cols),
        (k1 * run, run, size * cols, k2 * k1 * run, size),
    )
    c = products.View(
        "acc", LANE_BYTES * field["c"], (m1 * m0, n), (LANE_BYTES * (field["pitch"] or n), LANE_BYTES)
    )
    return products.prepare(PRODUCTS[field["type"]], 2, a, w, c, bool(field["accumulate"]), exact)


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
    streams = [_stream(view, counts) for view in vec.streams]
    return vectors.prepare(*program, streams, COMBINES[vec.combine], bool(vec.initialise))


def _stream(view: View, counts: tuple[int, ...]) -> vectors.Stream:
    memory = MEMORIES[view.memory]
    base = view.base * LANE_BYTES if memory == "acc" else view.base
    if memory == "index":
        memory, base = "", base - (base >> _BASE_BITS - 1 << _BASE_BITS)
    strides = (view.s4, view.s3, view.s2, view.s1, view.s0)
    return vectors.Stream(memory, TYPES[view.dtype], base, counts, strides, view.s0 if view.table else 0)


def device() -> NpuDevice:
    """What the entry point `isthmus.devices` names."""
    return NpuDevice()
