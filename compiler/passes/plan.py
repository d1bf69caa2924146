"""What forming gives: steps over arrays. Steps are kernels over physical buffers or nodes run by their meaning.

An array is one value as it lies in memory. Where arrays lie is decided by `memory`, how their axes are ordered by
`layout`, what is computed together by `form`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from math import prod
from typing import Literal

import numpy as np

from ...runtime.records import dataclass
from ..ir.graph import Node, Value
from ..ir.location import Location
from ..ir.types import DType, TensorType, Type
from ..target.backend import Preferences
from ..tile.stage import Kernel

ALIGNMENT = 64
"""Arrays in the arena start on multiples of so many bytes: a cache line, and the widest vector."""

Place = Literal["constant", "input", "output", "arena", "host"]


DEFAULT = Preferences()


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tensor lies in memory: `order` names the logical axis at each physical position, outermost first.

    `halo` is, for each logical axis, the number of zeros kept before and after its elements.
    """

    order: tuple[int, ...]
    halo: tuple[tuple[int, int], ...]

    @staticmethod
    def plain(rank: int) -> "Layout":
        """Row-major, nothing around it."""
        return Layout(tuple(range(rank)), ((0, 0),) * rank)

    @property
    def has_halo(self) -> bool:
        return any(map(any, self.halo))

    @property
    def is_plain(self) -> bool:
        return not self.has_halo and self.order == tuple(range(len(self.order)))

    def shape(self, logical: tuple[int, ...]) -> tuple[int, ...]:
        """The physical shape, halo included."""
        return tuple(logical[axis] + sum(self.halo[axis]) for axis in self.order)

    def store(self, array: np.ndarray) -> np.ndarray:
        """A logical array with its axes in the order of memory: a view of `array`, where there is no halo."""
        around = np.pad(array, self.halo) if self.has_halo else array
        return around.transpose(self.order)


@dataclass(frozen=True, slots=True)
class Array:
    """A value in memory. `offset` counts bytes in the arena; constants, inputs and outputs have places of their own.

    The halo of an arena array is zero as long as the whole arena is zeroed when it is allocated. Arrays of place
    "host" are allocated by whoever runs the program; only these may have a type that is no static tensor.
    """

    name: str
    value: Value
    layout: Layout
    place: Place
    offset: int = 0

    @property
    def type(self) -> Type:
        """The logical type."""
        return self.value.type

    @property
    def is_static(self) -> bool:
        return isinstance(self.value.type, TensorType) and self.value.type.is_static

    @property
    def dtype(self) -> DType:
        return self.value.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The physical shape, halo included; ValueError unless the type is static."""
        return self.layout.shape(self.value.type.static_shape)

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.bytes

    @property
    def content(self) -> np.ndarray:
        """A constant's elements, axes as they lie in memory; a view where it can be, to be copied where it is used."""
        array = self.value.constant
        assert array is not None, f"{self.name} is no constant"
        return self.layout.store(array)


@dataclass(frozen=True, slots=True)
class KernelStep:
    """Runs a kernel; `arrays` names the array behind each buffer that is not local.

    A buffer holds all of its array's memory, row-major, but may see it under another shape (merged axes).
    """

    kernel: Kernel
    arrays: Mapping[str, str]
    nodes: tuple[Node, ...]

    @property
    def location(self) -> Location:
        """The places of all nodes that the kernel computes; where passes have added them, of what they read."""
        first, *others = (node.location for node in self.nodes)
        merged = first.merge(*others)
        return merged if merged.names else _nearest(self.nodes)


def _nearest(nodes: Sequence[Node]) -> Location:
    """The place of the first node that has one on the way to the inputs, which are places by their names."""
    seen = dict.fromkeys(nodes)
    queue = list(seen)
    for node in queue:
        if node.op == "input":
            return Location("", (node.attributes["name"],))
        if node.location.names:
            return node.location
        further = [v.node for v in node.operands if v is not None and v.node not in seen]
        seen.update(dict.fromkeys(further))
        queue += further
    return Location()


@dataclass(frozen=True, slots=True)
class HostStep:
    """Runs a node by its op's numpy meaning; `reason` says why. Its arrays are plain; None is an absent operand."""

    node: Node
    operands: tuple[str | None, ...]
    results: tuple[str, ...]
    reason: str = ""


Step = KernelStep | HostStep


def accesses(step: Step) -> tuple[list[str], list[str]]:
    """The arrays that a step reads and those that it writes."""
    if isinstance(step, HostStep):
        return [name for name in step.operands if name is not None], list(step.results)
    written = {buffer.name for buffer in step.kernel.role("output")}
    reads = [array for buffer, array in step.arrays.items() if buffer not in written]
    return reads, [array for buffer, array in step.arrays.items() if buffer in written]


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order of their run; `inputs` and `outputs` name arrays in the graph's order.

    An output may name any array, an input or a constant too: it is then copied when the run ends. `arrays` is in
    order of first use, constants in order of execution. `roots` names, for an array that is another name of one, the
    array whose memory it is. Arrays of the arena keep their memory for `linger` steps after their last use.
    """

    steps: tuple[Step, ...]
    arrays: Mapping[str, Array]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    arena_bytes: int = 0
    hits: Mapping[str, int] = field(default_factory=dict)
    roots: Mapping[str, str] = field(default_factory=dict)
    linger: int = 0
