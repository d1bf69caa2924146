"""Control flow that torch exports: a choice between two bodies."""

from ....compiler.ir.types import boolean
from ...build import control, shape
from ...known import known
from ..promotion import cast
from ..schema import Any, Tensors
from ..table import converter


@converter("cond", domain="higher_order")
def cond(pred, true_graph: Any, false_graph: Any, operands: Tensors = (), *, call):
    """Bodies take the operands; a condition that is known takes one of them."""
    chosen = known(pred)
    if chosen is not None:
        return tuple(call.inline(true_graph if chosen.reshape(-1)[0] else false_graph, operands))
    types = [operand.type for operand in operands]
    captures = call.captures(true_graph, false_graph)
    regions = [call.region(body, types, captures) for body in (true_graph, false_graph)]
    condition = cast(shape.reshape(pred, shape=()) if pred.type.rank else pred, boolean)
    return control.if_(condition, *operands, *captures.values(), regions=regions)
