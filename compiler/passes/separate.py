"""Whether a graph treats every index of a batch alone, so that code for a few of them serves any number, in blocks.

Decided on access maps alone: the graph is given for two extents of the batch, and what differs between the two shows
where the batch lies. Each stage must then step through it at one pace in all that it reads and writes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ..ir.graph import Graph, Node, Value
from ..ir.types import TensorType
from ..ops.engine import REGISTRY
from ..tile.stage import PARALLEL, Access, Affine, Index, Kernel, Lookup, Stage, walk

EXTENTS = (2, 3)
"""The batch in the two graphs that are compared."""

Batch = tuple[int, int]
"""Axis, and how many of the axis's elements belong to one index of the batch."""


class _Joined(Exception):
    """What computes several indices of the batch together, or may do so."""


def obstacle(few: Graph, more: Graph) -> str:
    """Why code for some indices of the batch can't serve the others; "" where it can.

    Args:
        few, more: one graph, for both EXTENTS of its batch.
    """
    if len(few.nodes) != len(more.nodes):
        return "its form depends on the extent"
    partner: dict[Value, Value] = {}
    for one, other in zip(few.nodes, more.nodes, strict=True):
        try:
            _node(one, other, partner)
        except _Joined as reason:
            where = f"{one.location}: " if str(one.location) else ""
            return f"{where}{one.op}: {reason}"
        partner.update(zip(one.results, other.results))
    return ""


def _node(one: Node, other: Node, partner: Mapping[Value, Value]) -> None:
    ours = [None if value is None else partner[value] for value in one.operands]
    if one.op != other.op or ours != list(other.operands):
        raise _Joined("its form depends on the extent")
    if one.op == "constant":
        _constant(one.result, other.result)
        return
    carries = [_of_value(partner[v], v) for v in one.operands if v is not None]
    carries += [_of_value(b, a) for a, b in zip(one.results, other.results, strict=True)]
    if one.op == "input":
        return
    if one.attributes != other.attributes and one.types == other.types:
        raise _Joined("computes with the extent")
    if not any(carries) and not one.regions:
        return
    op = REGISTRY[one.op]
    kernel, grown = (None, None) if one.regions else (op.kernel(one), op.kernel(other))
    if kernel is None or grown is None:
        raise _Joined("has no stages, so what it does with the batch is not known")
    _kernel(kernel, grown)


def _constant(one: Value, other: Value) -> None:
    """A constant is the same for every extent and, where it has the batch, at every index of it."""
    a, b = one.constant, other.constant
    assert a is not None
    assert b is not None
    batch = _of_value(other, one)
    parts = [a, b]
    if batch is not None:
        parts = [part for array, count in zip((a, b), EXTENTS) for part in np.split(array, count, batch[0])]
    if any(_bits(part) != _bits(parts[0]) for part in parts):
        raise _Joined("depends on the extent")


def _bits(array: np.ndarray) -> object:
    return array.tolist() if array.dtype == object else array.tobytes()


def _of_value(other: Value, one: Value) -> Batch | None:
    if not (isinstance(one.type, TensorType) and one.type.is_static and other.type.is_static):
        raise _Joined("has a shape that is known at run time only")
    return _batch(one.type.static_shape, other.type.static_shape)


def _batch(one: Sequence[int], other: Sequence[int]) -> Batch | None:
    """Where the batch lies in a shape; None where it does not."""
    few, more = EXTENTS
    axes = [axis for axis, (a, b) in enumerate(zip(one, other)) if a != b]
    if len(one) != len(other) or len(axes) > 1:
        raise _Joined("has the batch in several places")
    if not axes:
        return None
    (axis,) = axes
    inner, rest = divmod(one[axis], few)
    if rest or inner * more != other[axis]:
        raise _Joined("has an extent that is no multiple of the batch")
    return axis, inner


def _kernel(kernel: Kernel, grown: Kernel) -> None:
    if len(kernel.stages) != len(grown.stages) or len(kernel.buffers) != len(grown.buffers):
        raise _Joined("its form depends on the extent")
    buffers = {
        a.name: _batch(a.static_shape, b.static_shape)
        for a, b in zip(kernel.buffers, grown.buffers, strict=True)
    }
    for stage, other in zip(kernel.stages, grown.stages, strict=True):
        _stage(stage, other, buffers)


def _stage(stage: Stage, grown: Stage, buffers: Mapping[str, Batch | None]) -> None:
    same = (
        stage.body == grown.body
        and stage.write == grown.write
        and stage.combine == grown.combine
        and stage.repair == grown.repair
        and [(d.name, d.kind) for d in stage.dims] == [(d.name, d.kind) for d in grown.dims]
    )
    if not same:
        raise _Joined("computes with the extent")
    inner: dict[str, int] = {}
    for a, b in zip(stage.dims, grown.dims, strict=True):
        found = _batch((a.size,), (b.size,))
        if found is None:
            continue
        if a.kind != PARALLEL:
            raise _Joined("combines the batch")
        inner[a.name] = found[1]
    if any(isinstance(e, Index) and inner.keys() & set(e.affine.dims) for e in walk(stage.body)):
        raise _Joined("computes with positions in the batch")
    extents = {each.name: each.size for each in stage.dims}
    for access in (*stage.reads, stage.write):
        for each in access.accesses():
            if not _keeps_pace(each, buffers[each.buffer], inner, extents):
                raise _Joined("reads or writes other indices of the batch")


def _keeps_pace(
    access: Access, batch: Batch | None, inner: Mapping[str, int], extents: Mapping[str, int]
) -> bool:
    """Whether an access touches, at every index of the batch, what belongs to that index."""
    for axis, part in enumerate(access.index):
        here = batch is not None and axis == batch[0]
        if isinstance(part, Lookup):
            if here:
                return False
            continue
        steps = [(name, factor) for name, factor in part.terms if name in inner]
        if not here:
            if steps:
                return False
            continue
        assert batch is not None
        if len(steps) != 1 or steps[0][1] * inner[steps[0][0]] != batch[1]:
            return False
        if not _within(part, steps[0], extents):
            return False
    return True


def _within(part: Affine, step: tuple[str, int], extents: Mapping[str, int]) -> bool:
    """Whether the rest of a coordinate stays within one step of the dim that carries the batch."""
    rest = [(name, factor) for name, factor in part.terms if name != step[0]]
    ends = [factor * (extents[name] - 1) for name, factor in rest]
    low = part.const + sum(end for end in ends if end < 0)
    high = part.const + sum(end for end in ends if end > 0)
    return low >= 0 and high < step[1]
