"""What instructions cost on a chip: cycles, transfers, bytes and operations, for all of a class at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.sim.dram import Dram, demand
from ...runtime.sim.events import Work
from ...runtime.sim.fields import Barrier
from ...runtime.sim.formula import formula
from ...runtime.sim.stream import Block, Stream
from .isa import COMBINES, ITEM_BYTES, MEMORIES, N1, PRODUCT_BYTES, Gather, Lda, Ldw, Mxu, Program, Sto, Vec
from .micro import MICRO_OPS, TYPES
from .programs import Step, steps

ENGINES = N1.queues
COUNTS = ("mac_i8", "mac_bf16", "vector_op", "spa_byte", "spw_byte", "acc_byte", "dram_byte")
"""What the energy figures of a chip file count."""
_WORK = ("lead", "busy", "tail", "overlap", "transfer", "share")
Columns = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Costs:
    """`work` for the clock, and for each of COUNTS how often it happens, f64[instructions]. `dram` has the burst bytes
    and the pages opened by each instruction."""

    work: Work
    counts: Columns
    dram: Columns


def costs(chip: Mapping[str, Any], stream: Stream) -> Costs:
    """Of every instruction of a decoded stream on a chip."""
    size = stream.size
    found = {name: np.zeros(size) for name in (*_WORK, *COUNTS, "burst_bytes", "pages")}
    for kind, block in stream.blocks.items():
        if kind.queue:
            issue = chip["engines"][kind.queue].get("issue", 0)
            for name, values in _OF[kind](chip, block).items():
                found[name][block.positions] += values
            found["busy"][block.positions] += issue
    engine = stream.queues(ENGINES)
    if Barrier in stream.blocks:
        engine[stream.blocks[Barrier].positions] = -2
    if Vec in stream.blocks:
        _vectors(chip, stream, found)
    work = Work(
        engine, stream.column("wait"), stream.column("signal"), **{name: found[name] for name in _WORK}
    )
    return Costs(
        work, {name: found[name] for name in COUNTS}, {name: found[name] for name in ("burst_bytes", "pages")}
    )


def _transfer(chip: Mapping[str, Any], columns: Columns, queue: str, memory: str) -> Columns:
    dram = Dram.of(chip["memories"]["dram"])
    n1, n2 = columns["n1"], columns["n2"]
    asked = demand(dram, columns["dram"], columns["n0"], n1, n2, columns["s1"], columns["s2"])
    rows = (n1 + columns.get("before1", 0) + columns.get("after1", 0)) * (
        n2 + columns.get("before2", 0) + columns.get("after2", 0)
    )
    moved = rows * columns["n0"]
    port = chip["engines"][queue].get("bytes_per_cycle", dram.bytes_per_cycle)
    at_port = moved / port
    idle = asked.cycles == 0
    return {
        "transfer": np.where(idle, 0, np.maximum(asked.cycles, at_port)),
        "share": asked.share
        * np.where(idle, 0, asked.cycles / np.maximum(np.maximum(asked.cycles, at_port), 1e-9)),
        "busy": np.where(idle, np.ceil(at_port), 0),
        "tail": np.where(idle, 0, dram.latency),
        "dram_byte": n1 * n2 * columns["n0"],
        f"{memory}_byte": moved,
        "burst_bytes": asked.burst_bytes,
        "pages": asked.pages,
    }


def _gathers(chip: Mapping[str, Any], block: Block) -> Columns:
    """Rows lie anywhere: each opens a page of its own. Indices are read first."""
    columns = block.columns
    one = np.ones(len(block), np.int64)
    spread = {"dram": columns["table"], "n0": columns["n0"], "n1": columns["count"], "n2": one, "s2": one * 0}
    dram = chip["memories"]["dram"]
    apart = np.maximum(columns["pitch"], dram.get("page", 0) * dram.get("channels", 1) + 1)
    return _transfer(chip, {**spread, "s1": apart}, "lda", "spa")


def _products(chip: Mapping[str, Any], block: Block) -> Columns:
    """The mapping's formulas over m, n, k, k_tiles, n_tiles, size and the engine's own figures."""
    engine = chip["engines"]["mxu"]
    columns = block.columns
    rows, cols = engine["rows"], engine["cols"]
    size = np.array(PRODUCT_BYTES)[columns["type"]]
    names: dict[str, Any] = {name: value for name, value in engine.items() if isinstance(value, int | float)}
    names |= {
        "m": columns["m0"] * columns["m1"],
        "n": columns["n"],
        "k": columns["k0"] * columns["k1"] * columns["k2"],
        "k_tiles": columns["k1"] * columns["k2"] * -(-columns["k0"] // rows),
        "n_tiles": -(-columns["n"] // cols),
        "size": size,
    }
    found = {name: np.zeros(len(block)) for name in ("lead", "busy", "tail", "overlap")}
    for number, mapping in enumerate(engine["mappings"]):
        chosen = columns["mapping"] == number
        where = f"mapping {mapping.get('name', number)}"
        for name, text in (("busy", "cycles"), ("lead", "load"), ("tail", "fill")):
            value = formula(str(mapping.get(text, 0)), where)(**names)
            found[name] = np.where(chosen, value, found[name])
    folds = names["k_tiles"] * names["n_tiles"]
    if engine.get("weight_banks", 1) > 1:
        found["overlap"] = found["busy"] / folds
    macs = names["m"] * names["n"] * names["k"]
    for number, name in enumerate(("mac_i8", "mac_bf16")):
        found[name] = np.where(columns["type"] == number, macs, 0)
    results = 4 * names["m"] * names["n"]
    found["spa_byte"] = names["m"] * names["k"] * names["n_tiles"] * size
    found["spw_byte"] = names["n_tiles"] * cols * names["k_tiles"] * rows * size
    found["acc_byte"] = results * (2 * names["k_tiles"] - 1 + columns["accumulate"])
    return found


def _vectors(chip: Mapping[str, Any], stream: Stream, found: Columns) -> None:
    """Vectors of n0 elements, each as many cycles as the program's operations take, onto `found`."""
    engine = chip["engines"]["vec"]
    block = stream.blocks[Vec]
    programs = _programs_of(stream)
    columns = block.columns
    lanes = engine["lanes"]
    outer = columns["n1"] * columns["n2"] * columns["n3"] * columns["n4"]
    vectors = outer * -(-columns["n0"] // lanes)
    cycles = np.array(
        [
            _cycles_a_vector(engine, program, COMBINES[combine])
            for program, combine in zip(programs, columns["combine"].tolist())
        ]
    )
    factor = np.where(_transposes(block), engine.get("transpose_factor", 1), 1)
    found["busy"][block.positions] += np.ceil(vectors * cycles * factor)
    found["tail"][block.positions] += engine.get("latency", 0)
    operations = np.array([len(program) for program in programs])
    found["vector_op"][block.positions] += outer * columns["n0"] * operations
    owner = np.repeat(np.arange(len(block)), block.counts["streams"])
    views = block.items["streams"]
    touched = _touched(columns, views, owner)
    for number, memory in enumerate(MEMORIES[:-1]):
        here = np.where(views["memory"] == number, touched, 0)
        found[f"{memory}_byte"][block.positions] += np.bincount(owner, here, len(block))


def _programs_of(stream: Stream) -> list[tuple[Step, ...]]:
    """The program of every vec instruction: the last one defined before it under its number."""
    block = stream.blocks[Vec]
    if Program not in stream.blocks:
        return [()] * len(block)
    defined = stream.blocks[Program]
    records = [steps(record) for record in defined.records() if isinstance(record, Program)]
    numbers = defined.columns["number"]
    found: list[tuple[Step, ...]] = [()] * len(block)
    for number in np.unique(block.columns["number"]).tolist():
        mine = np.nonzero(numbers == number)[0]
        users = np.nonzero(block.columns["number"] == number)[0]
        latest = np.searchsorted(defined.positions[mine], block.positions[users]) - 1
        for user, index in zip(users.tolist(), latest.tolist()):
            if index >= 0:
                found[user] = records[mine[index]]
    return found


def _cycles_a_vector(engine: Mapping[str, Any], program: tuple[Step, ...], combine: str) -> float:
    """Multiplying and adding, or taking the greater of, integers runs at `mac_per_cycle`: depthwise and pooling."""
    lanes = engine["lanes"]
    names = tuple(step.name for step in program)
    whole = all(step.type == "i32" for step in program)
    if whole and (names, combine) in _FAST:
        return lanes / engine["mac_per_cycle"]
    special = lanes / engine["special_per_cycle"]
    cycles = sum(
        special if MICRO_OPS[step.name].cost == "special" else 2.0 if step.type == "i64" else 1.0
        for step in program
    )
    return cycles + (combine != "none")


_FAST = {(("mul",), "sum"), (("copy",), "sum"), (("copy",), "max"), (("copy",), "min")}


def _transposes(block: Block) -> np.ndarray:
    """Whether a stream steps over elements along the lanes, so that its memory's banks are read one by one."""
    views = block.items["streams"]
    across = (views["table"] == 0) & ~np.isin(views["s0"], (0, 1))
    owner = np.repeat(np.arange(len(block)), block.counts["streams"])
    return (np.bincount(owner, across, len(block)) > 0) & (block.columns["n0"] > 1)


def _touched(columns: Columns, views: Columns, owner: np.ndarray) -> np.ndarray:
    """Bytes that each stream moves: dimensions with stride 0 are read once."""
    sizes = np.array([ITEM_BYTES[name] for name in TYPES])[views["dtype"]]
    total = sizes.copy()
    for axis in range(5):
        total = total * np.where(views[f"s{axis}"] != 0, columns[f"n{axis}"][owner], 1)
    return np.where(views["table"] == 1, sizes, total)


_OF = {
    Lda: lambda chip, block: _transfer(chip, block.columns, "lda", "spa"),
    Gather: _gathers,
    Ldw: lambda chip, block: _transfer(chip, block.columns, "ldw", "spw"),
    Sto: lambda chip, block: _transfer(chip, block.columns, "sto", "spa"),
    Mxu: _products,
    Program: lambda chip, block: {"busy": np.ones(len(block))},
    Vec: lambda chip, block: {},
}
