"""Softmax and the normalisations on 8-bit values in integers alone; what is said here is normative, as in `fixed.py`.

Row by row there is one division, and for norms one square root, both rounded down; each element costs a table or a few
multiply-accumulates and `requantize`s.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import product
from ..ir.types import TensorType, boolean, f64, i8, i32, i64, u8
from ..tile.stage import Affine, Expr, apply, lift, select
from ..tile.writer import Ref, Stages
from .engine import case, op
from .fixed import check_eight_bits, check_shift, requantize_body, requantized
from .quant import EXACT
from .rules import broadcast_shapes, check_axis, differ, per_element
from .scalar import SCALARS

ROOT_BITS = 44
"""The reciprocal of a root is floor(2^44 / root)."""

UNIT_BITS = 10
"""A normalised element has 10 fractional bits."""

LONGEST_ROW = 65535
"""Elements of a softmax row: sums of so many numbers up to 2^15 fit i32."""


def _softmax_type(x, table, mask=None, *, axis, numerator, shift, zero_point):
    check_eight_bits("quant.softmax", x)
    check_axis(axis, x.rank)
    check_shift("quant.softmax", shift)
    if table.shape != (256,) or table.dtype != i32:
        raise TypeRuleError(f"quant.softmax: the table is {table}, expected i32[256]")
    if mask is not None and (mask.dtype != boolean or broadcast_shapes(mask.shape, x.shape) != x.shape):
        raise TypeRuleError(f"quant.softmax: the mask is {mask}, expected bool that broadcasts to {x}")
    if not 0 < numerator < 2**31:
        raise TypeRuleError(f"quant.softmax: 'numerator' is {numerator}, expected 1 to 2^31 - 1")
    extent = x.shape[axis]
    if not isinstance(extent, int) or extent > LONGEST_ROW:
        raise TypeRuleError(
            f"quant.softmax: rows of {extent} elements could overflow their sum in i32, "
            f"expected a known extent up to {LONGEST_ROW}"
        )
    return x


def _softmax_stages(
    s: Stages, x: Ref, table: Ref, mask: Ref | None, *, axis, numerator, shift, zero_point
) -> None:
    index = s.dims(*x.shape)
    rows = [part for n, part in enumerate(index) if n != axis]
    element: Expr = x[index]
    if mask is not None:
        element = s.value(select(mask.broadcast(index), element, x.dtype.limits[0]), index)
    top = s.total("max", element, rows)
    places = s.value(top.cast(i32) - element.cast(i32), index)
    raised: Expr = table[places]
    if mask is not None:
        raised = select(mask.broadcast(index), raised, 0)
    raised = s.value(raised, index)
    total = s.total("sum", raised, rows)
    share = s.value(lift(numerator, i32) / total, rows)
    s.store(s.results[0][index], requantize_body(raised * share, 1, shift, zero_point, x.dtype))


def _exponentials(scale: float) -> np.ndarray:
    return np.rint(2.0**15 * np.exp(-np.arange(256) * scale)).astype(np.int32)


@op(
    "quant.softmax",
    infer=_softmax_type,
    stages=_softmax_stages,
    cost=per_element(14),
    tolerance=EXACT,
    samples=(
        case(("i8[5, 37]", -128, 128), _exponentials(0.05), axis=1),
        case(("i8[3, 17, 4]", -128, 128), _exponentials(0.2), axis=1, numerator=1700000000, shift=21),
        case(("u8[2, 9]", 0, 256), _exponentials(0.01), axis=0, zero_point=0),
        case(("i8[2, 4, 9]", -128, 128), _exponentials(0.1), np.tri(4, 9, 2, dtype=bool), axis=2),
        case(("i8[3, 5]", -128, 128), _exponentials(0.1), np.array([[True], [False], [True]]), axis=1),
    ),
)
def softmax(
    x, table, mask=None, *, axis: int, numerator: int = 2**30, shift: int = 22, zero_point: int = -128
):
    """exp(x) / sum of exp(x) along one axis, on 8-bit x with a table i32[256] of exponentials.

    With m = max(x) of the row: t = table[m - x], total = sum(t) in i32, share = floor(numerator / total),
    y = requantize(t * share, 1, shift, zero_point). table[d] = round(2^15 * exp(-d * scale of x)), and numerator /
    2^shift = 1 / scale of y: the defaults are for the scale 1/256. A row has at most 65,535 elements. Where the mask,
    bool that broadcasts to x, is False, x is the least value of its dtype and t is 0; numerator / 0 is 0.
    """
    keep = np.True_ if mask is None else mask
    kept = np.where(keep, x, x.dtype.type(np.iinfo(x.dtype).min))
    top = kept.max(axis, keepdims=True).astype(np.int32)
    raised = np.where(keep, table[top - kept.astype(np.int32)], np.int32(0))
    total = raised.sum(axis, keepdims=True, dtype=np.int32)
    share = SCALARS["div"].numpy(np.int32(numerator), total).astype(np.int32)
    return requantized(raised * share, 1, shift, zero_point, i8 if x.dtype == np.int8 else u8)


def fraction_of(elements: int, epsilon: int) -> int:
    """The largest `fraction` for rows of so many elements: then the root is taken of less than 2^52."""
    largest = elements * elements * 255**2 + epsilon
    return min((52 - largest.bit_length()) // 2, ROOT_BITS - UNIT_BITS - 1)


def _row_elements(name: str, x: TensorType, axis: int) -> int:
    check_eight_bits(name, x)
    check_axis(axis, x.rank)
    elements = product(x.shape[axis:])
    if not isinstance(elements, int) or not 0 < elements <= 2**15:
        raise TypeRuleError(f"{name}: rows of {elements} elements, expected a known number up to 2^15")
    return elements


def _norm_type(name: str) -> Any:
    def infer(x, gamma, beta=None, *, axis, epsilon, fraction, shift, zero_point, x_zero=0):
        elements = _row_elements(name, x, axis)
        check_shift(name, shift)
        for operand in (gamma, beta):
            if operand is not None and (
                operand.dtype != i32
                or operand.rank != x.rank - axis
                or any(map(differ, operand.shape, x.shape[axis:]))
            ):
                raise TypeRuleError(
                    f"{name}: a factor or summand is {operand}, expected i32 of the normalised axes of {x}"
                )
        if epsilon < 0 or not 0 <= fraction <= fraction_of(elements, epsilon):
            raise TypeRuleError(
                f"{name}: 'epsilon' is {epsilon} and 'fraction' {fraction}, expected epsilon >= 0 and "
                f"(elements^2 * 255^2 + epsilon) * 4^fraction < 2^52 for {elements} elements"
            )
        return x

    return infer


def _reciprocal_root(variance: Expr, fraction: int) -> Expr:
    """floor(2^44 / floor(sqrt(variance * 4^fraction))) of an i64, as a multiplier in i32."""
    raised = apply("shift_left", variance, lift(2 * fraction, i64)).cast(f64)
    root = apply("max", apply("floor", apply("sqrt", raised)).cast(i64), lift(1, i64))
    return apply("min", lift(2**ROOT_BITS, i64) / root, lift(2**31 - 1, i64)).cast(i32)


def _reciprocal_root_array(variance: np.ndarray, fraction: int) -> np.ndarray:
    root = np.floor(np.sqrt((variance << 2 * fraction).astype(np.float64))).astype(np.int64)
    return np.minimum(2**ROOT_BITS // np.maximum(root, 1), 2**31 - 1).astype(np.int32)


def _scaled(
    s: Stages,
    centred: Expr,
    factor: Expr,
    index: Sequence[Affine],
    parameters: tuple[Ref, Ref | None],
    axis: int,
    fraction: int,
    shift: int,
    zero_point: int,
) -> None:
    """The last part of a norm: elements by the row's factor, then gamma and beta."""
    gamma, beta = parameters
    unit = requantize_body(centred, factor, ROOT_BITS - UNIT_BITS - fraction, 0, i32)
    value = unit * gamma[tuple(index[axis:])]
    if beta is not None:
        value = value + beta[tuple(index[axis:])]
    result = s.results[0]
    s.store(result[tuple(index)], requantize_body(value, 1, shift, zero_point, result.dtype))


def _scaled_array(
    centred: np.ndarray,
    factor: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray | None,
    fraction: int,
    shift: int,
    zero_point: int,
    dtype: np.dtype,
) -> np.ndarray:
    unit = requantized(centred, factor, ROOT_BITS - UNIT_BITS - fraction, 0, i32)
    value = unit * gamma if beta is None else unit * gamma + beta
    return requantized(value, 1, shift, zero_point, i8 if dtype == np.int8 else u8)


def _layer_norm_stages(
    s: Stages, x: Ref, gamma: Ref, beta: Ref | None, *, axis, epsilon, fraction, shift, zero_point
) -> None:
    n = int(product(x.shape[axis:]))  # type: ignore[arg-type]
    index = s.dims(*x.shape)
    rows = index[:axis]
    element = x[index].cast(i32)
    total = s.total("sum", element, rows)
    squares = s.total("sum", element * element, rows)
    variance = squares.cast(i64) * n - total.cast(i64) * total.cast(i64) + epsilon
    factor = s.value(_reciprocal_root(variance, fraction), rows)
    _scaled(s, element * n - total, factor, index, (gamma, beta), axis, fraction, shift, zero_point)


@op(
    "quant.layer_norm",
    infer=_norm_type("quant.layer_norm"),
    stages=_layer_norm_stages,
    cost=per_element(22),
    tolerance=EXACT,
    samples=(
        case(
            ("i8[5, 37]", -128, 128),
            ("i32[37]", 3000, 9000),
            ("i32[37]", -90000, 90000),
            axis=1,
            epsilon=3,
            fraction=12,
            shift=18,
            zero_point=-5,
        ),
        case(
            ("u8[2, 3, 8, 2]", 0, 256),
            ("i32[8, 2]", -9000, 9000),
            None,
            axis=2,
            epsilon=1,
            fraction=13,
            shift=17,
            zero_point=128,
        ),
        case(
            np.full((1, 6), 7, np.int8),
            np.full(6, 900, np.int32),
            axis=1,
            epsilon=0,
            fraction=14,
            shift=9,
            zero_point=3,
        ),
    ),
)
def layer_norm(x, gamma, beta=None, *, axis: int, epsilon: int, fraction: int, shift: int, zero_point: int):
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta over the axes from `axis` on, on 8-bit x.

    With n elements in a row: total = sum(x), squares = sum(x * x) in i32; variance = n * squares - total^2 + epsilon
    (i64); root = max(floor(sqrt(variance * 4^fraction)), 1); factor = min(floor(2^44 / root), 2^31 - 1). Each element:
    unit = requantize(n * x - total, factor, 34 - fraction, 0) in i32 with 10 fractional bits, and y =
    requantize(unit * gamma + beta, 1, shift, zero_point) in i32. `epsilon` is that of reals by (n / scale of x)^2,
    gamma that of reals by 2^(shift - 10) / scale of y, beta by 2^shift / scale of y. n is at most 2^15.
    """
    axes = tuple(range(axis, x.ndim))
    n = np.int32(np.prod(x.shape[axis:]))
    element = x.astype(np.int32)
    total = element.sum(axes, keepdims=True, dtype=np.int32)
    squares = (element * element).sum(axes, keepdims=True, dtype=np.int32)
    variance = squares.astype(np.int64) * n - total.astype(np.int64) ** 2 + epsilon
    factor = _reciprocal_root_array(variance, fraction)
    return _scaled_array(element * n - total, factor, gamma, beta, fraction, shift, zero_point, x.dtype)


def _rms_norm_stages(
    s: Stages, x: Ref, gamma: Ref, beta: Ref | None, *, axis, epsilon, fraction, shift, zero_point, x_zero
) -> None:
    n = int(product(x.shape[axis:]))  # type: ignore[arg-type]
    index = s.dims(*x.shape)
    rows = index[:axis]
    element = x[index].cast(i32) - x_zero
    squares = s.total("sum", element * element, rows)
    factor = s.value(_reciprocal_root(squares.cast(i64) * n + epsilon, fraction), rows)
    _scaled(s, element * n, factor, index, (gamma, beta), axis, fraction, shift, zero_point)


@op(
    "quant.rms_norm",
    infer=_norm_type("quant.rms_norm"),
    stages=_rms_norm_stages,
    cost=per_element(20),
    tolerance=EXACT,
    samples=(
        case(
            ("i8[5, 37]", -128, 128),
            ("i32[37]", 3000, 9000),
            axis=1,
            epsilon=3,
            fraction=12,
            shift=18,
            zero_point=-5,
            x_zero=11,
        ),
        case(
            ("u8[2, 3, 8, 2]", 0, 256),
            ("i32[8, 2]", -9000, 9000),
            ("i32[8, 2]", -90000, 90000),
            axis=2,
            epsilon=1,
            fraction=13,
            shift=17,
            zero_point=128,
            x_zero=90,
        ),
    ),
)
def rms_norm(
    x, gamma, beta=None, *, axis: int, epsilon: int, fraction: int, shift: int, zero_point: int, x_zero: int
):
    """(x - x_zero) / sqrt(mean((x - x_zero)^2) + epsilon) * gamma + beta over the axes from `axis` on, on 8-bit x.

    As `quant.layer_norm`, with x - x_zero for n * x - total over n, and variance = n * sum((x - x_zero)^2) + epsilon.
    """
    axes = tuple(range(axis, x.ndim))
    n = np.int32(np.prod(x.shape[axis:]))
    element = x.astype(np.int32) - np.int32(x_zero)
    squares = (element * element).sum(axes, keepdims=True, dtype=np.int32)
    factor = _reciprocal_root_array(squares.astype(np.int64) * n + epsilon, fraction)
    return _scaled_array(element * n, factor, gamma, beta, fraction, shift, zero_point, x.dtype)
