"""Contractions: matrix product and convolution. NCHW with OIHW weights; pads are all begins, then all ends."""

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, product
from ..ir.types import TensorType
from ..tile.stage import Affine
from ..tile.writer import Ref, Stages
from .engine import Cost, case, op
from .rules import broadcast_shapes, same_dtype


def _matmul_type(x: TensorType, y: TensorType) -> TensorType:
    dtype = same_dtype(x, y)
    if x.rank < 2 or y.rank < 2:
        raise TypeRuleError(
            f"matmul needs rank 2 or more, got {x} and {y}", hint="reshape vectors to matrices"
        )
    if x.shape[-1] != y.shape[-2] and isinstance(x.shape[-1], int) and isinstance(y.shape[-2], int):
        raise TypeRuleError(f"inner dimensions differ: {x} times {y}")
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return TensorType(dtype, (*batch, x.shape[-2], y.shape[-1]))


def _matmul_cost(results: tuple[TensorType, ...], x: TensorType, _: TensorType) -> Cost:
    return Cost(macs=results[0].elements * x.shape[-1])


def _matmul_stages(s: Stages, x: Ref, y: Ref) -> None:
    result = s.results[0]
    *batch, m, n = s.dims(*result.shape)
    (k,) = s.reduce(x.shape[-1])
    s.store(result[(*batch, m, n)], x.broadcast([*batch, m, k]) * y.broadcast([*batch, k, n]), "sum")


@op(
    "nn.matmul",
    infer=_matmul_type,
    stages=_matmul_stages,
    cost=_matmul_cost,
    samples=(
        case("f32[5, 7]", "f32[7, 3]"),
        case("f32[2, 1, 5, 7]", "f32[3, 7, 4]"),
        case("f64[1, 33]", "f64[33, 40]"),
        case("i32[3, 4]", "i32[4, 5]"),
    ),
)
def matmul(x, y):
    """Matrix product over the last two axes, numpy broadcasting over the others."""
    return np.matmul(x, y)


def conv_extent(size: Dim, kernel: Dim, stride: int, dilation: int, pads: int) -> Dim:
    """Output extent of a window that slides over `size` elements."""
    return (size + pads - (dilation * (kernel - 1) + 1)) // stride + 1


def _conv_type(x: TensorType, w: TensorType, bias: TensorType | None, *, strides, pads, dilations, groups):
    spatial = x.rank - 2
    if spatial < 1 or w.rank != x.rank:
        raise TypeRuleError(f"conv needs x [N, C, ...] and w [O, C/groups, ...] of one rank, got {x} and {w}")
    for name, value, size in (
        ("strides", strides, spatial),
        ("pads", pads, 2 * spatial),
        ("dilations", dilations, spatial),
    ):
        if len(value) != size:
            raise TypeRuleError(f"conv: '{name}' has {len(value)} entries, expected {size}")
    if x.shape[1] != w.shape[1] * groups or (isinstance(w.shape[0], int) and w.shape[0] % groups):
        raise TypeRuleError(f"conv: channels of x {x} and w {w} do not fit {groups} groups")
    if bias is not None and bias.shape != (w.shape[0],):
        raise TypeRuleError(f"conv: bias is {bias}, expected one value per output channel of w {w}")
    extents = [
        conv_extent(x.shape[2 + n], w.shape[2 + n], strides[n], dilations[n], pads[n] + pads[n + spatial])
        for n in range(spatial)
    ]
    if any(isinstance(extent, int) and extent < 0 for extent in extents):
        raise TypeRuleError(f"conv: the window of w {w} is larger than the padded input {x}")
    return TensorType(same_dtype(x, w), (x.shape[0], w.shape[0], *extents))


def _conv_cost(
    results: tuple[TensorType, ...], x: TensorType, w: TensorType, *_: TensorType, **__: object
) -> Cost:
    return Cost(macs=results[0].elements * product(w.shape[1:]))


def _conv_stages(s: Stages, x: Ref, w: Ref, bias: Ref | None, *, strides, pads, dilations, groups) -> None:
    y = s.results[0]
    batch, outer, *extents = y.shape
    per_group = w.shape[1]
    (b,) = s.dims(batch)
    if groups == 1:
        (o,) = s.dims(outer)
        g, output = Affine(), o
    else:
        g, o = s.dims(groups, outer // groups)
        output = g * (outer // groups) + o
    positions = s.dims(*extents)
    window = s.reduce(*w.shape[2:])
    (c,) = s.reduce(per_group)
    at = [
        p * strides[n] + k * dilations[n] - pads[n]
        for n, (p, k) in enumerate(zip(positions, window, strict=True))
    ]
    channel = g * per_group + c
    source = x.at(b, channel, *at, fill=0 if any(pads) else None)
    product_ = source * w.at(output, c, *window)
    if bias is None:
        s.store(y.at(b, output, *positions), product_, "sum")
    else:
        axes = [b, g, o, *positions] if groups > 1 else [b, o, *positions]
        total = s.total("sum", product_, axes)
        s.store(y.at(b, output, *positions), total + bias[output])


@op(
    "nn.conv",
    infer=_conv_type,
    stages=_conv_stages,
    cost=_conv_cost,
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
    spatial = x.ndim - 2
    padded = np.pad(x, [(0, 0), (0, 0), *((pads[n], pads[n + spatial]) for n in range(spatial))])
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(2, x.ndim)))
    steps = (
        slice(None),
        slice(None),
        *(slice(None, None, n) for n in strides),
        *(slice(None, None, n) for n in dilations),
    )
    windows = windows[steps]  # [N, C, out..., window...]
    per_group, outputs = w.shape[1], w.shape[0] // groups
    axes = [1, *range(2 + spatial, 2 + 2 * spatial)]
    parts = [
        np.tensordot(
            windows[:, g * per_group : (g + 1) * per_group],
            w[g * outputs : (g + 1) * outputs],
            (axes, [1, *range(2, 2 + spatial)]),
        )
        for g in range(groups)
    ]
    y = np.moveaxis(np.concatenate(parts, axis=-1), -1, 1).astype(x.dtype, copy=False)
    return y if bias is None else y + bias.reshape(-1, *[1] * spatial)
