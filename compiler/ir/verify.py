"""The verifier: what holds between passes, checked from outside; every problem is listed.

Cycles and uses before definitions can't be built, since a node holds its operands; what remains is checked here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ..diagnostics import CompileError, Problem, VerifyError
from .compare import attributes_key, compatible
from .graph import Graph, Node, Tensor, Value


class Declaration(Protocol):
    """What the verifier asks of an op's declaration; `ops.engine.Op` offers it."""

    def build(
        self, operands: Sequence[Value | None], attributes: Mapping[str, Any], regions: Sequence[Graph]
    ) -> Node:
        """The node, typed by the op's rule; TypeRuleError for operands or attributes that it refuses."""
        ...


Lookup = Callable[[str], Declaration]
"""From an op's name to its declaration; KeyError for an unknown one."""


def verify(graph: Graph, lookup: Lookup) -> None:
    """Raise VerifyError, listing every violation, unless all invariants of the IR hold."""
    problems = list(_graph_problems(graph, lookup, graph.name))
    if problems:
        raise VerifyError("", problems=problems)


def _graph_problems(graph: Graph, lookup: Lookup, where: str) -> Iterator[Problem]:
    for kind, names in (("input", graph.input_names), ("output", graph.output_names)):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem(where, f"two {kind}s are called '{name}'")
    if len(graph.outputs) != len(graph.output_names):
        yield Problem(where, f"{len(graph.outputs)} outputs have {len(graph.output_names)} names")
    if len(set(graph.inputs)) != len(graph.inputs):
        yield Problem(where, "one value is listed twice among the inputs")
    inputs = set(graph.inputs)
    for node in graph.nodes:
        for message in _node_problems(node, inputs, lookup):
            yield Problem(str(node.location) or f"{where}:{node.op}", message)
        for number, region in enumerate(node.regions):
            yield from _graph_problems(region, lookup, f"{str(node.location) or where}:{node.op}.{number}")


def _node_problems(node: Node, inputs: set[Value], lookup: Lookup) -> Iterator[str]:
    for position, operand in enumerate(node.operands):
        if operand is not None and not 0 <= operand.index < len(operand.node.types):
            yield f"operand {position} of {node.op} is result {operand.index} of {operand.node.op}, which has none"
    if node.op == "input":
        if node.result not in inputs:
            yield f"input '{node.attributes['name']}' belongs to another graph; regions take what they use as inputs"
    elif node.op == "constant":
        yield from _constant_problems(node)
    else:
        yield from _op_problems(node, lookup)


def _constant_problems(node: Node) -> Iterator[str]:
    tensor = node.attributes.get("value")
    if not isinstance(tensor, Tensor):
        yield f"a constant holds {tensor!r}, not a tensor"
    elif node.types != (tensor.type,):
        yield f"a constant of type {', '.join(map(str, node.types))} holds {tensor.type}"
    elif tensor.array.flags.writeable:
        yield "a constant's array is writeable"


def _op_problems(node: Node, lookup: Lookup) -> Iterator[str]:
    try:
        declared = lookup(node.op)
    except KeyError:
        yield f"no op is called '{node.op}'"
        return
    try:
        expected = declared.build(node.operands, node.attributes, node.regions)
    except CompileError as error:
        yield from (problem.message for problem in error.problems)
        return
    if len(expected.types) != len(node.types) or not all(map(compatible, node.types, expected.types)):
        got, wanted = (", ".join(map(str, types)) for types in (node.types, expected.types))
        yield f"{node.op} is typed {got}, but its rule says {wanted}"
    if attributes_key(expected.attributes) != attributes_key(node.attributes):
        missing = sorted(set(expected.attributes) - set(node.attributes))
        what = f"lacks {', '.join(missing)}" if missing else "is not in normal form"
        yield f"the attributes of {node.op}: {what}; build nodes through the op"
