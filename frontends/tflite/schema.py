"""The file's tables as plain values: tensors with their quantisation, operators with their options.

Only decoding lives here. The accessors come from the `tflite` package; what they return is checked before it is used.
"""

import re
import struct
from collections.abc import Iterator
from functools import cache
from math import prod
from typing import Any

import numpy as np
import tflite

from ...compiler.diagnostics import ModelError
from ...compiler.ir.types import DTYPES, DType
from ...runtime.records import dataclass
from .sparse import Sparsity, sparsity

DTYPE: dict[int, DType] = {
    getattr(tflite.TensorType, name): DTYPES[ours]
    for name, ours in {
        "FLOAT16": "f16",
        "FLOAT32": "f32",
        "FLOAT64": "f64",
        "INT8": "i8",
        "INT16": "i16",
        "INT32": "i32",
        "INT64": "i64",
        "UINT8": "u8",
        "UINT16": "u16",
        "UINT32": "u32",
        "UINT64": "u64",
        "BOOL": "bool",
        "COMPLEX64": "c64",
        "COMPLEX128": "c128",
        "BFLOAT16": "bf16",
        "STRING": "string",
    }.items()
}
"""Element types by their number in the file, those that the IR knows."""

MOST_DENSE = 2**28
"""Bytes that a sparse constant may take once it is dense: a tiny file can declare any shape."""

BROKEN = (struct.error, IndexError, TypeError, ValueError, OverflowError)
"""What the flatbuffers runtime raises for an offset that leaves the file."""


def names_of(enumeration: type) -> dict[int, str]:
    """The names of a generated enumeration by their numbers."""
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


OPS = names_of(tflite.BuiltinOperator)
TYPES = names_of(tflite.TensorType)
_OPTIONS = names_of(tflite.BuiltinOptions)
_OPTIONS_2 = names_of(tflite.BuiltinOptions2)

_ENUMERATIONS = {
    "fused_activation_function": names_of(tflite.ActivationFunctionType),
    "padding": names_of(tflite.Padding),
    "weights_format": names_of(tflite.FullyConnectedOptionsWeightsFormat),
    "kernel_type": names_of(tflite.LSTMKernelType),
}
"""Options that hold the number of a name. Mirror padding's mode is one too, but other modes are no names."""


@dataclass(frozen=True, slots=True)
class Quantisation:
    """real = (q - zero) * scale; both are f32[n] and i64[n], n being 1 or the extent of `axis`."""

    scale: np.ndarray
    zero: np.ndarray
    axis: int

    @property
    def per_channel(self) -> bool:
        return len(self.scale) > 1

    def same(self, other: "Quantisation | None") -> bool:
        """Whether both give the same numbers the same meaning."""
        return (
            other is not None
            and self.scale.tolist() == other.scale.tolist()
            and self.zero.tolist() == other.zero.tolist()
        )


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a subgraph as declared. `shape` has -1 for extents that are open until run time."""

    index: int
    name: str
    type: int
    shape: tuple[int, ...]
    buffer: int
    variable: bool
    sparse: Sparsity | None
    quantisation: Quantisation | None

    @property
    def dtype(self) -> DType | None:
        return DTYPE.get(self.type)

    @property
    def is_complex(self) -> bool:
        return self.dtype is not None and self.dtype.kind == "complex"

    @property
    def is_narrow(self) -> bool:
        """Whether it holds quantised activations or weights; a quantised bias, which is i32, decides nothing."""
        dtype = self.dtype
        return self.quantisation is not None and dtype is not None and dtype.is_integer and dtype.bits <= 16


@dataclass(frozen=True, slots=True)
class Operator:
    """The op version of one operator, and its tensors as declared; None stands for an absent operand."""

    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All operands and results that are there."""
        return tuple(tensor for tensor in (*self.inputs, *self.outputs) if tensor is not None)


class File:
    """Checked access to a model's bytes. The number of entries read is bounded by the size of the file.

    Tables may be shared inside a flatbuffer, so a small file can claim to hold any number of them.
    """

    def __init__(self, data: Any):
        self.data = data
        self.left = len(data)

    def entries(self, table: Any, field: str) -> Iterator[Any]:
        """The elements of a vector of tables."""
        count = getattr(table, f"{field}Length")()
        self._take(count, field)
        return (getattr(table, field)(n) for n in range(count))

    def numbers(self, table: Any, field: str) -> tuple[Any, ...]:
        """The elements of a vector of numbers; () where it is absent."""
        return tuple(self.array(table, field).tolist())

    def array(self, table: Any, field: str) -> np.ndarray:
        """A vector of numbers as a view of the file; empty where it is absent."""
        if getattr(table, f"{field}IsNone")():
            return np.zeros(0, np.int32)
        self._take(getattr(table, f"{field}Length")(), field)
        return getattr(table, f"{field}AsNumpy")()

    def _take(self, count: int, field: str) -> None:
        self.left -= count
        if self.left < 0:
            raise ModelError(f"its tables claim more entries than its {len(self.data)} bytes hold ({field})")

    def tensor(self, index: int, table: Any) -> Tensor:
        signature = self.numbers(table, "ShapeSignature")
        shape = self.numbers(table, "Shape")
        name = text(table.Name()) or f"tensor_{index}"
        if signature and len(signature) != len(shape):
            raise ModelError(
                f"tensor {index} '{name}' has shape {list(shape)} and signature {list(signature)}"
            )
        if any(extent < -1 for extent in signature) or any(extent < 0 for extent in shape):
            raise ModelError(f"tensor {index} '{name}' has the shape {list(signature or shape)}")
        return Tensor(
            index,
            name,
            table.Type(),
            signature or shape,
            table.Buffer(),
            bool(table.IsVariable()),
            sparsity(self, table.Sparsity(), len(shape)),
            self.quantisation(name, table.Quantization(), shape),
        )

    def quantisation(self, name: str, table: Any, shape: tuple[int, ...]) -> Quantisation | None:
        """The parameters of a tensor; None where it has no scale (the range alone has no meaning)."""
        if table is None or not table.ScaleLength():
            return None
        scale = self.array(table, "Scale").astype(np.float32)
        zero = self.array(table, "ZeroPoint").astype(np.int64)
        zero = np.zeros(len(scale), np.int64) if not len(zero) else zero
        axis = table.QuantizedDimension()
        fits = len(scale) == 1 or (0 <= axis < len(shape) and len(scale) == shape[axis])
        if len(zero) == 1 and len(scale) > 1:
            zero = np.repeat(zero, len(scale))
        if not fits or len(zero) != len(scale):
            raise ModelError(
                f"'{name}' of shape {list(shape)} has {len(scale)} scales and {len(zero)} zero points for axis {axis}"
            )
        if not (np.isfinite(scale) & (scale >= 0)).all():
            raise ModelError(f"'{name}' has a scale that is negative or not finite")
        return Quantisation(scale, zero, axis)

    def options(self, table: Any) -> dict[str, Any]:
        """The options of an operator by name; those of newer ops stand in a second union."""
        found: dict[str, Any] = {}
        for kind, union, names in (
            (table.BuiltinOptionsType(), table.BuiltinOptions, _OPTIONS),
            (table.BuiltinOptions2Type(), table.BuiltinOptions2, _OPTIONS_2),
        ):
            if not kind:
                continue
            body, options = union(), getattr(tflite, names.get(kind, ""), None)
            if options is None:
                raise ModelError(f"its options have the unknown type {kind}")
            if body is None:
                continue
            entry = options()
            entry.Init(body.Bytes, body.Pos)
            for name, method, is_vector in _fields(options):
                value: Any = self.numbers(entry, method) if is_vector else getattr(entry, method)()
                if name in _ENUMERATIONS:
                    value = _ENUMERATIONS[name].get(value, str(value))
                found[name] = text(value) if isinstance(value, bytes) else value
        return found


@cache
def _fields(options: type) -> tuple[tuple[str, str, bool], ...]:
    """The fields of a generated options class: name, accessor, whether it is a vector of numbers."""
    methods = [name for name in vars(options) if name[0].isupper() and name != "Init"]
    return tuple(
        (re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(), name, f"{name}AsNumpy" in methods)
        for name in methods
        if not name.startswith("GetRootAs")
        and not name.endswith(("BufferHasIdentifier", "AsNumpy", "Length", "IsNone"))
    )


def text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def elements(tensor: Tensor, data: np.ndarray) -> np.ndarray:
    """A constant's bytes as an array. Raises ModelError where they are not what its type and shape need."""
    dtype = tensor.dtype
    if dtype is None or dtype.kind == "string":
        kind = TYPES.get(tensor.type, f"number {tensor.type}")
        raise ModelError(f"constants of type {kind} are not supported", hint="convert with another type")
    needed = prod(tensor.shape) * dtype.numpy.itemsize
    if tensor.sparse is not None and min(tensor.shape, default=0) >= 0:
        if needed > MOST_DENSE:
            raise ModelError(f"it takes {needed} bytes once it is dense, at most {MOST_DENSE} are supported")
        values = data[: len(data) - len(data) % dtype.numpy.itemsize].view(dtype.numpy.newbyteorder("<"))
        data = tensor.sparse.dense(values, tensor.shape).reshape(-1).view(np.uint8)
    if min(tensor.shape, default=0) < 0 or needed != len(data):
        raise ModelError(
            f"the constant is declared {dtype}{list(tensor.shape)} ({needed} bytes), its data are {len(data)} bytes",
            hint="convert the model again",
        )
    if dtype.kind == "bool":
        return (data != 0).reshape(tensor.shape)
    return data.view(dtype.numpy.newbyteorder("<")).reshape(tensor.shape)
