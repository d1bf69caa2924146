"""Arrays that start on a multiple of 64 bytes, which vector code and matrix tiles want."""

import math

import numpy as np

ALIGNMENT = 64


def address(array: np.ndarray) -> int:
    """Where the first element lies."""
    return array.__array_interface__["data"][0]


def zeros(size: int) -> np.ndarray:
    """`size` zero bytes, u8[size]; untouched pages take no memory."""
    return _aligned(np.zeros(size + ALIGNMENT, np.uint8), size)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of undefined contents, dense and row-major; objects, which have no address, are None."""
    if dtype.hasobject:
        return np.empty(shape, dtype)
    size = math.prod(shape) * dtype.itemsize
    return _aligned(np.empty(size + ALIGNMENT, np.uint8), size).view(dtype).reshape(shape)


def aligned(array: np.ndarray) -> np.ndarray:
    """`array` if it starts on a multiple of 64 bytes, else a copy that does."""
    if address(array) % ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def _aligned(raw: np.ndarray, size: int) -> np.ndarray:
    start = -address(raw) % ALIGNMENT
    return raw[start : start + size]
