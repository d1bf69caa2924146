"""Layers that merge several inputs."""

from functools import reduce as fold

from ...build import math, nn, shape
from ...normalise import axis_of
from ..table import layer
from .activations import number
from .norm import unit_norm


def _merging(op):
    return lambda *xs: fold(op, xs)


for _kind, _op in {
    "Add": math.add,
    "Subtract": math.sub,
    "Multiply": math.mul,
    "Maximum": math.max,
    "Minimum": math.min,
}.items():
    layer(_kind)(_merging(_op))


@layer("Average")
def average(*xs):
    return math.div(fold(math.add, xs), number(len(xs), xs[0]))


@layer("Concatenate")
def concatenate(*xs, axis=-1):
    return shape.concat(*xs, axis=axis_of(axis, xs[0].type.rank)) if len(xs) > 1 else xs[0]


@layer("Dot")
def dot(x, y, *, axes, normalize=False):
    """The sum over one axis of each, batch by batch."""
    pair = (axes, axes) if isinstance(axes, int) else tuple(axes)
    left, right = (axis_of(axis, v.type.rank, "axes") for axis, v in zip(pair, (x, y), strict=True))
    if normalize:
        x, y = unit_norm(x, axis=left), unit_norm(y, axis=right)
    letters = iter("cdefghijklmnop")
    first = ["a" if n == 0 else "b" if n == left else next(letters) for n in range(x.type.rank)]
    second = ["a" if n == 0 else "b" if n == right else next(letters) for n in range(y.type.rank)]
    kept = [letter for letter in (*first, *second[1:]) if letter != "b"]
    out = nn.einsum(x, y, equation=f"{''.join(first)},{''.join(second)}->{''.join(kept)}")
    return out if out.type.rank > 1 else shape.reshape(out, shape=(*out.shape, 1))
