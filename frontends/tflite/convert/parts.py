"""Taking parts of tensors, replacing them, adding margins."""

from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim, product
from ....compiler.ir.graph import Value, constant
from ...build import math, shape
from ...known import dims, ints, whole
from ...normalise import axes_of, axis_of
from ...slices import ranged, taken
from ..table import converter
from .extents import places, static_extent


@converter("UNPACK", newest=4, moves=True)
def unpack(x, *, num=0, axis=0):
    axis = axis_of(axis, x.type.rank)
    if num != x.shape[axis]:
        raise ModelError(f"it takes {x.type} apart into {num} along axis {axis}")
    rest = (*x.shape[:axis], *x.shape[axis + 1 :])
    return tuple(shape.reshape(part, shape=rest) for part in slices(x, (1,) * num, axis))


@converter("SPLIT", newest=4, moves=True)
def split(axis, x, *, num_splits=0, call):
    (place,) = ints(axis, "axis")
    place = axis_of(place, x.type.rank)
    if num_splits != len(call.node.outputs):
        raise ModelError(f"it has {len(call.node.outputs)} outputs for {num_splits} parts")
    return slices(x, (x.shape[place] // num_splits,) * num_splits, place)


@converter("SPLIT_V", newest=2, moves=True)
def split_v(x, sizes, axis, *, num_splits=0):
    (place,) = ints(axis, "axis")
    place, parts = axis_of(place, x.type.rank), list(ints(sizes, "size_splits"))
    if -1 in parts:
        parts[parts.index(-1)] = x.shape[place] - sum(parts) - 1
    return slices(x, parts, place)


def slices(x: Value, sizes: Sequence[Dim], axis: int) -> tuple[Value, ...]:
    """x in parts of the given sizes along an axis."""
    total = sum(sizes)
    if isinstance(total, int) and isinstance(x.shape[axis], int) and total != x.shape[axis]:
        raise ModelError(f"the parts {list(sizes)} do not add up to axis {axis} of {x.type}")
    out, start = [], 0 * total
    for size in sizes:
        starts = tuple(start if n == axis else 0 for n in range(x.type.rank))
        extents = tuple(size if n == axis else dim for n, dim in enumerate(x.shape))
        out.append(shape.slice(x, starts=starts, sizes=extents, steps=(1,) * x.type.rank))
        start = start + size
    return tuple(out)


@converter("SLICE", newest=6, moves=True)
def slice_of(x, begin, size):
    """A size of -1 reaches to the end. Begins that only the data decide are taken element by element."""
    sizes, starts = whole(size), dims(begin)
    if sizes is None or (starts is None and -1 in sizes):
        rest = math.cast(shape.of(x), dtype=size.dtype)
        return shape.slice_dynamic(x, begin, math.where(math.lt(size, 0), rest, math.add(begin, size)))
    if starts is not None:
        extents = tuple(
            dim - start if count == -1 else count
            for dim, start, count in zip(x.shape, starts, sizes, strict=True)
        )
        return shape.slice(x, starts=starts, sizes=extents, steps=(1,) * x.type.rank)
    for axis, (count, dim) in enumerate(zip(sizes, x.shape, strict=True)):
        if count != dim:
            x = shape.gather(x, math.add(element(begin, axis), constant(places(count))), axis=axis)
    return x


def element(vector: Value, place: int) -> Value:
    """One element of a vector of i32, as [1]."""
    return shape.slice(vector, starts=(place,), sizes=(1,), steps=(1,))


@converter("STRIDED_SLICE", newest=8, moves=True)
def strided_slice(
    x,
    begin,
    end,
    strides,
    *,
    begin_mask=0,
    end_mask=0,
    ellipsis_mask=0,
    new_axis_mask=0,
    shrink_axis_mask=0,
    offset=False,
):
    if ellipsis_mask or new_axis_mask or offset:
        raise UnsupportedError(
            "its ellipsis, new axes and offsets are not supported",
            hint="convert the model again: TFLite expands them",
        )
    begins, ends, steps_ = dims(begin), dims(end), ints(strides, "strides")
    if begins is None or ends is None:
        return _row(x, begin, begin_mask | end_mask, shrink_axis_mask, steps_)
    axis = 0
    for n, (start, stop, step) in enumerate(zip(begins, ends, steps_, strict=True)):
        if shrink_axis_mask >> n & 1:
            x = taken(x, axis, start)
            continue
        first, last = (None if mask >> n & 1 else at for mask, at in ((begin_mask, start), (end_mask, stop)))
        x = ranged(x, axis, first, last, step)
        axis += 1
    return x


def _row(x: Value, begin: Value, whole_mask: int, shrink_mask: int, steps_: Sequence[int]) -> Value:
    """One place along some axes, all of the others: what a loop reads by its counter."""
    for axis in reversed(range(len(steps_))):
        if shrink_mask >> axis & 1:
            x = shape.gather(x, shape.reshape(element(begin, axis), shape=()), axis=axis)
        elif not whole_mask >> axis & 1:
            raise UnsupportedError("its bounds are known only at run time", hint="slice with constant bounds")
    return x


def pairs_of(amounts: Value, name: str) -> list[list[int]]:
    """The rows [before, after] of an operand that must be known."""
    return np.reshape(ints(shape.reshape(amounts, shape=(product(amounts.shape),)), name), (-1, 2)).tolist()


def padded(x: Value, amounts: Value, value: Value | None, mode: str = "constant") -> Value:
    """x with margins; `amounts` has a row [before, after] an axis."""
    pairs = pairs_of(amounts, "paddings")
    if value is not None and value.type.rank:
        value = shape.reshape(value, shape=())
    return shape.pad(
        x, value, pads=(*(before for before, _ in pairs), *(after for _, after in pairs)), mode=mode
    )


@converter("PAD", newest=4)
def pad(x, amounts):
    return padded(x, amounts, None)


@converter("PADV2", newest=4, moves=True)
def pad_2(x, amounts, value=None):
    return padded(x, amounts, value)


@converter("MIRROR_PAD", newest=3, moves=True)
def mirror_pad(x, amounts, *, mode=0):
    """Mode 0 leaves the border itself out; mode 1 repeats it, which the IR has as `reflect` only without it."""
    if mode != 0:
        raise UnsupportedError("its mode SYMMETRIC is not supported", hint="pad with REFLECT")
    return padded(x, amounts, None, "reflect")


@converter("REVERSE_V2", newest=3, moves=True)
def reverse(x, axes):
    turned = axes_of(ints(axes, "axes"), x.type.rank)
    return shape.slice(
        x,
        starts=tuple(dim - 1 if n in turned else 0 for n, dim in enumerate(x.shape)),
        sizes=x.shape,
        steps=tuple(-1 if n in turned else 1 for n in range(x.type.rank)),
    )


@converter("DYNAMIC_UPDATE_SLICE", newest=4, moves=True)
def dynamic_update_slice(x, update, begin):
    """x with a block replaced; the block is moved where it would leave x."""
    inside = None
    for axis, (dim, size) in enumerate(zip(x.shape, update.shape, strict=True)):
        if dim == size:
            continue
        start = math.clip(element(begin, axis), constant(0, begin.dtype), constant(dim - size, begin.dtype))
        offset = math.sub(constant(places(static_extent(x, axis)).astype(begin.dtype.numpy)), start)
        update = shape.gather(
            update, math.clip(offset, constant(0, begin.dtype), constant(size - 1, begin.dtype)), axis=axis
        )
        here = math.logical_and(math.ge(offset, 0), math.lt(offset, size))
        here = shape.reshape(here, shape=tuple(dim if n == axis else 1 for n in range(x.type.rank)))
        inside = here if inside is None else math.logical_and(inside, here)
    return update if inside is None else math.where(inside, update, x)
