"""What programs over streams cost on a vector engine, all instructions of a class at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .microcode import COMBINES, INDEX, Microcode
from .numbers import DTYPES
from .operations import TYPES
from .stream import Block, Columns
from .vectors import Step

_FAST = {(("mul",), "sum"), (("copy",), "sum"), (("copy",), "max"), (("copy",), "min")}
"""Programs and combinations of integers that run at `mac_per_cycle`: depthwise products and pooling."""


def vector_costs(
    engine: Mapping[str, Any],
    code: Microcode[Any, Any],
    block: Block,
    programs: Sequence[tuple[Step, ...]],
    combines: Sequence[int],
    group: str,
) -> Columns:
    """Of instructions with extents n0 to n4 and a program each: a vector takes as many cycles as the program's
    operations do. `group` names the field that holds their views."""
    columns = block.columns
    n0, n1, outer = columns["n0"], columns["n1"], columns["n2"] * columns["n3"] * columns["n4"]
    pixels = engine.get("pixels", 1)
    lines = -(-n0 * pixels // engine["lanes"]) * -(-n1 // pixels)
    vectors = outer * np.minimum(-(-n0 // engine["lanes"]) * n1, lines)
    cycles = np.array(
        [
            _cycles_a_vector(engine, code, program, COMBINES[combine])
            for program, combine in zip(programs, combines)
        ]
    )
    views = block.items[group]
    owner = np.repeat(np.arange(len(block)), block.counts[group])
    factor = np.where(_transposes(columns, views, owner), engine.get("transpose_factor", 1), 1)
    operations = np.array([len(program) for program in programs])
    touched = _touched(columns, views, owner)
    bytes_ = {
        f"{memory}_byte": np.bincount(owner, np.where(views["memory"] == number, touched, 0), len(block))
        for number, memory in enumerate(code.memories)
        if memory != INDEX
    }
    return {
        "busy": np.ceil(vectors * cycles * factor),
        "tail": np.full(len(block), engine.get("latency", 0)),
        "vector_op": outer * n1 * n0 * operations,
        **bytes_,
    }


def _cycles_a_vector(
    engine: Mapping[str, Any], code: Microcode[Any, Any], program: tuple[Step, ...], combine: str
) -> float:
    """Multiplying and adding, or taking the greater of, integers runs at `mac_per_cycle`: depthwise and pooling."""
    lanes = engine["lanes"]
    names = tuple(step.name for step in program)
    whole = all(step.type == "i32" for step in program)
    if whole and (names, combine) in _FAST:
        return lanes / engine["mac_per_cycle"]
    special = lanes / engine["special_per_cycle"]
    cycles = sum(
        special if code.operations[step.name].cost == "special" else 2.0 if step.type == "i64" else 1.0
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
