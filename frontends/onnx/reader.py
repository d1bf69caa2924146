"""ONNX files and `ModelProto` objects to source graphs: decoding and the checks that need no meaning of the ops."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TypeProto,
)

from ...compiler.diagnostics import CompileError, ModelError, Problem, located
from ...compiler.ir.dims import Dim, fresh
from ...runtime.records import dataclass
from ..checks import check_names, in_order
from ..files import Folder, map_file
from ..source import Buffer, SourceGraph, SourceInput, SourceModel, SourceNode
from .calls import MOST, Key, LocalFunction, expanded_size, recursion
from .dimensions import named_dimension
from .names import domain_of, text_of
from .opsets import NEWEST_IR, check_opset
from .tensors import DTYPE, TensorReader
from .wire import cut


@dataclass(slots=True)
class Decoder:
    """Reads messages of one model. `problems` collects what is wrong; everything readable is read."""

    location: str
    tensors: TensorReader
    functions: dict[Key, LocalFunction] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    size: int = 0

    def model(self, proto: ModelProto) -> SourceGraph:
        if proto.ir_version > NEWEST_IR:
            self.problem("", f"has format version {proto.ir_version}, the newest known is {NEWEST_IR}")
        if not proto.opset_import and proto.graph.node:
            self.problem("", "declares no opset (opset_import is empty)", "export the model again")
        versions = self.versions(proto.opset_import)
        for found in (versions, *(self.versions(function.opset_import) for function in proto.functions)):
            if "" in found:
                with located(self.location):
                    check_opset(found[""])
        for function in proto.functions:
            entry = LocalFunction(function, {**versions, **self.versions(function.opset_import)})
            if entry.key in self.functions:
                self.problem(function.name, "the function is defined twice")
            self.functions[entry.key] = entry
        for entry in self.functions.values():
            try:
                self.function(entry, {}, entry.proto.name)
            except CompileError as error:
                self.problems += error.problems
        for ring in recursion(self.functions):
            self.problem(ring[0], f"functions call each other in a circle: {' -> '.join(ring)}")
        self.size = 0 if self.problems else expanded_size(proto.graph.node, self.functions)
        if self.size > MOST:
            self.problem("", f"its functions expand to more than {MOST} nodes", "simplify them")
        if self.problems:
            raise ModelError("", problems=self.problems)
        return self.graph(proto.graph, versions, frozenset())

    def versions(self, imports: Iterable[Any]) -> dict[str, int]:
        return {domain_of(entry.domain): entry.version for entry in imports}

    def problem(self, name: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(f"{self.location}:{name}" if name else self.location, message, hint))

    def graph(
        self,
        proto: GraphProto,
        versions: Mapping[str, int],
        outer: frozenset[str],
        bindings: Mapping[str, AttributeProto] | None = None,
        prefix: str = "",
    ) -> SourceGraph:
        """A graph or body. `outer` are the names that bodies may use from outside."""
        constants: dict[str, Callable[[], np.ndarray]] = {}
        for tensor in proto.initializer:
            name = text_of(tensor.name)
            if name in constants:
                self.problem(name, "the name is defined twice, by two initializers")
            constants[name] = self.tensors.lazy(tensor)
        for sparse in proto.sparse_initializer:
            constants[text_of(sparse.values.name)] = partial(self.tensors.dense, sparse)
        inputs = [
            declared_input(text_of(entry.name), entry.type)
            for entry in proto.input
            if entry.name not in constants
        ]
        known = outer | set(constants) | {entry.name for entry in inputs}
        known |= {name for node in proto.node for name in node.output if name}
        nodes = self.nodes(proto.node, versions, known, bindings, prefix)
        outputs = tuple(text_of(entry.name) for entry in proto.output)
        given = [*(entry.name for entry in inputs), *constants]
        self.problems += check_names(self.location, given, nodes, outputs, outer)
        nodes, cycle = in_order(self.location, nodes)
        self.problems += cycle
        return SourceGraph(text_of(proto.name) or "graph", tuple(inputs), outputs, tuple(nodes), constants)

    def nodes(
        self,
        protos: Iterable[NodeProto],
        versions: Mapping[str, int],
        outer: frozenset[str],
        bindings: Mapping[str, AttributeProto] | None,
        prefix: str,
    ) -> list[SourceNode]:
        nodes = []
        for index, proto in enumerate(protos):
            op = text_of(proto.op_type)
            name = prefix + (text_of(proto.name) or f"{op}_{index}")
            domain = domain_of(proto.domain)
            proto = _bound(proto, bindings)
            attributes = {}
            for attribute in proto.attribute:
                try:
                    attributes[text_of(attribute.name)] = self.attribute(
                        attribute, versions, outer, bindings, prefix
                    )
                except CompileError as error:
                    self.problem(name, f"attribute '{text_of(attribute.name)}': {error.message}", error.hint)
            nodes.append(
                SourceNode(
                    op,
                    name,
                    tuple(map(text_of, proto.input)),
                    tuple(map(text_of, proto.output)),
                    attributes,
                    domain,
                    versions.get(domain, 0),
                    proto,
                    self.body(proto, domain, name),
                )
            )
        return nodes

    def body(self, proto: NodeProto, domain: str, name: str) -> Callable[[], SourceGraph] | None:
        """How to get the body of the local function that a node calls, if it calls one."""
        function = self.functions.get((domain, proto.op_type, proto.overload))
        if function is None:
            return None
        return lambda: self.function(function, {entry.name: entry for entry in proto.attribute}, name)

    def attribute(
        self,
        proto: AttributeProto,
        versions: Mapping[str, int],
        outer: frozenset[str],
        bindings: Mapping[str, AttributeProto] | None,
        prefix: str,
    ) -> Any:
        """The attribute's value: a number, text, array, body, type, or a tuple of them."""
        kind = AttributeProto.AttributeType.Name(proto.type) if proto.type else _guessed_kind(proto)
        match kind:
            case "FLOAT" | "INT":
                return proto.f if kind == "FLOAT" else proto.i
            case "STRING":
                return proto.s.decode("utf-8", "replace")
            case "FLOATS" | "INTS":
                return tuple(proto.floats if kind == "FLOATS" else proto.ints)
            case "STRINGS":
                return tuple(text.decode("utf-8", "replace") for text in proto.strings)
            case "TENSOR":
                return self.tensors.array(proto.t)
            case "TENSORS":
                return tuple(map(self.tensors.array, proto.tensors))
            case "SPARSE_TENSOR":
                return self.tensors.sparse(proto.sparse_tensor)
            case "GRAPH":
                return self.graph(proto.g, versions, outer, bindings, prefix)
            case "TYPE_PROTO":
                return proto.tp
            case _:
                raise ModelError(f"its kind {kind} is not known")

    def function(
        self, function: LocalFunction, given: Mapping[str, AttributeProto], name: str
    ) -> SourceGraph:
        """A local function's body with its attributes bound, for a call from the node `name`."""
        proto = function.proto
        defaults = {attribute.name: attribute for attribute in proto.attribute_proto}
        bindings = defaults | dict(given)
        inputs = tuple(map(SourceInput, proto.input))
        known = frozenset(proto.input) | {output for node in proto.node for output in node.output if output}
        nodes = self.nodes(proto.node, function.versions, known, bindings, f"{name}/")
        defined = {*proto.input, *(name for node in proto.node for name in node.output)}
        outputs = tuple(name if name in defined else "" for name in proto.output)
        problems = check_names(self.location, list(proto.input), nodes, (), frozenset())
        nodes, cycle = in_order(self.location, nodes)
        if problems or cycle:
            raise ModelError("", problems=[*problems, *cycle])
        return SourceGraph(proto.name, inputs, outputs, tuple(nodes))


def _bound(proto: NodeProto, bindings: Mapping[str, AttributeProto] | None) -> NodeProto:
    """A function's node with the attributes that the function's caller decides; those it leaves out stay defaults."""
    if not any(attribute.ref_attr_name for attribute in proto.attribute):
        return proto
    copy = NodeProto()
    copy.CopyFrom(proto)
    del copy.attribute[:]
    for attribute in proto.attribute:
        given = (bindings or {}).get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if given is not None:
            copy.attribute.add().CopyFrom(given)
            copy.attribute[-1].name = attribute.name
    return copy


def declared_input(name: str, type: TypeProto) -> SourceInput:
    """An input as declared. Bodies need no types, so what is missing or unknown is no error here."""
    containers: list[str] = []
    while (kind := type.WhichOneof("value")) in ("sequence_type", "optional_type"):
        containers.append(kind.removesuffix("_type"))
        type = getattr(type, kind).elem_type
    if kind != "tensor_type" or type.tensor_type.elem_type not in DTYPE:
        return SourceInput(name)
    tensor = type.tensor_type
    shape = tuple(map(_dim, tensor.shape.dim)) if tensor.HasField("shape") else None
    return SourceInput(name, DTYPE[tensor.elem_type], shape, tuple(containers))


def _dim(proto: Any) -> Dim:
    kind = proto.WhichOneof("value")
    if kind == "dim_value" and proto.dim_value >= 0:
        return int(proto.dim_value)
    return named_dimension(proto.dim_param) if kind == "dim_param" else fresh()


def _guessed_kind(proto: AttributeProto) -> str:
    """The kind of an attribute that does not state one, as files before format version 2 may."""
    for name, kind in (("t", "TENSOR"), ("g", "GRAPH"), ("s", "STRING"), ("f", "FLOAT"), ("i", "INT")):
        if proto.HasField(name):
            return kind
    for name in ("floats", "ints", "strings", "tensors"):
        if len(getattr(proto, name)):
            return name.upper()
    return "UNDEFINED"


def read_file(path: Path) -> SourceModel:
    """The model in a file. Raises ModelError with every problem found."""
    location = path.name
    data = map_file(path, str(path))
    try:
        slim = cut(data)
        proto = ModelProto.FromString(slim)
    except DecodeError:
        raise ModelError(
            "not an ONNX model: it does not decode",
            location=location,
            hint="check that this is the right file",
        ) from None
    except ModelError as error:
        raise ModelError(error.message, location=location, hint=error.hint) from None
    folder = Folder(path)
    return _decode(proto, location, TensorReader(data, folder), lambda: [data, *folder.content()])


def read_object(proto: ModelProto) -> SourceModel:
    """The model in a message that was loaded or built in memory."""
    tensors = TensorReader(b"", None)
    return _decode(
        proto, proto.graph.name or "model", tensors, lambda: [proto.SerializeToString(deterministic=True)]
    )


def _decode(
    proto: ModelProto, location: str, tensors: TensorReader, content: Callable[[], Iterable[Buffer]]
) -> SourceModel:
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise ModelError(
            "not an ONNX model: it holds no graph",
            location=location,
            hint="check that this is the right file",
        )
    decoder = Decoder(location, tensors)
    graph = decoder.model(proto)
    if decoder.problems:
        raise ModelError("", problems=dict.fromkeys(decoder.problems))
    return SourceModel(location, graph, decoder.size, content)
