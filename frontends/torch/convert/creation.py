"""Ops that make tensors: constants, fillings, ranges."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import Dim, ceildiv
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType, f32, i64
from ...build import shape
from ...extents import made
from ...known import dims, known, never_negative
from ..promotion import cast, result_type, tensor
from ..schema import Any, Dims
from ..table import converter
from .layout import expand


def filled(sizes: Dims, value, dtype: DType) -> Value:
    """A tensor that holds one value throughout."""
    return shape.expand(tensor(value, dtype), shape=tuple(sizes))


@converter("zeros", "empty", "empty.memory_format")
def zeros(size: Dims, *, dtype: DType | None = None):
    """Memory that torch leaves as it is becomes zeros."""
    return filled(size, 0, dtype or f32)


@converter("ones")
def ones(size: Dims, *, dtype: DType | None = None):
    return filled(size, 1, dtype or f32)


@converter("full")
def full(size: Dims, fill_value, *, dtype: DType | None = None):
    return filled(size, fill_value, dtype or result_type(fill_value))


@converter("zeros_like", "empty_like")
def zeros_like(self, *, dtype: DType | None = None):
    return filled(self.shape, 0, dtype or self.dtype)


@converter("ones_like")
def ones_like(self, *, dtype: DType | None = None):
    return filled(self.shape, 1, dtype or self.dtype)


@converter("full_like")
def full_like(self, fill_value, *, dtype: DType | None = None):
    return filled(self.shape, fill_value, dtype or self.dtype)


@converter("new_zeros", "new_empty")
def new_zeros(self, size: Dims, *, dtype: DType | None = None):
    return filled(size, 0, dtype or self.dtype)


@converter("new_empty_strided")
def new_empty_strided(self, size: Dims, stride: Dims, *, dtype: DType | None = None):
    return filled(size, 0, dtype or self.dtype)


@converter("new_ones")
def new_ones(self, size: Dims, *, dtype: DType | None = None):
    return filled(size, 1, dtype or self.dtype)


@converter("new_full")
def new_full(self, size: Dims, fill_value, *, dtype: DType | None = None):
    return filled(size, fill_value, dtype or self.dtype)


@converter("fill")
def fill(self, value):
    return filled(self.shape, value, self.dtype)


@converter("zero")
def zero(self):
    return filled(self.shape, 0, self.dtype)


@converter("copy")
def copy(self, src):
    return expand(cast(src, self.dtype), self.shape)


@converter("scalar_tensor")
def scalar_tensor(s, *, dtype: DType | None = None):
    return cast(s, dtype) if isinstance(s, Value) else constant(s, dtype or result_type(s))


@converter("tensor")
def tensor_of(data: Any, *, dtype: DType | None = None):
    """A number that is computed or known, as a tensor."""
    if isinstance(data, tuple):
        return constant(np.array(data), dtype or (i64 if np.array(data).dtype.kind in "iu" else f32))
    return scalar_tensor(data, dtype=dtype)


@converter("arange")
def arange(end, *, dtype: DType | None = None):
    return _range(0, end, 1, dtype)


@converter("arange.start")
def arange_from(start, end, *, dtype: DType | None = None):
    return _range(start, end, 1, dtype)


@converter("arange.start_step")
def arange_in_steps(start, end, step=1, *, dtype: DType | None = None):
    return _range(start, end, step, dtype)


def _range(start, end, step, dtype: DType | None) -> Value:
    """Counted in i64 or, where a bound is a float, in f64, and cast at the end, as torch does."""
    bounds = (start, end, step)
    whole = all(isinstance(v, int) or (isinstance(v, Value) and v.dtype.is_integer) for v in bounds)
    if whole:
        a, b, by = (v if isinstance(v, int) else (dims(v) or (None,))[0] for v in bounds)
        if a is None or b is None or not isinstance(by, int):
            raise UnsupportedError("how many numbers it counts depends on data", hint="count by a known size")
        size = _steps(a, b, by)
        line = shape.range(*(tensor(v, i64) for v in bounds), size=size)
        return cast(line, dtype or i64)
    numbers = [known(v) if isinstance(v, Value) else v for v in bounds]
    if any(number is None for number in numbers):
        raise UnsupportedError("a range of computed floats is not supported", hint="count in integers")
    low, high, pace = map(float, numbers)  # type: ignore[arg-type]
    made(int((high - low) / pace))
    return constant(np.arange(low, high, pace), dtype or f32)


def _steps(start: Dim, end: Dim, step: int) -> Dim:
    span = (end - start) * (1 if step > 0 else -1)
    if isinstance(span, int):
        return max(0, -(-span // abs(step)))
    if not never_negative(span):
        raise UnsupportedError(
            f"whether it counts '{span}' numbers is not known", hint="fix sizes with shapes="
        )
    return ceildiv(span, abs(step))


@converter("linspace")
def linspace(start: float, end: float, steps: int, *, dtype: DType | None = None):
    made(steps)
    return constant(np.linspace(start, end, steps), dtype or f32)


@converter("logspace")
def logspace(start: float, end: float, steps: int, base: float = 10.0, *, dtype: DType | None = None):
    made(steps)
    return constant(np.logspace(start, end, steps, base=base), dtype or f32)


@converter("eye", "eye.m")
def eye(n: int, m: int | None = None, *, dtype: DType | None = None):
    made(n, n if m is None else m)
    return constant(np.eye(n, m), dtype or f32)


@converter("tril_indices")
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: DType | None = None):
    made(row, col)
    return constant(np.stack(np.tril_indices(row, offset, col)), dtype or i64)


@converter("triu_indices")
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: DType | None = None):
    made(row, col)
    return constant(np.stack(np.triu_indices(row, offset, col)), dtype or i64)


@converter("rand", "randn", "rand_like", "randn_like", "bernoulli")
def refuse_random(self: Any = None, size: Any = None, dtype: Any = None):
    raise UnsupportedError(
        "it draws random numbers", hint="make them an input, or call model.eval() before you export"
    )
