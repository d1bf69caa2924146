"""A model's configuration taken apart: layers, their calls, and the tensors between them, for both ways to write it.

Keras 3 writes a call as arguments with tensors inside, Keras 2 as a list of [layer, call, result, keywords].
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...runtime.records import dataclass

OPERATIONS = "operations"
"""The domain of Keras's operations (`x + y`, `keras.ops.mean`), which files list among the layers."""

MODELS = ("Functional", "Model", "Sequential")


MOST_RESULTS = 1024
"""Results of one call of a layer."""


class Tensor(NamedTuple):
    """One result of one call of a layer."""

    layer: str
    call: int
    result: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.call}:{self.result}"


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one call; tensors stand in them as Tensor."""

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, operation or nested model: class, name, configuration and calls."""

    kind: str
    name: str
    config: Mapping[str, Any]
    domain: str
    calls: tuple[Call, ...]

    @property
    def title(self) -> str:
        """What its node calls it."""
        return self.name or self.kind


def layer_of(entry: Mapping[str, Any], calls: Sequence[Call] = ()) -> Layer:
    """The layer that an entry describes."""
    config = entry["config"]
    # .h5 files name no module; only layers can be trained, or not
    module = str(entry.get("module") or ("" if "trainable" in config or "layers" in config else "keras.ops"))
    domain = OPERATIONS if module.startswith(("keras.src.ops", "keras.ops")) else ""
    name = str(entry.get("name") or config.get("name") or entry["class_name"])
    return Layer(str(entry["class_name"]), name, config, domain, tuple(calls))


def layers_of(kind: str, config: Mapping[str, Any]) -> list[Layer]:
    """The layers of a model; those of a Sequential call each other in order."""
    entries = config["layers"]
    if kind != "Sequential":
        return [
            layer_of(entry, [_call(node) for node in entry.get("inbound_nodes", ())]) for entry in entries
        ]
    layers = [layer_of(entry) for entry in entries]
    if not layers or layers[0].kind != "InputLayer":
        first = layers[0].config if layers else {}
        shape = config.get("build_input_shape") or first.get("batch_input_shape") or first.get("batch_shape")
        dtype = first.get("dtype") if isinstance(first.get("dtype"), str) else "float32"
        layers.insert(0, Layer("InputLayer", "input", {"batch_shape": shape, "dtype": dtype}, "", ()))
    chained = [layers[0]]
    for layer in layers[1:]:
        before = Tensor(chained[-1].name, 0, 0)
        chained.append(Layer(layer.kind, layer.name, layer.config, layer.domain, (Call((before,), {}),)))
    return chained


def ends_of(kind: str, config: Mapping[str, Any], layers: Sequence[Layer]) -> list[Tensor]:
    """The results of a model, in order."""
    if kind == "Sequential":
        return [Tensor(layers[-1].name, 0, 0)]
    return listed(config["output_layers"])


def listed(value: Any) -> list[Tensor]:
    """The tensors that a nested list or dictionary of [layer, call, result] names."""
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in listed(item)]
    if len(value) == 3 and isinstance(value[0], str):
        return [_tensor(*value)]
    return [tensor for item in value for tensor in listed(item)]


def _tensor(layer: Any, call: Any, result: Any) -> Tensor:
    """Raises ValueError where these are no name and no numbers."""
    if not isinstance(layer, str) or not 0 <= int(result) < MOST_RESULTS:
        raise ValueError(f"no result of a layer: {[layer, call, result]}")
    return Tensor(layer, int(call), int(result))


def _call(node: Any) -> Call:
    if isinstance(node, Mapping):
        return Call(
            tuple(map(plain, node["args"])), {key: plain(value) for key, value in node["kwargs"].items()}
        )
    # Keras 2: one [layer, call, result, keywords] for each tensor, without the outer list where there is only one
    items = [node] if node and isinstance(node[0], str) else node
    keywords = dict(items[0][3]) if items and len(items[0]) > 3 else {}
    return Call(tuple(_tensor(*item[:3]) for item in items), keywords)


def plain(value: Any) -> Any:
    """A value of a configuration without its wrapping: tuples for lists, slices, arrays, tensors."""
    if isinstance(value, list):
        return tuple(map(plain, value))
    if not isinstance(value, Mapping) or "class_name" not in value:
        return value
    config = value.get("config", {})
    match value["class_name"]:
        case "__keras_tensor__":
            return _tensor(*config["keras_history"])
        case "__tensor__" | "__numpy__":
            return np.array(config["value"], config.get("dtype", "float32"))
        case "__slice__":
            return slice(config.get("start"), config.get("stop"), config.get("step"))
        case "__tuple__":
            return tuple(map(plain, value.get("items", config)))
        case "function":
            return config if isinstance(config, str) else value
        case _:
            return value


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of nested arguments, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
