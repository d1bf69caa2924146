"""TFLite files to source graphs: subgraphs, signatures, constants, and the checks that need no meaning of the ops."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import partial
from keyword import iskeyword
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from ...compiler.diagnostics import CompileError, ModelError, Problem, UnsupportedError, located
from ...compiler.ir.dims import Dim, fresh
from ...compiler.ir.types import f32
from ...runtime.records import dataclass, replace
from ..driver import DEEPEST
from ..files import map_file
from ..source import SourceGraph, SourceInput, SourceModel, SourceNode
from .schema import BROKEN, OPS, File, Operator, Tensor, elements, text

VERSION = 3
"""The schema version that files state; earlier ones were never public."""

HYBRID = ("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "EMBEDDING_LOOKUP", "FULLY_CONNECTED")
"""Ops that take floats with weights of 8 bits. They are read as ops on the reals that the weights stand for; TFLite's
kernels round the floats to 8 bits as well, for the sake of integer products, and are off by as much."""

IDENTITY = "IDENTITY"
"""A node that gives a tensor a further name: the format needs none, for its inputs and outputs are numbers."""

DEFAULT_SIGNATURE = "serving_default"

SUBGRAPH = "_subgraph_index"
"""The end of the names of options that refer to a body."""


@dataclass(slots=True)
class Decoder:
    """Reads one model. `problems` collects what is wrong with its nodes; everything readable is read."""

    location: str
    file: File
    model: Any
    problems: list[Problem] = field(default_factory=list)
    size: int = 0
    codes: list[tuple[str, bool, int]] = field(default_factory=list)
    subgraphs: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    bodies: dict[int, SourceGraph] = field(default_factory=dict)
    reading: list[int] = field(default_factory=list)

    def main(self, wanted: str) -> SourceGraph:
        """The graph of a signature; the first subgraph where the file has none."""
        if self.model.Version() != VERSION:
            raise ModelError(
                f"has schema version {self.model.Version()}, expected {VERSION}",
                hint="convert the model again with a converter of TensorFlow 2",
            )
        self.codes = [_code(entry) for entry in self.file.entries(self.model, "OperatorCodes")]
        self.subgraphs = list(self.file.entries(self.model, "Subgraphs"))
        self.buffers = list(self.file.entries(self.model, "Buffers"))
        if not self.subgraphs:
            raise ModelError("holds no graph", hint="check that this is the right file")
        index, inputs, outputs = self.signature(wanted)
        self.reading.append(index)
        graph = self.graph(index, inputs, outputs)
        if self.problems:
            raise ModelError("", problems=self.problems)
        return graph

    def signature(self, wanted: str) -> tuple[int, dict[int, str], list[tuple[str, int]]]:
        """Subgraph, input names by tensor, and output names with tensors of the signature that is meant."""
        entries = {
            text(entry.SignatureKey()): entry for entry in self.file.entries(self.model, "SignatureDefs")
        }
        listed = ", ".join(entries) or "none"
        if not wanted and not entries:
            return 0, {}, []
        if not wanted:
            wanted = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in entries else next(iter(entries))
            if len(entries) > 1 and wanted != DEFAULT_SIGNATURE:
                raise ModelError(
                    f"has several signatures and none is '{DEFAULT_SIGNATURE}': {listed}",
                    hint=f"name one after the path: {self.location}#{wanted}",
                )
        if wanted not in entries:
            raise ModelError(f"has no signature '{wanted}'", hint=f"its signatures are: {listed}")
        entry = entries[wanted]
        inputs = {part.TensorIndex(): text(part.Name()) for part in self.file.entries(entry, "Inputs")}
        outputs = [(text(part.Name()), part.TensorIndex()) for part in self.file.entries(entry, "Outputs")]
        return entry.SubgraphIndex(), inputs, outputs

    def body(self, index: int) -> SourceGraph:
        """A subgraph that nodes refer to, read once. Its inputs and outputs have no names of their own."""
        if index in self.reading:
            raise ModelError(f"subgraph {index} calls itself", hint="convert the model again")
        if len(self.reading) > DEEPEST:
            raise UnsupportedError(f"bodies are nested more than {DEEPEST} deep", hint="flatten the model")
        if index not in self.bodies:
            self.reading.append(index)
            try:
                self.bodies[index] = self.graph(index, None, [])
            finally:
                self.reading.pop()
        return self.bodies[index]

    def graph(
        self, index: int, labels: dict[int, str] | None, named: Sequence[tuple[str, int]]
    ) -> SourceGraph:
        """A subgraph, its tensors called `#index`; inputs and outputs of the main one have names for users."""
        if not 0 <= index < len(self.subgraphs):
            raise ModelError(f"refers to subgraph {index}, it has {len(self.subgraphs)}")
        table = self.subgraphs[index]
        tensors = [self.file.tensor(n, entry) for n, entry in enumerate(self.file.entries(table, "Tensors"))]
        inputs = self.tensors(table, "Inputs", tensors)
        outputs = self.tensors(table, "Outputs", tensors)
        nodes = self.nodes(table, tensors)
        produced = {tensor.index for node in nodes for tensor in node.origin.outputs}
        produced.update(tensor.index for tensor in inputs)
        constants = {
            _label(tensor): partial(self.constant, tensor)
            for tensor in tensors
            if tensor.index not in produced and self.is_constant(tensor)
        }
        if any(not 0 <= place < len(tensors) for _, place in named):
            raise ModelError("its signature names a tensor that is not there", hint="convert the model again")
        wanted = [tensors[place] for _, place in named] or outputs
        self.check_order(inputs, constants, nodes, wanted)
        names, results = tuple(map(_label, inputs)), tuple(map(_label, wanted))
        if labels is not None:
            # `#` keeps the names of tensors apart from those for users
            names = _distinct(labels.get(tensor.index, tensor.name) for tensor in inputs)
            results = _distinct(name for name, _ in named or [(tensor.name, 0) for tensor in outputs])
            heads = map(_identity, names, map(_label, inputs))
            tails = map(_identity, map(_label, wanted), results)
            nodes = [*heads, *nodes, *tails]
        entries = tuple(map(_input, inputs, names))
        return SourceGraph(text(table.Name()) or "main", entries, results, tuple(nodes), constants)

    def tensors(self, table: Any, field: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        """What a list of tensor numbers refers to."""
        numbers = self.file.numbers(table, field)
        wrong = [number for number in numbers if not 0 <= number < len(tensors)]
        if wrong:
            raise ModelError(f"its {field.lower()} name tensor {wrong[0]}, there are {len(tensors)}")
        return [tensors[number] for number in numbers]

    def nodes(self, table: Any, tensors: Sequence[Tensor]) -> list[SourceNode]:
        nodes = []
        for index, entry in enumerate(self.file.entries(table, "Operators")):
            self.size += 1
            op, custom, version = "operator", False, 0
            try:
                if entry.OpcodeIndex() >= len(self.codes):
                    raise ModelError(f"has operator code {entry.OpcodeIndex()}, there are {len(self.codes)}")
                op, custom, version = self.codes[entry.OpcodeIndex()]
                operands = self.operands(entry, tensors)
                results = tuple(self.tensors(entry, "Outputs", tensors))
                options = self.file.options(entry)
                attributes = dict(map(self.attribute, options, options.values()))
            except CompileError as error:
                where = f"{self.location}:{op}_{index}"
                self.problems += [
                    Problem(part.location or where, part.message, part.hint) for part in error.problems
                ]
                continue
            if op in HYBRID and _is_of_floats(operands, results):
                narrow = [tensor for tensor in operands if tensor is not None and tensor.is_narrow]
                nodes += [_in_floats(tensor, f"{op}_{index}", len(tensors)) for tensor in narrow]
                operands = tuple(
                    _float(each, len(tensors)) if each is not None and each.is_narrow else each
                    for each in operands
                )
            nodes.append(
                SourceNode(
                    op,
                    f"{op}_{index}",
                    tuple("" if tensor is None else _label(tensor) for tensor in operands),
                    tuple(map(_label, results)),
                    attributes,
                    "custom" if custom else "",
                    origin=Operator(version, operands, results),
                )
            )
        return nodes

    def attribute(self, name: str, value: Any) -> tuple[str, Any]:
        """An option as a keyword of a converter; numbers of subgraphs become these."""
        if not name.endswith(SUBGRAPH):
            return name, value
        name = name.removesuffix(SUBGRAPH)
        return f"{name}_" if iskeyword(name) else name, self.body(value)

    def operands(self, table: Any, tensors: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """The operands of an operator; -1 stands for an absent one."""
        numbers = self.file.numbers(table, "Inputs")
        wrong = [number for number in numbers if not -1 <= number < len(tensors)]
        if wrong:
            raise ModelError(f"reads tensor {wrong[0]}, there are {len(tensors)}")
        return tuple(None if number < 0 else tensors[number] for number in numbers)

    def check_order(
        self,
        inputs: Iterable[Tensor],
        constants: Mapping[str, Any],
        nodes: Iterable[SourceNode],
        outputs: Iterable[Tensor],
    ) -> None:
        """Note what is read before anything gives it a value: operators run in the order of the file."""
        defined = {*map(_label, inputs), *constants}
        for node in nodes:
            for operand in node.origin.inputs:
                if operand is not None and _label(operand) not in defined:
                    message = f"reads tensor {operand.index} '{operand.name}', which has no value there"
                    hint = "its data are missing, or the operators are not in order; convert the model again"
                    self.problems.append(Problem(f"{self.location}:{node.name}", message, hint))
            defined.update(node.outputs)
        for tensor in outputs:
            if _label(tensor) not in defined and not self.problems:
                message = f"the output '{tensor.name}' is not computed by any operator"
                self.problems.append(Problem(self.location, message, "convert the model again"))

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether a tensor that nothing computes has data in the file, or needs none."""
        if tensor.variable:
            return False
        return 0 in tensor.shape or (0 < tensor.buffer < len(self.buffers) and self.extent(tensor)[1] > 0)

    def extent(self, tensor: Tensor) -> tuple[int, int]:
        """Offset and size of a tensor's data where they stand behind the flatbuffer, else 0 and their size in it."""
        buffer = self.buffers[tensor.buffer]
        # an offset of 1 stands for data that never were written
        return (buffer.Offset(), buffer.Size()) if buffer.Offset() > 1 else (0, buffer.DataLength())

    def constant(self, tensor: Tensor) -> np.ndarray:
        """The array of a constant, a view of the file where it can be. Raises ModelError naming the tensor."""
        with located(f"{self.location}:{tensor.name}"):
            if 0 in tensor.shape:
                return elements(tensor, np.zeros(0, np.uint8))
            offset, size = self.extent(tensor)
            try:
                if offset:
                    data = np.frombuffer(self.file.data, np.uint8, size, offset)
                else:
                    data = self.buffers[tensor.buffer].DataAsNumpy()
            except BROKEN:
                raise ModelError(
                    f"its data lie beyond the {len(self.file.data)} bytes of the file",
                    hint="copy the file again",
                ) from None
            return elements(tensor, data)


def _is_of_floats(operands: Sequence[Tensor | None], results: Sequence[Tensor]) -> bool:
    """Whether an op takes and gives no integers but as weights (or numbers of rows)."""
    first = operands[0] if operands else None
    return first is not None and not first.is_narrow and all(tensor.dtype == f32 for tensor in results)


def _float(tensor: Tensor, count: int) -> Tensor:
    """The tensor of the reals that a quantised one stands for; its number lies behind the `count` of the file."""
    return replace(tensor, index=count + tensor.index, type=tflite.TensorType.FLOAT32, quantisation=None)


def _in_floats(tensor: Tensor, name: str, count: int) -> SourceNode:
    """The node that makes them."""
    wide = _float(tensor, count)
    origin = Operator(1, (tensor,), (wide,))
    return SourceNode("DEQUANTIZE", name, (_label(tensor),), (_label(wide),), {}, origin=origin)


def _label(tensor: Tensor) -> str:
    return f"#{tensor.index}"


def _code(table: Any) -> tuple[str, bool, int]:
    """An operator code: the op's name, whether it is a custom one, its version."""
    number = max(table.BuiltinCode(), table.DeprecatedBuiltinCode())
    name = OPS.get(number, f"operator number {number}")
    if name == "CUSTOM":
        return text(table.CustomCode()) or "unnamed", True, table.Version()
    return name, False, table.Version()


def _input(tensor: Tensor, name: str) -> SourceInput:
    shape: tuple[Dim, ...] = tuple(fresh() if extent < 0 else extent for extent in tensor.shape)
    return SourceInput(name, tensor.dtype, shape)


def _identity(before: str, after: str) -> SourceNode:
    return SourceNode(IDENTITY, after, (before,), (after,), origin=Operator(1, (), ()))


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names, those that came before with a number."""
    found: dict[str, None] = {}
    for name in names:
        count, candidate = 1, name
        while candidate in found or candidate.startswith("#"):
            count, candidate = count + 1, f"{name.lstrip('#')}_{count}"
        found[candidate] = None
    return tuple(found)


def read_file(path: Path, signature: str = "") -> SourceModel:
    """The model in a file, or one signature of it. Raises ModelError with every problem found."""
    location = path.name
    data = map_file(path, str(path))
    with located(location):
        if data[4:8] != b"TFL3":
            raise ModelError(
                "not a TFLite model: it does not have the identifier 'TFL3'",
                hint="check that this is the right file",
            )
        try:
            decoder = Decoder(location, File(data), tflite.Model.GetRootAs(data))
            graph = decoder.main(signature)
        except BROKEN as error:
            raise ModelError(
                f"not a readable TFLite model: an offset leads out of its {len(data)} bytes ({error})",
                hint="copy or convert the file again",
            ) from None
    content: Callable[[], Iterable[Any]] = lambda: [data]  # noqa: E731
    return SourceModel(location, graph, decoder.size, content)
