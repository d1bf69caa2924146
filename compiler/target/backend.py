"""The backend protocol, whole: what a chip's folder provides. No optional hooks.

A backend is asked which chips there are (`targets`), which nodes it can run (`refusals`), which rewrites turn ops into
ones that it runs (`rules`), how it is described to the tiler (`target`), and to compile kernels whose operands have
been placed (`compile`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ...runtime.program import DeviceProgram
from ...runtime.records import dataclass
from ..ir.graph import Node
from ..ir.location import Location
from ..rewrite import Rule
from ..tile.schedule import Schedule
from ..tile.stage import Kernel
from .description import Target


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a target likes; it never changes what is computed.

    `channels_last`: the dim that a contraction does not share with its first operand (output channels) is innermost
    in memory. `halo`: zeros are kept around arrays whose readers reach past the edges, so that they need no guards.
    `inline_cost`: an elementwise body of less cost (see `ops.scalar`) is computed again by its only reader rather than
    stored. `row_bytes`: rows up to so many bytes stay on chip between a reduction and what reads them back.
    `sums_inside`: axes that a contraction sums over as a whole lie innermost in whatever writes them for it.
    `linger`: for so many further kernels an array's memory is kept after its
    last use, so that a chip may run these as one.
    """

    channels_last: bool = True
    halo: bool = True
    sums_inside: bool = False
    inline_cost: float = 4.0
    row_bytes: int = 1 << 16
    linger: int = 0


@dataclass(frozen=True)
class Constant:
    """A constant operand: `source` has its elements in their order, of any strides; the kernel sees them in `shape`.

    `key` is equal for equal arrays.
    """

    source: np.ndarray
    key: object
    shape: tuple[int, ...]

    @cached_property
    def array(self) -> np.ndarray:
        """What the kernel sees: a copy where axes were merged that do not follow each other in memory."""
        return self.source.reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Arena:
    """An operand in the device's working memory, at a byte offset. `readers`: how many kernels read it before something
    else is written there, 0 where that is not known."""

    offset: int
    readers: int = 0


@dataclass(frozen=True, slots=True)
class External:
    """An operand that the caller provides: an input, an output, or an array of a host step."""

    slot: str


Placed = Constant | Arena | External


@dataclass(frozen=True)
class Call:
    """One kernel with every buffer (locals left out) placed."""

    kernel: Kernel
    operands: Mapping[str, Placed]
    location: Location
    name: str


@dataclass(frozen=True)
class KernelReport:
    """What `explain` tells of a kernel: where it came from, its schedule, and the cost that was predicted."""

    name: str
    location: Location
    schedule: Schedule
    cycles: float
    breakdown: Mapping[str, float]
    kernel: Kernel


@dataclass(frozen=True)
class Compiled:
    """A device's program: code and constants as bytes, its own facts for the package, a report for each call.

    `listings` are further texts by name ("llvm", "asm", ...), `object` is code for a linker: made on demand, where a
    device has such. `cycles`: what each segment takes by the device's own clock, where compiling found that out.
    """

    code: bytes
    constants: np.ndarray
    meta: dict[str, Any]
    features: tuple[str, ...]
    reports: tuple[KernelReport, ...]
    object: bytes = b""
    listings: Mapping[str, str] = field(default_factory=dict)
    cycles: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Joint:
    """Calls that follow one another and run as one kernel: the position of the first, how many, cycles of the whole."""

    first: int
    count: int
    cycles: float


class KernelsRefused(Exception):
    """Raised by `Backend.compile`: kernels that turned out to be beyond it, by position over all segments, and why."""

    def __init__(self, reasons: Mapping[int, str]):
        super().__init__(f"{len(reasons)} kernels refused")
        self.reasons = dict(reasons)


class Backend(Protocol):
    """A kind of chip; `name` is also that of its device. What is registered compiles for the kind's default chip."""

    @property
    def name(self) -> str: ...

    def targets(self) -> Sequence[str]:
        """The names of the chips that it knows, the default one first."""
        ...

    def select(self, target: str) -> "Backend":
        """The backend of one of its chips, or of a chip file by its path."""
        ...

    def preferences(self) -> Preferences:
        """What the chip likes; it never changes what is computed."""
        ...

    def target(self, options: Mapping[str, Any]) -> Target:
        """The chip as the tiler sees it; CompileError for options it does not know."""
        ...

    def resources(self, options: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
        """What the chip takes of the device that holds it, by part of its design and kind of resource, then all of it,
        then what the device has; empty for a chip that is no configuration of one."""
        ...

    def rules(self, options: Mapping[str, Any]) -> Sequence[Rule]:
        """Rewrites that turn ops into ones that the chip runs, or runs faster; CompileError for a wrong option."""
        ...

    def refusals(self, node: Node, options: Mapping[str, Any]) -> list[str]:
        """The constraints that fail for a node, as sentences; empty when the chip runs it."""
        ...

    def estimate(self, kernel: Kernel, options: Mapping[str, Any]) -> float:
        """The cycles that a kernel is predicted to take; UnsupportedError, with the reason, for one that can't run."""
        ...

    def joints(self, calls: Sequence[Call], options: Mapping[str, Any]) -> Sequence[Joint]:
        """Which of the calls of a segment are one kernel on the chip; none where each is a kernel of its own."""
        ...

    def compile(self, segments: Sequence[Sequence[Call]], arena: int, options: Mapping[str, Any]) -> Compiled:
        """Code for runs of kernels: each segment becomes one entry, called with its external arrays in first-use order.

        KernelsRefused names what can't be compiled, all at once."""
        ...

    def listing(self, program: DeviceProgram, code: np.ndarray, location: str) -> str:
        """The code of a package, u8[n], as text; DeviceError, with `location`, when that can't be had."""
        ...
