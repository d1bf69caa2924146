"""If, Loop and Scan. Bodies become isolated regions: what they use from outside comes in as further inputs."""

from collections.abc import Sequence

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.graph import Value, graph_input
from ....compiler.ir.types import TensorType, Type, boolean, i64
from ...bodies import steady
from ...build import control, sequence, shape
from ...driver import Abandoned, Call
from ...known import known, wanted
from ...normalise import axis_of
from ...source import SourceGraph
from ..table import converter
from .sequences import element_of, is_empty


def _scalar(value: Value) -> Value:
    return shape.reshape(value, shape=()) if value.type.rank else value


@converter("If")
def branch(condition, *, else_branch, then_branch, call):
    chosen = known(condition)
    if chosen is not None:
        return tuple(call.inline(then_branch if chosen.reshape(-1)[0] else else_branch, ()))
    captures = call.captures(then_branch, else_branch)
    try:
        regions = [call.region(graph, (), captures) for graph in (then_branch, else_branch)]
        return control.if_(_scalar(condition), *captures.values(), regions=regions)
    except (Abandoned, UnsupportedError):
        # for the shapes and values of a run the branch that it takes may do
        wanted(condition)
        raise


@converter("Loop")
def loop(trip=None, condition=None, *initial, body, call):
    """The body takes iteration, condition and the carried values; what it gives beyond those is stacked."""
    count = len(initial)
    if len(body.inputs) != count + 2 or len(body.outputs) < count + 1:
        raise ModelError(
            f"its body has {len(body.inputs)} inputs and {len(body.outputs)} outputs for {count} carried values",
            hint="a body takes iteration, condition and the carried values, and gives condition and carried values",
        )
    captures = call.captures(body)
    own = (TensorType(i64, ()), TensorType(boolean, ()))
    carried = _decided(call, body, own, initial)
    region = steady(call, body, own, carried, (), captures, 1)
    return control.loop(
        None if trip is None else _scalar(trip),
        None if condition is None else _scalar(condition),
        *carried,
        *captures.values(),
        states=count,
        scans=len(body.outputs) - count - 1,
        regions=[region],
    )


def _decided(call: Call, body: SourceGraph, own: Sequence[Type], initial: Sequence[Value]) -> list[Value]:
    """The carried values; an empty sequence gets the element type of what the first iteration puts into it."""
    if not any(map(is_empty, initial)):
        return list(initial)
    first = call.inline(body, [*(graph_input(f"own{n}", type) for n, type in enumerate(own)), *initial])
    decided = []
    for value, after in zip(initial, first[1:], strict=False):
        if is_empty(value) and after is not None and not is_empty(after):
            value = sequence.empty(element=element_of(after))
        decided.append(value)
    return decided


def _bodies_axes(given: Sequence[int] | None, ranks: Sequence[int]) -> tuple[int, ...]:
    return tuple(axis_of(axis, rank) for axis, rank in zip(given or (0,) * len(ranks), ranks, strict=True))


@converter("Scan", since=9)
def scan(
    *operands,
    body,
    num_scan_inputs,
    scan_input_axes=None,
    scan_input_directions=None,
    scan_output_axes=None,
    scan_output_directions=None,
    call,
):
    """The body takes carried values and one slice of each scanned operand."""
    count = len(operands) - num_scan_inputs
    initial, scanned = operands[:count], operands[count:]
    axes = _bodies_axes(scan_input_axes, [value.type.rank for value in scanned])
    slices = [
        value.type.with_shape(tuple(dim for n, dim in enumerate(value.shape) if n != axis))
        for value, axis in zip(scanned, axes, strict=True)
    ]
    captures = call.captures(body)
    region = steady(call, body, (), initial, slices, captures, 0)
    stacked = [value.type.rank + 1 for value in region.outputs[count:]]
    return control.scan(
        *initial,
        *scanned,
        *captures.values(),
        states=count,
        inputs=len(scanned),
        axes=axes,
        reverse=tuple(map(bool, scan_input_directions or (0,) * len(scanned))),
        output_axes=_bodies_axes(scan_output_axes, stacked),
        output_reverse=tuple(map(bool, scan_output_directions or (0,) * len(stacked))),
        regions=[region],
    )


@converter("Scan", since=8)
def scan_8(lengths=None, *operands, body, directions=None, num_scan_inputs):
    raise UnsupportedError(
        "its form with a batch axis (opset 8) is not supported", hint="export with opset 9 or newer"
    )
