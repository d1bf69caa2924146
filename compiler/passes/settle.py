"""Ops whose results' extents were to be known at run time only, as ops that state them, once constants decide them."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..ir.graph import Graph, Node, Value
from ..ir.location import at
from ..ir.types import TensorType
from ..ops.engine import get
from ..rewrite.renew import Renewal
from .base import PassResult

Settled = Value | Sequence[Value] | None


@dataclass(frozen=True, slots=True)
class Settle:
    """Replaces the ops of `ops/dynamic.py`, and others that take a count as an operand, where constants decide."""

    @property
    def name(self) -> str:
        return "settle"

    def run(self, graph: Graph) -> PassResult:
        if not any(node.op in _SETTLED for node in graph.nodes):
            return PassResult(graph)
        hits: Counter[str] = Counter()
        new: dict[Value, Value] = {}
        renewal = Renewal()
        for old in graph.nodes:
            operands = [None if v is None else new[v] for v in old.operands]
            node = renewal.renew(old, operands, old.regions)
            results = _settled(node)
            if results is not node.results:
                hits[f"{node.op}(constants) => known extents"] += 1
            renewal.define(old, results)
            new.update(zip(old.results, results, strict=True))
        if all(new[value] is value for value in graph.outputs):
            return PassResult(graph)
        return PassResult(renewal.finish(graph.replace([new[value] for value in graph.outputs])), hits)


def _settled(node: Node) -> tuple[Value, ...]:
    settle = _SETTLED.get(node.op)
    first = node.operands[0] if node.operands else None
    if settle is None or first is None or not isinstance(first.type, TensorType) or not first.type.is_static:
        return node.results
    try:
        with at(node.location):
            found = settle(*node.operands, **node.attributes)
    except (IndexError, ValueError):
        return node.results  # operands that fit nothing: a fault of the run, if the node is ever reached
    if found is None:
        return node.results
    return (found,) if isinstance(found, Value) else tuple(found)


def _numbers(value: Value | None) -> list[int] | None:
    """The elements of a constant; None where it is none."""
    return None if value is None or value.constant is None else value.constant.reshape(-1).tolist()


def _reshape(x: Value, shape: Value, *, rank: int, allow_zero: bool) -> Settled:
    wanted = _numbers(shape)
    if wanted is None:
        return None
    own = x.type.static_shape
    wanted = [own[n] if size == 0 and not allow_zero else size for n, size in enumerate(wanted)]
    if -1 in wanted:
        rest = int(np.prod([size for size in wanted if size != -1]))
        wanted[wanted.index(-1)] = int(np.prod(own)) // max(rest, 1)
    return get("shape.reshape")(x, shape=tuple(wanted))


def _expand(x: Value, shape: Value, *, rank: int) -> Settled:
    wanted = _numbers(shape)
    if wanted is None:
        return None
    return get("shape.expand")(x, shape=np.broadcast_shapes(x.type.static_shape, tuple(wanted)))


def _slice(
    x: Value, starts: Value, ends: Value, axes: Value | None = None, steps: Value | None = None
) -> Settled:
    first, last = _numbers(starts), _numbers(ends)
    if first is None or last is None:
        return None
    chosen = list(range(len(first))) if axes is None else _numbers(axes)
    strides = [1] * len(first) if steps is None else _numbers(steps)
    if chosen is None or strides is None:
        return None
    rank = x.type.rank
    begin, size, step = [0] * rank, list(x.type.static_shape), [1] * rank
    for axis, a, b, stride in zip(chosen, first, last, strides, strict=True):
        taken = range(*slice(a, b, stride).indices(x.type.static_shape[axis]))
        axis %= rank
        begin[axis], size[axis], step[axis] = (taken.start if len(taken) else 0), len(taken), stride
    return get("shape.slice")(x, starts=tuple(begin), sizes=tuple(size), steps=tuple(step))


def _pad(
    x: Value, pads: Value, value: Value | None = None, axes: Value | None = None, *, mode: str
) -> Settled:
    amounts, chosen = _numbers(pads), list(range(x.type.rank)) if axes is None else _numbers(axes)
    if amounts is None or chosen is None:
        return None
    full = [0] * (2 * x.type.rank)
    for n, axis in enumerate(chosen):
        full[axis % x.type.rank] = amounts[n]
        full[axis % x.type.rank + x.type.rank] = amounts[n + len(chosen)]
    single = value if value is None or not value.type.rank else get("shape.reshape")(value, shape=())
    return get("shape.pad")(x, single, pads=tuple(full), mode=mode)


def _tile(x: Value, repeats: Value) -> Settled:
    times = _numbers(repeats)
    return None if times is None else get("shape.tile")(x, repeats=tuple(times))


def _range(start: Value, limit: Value, delta: Value, *, size: Any) -> Settled:
    ends = [value.constant for value in (start, limit, delta)]
    if size is not None or any(end is None for end in ends):
        return None
    first, last, step = (float(end) for end in ends)  # type: ignore[arg-type]
    count = max(0, ceil((last - first) / step)) if step else 0
    return get("shape.range")(start, limit, delta, size=count)


def _topk(x: Value, k: Value, *, size: Any, **how: Any) -> Settled:
    count = _numbers(k)
    return None if size is not None or count is None else get("shape.topk")(x, k, size=count[0], **how)


def _onehot(indices: Value, depth: Value, values: Value, *, axis: int, size: Any) -> Settled:
    extent = _numbers(depth)
    if size is not None or extent is None:
        return None
    return get("shape.onehot")(indices, depth, values, axis=axis, size=int(extent[0]))


_SETTLED: dict[str, Callable[..., Settled]] = {
    "shape.reshape_dynamic": _reshape,
    "shape.expand_dynamic": _expand,
    "shape.slice_dynamic": _slice,
    "shape.pad_dynamic": _pad,
    "shape.tile_dynamic": _tile,
    "shape.range": _range,
    "shape.topk": _topk,
    "shape.onehot": _onehot,
}
