"""Modules and graphs in memory. This is where torch is imported: `torch.export` makes the graph, a walk reads it."""

import io
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import torch

from ...compiler.diagnostics import ModelError, UnsupportedError
from ...compiler.ir.dims import Dim
from ...compiler.ir.types import DTYPES, DType
from ...runtime.records import dataclass
from ..source import SourceGraph, SourceInput, SourceModel, SourceNode
from .archive import Archive
from .expressions import parse_size
from .functional import changes_operand, functionalised
from .nodes import Origin, Ref, aten, innermost_line, target
from .tensors import NAMED
from .trees import named_outputs


def read_object(source: Any, example_inputs: Any = None) -> SourceModel:
    """The graph of an exported program, a module or a graph module; the latter two are exported with the inputs.

    Raises ModelError where torch can't export it, UnsupportedError for what is no pure function of its inputs.
    """
    if isinstance(source, torch.export.ExportedProgram):
        return read_exported(source, "exported program")
    if isinstance(source, torch.jit.ScriptModule):
        return _read_scripted(source)
    if not isinstance(source, torch.nn.Module):
        raise ModelError(
            f"objects of type {type(source).__module__}.{type(source).__qualname__} hold no graph",
            hint="give a torch.nn.Module with example_inputs=, or a torch.export.ExportedProgram",
        )
    name = type(source).__name__
    if example_inputs is None:
        raise ModelError(
            "a module has no graph until it is called",
            location=name,
            hint="give example_inputs=: a tensor, a tuple of them, or a dict by parameter name",
        )
    return read_exported(export(source, example_inputs, name), name)


def export(module: torch.nn.Module, example_inputs: Any, name: str) -> torch.export.ExportedProgram:
    """What torch.export makes of a module. Raises ModelError with torch's reason."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if isinstance(example_inputs, Mapping):
        kwargs = dict(example_inputs)
    else:
        args = tuple(example_inputs) if isinstance(example_inputs, tuple | list) else (example_inputs,)
    try:
        with torch.no_grad():
            return torch.export.export(module, args, kwargs)
    except Exception as error:  # torch raises whatever the module's own code meets
        reason = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
        raise ModelError(
            f"torch.export can't trace it: {type(error).__name__}: {reason[:300].rstrip('.')}",
            location=name,
            hint="let no Python branch depend on tensors' values (torch.cond keeps both), and check example_inputs",
        ) from error


def read_exported(program: torch.export.ExportedProgram, name: str) -> SourceModel:
    """The graph of an exported program, its weights copied."""
    if any(changes_operand(str(node.target)) for node in program.graph.nodes if node.op == "call_function"):
        program = program.run_decompositions({})
    kinds = torch.export.graph_signature.InputKind
    constants: dict[str, Callable[[], np.ndarray]] = {}
    given: dict[str, bool] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind == kinds.USER_INPUT:
            given[spec.arg.name] = isinstance(spec.arg, torch.export.graph_signature.TensorArgument)
        elif spec.kind in (kinds.PARAMETER, kinds.BUFFER, kinds.CONSTANT_TENSOR):
            stored = program.state_dict if spec.target in program.state_dict else program.constants
            constants[spec.arg.name] = partial(copied, stored[spec.target])
        else:
            raise UnsupportedError(f"an input of kind {spec.kind.name} is not supported", location=name)
    walk = Walk(program.graph_module)
    nodes = walk.nodes(program.graph)
    inputs = tuple(
        walk.input(node) for node in program.graph.find_nodes(op="placeholder") if given.get(node.name)
    )
    named, aliases = named_outputs(_tree(program), _outputs(program, name))
    graph = functionalised(SourceGraph("program", inputs, named, (*nodes, *aliases), constants), name)
    return SourceModel(name, graph, len(nodes), partial(_content, program))


def _outputs(program: torch.export.ExportedProgram, name: str) -> tuple[str | None, ...]:
    found: list[str | None] = []
    for spec in program.graph_signature.output_specs:
        if spec.kind != torch.export.graph_signature.OutputKind.USER_OUTPUT:
            raise UnsupportedError(
                f"it changes '{spec.target}' when it runs, and packages keep no state",
                location=name,
                hint="call model.eval() before, and give states as inputs and outputs",
            )
        is_tensor = isinstance(spec.arg, torch.export.graph_signature.TensorArgument)
        found.append(spec.arg.name if is_tensor else None)
    return tuple(found)


def _tree(program: torch.export.ExportedProgram) -> str:
    try:
        return torch.utils._pytree.treespec_dumps(program.module_call_graph[0].signature.out_spec)
    except (NotImplementedError, AttributeError, IndexError):
        return ""


def _content(program: torch.export.ExportedProgram) -> list[bytes]:
    """What stands for the file: the graph's text and the weights."""
    arrays = [copied(program.state_dict[key]) for key in sorted(program.state_dict)]
    return [str(program.graph).encode(), *(array.tobytes() for array in arrays)]


def _read_scripted(module: torch.jit.ScriptModule) -> SourceModel:
    from .script import read_script

    stream = io.BytesIO()
    torch.jit.save(module, stream)
    stream.seek(0)
    return read_script(Archive(stream, type(module).__name__))


def copied(tensor: torch.Tensor) -> np.ndarray:
    """A copy of a tensor's content: the module may be trained on."""
    return as_array(tensor.detach().cpu()).copy()


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's memory as an array, without a copy where it is contiguous."""
    dtype = dtype_of(tensor.dtype)
    if dtype.numpy.type.__module__ == ml_dtypes.bfloat16.__module__:
        bits = tensor.contiguous().view(torch.int16 if dtype.bits == 16 else torch.uint8)
        return bits.numpy().view(dtype.numpy)
    return tensor.contiguous().numpy()


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor over an array's memory."""
    if array.dtype.type.__module__ != ml_dtypes.bfloat16.__module__:
        return torch.from_numpy(array)
    bits = torch.from_numpy(array.view(np.int16 if array.dtype.itemsize == 2 else np.uint8))
    return bits.view(getattr(torch, array.dtype.name))


def dtype_of(dtype: torch.dtype) -> DType:
    """The IR's element type. Raises UnsupportedError for those that it lacks."""
    name = str(dtype).removeprefix("torch.")
    if name not in NAMED:
        raise UnsupportedError(f"the element type {dtype} is not supported", hint="use a plain dtype")
    return DTYPES[NAMED[name]]


@dataclass(frozen=True)
class Walk:
    """The nodes of a graph of ATen calls, as `program` gives them for files; `owner` holds the bodies it refers to."""

    owner: torch.nn.Module

    def nodes(self, graph: torch.fx.Graph) -> tuple[SourceNode, ...]:
        """Every call of a graph in order; outputs of calls with several results are named by who takes them apart."""
        return tuple(
            self.node(node) for node in graph.nodes if node.op == "call_function" and not _takes_apart(node)
        )

    def node(self, node: torch.fx.Node) -> SourceNode:
        domain, op = _target(node.target)
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema is not None else []
        arguments = [self.argument(argument) for argument in node.args]
        named = dict(zip(names, arguments))
        named |= {name: self.argument(argument) for name, argument in node.kwargs.items()}
        positional = () if names else tuple(arguments)
        origin = _origin(node)
        where = f"{origin.module}/{node.name}" if origin.module else node.name
        return aten(op, _results(node), positional, named, where, origin, domain)

    def argument(self, argument: Any) -> Any:
        """An argument of a call; bodies become graphs."""
        if isinstance(argument, torch.fx.Node):
            if argument.op == "get_attr":
                return self.attribute(argument)
            return Ref(argument.name)
        if isinstance(argument, list | tuple):
            return tuple(map(self.argument, argument))
        if isinstance(argument, torch.dtype):
            return dtype_of(argument)
        if argument is None or isinstance(argument, bool | int | float | str):
            return argument
        return str(argument)

    def attribute(self, node: torch.fx.Node) -> Any:
        found = operator.attrgetter(str(node.target))(self.owner)
        return (
            self.body(found, str(node.target)) if isinstance(found, torch.fx.GraphModule) else Ref(node.name)
        )

    def body(self, module: torch.fx.GraphModule, name: str) -> SourceGraph:
        """A graph among the arguments of a call."""
        inner = Walk(module)
        inputs = tuple(map(inner.input, module.graph.find_nodes(op="placeholder")))
        (last,) = module.graph.find_nodes(op="output")
        outputs = tuple(value.name for value in last.args[0])
        return functionalised(SourceGraph(name, inputs, outputs, inner.nodes(module.graph)), name)

    def input(self, node: torch.fx.Node) -> SourceInput:
        """A tensor input with the shape that was recorded, its open dimensions as symbols."""
        example = node.meta["val"]
        return SourceInput(node.name, dtype_of(example.dtype), tuple(map(extent, example.shape)))


def extent(size: Any) -> Dim:
    """A dimension, from a number or one of torch's symbolic ones."""
    if isinstance(size, int):
        return size
    import sympy

    return parse_size(sympy.srepr(size.node.expr))


def _takes_apart(node: torch.fx.Node) -> bool:
    return node.target is operator.getitem and isinstance(node.args[0], torch.fx.Node)


def _results(node: torch.fx.Node) -> tuple[str, ...]:
    """The names of a call's results: its own, or those of the nodes that take its tuple apart."""
    parts = [user for user in node.users if _takes_apart(user)]
    if not parts:
        schema = getattr(node.target, "_schema", None)
        return () if schema is not None and not schema.returns else (node.name,)
    names = [""] * (1 + max(int(part.args[1]) for part in parts))
    for part in parts:
        names[int(part.args[1])] = part.name
    return tuple(names)


def _target(function: Any) -> tuple[str, str]:
    if isinstance(function, torch._ops.OpOverload):
        return target(str(function))
    if isinstance(function, torch._ops.HigherOrderOperator):
        return "higher_order", function.name()
    return "operator", getattr(function, "__name__", str(function))


def _origin(node: torch.fx.Node) -> Origin:
    stack: Sequence[tuple[str, Any]] = list(node.meta.get("nn_module_stack", {}).values())
    module = str(stack[-1][0]) if stack else ""
    return Origin(
        "" if module.startswith("_empty") else module, innermost_line(node.meta.get("stack_trace") or "")
    )
