"""A rule: a pattern, what to put in its place, and samples from which its test is derived."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..ir.graph import Graph, Node, Value, constant, graph_input
from ..ir.types import DType, TensorType, dtype_of
from ..ops.engine import Sample, get, sample_arrays
from . import pattern as p


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """`name` reads "before => after". `build` and `guard` take what the pattern bound, by name. Equal to itself only.

    build returns the value (or values) that stand for the root's results, or None to leave the root alone.
    Nodes inside a match must have no user outside it, since they would be computed twice; `shared` lifts that for
    rules that pay even so. Each sample gives values for the pattern's names: a type's text or an array for a value
    (a pair (text, low, high) bounds it), the attribute for an `Attr`; or it is a function that makes a graph. A
    name "op.attribute" gives an attribute that the pattern leaves open.
    """

    name: str
    pattern: p.Pattern
    build: Callable[..., Any]
    guard: Callable[..., bool] | None = None
    samples: tuple[Mapping[str, Any] | Callable[[], Graph], ...] = ()
    shared: bool = False

    def matches(self, node: Node) -> Iterator[p.Match]:
        """All matches at `node` that satisfy the guard."""
        for match in self.pattern.match(node.results[0], p.Match()):
            if self.guard is None or self.guard(**match.bindings):
                yield match


def example(build: Callable[..., Any], *operands: Any) -> Callable[[], Graph]:
    """A sample written as code: `build` is called on inputs of the given types (texts), or constants for arrays."""

    def make() -> Graph:
        inputs, values = [], []
        for n, operand in enumerate(operands):
            if isinstance(operand, np.ndarray | np.generic):
                values.append(constant(operand))
                continue
            (array,) = sample_arrays(Sample((operand,)))
            values.append(graph_input(f"x{n}", TensorType(dtype_of(array.dtype), array.shape)))
            inputs.append(values[-1])
        built = build(*values)
        outputs = built if isinstance(built, tuple) else (built,)
        return Graph(inputs, outputs, [f"y{n}" for n in range(len(outputs))], "sample")

    return make


def sample_graphs(rule: Rule) -> Iterator[Graph]:
    """Graphs that the rule must match: for each sample so many that every alternative of the pattern is met."""
    for sample in rule.samples:
        if callable(sample):
            yield sample()
            continue
        for choice in _choices(rule.pattern):
            builder = _Instance(sample)
            root = builder.value(choice, None)
            assert root is not None
            yield Graph(
                builder.inputs, root.node.results, [f"y{r.index}" for r in root.node.results], "sample"
            )


def _choices(pattern: p.Pattern) -> Iterator[p.Pattern]:
    """The pattern with alternatives chosen in turn, until each has been chosen once."""
    alternatives = list(_alternatives(pattern))
    turns = {id(choice): 0 for choice in alternatives}
    while True:
        yield _choose(pattern, turns)
        if all(turns[id(choice)] >= len(choice.alternatives) for choice in alternatives):
            return


def _alternatives(pattern: p.Pattern) -> Iterator[p.AnyOf]:
    if isinstance(pattern, p.AnyOf):
        yield pattern
    for inner in _inner(pattern):
        yield from _alternatives(inner)


def _inner(pattern: p.Pattern) -> tuple[p.Pattern, ...]:
    match pattern:
        case p.AnyOf(inner) | p.Call(_, inner):
            return inner
        case p.As(_, inner):
            return (inner,)
    return ()


def _choose(pattern: p.Pattern, turns: dict[int, int]) -> p.Pattern:
    match pattern:
        case p.AnyOf(alternatives):
            turn = turns[id(pattern)]
            turns[id(pattern)] = turn + 1
            return _choose(alternatives[turn % len(alternatives)], turns)
        case p.As(name, inner):
            return p.As(name, _choose(inner, turns))
        case p.Call(op, operands, attributes):
            return p.Call(op, tuple(_choose(operand, turns) for operand in operands), attributes)
    return pattern


class _Instance:
    """Builds a pattern as a graph, names replaced by a sample's values."""

    def __init__(self, sample: Mapping[str, Any]):
        self.sample = sample
        self.inputs: list[Value] = []
        self.made: dict[str, Any] = {}

    def value(self, pattern: p.Pattern, dtype: DType | None) -> Value | None:
        match pattern:
            case p.Absent():
                return None
            case p.Number(number):
                return constant(number, dtype)
            case p.As(name, inner):
                self.made[name] = self.value(inner, dtype)
                return self.made[name]
            case p.Call():
                return self.call(pattern)
            case p.Var(name) | p.Maybe(name) | p.Const(name) | p.Splat(name):
                if name not in self.made:
                    fixed = isinstance(pattern, p.Const | p.Splat) or pattern == p.Maybe(name, True)
                    self.made[name] = self.leaf(name, fixed, dtype)
                return self.made[name]
        raise ValueError(f"no sample can be derived from {pattern}; give a function that makes a graph")

    def leaf(self, name: str, is_constant: bool, dtype: DType | None) -> Value | None:
        given = self.sample.get(name)
        if given is None:
            return None
        if isinstance(given, int | float):
            return constant(given, dtype)
        if isinstance(given, np.generic):
            return constant(given)
        (array,) = sample_arrays(Sample((given,)), seed=len(self.made))
        assert array is not None
        if is_constant or isinstance(given, np.ndarray):
            return constant(array)
        value = graph_input(name, TensorType(dtype_of(array.dtype), array.shape))
        self.inputs.append(value)
        return value

    def call(self, pattern: p.Call) -> Value:
        op = get(pattern.op)
        # numbers take the dtype of the last operand beside them, the first may be a condition
        operands: dict[int, Value | None] = {}
        late = [n for n, operand in enumerate(pattern.operands) if isinstance(operand, p.Number | p.Splat)]
        for n, operand in enumerate(pattern.operands):
            if n not in late:
                operands[n] = self.value(operand, None)
        dtype = next((v.dtype for v in reversed(operands.values()) if v is not None), None)
        for n in late:
            operands[n] = self.value(pattern.operands[n], dtype)
        attributes = {
            name: self.sample[value.name] if isinstance(value, p.Attr) else value
            for name, value in pattern.attributes.items()
        }
        for spec in op.attributes:
            key = f"{pattern.op}.{spec.name}"
            if spec.name not in attributes and key in self.sample:
                attributes[spec.name] = self.sample[key]
        node = op.build([operands[n] for n in range(len(pattern.operands))], attributes)
        return node.results[0]
