"""Ops that put the same elements into other places, that make tensors, and the shapes of others."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType, i32
from ....compiler.ops.rules import broadcast_shapes
from ...build import math, reduce, shape
from ...extents import made, range_size, rank_of
from ...known import dims, ints, known
from ...normalise import axes_of, axis_of, reshape_target
from ..table import converter
from .elementwise import scalar


@converter("Reshape")
def reshape(x, target):
    extents = dims(target)
    if extents is not None:
        return shape.reshape(x, shape=reshape_target(x.shape, extents, zero_copies=False))
    return shape.reshape_dynamic(x, target, rank=rank_of(target, "shape"), allow_zero=True)


@converter("Transpose")
def transpose(x, perm):
    return shape.transpose(x, perm=axes_of(ints(perm, "perm"), x.type.rank, "perm"))


@converter("ExpandDims")
def expand_dims(x, dim):
    axis = axis_of(ints(dim, "dim")[0], x.type.rank + 1, "dim")
    return inserted(x, axis)


def inserted(x: Value, axis: int) -> Value:
    """x with a new axis of extent 1."""
    return shape.reshape(x, shape=(*x.shape[:axis], 1, *x.shape[axis:]))


@converter("Squeeze")
def squeeze(x, *, squeeze_dims=()):
    axes = axes_of(squeeze_dims, x.type.rank, "squeeze_dims")
    if not axes:
        if not x.type.is_static:
            raise UnsupportedError(f"which axes of {x.type} have extent 1 is not known", hint="give 'axis'")
        axes = tuple(axis for axis, dim in enumerate(x.shape) if dim == 1)
    for axis in axes:
        if isinstance(x.shape[axis], int) and x.shape[axis] != 1:
            raise ModelError(f"axis {axis} of {x.type} has extent {x.shape[axis]}, expected 1 to squeeze it")
    return shape.reshape(x, shape=tuple(dim for axis, dim in enumerate(x.shape) if axis not in axes))


@converter("Pack")
def pack(*xs, axis=0, N=None):
    place = axis_of(axis, xs[0].type.rank + 1)
    parts = [inserted(x, place) for x in xs]
    return shape.concat(*parts, axis=place) if len(parts) > 1 else parts[0]


@converter("ConcatV2")
def concat(*operands, N=None):
    *xs, axis = operands
    place = axis_of(ints(axis, "axis")[0], xs[0].type.rank)
    return shape.concat(*xs, axis=place) if len(xs) > 1 else xs[0]


@converter("Concat")
def concat_1(axis, *xs, N=None):
    return concat(*xs, axis)


@converter("Tile")
def tile(x, multiples):
    times = dims(multiples)
    if times is None or not all(isinstance(n, int) for n in times):
        return shape.tile_dynamic(x, multiples)
    return shape.tile(x, repeats=times)


@converter("BroadcastTo")
def broadcast_to(x, target):
    extents = dims(target)
    if extents is not None:
        return shape.expand(x, shape=broadcast_shapes(x.shape, extents))
    return shape.expand_dynamic(x, target, rank=rank_of(target, "shape"))


@converter("Fill")
def fill(target, value, *, index_type=None):
    return broadcast_to(value, target)


@converter("ZerosLike")
def zeros_like(x):
    return shape.expand(scalar(0, x), shape=x.shape)


@converter("OnesLike")
def ones_like(x):
    return shape.expand(scalar(1, x), shape=x.shape)


@converter("BroadcastArgs")
def broadcast_args(x, y):
    left, right = dims(x), dims(y)
    if left is None or right is None:
        raise UnsupportedError(
            "the shapes that it broadcasts are known only at run time", hint="fix them with shapes="
        )
    out = broadcast_shapes(left, right)
    if any(not isinstance(dim, int) for dim in out):
        raise UnsupportedError(f"the shape {list(out)} is not fixed", hint="fix dimensions with shapes=")
    return constant(np.array(out, x.dtype.numpy))


def cast_to(x: Value, dtype: DType) -> Value:
    """x in another dtype, itself where it has that already."""
    return x if x.dtype == dtype else math.cast(x, dtype=dtype)


@converter("Shape")
def shape_of(x, *, out_type=i32):
    return cast_to(shape.of(x), out_type)


@converter("ShapeN")
def shape_n(*xs, N=None, out_type=i32):
    return tuple(shape_of(x, out_type=out_type) for x in xs)


@converter("Size")
def size_of(x, *, out_type=i32):
    return cast_to(reduce.prod(shape.of(x), axes=(0,), keepdims=False), out_type)


@converter("Rank")
def rank(x):
    return constant(np.array(x.type.rank, np.int32))


@converter("Range")
def range_of(start, limit, delta):
    return shape.range(start, limit, delta, size=range_size(*map(dims, (start, limit, delta))))


@converter("LinSpace")
def linspace(start, stop, num):
    first, last, count = known(start), known(stop), ints(num, "num")[0]
    if first is None or last is None:
        raise UnsupportedError("its bounds are known only at run time", hint="make them constants")
    made(count)
    return constant(np.linspace(first, last, count).astype(start.dtype.numpy))


@converter("Pad", "PadV2")
def pad(x, paddings, value=None):
    return shape.pad(x, value, pads=_pads(x, paddings))


@converter("MirrorPad")
def mirror_pad(x, paddings, *, mode):
    modes = {"REFLECT": "reflect", "SYMMETRIC": "symmetric"}
    if mode not in modes:
        raise ModelError(f"its mode is '{mode}', expected REFLECT or SYMMETRIC")
    pads = _pads(x, paddings)
    if mode == "REFLECT":
        return shape.pad(x, pads=pads, mode="reflect")
    for axis in range(x.type.rank):
        x = _symmetric(x, axis, pads[axis], pads[axis + x.type.rank])
    return x


def _pads(x: Value, paddings: Value) -> tuple[int, ...]:
    """Pads as begins, then ends, of a table [rank, 2]."""
    listed = ints(shape.reshape(paddings, shape=(2 * x.type.rank,)), "paddings")
    return (*listed[0::2], *listed[1::2])


def _symmetric(x: Value, axis: int, before: int, after: int) -> Value:
    """x with its first and last elements along an axis mirrored, those at the edges repeated."""
    extent = x.shape[axis]
    if not before and not after:
        return x
    if not isinstance(extent, int):
        raise UnsupportedError(f"mirroring needs the extent '{extent}'", hint="fix it with shapes=")
    index = np.concatenate([np.arange(before)[::-1], np.arange(extent), extent - 1 - np.arange(after)])
    return shape.gather(x, constant(index.astype(np.int64)), axis=axis)


@converter("MatrixBandPart")
def band_part(x, num_lower, num_upper):
    lower, upper = ints(num_lower, "num_lower")[0], ints(num_upper, "num_upper")[0]
    if lower >= 0:
        x = shape.trilu(x, upper=True, k=-lower)
    return shape.trilu(x, upper=False, k=upper) if upper >= 0 else x


@converter("InvertPermutation")
def invert_permutation(x):
    return constant(np.argsort(np.array(ints(x, "x"))).astype(x.dtype.numpy))
