"""Packages of models with open dimensions: compiled for each shape that they meet, the last few kept."""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import numpy as np

from isthmus.compiler.ir.types import TensorType
from isthmus.model import Model
from isthmus.package import Package
from isthmus.runtime.executor import check_threads
from isthmus.runtime.inputs import Inputs, bind
from isthmus.runtime.profile import Profile
from isthmus.runtime.program import Port, Program

KEPT = 8
"""Packages kept unless more are asked for, each for one set of shapes; the one used longest ago goes first."""


class DynamicPackage:
    """A model that is compiled when it is first run with new shapes. Runs may overlap in any number of threads."""

    def __init__(
        self,
        model: Model,
        build: Callable[[Model], Package],
        threads: int | None = None,
        most: int = KEPT,
    ):
        """`build` compiles the model once its shapes are bound; `most` packages are kept."""
        self.model = model
        self.threads = check_threads(threads)
        self._build, self._most = build, most
        self._ports = Program((), (), (), _ports(model.inputs), _ports(model.outputs), model.symbols)
        self._kept: OrderedDict[tuple[tuple[int, ...], ...], Package] = OrderedDict()
        self._lock = Lock()

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Name, dtype and shape of each input, in order; open dimensions are text."""
        return self._ports.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Name, dtype and shape of each output, in order; open dimensions are text."""
        return self._ports.outputs

    @property
    def graph(self) -> Model:
        """The model as read; what is compiled depends on the shapes."""
        return self.model

    def specialised(self, inputs: Inputs) -> Package:
        """The package for the shapes of these inputs, compiled now unless it is kept.

        Raises:
            InputError: names, dtypes or shapes that do not fit the model.
            IsthmusError: a model that can't be compiled for these shapes.
        """
        values, _ = bind(self._ports, inputs)
        shapes = {port.name: np.shape(values[port.slot]) for port in self.inputs if port.shape is not None}
        key = tuple(shapes.values())
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._build(self.model.bound(shapes))
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def run(self, inputs: Inputs, threads: int | None = None) -> dict[str, Any]:
        """See `Package.run`. The first run with new shapes compiles."""
        return self.specialised(inputs).run(inputs, threads)

    def profile(self, inputs: Inputs, threads: int | None = None) -> Profile:
        """See `Package.profile`. Compilation is not part of the times."""
        return self.specialised(inputs).profile(inputs, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Refused: a file holds code for fixed shapes. `specialised(inputs).save(path)` saves one of them."""
        self.model.require_bound()


def _ports(types: Mapping[str, Any]) -> tuple[Port, ...]:
    return tuple(_port(name, type) for name, type in types.items())


def _port(name: str, type: Any) -> Port:
    if not isinstance(type, TensorType):
        return Port(name, name, str(type), None)
    shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in type.shape)
    return Port(name, name, type.dtype.name, shape)
