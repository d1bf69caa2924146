"""Axes that only the data decide. Ranks are static in the IR, so each axis is asked in turn whether it is meant."""

from collections.abc import Callable

import numpy as np

from ....compiler.ir.graph import Graph, Value, constant, graph_input
from ....compiler.ir.types import boolean, i64, u8
from ...build import control, math, reduce, shape
from ...extents import rank_of


def chosen(axes: Value, rank: int) -> Value:
    """Which of `rank` axes a vector of axes names, negative ones counted from the end: bool[rank]."""
    line = constant(np.arange(rank, dtype=np.int64).reshape(rank, 1))
    column = shape.reshape(wide(axes), shape=(1, axes.shape[0] if axes.type.rank else 1))
    hits = math.logical_or(math.eq(line, column), math.eq(math.sub(line, rank), column))
    hits = reduce.max(math.cast(hits, dtype=u8), axes=(1,), keepdims=False)
    return math.cast(hits, dtype=boolean)


def wide(x: Value) -> Value:
    """Integers as i64."""
    return x if x.dtype == i64 else math.cast(x, dtype=i64)


def element(vector: Value, n: int) -> Value:
    """One element of a vector, as a scalar."""
    return shape.reshape(shape.slice(vector, starts=(n,), sizes=(1,), steps=(1,)), shape=())


def reduced(core: Callable[..., Value], x: Value, axes: Value, keepdims: bool) -> Value:
    """A reduction whose axes can be taken one after the other: sum, product, mean, greatest, least."""
    rank, given = x.type.rank, x
    hits = chosen(axes, rank)
    for axis in range(rank):
        inside, outside = graph_input("x", x.type), graph_input("x", x.type)
        regions = [
            Graph([inside], [core(inside, axes=(axis,), keepdims=True)], ["y"], "reduce"),
            Graph([outside], [outside], ["y"], "keep"),
        ]
        x = control.if_(element(hits, axis), x, regions=regions)
    return x if keepdims else without(x, hits, given.type.rank - rank_of(axes, "axes"))


def without(x: Value, hits: Value, rank: int) -> Value:
    """x reshaped to the axes that `hits` does not name; `rank` is their number."""
    places = shape.nonzero(math.logical_not(hits))
    kept = shape.reshape(places, shape=(places.shape[1],))
    return shape.reshape_dynamic(x, shape.gather(shape.of(x), kept, axis=0), rank=rank, allow_zero=True)


def squeezed(x: Value, axes: Value) -> Value:
    """x without the axes that a vector names."""
    return without(x, chosen(axes, x.type.rank), x.type.rank - rank_of(axes, "axes"))


def unsqueezed(x: Value, axes: Value) -> Value:
    """x with axes of extent 1 where a vector names axes of the result."""
    rank = x.type.rank + rank_of(axes, "axes")
    hits = chosen(axes, rank)
    if not x.type.rank:
        return shape.reshape(x, shape=(1,) * rank)
    before = reduce.cumsum(math.cast(math.logical_not(hits), dtype=i64), axis=0)
    source = math.clip(math.sub(before, 1), 0, None)
    extents = math.where(hits, constant(1, i64), shape.gather(shape.of(x), source, axis=0))
    return shape.reshape_dynamic(x, extents, rank=rank, allow_zero=True)


def selected(op: Callable[[int], Value], axis: Value, rank: int) -> Value:
    """The result of `op(n)` for the axis n that a scalar names; all have one type."""
    hits = chosen(axis, rank)
    out = op(0)
    for n in range(1, rank):
        out = math.where(element(hits, n), op(n), out)
    return out
