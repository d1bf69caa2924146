"""The IR's dtype names as numpy dtypes. ml_dtypes is imported only for a program that uses a type numpy lacks."""

import importlib
from functools import cache

import numpy as np

from .errors import ExecutionError

_NUMPY = {
    **{f"f{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"c{bits}": f"complex{bits}" for bits in (64, 128)},
    "bool": "bool",
    "string": "object",
}
_ML_DTYPES = {
    "bf16": "bfloat16",
    "f8e4m3fn": "float8_e4m3fn",
    "f8e4m3fnuz": "float8_e4m3fnuz",
    "f8e5m2": "float8_e5m2",
    "f8e5m2fnuz": "float8_e5m2fnuz",
    "f8e8m0": "float8_e8m0fnu",
    "f4e2m1": "float4_e2m1fn",
    "i4": "int4",
    "i2": "int2",
    "u4": "uint4",
    "u2": "uint2",
}


def is_tensor(name: str) -> bool:
    """Whether `name` is an element type; sequences and optionals are not."""
    return name in _NUMPY or name in _ML_DTYPES


@cache
def numpy_dtype(name: str) -> np.dtype:
    """The dtype that carries `name`; sub-byte types take a byte an element. ExecutionError for what is none."""
    if name in _NUMPY:
        return np.dtype(_NUMPY[name])
    if name not in _ML_DTYPES:
        raise ExecutionError(f"'{name}' is no element type", location="runtime")
    try:
        return np.dtype(getattr(importlib.import_module("ml_dtypes"), _ML_DTYPES[name]))
    except ImportError:
        raise ExecutionError(
            f"values of type {name} need the package ml_dtypes",
            location="runtime",
            hint="pip install ml_dtypes",
        ) from None


def matches(array: np.ndarray, name: str) -> bool:
    """Whether `array` holds elements of type `name`, in this machine's byte order."""
    if name == "string":
        return array.dtype.kind in "OUST"
    return array.dtype == numpy_dtype(name)
