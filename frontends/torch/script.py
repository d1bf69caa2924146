"""TorchScript archives, read without torch: modules from an inert pickle, the graph from their code."""

import ast
from collections.abc import Mapping
from typing import Any

from ...compiler.diagnostics import CompileError, ModelError, UnsupportedError, located
from ...compiler.ir.types import f32
from ..source import SourceGraph, SourceInput, SourceModel
from .archive import Archive
from .functional import functionalised
from .interpreter import Interpreter
from .nodes import Ref
from .pickles import Module, Tensor, load
from .script_graph import WAY_OUT, ScriptGraph
from .trees import named_outputs


def read_script(archive: Archive) -> SourceModel:
    """The graph of a TorchScript archive's `forward`. Raises ModelError or UnsupportedError at its source line."""
    module = load(archive, "data.pkl", "data/")
    if not isinstance(module, Module):
        raise ModelError("its pickle holds no module", location=archive.location, hint=WAY_OUT)
    constants = load(archive, "constants.pkl", "constants/") if "constants.pkl" in archive else ()
    with located(archive.location):
        graph = functionalised(_forward(archive, module, ScriptGraph(tuple(constants))), archive.location)
    return SourceModel(archive.location, graph, len(graph.nodes), archive.content)


def _traced(archive: Archive) -> tuple[Any, ...]:
    """The inputs that a traced module was recorded with, as far as the archive describes them."""
    if "traced_inputs.pkl" not in archive:
        return ()
    try:
        found = load(archive, "traced_inputs.pkl", "traced_inputs/")
    except CompileError:
        return ()
    given = found.get("forward", ()) if isinstance(found, Mapping) else ()
    return tuple(given) if isinstance(given, tuple | list) else ()


def _forward(archive: Archive, module: Module, graph: ScriptGraph) -> SourceGraph:
    """The graph of the module's `forward`."""
    interpreter = Interpreter(archive, graph)
    interpreter.paths[id(module)] = ""
    function = interpreter.method(module, "forward")
    traced, inputs = _traced(archive), []
    for index, parameter in enumerate(function.args.args[1:]):
        kind = "Tensor" if parameter.annotation is None else ast.unparse(parameter.annotation)
        if kind != "Tensor":
            raise UnsupportedError(f"its input '{parameter.arg}' is a {kind}, not a tensor", hint=WAY_OUT)
        inputs.append(_input(parameter.arg, traced[index] if index < len(traced) else None))
    result = interpreter.call(function, [module, *(Ref(entry.name) for entry in inputs)], {}, "")
    named, aliases = named_outputs("", [value.name for value in _flat(result)])
    return SourceGraph("forward", tuple(inputs), named, (*graph.nodes, *aliases), graph.constants)


def _input(name: str, traced: Any) -> SourceInput:
    """An input; the archive of a traced module tells its type and the shape that it was recorded with."""
    if not isinstance(traced, Tensor):
        return SourceInput(name, f32)
    return SourceInput(name, traced.storage.dtype, usual=traced.sizes)


def _flat(value: Any) -> list[Ref]:
    """The tensors of a result, in order."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, Mapping):
        return [ref for item in value.values() for ref in _flat(item)]
    if isinstance(value, list | tuple):
        return [ref for item in value for ref in _flat(item)]
    if value is None:
        return []
    raise UnsupportedError(f"it returns {value!r:.40}, which is no tensor", hint=WAY_OUT)
