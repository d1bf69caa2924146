"""Slices axis by axis, with numpy's rules for bounds, for the formats that write them so."""

from ..compiler.diagnostics import UnsupportedError
from ..compiler.ir.dims import Dim
from ..compiler.ir.graph import Value
from .build import shape
from .normalise import slice_extent

_FAR = 2**31


def part(x: Value, axis: int, start: Dim, size: Dim, step: int = 1) -> Value:
    """`size` elements along an axis, `step` apart."""
    starts = tuple(start if n == axis else 0 for n in range(x.type.rank))
    sizes = tuple(size if n == axis else dim for n, dim in enumerate(x.shape))
    steps = tuple(step if n == axis else 1 for n in range(x.type.rank))
    return x if sizes == x.shape and step == 1 else shape.slice(x, starts=starts, sizes=sizes, steps=steps)


def taken(x: Value, axis: int, position: Dim) -> Value:
    """x without an axis, of which one element is taken; negative positions count from the end."""
    if isinstance(position, int) and position < 0:
        position = position + x.shape[axis]
    one = part(x, axis, position, 1)
    return shape.reshape(one, shape=(*x.shape[:axis], *x.shape[axis + 1 :]))


def ranged(x: Value, axis: int, start: Dim | None, stop: Dim | None, step: int = 1) -> Value:
    """x[..., start:stop:step, ...]; None is an open end. UnsupportedError where an open extent decides."""
    first = start if start is not None else 0 if step > 0 else _FAR
    last = stop if stop is not None else _FAR if step > 0 else -_FAR
    found = slice_extent(x.shape[axis], first, last, step)
    if found is None:
        raise UnsupportedError(
            f"its bounds {first} and {last} on the extent '{x.shape[axis]}' are not decided",
            hint="fix the dimension with shapes=",
        )
    return part(x, axis, *found, step)
