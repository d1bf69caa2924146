"""Shadow bits: which bytes of the scratchpads a run has written, and reads of those that it has not.

`checks.py` proves the same of a stream in the order of the program. Here the order is that in which instructions are
complete, and what was never written holds a pattern, so that values that depend on it are seen to.
"""

from collections.abc import Sequence

import numpy as np

from ..errors import ExecutionError
from .access import Access

POISON = 0xA5
"""What bytes hold that nothing has written."""


class Shadows:
    """One bit a byte of each scratchpad of one run; the scratchpads are filled with `POISON`."""

    def __init__(self, scratchpads: dict[str, np.ndarray]):
        self.written = {name: np.zeros(memory.size, bool) for name, memory in scratchpads.items()}
        for memory in scratchpads.values():
            memory[...] = POISON

    def watch(self, accesses: Sequence[Access]) -> None:
        """An instruction runs; ExecutionError where it reads what nothing has written."""
        for access in accesses:
            written = self.written.get(access.memory)
            if written is None:
                continue
            if access.write:
                access.marks(written)[...] = True
            elif not access.marks(written).all():
                places = np.zeros_like(written)
                access.marks(places)[...] = True
                first = int(np.argmax(places & ~written))
                raise ExecutionError(
                    f"reads byte {first:#x} of {access.memory}, which nothing has written", location="shadows"
                )
