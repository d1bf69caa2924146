"""Softmax and the normalisations. Sums of 16-bit floats are kept in f32; means are folded into the sums."""

from collections.abc import Sequence

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import product
from ..ir.types import DType, TensorType, i64
from ..tile.stage import Affine, Expr, Held, Load, Repair, apply, lift
from ..tile.writer import Ref, Stages
from .engine import Tolerance, case, op
from .rules import differ, extent_value, per_element, wide, widen


def _row_type(x: TensorType, *, axis: int) -> TensorType:
    if not x.dtype.is_float:
        raise TypeRuleError(f"softmax needs floats, got {x}", hint="insert a cast")
    if not 0 <= axis < x.rank:
        raise TypeRuleError(f"axis {axis} is out of range for {x}")
    return x


def finite(top: Expr) -> Expr:
    """A running maximum kept above -inf, so that -inf - top is -inf and not NaN where all before was masked."""
    return apply("max", top, lift(float(np.finfo(top.dtype.numpy).min), top.dtype))


def rescale(top: Load) -> Repair:
    """Correction of sums of exp(x - top) when the running maximum `top` grows: old sums shrink by exp(old - new)."""
    old, new = (finite(Held(which, top.dtype)) for which in ("old", "new"))
    return Repair(top.access.buffer, apply("exp", old - new))


def _softmax_stages(s: Stages, x: Ref, *, axis: int) -> None:
    index = s.dims(*x.shape)
    rows = [part for n, part in enumerate(index) if n != axis]
    element = x[index].cast(wide(x.dtype))
    top = s.total("max", element, rows)
    raised = s.value(apply("exp", element - finite(top)), index)
    total = s.total("sum", raised, rows, repair=rescale(top))
    s.store(s.results[0][index], raised * (1.0 / total))


@op(
    "nn.softmax",
    infer=_row_type,
    stages=_softmax_stages,
    cost=per_element(14),
    samples=(
        case("f32[5, 37]", axis=1),
        case("f32[3, 17, 4]", axis=1),
        case("f64[7, 3]", axis=0),
        case("f16[2, 9]", axis=1),
        case(np.array([[0.5, -np.inf, 3.0], [-np.inf, -np.inf, 1.0]], np.float32), axis=1),
    ),
)
def softmax(x, *, axis: int):
    """exp(x) / sum of exp(x) along one axis. A row of -inf gives NaN."""
    data = widen(x)
    raised = np.exp(data - data.max(axis, keepdims=True))
    return (raised / raised.sum(axis, keepdims=True)).astype(x.dtype, copy=False)


def _log_softmax_stages(s: Stages, x: Ref, *, axis: int) -> None:
    index = s.dims(*x.shape)
    rows = [part for n, part in enumerate(index) if n != axis]
    element = x[index].cast(wide(x.dtype))
    top = s.total("max", element, rows)
    total = s.total("sum", apply("exp", element - finite(top)), rows, repair=rescale(top))
    s.store(s.results[0][index], element - top - apply("log", total))


@op(
    "nn.log_softmax",
    infer=_row_type,
    stages=_log_softmax_stages,
    cost=per_element(13),
    samples=(case("f32[5, 37]", axis=1), case("f32[3, 17, 4]", axis=0), case("f64[2, 3, 5]", axis=1)),
)
def log_softmax(x, *, axis: int):
    """x - log(sum of exp(x)) along one axis."""
    data = widen(x)
    shifted = data - data.max(axis, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))).astype(x.dtype, copy=False)


def _spread(variance: Expr, epsilon: float) -> Expr:
    return 1.0 / apply("sqrt", variance + epsilon)


def _share(s: Stages, x: Ref, axes: range, dtype: DType, elements: int = 1) -> Expr:
    """1 / number of elements along `axes` (times `elements`), computed at run time where an extent is symbolic."""
    count = product(x.shape[axis] for axis in axes) * elements
    if isinstance(count, int):
        return lift(1 / count, dtype)
    total: Expr = lift(elements, i64)
    for axis in axes:
        total = total * extent_value(s, x, axis)
    return s.value(1.0 / total.cast(dtype), ())


def _moments(
    s: Stages, element: Expr, rows: Sequence[Affine], share: Expr, epsilon: float
) -> tuple[Load, Load]:
    """Mean and 1/sqrt(variance + epsilon) of `element` over the dims that `rows` lacks, each of weight `share`."""
    mean = s.total("sum", element * share, rows)
    centred = element - mean
    variance = s.total("sum", centred * centred * share, rows)
    return mean, s.value(_spread(variance, epsilon), rows)


def _axes_type(x: TensorType, *operands: TensorType | None, axis: int, epsilon: float) -> TensorType:
    if not x.dtype.is_float or not 0 <= axis < x.rank:
        raise TypeRuleError(f"normalisation over the axes from {axis} needs floats of a higher rank, got {x}")
    inner = x.shape[axis:]
    for operand in operands:
        if operand is not None and (
            operand.rank > len(inner)
            or any(a != 1 and differ(a, b) for a, b in zip(operand.shape[::-1], inner[::-1], strict=False))
        ):
            raise TypeRuleError(f"{operand} does not broadcast to the normalised axes of {x} from {axis}")
    return x


def _layer_norm_stages(
    s: Stages, x: Ref, scale: Ref | None, bias: Ref | None, *, axis: int, epsilon: float
) -> None:
    dtype = wide(x.dtype)
    index = s.dims(*x.shape)
    element = x[index].cast(dtype)
    share = _share(s, x, range(axis, x.rank), dtype)
    mean, spread = _moments(s, element, index[:axis], share, epsilon)
    out = (element - mean) * spread
    if scale is not None:
        out = out * scale.broadcast(index).cast(dtype)
    if bias is not None:
        out = out + bias.broadcast(index).cast(dtype)
    s.store(s.results[0][index], out)


@op(
    "nn.layer_norm",
    infer=_axes_type,
    stages=_layer_norm_stages,
    cost=per_element(8),
    samples=(
        case("f32[5, 37]", "f32[37]", "f32[37]", axis=1, epsilon=1e-5),
        case("f32[2, 3, 17]", "f32[17]", None, axis=2, epsilon=1e-5),
        case("f64[3, 4, 5]", "f64[4, 5]", "f64[1, 5]", axis=1, epsilon=1e-6),
        case("f16[4, 9]", "f16[9]", "f16[9]", axis=1, epsilon=1e-3),
    ),
)
def layer_norm(x, scale=None, bias=None, *, axis: int, epsilon: float):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias; mean and variance over the axes from `axis` on."""
    axes = tuple(range(axis, x.ndim))
    data = widen(x)
    centred = data - data.mean(axes, keepdims=True)
    out = centred / np.sqrt((centred * centred).mean(axes, keepdims=True) + epsilon)
    out = out if scale is None else out * scale
    return (out if bias is None else out + bias).astype(x.dtype, copy=False)


def _rms_norm_stages(s: Stages, x: Ref, scale: Ref | None, *, axis: int, epsilon: float) -> None:
    dtype = wide(x.dtype)
    index = s.dims(*x.shape)
    element = x[index].cast(dtype)
    rows = index[:axis]
    power = s.total("sum", element * element * _share(s, x, range(axis, x.rank), dtype), rows)
    out = element * s.value(_spread(power, epsilon), rows)
    s.store(s.results[0][index], out if scale is None else out * scale.broadcast(index).cast(dtype))


@op(
    "nn.rms_norm",
    infer=_axes_type,
    stages=_rms_norm_stages,
    cost=per_element(5),
    samples=(
        case("f32[5, 37]", "f32[37]", axis=1, epsilon=1e-5),
        case("f64[2, 3, 17]", None, axis=1, epsilon=1e-5),
    ),
)
def rms_norm(x, scale=None, *, axis: int, epsilon: float):
    """x / sqrt(mean of x squared + epsilon) * scale; the mean is over the axes from `axis` on."""
    axes = tuple(range(axis, x.ndim))
    data = widen(x)
    out = data / np.sqrt((data * data).mean(axes, keepdims=True) + epsilon)
    return (out if scale is None else out * scale).astype(x.dtype, copy=False)


def _channel_type(x: TensorType, *operands: TensorType, groups: int = 1, **_: object) -> TensorType:
    if not x.dtype.is_float or x.rank < 2:
        raise TypeRuleError(f"normalisation by channel needs floats [N, C, ...], got {x}")
    for operand in operands:
        if operand.rank != 1 or differ(operand.shape[0], x.shape[1]):
            raise TypeRuleError(f"expected one value per channel of {x}, got {operand}")
    if isinstance(x.shape[1], int) and x.shape[1] % groups:
        raise TypeRuleError(f"{groups} groups do not divide the channels of {x}")
    return x


def _along_channels(operand: np.ndarray, x: np.ndarray) -> np.ndarray:
    return operand.astype(x.dtype, copy=False).reshape(-1, *[1] * (x.ndim - 2))


def _batch_norm_stages(
    s: Stages, x: Ref, scale: Ref, bias: Ref, mean: Ref, var: Ref, *, epsilon: float
) -> None:
    dtype = wide(x.dtype)
    index = s.dims(*x.shape)
    c = index[1]
    factor = s.value(scale[c].cast(dtype) * _spread(var[c].cast(dtype), epsilon), [c])
    s.store(s.results[0][index], (x[index].cast(dtype) - mean[c].cast(dtype)) * factor + bias[c].cast(dtype))


@op(
    "nn.batch_norm",
    infer=_channel_type,
    stages=_batch_norm_stages,
    cost=per_element(3),
    samples=(
        case("f32[2, 3, 5, 7]", "f32[3]", "f32[3]", "f32[3]", ("f32[3]", 0.1, 2.0), epsilon=1e-5),
        case("f64[4, 6]", "f64[6]", "f64[6]", "f64[6]", ("f64[6]", 0.1, 2.0), epsilon=1e-3),
        case("f16[1, 3, 5]", "f16[3]", "f16[3]", "f32[3]", ("f32[3]", 0.1, 2.0), epsilon=1e-3),
    ),
)
def batch_norm(x, scale, bias, mean, var, *, epsilon: float):
    """(x - mean) / sqrt(var + epsilon) * scale + bias with given statistics, one of each per channel (axis 1)."""
    data = widen(x)
    scale, bias, mean, var = (_along_channels(operand, data) for operand in (scale, bias, mean, var))
    return ((data - mean) * (scale / np.sqrt(var + epsilon)) + bias).astype(x.dtype, copy=False)


def _group_norm_stages(
    s: Stages, x: Ref, scale: Ref, bias: Ref, *, epsilon: float, groups: int | None = None
) -> object:
    channels = x.shape[1]
    if groups is not None and not isinstance(channels, int):
        return NotImplemented
    per_group = 1 if groups is None else int(channels) // groups  # type: ignore[arg-type]
    dtype = wide(x.dtype)
    n, g, *rest = s.dims(x.shape[0], channels if groups is None else groups, *x.shape[2:])
    (c,) = s.dims(per_group) if per_group > 1 else (Affine(),)
    channel = g * per_group + c
    element = x.at(n, channel, *rest).cast(dtype)
    share = _share(s, x, range(2, x.rank), dtype, per_group)
    mean, spread = _moments(s, element, [n, g], share, epsilon)
    out = (element - mean) * spread * scale[channel].cast(dtype) + bias[channel].cast(dtype)
    s.store(s.results[0].at(n, channel, *rest), out)
    return None


@op(
    "nn.instance_norm",
    infer=_channel_type,
    stages=_group_norm_stages,
    cost=per_element(8),
    samples=(
        case("f32[2, 3, 5, 7]", "f32[3]", "f32[3]", epsilon=1e-5),
        case("f64[1, 4, 9]", "f64[4]", "f64[4]", epsilon=1e-3),
    ),
)
def instance_norm(x, scale, bias, *, epsilon: float):
    """Normalise each channel (axis 1) of each sample by its own mean and variance; then * scale + bias."""
    return _normalise_groups(x, scale, bias, x.shape[1], epsilon)


@op(
    "nn.group_norm",
    infer=_channel_type,
    stages=_group_norm_stages,
    cost=per_element(8),
    samples=(
        case("f32[2, 6, 5, 7]", "f32[6]", "f32[6]", groups=3, epsilon=1e-5),
        case("f64[3, 4, 9]", "f64[4]", "f64[4]", groups=1, epsilon=1e-3),
        case("f32[1, 4, 3]", "f32[4]", "f32[4]", groups=4, epsilon=1e-3),
    ),
)
def group_norm(x, scale, bias, *, groups: int, epsilon: float):
    """Normalise `groups` runs of channels (axis 1) of each sample by their mean and variance; then * scale + bias."""
    return _normalise_groups(x, scale, bias, groups, epsilon)


def _normalise_groups(x, scale, bias, groups, epsilon):
    data = widen(x)
    rows = data.reshape(x.shape[0], groups, -1)
    centred = rows - rows.mean(-1, keepdims=True)
    out = (centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + epsilon)).reshape(x.shape)
    return (out * _along_channels(scale, data) + _along_channels(bias, data)).astype(x.dtype, copy=False)


def _lrn_type(x: TensorType, *, size: int, alpha: float, beta: float, bias: float) -> TensorType:
    if not x.dtype.is_float or x.rank < 2 or size < 1:
        raise TypeRuleError(f"lrn needs floats [N, C, ...] and a positive size, got {x} and {size}")
    return x


def _lrn_stages(s: Stages, x: Ref, *, size: int, alpha: float, beta: float, bias: float) -> None:
    dtype = wide(x.dtype)
    n, c, *rest = index = s.dims(*x.shape)
    (k,) = s.reduce(size)
    near = x.at(n, c + k - (size - 1) // 2, *rest, fill=0.0).cast(dtype)
    power = s.total("sum", near * near, index) * (alpha / size) + bias
    s.store(s.results[0][index], x[index].cast(dtype) * apply("exp", apply("log", power) * -beta))


@op(
    "nn.lrn",
    infer=_lrn_type,
    stages=_lrn_stages,
    cost=per_element(40),
    tolerance=Tolerance(relative=2e-5),
    samples=(
        case("f32[2, 7, 3, 5]", size=5, alpha=1e-2, beta=0.75, bias=1.0),
        case("f64[1, 6, 9]", size=4, alpha=0.5, beta=0.5, bias=2.0),
    ),
)
def lrn(x, *, size: int, alpha: float, beta: float, bias: float):
    """x / (bias + alpha / size * sum of squares of the `size` channels around)^beta."""
    data = widen(x)
    before = (size - 1) // 2
    around = [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)]
    squares = np.pad(data * data, around)
    power = sum(squares[:, k : k + x.shape[1]] for k in range(size))
    return (data / (bias + alpha / size * power) ** beta).astype(x.dtype, copy=False)
