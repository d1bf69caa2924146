"""Extents that tables are made for, and the places along them."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value

LONGEST = 1 << 20
"""Entries of a table with one for each place along an axis; no image is wider."""


def static_extent(x: Value, axis: int) -> int:
    """An extent that a result depends on. Raises UnsupportedError where it is open."""
    extent = x.shape[axis]
    if not isinstance(extent, int):
        raise UnsupportedError(f"it depends on the extent '{extent}'", hint="fix the dimension with shapes=")
    return extent


def places(count: int) -> np.ndarray:
    """0, 1, ... below the count, in i32. Raises UnsupportedError before a table of unreasonable size is made."""
    if not 0 <= count <= LONGEST:
        raise UnsupportedError(f"it needs a table of {count} entries, {LONGEST} are the most")
    return np.arange(count, dtype=np.int32)
