"""Lowering of softmax and of the normalisations."""

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import numpy as np

from ...ir.graph import Node, Value, constant
from ...ops import fixed_rows, math
from ...ops.engine import Op
from .forms import Form, Made, Stored, Unfit
from .lowering import Lowering, lowers
from .parameters import Parameters, common_shift

MASKED = -1e4
"""Summands and values at most this make exp of a score 0."""


@lowers("nn.softmax")
def softmax(lowering: Lowering, node: Node) -> Form | None:
    (x,) = node.operands
    assert x is not None
    scores, masks = _unmasked(x)
    source = lowering.stored(scores) if lowering.is_integer(scores) else None
    axis = node.attributes["axis"]
    extent = x.shape[axis]
    if source is None or not isinstance(extent, int) or extent > fixed_rows.LONGEST_ROW:
        return None
    if scores.shape != x.shape:
        return None
    distances = np.arange(256) * source.parameters.scale
    table = constant(np.rint(2.0**15 * np.exp(-distances)).astype(np.int32))
    mask = None
    for keep, inverted in masks:
        known = keep if keep.constant is not None else lowering.real(keep)
        part = math.logical_not(known) if inverted else known
        mask = part if mask is None else math.logical_and(mask, part)

    def make(parameters: Parameters) -> Value:
        shift = common_shift([1 / parameters.scale], 2**31 - 1)
        if shift is None:
            raise Unfit("the result's scale is too small")
        numerator = int(np.rint(2.0**shift / parameters.scale))
        return fixed_rows.softmax(
            source.value,
            table,
            mask,
            axis=axis,
            numerator=min(numerator, 2**31 - 1),
            shift=shift,
            zero_point=parameters.zero,
        )

    return Made(make)


def _unmasked(x: Value) -> tuple[Value, list[tuple[Value, bool]]]:
    """Scores without their masks, and the masks: bool values with whether they mark what is left out."""
    masks: list[tuple[Value, bool]] = []
    while True:
        found = _choice(x) or _summand(x)
        if found is None:
            return x, masks
        x, keep, inverted = found
        masks.append((keep, inverted))


def _is_far(value: Value) -> bool:
    return value.constant is not None and bool((value.constant <= MASKED).all())


def _choice(x: Value) -> tuple[Value, Value, bool] | None:
    """where(keep, scores, -inf), or the other way round."""
    if x.node.op != "math.where":
        return None
    condition, yes, no = x.node.operands
    assert condition is not None
    assert yes is not None
    assert no is not None
    if _is_far(no):
        return yes, condition, False
    return (no, condition, True) if _is_far(yes) else None


def _summand(x: Value) -> tuple[Value, Value, bool] | None:
    """scores + a mask of 0 and -inf."""
    if x.node.op != "math.add":
        return None
    a, b = x.node.operands
    for scores, summand in ((a, b), (b, a)):
        assert scores is not None
        assert summand is not None
        array = summand.constant
        if array is not None and ((array == 0) | (array <= MASKED)).all():
            return scores, constant(array == 0), False
        chosen = _choice(summand)
        if chosen is not None and chosen[0].constant is not None and not chosen[0].constant.any():
            return scores, chosen[1], chosen[2]
    return None


@lowers("nn.layer_norm", "nn.rms_norm")
def norm(lowering: Lowering, node: Node) -> Form | None:
    x, scale, bias = (*node.operands, None, None)[:3]
    assert x is not None
    axis = node.attributes["axis"]
    inner = x.shape[axis:]
    source = lowering.stored(x) if lowering.is_integer(x) else None
    if source is None or not x.type.is_static:
        return None
    elements = prod(x.type.static_shape[axis:])
    if elements > 2**15 or any(v is not None and v.constant is None for v in (scale, bias)):
        return None
    gamma, beta = (
        np.broadcast_to(default if v is None else v.constant, inner).astype(np.float64)  # type: ignore[arg-type]
        for v, default in ((scale, 1.0), (bias, 0.0))
    )
    epsilon = round(node.attributes["epsilon"] * (elements / source.parameters.scale) ** 2)
    if epsilon >= 2**51:
        return None
    given = {"axis": axis, "epsilon": epsilon, "fraction": fixed_rows.fraction_of(elements, epsilon)}
    if node.op == "nn.rms_norm":
        given["x_zero"] = source.parameters.zero
    op = fixed_rows.layer_norm if node.op == "nn.layer_norm" else fixed_rows.rms_norm
    return Made(_norm(op, source, gamma, beta, given))


def _norm(
    op: Op, source: Stored, gamma: np.ndarray, beta: np.ndarray, given: dict[str, Any]
) -> Callable[[Parameters], Value]:
    unit = (sqrt(gamma.size) + 1) * 2**fixed_rows.UNIT_BITS  # a bound of normalised elements

    def make(parameters: Parameters) -> Value:
        factors = gamma / parameters.scale / 2**fixed_rows.UNIT_BITS
        summands = beta / parameters.scale
        largest = [unit * (np.abs(factors).max() + 2.0**-40), np.abs(summands).max()]
        shift = common_shift(largest, 2**30)
        if shift is None:
            raise Unfit("a factor of the norm is too large")
        parts = [
            constant(np.rint(part * 2.0**shift).astype(np.int32))
            for part in ((factors, summands) if beta.any() else (factors,))
        ]
        return op(source.value, *parts, **given, shift=shift, zero_point=parameters.zero)

    return make
