"""Text to graph: what `grammar.lark` accepts is checked for names, sizes and table entries, and built."""

import json
import struct
from collections.abc import Mapping
from functools import cache, reduce
from importlib import resources
from math import prod
from operator import add, mul
from typing import Any, NoReturn

import lark

from ...runtime.records import dataclass
from ..diagnostics import ModelError
from . import dims
from .dims import Dim
from .graph import Graph, Node, Tensor, Value
from .location import NOWHERE, Location
from .text import array_from
from .types import DTYPES, DType, OptionalType, SequenceType, TensorType, Type

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class _Statement:
    """A node as written: tokens (`%3`) instead of values."""

    results: tuple[lark.Token, ...]
    op: str
    operands: tuple[Any, ...]
    attributes: Mapping[str, Any]
    types: tuple[Type, ...]
    regions: tuple[Graph, ...]
    location: Location


@dataclass(frozen=True, slots=True)
class _Output:
    value: lark.Token
    name: str


@dataclass(frozen=True, slots=True)
class _Input:
    value: lark.Token
    name: str
    type: Type
    location: Location


def parse(text: str, tensors: Mapping[str, Tensor]) -> Graph:
    """See `text.parse_graph`."""
    try:
        return _Builder(tensors).transform(_parser().parse(text))
    except lark.exceptions.UnexpectedInput as error:
        if isinstance(error, lark.exceptions.UnexpectedToken) and error.token.type == "$END":
            _refuse(None, "the text breaks off")
        lines = text.splitlines()
        found = lines[error.line - 1][error.column - 1 :][:40] if 0 < error.line <= len(lines) else ""
        _refuse(error, f"unexpected text: {found}")
    except lark.exceptions.VisitError as error:
        if isinstance(error.orig_exc, ModelError):
            raise error.orig_exc from None
        _refuse(getattr(error.obj, "meta", error.obj), str(error.orig_exc))


@cache
def _parser() -> lark.Lark:
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return lark.Lark(grammar, start="graph", parser="lalr", propagate_positions=True, maybe_placeholders=True)


def _refuse(at: Any, message: str) -> NoReturn:
    line, column = getattr(at, "line", None), getattr(at, "column", None)
    where = f"line {line}, column {column}" if line is not None and line > 0 else "end of text"
    raise ModelError(message, location=where)


def _present(children: list[Any]) -> tuple[Any, ...]:
    return tuple(child for child in children if child is not None)


def _unquote(token: lark.Token) -> str:
    return json.loads(token) if token.startswith('"') else str(token)


class _Builder(lark.Transformer):
    """Bottom up; each rule's method receives what its children became, None for what is left out."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__(visit_tokens=False)
        self.tensors = tensors

    # graphs

    def graph(self, children: list[Any]) -> Graph:
        name, *rest = _present(children)
        scope: dict[str, Value] = {}
        inputs, outputs = [], []
        for item in rest:
            if isinstance(item, _Input):
                node = Node("input", (), {"name": item.name}, (item.type,), location=item.location)
                _define(scope, item.value, node.result)
                inputs.append(node.result)
            elif isinstance(item, _Output):
                outputs.append((_look_up(scope, item.value), item.name))
            else:
                operands = [None if t is _ABSENT else _look_up(scope, t) for t in item.operands]
                node = Node(item.op, operands, item.attributes, item.types, item.regions, item.location)
                if len(item.results) != len(node.results):
                    _refuse(
                        item.results[0], f"{len(item.results)} results are named, {len(node.results)} typed"
                    )
                for token, result in zip(item.results, node.results, strict=True):
                    _define(scope, token, result)
        return Graph(inputs, [value for value, _ in outputs], [text for _, text in outputs], _unquote(name))

    def input(self, children: list[Any]) -> _Input:
        value, name, type, location = children
        return _Input(value, _unquote(name) if name is not None else value[1:], type, location or NOWHERE)

    def output(self, children: list[Any]) -> _Output:
        return _Output(children[0], _unquote(children[1]))

    def node(self, children: list[Any]) -> _Statement:
        results, op, *operands, attributes, types, regions, location = children
        return _Statement(
            results,
            str(op),
            _present(operands),
            attributes or {},
            types,
            regions or (),
            location or NOWHERE,
        )

    def constant(self, children: list[Any]) -> _Statement:
        results, tensor, type, location = children
        if type is not None and type != tensor.type:
            _refuse(results[0], f"the constant is declared {type}, but it is {tensor.type}")
        return _Statement(results, "constant", (), {"value": tensor}, (tensor.type,), (), location or NOWHERE)

    def results(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(children)

    types = regions = results

    def operand(self, children: list[Any]) -> Any:
        return children[0] if children else _ABSENT

    def location(self, children: list[Any]) -> Location:
        source, *names = map(_unquote, _present(children))
        return Location(source, tuple(names))

    # attributes

    def attributes(self, children: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in _present(children):
            if name in found:
                _refuse(name, f"attribute '{name}' is given twice")
            found[str(name)] = None if value is _ABSENT else value
        return found

    def attribute(self, children: list[Any]) -> tuple[Any, Any]:
        return children[0], children[1]

    def group(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(None if child is _ABSENT else child for child in _present(children))

    def dtype(self, children: list[Any]) -> DType:
        return _dtype(children[0])

    def integer(self, children: list[Any]) -> int:
        return int(children[0])

    def floating(self, children: list[Any]) -> float:
        return float(children[0])

    def nan(self, children: list[Any]) -> float:
        _, _, bits = children[0].rstrip(")").partition("(")
        return struct.unpack("<d", struct.pack("<Q", int(bits, 16)))[0] if bits else float("nan")

    def quoted(self, children: list[Any]) -> str:
        return _unquote(children[0])

    def none(self, _: list[Any]) -> Any:
        return _ABSENT

    def true(self, _: list[Any]) -> bool:
        return True

    def false(self, _: list[Any]) -> bool:
        return False

    def inline_tensor(self, children: list[Any]) -> Tensor:
        type, *elements = _present(children)
        if not isinstance(type, TensorType) or not type.is_static:
            raise ValueError(f"a constant can't have type {type}")
        if len(elements) != prod(type.static_shape):
            raise ValueError(f"{type} has {prod(type.static_shape)} elements, {len(elements)} are given")
        return Tensor(array_from(type.dtype, type.static_shape, elements))

    def stored_tensor(self, children: list[Any]) -> Tensor:
        (reference,) = children
        found = self.tensors.get(reference[1:])
        if found is None:
            _refuse(reference, f"the table of constants has no '{reference}'")
        return found

    # types and dimensions

    def tensor_type(self, children: list[Any]) -> TensorType:
        name, *shape = children
        return TensorType(_dtype(name), _present(shape))

    def sequence_type(self, children: list[Any]) -> SequenceType:
        return SequenceType(children[0])

    def optional_type(self, children: list[Any]) -> OptionalType:
        return OptionalType(children[0])

    def sum(self, children: list[Any]) -> Dim:
        return reduce(add, children)

    def product(self, children: list[Any]) -> Dim:
        return reduce(mul, children)

    def symbol(self, children: list[Any]) -> Dim:
        return dims.symbol(_unquote(children[0]))

    def call(self, children: list[Any]) -> Dim:
        name, *arguments = children
        if len(arguments) == 2:
            a, b = arguments
            if name == "floordiv":
                return dims.floordiv(a, b)
            if name in ("max", "min"):
                return dims.extreme(str(name), a, b)
        _refuse(
            name, f"no function of dimensions: {name} of {len(arguments)}; they are floordiv, max, min of 2"
        )


def _dtype(name: lark.Token) -> DType:
    if name not in DTYPES:
        _refuse(name, f"no such dtype: {name}")
    return DTYPES[name]


def _define(scope: dict[str, Value], token: lark.Token, value: Value) -> None:
    if token in scope:
        _refuse(token, f"{token} is defined twice")
    scope[token] = value


def _look_up(scope: dict[str, Value], token: lark.Token) -> Value:
    if token not in scope:
        _refuse(token, f"{token} is used before it is defined")
    return scope[token]
