"""Windows as columns and back, grids for sampling, bags of rows."""

import itertools

import numpy as np

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import i64
from ...build import math, nn, reduce, shape
from ...extents import positions
from ...products import product_of
from ...signals import folded
from ..promotion import cast
from ..schema import Ints
from ..table import converter
from .layout import along, cat, reshaped, stack, unsqueeze
from .linear import batched, window


@converter("im2col")
def im2col(self, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints):
    """[N, C, H, W] to [N, C * window, windows]."""
    x, whole = batched(self, 2)
    kernel, steps, apart = (window(2, given, "window", 1) for given in (kernel_size, stride, dilation))
    pads = window(2, padding, "padding", 0)
    x = shape.pad(x, pads=(0, 0, *pads, 0, 0, *pads)) if any(pads) else x
    counts = [(x.shape[2 + n] - apart[n] * (kernel[n] - 1) - 1) // steps[n] + 1 for n in range(2)]
    parts = []
    for row, column in itertools.product(range(kernel[0]), range(kernel[1])):
        line = along(x, 2, row * apart[0], counts[0], steps[0])
        parts.append(along(line, 3, column * apart[1], counts[1], steps[1]))
    batch, channels = x.shape[:2]
    out = reshaped(stack(tuple(parts), 2), (batch, channels * len(parts), counts[0] * counts[1]))
    return out if whole else reshaped(out, out.shape[1:])


@converter("col2im")
def col2im(self, output_size: Ints, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints):
    """[N, C * window, windows] to [N, C, H, W]; where windows overlap, they are added."""
    x, whole = (unsqueeze(self, 0), False) if self.type.rank == 2 else (self, True)
    kernel, steps, apart = (window(2, given, "window", 1) for given in (kernel_size, stride, dilation))
    pads = window(2, padding, "padding", 0)
    out = folded(x, output_size, kernel, steps, apart, (*pads, *pads))
    return out if whole else reshaped(out, out.shape[1:])


@converter("affine_grid_generator")
def affine_grid(theta, size: Ints, align_corners: bool):
    """The places from -1 to 1 of a picture [N, C, ...], moved by each matrix of theta: [N, ..., axes], x first."""
    axes = len(size) - 2
    lines = [np.linspace(-1, 1, extent) if extent > 1 else np.zeros(1) for extent in size[2:]]
    if not align_corners:
        lines = [line * ((len(line) - 1) / len(line)) for line in lines]
    places = [*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(size[2:])]
    grid = constant(np.stack(places, -1).reshape(-1, axes + 1), theta.dtype)
    moved = product_of(grid, shape.transpose(theta, perm=(0, 2, 1)))
    return reshaped(moved, (size[0], *size[2:], axes))


@converter("embedding_bag.padding_idx", "_embedding_bag")
def embedding_bag(
    weight,
    indices,
    offsets,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights=None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
):
    """Sums, means or maxima of rows, a bag from each offset to the next. What only training reads is no result."""
    rows = shape.gather(weight, indices, axis=0)
    if per_sample_weights is not None:
        rows = math.mul(rows, unsqueeze(per_sample_weights, -1))
    mine = _bags(indices, offsets, include_last_offset)
    if padding_idx is not None and padding_idx >= 0:
        mine = math.logical_and(mine, math.ne(indices, padding_idx))
    if mode == 2:
        lowest = constant(-np.inf, rows.dtype)
        most = reduce.max(math.where(unsqueeze(mine, -1), rows, lowest), axes=(1,), keepdims=False)
        return math.where(math.isinf(most, positive=False), constant(0, most.dtype), most), None, None, None
    total = nn.matmul(cast(mine, rows.dtype), rows)
    if mode == 1:
        count = reduce.sum(cast(mine, rows.dtype), axes=(1,))
        total = math.div(total, math.max(count, 1))
    return total, None, None, None


@converter("embedding_bag")
def plain_embedding_bag(
    weight,
    indices,
    offsets,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights=None,
    include_last_offset: bool = False,
):
    return embedding_bag(
        weight, indices, offsets, mode=mode, per_sample_weights=per_sample_weights,
        include_last_offset=include_last_offset,
    )  # fmt: skip


def _bags(indices: Value, offsets: Value, include_last_offset: bool) -> Value:
    """Which index lies in which bag: bool[bags, indices]."""
    if indices.type.rank != 1:
        raise UnsupportedError(f"its indices are {indices.type}", hint="give one vector and offsets")
    starts = cast(offsets, i64)
    if not include_last_offset:
        starts = cat((starts, reshaped(shape.of(indices), (1,))), 0)
    count = starts.shape[0] - 1
    place = positions(indices, 0)
    first, last = (unsqueeze(along(starts, 0, n, count), 1) for n in (0, 1))
    return math.logical_and(math.ge(place, first), math.lt(place, last))
