"""What n1's instructions cost: cycles, bytes and operations, for all of a class at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...runtime.sim.costs import Costs, collect, multiplication, transfer
from ...runtime.sim.dram import Dram
from ...runtime.sim.stream import Block, Columns, Stream
from ...runtime.sim.vector_costs import vector_costs
from .isa import MICROCODE, N1, PRODUCT_BYTES, Gather, Lda, Ldw, Mxu, Program, Sto, Vec
from .programs import in_force, steps

COUNTS = ("mac_i8", "mac_bf16", "vector_op", "spa_byte", "spw_byte", "acc_byte", "dram_byte")
"""What the energy figures of a chip file count."""
_INDEX_CYCLES = 2
"""To read the index of a row that is gathered."""


def costs(chip: Mapping[str, Any], stream: Stream) -> Costs:
    """Of every instruction of a decoded stream on a chip."""
    of = {**_OF, Vec: lambda chip, block: _vectors(chip, block, stream)}
    return collect(chip, stream, N1.queues, of, COUNTS)


def _gathers(chip: Mapping[str, Any], block: Block) -> Columns:
    """Rows lie anywhere in their table, each as likely in one page as much of the table lies there. An index is read,
    and then its row asked for; copies before it may bring the indices."""
    columns, dram = block.columns, Dram.of(chip["memories"]["dram"])
    whole = dram.page * dram.channels
    table, n0, count = columns["table"], columns["n0"], columns["count"]
    found = transfer(
        chip, {"dram": table, "n0": n0, "n1": count, "s1": columns["pitch"] + whole}, "lda", "spa"
    )
    bytes_ = np.maximum(columns["rows"] * columns["pitch"], 1)
    first = np.minimum(bytes_, whole - table % whole)
    last = (bytes_ - first) % whole
    same = (first**2 + (bytes_ - first - last) * whole + last**2) / bytes_.astype(float) ** 2
    pages = 1 + (count - 1) * (1 - same) + count * n0 / whole
    used = found["on"].sum(1)
    fewer = (found["pages"] / used - pages) * dram.page_miss
    for name in ("transfer", "served", "held"):
        found[name] = np.maximum(found[name] - fewer, 0)
    found["following"], found["starved"] = found["transfer"], np.zeros(len(block))
    found["pages"] = pages * used
    found["on"][:] = used[:, None] / dram.channels
    found["settled"] = np.ones(len(block))
    found["port"] = np.maximum(found["port"], found["burst_bytes"] / dram.burst + _INDEX_CYCLES * count)
    return found


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
