"""Branches and loops of control flow v2, whose bodies are functions."""

from collections.abc import Sequence

from ....compiler.diagnostics import ModelError
from ....compiler.ir.graph import Value
from ....compiler.ir.types import TensorType, Type, boolean, i64
from ...bodies import steady
from ...build import control, math, reduce, shape
from ...driver import Call, Scope
from ...known import known
from ...source import SourceGraph, SourceInput, SourceNode
from ..table import converter
from . import lists


def _truth(value: Value) -> Value:
    """A condition as one bool: a number holds where it is not 0."""
    if value.type.rank:
        size = reduce.prod(shape.of(value), axes=(0,), keepdims=False)
        return math.ne(size, 0)
    return value if value.dtype == boolean else math.ne(value, 0)


@converter("If", "StatelessIf")
def branch(condition, *operands, then_branch, else_branch, output_shapes=(), call):
    chosen = known(condition)
    if chosen is not None:
        return tuple(call.inline(then_branch if chosen.reshape(-1)[0] else else_branch, operands))
    scope = Scope({f"{n}": value for n, value in enumerate(operands)})
    inner = Call(call.driver, call.node, scope, call.depth)
    graphs = [_called(graph, len(operands)) for graph in (then_branch, else_branch)]
    captures = inner.captures(*graphs)
    regions = [inner.region(graph, (), captures) for graph in graphs]
    return control.if_(_truth(condition), *captures.values(), regions=regions)


def _called(graph: SourceGraph, count: int) -> SourceGraph:
    """A graph without inputs that calls another with the values named 0, 1, ... from outside."""
    outputs = tuple(f"{graph.name}:{n}" for n in range(len(graph.outputs)))
    node = SourceNode("Call", graph.name, tuple(map(str, range(count))), outputs, body=lambda: graph)
    return SourceGraph(graph.name, (), outputs, (node,))


@converter("While", "StatelessWhile")
def loop(*initial, cond, body, output_shapes=(), parallel_iterations=10, call):
    """The loop over what a turn changes; what it passes on as it is comes in from outside, constants as constants."""
    if not len(initial) == len(body.inputs) == len(body.outputs) == len(cond.inputs):
        raise ModelError(
            f"its body takes {len(body.inputs)} and gives {len(body.outputs)} of {len(initial)} values"
        )
    kept = _passed_on(body)
    moving = [n for n in range(len(initial)) if n not in kept]
    first = call.inline(cond, initial)[0]
    values = _decided(call, body, initial, moving)
    turn = _turn(cond, body, moving, len(initial))
    scope = Scope({f"kept{n}": values[n] for n in kept})
    inner = Call(call.driver, call.node, scope, call.depth)
    captures = inner.captures(turn)
    states = [values[n] for n in moving]
    own: Sequence[Type] = (TensorType(i64, ()), TensorType(boolean, ()))
    region = steady(inner, turn, own, states, (), captures, 1)
    last = control.loop(
        None, _truth(first), *states, *captures.values(), states=len(states), scans=0, regions=[region]
    )
    results = list(values)
    for n, value in zip(moving, last if isinstance(last, tuple) else (last,), strict=True):
        results[n] = value
    return tuple(results)


def _passed_on(body: SourceGraph) -> list[int]:
    """The carried values that a turn leaves as they are."""
    source = {node.outputs[0]: node.inputs[0] for node in body.nodes if node.op == "Identity"}
    kept = []
    for n, (entry, name) in enumerate(zip(body.inputs, body.outputs, strict=True)):
        while name in source:
            name = source[name]
        if name == entry.name:
            kept.append(n)
    return kept


def _decided(call: Call, body: SourceGraph, initial: Sequence[Value], moving: Sequence[int]) -> list[Value]:
    """The carried values; a list whose elements' shape is open gets that of what the first turn puts into it."""
    values = list(initial)
    if not any(lists.is_open(values[n]) for n in moving):
        return values
    after = call.inline(body, values)
    for n in moving:
        found = after[n]
        if lists.is_open(values[n]) and found is not None and not lists.is_open(found):
            values[n] = lists.blank(found.shape[0], found.shape[1:], like=found)
    return values


def _turn(cond: SourceGraph, body: SourceGraph, moving: Sequence[int], count: int) -> SourceGraph:
    """One turn as the IR's loops take it: number, condition and moving values to the next condition and values."""
    names = [f"state{n}" if n in moving else f"kept{n}" for n in range(count)]
    after = [f"next{n}" if n in moving else f"kept{n}" for n in range(count)]
    given = tuple(f"next{n}" if n in moving else "" for n in range(count))
    nodes = (
        SourceNode("Call", body.name, tuple(names), given, body=lambda: body),
        SourceNode("Call", cond.name, tuple(after), ("goes_on",), body=lambda: cond),
    )
    inputs = (
        SourceInput("turn", i64),
        SourceInput("condition", boolean),
        *(SourceInput(names[n]) for n in moving),
    )
    return SourceGraph(body.name, inputs, ("goes_on", *(after[n] for n in moving)), nodes)
