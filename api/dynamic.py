"""Packages of models that a run's inputs complete: compiled for the shapes, and the values that decide shapes, that
they meet; the last few are kept."""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import numpy as np

from isthmus import batches
from isthmus.batches import Batch
from isthmus.compiler.ir.types import DType, TensorType
from isthmus.frontends.driver import ValuesNeeded
from isthmus.model import Model, OpenModel
from isthmus.package import Package
from isthmus.runtime.artefact import Artefact
from isthmus.runtime.errors import InputError
from isthmus.runtime.executor import check_threads
from isthmus.runtime.inputs import Inputs, bind
from isthmus.runtime.profile import Profile
from isthmus.runtime.program import Port, Program

KEPT = 8
"""Packages kept unless more are asked for, each for one set of shapes and values; the one unused longest goes first."""


class DynamicPackage:
    """A model that is compiled when it is first run with new shapes, or new values of the inputs that decide shapes.

    Runs may overlap in any number of threads.
    """

    def __init__(
        self,
        model: Model | OpenModel,
        build: Callable[[Model, Batch | None], Package],
        threads: int | None = None,
        to_artefact: Callable[[Model], Artefact] | None = None,
        most: int = KEPT,
        in_blocks: bool = True,
    ):
        """`build` compiles the model once its shapes are bound, all of them or all but a batch; `to_artefact` gives
        what `save` writes; `most` packages are kept; `in_blocks` lets one of them serve any batch."""
        self.model = model
        self.decisive = model.decisive
        self.ranks = model.ranks
        self.threads = check_threads(threads)
        self._build, self._to_artefact, self._most = build, to_artefact, most
        symbols = model.symbols if isinstance(model, Model) else ()
        self.batch = ""
        """The open dimension of which one package serves all extents; "" where none is known."""
        self.obstacle = ""
        """Why the dimension that looked like a batch is compiled for each extent."""
        if in_blocks and isinstance(model, Model) and not model.decisive:
            self.batch = batches.candidate(model)
        self._ports = Program((), (), (), ports_of(model.inputs), ports_of(model.outputs), symbols)
        self._kept: OrderedDict[tuple[Any, ...], tuple[Package, frozenset[str]]] = OrderedDict()
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
        """The model as read; what is compiled depends on the shapes.

        Raises:
            UnsupportedError: it can't be read without the values of inputs.
        """
        if isinstance(self.model, OpenModel):
            raise self.model.error
        return self.model

    def whole(self) -> Package | None:
        """The package for all shapes, where a batch is all that is open; it needs no compiler where it runs."""
        if not self.batch or self.graph.symbols != (self.batch,):
            return None
        return self._batched(self.graph)

    def _batched(self, model: Model) -> Package | None:
        """The package of a model of which the batch alone is open; None, and a batch no more, where none can be."""
        found = batches.find(model, self.batch)
        if found.obstacle:
            self.batch, self.obstacle = "", found.obstacle
            return None
        return self._build(model, found)

    def specialised(self, inputs: Inputs) -> Package:
        """The package for these inputs' shapes and decisive values, compiled now unless it is kept.

        It takes the inputs that are left.

        Raises:
            InputError: names, dtypes or shapes that do not fit the model.
            IsthmusError: a model that can't be compiled for these shapes.
        """
        return self._find(inputs)[0]

    def _find(self, inputs: Inputs) -> tuple[Package, dict[str, Any]]:
        """The package for some inputs, and those of them that it takes."""
        values, _ = bind(self._ports, inputs)
        with self._lock:
            key, fixed = self._key(values)
            if key not in self._kept:
                package, fixed = self._compile(values)
                key, _ = self._key(values)
                self._kept[key] = package, frozenset(fixed)
                if len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            package, names = self._kept[key]
        return package, {name: value for name, value in values.items() if name not in names}

    def _key(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        fixed = {name: values[name] for name in self.decisive}
        shapes = tuple(self._shapes(values).items())
        return (shapes, *((name, value.tobytes()) for name, value in fixed.items())), fixed

    def _shapes(self, values: Mapping[str, Any]) -> dict[str, tuple[int | None, ...]]:
        """What the inputs say of shapes, a batch left open; the elements of a sequence may differ in all but their
        rank."""
        found: dict[str, tuple[int | None, ...]] = {
            port.name: tuple(
                None if self.batch and dim == self.batch else extent
                for dim, extent in zip(port.shape, np.shape(values[port.slot]), strict=True)
            )
            for port in self.inputs
            if port.shape is not None
        }
        for name in self.ranks:
            value = values[name]
            if not isinstance(value, list | tuple):
                found[name] = np.shape(value)
            elif not value:
                raise InputError(
                    "is an empty sequence, of which no rank is known",
                    location=f"input '{name}'",
                    hint="give shapes= when compiling",
                )
            else:
                found[name] = (None,) * np.ndim(value[0])
        return found

    def _compile(self, values: Mapping[str, Any]) -> tuple[Package, dict[str, Any]]:
        """The package for inputs, and the values that it is fixed to.

        What one value decides may show that another one decides something too.
        """
        if self.batch:
            package = self._batched(self.graph.specialised(self._shapes(values), {}))
            if package is not None:
                return package, {}
        shapes = self._shapes(values)
        while True:
            fixed = {name: values[name] for name in self.decisive}
            try:
                model = self.model.specialised(shapes, fixed)
                more = model.decisive
            except ValuesNeeded as error:
                more = error.decisive
                if not set(more) - set(fixed):
                    raise
            if not set(more) - set(fixed):
                return self._build(model, None), fixed
            self.decisive = tuple(dict.fromkeys((*self.decisive, *more)))

    def run(self, inputs: Inputs, threads: int | None = None) -> dict[str, Any]:
        """See `Package.run`. The first run with new shapes compiles."""
        package, rest = self._find(inputs)
        return package.run(rest, threads)

    def profile(self, inputs: Inputs, threads: int | None = None) -> Profile:
        """See `Package.profile`. Compilation is not part of the times."""
        package, rest = self._find(inputs)
        return package.profile(rest, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that compiles for the shapes that it meets, where the compiler is installed.

        Where nothing but values of inputs are decisive, it is an ordinary package, which runs what they decide by the
        ops' meanings. `specialised(inputs).save(path)` writes the code for some inputs instead.

        Raises:
            UnsupportedError: the model can't be read without the values of inputs.
        """
        model = self.graph
        if not model.symbols:
            self._build(model, None).save(path)
        elif self._to_artefact is not None:
            self._to_artefact(model).save(path)
        else:
            model.require_bound()


def ports_of(types: Mapping[str, Any]) -> tuple[Port, ...]:
    """Inputs or outputs by name and type, as programs list them; open dimensions are text."""
    return tuple(_port(name, type) for name, type in types.items())


def _port(name: str, type: Any) -> Port:
    if type is None or isinstance(type, DType):
        return Port(name, name, f"any<{type}>", None)
    if not isinstance(type, TensorType):
        return Port(name, name, str(type), None)
    shape = tuple(dim if isinstance(dim, int) else str(dim) for dim in type.shape)
    return Port(name, name, type.dtype.name, shape)
