"""Tensor messages to arrays. Sizes are checked against the bytes at hand before anything is allocated."""

import mmap
from collections.abc import Callable
from functools import partial
from math import prod

import ml_dtypes
import numpy as np
from onnx import SparseTensorProto, TensorProto

from ...compiler.diagnostics import ModelError
from ...compiler.ir.types import DTYPES, DType
from ..files import Folder
from .wire import IN_MODEL

DTYPE: dict[int, DType] = {
    TensorProto.DataType.Value(onnx): DTYPES[name]
    for onnx, name in {
        "DOUBLE": "f64",
        "FLOAT": "f32",
        "FLOAT16": "f16",
        "BFLOAT16": "bf16",
        "FLOAT8E4M3FN": "f8e4m3fn",
        "FLOAT8E4M3FNUZ": "f8e4m3fnuz",
        "FLOAT8E5M2": "f8e5m2",
        "FLOAT8E5M2FNUZ": "f8e5m2fnuz",
        "FLOAT8E8M0": "f8e8m0",
        "FLOAT4E2M1": "f4e2m1",
        "INT64": "i64",
        "INT32": "i32",
        "INT16": "i16",
        "INT8": "i8",
        "INT4": "i4",
        "INT2": "i2",
        "UINT64": "u64",
        "UINT32": "u32",
        "UINT16": "u16",
        "UINT8": "u8",
        "UINT4": "u4",
        "UINT2": "u2",
        "BOOL": "bool",
        "COMPLEX128": "c128",
        "COMPLEX64": "c64",
        "STRING": "string",
    }.items()
    if onnx in TensorProto.DataType.keys()  # noqa: SIM118 - a protobuf enum, not a dict
}
"""ONNX's element types, those that the installed onnx package knows."""

ONNX_DTYPE: dict[str, int] = {dtype.name: number for number, dtype in DTYPE.items()}

MOST_DENSE = 2**28
"""Bytes that a sparse constant may take once it is dense: a tiny file can declare any shape."""

# Which repeated field holds typed data, by kind and bits of the dtype (onnx.proto, TensorProto).
_TYPED_FIELD = {"f32": "float_data", "c64": "float_data", "f64": "double_data", "c128": "double_data"}
_TYPED_FIELD |= {"i64": "int64_data", "u64": "uint64_data", "u32": "uint64_data"}


def dtype_of(number: int, what: str) -> DType:
    """The dtype of an ONNX element type number."""
    if number not in DTYPE:
        raise ModelError(
            f"{what} has element type {number}, which is unknown", hint="export with known types"
        )
    return DTYPE[number]


class TensorReader:
    """Turns tensor messages into arrays; holds the model's own bytes and its folder (None for objects)."""

    def __init__(self, model: mmap.mmap | bytes, folder: Folder | None):
        self.model = model
        self.folder = folder

    def lazy(self, proto: TensorProto) -> Callable[[], np.ndarray]:
        """What gives the array when it is called."""
        return partial(self.array, proto)

    def array(self, proto: TensorProto) -> np.ndarray:
        """A read-only array: a view of mapped bytes wherever the format allows. Raises ModelError."""
        dtype, shape = dtype_of(proto.data_type, "a constant"), tuple(proto.dims)
        if any(dim < 0 for dim in shape):
            raise ModelError(f"the constant's shape {list(shape)} has a negative dimension")
        if len(shape) > 64:
            raise ModelError(f"the constant has rank {len(shape)}, at most 64 are supported")
        size = prod(shape)
        if prod(filter(None, shape)) >= 2**62:
            raise ModelError(f"the constant is declared {dtype}{list(shape)}, more than any memory holds")
        if dtype.kind == "string":
            return _strings(proto, shape, size)
        needed = (size * dtype.bits + 7) // 8
        if proto.data_location == TensorProto.EXTERNAL:
            data: bytes | memoryview = self._external(proto, needed, f"{dtype}[{', '.join(map(str, shape))}]")
        elif proto.HasField("raw_data") or not _typed_count(proto, dtype):
            data = proto.raw_data
            if len(data) != needed:
                raise _mismatch(dtype, shape, needed, len(data))
        else:
            return _typed(proto, dtype, shape, size)
        return _view(data, dtype, shape, size)

    def _external(self, proto: TensorProto, needed: int, declared: str) -> memoryview:
        entries = {entry.key: entry.value for entry in proto.external_data}
        location = entries.get("location", "")
        if location == IN_MODEL:
            data: mmap.mmap | bytes = self.model
            where = "the model file"
        elif self.folder is None:
            raise ModelError(
                f"its data lie in the file '{location}', and an object in memory has no folder",
                hint="give the path of the model file",
            )
        else:
            data, where = self.folder.open(location), f"'{location}'"
        offset = _number(entries, "offset", 0)
        length = _number(entries, "length", needed)
        if length < needed or (location == IN_MODEL and length != needed):
            raise ModelError(
                f"the constant is declared {declared} ({_bytes(needed)}), its data are {_bytes(length)}",
                hint="export the model again",
            )
        if offset + needed > len(data):
            raise ModelError(
                f"the constant {declared} needs bytes {offset} to {offset + needed} of {where}, which has {len(data)}",
                hint="copy or export the file again",
            )
        return memoryview(data)[offset : offset + needed]

    def sparse(self, proto: SparseTensorProto) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """Values, indices [count, rank] and dense shape of a sparse tensor."""
        values, indices, shape = self.array(proto.values), self.array(proto.indices), tuple(proto.dims)
        if indices.ndim == 1:
            if not len(shape):
                raise ModelError("a sparse constant has no shape")
            indices = np.stack(np.unravel_index(indices, shape), axis=-1) if shape else indices
        if indices.shape != (values.size, len(shape)):
            raise ModelError(
                f"a sparse constant has {values.size} values, its indices are {list(indices.shape)}"
            )
        return values, indices.astype(np.int64), shape

    def dense(self, proto: SparseTensorProto) -> np.ndarray:
        """A sparse tensor as a plain array. Raises ModelError where that would take more than MOST_DENSE bytes."""
        values, indices, shape = self.sparse(proto)
        if prod(shape) * values.itemsize > MOST_DENSE:
            raise ModelError(
                f"a sparse constant of shape {list(shape)} takes {_bytes(prod(shape) * values.itemsize)} as a dense one"
            )
        out = np.zeros(shape, values.dtype)
        out[tuple(indices.T)] = values
        return out


def _view(data: bytes | memoryview, dtype: DType, shape: tuple[int, ...], size: int) -> np.ndarray:
    if dtype.bits >= 8:
        if dtype.kind == "bool":
            return np.frombuffer(data, np.uint8, size).reshape(shape) != 0
        return np.frombuffer(data, dtype.numpy.newbyteorder("<"), size).reshape(shape)
    per_byte = 8 // dtype.bits
    packed = np.frombuffer(data, np.uint8)
    parts = [packed >> (dtype.bits * n) & (2**dtype.bits - 1) for n in range(per_byte)]
    return _from_bits(np.stack(parts, axis=-1).reshape(-1)[:size], dtype).reshape(shape)


def _from_bits(bits: np.ndarray, dtype: DType) -> np.ndarray:
    """Elements of a type below a byte from their bit patterns, one a byte."""
    if dtype.kind == "int":
        half = 2 ** (dtype.bits - 1)
        signed = (bits.astype(np.int8) ^ half) - half
        return signed.astype(dtype.numpy)
    return bits.astype(dtype.numpy) if dtype.kind == "uint" else bits.view(ml_dtypes.float4_e2m1fn)


def _typed_count(proto: TensorProto, dtype: DType) -> int:
    return len(getattr(proto, _TYPED_FIELD.get(dtype.name, "int32_data")))


def _typed(proto: TensorProto, dtype: DType, shape: tuple[int, ...], size: int) -> np.ndarray:
    entries = getattr(proto, _TYPED_FIELD.get(dtype.name, "int32_data"))
    each = {"complex": 2.0}.get(dtype.kind, dtype.bits / 8 if dtype.bits < 8 else 1.0)
    expected = int(-(-size * each // 1))
    if len(entries) != expected:
        raise _mismatch(dtype, shape, expected, len(entries), "entries")
    if dtype.bits < 8:
        return _view(np.fromiter(entries, np.int64, expected).astype(np.uint8).tobytes(), dtype, shape, size)
    if dtype.kind == "complex":
        return (
            np.fromiter(entries, np.float64, expected).view(np.complex128).astype(dtype.numpy).reshape(shape)
        )
    if dtype.is_float and dtype.bits < 32:
        # half, bfloat16 and the fp8 types are stored as bit patterns in int32_data
        patterns = np.fromiter(entries, np.int64, expected).astype(f"u{dtype.bits // 8}")
        return patterns.view(dtype.numpy).reshape(shape)
    return np.fromiter(entries, dtype.numpy, expected).reshape(shape)


def _strings(proto: TensorProto, shape: tuple[int, ...], size: int) -> np.ndarray:
    if len(proto.string_data) != size:
        raise _mismatch(DTYPES["string"], shape, size, len(proto.string_data), "entries")
    out = np.empty(size, object)
    out[:] = [text.decode("utf-8", "replace") for text in proto.string_data]
    return out.reshape(shape)


def _mismatch(
    dtype: DType, shape: tuple[int, ...], expected: int, got: int, unit: str = "bytes"
) -> ModelError:
    declared = f"{dtype}[{', '.join(map(str, shape))}]"
    amounts = (
        (_bytes(expected), _bytes(got)) if unit == "bytes" else (f"{expected} entries", f"{got} entries")
    )
    return ModelError(
        f"the constant is declared {declared} ({amounts[0]}), its data are {amounts[1]}",
        hint="export the model again",
    )


def _number(entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ModelError(f"external data: '{key}' is {text[:40]!r}, expected a number of bytes")
    return int(text)


def _bytes(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 10240:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.0f} TiB"
