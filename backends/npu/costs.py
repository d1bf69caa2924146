"""What n1's instructions cost: cycles, bytes and operations, for all of a class at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...runtime.sim.bursts import Rows
from ...runtime.sim.costs import Costs, collect, moves, multiplication, transfer
from ...runtime.sim.dram import Dram
from ...runtime.sim.stream import Block, Columns, Stream
from ...runtime.sim.vector_costs import vector_costs
from .isa import MICROCODE, N1, PRODUCT_BYTES, Gather, Lda, Ldw, Mxu, Program, Sto, Vec
from .programs import in_force, steps

COUNTS = ("mac_i8", "mac_bf16", "vector_op", "spa_byte", "spw_byte", "acc_byte", "dram_byte")
"""What the energy figures of a chip file count."""
_INDEX_CYCLES = 2
"""To read the index of a row that is gathered."""
_ANYWHERE = (5**0.5 - 1) / 2
"""Of a table, how far it is from one row that is gathered to the next: multiples of it are spread evenly."""


def costs(chip: Mapping[str, Any], stream: Stream) -> Costs:
    """Of every instruction of a decoded stream on a chip."""
    of = {**_OF, Vec: lambda chip, block: _vectors(chip, block, stream)}
    return collect(chip, stream, N1.queues, of, COUNTS)


def _gathers(chip: Mapping[str, Any], block: Block) -> Mapping[str, Any]:
    """Rows lie anywhere in their table, one in the page of the one before as often as chance has it. An index is read,
    and then its row asked for; copies before it may bring the indices."""
    columns, dram = block.columns, Dram.of(chip["memories"]["dram"])
    table, n0, count = columns["table"], columns["n0"], columns["count"]
    copy = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(copy)) - np.repeat(np.cumsum(count) - count, count)
    row = (_ANYWHERE * (number + 1) % 1 * columns["rows"][copy]).astype(int)
    steps = np.full(len(copy), float(_INDEX_CYCLES))
    rows = Rows(copy, table[copy] + row * columns["pitch"][copy], n0[copy], 0 * steps, steps)
    whole, bytes_ = dram.page * dram.channels, np.maximum(columns["rows"] * columns["pitch"], 1)
    first = np.minimum(bytes_, whole - table % whole)
    last = (bytes_ - first) % whole
    same = (first**2 + (bytes_ - first - last) * whole + last**2) / bytes_.astype(float) ** 2
    opened = (count - 1) * (1 - same) + count * n0 / whole
    return moves(chip, rows, np.zeros(len(count)), "lda", "spa", opened) | {"settled": np.ones(len(block))}


def _products(chip: Mapping[str, Any], block: Block) -> Columns:
    engine = chip["engines"]["mxu"]
    columns = block.columns
    rows, cols = engine["rows"], engine["cols"]
    m, n = columns["m0"] * columns["m1"], columns["n"]
    k = columns["k0"] * columns["k1"] * columns["k2"]
    k_tiles = columns["k1"] * columns["k2"] * -(-columns["k0"] // rows)
    n_tiles = -(-n // cols)
    size = np.array(PRODUCT_BYTES)[columns["type"]]
    found = multiplication(
        engine, columns["mapping"], m, n, k, k_tiles, size, runs=columns["k1"] * columns["k2"]
    )
    for number, name in enumerate(("mac_i8", "mac_bf16")):
        found[name] = np.where(columns["type"] == number, m * n * k, 0)
    found["spa_byte"] = m * k * n_tiles * size
    found["spw_byte"] = n_tiles * cols * k_tiles * rows * size
    found["acc_byte"] = 4 * m * n * (2 * k_tiles - 1 + columns["accumulate"])
    return found


def _vectors(chip: Mapping[str, Any], block: Block, stream: Stream) -> Columns:
    programs, numbers = in_force(stream)
    defined = [*map(steps, programs), ()]  # nothing is defined under -1
    combines = block.columns["combine"].tolist()
    return vector_costs(
        chip["engines"]["vec"], MICROCODE, block, [defined[number] for number in numbers], combines, "streams"
    )


_OF = {
    Lda: lambda chip, block: transfer(chip, block.columns, "lda", "spa"),
    Gather: _gathers,
    Ldw: lambda chip, block: transfer(chip, block.columns, "ldw", "spw"),
    Sto: lambda chip, block: transfer(chip, block.columns, "sto", "spa"),
    Mxu: _products,
    Program: lambda chip, block: {"busy": np.ones(len(block))},
}
