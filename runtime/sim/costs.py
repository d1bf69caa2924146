"""What instructions cost on a chip, all of a class at once: cycles, transfers, bytes and operations.

A chip gives for each class of instructions a function from its columns to columns of `WORK` and of what its energy
figures count; `collect` makes a stream's costs of them. Copies and products cost the same on every chip: `transfer` and
`multiplication`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..records import dataclass
from .demand import Demand, demand
from .dram import BUFFERED, Dram
from .events import Work
from .fields import Barrier, Instruction
from .formula import formula
from .memories import home
from .stream import Block, Columns, Stream

WORK = (
    *(
        "lead",
        "busy",
        "tail",
        "overlap",
        "settled",
        "transfer",
        "following",
        "served",
        "held",
        "on",
        "turn",
        "opens",
        "touches",
        "keeps",
    ),
    *("port", "opening", "behind", "last", "starved"),
)
"""Cycles of an instruction; see `events.Work`."""

_ALIGNMENTS = 16
"""Rows of a copy of which it is looked at how they lie to the port."""

CostOf = Callable[[Mapping[str, Any], Block], Columns]
"""Columns by name of all instructions of a class on the chip of a record."""


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
    """The costs of every instruction of a decoded stream; an engine's `issue` cycles are added to each of its own."""
    found = {name: np.zeros(stream.size) for name in (*WORK, *counted, "burst_bytes", "pages")}
    found["on"] = np.zeros((stream.size, Dram.of(home(chip)).channels))
    for kind, block in stream.blocks.items():
        if kind.queue:
            for name, values in of[kind](chip, block).items():
                found.setdefault(name, np.zeros(stream.size))[block.positions] += values
            found["busy"][block.positions] += chip["engines"][kind.queue].get("issue", 0)
            found["tail"][block.positions] += chip["control"].get("signal_cycles", 0)
    engine = stream.queues(queues)
    if Barrier in stream.blocks:
        engine[stream.blocks[Barrier].positions] = -2
    masks = stream.column("wait"), stream.column("signal")
    work = Work(engine, *masks, stream.words, **{name: found[name] for name in WORK})
    dram = {name: found.pop(name) for name in ("burst_bytes", "pages")}
    return Costs(work, {name: values for name, values in found.items() if name not in WORK}, dram)


@dataclass(frozen=True, slots=True)
class _Port:
    """Copies at the port of a scratchpad: cycles of `all`, of padding `ahead` of what is read and `behind` it; bytes
    with padding, and without."""

    all: np.ndarray
    ahead: np.ndarray
    behind: np.ndarray
    bytes: np.ndarray
    read_bytes: np.ndarray


def transfer(chip: Mapping[str, Any], columns: Columns, queue: str, memory: str) -> Columns:
    """Copies of n2 planes of n1 rows of n0 bytes from or to `dram`, rows s1 and planes s2 apart, padding included;
    columns that are missing are 1 for counts, else 0. `memory` is the scratchpad's name, whose bytes are counted."""
    dram = Dram.of(home(chip))
    none = np.zeros_like(columns["n0"])
    n1, n2 = columns.get("n1", none + 1), columns.get("n2", none + 1)
    stores = chip["engines"][queue].get("does") == "store"
    rows = (columns["n0"], n1, n2, columns.get("s1", none), columns.get("s2", none))
    asked = demand(dram, columns["dram"], *rows, stores)
    port = chip["engines"][queue].get("bytes_per_cycle") or dram.bytes_per_cycle
    port_cycles = _written(columns, n1, n2, port)
    moves = _moves_of_store if stores else _moves_of_load
    return {
        "transfer": asked.cycles,
        "following": asked.following,
        "served": asked.served,
        "held": asked.held,
        "on": asked.on,
        "turn": asked.turn,
        "opens": asked.opens,
        "port": port_cycles.all,
        "touches": asked.touches,
        "keeps": asked.keeps,
        **moves(dram, asked, port_cycles, port),
        "dram_byte": asked.burst_bytes,
        f"{memory}_byte": port_cycles.bytes,
        "burst_bytes": asked.burst_bytes,
        "pages": asked.pages,
    }


def _moves_of_load(dram: Dram, asked: Demand, port: _Port, width: float) -> Columns:
    """When the port writes what DRAM brings. Padding in front is there at once; a burst as its transfer begins, those
    behind a page that was closed once that is open. DRAM stands still where the buffer is full before that padding
    is written; a refresh may last longer than the buffer serves the port."""
    registers, burst = int(dram.latency > 0), dram.burst / dram.bytes_per_cycle
    rows = port.all - port.ahead - port.behind
    bursts = np.maximum(asked.burst_bytes / dram.burst, 1)
    full = np.where(bursts > BUFFERED, port.ahead - asked.cycles * BUFFERED / bursts, 0)
    part = rows * asked.last / np.maximum(port.read_bytes, 1)
    last = np.maximum(part, np.ceil(asked.last / width)) + port.behind + registers - burst
    before = np.where(asked.opening > 0, asked.before, 0)
    return {
        "busy": np.maximum(full, 0) * (asked.cycles > 0),
        "tail": np.where(asked.cycles > 0, dram.latency, 0),
        "last": np.where(asked.cycles > 0, last, 0),
        "starved": np.maximum(dram.without - rows * BUFFERED / bursts, 0) * (asked.cycles > 0),
        "opening": asked.opening + before * (asked.cycles - asked.opening),
        "behind": rows * (1 - before) + port.behind + 2 * registers,
    }


def _moves_of_store(dram: Dram, asked: Demand, port: _Port, width: float) -> Columns:
    """When DRAM is handed what the port reads: a burst once all of it is there, five registers on the way."""
    registers, burst = int(dram.latency > 0), dram.burst / dram.bytes_per_cycle
    gathered = np.ceil(asked.first / width) + 5 * registers
    return {"tail": dram.latency + gathered, "behind": port.all + burst + 6 * registers - gathered}


def _written(columns: Columns, n1: Any, n2: Any, port: float) -> _Port:
    """A row never shares a cycle with another one, unless a plane's rows lie end to end on both sides and are one."""
    n0, none = columns["n0"], np.zeros_like(columns["n0"])
    before1, after1 = columns.get("before1", none), columns.get("after1", none)
    planes = columns.get("before2", none) + columns.get("after2", none)
    moved = (before1 + n1 + after1) * (planes + n2) * n0
    d1 = np.where(columns.get("d1", none) == 0, n0, columns.get("d1", none))
    joined = (d1 == n0) & ((n1 <= 1) | (columns.get("s1", none) == n0))

    def cycles(rows: Any, at: Any) -> np.ndarray:
        """Of a plane, the mean over where rows begin: `at`, i64[copies, rows or planes]."""
        bytes_ = np.where(joined, rows * n0, n0)[:, None]
        a_row = np.ceil((at % port + bytes_) / port).mean(1)
        return np.where(joined, a_row * (rows > 0), a_row * rows)

    aligned, number = none[:, None], np.arange(_ALIGNMENTS)
    inner = np.where(joined, 1, np.maximum(n1, 1))[:, None]
    s1, s2 = (columns.get(name, none)[:, None] for name in ("s1", "s2"))
    at = columns["dram"][:, None] + number % inner * s1 + number // inner * s2
    before, after = cycles(before1, aligned), cycles(after1, aligned)
    empty = before + cycles(n1, aligned) + after
    ahead, behind = (empty * columns.get(name, none) for name in ("before2", "after2"))
    rows = (before + cycles(n1, at) + after) * n2
    return _Port(rows + ahead + behind, ahead + before, behind + after, moved, n0 * n1 * n2)


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
    """Products by the formulas of the engine's mappings, of which `mapping` names one; `size`: bytes of a factor,
    `line`: rows of a line, all of them where it is left out; `runs`: of a sum, side by side in the rows operand."""
    names: dict[str, Any] = {name: value for name, value in engine.items() if isinstance(value, int | float)}
    names |= {"m": m, "n": n, "k": k, "k_tiles": k_tiles, "n_tiles": -(-n // engine["cols"])}
    names |= {"m0": m if line is None else line, "m1": 1 if line is None else m // line}
    names |= {"size": size, "runs": runs}
    found = {name: np.zeros(len(m)) for name in ("lead", "busy", "tail", "overlap")}
    for number, each in enumerate(engine["mappings"]):
        where = f"mapping {each.get('name', number)}"
        for name, text in (("busy", "cycles"), ("lead", "load"), ("tail", "fill")):
            value = np.ceil(formula(str(each.get(text, 0)), where)(**names))
            found[name] = np.where(mapping == number, value, found[name])
    if engine.get("weight_banks", 1) > 1:
        found["overlap"] = found["busy"] / (names["k_tiles"] * names["n_tiles"])
    return found
