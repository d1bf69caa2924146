"""What the executor asks of a device: load a program's code, make contexts, run entry points. No optional hooks."""

from collections.abc import Sequence
from dataclasses import field
from typing import Protocol

import numpy as np

from .profile import ChipRun
from .program import DeviceProgram
from .records import dataclass


@dataclass(slots=True)
class Call:
    """One run of one entry point.

    `buffers` are the segment's arrays in order, dense; `symbols` the values of the program's symbols. A device fills in
    `cycles` (0 where it has no clock of its own) and, when `timed` is set, as much as it can tell of `steps` (label,
    start and end in seconds of the host from the call's beginning) and, for a simulated chip, `chip`. A device with a
    clock takes an instruction that is not complete after `limit` cycles to hang, and says so; 0 is no limit.
    """

    entry: int
    buffers: Sequence[np.ndarray]
    symbols: Sequence[int] = ()
    threads: int = 1
    timed: bool = False
    limit: int = 0
    cycles: int = 0
    steps: list[tuple[str, float, float]] = field(default_factory=list)
    chip: ChipRun | None = None


class Context(Protocol):
    """The memory of one run at a time; the executor keeps contexts and hands each to one run."""

    @property
    def arena(self) -> np.ndarray:
        """The device's arena as u8[bytes]; zero when the context is made, kept between runs."""
        ...

    def run(self, call: Call) -> None:
        """Execute an entry point to its end."""
        ...


class Code(Protocol):
    """A device program ready to run."""

    def context(self) -> Context:
        """A new context; its arena is all zero."""
        ...


class Device(Protocol):
    """A kind of chip, real or simulated."""

    @property
    def name(self) -> str:
        """As `DeviceProgram.name` says it."""
        ...

    def threads(self) -> int:
        """The most threads that a run can use here, at least 1."""
        ...

    def load(self, program: DeviceProgram, code: np.ndarray, constants: np.ndarray, location: str) -> Code:
        """Make code (u8[n]) ready; `constants` (u8[m], read-only, 64-byte aligned) must stay where they are.

        Raises DeviceError, with `location` in it, when this machine can't run the code.
        """
        ...
