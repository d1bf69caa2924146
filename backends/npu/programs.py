"""Vector programs in words: what tests write, and what a decoded program is."""

import numpy as np

from ...runtime.sim.stream import Stream
from ...runtime.sim.vectors import Source, Step
from .isa import MICROCODE, Program, Vec

operation = MICROCODE.operation


def register(number: int) -> Source:
    """What an earlier operation left in a register."""
    return Source("register", number)


def stream(number: int) -> Source:
    """The current element of a source stream, from 1 on."""
    return Source("stream", number)


def immediate(number: int) -> Source:
    """One of the program's immediates."""
    return Source("immediate", number)


def bits(value: float | int) -> int:
    """An immediate's 32 bits: a float as f32, an int as i32."""
    return int(np.float32(value).view(np.int32)) if isinstance(value, float) else int(value)


def steps(program: Program) -> tuple[Step, ...]:
    """A program's operations, sources in order."""
    return MICROCODE.steps(program.micros)


def faults(program: Program) -> list[str]:
    """What is wrong with a program."""
    return MICROCODE.faults(program.micros, program.immediates)


def in_force(stream: Stream) -> tuple[list[Program], list[int]]:
    """The programs that a stream defines, and for every vec instruction which of them it runs, the last one defined
    before it under its number; -1 for none."""
    if Program not in stream.blocks:
        return [], [-1] * len(stream.blocks[Vec])
    block, defined = stream.blocks[Vec], stream.blocks[Program]
    found = np.full(len(block), -1)
    for number in np.unique(block.columns["number"]).tolist():
        mine = np.append(np.nonzero(defined.columns["number"] == number)[0], -1)
        users = np.nonzero(block.columns["number"] == number)[0]
        latest = np.searchsorted(defined.positions[mine[:-1]], block.positions[users]) - 1
        found[users] = mine[latest]
    return [record for record in defined.records() if isinstance(record, Program)], found.tolist()
