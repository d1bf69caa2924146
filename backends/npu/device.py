"""The NPU, simulated: what n1's instructions do to its memories."""

from collections.abc import Sequence
from functools import partial

from ...runtime.sim.copies import prepare_gather, prepare_load, prepare_store
from ...runtime.sim.device import Entry, Model, SimulatedContext, SimulatedDevice
from ...runtime.sim.memories import Prepared
from ...runtime.sim.products import View, prepare
from ...runtime.sim.stream import Block
from . import vectors
from .costs import costs
from .isa import LANE_BYTES, N1, PRODUCT_BYTES, PRODUCTS, Gather, Lda, Ldw, Mxu, Program, Sto, Vec, context

__all__ = ["Entry", "NpuDevice", "SimulatedContext", "device"]


class NpuDevice(SimulatedDevice):
    """Chips of the kind n1; the package says which one.

    `exact`: bf16 sums in the order that the manual states. `checked`: entry points are proved before they first run.
    """

    def __init__(self, exact: bool = False, checked: bool = False):
        effects = {Lda: _loads, Gather: _gathers, Ldw: _loads, Sto: _stores, Vec: _vectors}
        products = partial(_products, exact)
        super().__init__("npu", Model(N1, costs, {**effects, Mxu: products}, context), checked)


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
    a = View("spa", field["a"], (m1, m0, k2, k1, k0), strides)
    w = View(
        "spw",
        field["w"],
        (k2, k1, k0, -(-n // cols), cols),
        (k1 * run, run, size * cols, k2 * k1 * run, size),
    )
    c = View("acc", LANE_BYTES * field["c"], (m1 * m0, n), (LANE_BYTES * (field["pitch"] or n), LANE_BYTES))
    return prepare(PRODUCTS[field["type"]], 2, a, w, c, bool(field["accumulate"]), exact)


def _vectors(entry: Entry, block: Block) -> Sequence[Prepared]:
    programs: dict[int, Program] = {}
    pending = []
    if Program in entry.stream.blocks:
        defined = entry.stream.blocks[Program]
        pending = list(zip(defined.positions.tolist(), defined.records()))[::-1]
    found = []
    for position, record in zip(block.positions.tolist(), block.records()):
        while pending and pending[-1][0] < position:
            program = pending.pop()[1]
            assert isinstance(program, Program)
            programs[program.number] = program
        assert isinstance(record, Vec)
        found.append(vectors.prepare(record, programs.get(record.number)))
    return found


def device() -> NpuDevice:
    """What the entry point `isthmus.devices` names."""
    return NpuDevice()
