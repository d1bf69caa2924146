"""Lookups, masks and scatters by index, and what sorts."""

from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import Dim, product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType, boolean, f64, i64, u8
from ....compiler.ops.rules import broadcast_shapes
from ...build import math, reduce, shape
from ...extents import made, positions
from ...known import dims
from ...normalise import axis_of
from ..promotion import cast, tensor, together
from ..schema import Dims, Optionals
from ..table import converter
from .creation import filled
from .layout import along, expand, flatten, movedim, repeat_interleave, reshaped, squeeze, unsqueeze


@converter("embedding")
def embedding(weight, indices, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False):
    return shape.gather(weight, indices, axis=0)


@converter("index_select")
def index_select(self, dim: int, index):
    return shape.gather(self, index, axis=axis_of(dim, self.type.rank, "dim"))


@converter("gather")
def gather(self, dim: int, index, *, sparse_grad: bool = False):
    """The index may be shorter than x on the other axes."""
    axis = axis_of(dim, self.type.rank, "dim")
    sizes = tuple(d if n == axis else index.shape[n] for n, d in enumerate(self.shape))
    x = self
    if sizes != self.shape:
        zeros, ones = (0,) * self.type.rank, (1,) * self.type.rank
        x = shape.slice(self, starts=zeros, sizes=sizes, steps=ones)
    return shape.gather_elements(x, index, axis=axis)


@converter("take_along_dim")
def take_along_dim(self, indices, dim: int | None = None):
    return gather(flatten(self), 0, flatten(indices)) if dim is None else gather(self, dim, indices)


@converter("take")
def take(self, index):
    return shape.gather(flatten(self), index, axis=0)


@converter("index")
def index(self, indices: Optionals):
    """Tensors of indices, broadcast together, for some of the axes; a mask stands for the axes that it covers."""
    chosen = _coordinates(self, indices)
    axes = [n for n, entry in enumerate(chosen) if entry is not None]
    if len(axes) == 1:
        return shape.gather(self, chosen[axes[0]], axis=axes[0])
    moved, places = _in_front(self, chosen, axes)
    out = shape.gather_nd(moved, places, batch_dims=0)
    inner, front = places.type.rank - 1, _before(axes)
    rest = range(inner + front, out.type.rank)
    perm = (*range(inner, inner + front), *range(inner), *rest)
    return shape.transpose(out, perm=perm) if front else out


def _before(axes: list[int]) -> int:
    """How many axes of what is taken stand before those of the indices, which come first unless they are neighbours."""
    return axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0


def _coordinates(x: Value, indices: Optionals) -> list[Value | None]:
    """An index tensor or None for each axis; masks become the coordinates where they hold."""
    found: list[Value | None] = []
    for entry in indices:
        if entry is not None and entry.dtype == boolean:
            places = shape.nonzero(entry)
            found.extend(
                shape.reshape(_row(places, n), shape=(places.shape[1],)) for n in range(entry.type.rank)
            )
        else:
            found.append(entry)
    return [*found, *[None] * (x.type.rank - len(found))]


def _row(places: Value, n: int) -> Value:
    return shape.slice(places, starts=(n, 0), sizes=(1, places.shape[1]), steps=(1, 1))


def _in_front(x: Value, chosen: Sequence[Value | None], axes: list[int]) -> tuple[Value, Value]:
    """x with the indexed axes first, and the coordinates of what is taken along a last axis."""
    rest = [n for n in range(x.type.rank) if n not in axes]
    moved = shape.transpose(x, perm=(*axes, *rest)) if axes != list(range(len(axes))) else x
    lookups = [entry for entry in chosen if entry is not None]
    common = broadcast_shapes(*(entry.shape for entry in lookups))
    columns = [unsqueeze(expand(cast(entry, i64), common), -1) for entry in lookups]
    return moved, columns[0] if len(columns) == 1 else shape.concat(*columns, axis=len(common))


@converter("index_put", "_unsafe_index_put")
def index_put(self, indices: Optionals, values, accumulate: bool = False):
    only = indices[0]
    if len(indices) == 1 and only is not None and only.dtype == boolean and values.type.elements == 1:
        mask = reshaped(only, (*only.shape, *(1,) * (self.type.rank - only.type.rank)))
        return math.where(mask, reshaped(tensor(values, self.dtype), ()), self)
    chosen = _coordinates(self, indices)
    axes = [n for n, entry in enumerate(chosen) if entry is not None]
    moved, places = _in_front(self, chosen, axes)
    rest, front, inner = moved.shape[len(axes) :], _before(axes), places.type.rank - 1
    values = expand(tensor(values, self.dtype), (*rest[:front], *places.shape[:-1], *rest[front:]))
    if front:
        perm = (*range(front, front + inner), *range(front), *range(front + inner, values.type.rank))
        values = shape.transpose(values, perm=perm)
    out = shape.scatter_nd(moved, places, values, reduction="add" if accumulate else "none")
    order = [*axes, *(n for n in range(self.type.rank) if n not in axes)]
    return out if out is moved or order == sorted(order) else shape.transpose(out, perm=_inverse(order))


def _inverse(perm: list[int]) -> tuple[int, ...]:
    return tuple(map(perm.index, range(len(perm))))


@converter("scatter.src", "scatter")
def scatter(self, dim: int, index, src):
    return _scattered(self, dim, index, src, "none")


@converter("scatter.value")
def scatter_value(self, dim: int, index, value: float):
    return _scattered(self, dim, index, value, "none")


@converter("scatter_add")
def scatter_add(self, dim: int, index, src):
    return _scattered(self, dim, index, src, "add")


_REDUCTIONS = {
    **dict.fromkeys(("sum", "add", "mean"), "add"),
    **dict.fromkeys(("prod", "multiply"), "mul"),
    "amax": "max",
    "amin": "min",
}


def _neutral(reduce: str, dtype: DType) -> float:
    """What changes no reduction that it takes part in."""
    if reduce in ("amax", "amin"):
        low, high = (-np.inf, np.inf) if dtype.is_float else dtype.limits
        return low if reduce == "amax" else high
    return float(reduce in ("prod", "multiply"))


@converter("scatter_reduce", "scatter.reduce")
def scatter_reduce(self, dim: int, index, src, reduce: str, *, include_self: bool = True):
    """What nothing is scattered to keeps its value, whether or not that counts elsewhere."""
    if reduce not in _REDUCTIONS:
        raise UnsupportedError(f"reduce='{reduce}' is not supported", hint="use 'sum', 'mean' or 'amax'")
    start = self if include_self else filled(self.shape, _neutral(reduce, self.dtype), self.dtype)
    total = _scattered(start, dim, index, src, _REDUCTIONS[reduce])
    if include_self and reduce != "mean":
        return total
    ones = filled(index.shape, 1, i64)
    counts = _scattered(filled(self.shape, int(include_self), i64), dim, index, ones, "add")
    if reduce == "mean":
        number = math.cast(math.max(counts, tensor(1, i64)), dtype=self.dtype)
        total = math.div(total, number) if self.dtype.is_float else math.floordiv(total, number)
    return math.where(math.gt(counts, tensor(0, i64)), total, self)


def _scattered(x: Value, dim: int, index: Value, src, reduction: str) -> Value:
    updates = tensor(src, x.dtype)
    if updates.shape != index.shape:
        if updates.type.rank == 0:
            updates = expand(updates, index.shape)
        else:
            zeros, ones = (0,) * x.type.rank, (1,) * x.type.rank
            updates = shape.slice(updates, starts=zeros, sizes=index.shape, steps=ones)
    return shape.scatter_elements(
        x, index, updates, axis=axis_of(dim, x.type.rank, "dim"), reduction=reduction
    )


@converter("repeat_interleave.self_Tensor")
def repeat_interleave_each(self, repeats, dim: int | None = None, *, output_size: Dim | None = None):
    counts = dims(repeats)
    if counts is None or not (len(counts) == 1 or all(isinstance(count, int) for count in counts)):
        raise UnsupportedError("how often each part is repeated depends on data", hint="give numbers")
    if len(counts) == 1:
        return repeat_interleave(self, counts[0], dim)
    x = flatten(self) if dim is None else self
    places = np.repeat(np.arange(len(counts)), np.array(counts, np.int64))
    return shape.gather(x, constant(places), axis=axis_of(dim or 0, x.type.rank, "dim"))


@converter("max_unpool2d")
def max_unpool2d(self, indices, output_size: Dims):
    """Each value at its place in its plane, zeros around it."""
    *planes, _, _ = self.shape
    size = (*planes, product(self.shape[-2:]))
    zeros = filled((*planes, product(output_size)), 0, self.dtype)
    spread = _scattered(zeros, -1, reshaped(indices, size), reshaped(self, size), "none")
    return reshaped(spread, (*planes, *output_size))


@converter("index_add")
def index_add(self, dim: int, index, source, *, alpha=1):
    if alpha != 1:
        source = math.mul(source, tensor(alpha, source.dtype))
    return _scattered(self, dim, _spread(index, source, dim), source, "add")


@converter("index_copy")
def index_copy(self, dim: int, index, source):
    return _scattered(self, dim, _spread(index, source, dim), source, "none")


@converter("index_fill")
def index_fill(self, dim: int, index, value):
    axis = axis_of(dim, self.type.rank, "dim")
    sizes = tuple(index.shape[0] if n == axis else d for n, d in enumerate(self.shape))
    filler = expand(tensor(value, self.dtype), sizes)
    return _scattered(self, dim, _spread(index, filler, dim), filler, "none")


def _spread(index: Value, like: Value, dim: int) -> Value:
    axis = axis_of(dim, like.type.rank, "dim")
    line = reshaped(index, tuple(-1 if n == axis else 1 for n in range(like.type.rank)))
    return expand(line, like.shape)


@converter("masked_scatter")
def masked_scatter(self, mask, source):
    """The k-th place where the mask holds gets the k-th element of the source."""
    mask = expand(mask, self.shape)
    order = math.sub(reduce.cumsum(cast(flatten(mask), i64), axis=0), 1)
    taken = shape.gather(flatten(source), math.max(order, 0), axis=0)
    return math.where(mask, reshaped(taken, self.shape), self)


@converter("masked_select")
def masked_select(self, mask):
    target = broadcast_shapes(self.shape, mask.shape)
    return shape.compress(flatten(expand(self, target)), flatten(expand(mask, target)))


@converter("nonzero")
def nonzero(self):
    return shape.transpose(shape.nonzero(self), perm=(1, 0))


@converter("topk")
def topk(self, k: Dim, dim: int = -1, largest: bool = True, sorted: bool = True):
    axis = axis_of(dim, self.type.rank, "dim")
    if not isinstance(k, int):
        raise UnsupportedError(f"its 'k' is '{k}'", hint="fix the dimension with shapes=")
    return shape.topk(self, constant(k, i64), axis=axis, largest=largest, sorted=True, size=k)


@converter("sort")
def sort(self, dim: int = -1, descending: bool = False, *, stable: bool | None = None):
    """Equal elements keep their order, which torch promises for stable sorts only."""
    return topk(self, self.shape[axis_of(dim, self.type.rank, "dim")], dim, descending)


@converter("sort.stable")
def sort_stable(self, stable: bool | None = None, dim: int = -1, descending: bool = False):
    return sort(self, dim, descending)


@converter("msort")
def msort(self):
    return sort(self, 0)[0]


@converter("argsort")
def argsort(self, dim: int = -1, descending: bool = False, *, stable: bool = False):
    return sort(self, dim, descending)[1]


@converter("kthvalue")
def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False):
    found = (along(part, axis_of(dim, self.type.rank, "dim"), k - 1, 1) for part in topk(self, k, dim, False))
    return tuple(part if keepdim else squeeze(part, (dim,)) for part in found)


@converter("quantile.scalar")
def quantile(self, q: float, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"):
    x, axis = (flatten(self), 0) if dim is None else (self, axis_of(dim, self.type.rank, "dim"))
    extent = x.shape[axis]
    if not isinstance(extent, int) or interpolation != "linear":
        raise UnsupportedError(
            f"quantiles of '{extent}' elements, '{interpolation}', are not supported",
            hint="fix sizes with shapes=, and interpolate linearly",
        )
    place = q * (extent - 1)
    low = min(int(place), max(extent - 2, 0))
    below, above = (kthvalue(x, n, axis, True)[0] for n in (low + 1, min(low + 2, extent)))
    found = math.add(below, math.mul(math.sub(above, below), place - low))
    return found if keepdim and dim is not None else squeeze(found, (axis,))


@converter("median.dim")
def median_dim(self, dim: int, keepdim: bool = False):
    """Of an even number the lower one."""
    extent = self.shape[axis_of(dim, self.type.rank, "dim")]
    if not isinstance(extent, int):
        raise UnsupportedError(f"the median of '{extent}' elements is not known", hint="fix it with shapes=")
    return kthvalue(self, (extent + 1) // 2, dim, keepdim)


@converter("median")
def median(self):
    return median_dim(flatten(self), 0)[0]


@converter("one_hot")
def one_hot(self, num_classes: int = -1):
    if num_classes < 0:
        raise UnsupportedError("the number of classes depends on data", hint="give num_classes")
    made(num_classes)
    classes = constant(np.arange(num_classes))
    return cast(math.eq(unsqueeze(self, -1), classes), i64)


@converter("_unique2")
def unique2(self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False):
    """Sorted whatever is asked for, as torch does; what nobody asks for is computed too."""
    values, _, inverse, counts = shape.unique(flatten(self), axis=None, sorted=True)
    return values, reshaped(inverse, self.shape), counts


@converter("unique_dim")
def unique_dim(
    self, dim: int, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
):
    values, _, inverse, counts = shape.unique(self, axis=axis_of(dim, self.type.rank, "dim"), sorted=True)
    return values, inverse, counts


@converter("bincount")
def bincount(self, weights=None, minlength: int = 0):
    raise UnsupportedError(
        "how many counts it gives depends on data", hint="use histc or one_hot with known sizes"
    )


@converter("histc")
def histc(self, bins: int = 100, min=0, max=0):
    """Counts of equal bins from min to max; what is outside, and NaN, is not counted."""
    if min == max:
        raise UnsupportedError("bins over the values' own range are not supported", hint="give min and max")
    x = flatten(self)
    place = math.floor(math.mul(math.sub(cast(x, _wide(x)), min), bins / (max - min)))
    place = math.where(math.eq(cast(x, _wide(x)), max), constant(bins - 1, place.dtype), place)
    made(bins)
    lines = constant(np.arange(bins), place.dtype)
    hits = math.eq(unsqueeze(place, -1), lines)
    inside = math.logical_and(math.ge(x, min), math.le(x, max))
    hits = math.logical_and(hits, unsqueeze(inside, -1))
    return reduce.sum(cast(hits, self.dtype), axes=(0,), keepdims=False)


def _wide(x: Value):
    return x.dtype if x.dtype.is_float else f64


@converter("searchsorted")
def searchsorted(
    sorted_sequence,
    self,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter=None,
):
    if sorted_sequence.type.rank != 1 or sorter is not None:
        raise UnsupportedError(
            "several sorted rows, or a sorter, are not supported", hint="give one sorted vector"
        )
    return bucketize(self, sorted_sequence, out_int32=out_int32, right=right or side == "right")


@converter("bucketize")
def bucketize(self, boundaries, *, out_int32: bool = False, right: bool = False):
    """How many boundaries lie before each value."""
    x, edges = together(self, boundaries)
    before = (math.le if right else math.lt)(edges, unsqueeze(x, -1))
    return reduce.sum(cast(before, i64), axes=(x.type.rank,), keepdims=False)


@converter("diagonal")
def diagonal_of(self, offset: int = 0, dim1: int = 0, dim2: int = 1):
    rank = self.type.rank
    a, b = axis_of(dim1, rank, "dim1"), axis_of(dim2, rank, "dim2")
    x = shape.transpose(self, perm=(*(n for n in range(rank) if n not in (a, b)), a, b))
    rows, columns = x.shape[-2:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise UnsupportedError(
            f"the diagonal of {x.type} is not known", hint="fix the dimensions with shapes="
        )
    size = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    line = np.arange(size) * (columns + 1) + (offset if offset >= 0 else -offset * columns)
    flat = reshaped(x, (*x.shape[:-2], rows * columns))
    return shape.gather(flat, constant(line.astype(np.int64)), axis=rank - 2)


@converter("trace")
def trace(self):
    return reduce.sum(diagonal_of(self), axes=(0,), keepdims=False)


@converter("diag_embed")
def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1):
    """Rows on a diagonal of squares whose other elements are 0."""
    rank, reach = self.type.rank + 1, abs(offset)
    wide = shape.pad(self, pads=(*(0,) * (rank - 2), max(offset, 0), *(0,) * (rank - 2), max(-offset, 0)))
    square = expand(unsqueeze(wide, -2), (*self.shape[:-1], self.shape[-1] + reach, self.shape[-1] + reach))
    on = math.eq(positions(square, rank - 1), math.add(positions(square, rank - 2), offset))
    return movedim(math.where(on, square, constant(0, self.dtype)), (-2, -1), (dim1, dim2))


@converter("diag")
def diag(self, diagonal: int = 0):
    return diag_embed(self, diagonal) if self.type.rank == 1 else diagonal_of(self, diagonal)


@converter("isin.Tensor_Tensor")
def isin(elements, test_elements, *, assume_unique: bool = False, invert: bool = False):
    x, found = together(unsqueeze(elements, -1), flatten(test_elements))
    hit = reduce.max(cast(math.eq(x, found), u8), axes=(elements.type.rank,), keepdims=False)
    return math.eq(hit, 0) if invert else math.ne(hit, 0)


@converter("tril")
def tril(self, diagonal: int = 0):
    return _triangle(self, diagonal, False)


@converter("triu")
def triu(self, diagonal: int = 0):
    return _triangle(self, diagonal, True)


def _triangle(x: Value, diagonal: int, upper: bool) -> Value:
    if x.dtype != boolean:
        return shape.trilu(x, upper=upper, k=diagonal)
    distance = math.sub(positions(x, x.type.rank - 1), positions(x, x.type.rank - 2))
    kept = math.ge(distance, diagonal) if upper else math.le(distance, diagonal)
    return math.logical_and(x, kept)
