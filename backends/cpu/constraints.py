"""What the CPU's code generator can't do, as predicates with the sentence that a user reads.

A node that fails one runs by its op's reference meaning instead, and the package says so.
"""

from collections.abc import Callable, Iterator

from ...compiler.ir.graph import Node
from ...compiler.ir.types import TensorType, f16
from ...compiler.ops.engine import get
from ...compiler.tile.stage import SCAN, Apply, Expr, Kernel, walk
from ...runtime.records import dataclass
from .machine import Machine
from .scalars import has_code, has_registers


@dataclass(frozen=True, slots=True)
class Constraint:
    """A sentence and the test that must hold for a kernel."""

    sentence: str
    holds: Callable[[Kernel, Machine], bool]


def _expressions(kernel: Kernel) -> Iterator[Expr]:
    for stage in kernel.stages:
        yield from walk(stage.body)


def _operand(expr: Apply) -> Expr:
    return expr.arguments[1 if expr.op == "where" else 0]


CONSTRAINTS = (
    Constraint(
        "all dtypes have a machine type (floats, integers, bool)",
        lambda kernel, _: (
            all(has_registers(b.dtype) for b in kernel.buffers)
            and all(has_registers(e.dtype) for e in _expressions(kernel))
        ),
    ),
    Constraint(
        "f16 needs a machine that converts it (F16C, AVX-512 or AArch64)",
        lambda kernel, machine: machine.converts_f16 or all(b.dtype != f16 for b in kernel.buffers),
    ),
    Constraint(
        "every scalar operation has code for its dtype",
        lambda kernel, _: all(
            has_code(e.op, _operand(e).dtype) for e in _expressions(kernel) if isinstance(e, Apply)
        ),
    ),
    Constraint(
        "at most one dim is sequential",
        lambda kernel, _: len({d.name for s in kernel.stages for d in s.dims if d.kind == SCAN}) <= 1,
    ),
    Constraint(
        "no buffer is empty",
        lambda kernel, _: all(extent != 0 for b in kernel.buffers for extent in b.shape),
    ),
)


def refusals(node: Node, machine: Machine) -> list[str]:
    """Sentences of the constraints that a node fails."""
    tensors = [v.type for v in (*node.operands, *node.results) if v is not None]
    if not all(isinstance(t, TensorType) for t in tensors):
        return [f"{node.op} takes or gives what is no tensor"]
    if not all(t.is_static for t in tensors):
        return ["a shape is known at run time only"]
    kernel = get(node.op).kernel(node)
    if kernel is None:
        return [f"{node.op} has no stages here: it runs as a whole-tensor routine"]
    return [c.sentence for c in CONSTRAINTS if not c.holds(kernel, machine)]
