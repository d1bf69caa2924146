"""What tiles are chosen for: the chip as it is, or as if it had less room or another bandwidth.

Predictions are some percent off, so that tiles for another chip may be the quicker ones here; where the clock is asked,
it decides. A chip with twice the memory is offered what one with half of it is, as far as is looked.
"""

from ...runtime.records import dataclass


@dataclass(frozen=True)
class Assumption:
    """Tiles take at most a `share` of each memory; home's bandwidth is `bandwidth` times as much; `interleaved`: tiles
    are worked on in pieces, beside those of the kernels before and after."""

    share: float = 1.0
    bandwidth: float = 1.0
    interleaved: bool = False


AS_IT_IS = Assumption()
INTERLEAVED = Assumption(interleaved=True)

LADDERS = tuple(
    tuple(Assumption(2.0**-halvings, bandwidth, interleaved) for halvings in range(12))
    for bandwidth in (1.0, 2.0, 0.5)
    for interleaved in (False, True)
)
"""Assumptions with less and less room, the chip as it is first."""
