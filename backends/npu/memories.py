"""The memories of one run: flat arrays, and DRAM as the regions that make it up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...runtime.memory import zeros


class Memories:
    """`spa`, `spw` and `acc` as u8[bytes]; `regions` are those of DRAM, u8[bytes] each."""

    __slots__ = ("acc", "regions", "spa", "spw")

    def __init__(self, chip: Mapping[str, Any]):
        self.spa, self.spw, self.acc = (
            zeros(chip["memories"][name]["bytes"]) for name in ("spa", "spw", "acc")
        )
        self.regions: Sequence[np.ndarray] = ()


Prepared = Callable[[Memories], None]
"""The effect of one instruction, its fields worked out."""
