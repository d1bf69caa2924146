"""Values of copy engines: strided copies between DRAM and scratchpads, with padding.

Fields are those of an instruction by name: n0 bytes a row, n1 rows, n2 planes, s1 and s2 from row to row and plane to
plane in DRAM, d1 and d2 in the scratchpad (0: as they touch), before and after: rows and planes of padding. Those that
are missing are 1 for counts, else 0.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from ..errors import ExecutionError
from .access import Access
from .memories import Memories, Prepared

_BYTE = np.dtype(np.uint8)

Move = Callable[[int, int, int, Memories], None]
"""A copy between `offset` of a region of DRAM and `place` in a scratchpad: what copies have in common that differ in
those alone."""


def prepare_load(
    field: Mapping[str, int], region: int, offset: int, memory: str, place: int, fill: bytes = b"\0"
) -> Prepared:
    """From `offset` of a region of DRAM to `place` in a scratchpad; padding rows hold `fill` over and over."""
    return partial(load(field, memory, fill), region, offset, place)


def prepare_store(field: Mapping[str, int], region: int, offset: int, memory: str, place: int) -> Prepared:
    """From `place` in a scratchpad to `offset` of a region of DRAM."""
    return partial(store(field, memory), region, offset, place)


def load(field: Mapping[str, int], memory: str, fill: bytes = b"\0") -> Move:
    """Copies into a scratchpad; padding rows hold `fill` over and over."""
    before1, after1 = field.get("before1", 0), field.get("after1", 0)
    before2, after2 = field.get("before2", 0), field.get("after2", 0)
    n0, n1, n2 = field["n0"], field.get("n1", 1), field.get("n2", 1)
    rows, planes = before1 + n1 + after1, before2 + n2 + after2
    d1 = field.get("d1") or n0
    d2 = field.get("d2") or rows * d1
    shape, strides = (n2, n1, n0), (field.get("s2", 0), field.get("s1", 0), 1)
    inner = slice(before2, before2 + n2), slice(before1, before1 + n1)
    pattern = np.frombuffer(fill, np.uint8)
    filled = np.resize(pattern, n0) if len(set(fill)) > 1 else pattern[0]
    padded = rows * planes != n1 * n2

    def run(region: int, offset: int, place: int, memories: Memories) -> None:
        target = np.ndarray((planes, rows, n0), _BYTE, memories.near[memory], place, (d2, d1, 1))
        if padded:
            target[...] = filled
            if not n1 * n2:
                return
            target = target[inner]
        target[...] = np.ndarray(shape, _BYTE, memories.regions[region], offset, strides)

    return run


def store(field: Mapping[str, int], memory: str) -> Move:
    """Copies out of a scratchpad."""
    n0, n1, n2 = field["n0"], field.get("n1", 1), field.get("n2", 1)
    d1 = field.get("d1") or n0
    d2 = field.get("d2") or n1 * d1
    shape, strides = (n2, n1, n0), (field.get("s2", 0), field.get("s1", 0), 1)

    def run(region: int, offset: int, place: int, memories: Memories) -> None:
        target = np.ndarray(shape, _BYTE, memories.regions[region], offset, strides)
        target[...] = np.ndarray(shape, _BYTE, memories.near[memory], place, (d2, d1, 1))

    return run


def prepare_gather(
    field: Mapping[str, int], region: int, offset: int, memory: str, place: int, width: int
) -> Prepared:
    """`count` rows of n0 bytes of a table at `offset` of a region to `place`, by indices of `width` bytes at `index` in
    the same scratchpad. ExecutionError for an index outside the table's `rows`, which are `pitch` bytes apart."""
    count, n0, rows = field["count"], field["n0"], field["rows"]
    d1 = field["d1"] or n0
    index, pitch = field["index"], field["pitch"]
    dtype = np.dtype(f"<i{width}")

    def run(memories: Memories) -> None:
        chosen = np.ndarray((count,), dtype, memories.near[memory], index)
        outside = chosen[(chosen < 0) | (chosen >= rows)]
        if outside.size:
            raise ExecutionError(f"index {outside[0]} is outside a table of {rows} rows", location="gather")
        table = np.ndarray((rows, n0), _BYTE, memories.regions[region], offset, (pitch, 1))
        np.ndarray((count, n0), _BYTE, memories.near[memory], place, (d1, 1))[...] = table[chosen]

    return run


def load_accesses(field: Mapping[str, int], home: str, memory: str, place: int) -> tuple[Access, ...]:
    """What a copy from `field["dram"]` of home to `place` in a scratchpad touches, padding written with it."""
    n0, n1, n2 = field["n0"], field.get("n1", 1), field.get("n2", 1)
    rows = field.get("before1", 0) + n1 + field.get("after1", 0)
    planes = field.get("before2", 0) + n2 + field.get("after2", 0)
    inner = field.get("d1") or n0
    write = Access(memory, True, place, n0, ((rows, inner), (planes, field.get("d2") or rows * inner)))
    if not n1 * n2:
        return (write,)
    return (Access(home, False, field["dram"], n0, ((n1, field["s1"]), (n2, field["s2"]))), write)


def store_accesses(field: Mapping[str, int], home: str, memory: str, place: int) -> tuple[Access, ...]:
    """What a copy from `place` in a scratchpad to `field["dram"]` of home touches."""
    n0, n1, n2 = field["n0"], field.get("n1", 1), field.get("n2", 1)
    inner = field.get("d1") or n0
    return (
        Access(memory, False, place, n0, ((n1, inner), (n2, field.get("d2") or n1 * inner))),
        Access(home, True, field["dram"], n0, ((n1, field["s1"]), (n2, field["s2"]))),
    )
