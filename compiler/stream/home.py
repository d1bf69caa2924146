"""What lies where in home memory: the arena, the caller's arrays, and constants in the order of their first use."""

from collections.abc import Mapping
from dataclasses import field, replace

import numpy as np

from ...runtime.records import dataclass
from ..target.backend import Arena, External, Placed

ALIGNMENT = 64
_PAGES = 4
"""From so many pages on a constant begins with one: what lies idle before it is little then."""


@dataclass
class Home:
    """Arena first, then each segment's external arrays at the same place, then constants.

    `externals` are the byte offsets of the current segment's arrays by slot. `page` is what home opens at once, in
    bytes: constants of several pages begin with one, so that loading them opens no more than they fill.
    """

    arena_bytes: int
    external_bytes: int
    page: int = ALIGNMENT
    externals: Mapping[str, int] = field(default_factory=dict)
    places: dict[object, int] = field(default_factory=dict)
    parts: list[tuple[int, np.ndarray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.external_base = aligned(self.arena_bytes)
        self.constant_base = aligned(self.external_base + self.external_bytes, self.page)
        self.size = 0

    def copy(self) -> "Home":
        """The same places so far."""
        found = replace(self, places=dict(self.places), parts=list(self.parts))
        found.size = self.size
        return found

    def address(self, placed: Placed) -> int:
        """The byte address of an operand that is no constant."""
        if isinstance(placed, Arena):
            return placed.offset
        assert isinstance(placed, External)
        return self.external_base + self.externals[placed.slot]

    def constant(self, key: object, array: np.ndarray) -> int:
        """The byte address of a constant, placed behind the last one when it is met for the first time."""
        if key not in self.places:
            if array.nbytes >= _PAGES * self.page:
                self.size = aligned(self.size, self.page)
            self.places[key] = self.constant_base + self.size
            self.parts.append((self.size, array))
            self.size += aligned(array.nbytes)
        return self.places[key]

    def blob(self) -> np.ndarray:
        """All constants, u8."""
        out = np.zeros(self.size, np.uint8)
        for offset, array in self.parts:
            flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            out[offset : offset + flat.size] = flat
        return out


def aligned(count: int, to: int = ALIGNMENT) -> int:
    """Rounded up to the alignment of arrays, or another one."""
    return -(-count // to) * to
