"""The constants blob: arrays packed as kernels want them, in the order in which they are read, each once."""

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from ...compiler.target.backend import Constant
from ...runtime.background import Background
from ...runtime.memory import zeros
from ...runtime.records import replace
from .abi import ALIGNMENT
from .holds import Packing


def pack(array: np.ndarray, packing: Packing, out: np.ndarray) -> None:
    """`array` copied into `out`, flat and zero, in panels; see `holds.Packing`. It is read just once."""
    if packing.dtype is not None:
        _pack_grouped(array, packing, out)
        return
    outer = len(packing.outer)
    moved = np.transpose(array, (*packing.outer, *packing.order))
    lead, inner = moved.shape[:outer], moved.shape[outer:-1]
    rest = prod(inner)
    out = out.reshape(*lead, -1)
    start = 0
    for begin, size, count in _runs(packing.panels):
        padded = _padded(size, packing.unit)
        source = moved[..., begin : begin + size * count].reshape(*lead, *inner, count, size)
        panels = out[..., start * rest : (start + padded * count) * rest].reshape(
            *lead, count, *inner, padded
        )
        panels[..., :size] = np.moveaxis(source, -2, outer)
        start += padded * count


def _pack_grouped(array: np.ndarray, packing: Packing, out: np.ndarray) -> None:
    """Panels in which `group` neighbours along the axis before the columns lie beside each other."""
    outer, group = len(packing.outer), packing.group
    moved = np.transpose(array, (*packing.outer, *packing.order))
    lead, inner = moved.shape[:outer], moved.shape[outer:-2]
    groups = _padded(moved.shape[-2], packing.depth) // group
    out = out.reshape(*lead, -1)
    start = 0
    for begin, size in packing.panels:
        padded = _padded(size, packing.unit)
        end = start + prod(inner) * groups * packing.planes * padded * group
        panel = out[..., start:end].reshape(*lead, *inner, groups, packing.planes, padded, group)
        columns = moved[..., begin : begin + size]
        for plane, values in enumerate(_planes(columns) if packing.signs else (columns,)):
            for n in range(group):
                source = values[..., n::group, :]
                panel[..., : source.shape[-2], plane, :size, n] = source
        start = end
        if packing.ends:
            start += padded * group
            flat = columns.reshape(*lead, -1, size)
            turned = -flat.clip(max=0).sum(outer, dtype=np.int32) if packing.signs else 0
            ends = turned - packing.shift * flat.sum(outer, dtype=np.int32)
            out[..., end:start].view(np.int32)[..., :size] = ends


def _planes(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes of 8-bit numbers, where that of -128 is 128 as well, and masks of their signs: all u8."""
    return np.abs(array).view(np.uint8), np.negative((array < 0).view(np.int8)).view(np.uint8)


def packed_size(shape: Sequence[int], packing: Packing) -> int:
    """Elements of an array of `shape` once it is packed."""
    padded = sum(_padded(size, packing.unit) for _, size in packing.panels)
    rows = prod(shape[axis] for axis in packing.order[:-1])
    if packing.dtype is not None:
        along = shape[packing.order[-2]]
        rows = rows // max(1, along) * _padded(along, packing.depth) * packing.planes + (
            packing.group if packing.ends else 0
        )
    return prod(shape[axis] for axis in packing.outer) * rows * padded


def _padded(size: int, unit: int) -> int:
    return -(-size // unit) * unit


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
        form = None if packing is None else replace(packing, buffer="")
        key = (constant.key, constant.shape, form)
        if key not in self._offsets:
            self._offsets[key] = self._size
            self._parts.append((self._size, constant, packing))
            self._size += _padded(
                _elements(constant, packing) * _dtype(constant, packing).itemsize, ALIGNMENT
            )
        return self._offsets[key]

    def finish(self) -> np.ndarray:
        """The blob, with room behind the last constant for whole-vector reads and the prefetcher.

        Two threads fill it: copies give up the interpreter's lock.
        """
        blob = zeros(self._size + 4 * ALIGNMENT)
        parts = iter(self._parts)
        beside = Background(lambda: self._fill(blob, parts))
        self._fill(blob, parts)
        beside.result()
        return blob

    @staticmethod
    def _fill(blob: np.ndarray, parts: Iterator[tuple[int, Constant, Packing | None]]) -> None:
        """Pack what the iterator, which another thread may be at as well, has left."""
        for offset, constant, packing in parts:
            array = constant.source.reshape(constant.shape)
            dtype = _dtype(constant, packing)
            bytes = _elements(constant, packing) * dtype.itemsize
            out = blob[offset : offset + bytes].view(dtype)
            if packing is None:
                out.reshape(array.shape)[...] = array
            else:
                pack(array, packing, out)


def _dtype(constant: Constant, packing: Packing | None) -> np.dtype:
    return constant.source.dtype if packing is None or packing.dtype is None else packing.dtype.numpy


def _elements(constant: Constant, packing: Packing | None) -> int:
    return constant.source.size if packing is None else packed_size(constant.shape, packing)
