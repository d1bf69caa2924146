"""Shadow bits: reads of what was written pass, others name the byte."""

import numpy as np
import pytest

from isthmus.runtime.errors import ExecutionError
from isthmus.runtime.sim.access import Access
from isthmus.runtime.sim.shadows import POISON, Shadows


def test_reads_must_have_been_written() -> None:
    memory = np.zeros(256, np.uint8)
    shadows = Shadows({"pad": memory})
    assert (memory == POISON).all()
    rows = ((4, 32),)
    shadows.watch([Access("home", False, 0, 64), Access("pad", True, 8, 16, rows)])
    shadows.watch([Access("pad", False, 8, 16, rows), Access("pad", True, 200, 8)])
    shadows.watch([Access("pad", False, 106, 4, ((4, -32),))])
    with pytest.raises(ExecutionError, match="reads byte 0x18 of pad, which nothing has written"):
        shadows.watch([Access("pad", False, 8, 17, rows)])
    with pytest.raises(ExecutionError, match="reads byte 0xd0 of pad"):
        shadows.watch([Access("pad", False, 200, 9)])
