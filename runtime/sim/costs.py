"""What instructions cost on a chip, all of a class at once: cycles, transfers, bytes and operations.

A chip gives for each class of instructions a function from its columns to columns of `WORK` and of what its energy
figures count; `collect` makes a stream's costs of them. Copies and products cost the same on every chip: `transfer` and
`multiplication`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..records import dataclass
from .bursts import Parts, Rows, copies, rows_of
from .dram import Dram
from .events import Work
from .fields import Barrier, Instruction
from .formula import formula
from .memories import home
from .stream import Block, Columns, Stream

WORK = ("lead", "busy", "tail", "overlap", "settled", "transfer", "port", "first", "write")
"""Cycles of an instruction; see `events.Work`."""

CostOf = Callable[[Mapping[str, Any], Block], Mapping[str, Any]]
"""Columns by name of all instructions of a class on the chip of a record; with them, as "copies", `bursts.Copies`."""


@dataclass(frozen=True, slots=True)
class Costs:
    """`work` for the clock, and for each counted thing how often it happens, f64[instructions]. `dram` has the burst
    bytes and the pages opened by each instruction."""

    work: Work
    counts: Columns
    dram: Columns


def collect(
    chip: Mapping[str, Any],
    stream: Stream,
    queues: Sequence[str],
    of: Mapping[type[Instruction], CostOf],
    counted: Sequence[str] = (),
) -> Costs:
    """The costs of every instruction of a decoded stream."""
    found = {name: np.zeros(stream.size) for name in (*WORK, *counted, "burst_bytes", "pages")}
    found["first"] -= 1
    tables: list[Parts] = []
    known = 0
    for kind, block in stream.blocks.items():
        if kind.queue:
            columns = dict(of[kind](chip, block))
            if "copies" in columns:
                moved = columns.pop("copies")
                found["first"][block.positions] += 1 + known + moved.first
                tables.append(moved.parts)
                known += len(moved.parts.bursts)
            for name, values in columns.items():
                found.setdefault(name, np.zeros(stream.size))[block.positions] += values
            found["tail"][block.positions] += chip["control"].get("signal_cycles", 0)
    engine = stream.queues(queues)
    if Barrier in stream.blocks:
        engine[stream.blocks[Barrier].positions] = -2
    masks = stream.column("wait"), stream.column("signal")
    parts = Parts.joined(tables, Dram.of(home(chip)).channels)
    work = Work(engine, *masks, stream.words, **{name: found[name] for name in WORK}, parts=parts)
    dram = {name: found.pop(name) for name in ("burst_bytes", "pages")}
    return Costs(work, {name: values for name, values in found.items() if name not in WORK}, dram)


def transfer(chip: Mapping[str, Any], columns: Columns, queue: str, memory: str) -> dict[str, Any]:
    """Copies of n2 planes of n1 rows of n0 bytes from or to `dram`, rows s1 and planes s2 apart, padding included;
    columns that are missing are 1 for counts, else 0. `memory` is the scratchpad's name, whose bytes are counted."""
    dram = Dram.of(home(chip))
    n0, none = columns["n0"], np.zeros_like(columns["n0"])
    n1, n2 = columns.get("n1", none + 1), columns.get("n2", none + 1)
    before1, after1, before2, after2, s1, s2, d1 = (
        columns.get(name, none) for name in ("before1", "after1", "before2", "after2", "s1", "s2", "d1")
    )
    port = chip["engines"][queue].get("bytes_per_cycle") or dram.bytes_per_cycle
    joined = ((d1 == 0) | (d1 == n0)) & ((n1 <= 1) | (s1 == n0))

    def padding(rows: Any) -> Any:
        """Cycles of rows of padding. A row never shares a cycle with another one, unless a plane's rows lie end to end
        on both sides and are one."""
        return np.where(joined, np.ceil(rows * n0 / port), rows * np.ceil(n0 / port))

    before, after = padding(before1), padding(after1)
    plane = before + padding(n1) + after
    some = n1 * n2 > 0
    ahead = before2 * plane + before
    behind = after2 * plane + after
    inside = np.where(some, n2, 0)
    rows = rows_of(
        columns["dram"],
        np.where(joined, n1 * n0, n0),
        np.where(joined, 1, n1),
        inside,
        s1,
        s2,
        ahead,
        after + before,
    )
    found = moves(chip, rows, np.where(some, behind, (before2 + n2 + after2) * plane), queue, memory)
    found["port"] = plane * (before2 + n2 + after2)
    found[f"{memory}_byte"] = (before1 + n1 + after1) * (before2 + n2 + after2) * n0
    return found


def moves(
    chip: Mapping[str, Any],
    rows: Rows,
    behind: np.ndarray,
    queue: str,
    memory: str,
    opened: np.ndarray | None = None,
) -> dict[str, Any]:
    """Copies of rows, see `bursts.copies`."""
    dram, engine = Dram.of(home(chip)), chip["engines"][queue]
    write = engine.get("does") == "store"
    moved = copies(dram, rows, behind, engine.get("bytes_per_cycle") or dram.bytes_per_cycle, write, opened)
    bytes_ = np.bincount(rows.copy, rows.size, len(behind))
    return {
        "copies": moved,
        "transfer": moved.cycles,
        "write": np.full(len(behind), float(write)),
        "tail": np.full(len(behind), float(dram.latency)),
        "port": bytes_ / dram.bytes_per_cycle,
        f"{memory}_byte": bytes_,
        "dram_byte": moved.bytes,
        "burst_bytes": moved.bytes,
        "pages": moved.pages,
    }


def multiplication(
    engine: Mapping[str, Any],
    mapping: np.ndarray,
    m: np.ndarray,
    n: np.ndarray,
    k: np.ndarray,
    k_tiles: np.ndarray,
    size: np.ndarray | int,
    line: np.ndarray | None = None,
    runs: np.ndarray | int = 1,
) -> Columns:
    """Products by the formulas of the engine's mappings, of which `mapping` names one, in the order in which it takes
    them; `size`: bytes of a factor, `line`: rows of a line, all of them where it is left out; `runs`: of a sum, side by
    side in the rows operand."""
    names: dict[str, Any] = {name: value for name, value in engine.items() if isinstance(value, int | float)}
    names |= {"m": m, "n": n, "k": k, "k_tiles": k_tiles, "n_tiles": -(-n // engine["cols"])}
    names |= {"m0": m if line is None else line, "m1": 1 if line is None else m // line}
    names |= {"size": size, "runs": runs}
    found = {name: np.zeros(len(m)) for name in ("lead", "busy", "tail", "overlap", "drain")}
    for number, each in enumerate(engine["mappings"]):
        where = f"mapping {each.get('name', number)}"
        for name, text in (("busy", "cycles"), ("lead", "load"), ("tail", "fill"), ("drain", "drain")):
            value = np.ceil(formula(str(each.get(text, 0)), where)(**names))
            found[name] = np.where(mapping == number, value, found[name])
    if engine.get("weight_banks", 1) > 1:
        found["overlap"] = found["busy"] / (names["k_tiles"] * names["n_tiles"])
    drain = found.pop("drain")
    waits = np.append(drain[1:] == 0, False)[: len(drain)]  # for whose sums the one behind it keeps off
    for name, sign in (("busy", 1), ("overlap", 1), ("tail", -1)):
        found[name] += np.where(waits, sign * drain, 0)
    return found
