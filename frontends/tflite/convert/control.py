"""If and While. Their bodies are subgraphs that see nothing but their operands."""

from collections.abc import Sequence
from dataclasses import replace

from ....compiler.diagnostics import ModelError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.location import here
from ....compiler.ir.types import TensorType, boolean, i64
from ...bodies import steady
from ...build import control, shape
from ...driver import Call
from ...known import known
from ...source import SourceGraph, SourceInput, SourceNode
from ..table import converter

MOST_UNROLLED = 2000
"""Nodes that the turns of one loop may come to before it stays a loop, which runs on the host."""


@converter("IF", moves=True)
def branch(condition, *operands, then, else_, call):
    chosen = known(condition)
    if chosen is not None:
        return tuple(call.inline(then if chosen.reshape(-1)[0] else else_, operands))
    types = [operand.type for operand in operands]
    regions = [call.region(graph, types, {}) for graph in (then, else_)]
    return control.if_(shape.reshape(condition, shape=()), *operands, regions=regions)


@converter("WHILE", moves=True)
def repeat(*states, cond, body, call):
    """The condition is asked before each turn; the region of a loop answers it for the next one."""
    if not len(states) == len(body.inputs) == len(body.outputs) == len(cond.inputs):
        raise ModelError(
            f"it has {len(states)} operands, its body {len(body.inputs)} inputs and {len(body.outputs)} outputs"
        )
    unrolled = _unrolled(states, cond, body, call)
    if unrolled is not None:
        return unrolled
    (first,) = call.inline(cond, states)
    own = (TensorType(i64, ()), TensorType(boolean, ()))
    region = steady(call, _turn(cond, body), own, states, (), {}, 1)
    return control.loop(
        None, shape.reshape(first, shape=()), *states, states=len(states), scans=0, regions=[region]
    )


def _unrolled(
    states: Sequence[Value], cond: SourceGraph, body: SourceGraph, call: Call
) -> tuple[Value, ...] | None:
    """The states after all turns one after the other; None where only the data end the loop, or they are many."""
    body, constants = _lifted(body)
    for _ in range(MOST_UNROLLED // max(len(body.nodes), 1)):
        (more,) = call.inline(cond, states)
        again = known(more)
        if again is None:
            return None
        if not again.reshape(-1)[0]:
            return tuple(states)
        states = [state for state in call.inline(body, [*states, *constants]) if state is not None]
    return None


def _lifted(graph: SourceGraph) -> tuple[SourceGraph, list[Value]]:
    """A body with its constants as further inputs, and these, so that all turns share them."""
    values = [constant(load(), location=here()) for load in graph.constants.values()]
    inputs = (*graph.inputs, *map(SourceInput, graph.constants))
    return replace(graph, inputs=inputs, constants={}), values


def _turn(cond: SourceGraph, body: SourceGraph) -> SourceGraph:
    """One turn: iteration, condition and states to the next condition and the next states."""
    before = tuple(f"before{n}" for n in range(len(body.inputs)))
    after = tuple(f"after{n}" for n in range(len(body.inputs)))
    nodes = (
        SourceNode("BODY", "body", before, after, body=lambda: body),
        SourceNode("CONDITION", "condition", after, ("again",), body=lambda: cond),
    )
    inputs = tuple(SourceInput(name) for name in ("turn", "condition", *before))
    return SourceGraph(body.name, inputs, ("again", *after), nodes)
