"""Pooling: torch's one number for all axes, rounding up, and windows that adapt to an output's size."""

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import product
from ....compiler.ir.graph import Value
from ...build import math, nn, reduce
from ...normalise import ceil_overhang
from ..schema import Dims, Ints
from ..table import converter
from .layout import along, cat, reshaped
from .linear import batched, window

MOST_WINDOWS = 4096
"""Windows of adaptive pooling that are written out one by one."""


def _window(
    x: Value, kernel_size: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool, n: int
):
    """Kernel, strides, pads, dilations, and the end pads that only rounding up causes."""
    kernel = window(n, kernel_size, "kernel_size", 1)
    strides = window(n, stride, "stride", 1) if stride else kernel
    pads, dilations = window(n, padding, "padding", 0), window(n, dilation, "dilation", 1)
    over = (0,) * n
    if ceil_mode:
        over = ceil_overhang(x.shape[2:], kernel, strides, dilations, (*pads, *pads))
    return kernel, strides, pads, dilations, over


def _max_pool(x: Value, kernel_size, stride, padding, dilation, ceil_mode, n: int, indices: bool = False):
    x, whole = batched(x, n)
    kernel, strides, pads, dilations, over = _window(x, kernel_size, stride, padding, dilation, ceil_mode, n)
    ends = tuple(pad + extra for pad, extra in zip(pads, over, strict=True))
    form = {"kernel": kernel, "strides": strides, "pads": (*pads, *ends), "dilations": dilations}
    if not indices:
        y = nn.max_pool(x, **form)
        return y if whole else reshaped(y, y.shape[1:])
    plane = product(x.shape[2:])
    if not isinstance(plane, int):
        raise UnsupportedError(
            "positions in planes of open size are not supported", hint="fix them with shapes="
        )
    y, places = nn.max_pool_indices(x, **form)
    places = math.mod(places, plane)  # the IR counts through the whole tensor, torch in each plane
    return (y, places) if whole else (reshaped(y, y.shape[1:]), reshaped(places, y.shape[1:]))


def _register(n: int) -> None:
    @converter(f"max_pool{n}d")
    def max_pool(
        self,
        kernel_size: Ints,
        stride: Ints = (),
        padding: Ints = (0,),
        dilation: Ints = (1,),
        ceil_mode: bool = False,
    ):
        return _max_pool(self, kernel_size, stride, padding, dilation, ceil_mode, n)

    @converter(f"max_pool{n}d_with_indices")
    def max_pool_with_indices(
        self,
        kernel_size: Ints,
        stride: Ints = (),
        padding: Ints = (0,),
        dilation: Ints = (1,),
        ceil_mode: bool = False,
    ):
        return _max_pool(self, kernel_size, stride, padding, dilation, ceil_mode, n, True)

    @converter(f"avg_pool{n}d")
    def avg_pool(
        self,
        kernel_size: Ints,
        stride: Ints = (),
        padding: Ints = (0,),
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        x, whole = batched(self, n)
        kernel, strides, pads, ones, over = _window(x, kernel_size, stride, padding, (1,), ceil_mode, n)
        counted = count_include_pad or divisor_override is not None
        form = {"kernel": kernel, "strides": strides, "dilations": ones, "count_include_pad": counted}
        y = nn.avg_pool(x, pads=(*pads, *pads), overhang=over, **form)
        if divisor_override is not None:
            if any(over):
                raise UnsupportedError(
                    "its own divisor with rounding up is not supported", hint="use one of them"
                )
            y = math.mul(y, float(np.prod(kernel)) / divisor_override)
        return y if whole else reshaped(y, y.shape[1:])

    @converter(f"adaptive_avg_pool{n}d")
    def adaptive_avg_pool(self, output_size: Dims):
        return _adaptive(self, output_size, n, reduce.mean, "avg")

    @converter(f"adaptive_max_pool{n}d")
    def adaptive_max_pool(self, output_size: Dims, *, call):
        if call.wants(1):
            raise UnsupportedError("the positions of its maxima are not computed", hint="use the values only")
        return _adaptive(self, output_size, n, reduce.max, "max"), None


for _n in (1, 2, 3):
    _register(_n)


def _adaptive(x: Value, output_size: Dims, n: int, reduction, kind: str) -> Value:
    """Windows from floor(i * in / out) to ceil((i + 1) * in / out): axis after axis where they differ in size."""
    sizes = (tuple(output_size) * n)[:n] if len(output_size) == 1 else tuple(output_size)
    first = x.type.rank - n
    if all(size == 1 for size in sizes):
        return reduction(x, axes=tuple(range(first, x.type.rank)))
    extents = _known(x.shape[first:])
    wanted = _known(sizes)
    if extents is None or wanted is None:
        raise UnsupportedError(
            f"windows of {x.type} for {list(sizes)} are not known", hint="fix them with shapes="
        )
    if all(extent % size == 0 for extent, size in zip(extents, wanted, strict=True)):
        kernel = tuple(extent // size for extent, size in zip(extents, wanted, strict=True))
        x, whole = batched(x, n)
        pool = nn.avg_pool if kind == "avg" else nn.max_pool
        y = pool(x, kernel=kernel, strides=kernel, pads=(0,) * (2 * n), dilations=(1,) * n)
        return y if whole else reshaped(y, y.shape[1:])
    if sum(wanted) > MOST_WINDOWS:
        raise UnsupportedError(
            f"{list(wanted)} windows of {list(extents)} elements, which differ in size",
            hint="use a size that divides them",
        )
    for axis, (extent, size) in enumerate(zip(extents, wanted, strict=True), first):
        bounds = [(i * extent // size, -(-(i + 1) * extent // size)) for i in range(size)]
        x = cat(tuple(reduction(along(x, axis, a, b - a), axes=(axis,)) for a, b in bounds), axis)
    return x


def _known(sizes: Dims) -> Ints | None:
    """Sizes as numbers, where all are known."""
    numbers = tuple(size for size in sizes if isinstance(size, int))
    return numbers if len(numbers) == len(sizes) else None
