"""Operands that are read at every s-th place alone, as those of a convolution whose stride exceeds its window: tiles
leave out what lies between.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import gcd

from ..tile.stage import INPUT, Access, Affine, Buffer, Expr, Kernel, Load, Lookup, rewrite


def sampled(kernel: Kernel) -> Kernel:
    """The kernel with each axis of an operand that is read at every s-th place alone as two axes, of which the second
    is s long and read at one place; the kernel itself where there are none."""
    for buffer in kernel.role(INPUT):
        reads = [access for stage in kernel.stages for access in stage.reads if access.buffer == buffer.name]
        steps = [
            _step(extent, [each.index[axis] for each in reads])
            for axis, extent in enumerate(buffer.static_shape)
        ]
        if max(steps, default=1) == 1:
            continue
        shape = tuple(n for extent, step in zip(buffer.static_shape, steps) for n in _split(extent, step))
        kernel = _seen(kernel, replace(buffer, shape=shape), steps)
    return kernel


def _step(extent: int, parts: Sequence[Affine | Lookup]) -> int:
    """At every how manieth place of an axis an operand is read, by its coordinates there; 1 where that does not divide
    the axis."""
    found = 0
    for part in parts:
        if isinstance(part, Lookup) or not part.terms:
            return 1
        found = gcd(found, *(coefficient for _, coefficient in part.terms))
    places = {part.const % found for part in parts if isinstance(part, Affine)} if found > 1 else ()
    return found if len(places) == 1 and extent % found == 0 else 1


def _split(extent: int, step: int) -> tuple[int, ...]:
    return (extent,) if step == 1 else (extent // step, step)


def _seen(kernel: Kernel, buffer: Buffer, steps: Sequence[int]) -> Kernel:
    """The kernel with a buffer whose axes are split by steps."""

    def moved(access: Access) -> Access:
        index: list[Affine | Lookup] = []
        for part, step in zip(access.index, steps):
            if step == 1 or isinstance(part, Lookup):
                index.append(part)
            else:
                terms = tuple((name, coefficient // step) for name, coefficient in part.terms)
                index += [Affine(terms, part.const // step), Affine((), part.const % step)]
        return replace(access, index=tuple(index))

    def change(expr: Expr) -> Expr | None:
        if isinstance(expr, Load) and expr.access.buffer == buffer.name:
            return Load(moved(expr.access), expr.dtype)
        return None

    buffers = tuple(buffer if each.name == buffer.name else each for each in kernel.buffers)
    return Kernel(
        kernel.name, buffers, tuple(replace(s, body=rewrite(s.body, change)) for s in kernel.stages)
    )
