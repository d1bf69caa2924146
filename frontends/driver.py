"""The driver that all frontends share: walks a framework's graph in order and calls one converter a node.

It binds operands and attributes to the converter's parameters, records locations, expands ops that the framework
defines by others, and collects every problem of the whole model before it raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from typing import Any, Protocol

import numpy as np

from ..compiler.diagnostics import (
    CompileError,
    IsthmusError,
    ModelError,
    Problem,
    UnsupportedError,
    located,
)
from ..compiler.ir.dims import Dim, substitute, symbols
from ..compiler.ir.graph import Graph, Node, Value, constant, graph_input
from ..compiler.ir.location import Location, at
from ..compiler.ir.types import DType, TensorType, Type
from ..runtime.records import dataclass
from .bind import bind_inputs
from .fresh import rename_fresh
from .known import MOST_ATOMS, atoms, known, memory, remember
from .signature import Converter, bind
from .source import SourceGraph, SourceInput, SourceModel, SourceNode

DEEPEST = 64
"""Bodies and function expansions inside one another that are followed."""

SPARE = 30_000
"""Nodes that may be converted beyond ten for each of the model's: what the framework defines by others multiplies."""


MOST_EXTENT = 2**63 - 1
"""The largest extent that indices can count."""

TRIED = (64, 8, 1024)
"""Extents given to all open dimensions of a model that can't be converted, to learn whether they are the reason."""


class Converters(Protocol):
    """A frontend's converter table."""

    def find(self, node: SourceNode) -> Converter | None:
        """The converter for exactly this op and version; None where the op is to be expanded.

        A converter that returns NotImplemented for a form of its op leaves that to `expand` as well.

        Raises UnsupportedError with reason and way out.
        """
        ...

    def expand(self, node: SourceNode, operands: Sequence[Value | None]) -> SourceGraph:
        """The graph that defines a node in terms of other ops, its inputs named in the node's operand order.

        Raises UnsupportedError where the framework has no such definition.
        """
        ...


class Abandoned(Exception):
    """A node can't be converted because of a problem that is recorded already."""


class Stopped(Exception):
    """The conversion as a whole is given up; the problem is recorded."""


class ValuesNeeded(UnsupportedError):
    """The model's form depends on inputs: on the values of `decisive` ones, on the shapes of `ranks`; on extents that
    are open, where it names neither.

    `inputs` has the inputs' types, the element's type for one of `ranks`; `outputs` are names.
    """

    def __init__(
        self,
        error: IsthmusError,
        inputs: Mapping[str, Type | DType],
        outputs: tuple[str, ...],
        decisive: tuple[str, ...] = (),
        ranks: tuple[str, ...] = (),
    ):
        super().__init__("", problems=error.problems)
        self.inputs, self.outputs = inputs, outputs
        self.decisive, self.ranks = decisive, ranks


@dataclass(slots=True)
class Scope:
    """Values by name; None marks one whose node could not be converted.

    `omitted` are inputs of a function that its caller leaves out: they are absent wherever the function reads them.
    """

    values: dict[str, Value | None]
    outer: "Scope | None" = None
    omitted: frozenset[str] = frozenset()

    def get(self, name: str) -> Value | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        raise ModelError(f"operand '{name}' is not defined")


@dataclass(frozen=True, slots=True)
class Call:
    """The node under conversion, for converters that take `call`: its outputs, and the bodies that it carries."""

    driver: "Driver"
    node: SourceNode
    scope: Scope
    depth: int

    def wants(self, index: int) -> bool:
        """Whether anybody may read the output of that index."""
        return index < len(self.node.outputs) and bool(self.node.outputs[index])

    def inline(self, graph: SourceGraph, arguments: Sequence[Value]) -> list[Value | None]:
        """The outputs of a body that runs here, once."""
        values: dict[str, Value | None] = {
            entry.name: argument for entry, argument in zip(graph.inputs, arguments, strict=False)
        }
        return self.driver.run(graph, Scope(values, self.scope), self.depth + 1)

    def captures(self, *graphs: SourceGraph) -> dict[str, Value]:
        """What bodies use from outside, by name: the operands that their regions get after their own."""
        found: dict[str, Value] = {}
        for name in dict.fromkeys(name for graph in graphs for name in graph.free()):
            value = self.scope.get(name)
            if value is None and name not in self.scope.omitted:
                raise Abandoned
            if value is not None:
                found[name] = value
        return {name: value for name, value in found.items() if value.constant is None}

    def region(self, graph: SourceGraph, parameters: Sequence[Type], captures: Mapping[str, Value]) -> Graph:
        """A body as an isolated graph. Its inputs are the parameters, then the captures; constants are repeated."""
        if len(parameters) != len(graph.inputs):
            raise ModelError(
                f"body '{graph.name}' has {len(graph.inputs)} inputs, expected {len(parameters)}"
            )
        values: dict[str, Value | None] = {}
        for name in graph.free():
            value = self.scope.get(name)
            if value is not None and value.constant is not None:
                values[name] = Node("constant", (), value.node.attributes, value.node.types).result
        inputs = []
        for entry, type in zip(graph.inputs, parameters, strict=True):
            inputs.append(graph_input(entry.name, type))
            values[entry.name] = inputs[-1]
        for name, value in captures.items():
            inputs.append(graph_input(name, value.type))
            values[name] = inputs[-1]
            remember(inputs[-1], known(value))
        outputs = self.driver.run(graph, Scope(values), self.depth + 1)
        found = [value for value in outputs if value is not None]
        return Graph(inputs, found, graph.outputs, graph.name)


@dataclass(slots=True)
class Lack:
    """One kind of node that can't be converted."""

    node: SourceNode
    location: str
    reason: str
    hint: str
    count: int = 1

    def problem(self) -> Problem:
        count = f" ({self.count} nodes)" if self.count > 1 else ""
        version = f" (opset {self.node.version})" if self.node.version else ""
        return Problem(
            self.location, f"{self.node.title}{version} is not supported: {self.reason}{count}", self.hint
        )


@dataclass(slots=True)
class Driver:
    """One conversion. `problems` are defects of the model, `lacks` what this build can't convert."""

    location: str
    converters: Converters
    most: int
    problems: dict[Problem, None] = field(default_factory=dict)
    lacks: dict[tuple[str, int, str], Lack] = field(default_factory=dict)
    converted: int = 0

    def run(self, graph: SourceGraph, scope: Scope, depth: int) -> list[Value | None]:
        """Convert the nodes of a graph in a scope; its outputs, None for those without a name.

        Raises Abandoned after recording problems.
        """
        if depth > DEEPEST:
            raise UnsupportedError(f"bodies are nested more than {DEEPEST} deep", hint="flatten the model")
        for name, load in graph.constants.items():
            with self.recording(None, name):
                scope.values[name] = None
                scope.values[name] = constant(load(), location=Location(self.location, (name,)))
        for node in graph.nodes:
            location = Location(self.location, (node.name,))
            scope.values.update(dict.fromkeys(filter(None, node.outputs)))
            with at(location), self.recording(node):
                results = self.convert(node, scope, depth)
                scope.values.update(zip(node.outputs, results, strict=False))
        outputs = [scope.get(name) if name else None for name in graph.outputs]
        if any(value is None and name for name, value in zip(graph.outputs, outputs, strict=True)):
            raise Abandoned
        return outputs

    def convert(self, node: SourceNode, scope: Scope, depth: int) -> Sequence[Value | None]:
        """The results of one node, at least as many as it has outputs."""
        self.converted += 1
        if self.converted > self.most:
            message = f"it expands to more than {self.most} nodes"
            problem = Problem(self.location, message, "simplify its bodies")
            self.problems[problem] = None
            raise Stopped
        converter = None if node.body is not None else self.converters.find(node)
        operands = [scope.get(name) if name else None for name in node.inputs]
        for name, value in zip(node.inputs, operands, strict=True):
            if value is None and name and name not in scope.omitted:
                raise Abandoned
        results: Any = NotImplemented
        if converter is not None:
            results = bind(converter, node, operands, Call(self, node, scope, depth))
        if results is NotImplemented:
            results = self.expand(node, operands, scope, depth)
        results = results if isinstance(results, tuple | list) else (results,)
        for index, name in enumerate(node.outputs):
            if name and (index >= len(results) or results[index] is None):
                raise UnsupportedError(
                    f"its output {index} is not computed here", hint="remove what reads that output"
                )
        extents = [
            dim
            for value in results
            if value is not None and isinstance(value.type, TensorType)
            for dim in value.shape
        ]
        if any(isinstance(dim, int) and dim > MOST_EXTENT for dim in extents):
            raise ModelError(f"an extent of its result is above {MOST_EXTENT}")
        if any(atoms(dim) > MOST_ATOMS for dim in extents):
            reason = "an extent of its result is too long an expression"
            raise UnsupportedError(reason, hint="fix dimensions with shapes=")
        return results

    def expand(
        self, node: SourceNode, operands: Sequence[Value | None], scope: Scope, depth: int
    ) -> Sequence[Value | None]:
        """The results of a node by the graph that defines it, the model's own or the framework's."""
        graph = node.body() if node.body is not None else self.converters.expand(node, operands)
        if len(operands) > len(graph.inputs):
            raise ModelError(f"{node.op} takes {len(graph.inputs)} operands, got {len(operands)}")
        absent = [None] * (len(graph.inputs) - len(operands))
        names = [entry.name for entry in graph.inputs]
        values = dict(zip(names, [*operands, *absent], strict=True))
        omitted = frozenset(name for name, value in values.items() if value is None)
        return self.run(graph, Scope(values, None if node.body else scope, omitted), depth + 1)

    @contextmanager
    def recording(self, node: SourceNode | None, name: str = "") -> Iterator[None]:
        """Note problems raised inside, and go on; they are a node's, or of something else with a name."""
        name = node.name if node is not None else name
        try:
            with located(str(Location(self.location, (name,) if name else ()))):
                yield
        except Abandoned:
            pass
        except UnsupportedError as error:
            if node is None:
                self.problems.update(dict.fromkeys(error.problems))
            else:
                self.note(node, error)
        except CompileError as error:
            self.problems.update(dict.fromkeys(error.problems))

    def note(self, node: SourceNode, error: UnsupportedError) -> None:
        for problem in error.problems:
            key = (node.title, node.version, problem.message)
            if key in self.lacks:
                self.lacks[key].count += 1
            else:
                self.lacks[key] = Lack(node, problem.location, problem.message, problem.hint)

    def failure(self) -> IsthmusError | None:
        """The error that tells all, if there is anything to tell."""
        lacks = [lack.problem() for lack in self.lacks.values()]
        if lacks:
            return UnsupportedError("", problems=[*lacks, *self.problems])
        return ModelError("", problems=self.problems) if self.problems else None


def _bound(
    model: SourceModel, shapes: Mapping[str, Sequence[int | str | None]], constants: Mapping[str, Any]
) -> list[tuple[SourceInput, Type | np.ndarray]]:
    """`bind_inputs`; ValuesNeeded where nothing is wrong but that some inputs have no rank."""
    ranks = tuple(
        entry.name
        for entry in model.graph.inputs
        if entry.dtype is not None
        and entry.shape is None
        and entry.name not in shapes
        and entry.name not in constants
    )
    try:
        return bind_inputs(model, shapes, constants)
    except ModelError as error:
        if not ranks or len(error.problems) > len(ranks):
            raise
        kept = {
            entry.name: entry.dtype if entry.shape is None else TensorType(entry.dtype, entry.shape)
            for entry in model.graph.inputs
            if entry.dtype is not None
        }
        raise ValuesNeeded(error, kept, model.graph.outputs, ranks=ranks) from None


def _closed(
    model: SourceModel, converters: Converters, inputs: Mapping[str, Type], constants: Mapping[str, Any]
) -> bool:
    """Whether a model that can't be converted as it is can be once the open dimensions of its inputs are fixed."""
    tensors = {name: type for name, type in inputs.items() if isinstance(type, TensorType)}
    opened = {name for type in tensors.values() for dim in type.shape for name in symbols(dim)}
    for extent in TRIED if opened else ():
        values: dict[str, Dim] = dict.fromkeys(opened, extent)
        shapes = {name: _extents(type, values) for name, type in tensors.items()}
        with suppress(IsthmusError):
            convert(model, converters, shapes, constants)
            return True
    return False


def _extents(type: TensorType, values: Mapping[str, Dim]) -> list[int | None]:
    extents = [substitute(dim, values) for dim in type.shape]
    return [extent if isinstance(extent, int) else None for extent in extents]


def convert(
    model: SourceModel,
    converters: Converters,
    shapes: Mapping[str, Sequence[int | str | None]],
    constants: Mapping[str, Any],
    decisive: dict[str, None] | None = None,
) -> Graph:
    """The IR graph of a framework's graph. Raises UnsupportedError or ModelError with every problem found.

    `decisive` is filled with the inputs whose values, if they were constants, would decide more of the graph's form;
    ValuesNeeded is raised where nothing but such values, or open dimensions, stand against it.
    """
    driver = Driver(model.location, converters, 10 * model.size + SPARE)
    bound = _bound(model, shapes, constants)
    values: dict[str, Value | None] = {}
    for entry, given in bound:
        location = Location(model.location, (entry.name,))
        if isinstance(given, np.ndarray):
            values[entry.name] = constant(given, location=location)
        else:
            values[entry.name] = graph_input(entry.name, given, location)
    inputs = [value for value in values.values() if value is not None and value.constant is None]
    outputs: list[Value | None] = []
    names = {value: name for name, value in values.items() if value is not None and value.constant is None}
    with memory(names) as here, suppress(Stopped), driver.recording(None):
        outputs = driver.run(model.graph, Scope(values), 0)
    failure = driver.failure()
    if failure is not None:
        types = {name: value.type for value, name in names.items()}
        if here.decisive:
            first, *_ = here.decisive
            advice = Problem(
                model.location,
                f"its form depends on the values of {', '.join(here.decisive)}",
                f"fix them with constants=, on the command line --constant {first}=VALUE",
            )
            failure = UnsupportedError("", problems=[*failure.problems, advice])
        if here.decisive or here.waits or _closed(model, converters, types, constants):
            raise ValuesNeeded(failure, types, model.graph.outputs, tuple(here.decisive))
        raise failure
    found = [value for value in outputs if value is not None]
    if decisive is not None:
        decisive.update(here.decisive)
    return rename_fresh(Graph(inputs, found, model.graph.outputs, model.graph.name))
