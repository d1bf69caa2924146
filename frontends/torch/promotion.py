"""Torch's implicit promotion of element types, as explicit casts: the IR has none.

The rule is that of torch.result_type (c10/core/ScalarType.h and aten/src/ATen/native/TypeProperties.cpp): tensors of
rank 1 and more decide; tensors of rank 0 and numbers count only where they are of a higher category (bool, integer,
float, complex).
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any

from ...compiler.ir.graph import Value, constant
from ...compiler.ir.types import DTYPES, DType, boolean, f32, i64
from ..build import math

_CATEGORY = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}
_INTEGERS = ("u8", "i8", "i16", "i32", "i64")
_FLOATS = ("f16", "bf16", "f32", "f64")


def promoted(a: DType, b: DType) -> DType:
    """The dtype that two tensors of the same rank meet in."""
    if a == b:
        return a
    low, high = sorted((a, b), key=lambda dtype: _CATEGORY[dtype.kind])
    if _CATEGORY[low.kind] < _CATEGORY[high.kind] and high.kind != "complex":
        return high
    if high.kind == "complex":
        return DTYPES["c128"] if {a.name, b.name} & {"f64", "c128"} else DTYPES["c64"]
    if high.is_float:
        if {a.name, b.name} == {"f16", "bf16"}:
            return f32
        return max(a, b, key=lambda dtype: _FLOATS.index(dtype.name))
    if "u8" in (a.name, b.name) and "i8" in (a.name, b.name):
        return DTYPES["i16"]
    return max(a, b, key=lambda dtype: _INTEGERS.index(dtype.name))


def result_type(*operands: Any) -> DType:
    """The dtype of an elementwise result over tensors and numbers."""
    shaped = [v.dtype for v in operands if isinstance(v, Value) and v.type.rank]
    scalars = [v.dtype for v in operands if isinstance(v, Value) and not v.type.rank]
    numbers = [_of_number(v) for v in operands if not isinstance(v, Value) and v is not None]
    found: DType | None = None
    for group in (shaped, scalars, numbers):
        if not group:
            continue
        own = reduce(promoted, group)
        if found is None:
            found = own
        elif _CATEGORY[own.kind] > _CATEGORY[found.kind]:
            found = promoted(found, own) if found.is_float else own
    assert found is not None
    return found


def _of_number(number: Any) -> DType:
    if isinstance(number, bool):
        return boolean
    return i64 if isinstance(number, int) else f32


def cast(x: Value, dtype: DType | None) -> Value:
    """x in a dtype, if it has another one."""
    if dtype is None or x.dtype == dtype:
        return x
    return (
        math.ne(x, 0)
        if dtype == boolean and x.dtype.kind != "complex"
        else math.cast(x, dtype=dtype, saturate=False)
    )


def tensor(x: Any, dtype: DType) -> Value:
    """A tensor or number as a tensor of a dtype."""
    return cast(x, dtype) if isinstance(x, Value) else constant(x, dtype)


def together(*operands: Any, dtype: DType | None = None) -> tuple[Value, ...]:
    """Tensors and numbers in the dtype that torch computes them in, or in the one given."""
    common = result_type(*operands) if dtype is None else dtype
    return tuple(tensor(operand, common) for operand in operands)


def floating(*operands: Any) -> tuple[Value, ...]:
    """As `together`, integers and bools as f32."""
    common = result_type(*operands)
    return together(*operands, dtype=common if common.kind in ("float", "complex") else f32)


def widest(dtypes: Iterable[DType]) -> DType:
    """What integer sums are computed in: i64; floats stay."""
    found = reduce(promoted, dtypes)
    return found if found.is_float or found.kind == "complex" else i64
