"""When a view needs no kernel: its elements, its axes in some order, are its source's as they lie in memory."""

from collections.abc import Mapping, Sequence
from math import prod

from ..tile.stage import Access, Affine, Load, Stage
from .accesses import digits, extents_of


def steps(access: Access, shape: Sequence[int], order: Sequence[int]) -> dict[str, int]:
    """How many elements of memory each dim of an access steps over; axes lie in `order`."""
    found: dict[str, int] = {}
    stride = 1
    for axis in reversed(order):
        part = access.index[axis]
        if isinstance(part, Affine):
            for name, coefficient in part.terms:
                found[name] = found.get(name, 0) + abs(coefficient) * stride
        stride *= shape[axis]
    return found


def seen_as(
    stage: Stage, source: Sequence[int], order: Sequence[int], target: Sequence[int]
) -> tuple[int, ...] | None:
    """The order of the target's axes in which it has the source's elements in a row; None if there is none.

    `stage` moves all elements of a tensor of shape `source`, whose axes lie in `order`, to one of shape `target`.
    """
    body = stage.body
    assert isinstance(body, Load)
    if body.access.fill is not None or prod(source) != prod(target):
        return None
    for part in body.access.index:
        if not isinstance(part, Affine) or part.const or any(step < 0 for _, step in part.terms):
            return None
    extents = extents_of(stage)
    moved = steps(body.access, source, order)
    strides: dict[int, int] = {}
    for axis, (part, extent) in enumerate(zip(stage.write.index, target, strict=True)):
        found = digits(part, extents, extent)
        if found is None:
            return None
        inner = 1
        for name, size in reversed(found):
            step = moved.get(name, 0)
            if step % inner or strides.setdefault(axis, step // inner) != step // inner:
                return None
            inner *= size
    expected = 1
    for axis in sorted(strides, key=lambda axis: strides[axis]):
        if strides[axis] != expected:
            return None
        expected *= target[axis]
    return ordered_by(strides, len(target))


def ordered_by(strides: Mapping[int, int], rank: int) -> tuple[int, ...]:
    """The axes by falling stride; one that has none follows the axis before it."""
    order = sorted(strides, key=lambda axis: (-strides[axis], axis))
    for axis in range(rank):
        if axis not in strides:
            order.insert(order.index(axis - 1) + 1 if axis - 1 in order else 0, axis)
    return tuple(order)
