"""What f1's instructions cost: cycles, bytes and operations, for all of a class at once."""

from collections.abc import Mapping
from typing import Any

from ...runtime.sim.costs import Costs, collect, multiplication, transfer
from ...runtime.sim.stream import Block, Columns, Stream
from ...runtime.sim.vector_costs import vector_costs
from ...runtime.sim.vectors import Step
from .isa import F1, MICROCODE, Conv, Depthwise, Elementwise, Load, Misc, Pool, Save, Weights

COUNTS = ("mac_i8", "vector_op", "fm_byte", "wgt_byte", "psum_byte", "dram_byte")
"""What the energy figures of a chip file count."""


def costs(chip: Mapping[str, Any], stream: Stream) -> Costs:
    """Of every instruction of a decoded stream on an overlay."""
    return collect(chip, stream, F1.queues, _OF, COUNTS)


def _convolutions(chip: Mapping[str, Any], block: Block) -> Columns:
    """Lines of pixels on the array; how long they take is the formula of the chip file."""
    engine, columns = chip["engines"]["conv"], block.columns
    m, n = columns["m0"] * columns["m1"], columns["n"]
    windows = columns["k1"] * columns["k2"]
    k, k_tiles = windows * columns["k0"], windows * -(-columns["k0"] // engine["rows"])
    n_tiles = -(-n // engine["cols"])
    found = multiplication(engine, 0 * m, m, n, k, k_tiles, 1, columns["m0"], windows)
    found["mac_i8"] = m * n * k
    found["fm_byte"] = m * k * n_tiles
    found["wgt_byte"] = found["busy"] * engine["rows"] * engine["cols"]
    found["psum_byte"] = 4 * m * n * (1 + columns["accumulate"])
    found["busy"] = found["busy"] + columns["accumulate"]  # what adds to sums waits until they are written
    return found


def _misc(chip: Mapping[str, Any], block: Block) -> Columns:
    programs: list[tuple[Step, ...]] = [()] * len(block)
    combines = [0] * len(block)
    for rows in block.alike():
        record = block.record(rows[0])
        assert isinstance(record, Misc)
        steps, combined = record.program()[0], record.combined()
        for row in rows:
            programs[row], combines[row] = steps, combined
    return vector_costs(chip["engines"]["misc"], MICROCODE, block, programs, combines, "streams")


_OF = {
    Load: lambda chip, block: transfer(chip, block.columns, "load", "fm"),
    Weights: lambda chip, block: transfer(chip, block.columns, "weights", "wgt"),
    Save: lambda chip, block: transfer(chip, block.columns, "save", "fm"),
    Conv: _convolutions,
    Depthwise: _misc,
    Pool: _misc,
    Elementwise: _misc,
}
