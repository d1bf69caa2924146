"""Ops that move elements or speak of shapes: reshape, transpose, slice, concat, pad, split and their kin."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim, ceildiv, product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DTYPES
from ....compiler.ops.rules import broadcast_shapes
from ...build import math, reduce, shape
from ...known import dims, ints, known, never_negative
from ...normalise import axes_of, axis_of, reshape_target, slice_extent
from ..table import converter
from ..tensors import dtype_of
from . import runtime_axes
from .extents import positions, rank_of


@converter("Identity")
def identity(x):
    return x


@converter("Constant", since=12)
def constant_of(
    *,
    value=None,
    sparse_value=None,
    value_float=None,
    value_floats=None,
    value_int=None,
    value_ints=None,
    value_string=None,
    value_strings=None,
):
    if value is not None:
        return constant(value)
    if sparse_value is not None:
        return _sparse(*sparse_value)
    for item, dtype in ((value_float, "f32"), (value_floats, "f32"), (value_int, "i64"), (value_ints, "i64")):
        if item is not None:
            return constant(np.array(item), DTYPES[dtype])
    for item in (value_string, value_strings):
        if item is not None:
            return constant(np.array(item, object))
    raise ModelError("Constant has no value", hint="give one of its attributes value, value_float, ...")


@converter("Constant", since=11)
def constant_of_11(*, value=None, sparse_value=None):
    return constant_of(value=value, sparse_value=sparse_value)


@converter("Constant")
def constant_of_1(*, value):
    return constant(value)


def _sparse(values: np.ndarray, indices: np.ndarray, extents: tuple[int, ...]) -> Value:
    zeros = shape.expand(constant(np.zeros((), values.dtype)), shape=extents)
    return shape.scatter_nd(zeros, constant(indices), constant(values), reduction="none")


@converter("ConstantOfShape", since=9)
def constant_of_shape(extents, *, value=None):
    filler = constant(np.zeros((), np.float32) if value is None else value.reshape(()))
    target = dims(extents)
    if target is not None:
        return shape.expand(filler, shape=target)
    return shape.expand_dynamic(filler, extents, rank=rank_of(extents, "input"))


@converter("Shape", since=15)
def shape_of(x, *, start=0, end=None):
    rank = x.type.rank
    start, end, _ = slice(start, end).indices(rank)
    whole = shape.of(x)
    if (start, end) == (0, rank):
        return whole
    return shape.slice(whole, starts=(start,), sizes=(max(end - start, 0),), steps=(1,))


@converter("Shape")
def shape_of_1(x):
    return shape_of(x)


@converter("Size")
def size_of(x):
    return reduce.prod(shape.of(x), axes=(0,), keepdims=False)


@converter("Reshape", since=14)
def reshape(x, target, *, allowzero=0):
    extents = dims(target)
    if extents is not None:
        return shape.reshape(x, shape=reshape_target(x.shape, extents, not allowzero))
    rank = rank_of(target, "shape")
    return shape.reshape_dynamic(x, target, rank=rank, allow_zero=bool(allowzero))


@converter("Reshape", since=5)
def reshape_5(x, target):
    return reshape(x, target)


@converter("Flatten")
def flatten(x, *, axis=1):
    axis = axis if axis == x.type.rank else axis_of(axis, x.type.rank)
    return shape.reshape(x, shape=(product(x.shape[:axis]), product(x.shape[axis:])))


@converter("Transpose")
def transpose(x, *, perm=None):
    perm = tuple(reversed(range(x.type.rank))) if perm is None else axes_of(perm, x.type.rank, "perm")
    if len(perm) != x.type.rank:
        raise ModelError(f"'perm' is {list(perm)}, its input is {x.type}")
    return shape.transpose(x, perm=perm)


@converter("Squeeze", since=13)
def squeeze(x, axes=None):
    if axes is not None and dims(axes) is None:
        return runtime_axes.squeezed(x, axes)
    if axes is None:
        if not all(isinstance(dim, int) for dim in x.shape):
            raise UnsupportedError(f"which axes of {x.type} have extent 1 is not known", hint="give 'axes'")
        return squeezed(x, tuple(axis for axis, dim in enumerate(x.shape) if dim == 1))
    return squeezed(x, axes_of(ints(axes, "axes"), x.type.rank))


def squeezed(x: Value, axes: tuple[int, ...]) -> Value:
    """x without axes of extent 1."""
    for axis in axes:
        if isinstance(x.shape[axis], int) and x.shape[axis] != 1:
            raise ModelError(f"axis {axis} of {x.type} has extent {x.shape[axis]}, expected 1 to squeeze it")
    return shape.reshape(x, shape=tuple(dim for axis, dim in enumerate(x.shape) if axis not in axes))


@converter("Squeeze")
def squeeze_1(x, *, axes=None):
    return squeeze(x) if axes is None else squeezed(x, axes_of(axes, x.type.rank))


@converter("Unsqueeze", since=13)
def unsqueeze(x, axes):
    if dims(axes) is None:
        return runtime_axes.unsqueezed(x, axes)
    return unsqueeze_1(x, axes=ints(axes, "axes"))


@converter("Unsqueeze")
def unsqueeze_1(x, *, axes):
    rank = x.type.rank + len(axes)
    axes, rest = axes_of(axes, rank), iter(x.shape)
    return shape.reshape(x, shape=tuple(1 if axis in axes else next(rest) for axis in range(rank)))


@converter("Concat", since=4)
def concat(*xs, axis):
    axis = axis_of(axis, xs[0].type.rank)
    return xs[0] if len(xs) == 1 else shape.concat(*xs, axis=axis)


@converter("Expand", since=8)
def expand(x, target):
    extents = dims(target)
    if extents is not None:
        return shape.expand(x, shape=broadcast_shapes(x.shape, extents))
    return shape.expand_dynamic(x, target, rank=max(rank_of(target, "shape"), x.type.rank))


@converter("Tile", since=6)
def tile(x, repeats):
    times = dims(repeats)
    if times is None or not all(isinstance(n, int) for n in times):
        return shape.tile_dynamic(x, repeats)
    if len(times) != x.type.rank:
        raise ModelError(f"'repeats' is {list(times)}, its input is {x.type}")
    return shape.tile(x, repeats=times)


@converter("Slice", since=10)
def slice_of(x, starts, ends, axes=None, steps=None):
    rank = x.type.rank
    begin, end = dims(starts), dims(ends)
    given = tuple(range(len(begin or ()))) if axes is None else dims(axes)
    stride = (1,) * len(begin or ()) if steps is None else dims(steps)
    if begin is not None and end is not None and given is not None and stride is not None:
        out = _sliced(x, begin, end, axes_of(given, rank), stride)
        if out is not None:
            return out
    return shape.slice_dynamic(x, starts, ends, axes, steps)


def _sliced(x: Value, begin, end, axes: tuple[int, ...], steps: tuple[int, ...]) -> Value | None:
    if not len(begin) == len(end) == len(axes) == len(steps):
        raise ModelError(
            f"it has {len(begin)} starts, {len(end)} ends, {len(axes)} axes and {len(steps)} steps"
        )
    starts, sizes, strides = [0] * x.type.rank, list(x.shape), [1] * x.type.rank
    for start, stop, axis, step in zip(begin, end, axes, steps, strict=True):
        extent = slice_extent(x.shape[axis], start, stop, step)
        if extent is None:
            return None
        starts[axis], sizes[axis] = extent
        strides[axis] = step
    if tuple(sizes) == x.shape and all(s == 1 for s in strides):
        return x
    return shape.slice(x, starts=tuple(starts), sizes=tuple(sizes), steps=tuple(strides))


@converter("Slice")
def slice_of_1(x, *, axes=None, ends, starts):
    axes = axes_of(range(len(starts)) if axes is None else axes, x.type.rank)
    return _sliced(x, starts, ends, axes, (1,) * len(starts))


@converter("Split", since=18)
def split(x, sizes=None, *, axis=0, num_outputs=None, call):
    axis = axis_of(axis, x.type.rank)
    if sizes is not None:
        parts = dims(sizes)
        if parts is None:
            return _split_dynamic(x, sizes, axis, len(call.node.outputs))
        return _parts(x, parts, axis)
    if num_outputs not in (None, len(call.node.outputs)):
        raise ModelError(f"'num_outputs' is {num_outputs}, it has {len(call.node.outputs)} outputs")
    return _parts(x, _equal_parts(x.shape[axis], len(call.node.outputs)), axis)


def _equal_parts(extent: Dim, count: int) -> tuple[Dim, ...]:
    """Parts of one size; where that leaves a rest, the last one is smaller."""
    size = (extent + count - 1) // count
    return (*[size] * (count - 1), extent - size * (count - 1))


def _parts(x: Value, sizes: tuple[Dim, ...], axis: int) -> tuple[Value, ...]:
    if isinstance(sum(sizes), int) and isinstance(x.shape[axis], int) and sum(sizes) != x.shape[axis]:
        raise ModelError(f"the parts {list(sizes)} do not add up to axis {axis} of {x.type}")
    out, start = [], 0
    for size in sizes:
        starts = tuple(start if n == axis else 0 for n in range(x.type.rank))
        extents = tuple(size if n == axis else dim for n, dim in enumerate(x.shape))
        out.append(shape.slice(x, starts=starts, sizes=extents, steps=(1,) * x.type.rank))
        start = start + size
    return tuple(out)


def _split_dynamic(x: Value, sizes: Value, axis: int, count: int) -> tuple[Value, ...]:
    ends = reduce.cumsum(sizes, axis=0)
    starts = math.sub(ends, sizes)
    axes = constant(np.array([axis], np.int64))

    def part(vector: Value, n: int) -> Value:
        return shape.slice(vector, starts=(n,), sizes=(1,), steps=(1,))

    return tuple(shape.slice_dynamic(x, part(starts, n), part(ends, n), axes) for n in range(count))


@converter("Split", since=13)
def split_13(x, sizes=None, *, axis=0, call):
    return split(x, sizes, axis=axis, call=call)


@converter("Split")
def split_2(x, *, axis=0, split=None, call):
    axis = axis_of(axis, x.type.rank)
    return _parts(x, split or _equal_parts(x.shape[axis], len(call.node.outputs)), axis)


@converter("Pad", since=18)
def pad(x, pads, value=None, axes=None, *, mode="constant"):
    amounts, listed = dims(pads), None if axes is None else dims(axes)
    if (
        amounts is None
        or not all(isinstance(n, int) for n in amounts)
        or (axes is not None and listed is None)
    ):
        return shape.pad_dynamic(x, pads, value, axes, mode=mode)
    rank = x.type.rank
    chosen = tuple(range(rank)) if axes is None else axes_of(listed, rank)
    if len(amounts) != 2 * len(chosen):
        raise ModelError(f"'pads' has {len(amounts)} entries, expected {2 * len(chosen)}")
    full = [0] * (2 * rank)
    for n, axis in enumerate(chosen):
        full[axis], full[rank + axis] = amounts[n], amounts[len(chosen) + n]
    if mode != "constant":
        value = None
    elif value is not None and value.type.rank:
        value = shape.reshape(value, shape=())
    return shape.pad(x, value, pads=tuple(full), mode=mode)


@converter("Pad", since=11)
def pad_11(x, pads, value=None, *, mode="constant"):
    return pad(x, pads, value, mode=mode)


@converter("Pad")
def pad_2(x, *, mode="constant", pads, value=0.0):
    return shape.pad(x, constant(value, x.dtype) if mode == "constant" else None, pads=tuple(pads), mode=mode)


@converter("Range", since=11)
def range_of_11(start, limit, delta):
    return range_of(start, limit, delta)


@converter("Range", since=27)
def range_of(start, limit, delta, *, stash_type=1):
    """`stash_type` is the precision that half floats are counted in; the IR's op counts in f32 or wider."""
    bounds = [shape.reshape(v, shape=()) if v.type.rank else v for v in (start, limit, delta)]
    return shape.range(*bounds, size=_range_size(*map(dims, bounds)))


def _range_size(start, limit, delta) -> Dim | None:
    """How many integers a range has, where that is known; with symbols, where it can't be less than none."""
    if not (start and limit and delta and isinstance(delta[0], int) and delta[0]):
        return None
    span = (limit[0] - start[0]) * (1 if delta[0] > 0 else -1)
    if isinstance(span, int):
        return max(0, ceildiv(span, abs(delta[0])))
    return ceildiv(span, abs(delta[0])) if never_negative(span) else None


@converter("EyeLike", since=9)
def eye_like(x, *, dtype=None, k=0):
    kind = x.dtype if dtype is None else dtype_of(dtype, "its attribute 'dtype'")
    rows = math.add(positions(x, 0), k)
    return math.cast(math.eq(rows, positions(x, 1)), dtype=kind)


@converter("Trilu", since=14)
def trilu(x, k=None, *, upper=1):
    diagonal = 0 if k is None else known(k)
    if diagonal is not None:
        return shape.trilu(x, upper=bool(upper), k=int(np.asarray(diagonal).reshape(())))
    distance = math.sub(positions(x, x.type.rank - 1), positions(x, x.type.rank - 2))
    k = shape.reshape(k, shape=())
    kept = math.ge(distance, k) if upper else math.le(distance, k)
    return math.where(kept, x, constant(np.zeros((), x.dtype.numpy)))


@converter("DepthToSpace", since=11)
def depth_to_space(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        cells = shape.reshape(x, shape=(n, b, b, c // (b * b), h, w))
        cells = shape.transpose(cells, perm=(0, 3, 4, 1, 5, 2))
    else:
        cells = shape.reshape(x, shape=(n, c // (b * b), b, b, h, w))
        cells = shape.transpose(cells, perm=(0, 1, 4, 2, 5, 3))
    return shape.reshape(cells, shape=(n, c // (b * b), h * b, w * b))


@converter("DepthToSpace")
def depth_to_space_1(x, *, blocksize):
    return depth_to_space(x, blocksize=blocksize)


@converter("SpaceToDepth", since=28)
def space_to_depth(x, *, blocksize, mode="DCR"):
    n, c, h, w = x.shape
    b = blocksize
    cells = shape.reshape(x, shape=(n, c, h // b, b, w // b, b))
    cells = shape.transpose(cells, perm=(0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return shape.reshape(cells, shape=(n, c * b * b, h // b, w // b))


@converter("SpaceToDepth")
def space_to_depth_1(x, *, blocksize):
    return space_to_depth(x, blocksize=blocksize)


@converter("NonZero", since=9)
def non_zero(x):
    return shape.nonzero(x)
