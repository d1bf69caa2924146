"""The graph that follows from TorchScript's code: calls of torch become nodes, or are computed where all is known."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from typing import Any

import numpy as np

from ...compiler.diagnostics import ModelError, UnsupportedError
from ...runtime.records import dataclass
from ..source import SourceNode
from .nodes import Origin, Ref, aten, references
from .pickles import Tensor

WAY_OUT = "export it with torch.export.save(torch.export.export(model, inputs), 'model.pt2'), or trace it"


@dataclass
class ScriptGraph:
    """Nodes and constants so far; `literals` are the constants of the code, `numbers` those of them that are weak."""

    literals: tuple[Any, ...]
    nodes: list[SourceNode] = field(default_factory=list)
    constants: dict[str, Callable[[], np.ndarray]] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)

    def emit(self, op: str, given: list[Any], named: Mapping[str, Any], path: str) -> Any:
        """The result of a call of torch: computed now where all is known, else a node."""
        known = not any(True for _ in references(tuples((*given, *named.values()))))
        if op in _INERT:
            return given[0] if given else None
        if op in _IGNORED:
            return None
        if op in _KNOWN and (known or op in _ON_LISTS):
            return _computed(op, given)
        if op in ("__is__", "__isnot__"):
            return (given[0] is given[1]) == (op == "__is__")
        if op == "len" and isinstance(given[0], Ref):
            return self.emit("dim", [self.measured(given[0])], {}, path)
        if op in _PROMOTING:
            given = [self.numbers.get(item.name, item) if isinstance(item, Ref) else item for item in given]
        name = f"{op.rpartition('.')[2]}_{len(self.nodes)}"
        domain, _, own = op.rpartition(".")
        places = tuple(_argument(tuples(item)) for item in given)
        words = {key: _argument(tuples(item)) for key, item in named.items()}
        where = f"{path}/{name}" if path else name
        own, domain = _RENAMED.get(own, own), domain or ("operator" if own in _OF_NUMBERS else "aten")
        self.nodes.append(aten(own, [name], places, words, where, Origin(path), domain))
        return Ref(name)

    def parts(self, value: Ref, count: int) -> list[Ref]:
        """The results of a node that gives several; their number shows where they are taken apart."""
        names = [value.name, *(f"{value.name}#{n}" for n in range(1, count))]
        for index, node in enumerate(self.nodes):
            if node.outputs and node.outputs[0] == value.name and len(node.outputs) < count:
                fields = (node.op, node.name, node.inputs, tuple(names), node.attributes, node.domain)
                self.nodes[index] = SourceNode(*fields, origin=node.origin)
        return [Ref(name) for name in names]

    def measured(self, size: Ref) -> Ref:
        """The tensor whose size a value is."""
        for node in self.nodes:
            if (
                size.name in node.outputs
                and node.op == "size"
                and isinstance(node.attributes["positional"][0], Ref)
            ):
                return node.attributes["positional"][0]
        raise UnsupportedError("the length of a list that is computed is not known", hint=WAY_OUT)

    def constant(self, value: Any, name: str) -> Any:
        """A stored value; tensors become constants of the graph."""
        if isinstance(value, Tensor):
            self.constants.setdefault(name, partial(Tensor.array, value))
            return Ref(name)
        if isinstance(value, list):
            return [self.constant(item, f"{name}.{index}") for index, item in enumerate(value)]
        return value

    def literal(self, index: int) -> Any:
        """A constant of the code. Where it meets tensors, torch takes one of rank 0 for the number that it was."""
        value, name = self.literals[index], f"constant_{index}"
        if (
            isinstance(value, Tensor)
            and not value.sizes
            and value.storage.dtype.name in ("f64", "i64", "bool")
        ):
            self.numbers[name] = value.array().item()
        return self.constant(value, name)


def tuples(value: Any) -> Any:
    """Lists as tuples, which arguments are made of."""
    if isinstance(value, list | tuple):
        return tuple(tuples(item) for item in value)
    return tuple(map(tuples, value.values())) if isinstance(value, dict) else value


def _argument(value: Any) -> Any:
    """A value that a node may take. TypeError for modules, methods and bare names, which damaged code may give."""
    for item in value if isinstance(value, tuple) else ():
        _argument(item)
    if not isinstance(value, Ref | int | float | complex | str | tuple | None):
        raise TypeError(f"{value!r:.60} is no value")
    return value


# What passes its first argument on: sizes are tensors of rank 0 here, and a dtype is asked of the tensor that has it.
_INERT = (
    "prim.NumToTensor",
    "int",
    "float",
    "bool",
    "Int",
    "IntImplicit",
    "FloatImplicit",
    "ScalarImplicit",
    "prim.dtype",
    "device",
    "prim.device",
)

_IGNORED = ("warn", "prim.RaiseException", "format", "prim.layout", "_assert")

_OF_NUMBERS = ("floordiv",)

_RENAMED = {"Int": "int"}

MOST_ITEMS = 1 << 20
"""Items of a list that code makes of a number."""


def _computed(op: str, given: list[Any]) -> Any:
    """An operation on what is known. Damaged code may do it with anything."""
    try:
        return _KNOWN[op](*given)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise ModelError(f"'{op}' does not fit what it is given: {error}", hint=WAY_OUT) from None


def _counted(*bounds: int) -> list[int]:
    _check_length(len(range(*bounds)))
    return list(range(*bounds))


def _product(a: Any, b: Any) -> Any:
    for items, times in ((a, b), (b, a)):
        if isinstance(items, list | tuple | str) and isinstance(times, int):
            _check_length(len(items) * times)
    return a * b


def _check_length(items: int) -> None:
    if items > MOST_ITEMS:
        raise UnsupportedError(f"its code makes a list of {items} items", hint=WAY_OUT)


_KNOWN: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": _product,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "remainder": operator.mod,
    "neg": operator.neg,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "len": len,
    "range": _counted,
    "__range_length": lambda low, high, step: len(range(low, high, step)),
    "__derive_index": lambda index, start, step: start + index * step,
    "__not__": operator.not_,
    "__contains__": lambda container, item: item in container,
    "__getitem__": operator.getitem,
    "append": lambda container, item: container.append(item),
    "list": list,
    "prim.min": min,
    "prim.max": max,
}

_ON_LISTS = ("append",)

_PROMOTING = frozenset(
    ("add", "sub", "rsub", "mul", "div", "pow", "remainder", "fmod", "floor_divide", "where", "masked_fill")
    + ("eq", "ne", "lt", "le", "gt", "ge", "add_", "sub_", "mul_", "div_")
)
