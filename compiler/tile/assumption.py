"""What tiles are chosen for: the chip as it is, or as if it had less room or another bandwidth.

Predictions are some percent off, so that tiles for another chip may be the quicker ones here; where the clock is asked,
it decides. A chip with twice the memory is offered what one with half of it is, as far as is looked.
"""

from functools import cache
from math import ceil, log2

from ...runtime.records import dataclass


@dataclass(frozen=True)
class Assumption:
    """Tiles take at most a `share` of each memory; home's bandwidth is `bandwidth` times as much; `interleaved`: tiles
    are worked on in pieces, beside those of the kernels before and after; what passes between engines has so many
    `spare` places."""

    share: float = 1.0
    bandwidth: float = 1.0
    interleaved: bool = False
    spare: int = 0


AS_IT_IS = Assumption()
USUAL = AS_IT_IS, Assumption(interleaved=True)
"""The chip as it is, for kernels one after the other and for kernels beside each other."""
ROOMY = Assumption(spare=1), Assumption(interleaved=True, spare=1)
"""The same with spare places: an engine goes on while the one after it still completes what it has read. An array of
128 rows gives a place back 390 cycles after it has taken the last row from there."""

SLOWEST, HALVINGS = 4.0, 8
"""Bytes a cycle down to which home's bandwidth is halved, so that a chip with twice as much is offered what one with
half of it is; and how often at most."""


@cache
def ladders(bandwidth: float) -> tuple[tuple[Assumption, ...], ...]:
    """Assumptions with less and less room, for a home of so many bytes a cycle first, then twice that, and less and
    less."""
    halvings = ceil(min(max(1.0, log2(bandwidth / SLOWEST)), HALVINGS))
    return tuple(
        tuple(Assumption(2.0**-share, factor, interleaved, spare) for share in range(12))
        for spare in (0, 1)
        for factor in (1.0, 2.0, *(2.0**-each for each in range(1, halvings + 1)))
        for interleaved in (False, True)
    )
