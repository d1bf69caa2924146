"""Lowering of convolutions and matrix products: i32 sums of 8-bit products, zero points and biases in one constant."""

from collections.abc import Mapping

import numpy as np

from ...ir.graph import Graph, Node, Value, constant
from ...ir.types import bf16
from ...ops import quant
from .forms import LARGEST_SUM, Form, Stored, Sums
from .lowering import Lowering, Rounded, Weights, lowers
from .parameters import HIGH, symmetric_scales
from .points import CONTRACTIONS

_LARGEST_BIAS = 2.0**29
"""Steps that a bias may have: beyond it weights get coarser."""


def _weights(
    lowering: Lowering, w: Value, axis: int | None, bias: np.ndarray | None, step: float
) -> Weights | None:
    """Constant weights as integers, one scale a slice along `axis`; the bias must be a number of steps in i32."""
    if w in lowering.decisions.weights:
        return lowering.decisions.weights[w]
    array = w.constant
    if array is None or array.dtype != np.float32 or not np.isfinite(array).all():
        return None
    scales = symmetric_scales(array, axis)
    if bias is not None and bias.size == scales.size:
        scales = np.maximum(scales, np.abs(bias.reshape(scales.shape)) / (step * _LARGEST_BIAS))
    spread = scales if axis is None else scales.reshape([-1 if n == axis else 1 for n in range(array.ndim)])
    codes = np.clip(np.rint(array / spread), -HIGH, HIGH).astype(np.int8)
    return Weights(codes, scales, 0 if axis is None else axis)


def _reals(weights: Weights) -> np.ndarray:
    shape = [-1 if n == weights.axis else 1 for n in range(weights.codes.ndim)]
    return weights.codes * (weights.scales.reshape(shape) if weights.scales.ndim else weights.scales)


def _shift(node: Node, reals: np.ndarray, means: np.ndarray) -> np.ndarray:
    """What weights rounded to `reals` take from the mean of each output channel, in a shape that broadcasts with the
    result; `means`: of the product's input, by channel."""
    lost = node.operands[1].constant - reals  # type: ignore[union-attr]
    if node.op == "nn.matmul":
        return means @ lost
    groups = node.attributes["groups"]
    seen = np.repeat(means.reshape(groups, -1), len(lost) // groups, axis=0)
    sums = (lost.reshape(*lost.shape[:2], -1).sum(2) * seen).sum(1)
    return sums.reshape(-1, *(1,) * (lost.ndim - 2))


def narrow_shifts(graph: Graph, means: Mapping[Value, np.ndarray]) -> dict[Node, np.ndarray]:
    """By product with constant weights: what rounding these to bf16 takes from its result's means."""
    found: dict[Node, np.ndarray] = {}
    for node in graph.nodes:
        x, w = (*node.operands, None, None)[:2]
        if node.op not in CONTRACTIONS or x is None or x not in means or w is None or w.constant is None:
            continue
        if _is_shared(node, w):
            narrow = w.constant.astype(bf16.numpy).astype(np.float32)
            found[node] = _shift(node, narrow, means[x]).astype(np.float32)
    return found


def _is_shared(node: Node, w: Value) -> bool:
    """Whether the weights of a product are the same for all its rows, whose means are then those of its result."""
    return node.op == "nn.conv" or w.type.rank == 2


@lowers("nn.conv")
def conv(lowering: Lowering, node: Node) -> Form | None:
    x, w, bias = (*node.operands, None)[:3]
    assert x is not None
    assert w is not None
    given = None if bias is None else bias.constant
    if bias is not None and given is None:
        return None
    source = lowering.stored(x)
    if source is None:
        return None
    step, zero = source.parameters.scale, source.parameters.zero
    weights = _weights(lowering, w, 0, given, step)
    if weights is None:
        return None
    codes = weights.codes.reshape(len(weights.codes), -1)
    largest = int(np.abs(codes, dtype=np.int16).sum(1).max()) * 128
    if largest > LARGEST_SUM:
        return None
    value = quant.conv_integer(source.value, constant(weights.codes), **node.attributes, fill=zero)
    column = (-1, *(1,) * (x.type.rank - 2))
    sums = Sums(
        value, weights.scales * step, 1, (-zero * codes.sum(1)).reshape(column).astype(np.float64), largest
    )
    sums = _made_up(lowering, node, weights, sums)
    return sums if given is None else sums.plus(given.reshape(column).astype(np.float64))


@lowers("nn.matmul")
def matmul(lowering: Lowering, node: Node) -> Form | None:
    x, y = node.operands
    assert x is not None
    assert y is not None
    if x.constant is None and x not in lowering.decisions.weights:
        if y.constant is not None or y in lowering.decisions.weights:
            return _by_weights(lowering, node, x, y)
        return _of_activations(lowering, x, y)
    return None


def _by_weights(lowering: Lowering, node: Node, x: Value, w: Value) -> Form | None:
    if w.type.rank < 2:
        return None
    source = lowering.stored(x)
    if source is None:
        return None
    weights = _weights(lowering, w, 1 if w.type.rank == 2 else None, None, source.parameters.scale)
    if weights is None:
        return None
    step, zero = source.parameters.scale, source.parameters.zero
    codes = weights.codes
    largest = int(np.abs(codes, dtype=np.int16).sum(-2).max()) * 128
    if largest > LARGEST_SUM:
        return None
    value = quant.matmul(source.value, constant(weights.codes))
    offset = (-zero * codes.sum(-2, keepdims=True)).astype(np.float64)
    if w.type.rank == 2:
        offset = offset.reshape(-1)
    sums = Sums(value, weights.scales * step, value.type.rank - 1, offset, largest)
    return _made_up(lowering, node, weights, sums)


def _made_up(lowering: Lowering, node: Node, weights: Weights, sums: Sums) -> Sums:
    """Sums of a product that get back what rounding its constant weights takes from their means; the lowering is told
    of both."""
    x, w = node.operands[:2]
    if x is None or w is None or w.constant is None:
        return sums
    reals, shift = _reals(weights), np.zeros(())
    means = lowering.decisions.means.get(x)
    if means is not None and _is_shared(node, w):
        shift = _shift(node, reals, means)
        sums = sums.plus(shift)
    lowering.rounded[node] = Rounded(reals, shift)
    return sums


def _of_activations(lowering: Lowering, x: Value, y: Value) -> Form | None:
    left, right = lowering.stored(x), lowering.stored(y)
    if left is None or right is None:
        return None
    depth = x.shape[-1]
    largest = depth * 255 * 255 if isinstance(depth, int) else LARGEST_SUM + 1
    if largest > LARGEST_SUM:
        return None
    value = quant.matmul(left.value, right.value, _zero(left), _zero(right))
    scale = np.asarray(left.parameters.scale * right.parameters.scale)
    return Sums(value, scale, 0, np.zeros(()), largest)


def _zero(operand: Stored) -> Value | None:
    return constant(np.int8(operand.parameters.zero)) if operand.parameters.zero else None
