"""Equalisation across layers: channels of one tensor that differ much in size share 8 bits badly, so factors move from
one convolution's weights to the next one's.

After Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019); the sizes of
activations are those that the samples gave, not estimates.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from ....runtime.records import dataclass
from ...ir.graph import Graph, Node, Value, constant
from .points import ABSORBING

_MARGIN = 4.0
"""How much more than its largest sample must still fit into each channel: other inputs reach further."""

_LEAST = 1e-6
"""Channels smaller than this share of the largest stay as they are: they hold nothing."""


@dataclass(frozen=True)
class _Chain:
    """A convolution, what its result is clipped to from above, and the next one, which alone reads it."""

    first: Node
    bound: float
    read: Value
    second: Node


def equalised(graph: Graph, largest: Mapping[Value, np.ndarray]) -> Graph:
    """The graph with factors moved, the same where there are none; `largest`: of a value, its sizes by channel in two
    halves of the samples, [2, C].

    Channels keep room for four times what the samples reached: for such inputs the meaning is kept where they are
    clipped. Where one half of the samples leaves too little room for the other, nothing is moved: channels that answer
    to rare things seem small until one is there.
    """
    into: dict[Node, np.ndarray] = {}
    out_of: dict[Node, np.ndarray] = {}
    for chain in _chains(graph):
        halves = largest.get(chain.read)
        factors = None if halves is None else _factors(chain, halves)
        if factors is not None:
            out_of[chain.first] = factors
            into[chain.second] = factors
    return _scaled(graph, into, out_of) if into else graph


def _chains(graph: Graph) -> Iterator[_Chain]:
    """Pairs of which one is depthwise or grouped: there a channel's size can't be evened out in a sum."""
    for second in graph.nodes:
        read = second.operands[0] if second.op == "nn.conv" else None
        if read is None or not _alone(graph, read):
            continue
        bound, value = np.inf, read
        if read.node.op in ABSORBING:
            found = _upper_bound(read.node)
            (source,) = read.node.operands[:1]
            if found is None or source is None or not _alone(graph, source):
                continue
            bound, value = found, source
        first = value.node
        if first.op != "nn.conv" or not all(_has_constants(node) for node in (first, second)):
            continue
        if first.attributes["groups"] > 1 or second.attributes["groups"] > 1:
            yield _Chain(first, bound, read, second)


def _alone(graph: Graph, value: Value) -> bool:
    return len(graph.users.get(value, ())) == 1 and value not in graph.outputs


def _has_constants(conv: Node) -> bool:
    return all(v is None or v.constant is not None for v in conv.operands[1:])


def _upper_bound(node: Node) -> float | None:
    """Of a relu or a clip from 0; None for other clips, whose bounds would have to move as well."""
    if node.op == "math.relu":
        return np.inf
    low, high = (*node.operands[1:], None, None)[:2]
    if low is None or low.constant is None or low.constant != 0:
        return None
    if high is None:
        return np.inf
    return None if high.constant is None else float(high.constant)


def _by_input(conv: Node) -> np.ndarray:
    """The largest weight that each input channel meets, relative to its output channel's largest."""
    weights = np.abs(conv.operands[1].constant)  # type: ignore[union-attr,arg-type]
    sizes = weights.reshape(*weights.shape[:2], -1).max(2)
    sizes = sizes / np.maximum(sizes.max(1, keepdims=True), 1e-30)
    groups = conv.attributes["groups"]
    return sizes.reshape(groups, -1, sizes.shape[1]).max(1).reshape(-1)


def _factors(chain: _Chain, halves: np.ndarray) -> np.ndarray | None:
    """What each channel is divided by; None where the channels are even already, or their sizes are not sure."""
    sizes = halves.max(0)
    used = sizes > sizes.max(initial=0.0) * _LEAST
    if not used.any():
        return None
    weights = np.maximum(_by_input(chain.second), 1e-6)
    factors = np.sqrt(np.where(used, sizes, 1.0) / weights)
    if chain.second.attributes["groups"] == len(sizes):
        factors = np.where(used, sizes, 1.0)  # depthwise weights have scales of their own: nothing to balance
    factors = np.where(used, factors / factors[used].max(), 1.0)
    top = chain.bound if np.isfinite(chain.bound) else sizes.max()
    factors = np.where(used, np.clip(factors, np.minimum(sizes * _MARGIN / top, 1.0), 1.0), 1.0)
    sure = sizes <= halves.min(0) * _MARGIN
    return factors if factors.min() < 0.5 and sure[factors < 1].all() else None


def _scaled(graph: Graph, into: Mapping[Node, np.ndarray], out_of: Mapping[Node, np.ndarray]) -> Graph:
    """The graph with weights multiplied by the factors of what they read, divided by those of what they make."""
    new: dict[Value, Value] = {}
    for node in graph.nodes:
        operands = [None if v is None else new[v] for v in node.operands]
        if node in into or node in out_of:
            operands[1:] = _weights(node, into.get(node), out_of.get(node))
        same = all(a is b for a, b in zip(operands, node.operands, strict=True))
        renewed = node if same else node.with_operands(operands)
        new.update(zip(node.results, renewed.results, strict=True))
    return graph.replace([new[value] for value in graph.outputs])


def _weights(conv: Node, into: np.ndarray | None, out_of: np.ndarray | None) -> list[Value | None]:
    w, bias = (*conv.operands[1:], None)[:2]
    assert w is not None
    array = w.constant.astype(np.float64)  # type: ignore[union-attr]
    tail = (1,) * (array.ndim - 2)
    if into is not None:
        groups = conv.attributes["groups"]
        by_group = np.repeat(into.reshape(groups, -1), len(array) // groups, axis=0)
        array = array * by_group.reshape(*by_group.shape, *tail)
    if out_of is None:
        return [constant(array.astype(np.float32), location=w.node.location), *conv.operands[2:]]
    array = array / out_of.reshape(-1, 1, *tail)
    scaled: list[Value | None] = [constant(array.astype(np.float32), location=w.node.location)]
    if bias is not None:
        shifted = bias.constant / out_of
        scaled.append(constant(shifted.astype(np.float32), location=bias.node.location))
    return scaled
