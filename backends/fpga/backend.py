"""What the compiler asks of an overlay of the f1 family; the chip file is all that differs between them."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...compiler.stream.backend import StreamBackend

if TYPE_CHECKING:
    from ...compiler.stream.instructions import Instructions
    from ...compiler.target.description import Target


class FpgaBackend(StreamBackend):
    """Compiles for one overlay of the family."""

    name = "fpga"
    chips = f"{__package__}.chips"
    default = "f1-b4096"

    def instructions(self) -> "Instructions":
        """f1; see `isa.py` and `writer.py`."""
        from ...compiler.stream.instructions import Instructions
        from .costs import costs
        from .isa import F1, context
        from .writer import Writer

        return Instructions(F1, Writer, context, costs=costs)

    @cached_property
    def chip_target(self) -> "Target":
        """The overlay as the tiler sees it; CompileError for one that does not fit its part."""
        from .resources import check

        target = super().chip_target
        check(target)
        return target

    def resources(self, options: Mapping[str, Any]) -> Mapping[str, Mapping[str, float]]:
        """Estimated; see `resources.py`."""
        from .resources import estimate

        return estimate(self.target(options)).rows()
