"""A model as read: its graph, the meaning that numpy gives it, and how to read it again for other shapes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import Any

from isthmus import registry
from isthmus.compiler.diagnostics import UnsupportedError
from isthmus.compiler.ir.dims import Dim, substitute, symbol, symbols
from isthmus.compiler.ir.graph import Graph
from isthmus.compiler.ir.text import print_graph
from isthmus.compiler.ir.types import TensorType
from isthmus.compiler.ops.interpret import evaluate
from isthmus.compiler.rewrite.renew import with_dims
from isthmus.frontends.bind import bind_inputs
from isthmus.frontends.driver import Converters, ValuesNeeded, convert
from isthmus.frontends.registry import Shape, load
from isthmus.frontends.source import SourceGraph, SourceInput, SourceModel
from isthmus.runtime.records import dataclass

Shapes = Mapping[str, Shape]
Values = Mapping[str, Any]
Rebind = Callable[[Shapes, Values], "Model"]


@dataclass(frozen=True)
class Model:
    """A graph and where it comes from.

    `location` is what errors and packages call it (a file's name without its folder). `rebind` reads the source again
    with shapes and the values of inputs bound; None for graphs without a source. `decisive` names inputs whose values,
    where they are known, decide shapes; of `ranks` only the ranks are needed.
    """

    graph: Graph
    location: str = ""
    digest: Callable[[], str] = field(default=lambda: "", repr=False)
    rebind: "Rebind | None" = field(default=None, repr=False)
    decisive: tuple[str, ...] = ()
    ranks: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, Any]:
        """Type of each input by name, in order."""
        return {name: value.type for name, value in zip(self.graph.input_names, self.graph.inputs)}

    @property
    def outputs(self) -> dict[str, Any]:
        """Type of each output by name, in order."""
        return {name: value.type for name, value in zip(self.graph.output_names, self.graph.outputs)}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the dimensions that the shapes of a run's inputs decide, sorted."""
        types = [type for type in self.inputs.values() if isinstance(type, TensorType)]
        return tuple(sorted({name for type in types for dim in type.shape for name in symbols(dim)}))

    @property
    def text(self) -> str:
        """The graph's text form; large constants are named, not listed."""
        return str(print_graph(self.graph))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the files or message that the model was read from, as hex; "" without a source."""
        return self.digest()

    def evaluate(self, inputs: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
        """Outputs by name as the ops' numpy meanings give them; no compiler is involved, and no speed either.

        Args:
            inputs: arrays by input name, or a list in input order.

        Raises:
            IsthmusError: names that are missing or unknown, arrays that an op's meaning can't take.
        """
        return evaluate(self.graph, inputs)

    def bound(self, shapes: Shapes | None) -> "Model":
        """The model with dimensions of its inputs fixed; see `read`."""
        if not shapes:
            return self
        return self.specialised(shapes, {})

    def specialised(self, shapes: Shapes, values: Values) -> "Model":
        """As `bound`, with the values of inputs fixed as well; these are inputs no more."""
        if self.rebind is not None:
            return self.rebind(shapes, values)
        if values:
            raise UnsupportedError("a graph without its source has no values that decide shapes")
        return replace(self, graph=_bound(self.graph, self.location, shapes))

    def require_bound(self) -> None:
        """UnsupportedError, with shapes that would do, where the shapes of a run's inputs decide dimensions."""
        if not self.symbols:
            return
        opened = {
            name: type
            for name, type in self.inputs.items()
            if isinstance(type, TensorType) and not type.is_static
        }
        listed = ", ".join(f"'{name}' {type}" for name, type in opened.items())
        examples = []
        for name, type in opened.items():
            ones: dict[str, Dim] = dict.fromkeys(self.symbols, 1)
            examples.append(f"{name}={','.join(str(substitute(dim, ones)) for dim in type.shape)}")
        raise UnsupportedError(
            f"code is made for fixed shapes, and {', '.join(self.symbols)} is open in {listed}",
            location=self.location or self.graph.name,
            hint=f"give shapes=, such as --shapes {' --shapes '.join(examples)}",
        )

    def __str__(self) -> str:
        return self.text


def read(
    source: Any,
    shapes: Shapes | None = None,
    constants: Mapping[str, Any] | None = None,
    *,
    example_inputs: Any = None,
) -> Model:
    """The model in a file or in a framework's object.

    Args:
        source: a path, an object of a framework that a frontend reads, a graph of the IR, or a Model.
        shapes: dimensions by input name: an int fixes one, a string names it, None leaves it.
        constants: arrays by input name; these inputs become constants.
        example_inputs: what an object without a graph, such as a module, is called with to get one: one value, a
            tuple of them, or a dict by parameter name.

    Raises:
        IsthmusError: everything in the model that is unreadable, inconsistent, unsafe or not supported, at once.
    """
    found = read_open(source, shapes, constants, example_inputs=example_inputs)
    if isinstance(found, OpenModel):
        raise found.error
    return found


def _bound(graph: Graph, location: str, shapes: Shapes) -> Graph:
    """A graph with the dimensions of its inputs replaced. Raises ModelError for shapes that do not fit."""
    inputs = [
        (name, value.type)
        for name, value in zip(graph.input_names, graph.inputs, strict=True)
        if isinstance(value.type, TensorType)
    ]
    entries = tuple(SourceInput(name, type.dtype, type.shape) for name, type in inputs)
    source = SourceModel(location or graph.name, SourceGraph(graph.name, entries, (), ()), 0, list)
    dims: dict[str, Dim] = {}
    for (_, type), (_, found) in zip(inputs, bind_inputs(source, shapes, {}), strict=True):
        assert isinstance(found, TensorType)
        dims.update((str(a), b) for a, b in zip(type.shape, found.shape) if a == symbol(str(a)))
    return with_dims(graph, dims)


@dataclass(frozen=True)
class OpenModel:
    """A source whose graph waits for inputs: what `error` says stands against it as long as they are open."""

    error: ValuesNeeded
    location: str
    specialised: Rebind

    @property
    def inputs(self) -> dict[str, Any]:
        """Type of each input by name, in order."""
        return dict(self.error.inputs)

    @property
    def outputs(self) -> dict[str, Any]:
        """The outputs' names; nothing is known of their types."""
        return dict.fromkeys(self.error.outputs)

    @property
    def decisive(self) -> tuple[str, ...]:
        """The inputs whose values are needed."""
        return self.error.decisive

    @property
    def ranks(self) -> tuple[str, ...]:
        """The inputs (tensors, or sequences of them) whose ranks are needed."""
        return self.error.ranks


def read_open(
    source: Any,
    shapes: Shapes | None = None,
    constants: Mapping[str, Any] | None = None,
    *,
    example_inputs: Any = None,
) -> Model | OpenModel:
    """As `read`; a source that can't be read only because values of inputs are needed is given as an OpenModel."""
    if isinstance(source, Model):
        return source.bound(shapes)
    if isinstance(source, Graph):
        return Model(source, source.name).bound(shapes)
    frontend, found = load(source, registry.frontends(), example_inputs)
    return from_source(frontend.converters, found, shapes, constants)


def from_source(
    converters: Converters,
    source: SourceModel,
    shapes: Shapes | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Model | OpenModel:
    """The model of a framework's own graph, as a frontend has read it; see `read_open`."""

    def rebind(more: Shapes, values: Values) -> Model:
        decisive: dict[str, None] = {}
        bound = {**(shapes or {}), **more}
        graph = convert(source, converters, bound, {**(constants or {}), **values}, decisive)
        return Model(graph, source.location, source.digest, rebind, tuple(decisive))

    try:
        return rebind({}, {})
    except ValuesNeeded as error:
        return OpenModel(error, source.location, rebind)
