"""What the compiler asks of an NPU of the n1 family; the chip file is all that differs between them."""

from typing import TYPE_CHECKING

from ...compiler.stream.backend import StreamBackend

if TYPE_CHECKING:
    from ...compiler.stream.instructions import Instructions


class NpuBackend(StreamBackend):
    """Compiles for one chip of the family."""

    name = "npu"
    chips = f"{__package__}.chips"
    default = "n1-32"

    def instructions(self) -> "Instructions":
        """n1; see `isa.py` and `writer.py`."""
        from ...compiler.stream.instructions import Instructions
        from .costs import costs
        from .isa import N1, context
        from .writer import PROGRAMS, Writer, define

        return Instructions(N1, Writer, context, PROGRAMS, define, costs=costs, interleaved=True)
