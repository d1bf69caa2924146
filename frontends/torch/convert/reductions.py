"""Reductions: sums, means, extremes, norms, running totals."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType, boolean, i64, u8
from ...build import math, reduce
from ...extents import positions
from ...normalise import axes_of, axis_of
from ..promotion import cast, floating, widest
from ..schema import Ints
from ..table import converter
from .layout import along, cat, flatten, reshaped, transpose, unsqueeze


def axes(x: Value, dim: Ints | None) -> Ints:
    """The axes of a reduction; none given means all."""
    if not x.type.rank:
        return ()
    return axes_of(dim, x.type.rank, "dim") if dim else tuple(range(x.type.rank))


@converter("sum")
def sum_of(self, dim: Ints | None = None, keepdim: bool = False, *, dtype: DType | None = None):
    x = cast(self, dtype or widest([self.dtype]))
    return reduce.sum(x, axes=axes(x, dim), keepdims=keepdim)


@converter("mean")
def mean(self, dim: Ints | None = None, keepdim: bool = False, *, dtype: DType | None = None):
    x = cast(self, dtype)
    return reduce.mean(x, axes=axes(x, dim), keepdims=keepdim)


@converter("prod.dim_int")
def prod_dim(self, dim: int, keepdim: bool = False, *, dtype: DType | None = None):
    x = cast(self, dtype or widest([self.dtype]))
    return reduce.prod(x, axes=axes(x, (dim,)), keepdims=keepdim)


@converter("prod")
def prod(self, *, dtype: DType | None = None):
    x = cast(self, dtype or widest([self.dtype]))
    return reduce.prod(x, axes=axes(x, None), keepdims=False)


def _extreme(op, x: Value, dim: Ints | None, keepdim: bool) -> Value:
    if x.dtype == boolean:
        return cast(op(cast(x, u8), axes=axes(x, dim), keepdims=keepdim), boolean)
    return op(x, axes=axes(x, dim), keepdims=keepdim)


@converter("amax")
def amax(self, dim: Ints = (), keepdim: bool = False):
    return _extreme(reduce.max, self, dim, keepdim)


@converter("amin")
def amin(self, dim: Ints = (), keepdim: bool = False):
    return _extreme(reduce.min, self, dim, keepdim)


@converter("max")
def max_all(self):
    return amax(self)


@converter("min")
def min_all(self):
    return amin(self)


@converter("max.dim")
def max_dim(self, dim: int, keepdim: bool = False):
    return amax(self, (dim,), keepdim), argmax(self, dim, keepdim)


@converter("min.dim")
def min_dim(self, dim: int, keepdim: bool = False):
    return amin(self, (dim,), keepdim), argmin(self, dim, keepdim)


def _position(op, x: Value, dim: int | None, keepdim: bool) -> Value:
    x = cast(x, u8) if x.dtype == boolean else x
    x = flatten(x) if dim is None else x
    return op(x, axis=axis_of(dim or 0, x.type.rank, "dim"), keepdims=keepdim)


@converter("argmax")
def argmax(self, dim: int | None = None, keepdim: bool = False):
    return _position(reduce.argmax, self, dim, keepdim)


@converter("argmin")
def argmin(self, dim: int | None = None, keepdim: bool = False):
    return _position(reduce.argmin, self, dim, keepdim)


@converter("any")
def any_of(self, dim: Ints | None = None, keepdim: bool = False):
    return _extreme(reduce.max, cast(self, boolean), dim, keepdim)


@converter("all")
def all_of(self, dim: Ints | None = None, keepdim: bool = False):
    return _extreme(reduce.min, cast(self, boolean), dim, keepdim)


def _count(x: Value, dim: Ints | None) -> int:
    found = product(x.shape[axis] for axis in axes(x, dim))
    if not isinstance(found, int):
        raise UnsupportedError(
            f"it divides by '{found}' less a correction", hint="fix the dimension with shapes="
        )
    return found


def variance(x: Value, dim: Ints | None, keepdim: bool, correction: float) -> Value:
    """Squared distances from the mean, summed and divided by their number less the correction."""
    centred = math.sub(x, reduce.mean(x, axes=axes(x, dim)))
    total = reduce.sum(math.mul(centred, centred), axes=axes(x, dim), keepdims=keepdim)
    return math.div(total, max(_count(x, dim) - correction, 0))


@converter("var")
def var_all(self, unbiased: bool = True):
    return variance(self, None, False, int(unbiased))


@converter("std")
def std_all(self, unbiased: bool = True):
    return math.sqrt(var_all(self, unbiased))


@converter("var.correction")
def var(self, dim: Ints | None = None, *, correction: float | None = None, keepdim: bool = False):
    return variance(self, dim, keepdim, 1 if correction is None else correction)


@converter("var.dim")
def var_dim(self, dim: Ints | None = None, unbiased: bool = True, keepdim: bool = False):
    return variance(self, dim, keepdim, int(unbiased))


@converter("std.correction")
def std(self, dim: Ints | None = None, *, correction: float | None = None, keepdim: bool = False):
    return math.sqrt(var(self, dim, correction=correction, keepdim=keepdim))


@converter("std.dim")
def std_dim(self, dim: Ints | None = None, unbiased: bool = True, keepdim: bool = False):
    return math.sqrt(var_dim(self, dim, unbiased, keepdim))


@converter("var_mean.correction")
def var_mean(self, dim: Ints | None = None, *, correction: float | None = None, keepdim: bool = False):
    return var(self, dim, correction=correction, keepdim=keepdim), mean(self, dim, keepdim)


@converter("var_mean.dim")
def var_mean_dim(self, dim: Ints | None = None, unbiased: bool = True, keepdim: bool = False):
    return var_dim(self, dim, unbiased, keepdim), mean(self, dim, keepdim)


@converter("std_mean.correction")
def std_mean(self, dim: Ints | None = None, *, correction: float | None = None, keepdim: bool = False):
    return std(self, dim, correction=correction, keepdim=keepdim), mean(self, dim, keepdim)


@converter("std_mean.dim")
def std_mean_dim(self, dim: Ints | None = None, unbiased: bool = True, keepdim: bool = False):
    return std_dim(self, dim, unbiased, keepdim), mean(self, dim, keepdim)


@converter("aminmax")
def aminmax(self, *, dim: int | None = None, keepdim: bool = False):
    along_axes = () if dim is None else (dim,)
    return amin(self, along_axes, keepdim), amax(self, along_axes, keepdim)


def _numbers(x: Value) -> Value:
    """x with 0 for NaN."""
    return math.where(math.isnan(x), cast(constant(0), x.dtype), x) if x.dtype.is_float else x


@converter("nansum")
def nansum(self, dim: Ints | None = None, keepdim: bool = False, *, dtype: DType | None = None):
    return sum_of(_numbers(self), dim, keepdim, dtype=dtype)


@converter("nanmean")
def nanmean(self, dim: Ints | None = None, keepdim: bool = False, *, dtype: DType | None = None):
    there = cast(math.logical_not(math.isnan(self)), self.dtype)
    return math.div(nansum(self, dim, keepdim, dtype=dtype), sum_of(there, dim, keepdim, dtype=dtype))


@converter("linalg_vector_norm")
def norm(
    self, ord: float = 2.0, dim: Ints | None = None, keepdim: bool = False, *, dtype: DType | None = None
):
    x, along_axes = cast(self, dtype), axes(self, dim)
    size = math.abs(x)
    if ord in (float("inf"), float("-inf")):
        return (reduce.max if ord > 0 else reduce.min)(size, axes=along_axes, keepdims=keepdim)
    if ord == 1:
        return reduce.sum(size, axes=along_axes, keepdims=keepdim)
    if ord == 2:
        return math.sqrt(reduce.sum(math.mul(x, x), axes=along_axes, keepdims=keepdim))
    return math.pow(reduce.sum(math.pow(size, ord), axes=along_axes, keepdims=keepdim), 1 / ord)


@converter("norm")
def norm_of(
    self, p: float | None = 2.0, dim: Ints | None = None, keepdim: bool = False, *, dtype: DType | None = None
):
    return norm(self, 2.0 if p is None else p, dim, keepdim, dtype=dtype)


@converter("linalg_matrix_norm.str_ord")
def matrix_norm(
    self, ord: str = "fro", dim: Ints = (-2, -1), keepdim: bool = False, *, dtype: DType | None = None
):
    if ord != "fro":
        raise UnsupportedError(f"the norm '{ord}' is not supported", hint="use the Frobenius norm")
    return norm(self, 2.0, dim, keepdim, dtype=dtype)


@converter("frobenius_norm.dim")
def frobenius_norm(self, dim: Ints, keepdim: bool = False):
    return norm(self, 2.0, dim, keepdim)


@converter("linalg_norm")
def linalg_norm(
    self,
    ord: float | None = None,
    dim: Ints | None = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
):
    """Without `ord`, of all elements; with it, of vectors."""
    if ord is not None and len(axes(self, dim)) != 1:
        raise UnsupportedError(f"norms {ord} of matrices are not supported", hint="use norms of vectors")
    return norm(self, 2.0 if ord is None else ord, dim, keepdim, dtype=dtype)


@converter("pairwise_distance")
def pairwise_distance(x1, x2, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
    return norm(math.add(math.sub(x1, x2), eps), p, (-1,), keepdim)


@converter("logsumexp")
def logsumexp(self, dim: Ints, keepdim: bool = False):
    """Shifted by the greatest element, so that exp does not overflow."""
    (x,) = floating(self)
    along_axes = axes(x, dim)
    top = reduce.max(x, axes=along_axes)
    top = math.where(math.isinf(top), math.mul(cast(math.isnan(top), top.dtype), 0), top)
    total = math.add(math.log(reduce.sum(math.exp(math.sub(x, top)), axes=along_axes)), top)
    kept = tuple(d for n, d in enumerate(total.shape) if n not in along_axes)
    return total if keepdim else reshaped(total, kept)


@converter("cumsum")
def cumsum(self, dim: int, *, dtype: DType | None = None):
    x = cast(self, dtype or widest([self.dtype]))
    return reduce.cumsum(x, axis=axis_of(dim, x.type.rank, "dim")) if x.type.rank else x


@converter("cumprod")
def cumprod(self, dim: int, *, dtype: DType | None = None):
    x = cast(self, dtype or widest([self.dtype]))
    return reduce.cumprod(x, axis=axis_of(dim, x.type.rank, "dim"))


def _prefixes(x: Value, axis: int, filler: float) -> Value:
    """For each place along an axis all elements up to it, along a new last axis; beyond it the filler."""
    line = transpose(unsqueeze(x, -1), axis, -1)
    here, there = positions(x, axis), reshaped(positions(x, axis), (-1,))
    kept = math.le(there, unsqueeze(here, -1))
    return math.where(kept, line, constant(filler, x.dtype))


def _running(op, pick, x: Value, dim: int, filler: float) -> tuple[Value, Value]:
    """Running extremes, and the last place of each, as torch counts."""
    axis = axis_of(dim, x.type.rank, "dim")
    parts = _prefixes(x, axis, filler)
    last = {"axis": x.type.rank, "keepdims": False, "select_last": True}
    return op(parts, axes=(x.type.rank,), keepdims=False), pick(parts, **last)


@converter("cummax")
def cummax(self, dim: int):
    return _running(reduce.max, reduce.argmax, self, dim, -_most(self))


@converter("cummin")
def cummin(self, dim: int):
    return _running(reduce.min, reduce.argmin, self, dim, _most(self))


def _most(x: Value) -> float:
    return float("inf") if x.dtype.is_float else 2 ** (x.dtype.bits - 1) - 1


@converter("logcumsumexp")
def logcumsumexp(self, dim: int):
    axis = axis_of(dim, self.type.rank, "dim")
    return logsumexp(_prefixes(self, axis, float("-inf")), (-1,))


@converter("diff")
def diff(self, n: int = 1, dim: int = -1, prepend=None, append=None):
    axis = axis_of(dim, self.type.rank, "dim")
    x = cat(tuple(part for part in (prepend, self, append) if part is not None), axis)
    for _ in range(n):
        rest = x.shape[axis] - 1
        later, sooner = along(x, axis, 1, rest), along(x, axis, 0, rest)
        x = math.logical_xor(later, sooner) if x.dtype == boolean else math.sub(later, sooner)
    return x


@converter("count_nonzero")
def count_nonzero(self, dim: Ints | None = None):
    return reduce.sum(cast(cast(self, boolean), i64), axes=axes(self, dim), keepdims=False)


@converter("dist")
def dist(self, other, p: float = 2.0):
    return norm(math.sub(self, other), p)
