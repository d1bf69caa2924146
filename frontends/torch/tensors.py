"""Tensors in torch's files: element types by their numbers and names, and arrays over raw storages."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...compiler.diagnostics import ModelError, UnsupportedError
from ...compiler.ir.types import DTYPES, DType

# torch/_export/serde/schema.py, ScalarType: not the numbers that torch uses elsewhere.
EXPORTED = {
    1: "u8",
    2: "i8",
    3: "i16",
    4: "i32",
    5: "i64",
    6: "f16",
    7: "f32",
    8: "f64",
    10: "c64",
    11: "c128",
    12: "bool",
    13: "bf16",
    28: "u16",
    29: "f8e4m3fn",
    30: "f8e5m2",
    31: "f8e4m3fnuz",
    32: "f8e5m2fnuz",
    33: "f8e8m0",
    34: "u32",
    35: "u64",
}

LARGEST_REPEATED = 1 << 28
"""Bytes to which strides of 0 may repeat a smaller storage."""

# c10/core/ScalarType.h, which TorchScript's code writes.
SCRIPTED = {
    0: "u8",
    1: "i8",
    2: "i16",
    3: "i32",
    4: "i64",
    5: "f16",
    6: "f32",
    7: "f64",
    9: "c64",
    10: "c128",
    11: "bool",
    15: "bf16",
    23: "f8e5m2",
    24: "f8e4m3fn",
    25: "f8e5m2fnuz",
    26: "f8e4m3fnuz",
    27: "u16",
    28: "u32",
    29: "u64",
    44: "f8e8m0",
}

NAMED = {
    "float16": "f16",
    "half": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float": "f32",
    "float64": "f64",
    "double": "f64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "int8": "i8",
    "int16": "i16",
    "short": "i16",
    "int32": "i32",
    "int": "i32",
    "int64": "i64",
    "long": "i64",
    "bool": "bool",
    "complex64": "c64",
    "complex128": "c128",
    "float8_e4m3fn": "f8e4m3fn",
    "float8_e5m2": "f8e5m2",
    "float8_e4m3fnuz": "f8e4m3fnuz",
    "float8_e5m2fnuz": "f8e5m2fnuz",
    "float8_e8m0fnu": "f8e8m0",
}
"""What stands behind `torch.` in a dtype's name."""


def dtype_numbered(number: int, numbers: dict[int, str], what: str) -> DType:
    """The dtype of a number. Raises UnsupportedError for those that the IR lacks."""
    if number not in numbers:
        raise UnsupportedError(f"{what} has element type number {number}", hint="export with a plain dtype")
    return DTYPES[numbers[number]]


def strided(
    data: memoryview, dtype: DType, sizes: Sequence[int], strides: Sequence[int], offset: int
) -> np.ndarray:
    """A tensor over a storage's bytes, without a copy; strides and offset count elements.

    Raises ModelError where it reaches beyond the storage.
    """
    needed = storage_bytes(dtype, sizes, strides, offset)
    if (
        needed > len(data)
        or offset < 0
        or any(s < 0 for s in (*sizes, *strides))
        or len(sizes) != len(strides)
    ):
        raise ModelError(
            f"a tensor of sizes {list(sizes)}, strides {list(strides)} and offset {offset} needs {needed} bytes, "
            f"its storage has {len(data)}",
            hint="export it again",
        )
    if math.prod(sizes) == 0:
        return np.zeros(tuple(sizes), dtype.numpy)
    if math.prod(sizes) * dtype.bytes > max(len(data), LARGEST_REPEATED):
        raise ModelError(
            f"a tensor of sizes {list(sizes)} repeats {len(data)} bytes to more than {LARGEST_REPEATED}",
            hint="export it again, and expand it in the model",
        )
    whole = np.frombuffer(data[: len(data) // dtype.bytes * dtype.bytes], dtype.numpy)
    view = as_strided(whole[offset:], tuple(sizes), [s * dtype.bytes for s in strides], writeable=False)
    return view if view.flags.c_contiguous else np.ascontiguousarray(view)


def storage_bytes(dtype: DType, sizes: Sequence[int], strides: Sequence[int], offset: int) -> int:
    """Bytes up to the last element of a strided tensor."""
    if math.prod(sizes) == 0:
        return 0
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides))
    return (last + 1) * dtype.bytes
