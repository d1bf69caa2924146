"""Ops that put the same elements into other places, and ops that make or read shapes."""

from collections.abc import Sequence

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i32
from ....compiler.ops.rules import broadcast_shapes
from ...build import math, shape
from ...extents import rank_of
from ...known import dims, ints, whole
from ...normalise import axes_of, axis_of, reshape_target
from ...pairs import is_complex
from ..table import converter
from .parts import pairs_of


@converter("IDENTITY", moves=True)
def identity(x):
    """What gives inputs and results of a model their names."""
    if is_complex(x):
        raise UnsupportedError(
            "inputs and results of complex numbers are not supported",
            hint="let the model take and give real and imaginary parts",
        )
    return x


@converter("DENSIFY", moves=True)
def densify(x):
    """Constants are dense once they are read."""
    return x


@converter("RESHAPE", moves=True, halves=True)
def reshape(x, target=None, *, new_shape=()):
    """An operand wins over the option; an extent of 0 is one, and copies nothing."""
    extents = new_shape if target is None else dims(target)
    if extents is None:
        return shape.reshape_dynamic(x, target, rank=rank_of(target, "shape"), allow_zero=True)
    return shape.reshape(x, shape=reshape_target(x.shape, extents, zero_copies=False))


@converter("TRANSPOSE", newest=7, moves=True)
def transpose(x, perm):
    return shape.transpose(x, perm=axes_of(ints(perm, "perm"), x.type.rank, "perm"))


@converter("SQUEEZE", newest=2, moves=True, halves=True)
def squeeze(x, *, squeeze_dims=()):
    axes = axes_of(squeeze_dims, x.type.rank) or [n for n, dim in enumerate(x.shape) if dim == 1]
    return shape.reshape(x, shape=tuple(dim for n, dim in enumerate(x.shape) if n not in axes))


@converter("EXPAND_DIMS", moves=True, halves=True)
def expand_dims(x, axis):
    (place,) = ints(axis, "axis")
    place = axis_of(place, x.type.rank + 1)
    return shape.reshape(x, shape=(*x.shape[:place], 1, *x.shape[place:]))


@converter("CONCATENATION", newest=5, moves=True)
def concatenation(*xs, axis=0, fused_activation_function="NONE", call):
    """Parts of a loop's list have open extents, and their sum is the list's own, as declared."""
    if fused_activation_function != "NONE":
        raise UnsupportedError("its fused activation is not supported", hint="apply it as an op of its own")
    out = xs[0] if len(xs) == 1 else shape.concat(*xs, axis=axis_of(axis, xs[0].type.rank))
    declared = call.node.origin.outputs[0].shape
    opened = not out.type.is_static and min(declared, default=0) >= 0
    return shape.reshape(out, shape=declared) if opened else out


@converter("PACK", newest=4, moves=True)
def pack(*xs, values_count=0, axis=0):
    place = axis_of(axis, xs[0].type.rank + 1)
    rows = [shape.reshape(x, shape=(*x.shape[:place], 1, *x.shape[place:])) for x in xs]
    return rows[0] if len(rows) == 1 else shape.concat(*rows, axis=place)


@converter("TILE", newest=3, moves=True)
def tile(x, repeats):
    times = whole(repeats)
    return shape.tile_dynamic(x, repeats) if times is None else shape.tile(x, repeats=times)


@converter("BROADCAST_TO", newest=3, moves=True)
def broadcast_to(x, target):
    extents = dims(target)
    if extents is None:
        return shape.expand_dynamic(x, target, rank=rank_of(target, "shape"))
    return shape.expand(x, shape=broadcast_shapes(x.shape, extents))


@converter("FILL", newest=4, moves=True)
def fill(target, value):
    extents = dims(target)
    if extents is None:
        return shape.expand_dynamic(value, target, rank=rank_of(target, "dims"))
    return shape.expand(value, shape=extents)


@converter("SHAPE", moves=True)
def shape_of(x, *, out_type=0, call):
    return math.cast(shape.of(x), dtype=call.node.origin.outputs[0].dtype)


@converter("RANK", moves=True)
def rank(x):
    return constant(x.type.rank, i32)


@converter("RANGE", newest=2)
def range_of(start, limit, delta):
    return shape.range(start, limit, delta)


@converter("GATHER", newest=7, moves=True)
def gather(x, indices, *, axis=0, batch_dims=0):
    axis = axis_of(axis, x.type.rank)
    if not batch_dims:
        return shape.gather(x, indices, axis=axis)
    if axis != batch_dims or indices.type.rank != batch_dims + 1:
        raise UnsupportedError(
            f"gathering along axis {axis} with {batch_dims} batch axes is not supported",
            hint="gather without them",
        )
    return shape.gather_nd(x, shape.reshape(indices, shape=(*indices.shape, 1)), batch_dims=batch_dims)


@converter("GATHER_ND", newest=5, moves=True)
def gather_nd(x, indices):
    return shape.gather_nd(x, indices)


@converter("SCATTER_ND")
def scatter_nd(indices, updates, target):
    """Into zeros; what meets at one place is added up."""
    extents = dims(target)
    if extents is None:
        raise UnsupportedError("the shape of its result is not known", hint="convert with fixed shapes")
    zeros = shape.expand(constant(0, updates.dtype), shape=extents)
    return shape.scatter_nd(zeros, indices, updates, reduction="add")


@converter("EMBEDDING_LOOKUP", newest=4, moves=True)
def embedding_lookup(indices, table):
    return shape.gather(table, indices, axis=0)


@converter("DEPTH_TO_SPACE", newest=2, moves=True)
def depth_to_space(x, *, block_size=0):
    n, h, w, c = x.shape
    b = block_size
    cells = shape.transpose(shape.reshape(x, shape=(n, h, w, b, b, c // (b * b))), perm=(0, 1, 3, 2, 4, 5))
    return shape.reshape(cells, shape=(n, h * b, w * b, c // (b * b)))


@converter("SPACE_TO_DEPTH", newest=2, moves=True)
def space_to_depth(x, *, block_size=0):
    n, h, w, c = x.shape
    b = block_size
    cells = shape.transpose(shape.reshape(x, shape=(n, h // b, b, w // b, b, c)), perm=(0, 1, 3, 2, 4, 5))
    return shape.reshape(cells, shape=(n, h // b, w // b, c * b * b))


@converter("SPACE_TO_BATCH_ND", newest=4)
def space_to_batch(x, blocks, amounts):
    return blocked(x, ints(blocks, "block_shape"), pairs_of(amounts, "paddings"), None)


def blocked(x: Value, blocks: Sequence[int], pairs: list[list[int]], zero: Value | None) -> Value:
    """Blocks of the axes after the first become batch entries, block offsets outermost; margins hold `zero`."""
    count, rank = len(blocks), x.type.rank
    full = [(0, 0), *pairs, *[(0, 0)] * (rank - 1 - count)]
    x = shape.pad(x, zero, pads=(*(begin for begin, _ in full), *(end for _, end in full)))
    split_, rest = [], x.shape[1 + count :]
    for dim, block in zip(x.shape[1 : 1 + count], blocks, strict=True):
        split_ += [dim // block, block]
    cells = shape.reshape(x, shape=(x.shape[0], *split_, *rest))
    inner, outer = range(2, 2 * count + 1, 2), range(1, 2 * count + 1, 2)
    cells = shape.transpose(cells, perm=(*inner, 0, *outer, *range(2 * count + 1, 2 * count + 1 + len(rest))))
    return shape.reshape(cells, shape=(x.shape[0] * product(blocks), *split_[::2], *rest))


@converter("BATCH_TO_SPACE_ND", newest=4, moves=True)
def batch_to_space(x, blocks, crops):
    """The reverse, with margins cut away."""
    blocks, pairs = ints(blocks, "block_shape"), pairs_of(crops, "crops")
    count, batch, rest = len(blocks), x.shape[0] // product(blocks), x.shape[1 + len(blocks) :]
    cells = shape.reshape(x, shape=(*blocks, batch, *x.shape[1:]))
    places = [axis for n in range(count) for axis in (count + 1 + n, n)]
    cells = shape.transpose(cells, perm=(count, *places, *range(2 * count + 1, 2 * count + 1 + len(rest))))
    spatial = [dim * block for dim, block in zip(x.shape[1 : 1 + count], blocks, strict=True)]
    out = shape.reshape(cells, shape=(batch, *spatial, *rest))
    return shape.slice(
        out,
        starts=(0, *(begin for begin, _ in pairs), *(0,) * len(rest)),
        sizes=(batch, *(dim - sum(pair) for dim, pair in zip(spatial, pairs, strict=True)), *rest),
        steps=(1,) * out.type.rank,
    )


@converter("ONE_HOT")
def one_hot(indices, depth, on, off, *, axis=-1):
    (size,) = ints(depth, "depth")
    values = shape.concat(*(shape.reshape(value, shape=(1,)) for value in (off, on)), axis=0)
    return shape.onehot(indices, depth, values, axis=axis_of(axis, indices.type.rank + 1), size=size)
