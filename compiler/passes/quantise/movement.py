"""Lowering of what moves or picks 8-bit numbers as they are, and of averages."""

from math import prod

import numpy as np

from ...ir.graph import Node, Value, constant
from ...ir.types import i32
from ...ops import fixed, math, reduce
from ...ops.engine import get
from .forms import Form, Made, Stored, Sums
from .lowering import Lowering, lowers
from .parameters import LOW, Parameters

MOVES = [
    "shape.reshape",
    "shape.transpose",
    "shape.slice",
    "shape.expand",
    "shape.tile",
    "shape.gather",
    "shape.gather_elements",
    "shape.gather_nd",
    "nn.max_pool",
    "reduce.max",
    "reduce.min",
    "shape.pad",
]
"""Ops whose result has no values but those of the first operand (and padding)."""


@lowers(*MOVES)
def move(lowering: Lowering, node: Node) -> Form | None:
    x, *others = node.operands
    assert x is not None
    gathers = node.op == "shape.gather" and x.constant is not None
    if not lowering.is_integer(x) and not gathers:
        return None
    source = lowering.stored(x)
    if source is None or (gathers and lowering.parameters(node.result) is None):
        return None
    if node.op == "shape.pad":
        padding = _padding(others[0] if others else None, source.parameters)
        if padding is None:
            return None
        others = [padding]
    else:
        others = [None if v is None else lowering.real(v) for v in others]
    moved = get(node.op)(source.value, *others, **node.attributes)
    return Stored(moved, source.parameters)


def _padding(value: Value | None, parameters: Parameters) -> Value | None:
    if value is not None and value.constant is None:
        return None
    return constant(parameters.quantised(0.0 if value is None else value.constant).reshape(()))  # type: ignore[arg-type]


@lowers("shape.concat")
def concat(lowering: Lowering, node: Node) -> Form | None:
    operands = [v for v in node.operands if v is not None]
    if not any(map(lowering.is_integer, operands)):
        return None
    if any(lowering.parameters(v) is None for v in operands):
        return None

    def make(parameters: Parameters) -> Value:
        parts = [lowering.finished(v, parameters) for v in operands]
        return get("shape.concat")(*parts, **node.attributes)

    return Made(make)


@lowers("reduce.mean", "reduce.sum")
def mean(lowering: Lowering, node: Node) -> Form | None:
    (x,) = node.operands
    assert x is not None
    source = lowering.stored(x) if lowering.is_integer(x) else None
    extents = [x.shape[axis] for axis in node.attributes["axes"]]
    if source is None or not all(isinstance(extent, int) for extent in extents):
        return None
    count = prod(extents)
    total = reduce.sum_of(math.cast(source.value, dtype=i32), **node.attributes)
    return _average(total, source.parameters, count, count if node.op == "reduce.mean" else 1)


@lowers("nn.avg_pool")
def avg_pool(lowering: Lowering, node: Node) -> Form | None:
    """Where every window has as many elements."""
    (x,) = node.operands
    assert x is not None
    given = dict(node.attributes)
    if any(given.pop("overhang")) or (any(given["pads"]) and not given["count_include_pad"]):
        return None
    del given["count_include_pad"]
    source = lowering.stored(x) if lowering.is_integer(x) else None
    if source is None:
        return None
    total = fixed.sum_pool(source.value, **given, fill=source.parameters.zero)
    count = prod(given["kernel"])
    return _average(total, source.parameters, count, count)


def _average(total: Value, parameters: Parameters, count: int, divisor: int) -> Form:
    offset = np.asarray(-float(parameters.zero) * count)
    return Sums(total, np.asarray(parameters.scale / divisor), 0, offset, -LOW * count)
