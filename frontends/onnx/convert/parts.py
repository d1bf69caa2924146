"""Taking parts of tensors and adding margins: slice, split, pad."""

from collections.abc import Sequence

import numpy as np

from ....compiler.diagnostics import ModelError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value, constant
from ...build import math, reduce, shape
from ...known import dims, whole
from ...normalise import axes_of, axis_of, slice_extent
from ..table import converter


@converter("Slice", since=10)
def slice_of(x, starts, ends, axes=None, steps=None):
    rank = x.type.rank
    begin, end = dims(starts), dims(ends)
    given = tuple(range(len(begin or ()))) if axes is None else whole(axes)
    stride = (1,) * len(begin or ()) if steps is None else whole(steps)
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
    starts: list[Dim] = [0] * x.type.rank
    sizes, strides = list(x.shape), [1] * x.type.rank
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
        return slices(x, parts, axis)
    if num_outputs not in (None, len(call.node.outputs)):
        raise ModelError(f"'num_outputs' is {num_outputs}, it has {len(call.node.outputs)} outputs")
    return slices(x, _equal_parts(x.shape[axis], len(call.node.outputs)), axis)


def _equal_parts(extent: Dim, count: int) -> tuple[Dim, ...]:
    """Parts of one size; where that leaves a rest, the last one is smaller."""
    size = (extent + count - 1) // count
    return (*[size] * (count - 1), extent - size * (count - 1))


def slices(x: Value, sizes: Sequence[Dim], axis: int) -> tuple[Value, ...]:
    """x in parts of the given sizes along an axis."""
    total = sum(sizes)
    if isinstance(total, int) and isinstance(x.shape[axis], int) and total != x.shape[axis]:
        raise ModelError(f"the parts {list(sizes)} do not add up to axis {axis} of {x.type}")
    out, start = [], total * 0
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
    return slices(x, split or _equal_parts(x.shape[axis], len(call.node.outputs)), axis)


@converter("Pad", since=18)
def pad(x, pads, value=None, axes=None, *, mode="constant"):
    rank = x.type.rank
    amounts, listed = whole(pads), tuple(range(rank)) if axes is None else whole(axes)
    if amounts is None or listed is None:
        return shape.pad_dynamic(x, pads, value, axes, mode=mode)
    chosen = axes_of(listed, rank)
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
