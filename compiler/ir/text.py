"""The text form: every graph prints, and parses back to the same graph.

Large constants stay outside: the text names them (`@w0`) and a table beside it holds them. `grammar.lark` is the
grammar; lark is imported when the first text is parsed.
"""

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from .dims import Dim, Expr, Monomial
from .graph import Graph, Node, Tensor, Value
from .location import Location
from .types import DType, OptionalType, SequenceType, TensorType, Type

INLINE = 16  # a tensor of at most so many elements is written out

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.$]*")
_VALUE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAN = 0x7FF8000000000000


@dataclass(frozen=True, slots=True)
class Text:
    """A printed graph and the constants that it names: `text` alone is what people read."""

    text: str
    tensors: Mapping[str, Tensor]

    def __str__(self) -> str:
        return self.text


def print_graph(graph: Graph, *, locations: bool = True) -> Text:
    """The graph's text and its table of constants; equal graphs give equal texts."""
    printer = _Printer(locations)
    printer.graph(graph, "")
    return Text("\n".join(printer.lines) + "\n", printer.tensors)


def parse_graph(text: str | Text, tensors: Mapping[str, Tensor] | None = None) -> Graph:
    """The graph that a text and its table describe. ModelError, with line and column, for anything else.

    Operations are not checked against their declarations here; `verify` does that.
    """
    from .parse import parse

    if isinstance(text, Text):
        return parse(text.text, {**text.tensors, **(tensors or {})})
    return parse(text, tensors or {})


def format_float(value: float) -> str:
    """A float as the text form writes it: the shortest digits that read back to the same bits."""
    if not math.isnan(value):
        return repr(value)
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return "nan" if bits == _NAN else f"nan(0x{bits:016x})"


@lru_cache(maxsize=4096)
def format_dim(dim: Dim) -> str:
    """A dimension as the text form writes it; symbols that are no plain words stand in quotes."""
    if isinstance(dim, int):
        return str(dim)
    return " + ".join(_format_term(monomial, coefficient) for monomial, coefficient in dim.terms)


def _format_term(monomial: Monomial, coefficient: int) -> str:
    factors = [str(coefficient)] if coefficient != 1 or not monomial else []
    for atom in monomial:
        if isinstance(atom, str):
            factors.append(_word(atom))
        else:
            factors.append(f"{atom.function}({', '.join(map(format_dim, atom.arguments))})")
    return "*".join(factors)


@lru_cache(maxsize=4096)
def format_type(type: Type) -> str:
    """A type as the text form writes it."""
    if isinstance(type, TensorType):
        return f"{type.dtype}[{', '.join(map(format_dim, type.shape))}]"
    kind = "sequence" if isinstance(type, SequenceType) else "optional"
    return f"{kind}<{format_type(type.element)}>"


def _word(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def array_from(dtype: DType, shape: tuple[int, ...], elements: Iterable[Any]) -> np.ndarray:
    """An array from elements as the text form writes them, in row-major order."""
    listed = list(elements)
    if dtype.kind == "string":
        flat = np.empty(len(listed), object)
        flat[:] = listed
    elif dtype.is_float and dtype.bits < 64:
        # from f64, since ml_dtypes' types take no Python floats in a list
        with np.errstate(over="ignore", invalid="ignore"):
            flat = np.array(listed, np.float64).astype(dtype.numpy)
    else:
        flat = np.array(listed, dtype.numpy if dtype.bits >= 8 else np.int64).astype(dtype.numpy)
    return flat.reshape(shape)


class _Printer:
    def __init__(self, locations: bool):
        self.locations = locations
        self.lines: list[str] = []
        self.tensors: dict[str, Tensor] = {}
        self.references: dict[int, str] = {}

    def graph(self, graph: Graph, indent: str) -> None:
        names: dict[Value, str] = {}
        taken: set[str] = set()
        inputs = []
        for value in graph.inputs:
            name = value.node.attributes["name"]
            if _VALUE.fullmatch(name) and name not in taken:
                taken.add(name)
                names[value], head = f"%{name}", f"%{name}"
            else:
                names[value] = f"%{len(names)}"
                head = f"{names[value]} {json.dumps(name)}"
            inputs.append(f"{head}: {format_type(value.type)}{self.location(value.node.location)}")
        self.lines.append(f"{indent}graph {json.dumps(graph.name)}({', '.join(inputs)}) {{")
        inputs_seen = set(graph.inputs)
        for node in graph.nodes:
            if node.op == "input" and node.result in inputs_seen:
                continue
            for result in node.results:
                names[result] = f"%{len(names)}"
            self.node(node, names, indent + "  ")
        outputs = [
            f"{names[value]} as {_word(name)}"
            for value, name in zip(graph.outputs, graph.output_names, strict=True)
        ]
        self.lines.append(f"{indent}  return {', '.join(outputs)}".rstrip())
        self.lines.append(indent + "}")

    def node(self, node: Node, names: Mapping[Value, str], indent: str) -> None:
        results = ", ".join([names[result] for result in node.results])
        types = ", ".join([format_type(type) for type in node.types])
        location = self.location(node.location)
        if node.op == "constant" and len(node.attributes) == 1:
            value = self.tensor(node.attributes["value"])
            tail = f" : {types}" if value.startswith("@") else ""
            self.lines.append(f"{indent}{results} = constant {value}{tail}{location}")
            return
        operands = ", ".join(["_" if v is None else names[v] for v in node.operands])
        listed = ", ".join([f"{name} = {self.value(v)}" for name, v in node.attributes.items()])
        attributes = f" {{{listed}}}" if listed else ""
        line = f"{indent}{results} = {node.op}({operands}){attributes} : {types}"
        if not node.regions:
            self.lines.append(line + location)
            return
        self.lines.append(line + " {")
        for region in node.regions:
            self.graph(region, indent + "  ")
        self.lines.append(f"{indent}}}{location}")

    def location(self, location: Location) -> str:
        if not self.locations or not (location.source or location.names):
            return ""
        return f" loc({', '.join([json.dumps(part) for part in (location.source, *location.names)])})"

    def value(self, value: Any) -> str:
        # the order of the questions matters: bool is an int
        if isinstance(value, tuple):
            return f"({', '.join([self.value(item) for item in value])})"
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, Expr):
            return f"<{format_dim(value)}>"
        if isinstance(value, TensorType | SequenceType | OptionalType):
            return format_type(value)
        if isinstance(value, DType):
            return value.name
        return _literal(value)

    def tensor(self, tensor: Tensor) -> str:
        array = tensor.array
        dtype = tensor.type.dtype
        if dtype.kind == "string" or (array.size <= INLINE and dtype.kind != "complex"):
            elements = _elements(array, dtype)
            if elements is not None:
                return f"{format_type(tensor.type)}({', '.join(elements)})"
        # keyed by identity: hashing all weights would cost more than all the printing
        reference = self.references.get(id(array))
        if reference is None:
            reference = self.references[id(array)] = f"w{len(self.references)}"
            self.tensors[reference] = tensor
        return f"@{reference}"


def _literal(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, str):
        return json.dumps(value)
    raise TypeError(f"an attribute can't hold {type(value).__name__} {value!r}")


def _elements(array: np.ndarray, dtype: DType) -> list[str] | None:
    """The elements as text, or None where text would lose bits (payloads of NaN) or the element is no text."""
    if dtype.kind == "string":
        listed = array.ravel().tolist()
        return [json.dumps(item) for item in listed] if all(isinstance(x, str) for x in listed) else None
    if not dtype.is_float:
        return [
            _literal(item) for item in (array if dtype.bits >= 8 else array.astype(np.int64)).ravel().tolist()
        ]
    wide = array.astype(np.float64).ravel().tolist()
    for elements in ([_short(x) for x in array.ravel()], [format_float(x) for x in wide]):
        back = array_from(dtype, array.shape, map(_read_float, elements))
        if back.tobytes() == array.tobytes():
            return elements
    return None


def _short(x: np.generic) -> str:
    """The fewest digits that tell a float from its neighbours in its own precision."""
    text = str(x)
    return text if math.isfinite(float(x)) and any(mark in text for mark in ".e") else format_float(float(x))


def _read_float(text: str) -> float:
    return float("nan") if text.startswith("nan") else float(text)
