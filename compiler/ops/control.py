"""Control flow. Bodies are regions: graphs of their own that take all they use as inputs. Opaque.

What a body gives may differ from turn to turn or from branch to branch, so a result's extent is known only where all
that may become the result agree on it, in terms of what is known outside; elsewhere it is a new symbol. A body takes
a state whose extents change by declaring symbols of its own for them.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..diagnostics import TypeRuleError, UnsupportedError
from ..ir.dims import Dim, fresh, symbols
from ..ir.graph import Graph
from ..ir.types import OptionalType, SequenceType, TensorType, Type, boolean, i64
from .engine import Cost, op
from .rules import check_axis, differ


class Body(Protocol):
    """A region as the meanings see it: a function on arrays that knows the types of its results."""

    @property
    def types(self) -> tuple[Type, ...]:
        """The region's result types."""

    def __call__(self, *arguments: Any) -> list[Any]:
        """The results for arguments in the order of the region's inputs."""


def _names(types: Sequence[Type | None]) -> set[str]:
    """The symbols that occur in types."""
    found: set[str] = set()
    for type in types:
        while isinstance(type, SequenceType | OptionalType):
            type = type.element
        if type is not None:
            found.update(*map(symbols, type.shape))
    return found


def _merge(what: str, types: Sequence[Type], known: set[str]) -> Type:
    """The type of a value that has one of `types`; extents in which they differ, or not of `known` symbols, are new."""
    first, *others = types
    if isinstance(first, SequenceType | OptionalType) and all(
        type.__class__ is first.__class__ for type in others
    ):
        return first.__class__(_merge(what, [type.element for type in types], known))  # type: ignore[union-attr]
    tensors = [type for type in types if isinstance(type, TensorType)]
    listed = " or ".join(map(str, types))
    if len(tensors) < len(types) or len({type.dtype for type in tensors}) > 1:
        raise TypeRuleError(f"{what} is {listed}", hint="give it one type")
    if len({type.rank for type in tensors}) > 1:
        raise UnsupportedError(
            f"{what} is {listed}",
            hint="its rank must be known beforehand; fix what decides it with shapes= or constants=",
        )

    def extent(dims: Sequence[Dim]) -> Dim:
        agreed = all(dim == dims[0] for dim in dims) and symbols(dims[0]) <= known
        return dims[0] if agreed else fresh()

    shapes = zip(*(type.shape for type in tensors), strict=True)
    return tensors[0].with_shape(tuple(extent(dims) for dims in shapes))


def _takes(declared: Type, given: Type, known: set[str]) -> bool:
    """Whether a region's input accepts all values of a type: its extents are the same, or symbols of its own."""
    if isinstance(declared, TensorType) and isinstance(given, TensorType):
        return (
            declared.dtype == given.dtype
            and declared.rank == given.rank
            and all(
                a == b or not symbols(a) <= known for a, b in zip(declared.shape, given.shape, strict=True)
            )
        )
    if declared.__class__ is not given.__class__:
        return False
    return _takes(declared.element, given.element, known)  # type: ignore[union-attr]


def _check_takes(what: str, region: Graph, given: Sequence[Type], known: set[str]) -> None:
    if len(region.inputs) != len(given):
        raise TypeRuleError(f"{what} has {len(region.inputs)} inputs, expected {len(given)}")
    for value, type in zip(region.inputs, given, strict=True):
        if not _takes(value.type, type, known):
            name = value.node.attributes["name"]
            raise TypeRuleError(f"{what} declares its input '{name}' as {value.type}, but is given {type}")


def _check_one(what: str, type: Type | None, expected: TensorType) -> None:
    if type is not None and not (
        isinstance(type, TensorType) and type.dtype == expected.dtype and type.elements == 1
    ):
        raise TypeRuleError(f"{what} is {type}, expected one {expected.dtype}")


_FLAG, _COUNT = TensorType(boolean, ()), TensorType(i64, ())


def _no_cost(*_: object, **__: object) -> Cost:
    return Cost()


def _if_type(condition: TensorType, *args: Type, regions: Sequence[Graph]) -> tuple[Type, ...]:
    _check_one("if: the condition", condition, _FLAG)
    known = _names(args)
    for name, region in zip(("then", "else"), regions, strict=True):
        _check_takes(f"if: the branch '{name}'", region, args, known)
    counts = [len(region.outputs) for region in regions]
    if len(set(counts)) > 1:
        raise TypeRuleError(f"if: the branches have {counts[0]} and {counts[1]} results")
    return tuple(
        _merge(f"if: result {n}", [value.type for value in values], known)
        for n, values in enumerate(zip(*(region.outputs for region in regions), strict=True))
    )


@op("control.if", infer=_if_type, cost=_no_cost, regions=2, foldable=False)
def if_(condition, *args, regions: Sequence[Body]):
    """The results of the first region where the condition (one bool) holds, else of the second, both on `args`."""
    taken = regions[0 if np.asarray(condition).reshape(-1)[0] else 1]
    return tuple(taken(*args))


def _state_types(
    what: str, inputs: Sequence[Type], outputs: Sequence[Type], args: Sequence[Type]
) -> list[Type]:
    """Types of the last states; `inputs` are declared and `outputs` given by the body, `args` begin with the states."""
    known = _names(args)
    types = []
    for n, (declared, given, first) in enumerate(zip(inputs, outputs, args, strict=False)):
        if not _takes(declared, given, known):
            raise TypeRuleError(
                f"{what}: the body takes state {n} as {declared}, but gives it as {given}",
                hint="declare symbols of its own for extents that change",
            )
        if (
            isinstance(given, TensorType)
            and isinstance(declared, TensorType)
            and isinstance(first, TensorType)
        ):
            # an extent that a turn leaves as it is remains what it was at first
            same = (
                old if a == b else b
                for old, a, b in zip(first.shape, declared.shape, given.shape, strict=True)
            )
            given = given.with_shape(tuple(same))
        types.append(_merge(f"{what}: state {n}", [first, given], known))
    return types


def _element(what: str, type: Type, known: set[str]) -> TensorType:
    """The type of one row of a scan result."""
    merged = _merge(what, [type], known)
    if not isinstance(merged, TensorType):
        raise TypeRuleError(f"{what} is {type}, expected a tensor")
    return merged


def _loop_type(
    trip: TensorType | None,
    condition: TensorType | None,
    *args: Type,
    states: int,
    scans: int,
    regions: Sequence[Graph],
) -> tuple[Type, ...]:
    _check_one("loop: the trip count", trip, _COUNT)
    _check_one("loop: the condition", condition, _FLAG)
    (body,) = regions
    outputs = [value.type for value in body.outputs]
    if not 0 <= states <= len(args) or len(outputs) != 1 + states + scans:
        raise TypeRuleError(
            f"loop: {len(args)} operands and {len(outputs)} results of the body (the condition first) do not fit "
            f"{states} states and {scans} scans"
        )
    known = _names(args)
    _check_takes("loop: the body", body, [_COUNT, _FLAG, *args], known)
    _check_one("loop: the body's condition", outputs[0], _FLAG)
    inputs = [value.type for value in body.inputs]
    rows = [_element(f"loop: scan {n}", type, known) for n, type in enumerate(outputs[1 + states :])]
    turns = fresh()
    return (
        *_state_types("loop", inputs[2 : 2 + states], outputs[1 : 1 + states], args),
        *(row.with_shape((turns, *row.shape)) for row in rows),
    )


@op("control.loop", infer=_loop_type, cost=_no_cost, regions=1, foldable=False)
def loop(trip=None, condition=None, *args, states: int, scans: int, regions: Sequence[Body]):
    """At most `trip` turns (absent: no limit) while the condition holds (absent: true at first).

    The body maps (turn i64, condition, states..., invariants...) to (condition, states..., scans...); `args` are the
    first states, then the invariants. Results are the last states and the `scans` others, one row a turn.
    """
    (body,) = regions
    limit = None if trip is None else int(np.asarray(trip).reshape(-1)[0])
    goes_on = condition is None or bool(np.asarray(condition).reshape(-1)[0])
    held, invariants = list(args[:states]), args[states:]
    rows: list[list[Any]] = []
    while goes_on and (limit is None or len(rows) < limit):
        flag, *results = body(np.asarray(len(rows), np.int64), np.asarray(goes_on), *held, *invariants)
        goes_on = bool(np.asarray(flag).reshape(-1)[0])
        held = results[:states]
        rows.append(results[states:])
    return (*held, *_stacked(rows, body.types[1 + states :], (0,) * scans))


def _stacked(rows: Sequence[Sequence[Any]], types: Sequence[Type], axes: Sequence[int]) -> list[np.ndarray]:
    """Each scan's rows along its axis; without rows an empty tensor, its unknown extents 0."""
    if rows:
        return [np.stack(column, axis) for column, axis in zip(zip(*rows, strict=True), axes, strict=True)]
    shapes = [[dim if isinstance(dim, int) else 0 for dim in type.shape] for type in types]  # type: ignore[union-attr]
    return [
        np.zeros((*shape[:axis], 0, *shape[axis:]), type.dtype.numpy)  # type: ignore[union-attr]
        for shape, type, axis in zip(shapes, types, axes, strict=True)
    ]


def _scan_type(
    *args: Type,
    states: int,
    inputs: int,
    axes: tuple[int, ...],
    reverse: tuple[bool, ...],
    output_axes: tuple[int, ...],
    output_reverse: tuple[bool, ...],
    regions: Sequence[Graph],
) -> tuple[Type, ...]:
    (body,) = regions
    outputs = [value.type for value in body.outputs]
    if states < 0 or inputs < 1 or states + inputs > len(args) or states > len(outputs):
        raise TypeRuleError(
            f"scan: {len(args)} operands and {len(outputs)} results of the body do not fit {states} states and "
            f"{inputs} inputs"
        )
    scans = len(outputs) - states
    for name, values, size in (
        ("axes", axes, inputs),
        ("reverse", reverse, inputs),
        ("output_axes", output_axes, scans),
        ("output_reverse", output_reverse, scans),
    ):
        if len(values) not in (0, size):
            raise TypeRuleError(f"scan: '{name}' has {len(values)} entries, expected {size}")
    known = _names(args)
    elements, turns = [], None
    for n, axis in enumerate(axes or (0,) * inputs):
        type = args[states + n]
        if not isinstance(type, TensorType):
            raise TypeRuleError(f"scan: input {n} is {type}, expected a tensor")
        check_axis(axis, type.rank, f"axes[{n}]")
        extent = type.shape[axis]
        if turns is not None and differ(turns, extent):
            raise TypeRuleError(f"scan: the inputs have {turns} and {extent} elements along their axes")
        turns = extent if turns is None or isinstance(extent, int) else turns
        elements.append(type.with_shape((*type.shape[:axis], *type.shape[axis + 1 :])))
    _check_takes("scan: the body", body, [*args[:states], *elements, *args[states + inputs :]], known)
    rows = [_element(f"scan: result {n}", type, known) for n, type in enumerate(outputs[states:])]
    for n, (axis, row) in enumerate(zip(output_axes, rows, strict=False)):
        check_axis(axis, row.rank + 1, f"output_axes[{n}]")
    assert turns is not None
    return (
        *_state_types("scan", [value.type for value in body.inputs[:states]], outputs[:states], args),
        *(
            row.with_shape((*row.shape[:axis], turns, *row.shape[axis:]))
            for row, axis in zip(rows, output_axes or (0,) * scans, strict=True)
        ),
    )


@op("control.scan", infer=_scan_type, cost=_no_cost, regions=1, foldable=False)
def scan(
    *args,
    states: int,
    inputs: int,
    axes: tuple[int, ...] = (),
    reverse: tuple[bool, ...] = (),
    output_axes: tuple[int, ...] = (),
    output_reverse: tuple[bool, ...] = (),
    regions: Sequence[Body],
):
    """One turn for each element of the scanned inputs along their axes (none given: 0), reversed where so said.

    The body maps (states..., elements..., invariants...) to (states..., rows...); `args` are the first `states`
    states, `inputs` scanned tensors, then the invariants. Results are the last states and each result's rows, stacked
    along its output axis.
    """
    (body,) = regions
    held, invariants = list(args[:states]), args[states + inputs :]
    scanned = []
    for n, tensor in enumerate(args[states : states + inputs]):
        elements = np.moveaxis(tensor, axes[n] if axes else 0, 0)
        scanned.append(elements[::-1] if reverse and reverse[n] else elements)
    rows: list[list[Any]] = []
    for elements in zip(*scanned, strict=True):
        results = body(*held, *elements, *invariants)
        held = results[:states]
        rows.append(results[states:])
    types = body.types[states:]
    stacked = _stacked(rows, types, output_axes or (0,) * len(types))
    for n, axis in enumerate(output_axes or (0,) * len(types)):
        if output_reverse and output_reverse[n]:
            stacked[n] = np.flip(stacked[n], axis)
    return (*held, *stacked)
