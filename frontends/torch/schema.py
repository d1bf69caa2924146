"""A converter's signature is its ATen op's schema: arguments are bound to it by name or by place, then by kind.

Parameters without an annotation take tensors, and numbers where torch takes either; an annotation says what else a
parameter takes: `int`, `float`, `bool`, `str`, `Dim`, `Dims`, `Ints`, `DType`, `Tensors`, `Optionals` (tensors or
None), `Any`. None passes for all.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...compiler.diagnostics import ModelError, UnsupportedError
from ...compiler.ir.dims import Dim, Expr
from ...compiler.ir.graph import Value
from ...compiler.ir.types import DType
from ...runtime.records import dataclass
from ..driver import Call
from ..known import dims, known
from ..pairs import is_complex
from ..source import SourceGraph
from .nodes import Body, Ref
from .packed import convert_packed, is_packed
from .pairs import apart
from .tensors import SCRIPTED, dtype_numbered

Ints = tuple[int, ...]
Dims = tuple[Dim, ...]
Tensors = tuple[Value, ...]
Optionals = tuple[Value | None, ...]

# What says where and how a tensor lies in memory has no meaning here; nor has the source of random numbers.
MEMORY = {
    "memory_format",
    "layout",
    "device",
    "pin_memory",
    "non_blocking",
    "copy",
    "generator",
    "implicit",
    "requires_grad",
    "cudnn_enabled",
    "cudnn_enable",
    "benchmark",
    "deterministic",
    "allow_tf32",
    "out_dtype_is_none",
}


@dataclass(frozen=True)
class Form:
    """A converter for the overloads of an op that have its signature."""

    op: str
    convert: Callable[..., Any]

    @cached_property
    def kinds(self) -> Mapping[str, Any]:
        """The kind of each parameter in schema order; `call` is none."""
        hints = typing.get_type_hints(self.convert)
        names = inspect.signature(self.convert).parameters
        return {name: _plain(hints.get(name)) for name in names if name != "call"}

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The parameters that arguments by place are for, in order."""
        parameters = inspect.signature(self.convert).parameters.values()
        return tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)

    @cached_property
    def required(self) -> frozenset[str]:
        parameters = inspect.signature(self.convert).parameters.values()
        return frozenset(p.name for p in parameters if p.default is p.empty and p.name != "call")

    @cached_property
    def wants_call(self) -> bool:
        return "call" in inspect.signature(self.convert).parameters

    def arguments(self, positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by parameter. Raises ModelError where they do not fit the signature."""
        if len(positional) > len(self.places):
            raise ModelError(f"{self.op} takes {len(self.places)} arguments by place, got {len(positional)}")
        found = dict(zip(self.places, positional))
        for name, argument in named.items():
            if name == "self" and name not in self.kinds:  # in-place forms call their first argument so
                name = next(iter(self.kinds), name)
            if name in self.kinds and name not in found:
                found[name] = argument
            elif name not in MEMORY and argument is not None:
                raise UnsupportedError(
                    f"its argument '{name}' is not supported", hint=f"known are {', '.join(self.kinds)}"
                )
        missing = sorted(self.required - found.keys())
        if missing:
            raise ModelError(f"{self.op} needs the argument '{missing[0]}'")
        return found

    def mismatch(self, positional: Sequence[Any], named: Mapping[str, Any]) -> int | None:
        """How many arguments are literals where tensors, or values where literals are usual; None: it does not fit."""
        try:
            found = self.arguments(positional, named)
        except (ModelError, UnsupportedError):
            return None
        counts = [_mismatch(argument, self.kinds[name]) for name, argument in found.items()]
        return None if None in counts else sum(filter(None, counts))

    def __call__(
        self,
        *operands: Value | None,
        positional: Sequence[Any],
        named: Mapping[str, Any],
        body0: SourceGraph | None = None,
        body1: SourceGraph | None = None,
        call: Call,
    ) -> Any:
        values = dict(zip(call.node.inputs, operands, strict=True))
        bodies = (body0, body1)
        given = {
            name: _resolved(argument, self.kinds[name], name, values, bodies)
            for name, argument in self.arguments(positional, named).items()
        }
        if any(map(is_packed, given.values())):
            return convert_packed(self.op, given)
        if any(map(is_complex, given.values())):
            return apart(self.op.partition(".")[0], self.convert, given)
        return self.convert(**given, call=call) if self.wants_call else self.convert(**given)


def _plain(hint: Any) -> Any:
    """The kind that an annotation names, without its `| None`."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) or _is_union(hint) else ()
    left = [option for option in options if option is not type(None)]
    if hint == Dim or set(left) == {int, Expr}:
        return Dim
    return left[0] if len(left) == 1 else hint


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Union


def _mismatch(argument: Any, kind: Any) -> int | None:
    """0 where an argument is of a kind, 1 where it may be taken for one, None where it is not."""
    if argument is None or kind is Any:
        return 0
    if kind is None:
        return None if isinstance(argument, tuple | str) else int(not isinstance(argument, Ref))
    if kind in (Tensors, Optionals):
        is_list = isinstance(argument, tuple) and all(
            item is None or isinstance(item, Ref) for item in argument
        )
        return 0 if is_list else None
    if kind in (Ints, Dims):
        return 0 if isinstance(argument, tuple) else 1 if isinstance(argument, int | Ref) else None
    if kind is DType:
        return (
            0
            if isinstance(argument, DType) or type(argument) is int
            else 1
            if isinstance(argument, Ref)
            else None
        )
    if kind is str or kind is bool:
        return 0 if isinstance(argument, kind) else None
    if isinstance(argument, Ref):
        return 1
    return 0 if isinstance(argument, int | float) else None


def _resolved(argument: Any, kind: Any, name: str, values: Mapping[str, Any], bodies: Sequence[Any]) -> Any:
    """An argument as the converter takes it: values for references, numbers where these are known."""
    if argument is None:
        return None
    if isinstance(argument, Body):
        return bodies[argument.index]
    if kind is None or kind is Any or kind in (Tensors, Optionals):
        return _filled(argument, values)
    if kind is DType:
        return _dtype(argument, values)
    if kind in (Dims, Ints) and isinstance(argument, Ref):
        return _vector(argument, name, values)
    if kind in (Dims, Ints):
        items = argument if isinstance(argument, tuple) else (argument,)
        return tuple(_number(item, name, values, kind == Dims) for item in items)
    if kind == Dim or kind is int:
        return _number(argument, name, values, kind == Dim)
    if isinstance(argument, Ref):
        array = known(values[argument.name])
        if array is None or array.dtype == object or array.size != 1:
            raise _undecided(name)
        argument = array.reshape(-1)[0].item()
    return float(argument) if kind is float else bool(argument) if kind is bool else argument


def _dtype(argument: Any, values: Mapping[str, Any]) -> DType:
    """A dtype: itself, TorchScript's number of it, or a tensor's own."""
    if isinstance(argument, Ref):
        return values[argument.name].dtype
    return argument if isinstance(argument, DType) else dtype_numbered(argument, SCRIPTED, "an argument")


def _vector(argument: Ref, name: str, values: Mapping[str, Any]) -> Dims:
    """Numbers that one value holds all of."""
    found = dims(values[argument.name])
    if found is None:
        raise _undecided(name)
    return found


def _filled(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, tuple):
        return tuple(_filled(item, values) for item in argument)
    return values[argument.name] if isinstance(argument, Ref) else argument


def _number(argument: Any, name: str, values: Mapping[str, Any], symbolic: bool) -> Dim:
    if not isinstance(argument, Ref):
        return int(argument)
    found = dims(values[argument.name]) or _whole(values[argument.name])
    if not found or len(found) != 1:
        raise _undecided(name)
    if not symbolic and not isinstance(found[0], int):
        raise UnsupportedError(
            f"its '{name}' is known only as '{found[0]}'", hint="fix the dimension with shapes="
        )
    return found[0]


def _whole(value: Value) -> Ints:
    """A float that is known, without its fraction: TorchScript's int() is passed over when its code is read."""
    array = known(value)
    if array is None or array.dtype.kind != "f" or array.size != 1 or not np.isfinite(array).all():
        return ()
    return (int(array.reshape(-1)[0]),)


def _undecided(name: str) -> UnsupportedError:
    return UnsupportedError(
        f"its '{name}' depends on data", hint="compute it from shapes and constants, not from tensors' values"
    )
