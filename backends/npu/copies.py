"""The DMA engines' values: strided copies between DRAM and the scratchpads."""

from collections.abc import Mapping

import numpy as np

from ...runtime.errors import ExecutionError
from .memories import Memories, Prepared

_BYTE = np.dtype(np.uint8)


def _box(
    field: Mapping[str, int], rows: int, planes: int, d1: int, d2: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (planes, rows, field["n0"]), (d2, d1, 1)


def prepare_load(field: Mapping[str, int], region: int, offset: int, memory: str, place: int) -> Prepared:
    """`lda` and `ldw`: from `offset` of a region of DRAM to `place` in a scratchpad."""
    before1, after1 = field.get("before1", 0), field.get("after1", 0)
    before2, after2 = field.get("before2", 0), field.get("after2", 0)
    n0, n1, n2 = field["n0"], field["n1"], field["n2"]
    rows, planes = before1 + n1 + after1, before2 + n2 + after2
    d1 = field["d1"] or n0
    d2 = field["d2"] or rows * d1
    shape, strides = (n2, n1, n0), (field["s2"], field["s1"], 1)
    whole, steps = _box(field, rows, planes, d1, d2)
    inner = slice(before2, before2 + n2), slice(before1, before1 + n1)
    width = 1 << field.get("fill_width", 0)
    pattern = np.frombuffer(int(field.get("fill", 0)).to_bytes(4, "little")[:width], np.uint8)
    fill = np.resize(pattern, n0) if len(set(pattern.tolist())) > 1 else pattern[0]
    padded = rows * planes != n1 * n2

    def run(memories: Memories) -> None:
        target = np.ndarray(whole, _BYTE, getattr(memories, memory), place, steps)
        if padded:
            target[...] = fill
            if not n1 * n2:
                return
            target = target[inner]
        target[...] = np.ndarray(shape, _BYTE, memories.regions[region], offset, strides)

    return run


def prepare_store(field: Mapping[str, int], region: int, offset: int) -> Prepared:
    """`sto`: from the activation scratchpad to `offset` of a region of DRAM."""
    n0, n1, n2 = field["n0"], field["n1"], field["n2"]
    d1 = field["d1"] or n0
    d2 = field["d2"] or n1 * d1
    shape, strides, place = (n2, n1, n0), (field["s2"], field["s1"], 1), field["spa"]

    def run(memories: Memories) -> None:
        target = np.ndarray(shape, _BYTE, memories.regions[region], offset, strides)
        target[...] = np.ndarray(shape, _BYTE, memories.spa, place, (d2, d1, 1))

    return run


def prepare_gather(field: Mapping[str, int], region: int, offset: int) -> Prepared:
    """`gather`: rows of a table at `offset` of a region, by indices in the scratchpad."""
    count, n0, rows = field["count"], field["n0"], field["rows"]
    d1 = field["d1"] or n0
    index, place, pitch = field["index"], field["spa"], field["pitch"]
    dtype = np.dtype("<i8" if field["width"] else "<i4")

    def run(memories: Memories) -> None:
        chosen = np.ndarray((count,), dtype, memories.spa, index)
        outside = chosen[(chosen < 0) | (chosen >= rows)]
        if outside.size:
            raise ExecutionError(f"index {outside[0]} is outside a table of {rows} rows", location="gather")
        table = np.ndarray((rows, n0), _BYTE, memories.regions[region], offset, (pitch, 1))
        np.ndarray((count, n0), _BYTE, memories.spa, place, (d1, 1))[...] = table[chosen]

    return run
