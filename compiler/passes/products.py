"""What an array of multipliers can do of ops that are no product as they stand: transposed convolutions become
convolutions of which the pixels are shuffled, interpolation with constant coefficients a product with a matrix.

For precisions in which such an array computes; in f32 these ops are tiled as they are.
"""

from itertools import product as cartesian
from math import prod
from typing import Any

import numpy as np

from ..ir.graph import Value, constant
from ..ops import contract, convolution, resize, shape
from ..rewrite import As, Const, Maybe, Rule, Var
from .base import Rewrite


def _transposed(x: Value, w: Value, y: Value, bias: Value | None = None, **_: Any) -> Value | None:
    """One convolution computes, as channels, what each result position modulo the strides gets: for one position after
    the other all channels, which are copied together where channels come last."""
    given = y.node.attributes
    strides, groups, rank = given["strides"], given["groups"], x.type.rank - 2
    weights, sizes = w.constant, x.shape[2:]
    assert weights is not None
    kernel, begins = weights.shape[2:], given["pads"][:rank]
    taps = [-(-k // s) for k, s in zip(kernel, strides)]
    whole = [(n + t - 1) * s for n, t, s in zip(sizes, taps, strides)]
    if max(given["dilations"]) > 1 or not x.type.is_static:
        return None
    if any(begin + size > full for begin, size, full in zip(begins, y.shape[2:], whole)):
        return None  # what lies behind the last product
    outputs = weights.shape[1]
    phases = prod(strides)
    kernels = _phases(weights, strides, taps).reshape(phases, groups, -1, outputs, *taps)
    kernels = np.moveaxis(kernels, (1, 0, 3), (0, 1, 2)).reshape(groups * phases * outputs, -1, *taps)
    shift = None
    if bias is not None:
        assert bias.constant is not None
        shift = constant(np.tile(bias.constant.reshape(groups, 1, outputs), (1, phases, 1)).reshape(-1))
    around = tuple(t - 1 for t in taps)
    ones = (1,) * rank
    how = {"strides": ones, "pads": around * 2, "dilations": ones, "groups": groups}
    sums = convolution.conv(x, constant(np.ascontiguousarray(kernels)), shift, **how)
    places = sums.shape[2:]
    apart = shape.reshape(sums, shape=(x.shape[0], groups, *strides, outputs, *places))
    order = (0, 1, 2 + rank, *(part for n in range(rank) for part in (3 + rank + n, 2 + n)))
    mixed = shape.reshape(shape.transpose(apart, perm=order), shape=(x.shape[0], groups * outputs, *whole))
    return shape.slice_of(mixed, starts=(0, 0, *begins), sizes=y.shape, steps=(1,) * (rank + 2))


def _phases(weights: np.ndarray, strides: tuple[int, ...], taps: list[int]) -> np.ndarray:
    """[phases, inputs, outputs, *taps]: the taps that meet each position modulo the strides, last one first."""
    found = []
    filled = np.zeros((*weights.shape[:2], *(t * s for t, s in zip(taps, strides))), weights.dtype)
    filled[tuple(slice(extent) for extent in weights.shape)] = weights
    for phase in cartesian(*map(range, strides)):
        every = (slice(None), slice(None), *(slice(p, None, s) for p, s in zip(phase, strides)))
        found.append(filled[every])
    return np.flip(np.stack(found), tuple(range(3, 3 + len(taps))))


def _interpolated(x: Value, indices: Value, coefficients: Value, y: Value, **_: Any) -> Value | None:
    """The axis goes last, is multiplied with [elements, results], and goes back."""
    axis, rank = y.node.attributes["axis"], x.type.rank
    places, shares = indices.constant, coefficients.constant
    if y.node.attributes["fill"] is not None or rank < 2 or not x.dtype.is_float:
        return None
    assert places is not None
    assert shares is not None
    matrix = np.zeros((x.shape[axis], len(places)), np.float64)
    for tap in range(places.shape[1]):
        np.add.at(matrix, (places[:, tap], np.arange(len(places))), shares[:, tap])
    order = (*(n for n in range(rank) if n != axis), axis)
    back = tuple(int(n) for n in np.argsort(order))
    product = contract.matmul(shape.transpose(x, perm=order), constant(matrix.astype(np.float32), x.dtype))
    return shape.transpose(product, perm=back)


RULES = (
    Rule(
        "transposed convolution => convolution and shuffled pixels",
        As("y", convolution.conv_transpose(Var("x"), Const("w"), Maybe("bias", constant=True))),
        _transposed,
        samples=(
            {
                "x": "f32[2, 4, 5, 3]",
                "w": "f32[4, 3, 3, 2]",
                "bias": np.arange(6, dtype=np.float32),
                "nn.conv_transpose.strides": (2, 3),
                "nn.conv_transpose.pads": (1, 0, 1, 0),
                "nn.conv_transpose.dilations": (1, 1),
                "nn.conv_transpose.output_padding": (1, 0),
                "nn.conv_transpose.groups": 2,
            },
            {
                "x": "f32[1, 2, 6]",
                "w": "f32[2, 4, 4]",
                "nn.conv_transpose.strides": (2,),
                "nn.conv_transpose.pads": (1, 2),
                "nn.conv_transpose.dilations": (1,),
                "nn.conv_transpose.output_padding": (0,),
            },
        ),
    ),
    Rule(
        "interpolation => product",
        As("y", resize.resample(Var("x"), Const("indices"), Const("coefficients"))),
        _interpolated,
        samples=(
            {
                "x": "f32[2, 5, 3]",
                "indices": ("i64[7, 2]", 0, 5),
                "coefficients": "f32[7, 2]",
                "nn.resample.axis": 1,
            },
        ),
    ),
)

PRODUCTS = Rewrite("products", RULES)
