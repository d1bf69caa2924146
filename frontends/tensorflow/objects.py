"""TensorFlow's objects in memory: functions, and loaded SavedModels. Here alone the framework itself is used."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...compiler.diagnostics import ModelError
from ..source import SourceModel
from .graphs import Load
from .messages import message_class
from .reader import DEFAULT_SIGNATURE, source_model


def read_object(source: Any) -> SourceModel:
    """The graph of a function, with its variables' present values. Raises ModelError."""
    function = _concrete(source)
    graph = message_class("GraphDef").FromString(function.graph.as_graph_def().SerializeToString())
    variables = _captures(function)
    captured = {internal.name for _, internal in function.graph.captures}
    inputs = {tensor.op.name: tensor.name for tensor in function.inputs if tensor.name not in captured}
    results = function.structured_outputs
    keys = sorted(results) if isinstance(results, Mapping) else []
    if len(keys) != len(function.outputs):
        keys = [f"output_{n}" for n in range(len(function.outputs))]
    outputs = {key: tensor.name for key, tensor in zip(keys, function.outputs, strict=True)}
    name = getattr(function, "name", "function")
    name = name.decode() if isinstance(name, bytes) else str(name)

    def content() -> list[bytes]:
        return [
            graph.SerializeToString(deterministic=True),
            *(load().tobytes() for load in variables.values()),
        ]

    return source_model(graph, name, name, inputs, outputs, content, variables)


def _concrete(source: Any) -> Any:
    """The function with its signature fixed."""
    if hasattr(source, "captured_inputs") and hasattr(source, "structured_outputs"):
        return source
    if hasattr(source, "get_concrete_function"):
        try:
            return source.get_concrete_function()
        except (TypeError, ValueError):
            raise ModelError(
                f"the function '{getattr(source, '__name__', '?')}' has no fixed signature",
                hint="give its get_concrete_function(tf.TensorSpec(...)), or declare input_signature=",
            ) from None
    signatures = getattr(source, "signatures", None)
    if isinstance(signatures, Mapping) and signatures:
        found = signatures.get(DEFAULT_SIGNATURE)
        if found is None and len(signatures) == 1:
            found = next(iter(signatures.values()))
        if found is None:
            listed = ", ".join(sorted(signatures))
            raise ModelError(
                f"it has several signatures: {listed}", hint="give one of them: model.signatures[name]"
            )
        return found
    raise ModelError(
        f"objects of type {type(source).__name__} are not models",
        hint="give a tf.function, one of its concrete functions, or a loaded SavedModel",
    )


def _captures(function: Any) -> dict[str, Load]:
    """What gives the values that a function uses from outside, by the placeholder that stands for each."""
    by_handle = {id(variable.handle): variable for variable in function.graph.variables}
    found: dict[str, Load] = {}
    for external, internal in function.graph.captures:
        holder = by_handle.get(id(external), external)
        found[internal.op.name] = _value(holder, internal.op.name)
    return found


def _value(holder: Any, name: str) -> Load:
    def load() -> np.ndarray:
        try:
            return np.asarray(holder.numpy())
        except (AttributeError, NotImplementedError, ValueError):
            raise ModelError(f"the captured value '{name}' is no variable and no tensor") from None

    return load
