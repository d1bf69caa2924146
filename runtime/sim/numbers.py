"""Elements of the memories as the numbers that the engines compute with, and back."""

import numpy as np

_NUMPY = {"i8": "i1", "u8": "u1", "i16": "<i2", "i32": "<i4", "bf16": "<u2", "f32": "<f4", "i64": "<i8"}
DTYPES = {name: np.dtype(text) for name, text in _NUMPY.items()}
"""How numpy reads an element; bf16 as its bits."""
_BEYOND = 2.0**31


def widened(elements: np.ndarray, dtype: str) -> np.ndarray:
    """Elements as i32, f32 or i64; those that are such already are not copied."""
    if dtype == "bf16":
        return (elements.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if dtype in ("i32", "f32", "i64"):
        return elements
    return elements.astype(np.int32)


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values as elements: integers by their low bits, bf16 rounded to nearest, half to even."""
    if dtype == "bf16":
        return (np.ascontiguousarray(round_bf16(values)).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return values.astype(DTYPES[dtype], copy=False)


def round_bf16(x: np.ndarray) -> np.ndarray:
    """f32 values rounded to the nearest bf16, half to even, as f32; NaN stays NaN."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) & np.uint32(0xFFFF0000)
    quiet = (bits & np.uint32(0xFFFF0000)) | np.uint32(0x00400000)
    return np.where(np.isnan(x), quiet, rounded).view(np.float32)


def to_integer(x: np.ndarray) -> np.ndarray:
    """f32 to i32, towards zero; what lies outside i32 becomes its nearest end, NaN 0."""
    if x.size == 0 or (x.min() >= -_BEYOND and x.max() < _BEYOND):  # false for NaN
        return x.astype(np.int32)
    wide = np.nan_to_num(x.astype(np.float64), nan=0.0)
    return np.clip(wide, -_BEYOND, _BEYOND - 1).astype(np.int64).astype(np.int32)
