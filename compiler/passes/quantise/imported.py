"""Models that are quantised already, by quantize and dequantize nodes: their parameters, and weights on their grid."""

from collections.abc import Mapping

import numpy as np

from ...ir.graph import Graph, Node, Value, constant
from ...ir.types import DType, i8, u8
from ...ops import math
from .forms import Form, Stored
from .lowering import Lowering, Weights, lowers
from .parameters import HIGH, Parameters

_NEAR = 1e-3
"""Distance from a whole number, in steps, that a weight on a grid may have by rounding."""


def _given(node: Node, dtype: DType) -> Parameters | None:
    """The parameters of a quantize or dequantize node for 8 bits and one scale; u8 shifted to i8."""
    scale, zero = (*node.operands[1:], None)[:2]
    if dtype not in (i8, u8) or node.attributes["block"] or scale is None or scale.constant is None:
        return None
    if node.attributes.get("inverse"):  # made by a quantisation before
        return None
    if scale.constant.size != 1 or (zero is not None and (zero.constant is None or zero.constant.size != 1)):
        return None
    shift = 128 if dtype == u8 else 0
    number = 0 if zero is None else int(zero.constant.reshape(()))  # type: ignore[union-attr]
    return Parameters(float(scale.constant.reshape(())), number - shift)


def imported_parameters(graph: Graph) -> Mapping[Value, Parameters]:
    """Of values that a node quantises."""
    found: dict[Value, Parameters] = {}
    for node in graph.nodes:
        if node.op == "quant.quantize" and node.operands[0] is not None:
            parameters = _given(node, node.attributes["dtype"])
            if parameters is not None:
                found[node.operands[0]] = parameters
    return found


@lowers("quant.dequantize")
def dequantize(lowering: Lowering, node: Node) -> Form | None:
    (q,) = node.operands[:1]
    assert q is not None
    parameters = _given(node, q.dtype)
    if parameters is None or q.constant is not None:
        return None
    if q.node.op == "quant.quantize" and _given(q.node, q.dtype) == parameters:
        (x,) = q.node.operands[:1]
        assert x is not None
        value = lowering.finished(x, parameters)
        return None if value is None else Stored(value, parameters)
    codes = lowering.real(q)
    if q.dtype == u8:
        codes = math.bitcast(math.bit_xor(codes, constant(np.uint8(128))), dtype=i8)
    return Stored(codes, parameters)


def on_grid(array: np.ndarray, axis: int | None) -> Weights | None:
    """Weights that are whole multiples of a step, as they come from dequantised ones; None for any others."""
    for along in (axis, None):
        weights = _multiples(array, along, (HIGH, HIGH + 1))
        if weights is not None:
            return weights
    return _multiples(array, axis, range(1, HIGH))


def _multiples(array: np.ndarray, axis: int | None, largest: "range | tuple[int, ...]") -> Weights | None:
    """Codes where each slice's largest has one of some magnitudes."""
    rows = (
        array.reshape(1, -1) if axis is None else np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    )
    rows = rows.astype(np.result_type(array, np.float32), copy=False)  # f32 tells what is near well enough
    tops = np.maximum(rows.max(1), -rows.min(1)).astype(np.float64)
    steps = np.where(tops > 0, np.nan, 1.0)
    codes = np.zeros(rows.shape, np.int8)
    for size in largest:
        open_rows = np.flatnonzero(np.isnan(steps))
        candidates = tops[open_rows] / size
        _, near = _rounded(rows[open_rows, :32], candidates)
        likely = open_rows[near]
        found, near = _rounded(rows[likely], candidates[near])
        exact = near & (found.max(1, initial=0) <= HIGH)
        steps[likely[exact]] = tops[likely[exact]] / size
        codes[likely[exact]] = found[exact]
    if np.isnan(steps).any():
        return None
    if axis is None:
        return Weights(codes.reshape(array.shape), steps.reshape(()), 0)
    shape = (array.shape[axis], *np.delete(array.shape, axis))
    return Weights(np.ascontiguousarray(np.moveaxis(codes.reshape(shape), 0, axis)), steps, axis)


def _rounded(rows: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest whole multiples of each row's step, and whether all of a row are near theirs."""
    scaled = rows / steps[:, None].astype(rows.dtype)
    whole = np.rint(scaled)
    scaled -= whole
    return whole, (np.abs(scaled, out=scaled) < _NEAR).all(1)
