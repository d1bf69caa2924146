"""Patterns: data that describe values by how they are computed. Ops called on a pattern make a bigger one.

`math.mul(Var("x"), 1)` matches a product with a constant that is all ones, either way round. What a pattern leaves
out counts: an operand that it does not mention must be absent, an attribute that it does not mention may be any.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import field
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..ir.compare import attribute_key
from ..ir.graph import Node, Value
from ..ir.types import dtype_of

COMMUTATIVE = frozenset(
    f"math.{name}"
    for name in (
        *("add", "mul", "max", "min", "eq", "ne"),
        *("logical_and", "logical_or", "logical_xor", "bit_and", "bit_or", "bit_xor"),
    )
)
"""Ops of two operands that may be swapped: patterns match them in both orders."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a pattern found: values and attributes by name, and the nodes it covers, operands before users."""

    bindings: Mapping[str, Any] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()

    def bind(self, name: str, value: Any) -> "Match | None":
        """The match with one more name, or None where the name stands for something else already."""
        if name not in self.bindings:
            return Match({**self.bindings, name: value}, self.nodes)
        return self if _same(self.bindings[name], value) else None

    def cover(self, node: Node) -> "Match":
        return self if node in self.nodes else Match(self.bindings, (*self.nodes, node))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Value) and isinstance(b, Value):
        if a is b:
            return True
        return a.constant is not None and b.constant is not None and a.node.attributes == b.node.attributes
    if isinstance(a, Value | None) or isinstance(b, Value | None):
        return a is b
    return _key(a) == _key(b)


def _key(value: Any) -> Hashable:
    return attribute_key(tuple(value) if isinstance(value, list) else value)


class Pattern:
    """Base of all patterns; the op engine asks `build_pattern` when an op is called on one."""

    __slots__ = ()

    def build_pattern(self, op: Any, operands: tuple[Any, ...], attributes: Mapping[str, Any]) -> "Call":
        return Call(op.name, tuple(map(lift, operands)), dict(attributes))

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        """All ways in which `value` fits, as extensions of `match`."""
        raise NotImplementedError(type(self).__name__)


def lift(operand: Any) -> Pattern:
    """A pattern from what stands in an op's operand list: a pattern, a number, or None for absent."""
    if isinstance(operand, Pattern):
        return operand
    return Absent() if operand is None else Number(operand)


def _one(match: Match | None) -> Iterator[Match]:
    if match is not None:
        yield match


@dataclass(frozen=True, slots=True)
class Var(Pattern):
    """Any value. The same name twice must be the same value (or equal constants)."""

    name: str

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        return _one(match.bind(self.name, value) if value is not None else None)


@dataclass(frozen=True, slots=True)
class Maybe(Pattern):
    """Any value (any constant, if so asked), or an absent operand, then bound to None."""

    name: str
    constant: bool = False

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        fits = not self.constant or value is None or value.constant is not None
        return _one(match.bind(self.name, value) if fits else None)


@dataclass(frozen=True, slots=True)
class Absent(Pattern):
    """An operand that is left out."""

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        return _one(match if value is None else None)


@dataclass(frozen=True, slots=True)
class Const(Pattern):
    """Any constant, bound as a value; its array is `value.constant`."""

    name: str

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        return _one(
            match.bind(self.name, value) if value is not None and value.constant is not None else None
        )


@dataclass(frozen=True, slots=True)
class Number(Pattern):
    """A constant of any shape whose elements all are `value` in its dtype; `relative` allows for lost digits."""

    value: float | int | bool
    relative: float = 0.0

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        found = uniform(value)
        if found is None or found.dtype.kind == "c":
            return
        wanted = self.value
        if isinstance(wanted, float) and dtype_of(found.dtype).is_float:
            wanted = float(np.asarray(wanted).astype(found.dtype))
        if float(found) == wanted or abs(float(found) - wanted) <= self.relative * abs(wanted):
            yield match


@dataclass(frozen=True, slots=True)
class Splat(Pattern):
    """A constant of any shape whose elements are all the same number; bound to the number."""

    name: str

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        found = uniform(value)
        return _one(match.bind(self.name, found.item()) if found is not None else None)


@dataclass(frozen=True, slots=True)
class Attr:
    """In place of an attribute: bind it, whatever it is."""

    name: str


@dataclass(frozen=True, slots=True)
class Rest(Pattern):
    """All remaining operands of a variadic op, bound to a tuple."""

    name: str

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        return _one(match.bind(self.name, (value,)))


@dataclass(frozen=True, slots=True)
class As(Pattern):
    """What `pattern` matches, with a name for the value itself."""

    name: str
    pattern: Pattern

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        for found in self.pattern.match(value, match):
            yield from _one(found.bind(self.name, value))


@dataclass(frozen=True, slots=True)
class AnyOf(Pattern):
    """Whichever of the alternatives fits, tried in order."""

    alternatives: tuple[Pattern, ...]

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        for pattern in self.alternatives:
            yield from pattern.match(value, match)


@dataclass(frozen=True, slots=True)
class Operation(Pattern):
    """Result `index` of any node of one op, whatever its operands; the value is bound."""

    op: str
    name: str
    index: int = 0

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        if value is not None and value.node.op == self.op and value.index == self.index:
            found = match.bind(self.name, value)
            yield from _one(found and found.cover(value.node))


@dataclass(frozen=True, slots=True)
class Call(Pattern):
    """The first result of an op on operands that match; made by calling the op."""

    op: str
    operands: tuple[Pattern, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def match(self, value: Value | None, match: Match) -> Iterator[Match]:
        if value is None or value.node.op != self.op or value.index != 0:
            return
        node = value.node
        for name, wanted in self.attributes.items():
            if name not in node.attributes:
                return
            got = node.attributes[name]
            if isinstance(wanted, Attr):
                bound = match.bind(wanted.name, got)
                if bound is None:
                    return
                match = bound
            elif _key(wanted) != _key(got):
                return
        for operands in self._orders(node):
            for found in _match_all(self.operands, operands, match):
                yield found.cover(node)

    def _orders(self, node: Node) -> Iterator[tuple[Value | None, ...]]:
        yield node.operands
        if self.op in COMMUTATIVE and len(node.operands) == 2 and node.operands[0] is not node.operands[1]:
            yield node.operands[::-1]


def _match_all(
    patterns: tuple[Pattern, ...], values: tuple[Value | None, ...], match: Match
) -> Iterator[Match]:
    if not patterns:
        if all(value is None for value in values):
            yield match
        return
    head, *tail = patterns
    if isinstance(head, Rest):
        yield from _one(match.bind(head.name, values))
        return
    for found in head.match(values[0] if values else None, match):
        yield from _match_all(tuple(tail), values[1:], found)


def roots(pattern: Pattern) -> frozenset[str]:
    """Names of the ops that the matched value's node may have; ValueError when they can't be told."""
    if isinstance(pattern, Call | Operation):
        return frozenset((pattern.op,))
    if isinstance(pattern, As):
        return roots(pattern.pattern)
    if isinstance(pattern, AnyOf):
        return frozenset().union(*map(roots, pattern.alternatives))
    raise ValueError(f"{pattern} names no op, so it can't be the root of a rule")


def uniform(value: Value | None) -> np.generic | None:
    """The one number that all elements of a constant are; None for anything else (NaN and empty included)."""
    array = value.constant if value is not None else None
    if array is None or array.size == 0 or array.dtype == object:
        return None
    first = array.reshape(-1)[0]
    return first if array.size == 1 or bool((array == first).all()) else None
