"""LLVM types and literals of this project's dtypes."""

import math
import struct

import numpy as np

from ...compiler.diagnostics import UnsupportedError
from ...compiler.ir.types import DType, bf16, boolean, f16, f32

_LLVM = {
    "f64": "double", "f32": "float", "f16": "half", "bf16": "i16",
    "i64": "i64", "u64": "i64", "i32": "i32", "u32": "i32", "i16": "i16", "u16": "i16", "i8": "i8", "u8": "i8",
    "bool": "i1",
    "f8e4m3fn": "i8", "f8e4m3fnuz": "i8", "f8e5m2": "i8", "f8e5m2fnuz": "i8", "f8e8m0": "i8", "f4e2m1": "i8",
    "i4": "i8", "u4": "i8", "i2": "i8", "u2": "i8",
}  # fmt: skip


def element_type(dtype: DType) -> str:
    """The LLVM type that carries a value of `dtype` in registers; UnsupportedError for dtypes without machine code."""
    if dtype.name not in _LLVM:
        raise UnsupportedError(f"no machine code for {dtype} values")
    return _LLVM[dtype.name]


def vector_type(element: str, lanes: int) -> str:
    """`<lanes x element>`, or the element itself for 0 lanes (a scalar)."""
    return f"<{lanes} x {element}>" if lanes else element


def literal(value: float | int | bool, dtype: DType) -> str:
    """A literal of one element; floats are written as exact bit patterns."""
    if dtype == boolean:
        return "true" if value else "false"
    if dtype.bits < 8 or (dtype.is_float and dtype.bits == 8):
        return str(int(np.asarray(value).astype(dtype.numpy).view(np.uint8)))
    if dtype.is_integer:
        return str(int(value))
    if dtype == bf16:
        return str(round_to_bf16(float(value)))
    if dtype == f16:
        value = math.copysign(math.inf, value) if abs(value) >= 65520 else value
        return "0xH" + struct.pack(">e", value).hex().upper()
    if dtype == f32:
        value = struct.unpack("<f", struct.pack("<f", _saturated(value)))[0]
    return "0x" + struct.pack(">d", value).hex().upper()


def _saturated(value: float) -> float:
    largest = 3.4028234663852886e38
    return value if not math.isfinite(value) or abs(value) <= largest else math.copysign(math.inf, value)


def round_to_bf16(value: float) -> int:
    """The bits of the bf16 nearest to `value`."""
    (bits,) = struct.unpack("<I", struct.pack("<f", _saturated(value)))
    if math.isnan(value):
        return 0x7FC0
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def has_registers(dtype: DType) -> bool:
    """Whether values of a dtype have a machine type."""
    return dtype.name in _LLVM


def suffix(type: str) -> str:
    """An LLVM type as it is spelt inside an intrinsic's name."""
    if type.startswith("<"):
        lanes, element = type[1:-1].split(" x ")
        return f"v{lanes}{suffix(element)}"
    return {"float": "f32", "double": "f64", "half": "f16"}.get(type, type)
