"""Where the float graph is observed: which values get parameters of their own, and which share those of another."""

from collections.abc import Iterator, Mapping

import numpy as np

from ....runtime.records import dataclass
from ...ir.graph import Graph, Node, Value
from ...ir.types import TensorType, f32
from .movement import MOVES

ABSORBING = ("math.relu", "math.clip")
"""Their operand, where they alone read it, is rounded in their own range: saturation clips."""

CONTRACTIONS = ("nn.conv", "nn.matmul")


def is_real(value: Value | None) -> bool:
    """Whether the value is what can be quantised: an f32 tensor that is no constant."""
    return (
        value is not None
        and isinstance(value.type, TensorType)
        and value.dtype == f32
        and value.constant is None
    )


@dataclass(frozen=True)
class Points:
    """`home` leads from a real value to the one whose parameters it has; `symmetric` are homes without zero point."""

    home: Mapping[Value, Value]
    symmetric: frozenset[Value]
    channelled: Mapping[Value, int]
    """Inputs of contractions with constant weights, and the axis of their channels."""

    @property
    def homes(self) -> tuple[Value, ...]:
        """The values to observe, in order."""
        return tuple(dict.fromkeys(self.home.values()))


def find_points(graph: Graph) -> Points:
    """Moved values share the parameters of what they move, absorbed ones those of what absorbs them."""
    moved: dict[Value, Value] = {}
    reals = [v for node in graph.nodes if node.op != "constant" for v in node.results if is_real(v)]
    for value in reals:
        source = value.node.operands[0] if value.node.op in MOVES else None
        moved[value] = value if source is None else moved.get(source, value)
    absorbed = {value: _absorber(graph, value) for value in reals}
    home: dict[Value, Value] = {}
    for value in reals:
        last = moved[value]
        while absorbed.get(last) is not None:
            last = absorbed[last]  # type: ignore[assignment]
        home[value] = last
    symmetric = {home[v] for node in graph.nodes for v in _factors(node) if v in home}
    return Points(home, frozenset(symmetric), dict(_channelled(graph)))


def _absorber(graph: Graph, value: Value) -> Value | None:
    users = graph.users.get(value, ())
    if len(users) != 1 or value in graph.outputs or users[0][0].op not in ABSORBING or value.node.op in MOVES:
        return None
    return users[0][0].result if value.node.op != "input" else None


def _factors(node: Node) -> Iterator[Value]:
    """Operands of products of two activations: a zero point there would be no constant of the sum."""
    if node.op == "nn.matmul" and all(is_real(v) for v in node.operands):
        yield from (v for v in node.operands if v is not None)


def _channelled(graph: Graph) -> Iterator[tuple[Value, int]]:
    for node in graph.nodes:
        if node.op in CONTRACTIONS and node.operands[1] is not None and is_real(node.operands[0]):
            x, w = node.operands[:2]
            if x is not None and w is not None and w.constant is not None:
                yield x, 1 if node.op == "nn.conv" else x.type.rank - 1


def channel_means(array: np.ndarray, axis: int) -> np.ndarray:
    """The mean of each slice along an axis."""
    return array.mean(tuple(n for n in range(array.ndim) if n != axis), dtype=np.float64)
