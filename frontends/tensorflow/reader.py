"""SavedModel folders and frozen graphs to source models: decoding, the choice of a signature, variables."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from ...compiler.diagnostics import ModelError, located
from ...compiler.ir.dims import Dim, fresh
from ..files import map_file
from ..source import Buffer, SourceGraph, SourceInput, SourceModel, SourceNode
from .calls import expanded_size
from .checkpoint import Checkpoint
from .graphs import PLACEHOLDERS, VARIABLES, Library, Load, Names
from .messages import message_class
from .restore import checkpoint_keys
from .tensors import DTYPE, shape_of

DEFAULT_SIGNATURE = "serving_default"
_INITIALISER = "__saved_model_init_op"

_RANKS_SINCE = 24
"""The version of GraphDef from which an empty shape of a placeholder says "scalar" and no longer "unknown"."""

Ports = Mapping[str, str]
"""Names of inputs or outputs, and the tensors that they stand for."""


def read_saved_model(folder: Path, signature: str | None) -> SourceModel:
    """One signature of a SavedModel. Raises ModelError with every problem found."""
    location = folder.name
    data = map_file(folder / "saved_model.pb", location)
    saved = decode("SavedModel", data, location)
    meta = _meta_graph(saved.meta_graphs, location)
    _check_text(meta.graph_def, location)
    name, chosen = _signature(meta.signature_def, signature, location)
    inputs = {key: info.name for key, info in sorted(chosen.inputs.items(), key=_natural)}
    outputs = {key: info.name for key, info in sorted(chosen.outputs.items(), key=_natural)}
    for kind, infos in (("input", chosen.inputs), ("output", chosen.outputs)):
        for key, info in infos.items():
            if not info.name:
                raise ModelError(
                    f"{kind} '{key}' of the signature '{name}' is no plain tensor",
                    location=location,
                    hint="export a signature of dense tensors",
                )
    variables, content = _variables(meta, folder / "variables" / "variables", location)
    return source_model(
        meta.graph_def, location, name, inputs, outputs, lambda: [data, *content()], variables, chosen.inputs
    )


def _meta_graph(graphs: Sequence[Any], location: str) -> Any:
    """The meta graph for serving, or the only one."""
    serving = [meta for meta in graphs if "serve" in meta.meta_info_def.tags] or list(graphs)
    if len(serving) == 1:
        return serving[0]
    tags = "; ".join(",".join(meta.meta_info_def.tags) or "none" for meta in graphs) or "none"
    raise ModelError(
        f"holds {len(graphs)} graphs (tags: {tags}), expected one that is tagged 'serve'",
        location=location,
        hint="save the model with the tag 'serve'",
    )


def _signature(signatures: Mapping[str, Any], wanted: str | None, location: str) -> tuple[str, Any]:
    """The signature asked for, the default one, or the only one."""
    usable = {
        key: value for key, value in sorted(signatures.items()) if key != _INITIALISER and value.outputs
    }
    listed = ", ".join(usable) or "none"
    if wanted is None:
        wanted = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in usable else next(iter(usable), None)
        if wanted is None:
            raise ModelError(
                "has no signature, so its inputs and outputs are not known",
                location=location,
                hint="save it with signatures=, or export it by model.export()",
            )
        if len(usable) > 1 and wanted != DEFAULT_SIGNATURE:
            raise ModelError(
                f"has several signatures and none is '{DEFAULT_SIGNATURE}': {listed}",
                location=location,
                hint=f"name one after the path: {location}#{wanted}",
            )
    if wanted not in usable:
        raise ModelError(
            f"has no signature '{wanted}'", location=location, hint=f"its signatures are: {listed}"
        )
    return wanted, usable[wanted]


def _natural(item: tuple[str, Any]) -> list[Any]:
    """Names in the order that people count in: output_2 before output_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", item[0])]


def _variables(
    meta: Any, prefix: Path, location: str
) -> tuple[dict[str, Load], Callable[[], Iterable[Buffer]]]:
    """What gives each variable's value, by the name of its node; and the files that hold them."""
    if not any(node.op in VARIABLES for node in meta.graph_def.node):
        return {}, tuple
    with located(location):
        checkpoint = Checkpoint.open(prefix)
    keys = checkpoint_keys(meta)
    return {name: partial(checkpoint.array, key) for name, key in keys.items()}, checkpoint.content


def read_frozen(path: Path) -> SourceModel:
    """A frozen graph: its placeholders are the inputs, what nobody reads are the outputs."""
    data = map_file(path, path.name)
    graph = decode("GraphDef", data, path.name)
    if not graph.node:
        raise ModelError("holds no graph", location=path.name, hint="check that this is the right file")
    _check_text(graph, path.name)
    return frozen_model(graph, path.name, lambda: [data])


def frozen_model(graph: Any, location: str, content: Callable[[], Iterable[Buffer]]) -> SourceModel:
    """A graph without a signature; see `read_frozen`."""
    read = {text.lstrip("^").partition(":")[0] for node in graph.node for text in node.input}
    inputs = {node.name: f"{node.name}:0" for node in graph.node if node.op in PLACEHOLDERS}
    ends = [
        node for node in graph.node if node.name not in read and node.op not in ("NoOp", "Const", "Assert")
    ]
    outputs = {node.name: f"{node.name}:0" for node in ends if node.op not in PLACEHOLDERS}
    if not outputs:
        raise ModelError(
            "holds no operation with a result", location=location, hint="freeze the graph for its outputs"
        )
    return source_model(graph, location, "graph", inputs, outputs, content)


def source_model(
    graph: Any,
    location: str,
    name: str,
    inputs: Ports,
    outputs: Ports,
    content: Callable[[], Iterable[Buffer]],
    variables: Mapping[str, Load] | None = None,
    infos: Mapping[str, Any] | None = None,
) -> SourceModel:
    """The model between inputs and outputs of a graph. Raises ModelError with every problem found."""
    functions = {proto.signature.name: proto for proto in graph.library.function}
    with located(location):
        size = expanded_size(graph.node, functions)
    library = Library(location, functions, variables or {})
    by_name = {proto.name: proto for proto in graph.node}
    names = Names({_tensor(tensor): key for key, tensor in inputs.items()})
    declared = []
    for key, tensor in inputs.items():
        proto = by_name.get(tensor.partition(":")[0])
        info = None if infos is None else infos[key]
        declared.append(_input(key, proto, info, graph.versions.producer))
    ends = [names.operand(tensor) for tensor in outputs.values()]
    for key, tensor in zip(outputs, ends, strict=True):
        if tensor not in names.given and tensor.rpartition(":")[0] not in by_name:
            library.problem(
                key, f"the output is '{tensor}', which is not in the graph", "export the model again"
            )
    kept = _changes(library, graph.node, by_name, ends)
    body = library.graph(name, graph.node, names, tuple(declared), ends, kept)
    for node in body.nodes:
        if node.op in PLACEHOLDERS:
            library.problem(
                node.name, "it is a placeholder, and no input feeds it", "add it to the signature"
            )
    if library.problems:
        raise ModelError("", problems=library.problems)
    return SourceModel(location, _named(body, outputs, ends), size, content)


def _check_text(graph: Any, location: str) -> None:
    """Raise ModelError for names that are no UTF-8: protobuf gives them as bytes, or can't give them at all."""
    functions = graph.library.function
    for proto in (*graph.node, *(node for function in functions for node in function.node_def), *functions):
        try:
            damaged = any(isinstance(text, bytes) for text in _texts(proto))
        except UnicodeDecodeError:
            damaged = True
        if damaged:
            raise ModelError(
                "a name in the graph is no text", location=location, hint="copy or export the model again"
            )


def _texts(proto: Any) -> Iterator[str | bytes]:
    """The names in a node, or in a function without its nodes."""
    if hasattr(proto, "op"):
        yield from (proto.name, proto.op, *proto.input, *proto.attr)
        yield from (value.func.name for value in proto.attr.values() if value.HasField("func"))
        return
    signature = proto.signature
    yield from (signature.name, *proto.ret, *proto.ret.values())
    yield from (entry.name for entry in (*signature.input_arg, *signature.output_arg))


def _named(body: SourceGraph, outputs: Ports, ends: Sequence[str]) -> SourceGraph:
    """The graph with outputs under the names that the model gives them."""
    taken = {entry.name for entry in body.inputs}
    names = [key if key not in taken else f"{key}_output" for key in outputs]
    nodes = (SourceNode("Identity", key, (end,), (key,)) for key, end in zip(names, ends, strict=True))
    return SourceGraph(body.name, body.inputs, tuple(names), (*body.nodes, *nodes), body.constants)


def _tensor(text: str) -> str:
    return text if ":" in text else f"{text}:0"


def _input(key: str, proto: Any, info: Any, producer: int) -> SourceInput:
    """An input as its signature declares it, else as its placeholder does, which old producers wrote without a rank."""
    if info is not None:
        dtype, shape = info.dtype, shape_of(info.tensor_shape)
    else:
        dtype = proto.attr["dtype"].type
        shape = shape_of(proto.attr["shape"].shape) if "shape" in proto.attr else None
        shape = None if shape == () and producer < _RANKS_SINCE else shape
    extents = None if shape is None else tuple(map(_extent, shape))
    return SourceInput(key, DTYPE.get(dtype), extents)


def _extent(size: int) -> Dim:
    return size if size >= 0 else fresh()


def _changes(
    library: Library, nodes: Iterable[Any], by_name: Mapping[str, Any], ends: Iterable[str]
) -> list[str]:
    """Nodes that change state and run, by data or control, before the results are there."""
    pending, seen = [end.rpartition(":")[0] for end in ends], set[str]()
    found = []
    while pending:
        name = pending.pop()
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        proto = by_name[name]
        pending += (text.lstrip("^").partition(":")[0] for text in proto.input)
        if library.changes(proto):
            found.append(name)
    return found


def decode(kind: str, data: Any, location: str) -> Any:
    """A message of a file's bytes. Raises ModelError where they are none."""
    try:
        return message_class(kind).FromString(memoryview(data))
    except DecodeError:
        what = {"SavedModel": "a SavedModel", "GraphDef": "a frozen graph"}[kind]
        raise ModelError(
            f"not {what}, or truncated: its {len(data)} bytes do not decode",
            location=location,
            hint="check that this is the right file, or copy or export it again",
        ) from None
