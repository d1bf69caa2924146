"""Resizing. `nn.resize` states what is wanted; `resampled` turns it into one `nn.resample` for each axis that changes.

A resample reads taps through a constant table of positions, weighted by a constant table of coefficients, so a tiler
sees it as a window whose place is known. Coordinates follow ONNX's Resize (version 19).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from math import ceil
from typing import Any

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim
from ..ir.graph import Value, constant
from ..ir.types import TensorType, dtype_of, f32, i64
from ..tile.writer import Ref, Stages
from .engine import Cost, Tolerance, case, get, op
from .rules import check_axis, wide, widen

COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "half_pixel_unless_one",
    "align_corners",
    "asymmetric",
    "crop",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_TOLERANCE = Tolerance(relative=1e-5, absolute=1e-5)


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel (IEEE TASSP 29, 1981) with its free parameter `a`."""
    t = np.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


def _positions(
    coordinates: str, size: int, extent: int, scale: float, roi: tuple[float, float] | None
) -> np.ndarray:
    """For each of `extent` results the position among `size` elements that it samples, in f64."""
    at = np.arange(extent, dtype=np.float64)
    length = scale * size
    if coordinates == "align_corners":
        return at * 0 if length == 1 else at * (size - 1) / (length - 1)
    if coordinates == "asymmetric":
        return at / scale
    if coordinates == "crop":
        start, end = roi or (0.0, 1.0)
        middle = at * 0 + (end - start) * (size - 1) / 2
        inner = middle if length == 1 else at * (end - start) * (size - 1) / (length - 1)
        return inner + start * (size - 1)
    if coordinates == "half_pixel_unless_one" and length == 1:
        return at * 0 - 0.5
    shift = size / 2 * (1 - extent / length) if coordinates == "half_pixel_symmetric" else 0.0
    return shift + (at + 0.5) / scale - 0.5


def tables(
    size: int,
    extent: int,
    scale: float,
    *,
    mode: str,
    coordinates: str,
    nearest: str,
    cubic_a: float,
    exclude_outside: bool,
    antialias: bool,
    roi: tuple[float, float] | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Positions i64 [extent, taps], -1 for what extrapolates, and coefficients f64 of that shape (None: nearest)."""
    at = _positions(coordinates, size, extent, scale, roi)
    beyond = (at < 0) | (at > size - 1) if coordinates == "crop" else np.zeros(extent, bool)
    if mode == "nearest":
        shift = {"round_prefer_floor": -0.5, "round_prefer_ceil": 0.5}.get(nearest, 0.0)
        rounded = (np.ceil if nearest in ("ceil", "round_prefer_floor") else np.floor)(at + shift)
        indices = np.clip(rounded.astype(np.int64), 0, size - 1)
        return np.where(beyond, -1, indices)[:, None], None
    shrink = min(scale, 1.0) if antialias else 1.0
    half = ceil((1 if mode == "linear" else 2) / shrink)
    taps = np.floor(at)[:, None] + np.arange(1 - half, half + 1)
    distance = (taps - at[:, None]) * shrink
    weights = np.maximum(0.0, 1 - np.abs(distance)) if mode == "linear" else cubic(distance, cubic_a)
    if antialias:
        weights /= weights.sum(1, keepdims=True)
    if exclude_outside:
        weights = np.where((taps < 0) | (taps > size - 1), 0.0, weights)
        total = weights.sum(1, keepdims=True)
        weights = weights / np.where(total == 0, 1.0, total)
    indices = np.clip(taps.astype(np.int64), 0, size - 1)
    used = np.flatnonzero((weights != 0).any(0))
    kept = slice(used[0], used[-1] + 1) if used.size else slice(0, 1)
    indices, weights = indices[:, kept], weights[:, kept]
    weights[beyond] = np.arange(weights.shape[1]) == 0
    return np.where(beyond[:, None], -1, indices), weights


def _resample_type(
    x: TensorType, indices: TensorType, coefficients: TensorType | None, *, axis: int, fill: float | None
) -> TensorType:
    check_axis(axis, x.rank)
    if indices.rank != 2 or indices.dtype != i64:
        raise TypeRuleError(f"resample: indices are {indices}, expected i64 [extent, taps]")
    if coefficients is None and indices.shape[1] != 1:
        raise TypeRuleError(f"resample: without coefficients there must be one tap, got indices {indices}")
    if coefficients is not None and (coefficients.shape != indices.shape or not x.dtype.is_float):
        raise TypeRuleError(
            f"resample: x {x} must hold floats, and coefficients {coefficients} fit indices {indices}"
        )
    return x.with_shape((*x.shape[:axis], indices.shape[0], *x.shape[axis + 1 :]))


def _resample_cost(results: tuple[TensorType, ...], x: TensorType, indices: TensorType, *_, **__) -> Cost:
    return Cost(operations=results[0].elements * indices.shape[1] * 2)


def _resample_stages(
    s: Stages, x: Ref, indices: Ref, coefficients: Ref | None, *, axis: int, fill: float | None
) -> None:
    index = s.dims(*s.results[0].shape)
    before, o, after = index[:axis], index[axis], index[axis + 1 :]
    if coefficients is None:
        s.store(s.results[0][index], x.at(*before, indices[o, 0], *after, fill=fill))
        return
    dtype = wide(x.dtype)
    (tap,) = s.reduce(indices.shape[1])
    element = x.at(*before, indices[o, tap], *after, fill=fill).cast(dtype)
    s.store(s.results[0][index], element * coefficients[o, tap].cast(dtype), "sum")


@op(
    "nn.resample",
    infer=_resample_type,
    stages=_resample_stages,
    cost=_resample_cost,
    tolerance=_TOLERANCE,
    samples=(
        case("f32[2, 5, 3]", ("i64[7, 2]", 0, 5), "f32[7, 2]", axis=1),
        case("f64[4, 5]", np.array([[0, 4], [-1, -1], [2, 3]]), "f64[3, 2]", axis=1, fill=2.0),
        case("i8[3, 4]", ("i64[5, 1]", 0, 3), None, axis=0),
        case("f16[2, 6]", ("i64[3, 4]", 0, 6), "f32[3, 4]", axis=1),
    ),
)
def resample(x, indices, coefficients=None, *, axis: int, fill: float | None = None):
    """y[.., o, ..] = sum over t of x[.., indices[o, t], ..] * coefficients[o, t]; an index of -1 stands for `fill`."""
    shape = [1] * x.ndim
    shape[axis] = -1

    def read(tap: int) -> np.ndarray:
        at = indices[:, tap]
        part = np.take(x, at, axis)
        if fill is not None:
            part = np.where(at.reshape(shape) < 0, np.asarray(fill, x.dtype), part)
        if coefficients is None:
            return part
        part = widen(part)
        return part * coefficients[:, tap].astype(part.dtype, copy=False).reshape(shape)

    return reduce(np.add, map(read, range(indices.shape[1]))).astype(x.dtype, copy=False)


def _resize_type(
    x: TensorType, *, shape, scales, mode, coordinates, nearest, roi, antialias, **_: object
) -> TensorType:
    if len(shape) != x.rank or len(scales) not in (0, x.rank) or len(roi) not in (0, 2 * x.rank):
        raise TypeRuleError(
            f"resize: shape, scales and roi must have an entry (roi two) for every axis of {x}"
        )
    for name, value, known in (
        ("mode", mode, ("nearest", "linear", "cubic")),
        ("coordinates", coordinates, COORDINATES),
        ("nearest", nearest, NEAREST),
    ):
        if value not in known:
            raise TypeRuleError(f"resize: '{name}' is '{value}', expected one of {', '.join(known)}")
    if antialias and mode == "nearest":
        raise TypeRuleError("resize: antialias does not go with mode 'nearest'")
    return x.with_shape(shape)


def _axis_tables(
    sizes: Sequence[Any],
    *,
    shape: Sequence[Any],
    scales: Sequence[float],
    roi: Sequence[float],
    extrapolation: float,
    **how: Any,
) -> Iterator[tuple[int, float | None, np.ndarray, np.ndarray | None]]:
    """(axis, fill, indices, coefficients) of each axis that a resize changes."""
    rank = len(sizes)
    for axis, (size, extent) in enumerate(zip(sizes, shape, strict=True)):
        scale = scales[axis] if scales else extent / size
        bounds = (roi[axis], roi[rank + axis]) if roi else None
        if extent == size and scale == 1 and bounds in (None, (0.0, 1.0)):
            continue
        crops = how["coordinates"] == "crop"
        yield axis, extrapolation if crops else None, *tables(size, extent, scale, roi=bounds, **how)


@op(
    "nn.resize",
    infer=_resize_type,
    tolerance=_TOLERANCE,
    samples=(
        case("f32[1, 2, 3, 5]", shape=(1, 2, 6, 7), scales=(1.0, 1.0, 2.0, 1.5)),
        case("f32[1, 2, 7, 5]", shape=(1, 2, 3, 8), mode="linear", antialias=True),
        case("f64[1, 1, 5, 4]", shape=(1, 1, 9, 3), mode="cubic", exclude_outside=True),
        case(
            "f32[2, 5, 4]",
            shape=(2, 3, 6),
            mode="linear",
            coordinates="crop",
            roi=(0.0, -0.2, 0.4, 1.0, 0.7, 1.3),
            extrapolation=9.0,
        ),
        case(("u8[1, 4, 4]", 0, 255), shape=(1, 7, 7), mode="cubic", coordinates="align_corners"),
    ),
)
def resize(
    x,
    *,
    shape: tuple[Dim, ...],
    scales: tuple[float, ...] = (),
    mode: str = "nearest",
    coordinates: str = "half_pixel",
    nearest: str = "round_prefer_floor",
    cubic_a: float = -0.75,
    exclude_outside: bool = False,
    antialias: bool = False,
    extrapolation: float = 0.0,
    roi: tuple[float, ...] = (),
):
    """Interpolate x onto a grid of `shape`; attributes are those of ONNX's Resize (version 19), over all axes.

    `scales` (none: the ratios of the extents) only serve the coordinates. `roi` holds all starts, then all ends.
    Integers are computed in f32, rounded half to even and cut to their range.
    """
    dtype = dtype_of(x.dtype)
    data = x if mode == "nearest" else widen(x) if dtype.is_float else x.astype(np.float32)
    how = {
        "mode": mode,
        "coordinates": coordinates,
        "nearest": nearest,
        "cubic_a": cubic_a,
        "exclude_outside": exclude_outside,
        "antialias": antialias,
    }
    for axis, fill, indices, coefficients in _axis_tables(
        x.shape, shape=shape, scales=scales, roi=roi, extrapolation=extrapolation, **how
    ):
        (data,) = resample.evaluate(data, indices, coefficients, axis=axis, fill=fill)
    if dtype.is_integer and data.dtype != x.dtype:
        limits = np.iinfo(x.dtype)
        data = np.clip(np.rint(data), limits.min, limits.max)
    return data.astype(x.dtype, copy=False)


def _repeated(x: Value, axis: int, times: int) -> Value:
    """Each element of an axis so many times: needs no table."""
    before, extent, behind = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    apart = get("shape.reshape")(x, shape=(*before, extent, 1, *behind))
    spread = get("shape.expand")(apart, shape=(*before, extent, times, *behind))
    return get("shape.reshape")(spread, shape=(*before, extent * times, *behind))


def resampled(x: Value, attributes: Mapping[str, Any]) -> Value | None:
    """`nn.resize` of x as a chain of `nn.resample`; None where an extent is symbolic, for there is no table then."""
    if not (x.type.is_static and all(isinstance(extent, int) for extent in attributes["shape"])):
        return None
    dtype = x.dtype
    exact = attributes["mode"] == "nearest"
    data = x if exact or (wide(dtype) == dtype and dtype.is_float) else get("math.cast")(x, dtype=f32)
    for axis, fill, indices, coefficients in _axis_tables(x.shape, **attributes):
        times, rest = divmod(len(indices), data.type.static_shape[axis])
        if (
            coefficients is None
            and not rest
            and np.array_equal(indices[:, 0], np.arange(len(indices)) // times)
        ):
            data = _repeated(data, axis, times)
            continue
        table = None if coefficients is None else constant(coefficients, data.dtype)
        data = resample(data, constant(indices), table, axis=axis, fill=fill)
    if dtype.is_integer and not exact:
        limits = np.iinfo(dtype.numpy)
        data = get("math.clip")(get("math.round")(data), float(limits.min), float(limits.max))
    return data if data.dtype == dtype else get("math.cast")(data, dtype=dtype)
