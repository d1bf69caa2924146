"""Vector programs in words: what tests write, and what a decoded program is."""

import numpy as np

from ...runtime.sim.vectors import Source, Step
from .isa import MICROCODE, Program

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
