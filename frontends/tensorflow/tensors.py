"""Element types, shapes and constant tensors of TensorFlow's files. Sizes are checked before anything is allocated."""

from math import prod
from typing import Any

import numpy as np

from ...compiler.diagnostics import ModelError
from ...compiler.ir.types import DTYPES, DType

DTYPE: dict[int, DType] = {
    number: DTYPES[name]
    for number, name in {
        1: "f32",
        2: "f64",
        3: "i32",
        4: "u8",
        5: "i16",
        6: "i8",
        7: "string",
        8: "c64",
        9: "i64",
        10: "bool",
        14: "bf16",
        17: "u16",
        18: "c128",
        19: "f16",
        22: "u32",
        23: "u64",
    }.items()
}
"""The element types by the numbers of `types.proto`; quantised ones, resources and variants have no equal here."""

RESOURCE, VARIANT = 20, 21
"""The numbers of handles: of variables and tables, and of tensor lists."""

_FIELDS = {
    "f32": "float_val",
    "f64": "double_val",
    "i64": "int64_val",
    "bool": "bool_val",
    "f16": "half_val",
    "bf16": "half_val",
    "u32": "uint32_val",
    "u64": "uint64_val",
    "c64": "scomplex_val",
    "c128": "dcomplex_val",
    "string": "string_val",
}

MOST_REPEATED = 2**28
"""Bytes that a constant may take whose few stored values are repeated: a tiny file can declare any shape."""


def dtype_of(number: int, what: str) -> DType:
    """The dtype of an element type number."""
    if number not in DTYPE:
        raise ModelError(
            f"{what} has element type {number}, which is not supported", hint="export with plain dtypes"
        )
    return DTYPE[number]


def shape_of(proto: Any) -> tuple[int, ...] | None:
    """The extents of a shape message, -1 for unknown ones; None for an unknown rank."""
    return None if proto.unknown_rank else tuple(dim.size for dim in proto.dim)


def array_of(proto: Any) -> np.ndarray:
    """The array of a tensor message. The last of fewer values than elements is repeated (tensor.proto)."""
    dtype, shape = dtype_of(proto.dtype, "a constant"), shape_of(proto.tensor_shape)
    if shape is None or any(dim < 0 for dim in shape) or len(shape) > 64:
        raise ModelError(f"the constant's shape {shape} is not fixed", hint="export the model again")
    size = prod(shape)
    if dtype.kind == "string":
        return _strings(list(proto.string_val), shape, size)
    if proto.tensor_content:
        return view(proto.tensor_content, dtype, shape)
    values = getattr(proto, _FIELDS.get(dtype.name, "int_val"))
    if dtype.kind == "complex":
        stored = np.array(values, np.float64).view(np.complex128).astype(dtype.numpy)
    elif dtype.name in ("f16", "bf16"):
        stored = np.array(values, np.uint16).view(dtype.numpy)
    else:
        stored = np.array(values, dtype.numpy)
    return _filled(stored, dtype, shape, size)


def _filled(stored: np.ndarray, dtype: DType, shape: tuple[int, ...], size: int) -> np.ndarray:
    """Stored values as the whole tensor: the last one stands for all that follow, none at all for zeros."""
    if stored.size > size:
        raise ModelError(f"the constant {dtype}{list(shape)} has {size} elements, {stored.size} are stored")
    if stored.size == size:
        return stored.reshape(shape)
    if size * dtype.numpy.itemsize > MOST_REPEATED:
        raise ModelError(
            f"the constant {dtype}{list(shape)} is declared large, and only {stored.size} are stored"
        )
    out = np.full(size, stored[-1] if stored.size else np.zeros((), dtype.numpy), dtype.numpy)
    out[: stored.size] = stored
    return out.reshape(shape)


def view(data: bytes | memoryview, dtype: DType, shape: tuple[int, ...]) -> np.ndarray:
    """Little-endian bytes as an array that shares them. Raises ModelError where their number does not fit."""
    needed = prod(shape) * dtype.numpy.itemsize
    if len(data) != needed:
        listed = f"{dtype}[{', '.join(map(str, shape))}]"
        raise ModelError(
            f"a tensor is declared {listed} ({needed} bytes), its data are {len(data)} bytes",
            hint="copy or export the file again",
        )
    if dtype.kind == "bool":
        return np.frombuffer(data, np.uint8).reshape(shape) != 0
    return np.frombuffer(data, dtype.numpy.newbyteorder("<")).reshape(shape)


def _strings(values: list[bytes], shape: tuple[int, ...], size: int) -> np.ndarray:
    if len(values) != size and not (len(values) == 1 and size <= MOST_REPEATED // 8):
        raise ModelError(f"the text constant {list(shape)} has {size} elements, {len(values)} are stored")
    out = np.empty(size, object)
    out[:] = [text.decode("utf-8", "replace") for text in values] * (size if len(values) == 1 else 1)
    return out.reshape(shape)
