"""Convolution and its transpose, of any rank: x [N, C, ...], pads all begins, then all ends.

Floats narrower than f32 are multiplied and summed in f32, and rounded once.
"""

from math import gcd
from typing import Any, NamedTuple

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, ceildiv, floordiv, product
from ..ir.types import TensorType
from ..tile.stage import Affine, Load
from ..tile.writer import Ref, Stages
from .contract import CONTRACTION, multiplicand
from .engine import Cost, case, op
from .rules import differ, same_dtype, wide
from .window import Window, check_entries, padded, padding_of, spatially


def conv_type(x: TensorType, w: TensorType, bias: TensorType | None, *, strides, pads, dilations, groups):
    spatial = x.rank - 2
    if spatial < 1 or w.rank != x.rank:
        raise TypeRuleError(f"conv needs x [N, C, ...] and w [O, C/groups, ...] of one rank, got {x} and {w}")
    check_entries("conv", spatial, strides=strides, pads=pads, dilations=dilations)
    if differ(x.shape[1], w.shape[1] * groups) or (isinstance(w.shape[0], int) and w.shape[0] % groups):
        raise TypeRuleError(f"conv: channels of x {x} and w {w} do not fit {groups} groups")
    if bias is not None and (bias.rank != 1 or differ(bias.shape[0], w.shape[0])):
        raise TypeRuleError(f"conv: bias is {bias}, expected one value per output channel of w {w}")
    extents = Window(w.shape[2:], strides, dilations, padding_of(pads)).extents("conv", x)
    return TensorType(same_dtype(x, w), (x.shape[0], w.shape[0], *extents))


def _conv_cost(
    results: tuple[TensorType, ...], x: TensorType, w: TensorType, *_: TensorType, **__: object
) -> Cost:
    return Cost(macs=results[0].elements * product(w.shape[1:]))


class Products(NamedTuple):
    """What a convolution multiplies and sums: an element of x and of w, its place in the result, and the dims of that.

    `output` is the index of the output channel.
    """

    source: Load
    weight: Load
    target: Load
    output: Affine
    dims: list[Affine]


def conv_products(
    s: Stages, x: Ref, w: Ref, *, strides, pads, dilations, groups, fill: float = 0
) -> Products | None:
    """New dims for a convolution; None for groups of channels that are not numbers. `fill` is what x is padded with."""
    batch, outer, *extents = s.results[0].shape
    per_group = w.shape[1]
    (b,) = s.dims(batch)
    if groups == 1:
        (o,) = s.dims(outer)
        group, output, first = [], o, Affine()
    elif isinstance(outer, int) and isinstance(per_group, int):
        g, o = s.dims(groups, outer // groups)
        group, output, first = [g], g * (outer // groups) + o, g * per_group
    else:
        return None
    positions = s.dims(*extents)
    taps = s.reduce(*w.shape[2:])
    (c,) = s.reduce(per_group)
    window = Window(w.shape[2:], strides, dilations, padding_of(pads))
    source = window.read(s, x, (b, first + c), positions, taps, fill)
    target = s.results[0].at(b, output, *positions)
    return Products(source, w.at(output, c, *taps), target, output, [b, *group, o, *positions])


def _conv_stages(s: Stages, x: Ref, w: Ref, bias: Ref | None, **attributes: Any) -> Any:
    products = conv_products(s, x, w, **attributes)
    if products is None:
        return NotImplemented
    dtype = wide(x.dtype)
    element = products.source.cast(dtype) * products.weight.cast(dtype)
    if bias is None:
        s.store(products.target, element, "sum")
    else:
        total = s.total("sum", element, products.dims)
        s.store(products.target, total + bias[products.output].cast(dtype))
    return None


@op(
    "nn.conv",
    infer=conv_type,
    stages=_conv_stages,
    cost=_conv_cost,
    tolerance=CONTRACTION,
    samples=(
        case("f32[1, 3, 8, 9]", "f32[4, 3, 3, 3]", None, strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1)),
        case(
            "f32[2, 4, 7, 7]",
            "f32[6, 2, 3, 2]",
            "f32[6]",
            strides=(2, 1),
            pads=(1, 0, 0, 1),
            dilations=(1, 2),
            groups=2,
        ),
        case("f32[1, 6, 10]", "f32[6, 1, 5]", "f32[6]", strides=(1,), pads=(2, 2), dilations=(1,), groups=6),
        case(
            "f32[1, 2, 4, 5, 6]",
            "f32[3, 2, 2, 2, 2]",
            None,
            strides=(1, 2, 1),
            pads=(0,) * 6,
            dilations=(1, 1, 1),
        ),
        case("f16[1, 3, 7]", "f16[2, 3, 3]", "f16[2]", strides=(2,), pads=(1, 1), dilations=(1,)),
    ),
)
def conv(
    x,
    w,
    bias=None,
    *,
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    groups: int = 1,
):
    """Convolution of any rank (cross-correlation): x [N, C, ...], w [O, C/groups, ...], bias [O]."""
    windows = Window(w.shape[2:], strides, dilations, padding_of(pads)).windows(multiplicand(x))
    extents = windows.shape[x.ndim :]
    columns = windows.reshape(x.shape[0], groups, -1, int(np.prod(extents)))
    y = multiplicand(w).reshape(groups, w.shape[0] // groups, -1) @ columns
    return _with_bias(y.reshape(x.shape[0], w.shape[0], *extents), bias).astype(x.dtype, copy=False)


def _with_bias(y, bias):
    return y if bias is None else y + bias.reshape(-1, *[1] * (y.ndim - 2))


def _conv_transpose_type(
    x: TensorType,
    w: TensorType,
    bias: TensorType | None,
    *,
    strides,
    pads,
    dilations,
    output_padding,
    groups,
):
    spatial = x.rank - 2
    if spatial < 1 or w.rank != x.rank:
        raise TypeRuleError(
            f"conv_transpose needs x [N, C, ...] and w [C, O/groups, ...] of one rank, got {x} and {w}"
        )
    check_entries(
        "conv_transpose",
        spatial,
        strides=strides,
        pads=pads,
        dilations=dilations,
        output_padding=output_padding,
    )
    if min(*strides, *dilations) < 1 or min(output_padding) < 0:
        raise TypeRuleError(
            "conv_transpose: strides and dilations must be positive, output_padding not negative"
        )
    if differ(x.shape[1], w.shape[0]) or (isinstance(w.shape[0], int) and w.shape[0] % groups):
        raise TypeRuleError(f"conv_transpose: channels of x {x} and w {w} do not fit {groups} groups")
    outputs = w.shape[1] * groups
    if bias is not None and (bias.rank != 1 or differ(bias.shape[0], outputs)):
        raise TypeRuleError(
            f"conv_transpose: bias is {bias}, expected one value per output channel ({outputs})"
        )
    extents = [
        (size - 1) * strides[n] + dilations[n] * (w.shape[2 + n] - 1) + 1 + output_padding[n] - before - after
        for n, (size, (before, after)) in enumerate(zip(x.shape[2:], padding_of(pads), strict=True))
    ]
    if any(isinstance(extent, int) and extent < 1 for extent in extents):
        raise TypeRuleError(f"conv_transpose: pads {pads} cut away all of the result of x {x} and w {w}")
    return TensorType(same_dtype(x, w), (x.shape[0], outputs, *extents))


def _conv_transpose_cost(
    results: tuple[TensorType, ...], x: TensorType, w: TensorType, *_: TensorType, **__: object
) -> Cost:
    return Cost(macs=x.elements * product(w.shape[1:]))


def _transposed_axis(
    s: Stages, size: Any, extent: Dim, kernel: Any, stride: int, dilation: int, pad: int
) -> tuple[list[Affine], Affine, Affine, Affine]:
    """One axis of a transposed convolution without wasted products: new parallel dims, and where it reads x, w and
    writes y.

    y[o] sums w[k] x[i] over o + pad = stride * i + dilation * k. With h = gcd(stride, dilation), s = stride / h and
    d = dilation / h, every o + pad is h (s q + d r) + u for one q, one r < s, one u < h. Then k = s j + r and
    i = q - d j for all j; where u > 0 there is no term, so i is sent out of range.

    The places (q, r) may begin before and end behind the result. By a stride of 2 and an odd pad they need not: o is
    2 q + 1 - r, where q is counted anew for each r.
    """
    h = gcd(stride, dilation)
    s_, d_ = stride // h, dilation // h
    taps = ceildiv(kernel, s_)
    if (stride, dilation, pad % 2) == (2, 1, 1) and isinstance(extent, int) and extent % 2 == 0:
        q, r = s.dims(extent // 2, 2)
        (j,) = s.reduce(taps)
        return [q, r], q + pad // 2 + 1 - r - j, j * 2 + r, q * 2 + 1 - r
    first = -((d_ * (s_ - 1) - pad // h) // s_)  # smallest q, over all r, that gives o >= 0
    last = floordiv(floordiv(extent - 1 + pad, h), s_)
    (q,) = s.dims(last - first + 1)
    parallel = [q]
    r = u = Affine()
    if s_ > 1:
        (r,) = s.dims(s_)
        parallel.append(r)
    if h > 1:
        (u,) = s.dims(h)
        parallel.append(u)
    (j,) = s.reduce(taps)
    beyond = d_ * taps + abs(first)
    read = q + first - j * d_
    if h > 1:
        read = read + u * (size + beyond)
    return parallel, read, j * s_ + r, (q + first) * stride + r * dilation + u - pad


def _conv_transpose_stages(
    s: Stages, x: Ref, w: Ref, bias: Ref | None, *, strides, pads, dilations, output_padding, groups
) -> object:
    y = s.results[0]
    dtype = wide(x.dtype)
    inputs, outputs, *kernel = w.shape
    scaled = any(gcd(*axis) > 1 for axis in zip(strides, dilations, strict=True))
    factors = (inputs, outputs, *kernel, *(x.shape[2:] if scaled else ()))
    if not (
        isinstance(inputs, int) and isinstance(outputs, int) and all(isinstance(f, int) for f in factors)
    ):
        return NotImplemented
    (b,) = s.dims(y.shape[0])
    (o,) = s.dims(outputs)
    (g,) = s.dims(groups) if groups > 1 else (Affine(),)
    axes = [
        _transposed_axis(s, x.shape[2 + n], y.shape[2 + n], kernel[n], strides[n], dilations[n], pads[n])
        for n in range(x.rank - 2)
    ]
    (c,) = s.reduce(inputs // groups)
    channel = g * (inputs // groups) + c
    output = g * outputs + o
    source = s.guarded(x, b, channel, *(read for _, read, _, _ in axes))
    weight = s.guarded(w, channel, o, *(tap for _, _, tap, _ in axes))
    element = source.cast(dtype) * weight.cast(dtype)
    target = s.guarded(y, b, output, *(write for _, _, _, write in axes))
    if bias is None:
        s.store(target, element, "sum")
        return None
    over = [b, *([g] if groups > 1 else []), o, *(part for parallel, *_ in axes for part in parallel)]
    total = s.total("sum", element, over)
    s.store(target, total + bias[output].cast(dtype))
    return None


@op(
    "nn.conv_transpose",
    infer=_conv_transpose_type,
    stages=_conv_transpose_stages,
    cost=_conv_transpose_cost,
    tolerance=CONTRACTION,
    samples=(
        case(
            "f32[1, 3, 5, 4]",
            "f32[3, 2, 3, 4]",
            "f32[2]",
            strides=(2, 2),
            pads=(1, 1, 1, 0),
            dilations=(1, 1),
            output_padding=(1, 0),
        ),
        case(
            "f32[2, 4, 7]",
            "f32[4, 3, 5]",
            None,
            strides=(3,),
            pads=(2, 1),
            dilations=(2,),
            output_padding=(0,),
            groups=2,
        ),
        case(
            "f64[1, 2, 5]",
            "f64[2, 2, 3]",
            "f64[2]",
            strides=(4,),
            pads=(1, 0),
            dilations=(2,),
            output_padding=(3,),
        ),
        case(
            "f32[1, 2, 3, 2, 4]",
            "f32[2, 1, 2, 2, 3]",
            None,
            strides=(2, 1, 3),
            pads=(0,) * 6,
            dilations=(1, 1, 1),
            output_padding=(0, 0, 0),
        ),
        case(
            "f16[1, 2, 5]",
            "f16[2, 2, 2]",
            None,
            strides=(2,),
            pads=(0, 0),
            dilations=(1,),
            output_padding=(0,),
        ),
    ),
)
def conv_transpose(
    x,
    w,
    bias=None,
    *,
    strides: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...],
    output_padding: tuple[int, ...],
    groups: int = 1,
):
    """Transposed convolution: x [N, C, ...], w [C, O/groups, ...], bias [O]; `pads` cut, `output_padding` adds.

    y[stride * i + dilation * k - pad] is the sum of w[k] x[i]; an extent is
    (size - 1) * stride + dilation * (kernel - 1) + 1 + output_padding - pads.
    """
    batch, inputs, *sizes = x.shape
    outputs, *kernel = w.shape[1:]
    weights = multiplicand(w).reshape(groups, inputs // groups, -1).swapaxes(1, 2)
    columns = (weights @ multiplicand(x).reshape(batch, groups, inputs // groups, -1)).reshape(
        batch, groups * outputs, *kernel, *sizes
    )
    reach = [
        (size - 1) * stride + dilation * (k - 1) + 1
        for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    y = np.zeros((batch, groups * outputs, *reach), columns.dtype)
    for taps in np.ndindex(*kernel):
        reached = spatially(
            slice(tap * dilation, tap * dilation + (size - 1) * stride + 1, stride)
            for tap, dilation, size, stride in zip(taps, dilations, sizes, strides, strict=True)
        )
        y[reached] += columns[(slice(None), slice(None), *taps)]
    cut = tuple(
        (-before, more - after)
        for (before, after), more in zip(padding_of(pads), output_padding, strict=True)
    )
    return _with_bias(padded(y, cut), bias).astype(x.dtype, copy=False)
