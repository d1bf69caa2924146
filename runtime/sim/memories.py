"""The memories of one run: scratchpads as flat arrays, and DRAM as the regions that make it up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..memory import zeros


class Memories:
    """`near` has every memory of a chip record but home by its name, u8[bytes]; `regions` are those of home, u8[bytes]
    each: constants, the arena, the caller's arrays."""

    __slots__ = ("near", "regions")

    def __init__(self, chip: Mapping[str, Any]):
        self.near = {name: zeros(size) for name, size in scratchpads(chip).items()}
        self.regions: Sequence[np.ndarray] = ()


def scratchpads(chip: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of each memory of a chip record but home."""
    return {name: memory["bytes"] for name, memory in chip["memories"].items() if not memory.get("home")}


def home_name(chip: Mapping[str, Any]) -> str:
    """The name of home memory."""
    return next(name for name, memory in chip["memories"].items() if memory.get("home"))


def home(chip: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record of home memory."""
    return chip["memories"][home_name(chip)]


Prepared = Callable[[Memories], None]
"""The effect of one instruction, its fields worked out."""
