"""Exported programs as `torch.export.save` writes them (`.pt2`): the graph as JSON, read without torch.

The schema is torch's own (torch/_export/serde/schema.py); major version 8 is read, unknown keys are ignored.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...compiler.diagnostics import ModelError, Problem, UnsupportedError
from ...compiler.ir.dims import Dim
from ...runtime.records import dataclass
from ..source import SourceGraph, SourceInput, SourceModel, SourceNode
from .archive import WAY_OUT, Archive, following_schema
from .expressions import parse_size
from .functional import functionalised
from .nodes import Origin, Ref, aten, innermost_line, target
from .stored import StoredTensors, legacy_tensors
from .tensors import EXPORTED, dtype_numbered
from .trees import named_outputs

MAJOR = 8
"""The major version of the schema that is read."""


def read_program(archive: Archive) -> SourceModel:
    """The model of an archive. Raises ModelError with all defects, UnsupportedError for other schema versions."""
    if "archive_format" in archive or any(name.startswith("models/") for name in archive.names()):
        name = _only_model(archive)
        tensors = StoredTensors.read(archive, name)
        text = f"models/{name}.json"
    else:
        tensors, text = legacy_tensors(archive), "serialized_exported_program.json"
    with following_schema(archive.location, text):
        program = json.loads(archive.text(text))
        return _Reader(archive.location, program, tensors).model(archive)


def _only_model(archive: Archive) -> str:
    names = [name[7:-5] for name in archive.names() if name.startswith("models/") and name.endswith(".json")]
    if len(names) != 1:
        found = f"the models {', '.join(sorted(names))}" if names else "no model"
        raise ModelError(f"the archive holds {found}, expected one", location=archive.location, hint=WAY_OUT)
    return names[0]


@dataclass
class _Reader:
    """One exported program; `tensors` finds its weights by their names in the module."""

    location: str
    program: Mapping[str, Any]
    tensors: StoredTensors

    def model(self, archive: Archive) -> SourceModel:
        self.check_version()
        module = self.program["graph_module"]
        graph = self.graph(module["graph"], "program", module)
        return SourceModel(
            self.location, functionalised(graph, self.location), len(graph.nodes), archive.content
        )

    def check_version(self) -> None:
        version = self.program.get("schema_version", {})
        major = version.get("major") if isinstance(version, Mapping) else version
        if major != MAJOR:
            raise UnsupportedError(
                f"its schema has version {major}, this build reads {MAJOR}",
                location=self.location,
                hint=f"{WAY_OUT}, with torch 2.5 or newer",
            )

    def graph(
        self, graph: Mapping[str, Any], name: str, module: Mapping[str, Any] | None = None
    ) -> SourceGraph:
        """A graph and, for the program's own one, what its signature says of inputs and outputs."""
        nodes = tuple(self.node(node) for node in graph["nodes"])
        if module is None:
            inputs = tuple(self.input(entry["as_tensor"]["name"], graph) for entry in graph["inputs"])
            outputs = tuple(entry["as_tensor"]["name"] for entry in graph["outputs"])
            return SourceGraph(name, inputs, outputs, nodes)
        signature = module["signature"]
        constants, given = self.inputs(signature["input_specs"], graph)
        outputs = self.outputs(signature["output_specs"])
        named, aliases = named_outputs(_out_spec(module), outputs)
        return SourceGraph(name, given, named, (*nodes, *aliases), constants)

    def inputs(
        self, specs: list[Any], graph: Mapping[str, Any]
    ) -> tuple[dict[str, Callable[[], np.ndarray]], tuple[SourceInput, ...]]:
        """Stored tensors by the names that the graph gives them, and the inputs that a user gives."""
        constants: dict[str, Callable[[], np.ndarray]] = {}
        given: list[SourceInput] = []
        problems: list[Problem] = []
        for spec in specs:
            ((kind, body),) = spec.items()
            if kind == "user_input":
                ((what, entry),) = body["arg"].items()
                if what == "as_tensor":
                    given.append(self.input(entry["name"], graph))
                elif what in ("as_sym_int", "as_sym_float", "as_sym_bool"):
                    where = f"{self.location}:{entry.get('as_name', 'input')}"
                    message = "an input that is a number is not supported"
                    problems.append(Problem(where, message, "make it a tensor, or a constant of the module"))
            elif kind in ("parameter", "buffer", "tensor_constant"):
                name = body[f"{kind}_name"]
                if name in self.tensors:
                    constants[Ref(body["arg"]["name"]).name] = partial(self.tensors.load, name)
                else:
                    message = f"the archive has no data for the {kind.replace('_', ' ')} '{name}'"
                    problems.append(Problem(f"{self.location}:{name}", message, WAY_OUT))
            elif kind != "constant_input":
                problems.append(
                    Problem(self.location, f"an input of kind '{kind}' is not supported", WAY_OUT)
                )
        if problems:
            raise ModelError("", problems=problems)
        return constants, tuple(given)

    def input(self, name: str, graph: Mapping[str, Any]) -> SourceInput:
        meta = graph["tensor_values"][name]
        dtype = dtype_numbered(meta["dtype"], EXPORTED, f"the input '{name}'")
        return SourceInput(name, dtype, tuple(map(size, meta["sizes"])))

    def outputs(self, specs: list[Any]) -> tuple[str | None, ...]:
        """Names of the values that a user gets, None for those that are no tensors."""
        found: list[str | None] = []
        for spec in specs:
            ((kind, body),) = spec.items()
            if kind != "user_output":
                target = body.get("buffer_name") or body.get("user_input_name") or body.get("parameter_name")
                raise UnsupportedError(
                    f"it changes '{target}' when it runs, and packages keep no state",
                    location=self.location,
                    hint="export the model in eval mode, and give states as inputs and outputs",
                )
            found.append(body["arg"].get("as_tensor", {}).get("name"))
        return tuple(found)

    def node(self, node: Mapping[str, Any]) -> SourceNode:
        domain, op = target(node["target"])
        metadata = node.get("metadata", {})
        outputs = [name for output in node["outputs"] for name in _output_names(output)]
        named = {
            entry["name"] or f"_{index}": self.argument(entry["arg"])
            for index, entry in enumerate(node["inputs"])
        }
        origin = Origin(
            _module(metadata.get("nn_module_stack", "")), innermost_line(metadata.get("stack_trace", ""))
        )
        name = node.get("name") or next(iter(outputs), op)
        positional = tuple(named.pop(key) for key in list(named) if key.startswith("_") and key[1:].isdigit())
        where = f"{origin.module}/{name}" if origin.module else name
        return aten(op, outputs, positional, named, where, origin, domain)

    def argument(self, argument: Mapping[str, Any]) -> Any:
        """An argument of a call: a union with one key that names its type."""
        ((kind, value),) = argument.items()
        if kind in ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"):
            return number(value)
        if kind in ("as_tensors", "as_sym_ints", "as_sym_floats", "as_sym_bools"):
            return tuple(map(number, value))
        if kind == "as_optional_tensor":
            return self.argument(value)
        if kind in ("as_optional_tensors", "as_nested_tensors"):
            return tuple(map(self.argument, value))
        if kind == "as_none":
            return None
        if kind == "as_scalar_type":
            return dtype_numbered(value, EXPORTED, "an argument")
        if kind in ("as_ints", "as_floats", "as_bools", "as_strings"):
            return tuple(value)
        if kind == "as_int_lists":
            return tuple(map(tuple, value))
        if kind == "as_graph":
            return self.graph(value["graph"], value["name"])
        if kind in ("as_int", "as_float", "as_bool", "as_string", "as_memory_format", "as_layout"):
            return float(value) if kind == "as_float" else value
        if kind == "as_device":
            return str(value["type"])
        raise UnsupportedError(
            f"an argument of kind '{kind}' is not supported", hint="export with plain tensors"
        )


def number(value: Mapping[str, Any]) -> Any:
    """A tensor or symbolic number by name, or a plain number."""
    if "name" in value or "as_name" in value:
        return Ref(value.get("name") or value["as_name"])
    (plain,) = value.values()
    return plain


def size(value: Mapping[str, Any]) -> Dim:
    """An extent, a number or an expression."""
    return int(value["as_int"]) if "as_int" in value else parse_size(value["as_expr"]["expr_str"])


def _output_names(output: Mapping[str, Any]) -> list[str]:
    ((kind, value),) = output.items()
    if kind == "as_none":
        return []
    entries = value if isinstance(value, list) else [value]
    return [Ref(entry.get("name") or entry.get("as_name") or "").name for entry in entries]


def _out_spec(module: Mapping[str, Any]) -> str:
    """The tree of the program's results, as JSON; "" where the file lacks it."""
    for entry in module.get("module_call_graph", ()):
        if entry.get("fqn") == "" and entry.get("signature"):
            return entry["signature"]["out_spec"]
    return ""


def _module(stack: str) -> str:
    """The path of the innermost module, from entries `key,path,class` with semicolons between them."""
    last = stack.rpartition(";")[2].split(",")
    return last[1].removeprefix("L['self'].") if len(last) > 1 else ""
