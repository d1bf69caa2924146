"""Ops that put the same elements into other places: reshape, transpose, concat, expand, tile and their kin."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value, constant
from ....compiler.ops.rules import broadcast_shapes
from ...build import math, shape
from ...extents import positions, rank_of
from ...known import dims, ints, known
from ...normalise import axes_of, axis_of, reshape_target
from ..table import converter
from . import runtime_axes


@converter("Identity")
def identity(x):
    return x


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
