"""A converter's signature is its op's schema: operands are bound to its parameters by place, attributes by name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from ..compiler.diagnostics import ModelError
from ..compiler.ir.graph import Value
from ..runtime.records import dataclass
from .source import SourceNode

Converter = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Parameters:
    """A converter's signature: operands (name, whether required), a variadic rest, attributes with defaults."""

    operands: tuple[tuple[str, bool], ...]
    variadic: bool
    attributes: Mapping[str, Any]
    wants_call: bool

    @staticmethod
    @cache
    def of(converter: Converter) -> "Parameters":
        operands, attributes, variadic = [], {}, False
        for name, parameter in inspect.signature(converter).parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                variadic = True
            elif parameter.kind is parameter.KEYWORD_ONLY:
                attributes[name] = parameter.default
            else:
                operands.append((name, parameter.default is parameter.empty))
        return Parameters(tuple(operands), variadic, attributes, attributes.pop("call", None) is not None)


def bind(converter: Converter, node: SourceNode, operands: Sequence[Value | None], call: object) -> Any:
    """Call a converter with a node's operands and attributes, and with `call` if it takes that.

    Raises ModelError where they do not fit.
    """
    expected = Parameters.of(converter)
    if len(operands) > len(expected.operands) and not expected.variadic:
        if any(operand is not None for operand in operands[len(expected.operands) :]):
            raise ModelError(f"{node.op} takes {len(expected.operands)} operands, got {len(operands)}")
        operands = operands[: len(expected.operands)]
    for index, (name, required) in enumerate(expected.operands):
        if required and (index >= len(operands) or operands[index] is None):
            raise ModelError(f"{node.op} needs operand '{name}' (number {index})")
    for name in node.attributes:
        if name not in expected.attributes:
            listed = ", ".join(expected.attributes) or "none"
            raise ModelError(f"{node.op} has no attribute '{name}'", hint=f"it has: {listed}")
    for name, default in expected.attributes.items():
        if default is inspect.Parameter.empty and name not in node.attributes:
            raise ModelError(f"{node.op} needs attribute '{name}'")
        _check_kind(name, node.attributes.get(name), default)
    extra = {"call": call} if expected.wants_call else {}
    try:
        return converter(*operands, **node.attributes, **extra)
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        # Converters state what an op means and leave it to Python to notice a rank or a value that makes no sense.
        types = ", ".join("nothing" if operand is None else str(operand.type) for operand in operands)
        raise ModelError(
            f"{node.op} does not fit its operands ({types}) or attributes: {error or type(error).__name__}",
            hint="check the node against the op's definition",
        ) from error


def _check_kind(name: str, value: Any, default: Any) -> None:
    """The value of an attribute must be of its default's kind, where there is one to compare with."""
    kinds = {int: (int, "an integer"), float: (int | float, "a number"), str: (str, "a string")}
    if value is None or type(default) not in kinds:
        return
    kind, expected = kinds[type(default)]
    if not isinstance(value, kind):
        raise ModelError(f"attribute '{name}' is {value!r:.60}, expected {expected}")
