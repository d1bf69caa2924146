"""What programs over streams cost on a vector engine, all instructions of a class at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..records import dataclass
from .microcode import COMBINES, INDEX, Microcode
from .numbers import DTYPES
from .operations import TYPES
from .stream import Block, Columns
from .vectors import Step

_FAST = {(("mul",), "sum"), (("copy",), "sum"), (("copy",), "max"), (("copy",), "min")}
"""Programs and combinations of integers that run at `mac_per_cycle` where they begin anew: depthwise products and
pooling."""

_SETS = 3
"""Vectors whose operands are there at most, that in the program included."""


def vector_costs(
    engine: Mapping[str, Any],
    code: Microcode[Any, Any],
    block: Block,
    programs: Sequence[tuple[Step, ...]],
    combines: Sequence[int],
    group: str,
) -> Columns:
    """Of instructions with extents n0 to n4 and a program each: a vector takes as many cycles as the program's
    operations do, or as its operands take to fetch. `group` names the field that holds their views."""
    columns = block.columns
    n0, n1, outer = columns["n0"], columns["n1"], columns["n2"] * columns["n3"] * columns["n4"]
    views = block.items[group]
    owner = np.repeat(np.arange(len(block)), block.counts[group])
    extents = _extents(engine, columns, views, owner, np.array(combines))
    vectors = outer * extents[0] * extents[1]
    names = [COMBINES[combine] for combine in combines]
    kinds = [(id(program), name) for program, name in zip(programs, names)]  # of which there are few
    of = dict(zip(kinds, zip(programs, names)))
    cycles_of = {kind: _cycles_a_vector(engine, code, *each) for kind, each in of.items()}
    fast_of = {kind: _is_fast(*each) for kind, each in of.items()}
    cycles = np.array([cycles_of[kind] for kind in kinds], float)
    fast = np.array([fast_of[kind] for kind in kinds], bool) & (columns["initialise"] == 1)
    if INDEX in code.memories:  # the window reads memories alone
        numbered = views["memory"] == code.memories.index(INDEX)
        fast &= np.bincount(owner, numbered, len(block)) == 0
    fetches = _fetches(engine, code, columns, views, owner, np.array(combines), extents, cycles)
    factor = np.where(_transposes(columns, views, owner), engine.get("transpose_factor", 1), 1)
    combined = _combined(views, owner, np.array(combines), extents)
    a_cycle = engine.get("mac_per_cycle", engine["lanes"]) / engine["lanes"]
    window = windowed(vectors, combined, max(1, int(a_cycle))) / min(1.0, a_cycle) * factor
    computed = vectors * cycles + fetches.first + fetches.waits
    fetched = fetches.all + cycles
    stored = fetches.stored + cycles + fetches.first - 1
    slowest = np.maximum(np.maximum(computed, fetched) + fetches.last - 1, stored) - 1
    busy = np.where(fast, window, slowest)
    between = engine.get("between", 0)  # in which the pipeline drains, to the last element
    operations = np.array([len(program) for program in programs])
    touched = _touched(columns, views, owner)
    bytes_ = {
        f"{memory}_byte": np.bincount(owner, np.where(views["memory"] == number, touched, 0), len(block))
        for number, memory in enumerate(code.memories)
        if memory != INDEX
    }
    return {
        "busy": np.ceil(busy) + between,
        "tail": np.full(len(block), max(0, engine.get("latency", 0) - between) - (between > 0)),
        "vector_op": outer * n1 * n0 * operations,
        **bytes_,
    }


def _extents(
    engine: Mapping[str, Any], columns: Columns, views: Columns, owner: np.ndarray, combines: np.ndarray
) -> list[np.ndarray]:
    """Of dimensions 0 to 4 in vectors: lines lie side by side in one where that makes fewer of them; what is combined
    along them never does."""
    n0, n1, pixels = columns["n0"], columns["n1"], engine.get("pixels", 1)
    onto_one = (combines != 0) & (views["s1"][_targets(owner, len(combines))] == 0) & (n1 > 1)
    row, lines = (-(-n0 // engine["lanes"]), n1), (-(-n0 * pixels // engine["lanes"]), -(-n1 // pixels))
    side = ~onto_one & (lines[0] * lines[1] < row[0] * row[1])
    inner = [np.where(side, beside, one) for beside, one in zip(lines, row)]
    return [*inner, columns["n2"], columns["n3"], columns["n4"]]


def _combined(
    views: Columns, owner: np.ndarray, combines: np.ndarray, extents: Sequence[np.ndarray]
) -> np.ndarray:
    """Vectors that are combined into one result."""
    target = _targets(owner, len(combines))
    found = np.ones(len(combines), np.int64)
    for axis, extent in enumerate(extents):
        found *= np.where((combines != 0) & (views[f"s{axis}"][target] == 0), extent, 1)
    return found


def windowed(vectors: np.ndarray, combined: np.ndarray, most: int) -> np.ndarray:
    """Cycles of a window that takes `most` vectors a cycle, or fewer where they complete two results: it then goes
    through a period of cycles that complete one each but for the last."""
    period = -(-combined // np.maximum(most - combined, 1))
    results = vectors // combined
    in_turns = results // (period + 1) * period + results % (period + 1)
    return np.where(combined < most, in_turns, -(-vectors // most))


def _targets(owner: np.ndarray, count: int) -> np.ndarray:
    """Which views are the first ones of their instructions, which are the destinations, bool[views]."""
    found = np.zeros(len(owner), bool)
    found[np.searchsorted(owner, np.arange(count))] = True
    return found


def _is_fast(program: Sequence[Step], combine: str) -> bool:
    return (
        all(step.type == "i32" for step in program)
        and (
            tuple(step.name for step in program),
            combine,
        )
        in _FAST
    )


@dataclass(frozen=True, slots=True)
class _Fetches:
    """Cycles of each instruction: those in which it fetches operands, those for its first vector, those for which its
    program waits for later ones, those in which it stores results, and those for its last one."""

    all: np.ndarray
    first: np.ndarray
    waits: np.ndarray
    stored: np.ndarray
    last: np.ndarray


def _fetches(
    engine: Mapping[str, Any],
    code: Microcode[Any, Any],
    columns: Columns,
    views: Columns,
    owner: np.ndarray,
    combines: np.ndarray,
    extents: Sequence[np.ndarray],
    program: np.ndarray,
) -> _Fetches:
    """A memory gives one operand a cycle; one that stays where it is isn't fetched again, and the next vector's are
    fetched when all of one are there, for `_SETS` vectors at most, of a `program` of so many cycles each. Lanes run
    inside of the other dimensions when more operands stand still along them than along the next one; what is combined
    runs innermost."""
    count = len(columns["n0"])
    is_target = _targets(owner, count)
    target = [views[f"s{axis}"][is_target] for axis in range(5)]
    reduced = [(combines != 0) & (target[axis] == 0) & (columns[f"n{axis}"] > 1) for axis in range(5)]
    fetched = ~is_target & (views["table"] == 0)
    if INDEX in code.memories:
        fetched &= views["memory"] != code.memories.index(INDEX)
    inside = _lanes_inside(views, owner, ~is_target, extents, reduced)
    order: list[tuple[int, np.ndarray]] = [(0, ~reduced[0] & ~inside)]
    order += [(axis, ~reduced[axis]) for axis in (4, 3, 2, 1)]
    order += [(0, ~reduced[0] & inside), *((axis, reduced[axis]) for axis in (4, 3, 2, 1)), (0, reduced[0])]
    turns = [np.ones(count, np.int64)]  # vectors that begin one of a loop or of those around it
    moves = np.zeros(len(owner), np.int64)  # the innermost loop in which a view moves
    for level, (axis, here) in enumerate(order, 1):
        turns.append(turns[-1] * np.where(here, extents[axis], 1))
        moving = (here & (extents[axis] > 1))[owner] & (views[f"s{axis}"] != 0)
        moves = np.where(moving, level, moves)
    across = ~np.isin(views["s0"], (0, 1)) & (columns["n0"] > 1)[owner]
    cycles = np.where(across, engine.get("transpose_factor", 1), 1)
    total, waits = np.zeros(count), np.zeros(count)
    before, a_vector = np.zeros(count, np.int64), list[np.ndarray]()
    for level, so_far in enumerate(turns):
        a_vector.append(np.ones(count))
        for number in range(len(code.memories)):
            given = fetched & (views["memory"] == number) & (moves >= level)
            a_vector[-1] = np.maximum(a_vector[-1], np.bincount(owner, np.where(given, cycles, 0), count))
        total += (so_far - before) * a_vector[-1]
        if level:
            waits += (so_far - before) * np.maximum(a_vector[-1] + 2 - _SETS * program, 0)
        before = so_far
    stored = np.stack(turns)[moves[is_target], np.arange(count)] * cycles[is_target]
    return _Fetches(total, a_vector[0], waits, stored, cycles[is_target])


def _lanes_inside(
    views: Columns,
    owner: np.ndarray,
    sources: np.ndarray,
    extents: Sequence[np.ndarray],
    reduced: Sequence[np.ndarray],
) -> np.ndarray:
    """Whether more sources stand still along the lanes than along the innermost other dimension that is kept."""
    count = len(extents[0])
    following = np.zeros(count, np.int64)
    for axis in (4, 3, 2, 1):
        following = np.where(~reduced[axis] & (extents[axis] > 1), axis, following)
    strides = np.stack([views[f"s{axis}"] for axis in range(5)])
    along_lanes = np.bincount(owner, sources & (views["s0"] == 0), count)
    next_stride = strides[following[owner], np.arange(len(owner))]
    return along_lanes > np.bincount(owner, sources & (next_stride == 0), count)


def _cycles_a_vector(
    engine: Mapping[str, Any], code: Microcode[Any, Any], program: tuple[Step, ...], combine: str
) -> float:
    """Of the operations alone."""
    lanes = engine["lanes"]
    special = lanes / engine["special_per_cycle"]
    cycles = sum(
        special + (step.name == "lookup")  # a table's last elements arrive a cycle after they are asked for
        if code.operations[step.name].cost == "special"
        else 2.0
        if step.type == "i64"
        else 1.0
        for step in program
    )
    return cycles + (combine != "none")


def _transposes(columns: Columns, views: Columns, owner: np.ndarray) -> np.ndarray:
    """Whether a stream steps over elements along the lanes, so that its memory's banks are read one by one."""
    across = (views["table"] == 0) & ~np.isin(views["s0"], (0, 1))
    return (np.bincount(owner, across, len(columns["n0"])) > 0) & (columns["n0"] > 1)


def _touched(columns: Columns, views: Columns, owner: np.ndarray) -> np.ndarray:
    """Bytes that each stream moves: dimensions with stride 0 are read once."""
    sizes = np.array([DTYPES[name].itemsize for name in TYPES])[views["dtype"]]
    total = sizes.copy()
    for axis in range(5):
        total = total * np.where(views[f"s{axis}"] != 0, columns[f"n{axis}"][owner], 1)
    return np.where(views["table"] == 1, sizes, total)
