"""Types of values: dtypes, tensors with possibly symbolic shapes, sequences and optionals. All immutable.

Names of the fp8 and fp4 formats follow ml_dtypes (OCP MX specification 1.0 for e8m0, e2m1).
"""

from collections.abc import Mapping
from functools import cached_property

import ml_dtypes
import numpy as np

from ...runtime.records import dataclass
from .dims import Dim, product, substitute


@dataclass(frozen=True, slots=True)
class DType:
    """An element type. `kind` is one of float, int, uint, bool, complex, string; `bits` counts one element."""

    name: str
    kind: str
    bits: int

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def numpy(self) -> np.dtype:
        """The numpy dtype that carries values of this type (ml_dtypes' for what numpy lacks)."""
        return _NUMPY[self.name]

    @property
    def bytes(self) -> int:
        """Bytes an element takes in memory, sub-byte types stored one to a byte."""
        return max(1, self.bits // 8)

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest value of an integer dtype, sub-byte ones included."""
        bits = self.bits - (self.kind == "int")
        return (-(2**bits) if self.kind == "int" else 0), 2**bits - 1

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


_SPEC: dict[str, tuple[str, int, object]] = {
    "f64": ("float", 64, np.float64),
    "f32": ("float", 32, np.float32),
    "f16": ("float", 16, np.float16),
    "bf16": ("float", 16, ml_dtypes.bfloat16),
    "f8e4m3fn": ("float", 8, ml_dtypes.float8_e4m3fn),
    "f8e4m3fnuz": ("float", 8, ml_dtypes.float8_e4m3fnuz),
    "f8e5m2": ("float", 8, ml_dtypes.float8_e5m2),
    "f8e5m2fnuz": ("float", 8, ml_dtypes.float8_e5m2fnuz),
    "f8e8m0": ("float", 8, ml_dtypes.float8_e8m0fnu),
    "f4e2m1": ("float", 4, ml_dtypes.float4_e2m1fn),
    "i64": ("int", 64, np.int64),
    "i32": ("int", 32, np.int32),
    "i16": ("int", 16, np.int16),
    "i8": ("int", 8, np.int8),
    "i4": ("int", 4, ml_dtypes.int4),
    "i2": ("int", 2, ml_dtypes.int2),
    "u64": ("uint", 64, np.uint64),
    "u32": ("uint", 32, np.uint32),
    "u16": ("uint", 16, np.uint16),
    "u8": ("uint", 8, np.uint8),
    "u4": ("uint", 4, ml_dtypes.uint4),
    "u2": ("uint", 2, ml_dtypes.uint2),
    "bool": ("bool", 8, np.bool_),
    "c128": ("complex", 128, np.complex128),
    "c64": ("complex", 64, np.complex64),
    "string": ("string", 64, np.object_),
}
DTYPES: Mapping[str, DType] = {name: DType(name, kind, bits) for name, (kind, bits, _) in _SPEC.items()}
_NUMPY = {name: np.dtype(scalar) for name, (_, _, scalar) in _SPEC.items()}  # type: ignore[call-overload]
_BY_NUMPY = {dtype: DTYPES[name] for name, dtype in _NUMPY.items()}

f64, f32, f16, bf16 = (DTYPES[name] for name in ("f64", "f32", "f16", "bf16"))
i64, i32, i16, i8 = (DTYPES[name] for name in ("i64", "i32", "i16", "i8"))
u64, u32, u16, u8 = (DTYPES[name] for name in ("u64", "u32", "u16", "u8"))
boolean, string = DTYPES["bool"], DTYPES["string"]


def dtype_of(numpy_dtype: object) -> DType:
    """The isthmus dtype of a numpy dtype; text dtypes are `string`. Raises KeyError for what has none."""
    dtype = np.dtype(numpy_dtype)  # type: ignore[call-overload]
    return string if dtype.kind in "USOT" else _BY_NUMPY[dtype]


@dataclass(frozen=True)
class TensorType:
    """dtype and shape; the rank is always known, dimensions may be symbolic."""

    dtype: DType
    shape: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    @cached_property
    def is_static(self) -> bool:
        return all(isinstance(dim, int) for dim in self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as ints; ValueError when a dimension is symbolic."""
        if not self.is_static:
            raise ValueError(f"{self} has symbolic dimensions")
        return self.shape  # type: ignore[return-value]

    @property
    def elements(self) -> Dim:
        return product(self.shape)

    def substitute(self, values: Mapping[str, Dim]) -> "TensorType":
        return TensorType(self.dtype, tuple(substitute(dim, values) for dim in self.shape))

    def with_shape(self, shape: tuple[Dim, ...]) -> "TensorType":
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> "TensorType":
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class SequenceType:
    """A list of values of one type; its length is known at run time only."""

    element: "Type"

    def __str__(self) -> str:
        return f"sequence<{self.element}>"


@dataclass(frozen=True)
class OptionalType:
    """A value that may be absent."""

    element: "Type"

    def __str__(self) -> str:
        return f"optional<{self.element}>"


Type = TensorType | SequenceType | OptionalType
