"""Keras models in memory, of any backend: configuration and arrays are asked for, nothing is run."""

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from ...compiler.diagnostics import ModelError
from ...runtime.records import dataclass
from ..source import SourceModel
from .files import KerasFile, Load, Place
from .reader import source_model


def read_object(model: Any) -> SourceModel:
    """The layers of a model. Raises ModelError where it has no configuration."""
    name = str(getattr(model, "name", "model"))
    try:
        text = model.to_json()
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        raise ModelError(
            f"a {type(model).__name__} does not say what it consists of",
            location=name,
            hint="export it with model.export(), and read the SavedModel",
        ) from None
    content = [text.encode(), *(_array(weight).tobytes() for weight in model.weights)]
    return source_model(KerasFile(json.loads(text), _LiveWeights(model), content), name)


@dataclass(frozen=True, slots=True)
class _LiveWeights:
    """The arrays of a model's layers, found by name; in the order of their creation, those that are trained first."""

    model: Any

    def of(self, place: Place, parts: Iterable[str]) -> list[Load]:
        """See `files.Weights`."""
        layer = self.model.get_layer(place.top)
        if place.top != place.name:
            layer = next(inner for inner in layer._flatten_layers() if inner.name == place.name)
        weights = [*layer.trainable_weights, *layer.non_trainable_weights]
        return [partial(_array, weight) for weight in weights]


def _array(weight: Any) -> np.ndarray:
    return np.asarray(weight.numpy() if hasattr(weight, "numpy") else weight)
