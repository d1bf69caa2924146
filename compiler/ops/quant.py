"""Quantised arithmetic on plain integer tensors: scales and zero points are operands, real = (q - zero) * scale.

Rounding is half to even, and integers saturate. Products of quantised values are summed in i32, which wraps.
"""

from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import ceildiv, product
from ..ir.types import DTYPES, DType, TensorType, bf16, dtype_of, f16, f32, i8, i32, u8
from ..tile.stage import Affine, Const, Expr, apply, lift, select
from ..tile.writer import Ref, Stages
from .contract import einsum_cost, einsum_stages, einsum_type, matmul_type
from .convolution import conv, conv_products, conv_type
from .engine import Cost, Tolerance, case, op
from .math import cast, cast_body
from .rules import check_axis, differ, only, wide, widen
from .window import padded, padding_of

EXACT = Tolerance(0, 0)
_REAL = ("float", "int", "uint")


def check_parameter(x: TensorType, parameter: TensorType | None, name: str, axis: int, block: int) -> None:
    """A scale or zero point is one number, one a slice along `axis`, or one a block of `block` elements along it."""
    if parameter is None or parameter.rank == 0:
        return
    check_axis(axis, x.rank)
    if block:
        expected = tuple(ceildiv(dim, block) if n == axis else dim for n, dim in enumerate(x.shape))
    else:
        expected = (x.shape[axis],)
    if parameter.rank != len(expected) or any(map(differ, parameter.shape, expected)):
        raise TypeRuleError(
            f"{name} is {parameter}, expected shape [] or [{', '.join(map(str, expected))}] for {x}"
        )


def _check_parameters(
    x: TensorType, scale: TensorType, zero: TensorType | None, axis: int, block: int
) -> None:
    if not scale.dtype.is_float:
        raise TypeRuleError(f"the scale is {scale}, expected a float dtype")
    if block < 0:
        raise TypeRuleError(f"'block' is {block}, expected 0 (none) or more")
    check_parameter(x, scale, "the scale", axis, block)
    check_parameter(x, zero, "the zero point", axis, block)


def spread_parameter(parameter: np.ndarray, x: np.ndarray, axis: int, block: int) -> np.ndarray:
    """A parameter in a shape that broadcasts with x."""
    if parameter.ndim == 0:
        return parameter
    if block:
        return np.take(np.repeat(parameter, block, axis), np.arange(x.shape[axis]), axis)
    return parameter.reshape([-1 if n == axis else 1 for n in range(x.ndim)])


def _index(s: Stages, x: Ref, axis: int, block: int) -> tuple[tuple[Affine, ...], tuple[Affine, ...]] | None:
    """An index over x and the one of a blocked parameter; None where blocks don't divide their axis."""
    if not block:
        index = s.dims(*x.shape)
        return index, index
    extent = x.shape[axis]
    if not isinstance(extent, int) or extent % block:
        return None
    outer = s.dims(*(extent // block if n == axis else dim for n, dim in enumerate(x.shape)))
    (inner,) = s.dims(block)
    return tuple(part * block + inner if n == axis else part for n, part in enumerate(outer)), outer


def element_of(parameter: Ref, index: tuple[Affine, ...], axis: int, block: int) -> Expr:
    if parameter.rank == 0:
        return parameter.at()
    return parameter.at(*index) if block else parameter.at(index[axis])


def _saturated(value: Expr, zero: Expr | None, dtype: DType) -> Expr:
    """round(value) + zero within what an integer dtype holds."""
    low, high = dtype.limits
    value = apply("round", value)
    value = value if zero is None else value + zero.cast(value.dtype)
    return apply("min", apply("max", value, lift(low, value.dtype)), lift(high, value.dtype)).cast(dtype)


def _saturated_array(value: np.ndarray, zero: Any, dtype: DType) -> np.ndarray:
    value = np.rint(value) + np.asarray(zero).astype(value.dtype)
    return np.clip(value, *dtype.limits).astype(dtype.numpy)


def _quantize_type(x, scale, zero_point=None, *, axis, dtype, block, saturate, inverse):
    _check_parameters(x, scale, zero_point, axis, block)
    if zero_point is not None and zero_point.dtype != dtype:
        raise TypeRuleError(f"the zero point is {zero_point}, expected the result's dtype {dtype}")
    if dtype.bits > 16 or dtype.kind not in _REAL:
        raise TypeRuleError(f"values can't be quantised to {dtype}")
    return x.with_dtype(dtype)


def _quantize_stages(
    s: Stages, x: Ref, scale: Ref, zero_point: Ref | None, *, axis, dtype, block, saturate, inverse
) -> Any:
    places = _index(s, x, axis, block)
    if places is None:
        return NotImplemented
    index, parameters = places
    real = wide(scale.dtype)
    value, factor = x[index].cast(real), element_of(scale, parameters, axis, block).cast(real)
    value = value * factor if inverse else value / factor
    zero = None if zero_point is None else element_of(zero_point, parameters, axis, block)
    if dtype.is_integer:
        s.store(s.results[0][index], _saturated(value, zero, dtype))
    else:
        value = value if zero is None else value + zero.cast(real)
        s.store(s.results[0][index], cast_body(value, dtype=dtype, saturate=saturate))
    return None


@op(
    "quant.quantize",
    infer=only(_REAL, _quantize_type),
    stages=_quantize_stages,
    tolerance=EXACT,
    samples=(
        case("f32[3, 5]", np.float32(0.02), np.uint8(128), axis=1, dtype=u8),
        case("f32[2, 3, 4]", ("f32[3]", 0.01, 0.1), "i8[3]", axis=1, dtype=i8),
        case("f32[4, 6]", ("f32[4, 2]", 0.01, 0.1), None, axis=1, dtype=DTYPES["i4"], block=3),
        case("f32[4, 5]", ("f32[4, 2]", 0.01, 0.1), ("u8[4, 2]", 0, 200), axis=1, dtype=u8, block=3),
        case("f16[7]", ("f16[]", 0.1, 1), np.uint16(40000), axis=0, dtype=DTYPES["u16"]),
        case(("i32[6]", -900, 900), np.float32(3), axis=0, dtype=i8),
        case(np.array([np.inf, -np.inf, 2.5, -3.5, 1e30], np.float32), np.float32(1), axis=0, dtype=i8),
        case("f32[5]", np.float32(0.001), axis=0, dtype=DTYPES["f8e4m3fn"]),
        case("f32[3, 5]", np.float32(37), np.int8(-3), axis=1, dtype=i8, inverse=True),
    ),
)
def quantize(
    x,
    scale,
    zero_point=None,
    *,
    axis: int,
    dtype: DType,
    block: int = 0,
    saturate: bool = True,
    inverse: bool = False,
):
    """round(x / scale) + zero_point, saturated; for 8-bit floats x / scale cast as `math.cast` does.

    scale and zero_point are [], [x.shape[axis]], or, with `block`, one a block of so many elements along `axis`. With
    `inverse` scale is the reciprocal, by which x is multiplied: divisions are dear on chips.
    """
    value = widen(x if dtype_of(x.dtype).is_float else x.astype(np.float64)).astype(widen(scale).dtype)
    factor = widen(spread_parameter(scale, x, axis, block))
    value = value * factor if inverse else value / factor
    zero = np.zeros((), value.dtype) if zero_point is None else spread_parameter(zero_point, x, axis, block)
    if dtype.is_integer:
        return _saturated_array(value, zero, dtype)
    return cast.evaluate(value + zero.astype(value.dtype), dtype=dtype, saturate=saturate)[0]


def _dequantize_type(x, scale, zero_point=None, *, axis, dtype, block):
    _check_parameters(x, scale, zero_point, axis, block)
    if zero_point is not None and zero_point.dtype != x.dtype:
        raise TypeRuleError(f"the zero point is {zero_point}, expected the dtype of {x}")
    if not dtype.is_float:
        raise TypeRuleError(f"values can't be dequantised to {dtype}, which is no float dtype")
    return x.with_dtype(dtype)


def _dequantize_stages(s: Stages, x: Ref, scale: Ref, zero_point: Ref | None, *, axis, dtype, block) -> Any:
    places = _index(s, x, axis, block)
    if places is None:
        return NotImplemented
    index, parameters = places
    real = wide(scale.dtype)
    exact = i32 if x.dtype.is_integer else real
    value: Expr = x[index].cast(exact)
    if zero_point is not None and zero_point.scalar != 0:
        value = value - element_of(zero_point, parameters, axis, block).cast(exact)
    s.store(s.results[0][index], value.cast(real) * element_of(scale, parameters, axis, block).cast(real))
    return None


@op(
    "quant.dequantize",
    infer=only(_REAL, _dequantize_type),
    stages=_dequantize_stages,
    samples=(
        case("u8[3, 5]", np.float32(0.02), np.uint8(128), axis=1, dtype=f32),
        case("i8[2, 3, 4]", ("f32[2]", 0.01, 0.1), "i8[2]", axis=0, dtype=f32),
        case("i4[6, 2]", ("f32[2, 2]", 0.01, 0.1), None, axis=0, dtype=f32, block=3),
        case("i8[5, 2]", ("f16[2, 2]", 0.01, 0.1), "i8[2, 2]", axis=0, dtype=f16, block=3),
        case(("i32[9]", -1000000, 1000000), ("f32[9]", 0.001, 0.1), axis=0, dtype=f32),
        case("f8e4m3fn[7]", ("f32[]", 0.1, 1), axis=0, dtype=bf16),
    ),
)
def dequantize(x, scale, zero_point=None, *, axis: int, dtype: DType, block: int = 0):
    """(x - zero_point) * scale in the scale's precision, then as `dtype`; parameters as in `quant.quantize`."""
    real = widen(spread_parameter(scale, x, axis, block))
    stored = dtype_of(x.dtype)  # f32 holds differences of 16-bit numbers as i32 does
    exact = np.int32 if stored.is_integer and stored.bits > 16 else real.dtype
    value = x.astype(exact)
    if zero_point is not None:
        value = value - spread_parameter(zero_point, x, axis, block).astype(exact)
    return (value.astype(real.dtype, copy=False) * real).astype(dtype.numpy, copy=False)


def _requantize_type(acc, scale, zero_point, *, axis, dtype):
    if acc.dtype != i32 or not dtype.is_integer or zero_point.dtype != dtype:
        raise TypeRuleError(
            f"requantize takes i32 to an integer dtype with its zero point, got {acc}, {zero_point}"
        )
    _check_parameters(acc, scale, zero_point, axis, 0)
    return acc.with_dtype(dtype)


def _requantize_stages(s: Stages, acc: Ref, scale: Ref, zero_point: Ref, *, axis, dtype) -> None:
    index = s.dims(*acc.shape)
    real = wide(scale.dtype)
    value = acc[index].cast(real) * element_of(scale, index, axis, 0).cast(real)
    s.store(s.results[0][index], _saturated(value, element_of(zero_point, index, axis, 0), dtype))


@op(
    "quant.requantize",
    infer=_requantize_type,
    stages=_requantize_stages,
    tolerance=EXACT,
    samples=(
        case(("i32[4, 5]", -90000, 90000), np.float32(0.001), np.uint8(100), axis=1, dtype=u8),
        case(("i32[2, 3, 4]", -90000, 90000), ("f32[3]", 0.0001, 0.002), "i8[3]", axis=1, dtype=i8),
        case(np.array([-3, -1, 1, 3, 2**31 - 1], np.int32), np.float32(0.5), np.int8(0), axis=0, dtype=i8),
    ),
)
def requantize(acc, scale, zero_point, *, axis: int, dtype: DType):
    """round(acc * scale) + zero_point, saturated: an i32 sum of products as a quantised value again."""
    real = widen(spread_parameter(scale, acc, axis, 0))
    return _saturated_array(acc.astype(real.dtype) * real, spread_parameter(zero_point, acc, axis, 0), dtype)


def _dynamic_type(x):
    if x.dtype != f32:
        raise TypeRuleError(f"dynamic_quantize takes f32, got {x}")
    return x.with_dtype(u8), TensorType(f32, ()), TensorType(u8, ())


def _dynamic_stages(s: Stages, x: Ref) -> None:
    y, scale, zero = s.results
    nothing, over = lift(0.0, f32), s.reduce(*x.shape)
    low: Expr = s.total("min", x[over], ()) if over else x.at()
    high: Expr = s.total("max", x[over], ()) if over else x.at()
    width = apply("max", high, nothing) - apply("min", low, nothing)
    s.store(scale.at(), select(width.equals(0), Const(1.0, f32), width / 255))
    s.store(zero.at(), _saturated((0 - apply("min", low, nothing)) / scale.at(), None, u8))
    index = s.dims(*x.shape)
    s.store(y[index], _saturated(x[index] / scale.at(), zero.at(), u8))


@op(
    "quant.dynamic_quantize",
    infer=_dynamic_type,
    stages=_dynamic_stages,
    tolerance=EXACT,
    samples=(
        case("f32[4, 37]"),
        case(("f32[5]", 2, 3)),
        case(("f32[2, 1, 3]", -3, -2)),
        case(np.zeros(3, np.float32)),
        case("f32[]"),
    ),
)
def dynamic_quantize(x):
    """x as u8 with the scale f32[] and zero point u8[] that just cover its values and 0; scale 1 for zeros."""
    low, high = np.min(x, initial=np.float32(0)), np.max(x, initial=np.float32(0))
    scale = np.float32(1) if high == low else (high - low) / np.float32(255)
    zero = _saturated_array((0 - low) / scale, 0, u8)
    return _saturated_array(x / scale, zero, u8), scale, zero


def _shifted(value: Expr, zero: Ref | None, *index: Affine) -> Expr:
    """value - zero in i32; `index` is the place in a zero point that is no single number."""
    if zero is None or zero.scalar == 0:
        return value.cast(i32)
    if zero.scalar is not None:
        return value.cast(i32) - int(zero.scalar)  # type: ignore[arg-type]
    return value.cast(i32) - zero.at(*index).cast(i32)


def _check_integers(op: str, *pairs: tuple[TensorType, TensorType | None]) -> None:
    """Each operand is of at most 8 bits, so that products are exact in i32, and its zero point has its dtype."""
    for operand, zero in pairs:
        if not operand.dtype.is_integer or operand.dtype.bits > 8:
            raise TypeRuleError(f"{op}: an operand is {operand}, expected an integer dtype of 8 bits or less")
        if zero is not None and zero.dtype != operand.dtype:
            raise TypeRuleError(f"{op}: a zero point is {zero}, expected the dtype of {operand}")


def _matmul_type(x, y, x_zero=None, y_zero=None):
    _check_integers("quant.matmul", (x, x_zero), (y, y_zero))
    result = matmul_type(x.with_dtype(i32), y.with_dtype(i32))
    for zero, operand, axis in ((x_zero, x, -2), (y_zero, y, -1)):
        if zero is None or zero.rank == 0:
            continue
        row = tuple(dim if n == operand.rank + axis else 1 for n, dim in enumerate(operand.shape))
        full = tuple(1 if n == operand.rank - 3 - axis else dim for n, dim in enumerate(operand.shape))
        fitting = [(operand.shape[axis],), row, full]
        if not any(zero.rank == len(shape) and not any(map(differ, zero.shape, shape)) for shape in fitting):
            raise TypeRuleError(
                f"a zero point is {zero}, expected shape [], [{operand.shape[axis]}] or {list(full)}"
            )
    return result


def _matmul_cost(results: tuple[TensorType, ...], x: TensorType, *_: TensorType) -> Cost:
    return Cost(macs=results[0].elements * x.shape[-1])


def _zero_index(zero: Ref | None, batch: tuple[Affine, ...], row: Affine, axis: int) -> tuple[Affine, ...]:
    """Where the zero point of a row (axis -2) or column (axis -1) stands; its other matrix axis has extent 1."""
    if zero is None or zero.rank < 2:
        return (row,) * (zero.rank if zero is not None else 0)
    matrix = (row, Affine()) if axis == -2 else (Affine(), row)
    return zero.broadcast(batch, *matrix).access.index  # type: ignore[return-value]


def _matmul_stages(s: Stages, x: Ref, y: Ref, x_zero: Ref | None, y_zero: Ref | None) -> None:
    result = s.results[0]
    *batch, m, n = s.dims(*result.shape)
    (k,) = s.reduce(x.shape[-1])
    outer = tuple(batch)
    left = _shifted(x.broadcast(outer, m, k), x_zero, *_zero_index(x_zero, outer, m, -2))
    right = _shifted(y.broadcast(outer, k, n), y_zero, *_zero_index(y_zero, outer, n, -1))
    s.store(result[(*outer, m, n)], left * right, "sum")


def _shift_array(x: np.ndarray, zero: np.ndarray | None, axis: int) -> np.ndarray:
    """x - zero in f64, in which sums of such products are exact."""
    x = x.astype(np.float64)
    if zero is None:
        return x
    shape = [-1 if n == x.ndim + axis else 1 for n in range(x.ndim)] if zero.ndim == 1 else zero.shape
    return x - zero.astype(np.float64).reshape(shape)


def _as_i32(x: np.ndarray) -> np.ndarray:
    return x.astype(np.int64).astype(np.int32)


@op(
    "quant.matmul",
    infer=_matmul_type,
    stages=_matmul_stages,
    cost=_matmul_cost,
    tolerance=EXACT,
    samples=(
        case("u8[5, 7]", "i8[7, 3]"),
        case("u8[5, 7]", "i8[7, 3]", np.uint8(128), np.int8(-3)),
        case("i8[2, 5, 7]", "i8[7, 3]", "i8[5]", "i8[3]"),
        case("u8[2, 4, 6]", "u8[2, 6, 3]", "u8[2, 4, 1]", "u8[2, 1, 3]"),
        case("u8[4, 300]", "i8[300, 9]", np.uint8(0), "i8[9]"),
        case("u8[30, 16]", "i8[16, 1]"),
    ),
)
def matmul(x, y, x_zero=None, y_zero=None):
    """The matrix product of x - x_zero and y - y_zero in i32: zero points are [], one a row of x, one a column of y."""
    return _as_i32(np.matmul(_shift_array(x, x_zero, -2), _shift_array(y, y_zero, -1)))


def _einsum_type(x, y, *, equation):
    for operand in (x, y):
        if operand.dtype.kind != "int" or operand.dtype.bits not in (8, 16):
            raise TypeRuleError(f"quant.einsum: an operand is {operand}, expected i8 or i16")
    return einsum_type(x, y, equation=equation).with_dtype(i32)


def _einsum_stages(s: Stages, x: Ref, y: Ref, *, equation: str) -> None:
    einsum_stages(s, x, y, equation=equation, dtype=i32)


@op(
    "quant.einsum",
    infer=_einsum_type,
    stages=_einsum_stages,
    cost=einsum_cost,
    tolerance=EXACT,
    samples=(
        case(("i16[3, 5, 4]", -9000, 9000), ("i16[3, 4, 7]", -9000, 9000), equation="bij,bjk->bik"),
        case("i8[2, 5, 3]", "i8[4, 3]", equation="bij,kj->bik"),
    ),
)
def einsum(x, y, *, equation: str):
    """Einstein summation of two operands in i32, which wraps; see `nn.einsum`."""
    return _as_i32(
        np.einsum(equation.replace(" ", ""), *(_shift_array(a, None, 0) for a in (x, y)), optimize=True)
    )


def _conv_type(x, w, x_zero=None, w_zero=None, *, strides, pads, dilations, groups, fill):
    _check_integers("quant.conv", (x, x_zero), (w, w_zero))
    if x_zero is not None and x_zero.rank:
        raise TypeRuleError(f"quant.conv: x_zero is {x_zero}, expected one number of shape []")
    if w_zero is not None and w_zero.rank and (w_zero.rank != 1 or differ(w_zero.shape[0], w.shape[0])):
        raise TypeRuleError(f"quant.conv: w_zero is {w_zero}, expected shape [] or [{w.shape[0]}]")
    if abs(fill) > 255:
        raise TypeRuleError(f"quant.conv: 'fill' is {fill}, expected a difference of two 8-bit numbers")
    return conv_type(
        x.with_dtype(i32),
        w.with_dtype(i32),
        None,
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=groups,
    )


def _conv_cost(results: tuple[TensorType, ...], x: TensorType, w: TensorType, *_: Any, **__: Any) -> Cost:
    return Cost(macs=results[0].elements * product(w.shape[1:]))


def _conv_stages(
    s: Stages, x: Ref, w: Ref, x_zero: Ref | None, w_zero: Ref | None, *, fill: int, **attributes: Any
) -> Any:
    value: Any = 0 if x_zero is None else x_zero.scalar  # of x where x - x_zero is 0
    if value is not None and (fill == 0 or x.dtype.limits[0] <= value + fill <= x.dtype.limits[1]):
        fill += value
    elif any(attributes["pads"]):
        # no element of x is known to stand for the padding: subtract before padding
        index = s.dims(*x.shape)
        shifted = s.local(x.shape, i32)
        s.store(shifted[index], _shifted(x[index], x_zero))
        x, x_zero = shifted, None
    products = conv_products(s, x, w, fill=fill, **attributes)
    if products is None:
        return NotImplemented
    output = (products.output,) if w_zero is not None and w_zero.rank else ()
    left, right = _shifted(products.source, x_zero), _shifted(products.weight, w_zero, *output)
    s.store(products.target, left * right, "sum")
    return None


@op(
    "quant.conv",
    infer=_conv_type,
    stages=_conv_stages,
    cost=_conv_cost,
    tolerance=EXACT,
    samples=(
        case(
            "u8[1, 3, 5, 6]",
            "i8[4, 3, 3, 3]",
            np.uint8(120),
            "i8[4]",
            strides=(1, 1),
            pads=(1, 1, 1, 1),
            dilations=(1, 1),
        ),
        case(
            "u8[2, 4, 9]",
            "i8[6, 2, 3]",
            None,
            np.int8(2),
            strides=(2,),
            pads=(1, 0),
            dilations=(1,),
            groups=2,
        ),
        case(
            "i8[1, 2, 4, 4]", "i8[3, 2, 1, 1]", np.int8(-7), strides=(1, 1), pads=(0,) * 4, dilations=(1, 1)
        ),
        case("i8[1, 3, 5, 4]", "i8[2, 3, 3, 3]", strides=(2, 1), pads=(1,) * 4, dilations=(1, 1), fill=-37),
        case("i8[1, 3, 7]", "i8[2, 3, 3]", np.int8(90), strides=(1,), pads=(1, 2), dilations=(1,), fill=120),
    ),
)
def conv_integer(
    x,
    w,
    x_zero=None,
    w_zero=None,
    *,
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    groups: int = 1,
    fill: int = 0,
):
    """The convolution of x - x_zero, padded with `fill`, by w - w_zero in i32; w_zero is [] or one an output channel.

    With `fill` a zero point moves into a bias, exactly at borders too: for a number z, conv(x, w, z) =
    conv(x, w, fill=z) - z * sum(w).
    """
    if w_zero is not None and w_zero.ndim:
        w_zero = w_zero.reshape(-1, *[1] * (w.ndim - 1))
    left, right = _shift_array(x, x_zero, -1), _shift_array(w, w_zero, -1)
    left = padded(left, padding_of(pads), fill)
    none = (0,) * len(pads)
    return _as_i32(conv.meaning(left, right, strides=strides, pads=none, dilations=dilations, groups=groups))
