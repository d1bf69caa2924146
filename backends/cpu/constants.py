"""The constants blob: arrays packed as kernels want them, in the order in which they are read, each once."""

import numpy as np

from ...compiler.target.backend import Constant
from .abi import ALIGNMENT
from .holds import Packing


def pack(array: np.ndarray, packing: Packing) -> np.ndarray:
    """`array` as a flat copy in panels; see `holds.Packing`."""
    outer = len(packing.outer)
    moved = np.transpose(array, (*packing.outer, *packing.order))
    lead = moved.shape[:outer]
    rest = int(np.prod(moved.shape[outer:-1]))
    rows = moved.reshape(*lead, rest, moved.shape[-1])
    unit = packing.unit
    width = sum(-(-size // unit) * unit for _, size in packing.panels)
    out = np.zeros((*lead, rest * width), array.dtype)
    start = 0
    for begin, size, count in _runs(packing.panels):
        padded = -(-size // unit) * unit
        source = rows[..., begin : begin + size * count].reshape(*lead, rest, count, size)
        panels = out[..., start * rest : (start + padded * count) * rest].reshape(*lead, count, rest, padded)
        panels[..., :size] = np.moveaxis(source, -2, -3)
        start += padded * count
    return out.reshape(-1)


def _runs(panels: tuple[tuple[int, int], ...]) -> list[tuple[int, int, int]]:
    """Neighbouring panels of one size as (begin, size, count): packed by one copy."""
    runs: list[tuple[int, int, int]] = []
    for begin, size in panels:
        if runs and runs[-1][1] == size and runs[-1][0] + size * runs[-1][2] == begin:
            runs[-1] = (runs[-1][0], size, runs[-1][2] + 1)
        else:
            runs.append((begin, size, 1))
    return runs


class Blob:
    """Collects packed constants; `finish` lays them out."""

    def __init__(self) -> None:
        self._offsets: dict[object, int] = {}
        self._parts: list[tuple[int, Constant, Packing | None]] = []
        self._size = 0

    def place(self, constant: Constant, packing: Packing | None) -> int:
        """The byte offset at which a constant will stand, packed or as it is."""
        form = None if packing is None else (packing.outer, packing.order, packing.panels, packing.unit)
        key = (constant.key, constant.array.shape, form)
        if key not in self._offsets:
            self._offsets[key] = self._size
            self._parts.append((self._size, constant, packing))
            elements = constant.array.size
            if packing is not None:
                padded = sum(-(-size // packing.unit) * packing.unit for _, size in packing.panels)
                elements = elements // max(1, constant.array.shape[packing.order[-1]]) * padded
            bytes = elements * constant.array.dtype.itemsize
            self._size += -(-bytes // ALIGNMENT) * ALIGNMENT
        return self._offsets[key]

    def finish(self) -> np.ndarray:
        """The blob, with room behind the last constant for whole-vector reads and the prefetcher."""
        blob = np.zeros(self._size + 4 * ALIGNMENT, np.uint8)
        for offset, constant, packing in self._parts:
            array = constant.array if packing is None else pack(constant.array, packing)
            flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            blob[offset : offset + flat.size] = flat
        return blob
