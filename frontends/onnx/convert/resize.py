"""Resize, its ancestor Upsample, and GridSample."""

from collections.abc import Sequence
from typing import Any

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value
from ...build import nn
from ...known import dims, ints, wanted
from ...normalise import axes_of
from ..table import converter

_COORDINATES = {"pytorch_half_pixel": "half_pixel_unless_one", "tf_crop_and_resize": "crop"}  # the IR's names


@converter("Resize", since=18)
def resize(
    x,
    roi=None,
    scales=None,
    sizes=None,
    *,
    antialias=0,
    axes=None,
    coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    extrapolation_value=0.0,
    keep_aspect_ratio_policy="stretch",
    mode="nearest",
    nearest_mode="round_prefer_floor",
):
    rank = x.type.rank
    chosen = axes_of(range(rank) if axes is None else axes, rank)
    factors, extents = _numbers(scales, "scales"), _sizes(sizes)
    if bool(factors) == bool(extents):
        raise ModelError("it needs either 'scales' or 'sizes', not both")
    for name, given in (("scales", factors), ("sizes", extents)):
        if given and len(given) != len(chosen):
            raise ModelError(f"'{name}' has {len(given)} entries, expected {len(chosen)}")
    if factors:
        shape, used = _scaled(x, chosen, factors)
    elif keep_aspect_ratio_policy == "stretch":
        given_at = dict(zip(chosen, extents, strict=True))
        shape, used = tuple(given_at.get(n, dim) for n, dim in enumerate(x.shape)), ()
    else:
        shape, used = _in_proportion(x, chosen, extents, keep_aspect_ratio_policy)
    region: tuple[float, ...] = ()
    if coordinate_transformation_mode == "tf_crop_and_resize":
        region = _region(_numbers(roi, "roi"), chosen, rank)
    return nn.resize(
        x,
        shape=shape,
        scales=used,
        mode=mode,
        coordinates=_COORDINATES.get(coordinate_transformation_mode, coordinate_transformation_mode),
        nearest=nearest_mode,
        cubic_a=cubic_coeff_a,
        exclude_outside=bool(exclude_outside),
        antialias=bool(antialias) and mode != "nearest",
        extrapolation=extrapolation_value,
        roi=region,
    )


_Resized = tuple[tuple[Dim, ...], tuple[float, ...]]
"""The shape of a result, and how much longer each axis becomes."""


def _scaled(x: Value, axes: Sequence[int], factors: Sequence[float]) -> _Resized:
    by_axis = dict(zip(axes, factors, strict=True))
    used = tuple(by_axis.get(n, 1.0) for n in range(x.type.rank))
    return tuple(scaled_extent(dim, factor) for dim, factor in zip(x.shape, used, strict=True)), used


def _in_proportion(x: Value, axes: Sequence[int], extents: Sequence[Dim], policy: str) -> _Resized:
    """As large as fits into the extents ("not_larger"), or as covers them, all axes by one factor."""
    pairs = [(x.shape[axis], wish) for axis, wish in zip(axes, extents, strict=True)]
    ratios = [new / old for old, new in pairs if isinstance(old, int) and isinstance(new, int)]
    if len(ratios) < len(pairs):
        raise UnsupportedError("keeping the aspect ratio needs known extents", hint="fix them with shapes=")
    factor = min(ratios) if policy == "not_larger" else max(ratios)
    shape: list[Any] = list(x.shape)
    for axis in axes:
        shape[axis] = int(shape[axis] * factor + 0.5)
    return tuple(shape), tuple(factor if n in axes else 1.0 for n in range(x.type.rank))


def _given(value: Value | None) -> bool:
    """Whether an operand is there; before opset 13 an empty tensor stands for an absent one."""
    return value is not None and value.shape != (0,)


def _sizes(value: Value | None) -> tuple[Dim, ...]:
    if not _given(value):
        return ()
    return dims(value) or ints(value, "sizes")


def _numbers(value: Value | None, name: str) -> tuple[float, ...]:
    if not _given(value):
        return ()
    array = wanted(value)
    if array is None or array.dtype == object:
        raise UnsupportedError(
            f"its operand '{name}' must be known when the model is compiled", hint="make it a constant"
        )
    return tuple(map(float, array.reshape(-1)))


def scaled_extent(extent: Dim, factor: float) -> Dim:
    """floor(extent * factor); of a symbolic extent where the factor is a plain fraction."""
    if isinstance(extent, int):
        return int(extent * factor)
    from fractions import Fraction  # brings decimal numbers along

    ratio = Fraction(factor).limit_denominator(4096)
    if float(ratio) != factor:
        raise UnsupportedError(
            f"its extent '{extent}' times {factor} is not known", hint="fix it with shapes="
        )
    return extent * ratio.numerator // ratio.denominator


def _region(values: tuple[float, ...], axes: tuple[int, ...], rank: int) -> tuple[float, ...]:
    """The roi of the chosen axes as one of all axes, starts then ends."""
    if len(values) != 2 * len(axes):
        raise ModelError(f"'roi' has {len(values)} entries, expected {2 * len(axes)}")
    full = [0.0] * rank + [1.0] * rank
    for n, axis in enumerate(axes):
        full[axis], full[rank + axis] = values[n], values[len(axes) + n]
    return tuple(full)


@converter("Resize", since=11)
def resize_11(
    x,
    roi,
    scales,
    sizes=None,
    *,
    coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    extrapolation_value=0.0,
    mode="nearest",
    nearest_mode="round_prefer_floor",
):
    return resize_13(
        x,
        roi,
        scales,
        sizes,
        coordinate_transformation_mode=coordinate_transformation_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation_value=extrapolation_value,
        mode=mode,
        nearest_mode=nearest_mode,
    )


@converter("Resize", since=13)
def resize_13(
    x,
    roi=None,
    scales=None,
    sizes=None,
    *,
    coordinate_transformation_mode="half_pixel",
    cubic_coeff_a=-0.75,
    exclude_outside=0,
    extrapolation_value=0.0,
    mode="nearest",
    nearest_mode="round_prefer_floor",
):
    return resize(
        x,
        roi,
        scales,
        sizes,
        coordinate_transformation_mode=coordinate_transformation_mode,
        cubic_coeff_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        extrapolation_value=extrapolation_value,
        mode=mode,
        nearest_mode=nearest_mode,
    )


@converter("Resize", since=10)
def resize_10(x, scales, *, mode="nearest"):
    return resize(
        x, None, scales, coordinate_transformation_mode="asymmetric", mode=mode, nearest_mode="floor"
    )


@converter("Upsample", since=9, until=10)
def upsample(x, scales, *, mode="nearest"):
    return resize_10(x, scales, mode=mode)


@converter("Upsample", since=7)
def upsample_7(x, *, mode="nearest", scales):
    return nn.resize(
        x,
        shape=tuple(scaled_extent(dim, factor) for dim, factor in zip(x.shape, scales, strict=True)),
        scales=tuple(scales),
        mode=mode,
        coordinates="asymmetric",
        nearest="floor",
    )


@converter("GridSample", since=20)
def grid_sample(x, grid, *, align_corners=0, mode="linear", padding_mode="zeros"):
    return nn.grid_sample(x, grid, mode=mode, padding=padding_mode, align_corners=bool(align_corners))


@converter("GridSample", since=16)
def grid_sample_16(x, grid, *, align_corners=0, mode="bilinear", padding_mode="zeros"):
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    return grid_sample(x, grid, align_corners=align_corners, mode=mode, padding_mode=padding_mode)
