"""GraphDef and FunctionDef messages to source graphs: names, attributes, constants, and the nodes that results need.

A tensor is called `node:index` throughout; an argument of a function has its bare name. Variables become constants, and
handles to them stand for their values: whatever would change one is kept, and no converter takes it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from ...compiler.diagnostics import CompileError, ModelError, Problem
from ...runtime.records import dataclass
from ..source import SourceGraph, SourceInput, SourceNode
from .tensors import DTYPE, array_of, shape_of

Load = Callable[[], np.ndarray]

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
PLACEHOLDERS = ("Placeholder", "PlaceholderV2")

# Dtypes that an op's result is to have. All others (T, Tidx, SrcT, Index, ...) repeat those of operands.
_RESULT_TYPES = ("DstT", "dtype", "element_dtype", "index_type", "out_idx", "out_type", "output_type", "type")

V1_CONTROL = (
    "Enter",
    "Exit",
    "LoopCond",
    "Merge",
    "NextIteration",
    "RefEnter",
    "RefMerge",
    "RefSwitch",
    "Switch",
)

# Operations that change what later steps read: they count although no result depends on their outputs.
_CHANGES = (
    *("Assign", "Apply", "ResourceScatter", "ResourceApply", "ScatterUpdate", "ScatterAdd", "ScatterSub"),
    *("ScatterMul", "ScatterDiv", "LookupTableInsert", "LookupTableImport"),
)

# Where each named output begins among a node's outputs, for ops that have several (their OpDefs).
_OUTPUT_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    "TopKV2": ("values", "indices"),
    "Unique": ("y", "idx"),
    "UniqueV2": ("y", "idx"),
    "UniqueWithCounts": ("y", "idx", "count"),
    "MaxPoolWithArgmax": ("output", "argmax"),
    "NonMaxSuppressionV4": ("selected_indices", "valid_outputs"),
    "NonMaxSuppressionV5": ("selected_indices", "selected_scores", "valid_outputs"),
    "Switch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
    "TensorListPopBack": ("output_handle", "tensor"),
    "BroadcastGradientArgs": ("r0", "r1"),
    "ListDiff": ("out", "idx"),
    "BlockLSTM": ("i", "cs", "f", "o", "ci", "co", "h"),
    "LSTMBlockCell": ("i", "cs", "f", "o", "ci", "co", "h"),
    "Qr": ("q", "r"),
    "Svd": ("s", "u", "v"),
    "SelfAdjointEigV2": ("e", "v"),
}
_OUTPUT_ARGUMENTS["FusedBatchNormV2"] = _OUTPUT_ARGUMENTS["FusedBatchNorm"]
_OUTPUT_ARGUMENTS["FusedBatchNormV3"] = (*_OUTPUT_ARGUMENTS["FusedBatchNorm"], "reserve_space_3")
_OUTPUT_ARGUMENTS["BlockLSTMV2"] = _OUTPUT_ARGUMENTS["BlockLSTM"]


@dataclass(slots=True)
class Library:
    """The functions of one model and its variables, by the names of the nodes that stand for them."""

    location: str
    functions: Mapping[str, Any]
    variables: Mapping[str, Load] = field(default_factory=dict)
    problems: dict[Problem, None] = field(default_factory=dict)

    def problem(self, name: str, message: str, hint: str = "") -> None:
        self.problems[Problem(f"{self.location}:{name}" if name else self.location, message, hint)] = None

    def function(self, name: str, caller: str) -> SourceGraph:
        """A function's body, its nodes named after the node that calls it."""
        proto = self.functions[name]
        inputs = tuple(SourceInput(entry.name, DTYPE.get(entry.type)) for entry in proto.signature.input_arg)
        names = _FunctionNames(proto.node_def, {entry.name for entry in inputs})
        outputs = [names.operand(proto.ret[entry.name]) for entry in proto.signature.output_arg]
        kept = [node.name for node in proto.node_def if self.changes(node)]
        return self.graph(name, proto.node_def, names, inputs, outputs, kept, f"{caller}/")

    def graph(
        self,
        name: str,
        protos: Sequence[Any],
        names: "Names",
        inputs: tuple[SourceInput, ...],
        outputs: Sequence[str],
        kept: Iterable[str],
        prefix: str = "",
    ) -> SourceGraph:
        """The nodes that the outputs need, and those to be kept, definitions before uses."""
        by_name = {proto.name: proto for proto in protos}
        starts = [*outputs, *(f"{node}:0" for node in kept)]
        order, cycle = in_order(by_name, names, starts)
        if cycle and not any(proto.op in V1_CONTROL for proto in order):
            self.problem(f"{prefix}{cycle[-1]}", f"nodes form a cycle: {' -> '.join(reversed(cycle))}")
        # loops of the first generation are cycles: what is refused stands first, and says so
        order.sort(key=lambda proto: proto.op not in V1_CONTROL)
        read = {*outputs, *(tensor for proto in order for tensor in names.operands(proto))}
        used: dict[str, int] = {}
        for tensor in read - names.given:
            node, _, index = tensor.rpartition(":")
            used[node] = max(used.get(node, 0), int(index))
        constants: dict[str, Load] = {}
        nodes = []
        for proto in order:
            for tensor in names.operands(proto):
                if tensor not in names.given and tensor.rpartition(":")[0] not in by_name:
                    self.problem(
                        prefix + proto.name, f"operand '{tensor}' is not defined", "export the model again"
                    )
            if proto.op == "Const":
                constants[f"{proto.name}:0"] = _constant(proto)
            elif proto.op in VARIABLES or proto.name in self.variables:
                constants[f"{proto.name}:0"] = self.variable(proto, prefix)
            else:
                given = (f"{proto.name}:{index}" for index in range(used.get(proto.name, -1) + 1))
                results = tuple(name if name in read else "" for name in given)
                nodes.append(self.node(proto, names, results, prefix))
        return SourceGraph(name, inputs, tuple(outputs), tuple(nodes), constants)

    def node(self, proto: Any, names: "Names", outputs: tuple[str, ...], prefix: str) -> SourceNode:
        name = prefix + proto.name
        attributes: dict[str, Any] = {}
        body = None
        for key, value in proto.attr.items():
            found = value.ListFields()
            kind = found[0][0].name if found else ""
            if key.startswith("_") or (key not in _RESULT_TYPES and _is_type(value, kind)):
                continue
            if kind == "func" and proto.op in CALLS:
                body = self._body(value.func.name, name)
                continue
            try:
                attributes[key] = self.attribute(value, kind, name)
            except CompileError as error:
                self.problem(name, f"attribute '{key}': {error.message}", error.hint)
        if proto.op in self.functions:
            body, attributes = self._body(proto.op, name), {}
        elif body is not None:
            attributes = {}
        return SourceNode(
            proto.op, name, tuple(names.operands(proto)), outputs, attributes, origin=proto, body=body
        )

    def _body(self, function: str, caller: str) -> Callable[[], SourceGraph] | None:
        if function not in self.functions:
            self.problem(caller, f"the function '{function}' is not defined", "export the model again")
            return None
        return lambda: self.function(function, caller)

    def attribute(self, value: Any, kind: str, node: str) -> Any:
        """A number, text, dtype, shape (-1 for unknown extents, None for an unknown rank), array, body or a tuple."""
        match kind:
            case "s":
                return value.s.decode("utf-8", "replace")
            case "i" | "f" | "b":
                return getattr(value, kind)
            case "type":
                return DTYPE.get(value.type)
            case "shape":
                return shape_of(value.shape)
            case "tensor":
                return array_of(value.tensor)
            case "func":
                if value.func.name not in self.functions:
                    raise ModelError(f"the function '{value.func.name}' is not defined")
                return self.function(value.func.name, node)
            case "list" | "":
                return self._list(value.list)
            case _:
                raise ModelError("is decided by the caller of the function", hint="export concrete functions")

    def _list(self, value: Any) -> tuple[Any, ...]:
        for descriptor, items in value.ListFields():
            if descriptor.name == "s":
                return tuple(item.decode("utf-8", "replace") for item in items)
            if descriptor.name in ("i", "f", "b"):
                return tuple(items)
            if descriptor.name == "type":
                return tuple(map(DTYPE.get, items))
            if descriptor.name == "shape":
                return tuple(map(shape_of, items))
            if descriptor.name == "func":
                return tuple(item.name for item in items)
            raise ModelError(f"a list of kind '{descriptor.name}' is not known")
        return ()

    def variable(self, proto: Any, prefix: str) -> Load:
        """What gives a variable's value."""
        shared = proto.attr["shared_name"].s.decode("utf-8", "replace") if "shared_name" in proto.attr else ""
        load = self.variables.get(proto.name) or self.variables.get(shared)

        def missing() -> np.ndarray:
            raise ModelError(
                f"the variable '{prefix}{proto.name}' has no value in the model",
                hint="save a SavedModel, or freeze the graph's variables into constants",
            )

        return load or missing

    def changes(self, proto: Any) -> bool:
        """Whether running a node changes state that others read, itself or by a function that it calls."""
        if proto.op.startswith(_CHANGES):
            return True
        return any(
            self.changes(inner)
            for value in proto.attr.values()
            if value.HasField("func") and value.func.name in self.functions
            for inner in self.functions[value.func.name].node_def
        )


class Names:
    """Names of tensors in a graph: `node`, `node:1`; `given` are those that inputs feed, by the names of these."""

    def __init__(self, given: Mapping[str, str]):
        self.feeds = given
        self.given = frozenset(given.values())

    def operand(self, text: str) -> str:
        name = text if text.rpartition(":")[2].isdecimal() and ":" in text else f"{text}:0"
        return self.feeds.get(name, name)

    def operands(self, proto: Any) -> Iterator[str]:
        """The tensors that a node reads."""
        return (self.operand(text) for text in proto.input if not text.startswith("^"))


class _FunctionNames(Names):
    """Names of tensors in a function: an argument, or `node:output argument:index`."""

    def __init__(self, protos: Iterable[Any], arguments: Iterable[str]):
        super().__init__({})
        self.given = frozenset(arguments)
        self.ops = {proto.name: proto.op for proto in protos}

    def operand(self, text: str) -> str:
        if text in self.given:
            return text
        node, argument, index = (*text.split(":"), "", "0")[:3]
        arguments = _OUTPUT_ARGUMENTS.get(self.ops.get(node, ""), ())
        first = arguments.index(argument) if argument in arguments else 0
        return f"{node}:{first + int(index)}" if index.isdecimal() else f"{text}:0"


def in_order(by_name: Mapping[str, Any], names: Names, starts: Iterable[str]) -> tuple[list[Any], list[str]]:
    """The nodes that the tensors need, definitions before uses; and a cycle among them, if there is one."""
    order: list[Any] = []
    cycle: list[str] = []
    path: dict[str, None] = {}
    seen: set[str] = set()
    pending = [(start, False) for start in reversed(list(starts))]
    while pending:
        tensor, done = pending.pop()
        node = tensor.rpartition(":")[0]
        if tensor in names.given or node not in by_name:
            continue
        if done:
            path.pop(node)
            order.append(by_name[node])
        elif node in path:
            cycle = cycle or [*list(path)[list(path).index(node) :], node]
        elif node not in seen:
            seen.add(node)
            path[node] = None
            pending.append((tensor, True))
            pending += ((operand, False) for operand in reversed(list(names.operands(by_name[node]))))
    return order, cycle


def _constant(proto: Any) -> Load:
    return lambda: array_of(proto.attr["value"].tensor)


def _is_type(value: Any, kind: str) -> bool:
    """Whether an attribute is a dtype or a list of dtypes."""
    return kind == "type" or (kind == "list" and len(value.list.type) > 0)
