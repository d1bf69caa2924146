"""Contractions: matrix product, einsum, convolution and its transpose. NCHW with OIHW weights.

Floats narrower than f32 are multiplied and summed in f32, and rounded once.
"""

from math import gcd

import numpy as np

from ..diagnostics import TypeRuleError
from ..ir.dims import Dim, ceildiv, floordiv, product
from ..ir.types import TensorType
from ..tile.stage import Affine
from ..tile.writer import Ref, Stages
from .engine import Cost, Tolerance, case, op
from .rules import broadcast_shapes, differ, same_dtype, wide, widen
from .window import Window, check_entries, padded, padding_of

_TOLERANCE = Tolerance(relative=2e-5, absolute=2e-5)


def _matmul_type(x: TensorType, y: TensorType) -> TensorType:
    dtype = same_dtype(x, y)
    if x.rank < 2 or y.rank < 2:
        raise TypeRuleError(
            f"matmul needs rank 2 or more, got {x} and {y}", hint="reshape vectors to matrices"
        )
    if differ(x.shape[-1], y.shape[-2]):
        raise TypeRuleError(f"inner dimensions differ: {x} times {y}")
    batch = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return TensorType(dtype, (*batch, x.shape[-2], y.shape[-1]))


def _matmul_cost(results: tuple[TensorType, ...], x: TensorType, _: TensorType) -> Cost:
    return Cost(macs=results[0].elements * x.shape[-1])


def _matmul_stages(s: Stages, x: Ref, y: Ref) -> None:
    result = s.results[0]
    dtype = wide(x.dtype)
    *batch, m, n = s.dims(*result.shape)
    (k,) = s.reduce(x.shape[-1])
    left = x.broadcast(batch, m, k).cast(dtype)
    right = y.broadcast(batch, k, n).cast(dtype)
    s.store(result[(*batch, m, n)], left * right, "sum")


@op(
    "nn.matmul",
    infer=_matmul_type,
    stages=_matmul_stages,
    cost=_matmul_cost,
    tolerance=_TOLERANCE,
    samples=(
        case("f32[5, 7]", "f32[7, 3]"),
        case("f32[2, 1, 5, 7]", "f32[3, 7, 4]"),
        case("f32[2, 1, 1]", "f32[1, 3]"),
        case("f64[1, 33]", "f64[33, 40]"),
        case("f16[4, 9]", "f16[9, 5]"),
        case("i32[3, 4]", "i32[4, 5]"),
    ),
)
def matmul(x, y):
    """Matrix product over the last two axes, numpy broadcasting over the others."""
    return np.matmul(widen(x), widen(y)).astype(x.dtype, copy=False)


def _labels(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """One letter for each axis of each operand, and those of the result.

    An ellipsis becomes Greek letters, counted from the right so that its axes broadcast. Without `->` the result has
    the labels that occur once, sorted.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise TypeRuleError(f"einsum '{equation}' names {len(terms)} operands, got {len(ranks)}")
    spread = 0
    operands = []
    for term, rank in zip(terms, ranks, strict=True):
        hidden = rank - len(term.replace("...", "")) if "..." in term else 0
        if hidden < 0 or len(term.replace("...", "")) + hidden != rank:
            raise TypeRuleError(f"einsum '{equation}': '{term}' does not fit an operand of rank {rank}")
        spread = max(spread, hidden)
        operands.append(term.replace("...", _ELLIPSIS[len(_ELLIPSIS) - hidden :]))
    hidden_labels = _ELLIPSIS[len(_ELLIPSIS) - spread :]
    if arrow:
        result = right.replace("...", hidden_labels)
    else:
        every = "".join(operands)
        result = hidden_labels + "".join(
            sorted(c for c in set(every) - set(_ELLIPSIS) if every.count(c) == 1)
        )
    unknown = [c for c in result if not any(c in term for term in operands)]
    if unknown or len(set(result)) != len(result) or not all(c.isalpha() for c in "".join(operands)):
        raise TypeRuleError(f"einsum: '{equation}' is not a valid equation")
    return operands, result


_ELLIPSIS = "αβγδεζηθ"


def _einsum_extents(terms: list[str], operands: tuple[TensorType, ...]) -> dict[str, Dim]:
    extents: dict[str, Dim] = {}
    for term, operand in zip(terms, operands, strict=True):
        for label, extent in zip(term, operand.shape, strict=True):
            known = extents.setdefault(label, extent)
            if known == 1:
                extents[label] = extent
            elif extent != 1 and differ(known, extent):
                raise TypeRuleError(f"einsum: axis '{label}' is {known} and {extent}")
    return extents


def _einsum_type(*operands: TensorType, equation: str) -> TensorType:
    terms, result = _labels(equation, [operand.rank for operand in operands])
    extents = _einsum_extents(terms, operands)
    return TensorType(same_dtype(*operands), tuple(extents[label] for label in result))


def _einsum_cost(results: tuple[TensorType, ...], *operands: TensorType, equation: str) -> Cost:
    terms, _ = _labels(equation, [operand.rank for operand in operands])
    points = product(_einsum_extents(terms, operands).values())
    return Cost(macs=points * (len(operands) - 1)) if len(operands) > 1 else Cost(operations=points)


def _einsum_stages(s: Stages, *operands: Ref, equation: str) -> None:
    """Operands are contracted from left to right, each label summed as soon as nothing further needs it."""
    terms, result = _labels(equation, [operand.rank for operand in operands])
    types = tuple(TensorType(operand.dtype, operand.shape) for operand in operands)
    extents = _einsum_extents(terms, types)
    dims = dict(zip(extents, s.dims(*extents.values()), strict=True))
    dtype = wide(operands[0].dtype)
    total, held = None, set()
    for n, (term, operand) in enumerate(zip(terms, operands, strict=True)):
        index = [
            dims[label] if extent != 1 or extents[label] == 1 else 0
            for label, extent in zip(term, operand.shape, strict=True)
        ]
        element = operand.at(*index).cast(dtype)
        total = element if total is None else total * element
        held |= set(term)
        needed = set(result).union(*terms[n + 1 :])
        combine = "sum" if held - needed else None
        if n == len(terms) - 1:
            s.store(s.results[0].at(*(dims[label] for label in result)), total, combine)
        elif combine:
            held &= needed
            total = s.total(combine, total, [dims[label] for label in extents if label in held])


@op(
    "nn.einsum",
    infer=_einsum_type,
    stages=_einsum_stages,
    cost=_einsum_cost,
    tolerance=_TOLERANCE,
    samples=(
        case("f32[3, 5, 4]", "f32[3, 4, 7]", equation="bij,bjk->bik"),
        case("f32[2, 1, 5, 3]", "f32[4, 3, 2]", equation="...ij, ...jk"),
        case("f64[4, 5]", "f64[5, 3]", "f64[3, 2]", equation="ij,jk,kl->li"),
        case("f32[5, 5, 3]", equation="iik->k"),
        case("i32[4, 3]", equation="ij->ji"),
    ),
)
def einsum(*operands, equation: str):
    """Einstein summation in numpy's notation; axes of extent 1 broadcast, a label used twice takes a diagonal."""
    out = np.einsum(equation.replace(" ", ""), *map(widen, operands), optimize=len(operands) > 1)
    return np.ascontiguousarray(out).astype(operands[0].dtype, copy=False)


def _conv_type(x: TensorType, w: TensorType, bias: TensorType | None, *, strides, pads, dilations, groups):
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


def _conv_stages(s: Stages, x: Ref, w: Ref, bias: Ref | None, *, strides, pads, dilations, groups) -> None:
    y = s.results[0]
    dtype = wide(x.dtype)
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
    taps = s.reduce(*w.shape[2:])
    (c,) = s.reduce(per_group)
    channel = g * per_group + c if groups > 1 else c
    window = Window(w.shape[2:], strides, dilations, padding_of(pads))
    source = window.read(s, x, (b, channel), positions, taps)
    element = source.cast(dtype) * w.at(output, c, *taps).cast(dtype)
    target = y.at(b, output, *positions)
    if bias is None:
        s.store(target, element, "sum")
    else:
        axes = [b, g, o, *positions] if groups > 1 else [b, o, *positions]
        s.store(target, s.total("sum", element, axes) + bias[output].cast(dtype))


@op(
    "nn.conv",
    infer=_conv_type,
    stages=_conv_stages,
    cost=_conv_cost,
    tolerance=_TOLERANCE,
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
    windows = Window(w.shape[2:], strides, dilations, padding_of(pads)).windows(widen(x))
    extents = windows.shape[x.ndim :]
    columns = windows.reshape(x.shape[0], groups, -1, int(np.prod(extents)))
    y = widen(w).reshape(groups, w.shape[0] // groups, -1) @ columns
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
    s: Stages, size: Dim, extent: Dim, kernel: int, stride: int, dilation: int, pad: int
) -> tuple[list[Affine], Affine, Affine, Affine]:
    """One axis of a transposed convolution without wasted products: new parallel dims, and where it reads x, w and
    writes y.

    y[o] sums w[k] x[i] over o + pad = stride * i + dilation * k. With h = gcd(stride, dilation), s = stride / h and
    d = dilation / h, every o + pad is h (s q + d r) + u for one q, one r < s, one u < h. Then k = s j + r and
    i = q - d j for all j; where u > 0 there is no term, so i is sent out of range.
    """
    h = gcd(stride, dilation)
    s_, d_ = stride // h, dilation // h
    taps = ceildiv(kernel, s_)
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
    inputs, outputs = w.shape[:2]
    sizes = (
        *w.shape,
        *(x.shape[2:] if any(gcd(*axis) > 1 for axis in zip(strides, dilations, strict=True)) else ()),
    )
    if not all(isinstance(size, int) for size in sizes):
        return NotImplemented
    (b,) = s.dims(y.shape[0])
    (o,) = s.dims(outputs)
    (g,) = s.dims(groups) if groups > 1 else (Affine(),)
    axes = [
        _transposed_axis(s, x.shape[2 + n], y.shape[2 + n], w.shape[2 + n], strides[n], dilations[n], pads[n])
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
    tolerance=_TOLERANCE,
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
    weights = widen(w).reshape(groups, inputs // groups, -1).swapaxes(1, 2)
    columns = (weights @ widen(x).reshape(batch, groups, inputs // groups, -1)).reshape(
        batch, groups * outputs, *kernel, *sizes
    )
    reach = [
        (size - 1) * stride + dilation * (k - 1) + 1
        for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True)
    ]
    y = np.zeros((batch, groups * outputs, *reach), columns.dtype)
    for taps in np.ndindex(*kernel):
        part = (
            slice(tap * dilation, tap * dilation + (size - 1) * stride + 1, stride)
            for tap, dilation, size, stride in zip(taps, dilations, sizes, strides, strict=True)
        )
        y[(..., *part)] += columns[(slice(None), slice(None), *taps)]
    cut = [
        (-before, more - after)
        for (before, after), more in zip(padding_of(pads), output_padding, strict=True)
    ]
    return _with_bias(padded(y, cut), bias).astype(x.dtype, copy=False)
