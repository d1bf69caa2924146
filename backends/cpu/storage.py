"""Where a kernel's buffers lie while it runs: caller's memory, packed panels, stack tiles, registers."""

from collections.abc import Sequence

from ...compiler.ir.types import DType
from ...compiler.tile.stage import Affine, Lookup
from ...runtime.records import dataclass
from .builder import Register


@dataclass(frozen=True)
class Storage:
    """Where a buffer's elements are: base + (start + sum of stride * (index - low)) elements, or in registers.

    `padded`: reading or writing up to a whole vector past the last of `sizes` elements is harmless. `ahead`: bytes to
    the next panel, which is prefetched while this one is used by the loops below depth `held_at`. `ends`: elements of a
    panel before its last row, where that holds 32-bit sums (0: it does not). `panels`: the axis along which it is cut
    in panels, their elements along it, and how many elements more than these lie between their starts.
    """

    base: Register | None
    strides: tuple[int, ...]
    lows: tuple[Affine, ...]
    start: Affine
    dtype: DType
    padded: bool = False
    sizes: tuple[int, ...] = ()
    ahead: int = 0
    held_at: int = 0
    ends: int = 0
    panels: tuple[int, int, int] | None = None
    registers: dict[tuple[int, ...], Register] | None = None

    @staticmethod
    def in_registers(dtype: DType) -> "Storage":
        """A tile whose elements are SSA values, keyed by their offsets in the block."""
        return Storage(None, (), (), Affine(), dtype, registers={})

    def linear(self, index: Sequence[Affine | Lookup]) -> Affine:
        """The element offset of an index, lookups left out."""
        total = self.start
        for stride, low, part in zip(self.strides, self.lows, index, strict=True):
            if isinstance(part, Affine):
                total = total + (part - low) * stride
        return total
