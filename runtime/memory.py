"""Arrays that start on a multiple of 64 bytes, which vector code and matrix tiles want."""

import ctypes
import math
import os
import sys
from collections.abc import Callable
from functools import cache

import numpy as np

from .errors import ExecutionError

ALIGNMENT = 64


def address(array: np.ndarray) -> int:
    """Where the first element lies."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))  # a third of the time of what follows
    except (TypeError, ValueError):  # read-only, of no bytes, or not contiguous
        return array.__array_interface__["data"][0]


def zeros(size: int) -> np.ndarray:
    """`size` zero bytes, u8[size]; untouched pages take no memory."""
    raw = _allocated(np.zeros, size)
    start = -address(raw) % ALIGNMENT
    return raw[start : start + size]


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of undefined contents, dense and row-major; objects, which have no address, are None.

    Raises ExecutionError where there is not so much memory.
    """
    if dtype.hasobject:
        return np.empty(shape, dtype)
    raw = _allocated(np.empty, math.prod(shape) * dtype.itemsize)
    return np.ndarray(shape, dtype, raw, -address(raw) % ALIGNMENT)


def aligned(array: np.ndarray) -> np.ndarray:
    """`array` if it starts on a multiple of 64 bytes, else a copy that does."""
    if address(array) % ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def _allocated(make: Callable[..., np.ndarray], size: int) -> np.ndarray:
    """Bytes to align `size` ones in. A system that promises more than it has would end the process at their use."""
    try:
        if size > _physical():
            raise MemoryError
        return make(size + ALIGNMENT, np.uint8)
    except (MemoryError, ValueError):
        raise ExecutionError(
            f"there is no memory for {size:,} bytes", hint="use smaller shapes, or a machine with more memory"
        ) from None


@cache
def _physical() -> int:
    """Bytes of memory that the machine has, as far as it tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize
