"""Rules on look-ups whose indices are constants: evenly spaced ones are slices, which need no table."""

from math import prod

import numpy as np

from ..ir.graph import Value
from ..ops import gather, shape
from ..rewrite import Attr, Const, Rule, Var


def _spaced(places: np.ndarray) -> tuple[int, int] | None:
    """The first place and the step of places that lie evenly, the later the higher; None for others."""
    first = int(places[0])
    step = int(places[1]) - first if len(places) > 1 else 1
    even = step > 0 and bool((np.diff(places) == step).all())
    return (first, step) if even else None


def _along_axis(x: Value, i: Value, axis: int) -> Value | None:
    extent, places = x.shape[axis], i.constant.reshape(-1)  # type: ignore[union-attr]
    if not isinstance(extent, int) or not len(places) or places.min() < -extent or places.max() >= extent:
        return None
    found = _spaced(places % extent)
    if found is None:
        return None
    starts = tuple(found[0] if n == axis else 0 for n in range(x.type.rank))
    sizes = tuple(len(places) if n == axis else dim for n, dim in enumerate(x.shape))
    steps = tuple(found[1] if n == axis else 1 for n in range(x.type.rank))
    part = shape.slice_of(x, starts=starts, sizes=sizes, steps=steps)
    return shape.reshape(part, shape=(*x.shape[:axis], *i.shape, *x.shape[axis + 1 :]))


def _along_axes(x: Value, i: Value) -> Value | None:
    """Index tuples as places among the elements, or rows, of the leading axes taken as one."""
    depth = i.type.static_shape[-1]
    tuples = i.constant.reshape(-1, depth)  # type: ignore[union-attr]
    extents = tuple(extent for extent in x.shape[:depth] if isinstance(extent, int))
    if not depth or not tuples.size or len(extents) < depth:
        return None
    limits = np.array(extents)
    if (tuples < -limits).any() or (tuples >= limits).any():
        return None
    steps = np.cumprod((1, *extents[:0:-1]))[::-1]
    found = _spaced((tuples % limits) @ steps)
    if found is None:
        return None
    rest = x.shape[depth:]
    rows = shape.reshape(x, shape=(prod(extents), *rest))
    part = shape.slice_of(
        rows,
        starts=(found[0], *(0 for _ in rest)),
        sizes=(len(tuples), *rest),
        steps=(found[1], *(1 for _ in rest)),
    )
    return shape.reshape(part, shape=(*i.shape[:-1], *rest))


RULES = (
    Rule(
        "gather of evenly spaced indices => slice",
        gather.gather(Var("x"), Const("i"), axis=Attr("axis")),
        _along_axis,
        samples=(
            {"x": "f32[3, 5]", "i": np.array(-2, np.int64), "axis": 1},
            {"x": "f32[7, 2]", "i": np.array([[1, 3], [5, -1]], np.int64)[:, :1], "axis": 0},
        ),
    ),
    Rule(
        "gather_nd of evenly spaced indices => slice",
        gather.gather_nd(Var("x"), Const("i"), batch_dims=0),
        _along_axes,
        samples=(
            {"x": "f32[2, 3, 2]", "i": np.array([[[0, 1], [0, -1], [1, 0]]], np.int64)},
            {"x": "f32[4, 3]", "i": np.array([[1], [3]], np.int64)},
        ),
    ),
)
