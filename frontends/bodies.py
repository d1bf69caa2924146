"""Bodies of loops as regions: the types that carried values keep from turn to turn."""

from collections.abc import Mapping, Sequence

from ..compiler.diagnostics import ModelError, UnsupportedError
from ..compiler.ir.dims import Dim, fresh
from ..compiler.ir.graph import Graph, Value
from ..compiler.ir.types import OptionalType, SequenceType, TensorType, Type
from .driver import Call
from .source import SourceGraph

_TRIES = 8
"""How often a body is read again with wider types of its states before it is given up."""


def steady(
    call: Call,
    body: SourceGraph,
    own: Sequence[Type],
    initial: Sequence[Value],
    rest: Sequence[Type],
    captures: Mapping[str, Value],
    skip: int,
) -> Graph:
    """The region of a body with carried values of the types that they keep: extents that change become unknown.

    The region's results after the first `skip` are the carried values.
    """
    types: list[Type] = [value.type for value in initial]
    unknown: set[Dim] = set()
    for _ in range(_TRIES):
        region = call.region(body, (*own, *types, *rest), captures)
        after = [value.type for value in region.outputs[skip : skip + len(types)]]
        wider = [_wider(before, now, unknown) for before, now in zip(types, after, strict=True)]
        if wider == types:
            return region
        types = wider
    raise UnsupportedError("the types of its carried values change with every iteration")


def _wider(before: Type, now: Type, unknown: set[Dim]) -> Type:
    """A type that holds both; `unknown` are the dimensions that stand for any extent already."""
    if isinstance(before, SequenceType | OptionalType) and type(before) is type(now):
        return type(before)(_wider(before.element, now.element, unknown))
    if not isinstance(before, TensorType) or not isinstance(now, TensorType):
        raise ModelError(f"a carried value is {before} before an iteration and {now} after it")
    if before.dtype != now.dtype:
        raise ModelError(
            f"a carried value is {before} before an iteration and {now} after it", hint="insert a cast"
        )
    if before.rank != now.rank:
        raise UnsupportedError(f"a carried value is {before} before an iteration and {now} after it")
    shape = []
    for old, new in zip(before.shape, now.shape, strict=True):
        if old != new and old not in unknown:
            old = fresh()
            unknown.add(old)
        shape.append(old)
    return before.with_shape(tuple(shape))
