"""Constant folding: nodes whose operands are all constants become what their numpy meaning gives.

Results with many more elements than their operands stay nodes, and so does what takes long to compute: a model that
expands a scalar to gigabytes must not make the compiler do so.
"""

from collections import Counter
from math import prod

import numpy as np

from ...runtime.records import dataclass
from ..diagnostics import VerifyError
from ..ir.compare import compatible
from ..ir.graph import Graph, Node, Value, constant
from ..ir.types import TensorType
from ..ops.engine import REGISTRY, get
from ..rewrite.renew import Renewal
from .base import PassResult

_SELECTING = frozenset(
    f"shape.{name}" for name in ("nonzero", "compress", "unique", "slice_dynamic", "reshape_dynamic")
)
"""Ops whose extents only the data decide, but which can't give more elements than they are given (times the rank)."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Folds constants whose results exceed their operands by at most `growth` bytes, or have no more elements than one
    of them, as dequantised weights; at up to `work` operations."""

    growth: int = 1 << 20
    work: int = 1 << 30

    @property
    def name(self) -> str:
        return "fold"

    def run(self, graph: Graph) -> PassResult:
        hits: Counter[str] = Counter()
        return PassResult(self._run(graph, hits), hits)

    def _run(self, graph: Graph, hits: Counter[str]) -> Graph:
        new: dict[Value, Value] = {}
        renewal = Renewal()
        for old in graph.nodes:
            operands = [None if v is None else _known(new[v]) for v in old.operands]
            node = renewal.renew(old, operands, [self._run(region, hits) for region in old.regions])
            results = self.fold(node)
            if results != node.results:
                hits[f"fold {node.op}"] += 1
            renewal.define(old, results)
            new.update(zip(old.results, results, strict=True))
        if all(new[value] is value for value in graph.outputs):
            return graph
        return renewal.finish(graph.replace([new[value] for value in graph.outputs]))

    def fold(self, node: Node) -> tuple[Value, ...]:
        """The node's results as constants at its location, or the results themselves."""
        if _is_empty(node):
            return tuple(_nothing(type, node) for type in node.types if isinstance(type, TensorType))
        if not self.is_foldable(node):
            return node.results
        arrays = [None if v is None else v.constant for v in node.operands]
        try:
            results = get(node.op).evaluate(*arrays, **node.attributes)
        except (IndexError, ValueError, ZeroDivisionError):
            return (
                node.results
            )  # such as an index out of range: a fault of the run, if the node is ever reached
        out = []
        for type, got in zip(node.types, results, strict=True):
            value = constant(np.asarray(got), location=node.location)
            if not compatible(value.type, type):
                raise VerifyError(
                    f"the meaning of {node.op} gives {value.type}, its type rule {type}",
                    location=str(node.location),
                )
            out.append(value)
        return tuple(out)

    def is_foldable(self, node: Node) -> bool:
        """Whether all operands are constants, the op has one fixed meaning, and the result is within bounds."""
        if node.op in ("input", "constant") or node.regions or node.op not in REGISTRY:
            return False
        op = get(node.op)
        if not op.foldable or any(v is not None and v.constant is None for v in node.operands):
            return False
        arrays = [v.constant for v in node.operands if v is not None and v.constant is not None]
        available, most = sum(a.nbytes for a in arrays), max((a.size for a in arrays), default=0)
        wanted = largest = 0
        for type in node.types:
            if not isinstance(type, TensorType):
                return False
            if type.is_static:
                wanted += prod(type.static_shape) * type.dtype.bytes
                largest = max(largest, prod(type.static_shape))
            elif node.op not in _SELECTING:
                return False
        if largest > most and wanted > available + self.growth:
            return False
        cost = op.cost(node)
        return not any(isinstance(part, int) and part > self.work for part in (cost.macs, cost.operations))


def _is_empty(node: Node) -> bool:
    """Whether a node has results and none of them has elements."""
    return node.op not in ("input", "constant") and all(
        isinstance(type, TensorType) and type.is_static and 0 in type.shape for type in node.types
    )


def _known(value: Value) -> Value:
    """The value; a constant in place of an input that has no elements."""
    type = value.type
    if value.node.op == "input" and isinstance(type, TensorType) and type.is_static and 0 in type.shape:
        return _nothing(type, value.node)
    return value


def _nothing(type: TensorType, node: Node) -> Value:
    return constant(np.empty(type.static_shape, type.dtype.numpy), location=node.location)


_EAGER = Fold()


def folded(value: Value) -> Value:
    """A value computed from constants as a constant; rules use it so that what they build is in normal form."""
    done: dict[Value, Value] = {}

    def visit(value: Value) -> Value:
        if value not in done:
            node = value.node
            operands = [None if v is None else visit(v) for v in node.operands]
            renewed = Renewal().renew(node, operands, node.regions)
            done.update(zip(node.results, _EAGER.fold(renewed), strict=True))
        return done[value]

    return visit(value)
