"""Pooling, in the IR's explicit form: rounding up and automatic padding become end pads."""

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value, constant
from ...build import math, nn, reduce, shape
from ...known import ints
from ...normalise import ceil_overhang
from ..table import converter
from .linear import explicit_pads, ones


def window(x: Value, kernel_shape, strides, dilations, pads, auto_pad: str, ceil_mode: int):
    """kernel, strides, dilations, pads and overhang (end pads that only rounding up causes) of a window op."""
    kernel = tuple(kernel_shape)
    if len(kernel) != x.type.rank - 2:
        raise ModelError(f"'kernel_shape' {list(kernel)} does not fit an input of {x.type}")
    strides, dilations = ones(strides, len(kernel)), ones(dilations, len(kernel))
    pads = explicit_pads(x, kernel, strides, dilations, pads, auto_pad)
    overhang = (0,) * len(kernel)
    if ceil_mode and not auto_pad.startswith("SAME"):
        overhang = ceil_overhang(x.shape[2:], kernel, strides, dilations, pads)
    return kernel, strides, dilations, pads, overhang


def _with_overhang(pads: tuple[int, ...], overhang: tuple[int, ...]) -> tuple[int, ...]:
    half = len(overhang)
    return (*pads[:half], *(pad + extra for pad, extra in zip(pads[half:], overhang, strict=True)))


@converter("MaxPool", since=10)
def max_pool(
    x,
    *,
    auto_pad="NOTSET",
    ceil_mode=0,
    dilations=None,
    kernel_shape,
    pads=None,
    storage_order=0,
    strides=None,
    call,
):
    kernel, strides, dilations, pads, overhang = window(
        x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode
    )
    form = {
        "kernel": kernel,
        "strides": strides,
        "pads": _with_overhang(pads, overhang),
        "dilations": dilations,
    }
    if not call.wants(1):
        return nn.max_pool(x, **form)
    values, indices = nn.max_pool_indices(x, **form)
    if storage_order:
        indices = _column_major(indices, x)
    return values, indices


def _column_major(indices: Value, x: Value) -> Value:
    """Flat row-major positions in the whole tensor, counted with the spatial axes in the opposite order."""
    if not x.type.is_static:
        raise UnsupportedError("storage_order=1 needs known extents", hint="fix the dimensions with shapes=")
    extents = x.type.static_shape[2:]
    rest, place, stride = indices, None, 1
    parts: list[Value] = []
    for extent in reversed(extents):
        parts.insert(0, math.mod(rest, extent))
        rest = math.div(rest, extent)
    for part, extent in zip(parts, extents, strict=True):
        term = math.mul(part, stride)
        place = term if place is None else math.add(place, term)
        stride *= extent
    return math.add(place, math.mul(rest, stride))


@converter("MaxPool", since=8)
def max_pool_8(x, *, auto_pad="NOTSET", kernel_shape, pads=None, storage_order=0, strides=None, call):
    return max_pool(
        x,
        auto_pad=auto_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        storage_order=storage_order,
        strides=strides,
        call=call,
    )


@converter("MaxPool")
def max_pool_1(x, *, auto_pad="NOTSET", kernel_shape, pads=None, strides=None, call):
    return max_pool(x, auto_pad=auto_pad, kernel_shape=kernel_shape, pads=pads, strides=strides, call=call)


@converter("AveragePool", since=19)
def average_pool(
    x,
    *,
    auto_pad="NOTSET",
    ceil_mode=0,
    count_include_pad=0,
    dilations=None,
    kernel_shape,
    pads=None,
    strides=None,
):
    kernel, strides, dilations, pads, overhang = window(
        x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode
    )
    return nn.avg_pool(
        x,
        kernel=kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        count_include_pad=bool(count_include_pad),
        overhang=overhang,
    )


@converter("AveragePool", since=10)
def average_pool_10(
    x, *, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, kernel_shape, pads=None, strides=None
):
    return average_pool(
        x,
        auto_pad=auto_pad,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )


@converter("AveragePool", since=7)
def average_pool_7(x, *, auto_pad="NOTSET", count_include_pad=0, kernel_shape, pads=None, strides=None):
    return average_pool(
        x,
        auto_pad=auto_pad,
        count_include_pad=count_include_pad,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )


@converter("LpPool", since=18)
def lp_pool(x, *, auto_pad="NOTSET", ceil_mode=0, dilations=None, kernel_shape, p=2, pads=None, strides=None):
    kernel, strides, dilations, pads, overhang = window(
        x, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode
    )
    return nn.lp_pool(
        x, kernel=kernel, strides=strides, pads=_with_overhang(pads, overhang), dilations=dilations, p=p
    )


@converter("LpPool", since=2)
def lp_pool_2(x, *, auto_pad="NOTSET", kernel_shape, p=2, pads=None, strides=None):
    return lp_pool(x, auto_pad=auto_pad, kernel_shape=kernel_shape, p=p, pads=pads, strides=strides)


def _spatial(x: Value) -> tuple[int, ...]:
    return tuple(range(2, x.type.rank))


@converter("GlobalAveragePool")
def global_average_pool(x):
    return reduce.mean(x, axes=_spatial(x))


@converter("GlobalMaxPool")
def global_max_pool(x):
    return reduce.max(x, axes=_spatial(x))


@converter("GlobalLpPool", since=2)
def global_lp_pool(x, *, p=2):
    total = reduce.sum(math.pow(math.abs(x), float(p)), axes=_spatial(x))
    return math.pow(total, 1.0 / p)


@converter("MaxUnpool", since=9)
def max_unpool(x, indices, output_shape=None, *, kernel_shape, pads=None, strides=None):
    """Values go back to the flat positions that the pooling noted; the rest is 0."""
    spatial = len(kernel_shape)
    strides, pads = ones(strides, spatial), tuple(pads) if pads else (0,) * (2 * spatial)
    tight = (
        *x.shape[:2],
        *(
            (x.shape[2 + n] - 1) * strides[n] + kernel_shape[n] - pads[n] - pads[n + spatial]
            for n in range(spatial)
        ),
    )
    target = tight if output_shape is None else ints(output_shape, "output_shape")
    size = product(tight)
    zeros = shape.expand(constant(0, x.dtype), shape=(size,))
    flat = shape.scatter_elements(
        zeros,
        shape.reshape(indices, shape=(product(indices.shape),)),
        shape.reshape(x, shape=(product(x.shape),)),
        axis=0,
        reduction="none",
    )
    out = shape.reshape(flat, shape=tight)
    if tuple(target) == tuple(tight):
        return out
    ends = [t - n for t, n in zip(target, tight, strict=True)]
    return shape.pad(out, pads=(*(0 for _ in ends), *ends))
