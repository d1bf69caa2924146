"""A model's layers to source graphs: one node for each call, a layer's arrays as operands after its inputs.

Nested models become bodies. Attributes are what changes the results: initialisers, regularisers and the like are not.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np

from ...compiler.diagnostics import CompileError, ModelError, Problem
from ...compiler.ir.dims import Dim, fresh, symbol
from ...compiler.ir.types import DType, dtype_of
from ...runtime.records import dataclass
from ..checks import in_order
from ..signature import Parameters
from ..source import SourceGraph, SourceInput, SourceModel, SourceNode
from .convert import TABLE
from .files import KerasFile, Load, Place, Weights, open_file
from .layers import (
    MODELS,
    OPERATIONS,
    Call,
    Layer,
    Tensor,
    ends_of,
    layer_of,
    layers_of,
    listed,
    plain,
    tensors_in,
)

_MEANINGLESS = re.compile(
    r".*_(initializer|regularizer|constraint|config)|mask_zero|name|trainable|dtype|(batch_)?input_(shape|dim|length)|seed"
    r"|momentum|synchronized|renorm\w*|fused|virtual_batch_size|autocast|implementation|time_major|unroll"
    r"|zero_output_for_mask|sparse|ragged|training|rate|dropout|recurrent_dropout|noise_shape|unit_forget_bias"
)
"""Entries of a configuration that do not change what a layer computes, unless it is trained."""

_WITH_MASKS = "build it with keras.Model(inputs, outputs), or export it with model.export()"

_OLD_SIGMOID = "hard_sigmoid_2"
"""Keras 2 had another slope."""


_STRANGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What a configuration of another form than Keras's makes of the code that takes it apart."""


@contextmanager
def _understood(location: str, model: str) -> Iterator[None]:
    try:
        yield
    except _STRANGE as error:
        raise ModelError(
            f"the configuration of '{model}' is not understood: {error!r:.80}",
            location=location,
            hint="save the model again",
        ) from None


def read_file(path: Path) -> SourceModel:
    """The model in a file. Raises ModelError with every problem found."""
    return source_model(open_file(path), path.name)


def source_model(file: KerasFile, location: str) -> SourceModel:
    """The model of an opened file."""
    old = str(file.config.get("keras_version", "3")).startswith(("1", "2"))
    reader = _Reader(location, file.weights, old)
    with _understood(location, "the model"):
        whole = layer_of(file.config)
    graph = reader.model(whole, "", "")
    graph = _with_results(graph, reader.results)
    if reader.problems:
        raise ModelError("", problems=reader.problems)
    return SourceModel(location, graph, reader.size, lambda: file.content)


def _with_results(graph: SourceGraph, names: list[str]) -> SourceGraph:
    """The whole model's graph, its results under the names of the layers that give them."""
    taken = {entry.name for entry in graph.inputs}
    unique = [_unique(f"{name}_output" if name in taken else name, taken) for name in names]
    nodes = (
        SourceNode("Identity", name, (end,), (name,)) for name, end in zip(unique, graph.outputs, strict=True)
    )
    return SourceGraph(graph.name, graph.inputs, tuple(unique), (*graph.nodes, *nodes), graph.constants)


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 0
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


def snake_case(kind: str) -> str:
    """A class's name as Keras writes it in paths."""
    kind = re.sub(r"\W+", "", kind)
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()


@dataclass(slots=True)
class _Reader:
    """Reads one file; `old` says that Keras 2 wrote it. `results` are the layers of the last model's results."""

    location: str
    weights: Weights
    old: bool
    problems: dict[Problem, None] = field(default_factory=dict)
    results: list[str] = field(default_factory=list)
    size: int = 0

    def problem(self, name: str, message: str, hint: str = "save the model again") -> None:
        self.problems[Problem(f"{self.location}:{name}", message, hint)] = None

    def model(self, model: Layer, path: str, top: str) -> SourceGraph:
        """The graph of a model; `path` and `top` are where its arrays lie, see `Place`."""
        if model.kind not in MODELS:
            raise ModelError(
                f"its class '{model.kind}' is defined by Python code, which the file does not hold",
                location=self.location,
                hint="export it with model.export(), and read the SavedModel",
            )
        with _understood(self.location, model.name):
            return self._graph(model, path, top)

    def _graph(self, model: Layer, path: str, top: str) -> SourceGraph:
        layers, ends, inputs = self.parts(model)
        calls = [(call.arguments, call.keywords) for layer in layers for call in layer.calls]
        results: dict[tuple[str, int], int] = {}
        for tensor in (*ends, *tensors_in(calls)):
            at = tensor.layer, tensor.call
            results[at] = max(results.get(at, 0), tensor.result + 1)
        fed = {entry.name for entry in inputs}
        graph = _Calls(self, fed, results, model.kind == "Sequential" or self.old)
        taken: set[str] = set()
        for layer in layers:
            below = (
                "" if layer.domain == OPERATIONS else f"{path}layers/{_unique(snake_case(layer.kind), taken)}"
            )
            if layer.kind != "InputLayer":
                self.layer(layer, Place(below, top or layer.name, layer.name), graph)
        self.size += len(graph.nodes)
        nodes, cycle = in_order(self.location, graph.nodes)
        self.problems.update(dict.fromkeys(cycle))
        self.results = [tensor.layer for tensor in ends]
        outputs = tuple(map(graph.name, ends))
        return SourceGraph(model.name, tuple(inputs), outputs, tuple(nodes), graph.constants)

    def parts(self, model: Layer) -> tuple[list[Layer], list[Tensor], list[SourceInput]]:
        """A model's layers, results and inputs in order."""
        layers = layers_of(model.kind, model.config)
        ends = ends_of(model.kind, model.config, layers)
        given = [tensor.layer for tensor in listed(model.config.get("input_layers", ()))]
        inputs = [_input(layer) for layer in layers if layer.kind == "InputLayer"]
        inputs.sort(key=lambda entry: given.index(entry.name) if entry.name in given else len(given))
        return layers, ends, inputs

    def layer(self, layer: Layer, place: Place, graph: "_Calls") -> None:
        """Add the nodes of a layer's calls, and its arrays."""
        try:
            if layer.kind in MODELS:
                inner = self.model(layer, f"{place.path}/", place.top)
                graph.add(layer, [], {}, lambda: inner)
            else:
                self.check_dtype(layer)
                if graph.hides_masks and (layer.kind == "Masking" or layer.config.get("mask_zero")):
                    self.problem(layer.name, "masks are not followed in this kind of model", _WITH_MASKS)
                loads = [] if layer.domain else self.weights.of(place, TABLE.parts(layer))
                graph.add(layer, loads, self.attributes(layer, layer.config))
        except _STRANGE as error:
            self.problem(layer.name, f"its configuration is not understood: {error!r:.80}")
        except CompileError as error:
            self.problem(layer.name, error.message, error.hint)

    def check_dtype(self, layer: Layer) -> None:
        policy = layer.config.get("dtype")
        if isinstance(policy, Mapping):
            policy = policy.get("config", {}).get("name")
        if policy not in (None, "float32") and layer.kind not in ("Embedding",):
            self.problem(
                layer.name, f"it computes in '{policy}', expected 'float32'", "save the model in float32"
            )

    def attributes(self, layer: Layer, entries: Mapping[str, Any]) -> dict[str, Any]:
        """The entries that the converter knows; others too, to be refused, unless they mean nothing or say no."""
        entry = TABLE.entry(layer)
        known = Parameters.of(entry.converter).attributes if entry is not None else {}
        found: dict[str, Any] = {}
        for name, value in entries.items():
            if entry is not None and name in entry.wraps and value:
                inner = layer_of(value)
                found[name] = SourceNode(inner.kind, inner.name, (), (), self.attributes(inner, inner.config))
            elif name in known or (
                not _MEANINGLESS.fullmatch(name) and value not in (None, False, [], {}, ())
            ):
                value = plain(value)
                found[name] = _OLD_SIGMOID if self.old and value == "hard_sigmoid" else value
        return found


@dataclass(slots=True)
class _Calls:
    """The nodes and constants of one model; `fed` are its inputs, `results` how many results a call has.

    `hides_masks`: the file does not list masks among the layers' inputs, as functional models of Keras 3 do.
    """

    reader: _Reader
    fed: set[str]
    results: Mapping[tuple[str, int], int]
    hides_masks: bool
    nodes: list[SourceNode] = field(default_factory=list)
    constants: dict[str, Load] = field(default_factory=dict)

    def name(self, tensor: Tensor) -> str:
        """What a tensor is called in the graph."""
        return tensor.layer if tensor.layer in self.fed else str(tensor)

    def add(
        self,
        layer: Layer,
        loads: list[Load],
        attributes: Mapping[str, Any],
        body: Callable[[], SourceGraph] | None = None,
    ) -> None:
        """A node for each call of a layer, with its arrays after the inputs."""
        arrays = [f"{layer.name}/{number}" for number in range(len(loads))]
        self.constants.update(zip(arrays, loads, strict=True))
        entry = TABLE.entry(layer)
        slots = entry.inputs if entry is not None else ()
        for number, call in enumerate(layer.calls):
            name = f"{layer.name}_{number}" if number else layer.name
            operands, more = self.operands(call, name, slots, layer.domain == OPERATIONS)
            more = self.reader.attributes(layer, more) if body is None else {}
            outputs = tuple(
                str(Tensor(layer.name, number, n)) for n in range(self.results.get((layer.name, number), 1))
            )
            self.nodes.append(
                SourceNode(
                    layer.kind,
                    name,
                    (*operands, *arrays),
                    outputs,
                    {**attributes, **more},
                    layer.domain,
                    body=body,
                )
            )

    def operands(
        self, call: Call, name: str, slots: tuple[str, ...], numbers: bool
    ) -> tuple[list[str], dict[str, Any]]:
        """Names of a call's inputs, those with slots in their order; and what else it is given, by name."""
        found: list[str] = []
        more: dict[str, Any] = {}
        for position, item in enumerate(call.arguments):
            tensors = list(tensors_in(item))
            if numbers and isinstance(item, int | float | np.ndarray) and not isinstance(item, bool):
                found.append(f"{name}/{position}")
                self.constants[found[-1]] = _number(item)
            elif tensors:
                found += map(self.name, tensors)
            elif item is not None:
                more[f"argument{position}"] = item
            elif slots:
                found.append("")
        for key, item in call.keywords.items():
            tensors = list(tensors_in(item))
            if tensors and key in slots:
                found += [""] * (slots.index(key) + len(tensors) - len(found))
                found[slots.index(key) : slots.index(key) + len(tensors)] = map(self.name, tensors)
            elif tensors:
                raise ModelError(
                    f"its input '{key}' is not supported", hint="export the model with model.export()"
                )
            else:
                more[key] = item
        if slots and len(found) > len(slots):
            hint = "export it with model.export(), and read the SavedModel"
            raise ModelError(f"it is called with {len(found)} inputs, read are {', '.join(slots)}", hint=hint)
        return [*found, *([""] * (len(slots) - len(found)))], more


def _number(item: Any) -> Load:
    array = np.asarray(
        item, None if isinstance(item, np.ndarray) else np.float32 if isinstance(item, float) else np.int32
    )
    return lambda: array


def _input(layer: Layer) -> SourceInput:
    shape = plain(layer.config.get("batch_shape", layer.config.get("batch_input_shape")))
    dtype = layer.config.get("dtype") or "float32"
    extents: tuple[Dim, ...] | None = None
    if shape is not None:
        extents = tuple(_extent(size, axis) for axis, size in enumerate(shape))
    return SourceInput(layer.name, _dtype(dtype if isinstance(dtype, str) else "float32"), extents)


def _extent(size: Any, axis: int) -> Dim:
    """All inputs of a Keras model share the batch, which stands first."""
    return int(size) if size is not None else symbol("batch") if axis == 0 else fresh()


def _dtype(name: str) -> DType | None:
    return None if name in ("string", "resource") else dtype_of(np.dtype(name))
