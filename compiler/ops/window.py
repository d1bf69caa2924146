"""Windows that slide over the spatial axes of [N, C, ...]: geometry, checks, reads and numpy views.

Pads are all begins, then all ends; a `Window` holds them as (before, after) for each axis.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..diagnostics import TypeRuleError
from ..ir.dims import Dim
from ..ir.types import TensorType
from ..tile.stage import Affine, Load
from ..tile.writer import Ref, Stages

Padding = tuple[tuple[int, int], ...]


def padding_of(pads: Sequence[int], overhang: Sequence[int] = ()) -> Padding:
    """(before, after) of each spatial axis; `overhang` is added to the end."""
    spatial = len(pads) // 2
    extra = overhang or (0,) * spatial
    return tuple((pads[n], pads[spatial + n] + extra[n]) for n in range(spatial))


def check_entries(op: str, spatial: int, **attributes: Sequence[int]) -> None:
    """Each attribute has an entry for every spatial axis, `pads` two."""
    for name, value in attributes.items():
        size = 2 * spatial if name == "pads" else spatial
        if len(value) != size:
            raise TypeRuleError(f"{op}: '{name}' has {len(value)} entries, expected {size}")


def window_extent(size: Dim, kernel: Dim, stride: int, dilation: int, padding: int) -> Dim:
    """Number of positions of a window that slides over `size` elements and `padding` more."""
    return (size + padding - (dilation * (kernel - 1) + 1)) // stride + 1


def spatially(slices: Iterable[slice]) -> tuple[slice, ...]:
    """An index of [N, C, ...] that takes all of N and C."""
    return slice(None), slice(None), *slices


def padded(x: np.ndarray, padding: Padding, fill: float | int = 0) -> np.ndarray:
    """x with `fill` around its spatial axes; negative entries cut."""
    if not any(map(any, padding)):
        return x
    inside = [slice(max(0, -a), size - max(0, -b)) for (a, b), size in zip(padding, x.shape[2:], strict=True)]
    around = [(0, 0), (0, 0), *((max(0, a), max(0, b)) for a, b in padding)]
    return np.pad(x[spatially(inside)], around, constant_values=fill)


@dataclass(frozen=True, slots=True)
class Window:
    """Kernel (dims; ints where values are computed), strides, dilations and padding of each spatial axis."""

    kernel: Sequence[Any]
    strides: Sequence[int]
    dilations: Sequence[int]
    padding: Padding

    def extents(self, op: str, x: TensorType) -> list[Dim]:
        """Spatial extents of what the window gives on x; TypeRuleError for a window that fits nowhere."""
        steps = (*self.strides, *self.dilations)
        if min(steps) < 1 or any(isinstance(k, int) and k < 1 for k in self.kernel):
            raise TypeRuleError(f"{op}: kernel, strides and dilations must be positive")
        extents = [
            window_extent(size, k, stride, dilation, before + after)
            for size, k, stride, dilation, (before, after) in zip(
                x.shape[2:], self.kernel, self.strides, self.dilations, self.padding, strict=True
            )
        ]
        if any(isinstance(extent, int) and extent < 1 for extent in extents):
            window = ", ".join(map(str, self.kernel))
            raise TypeRuleError(f"{op}: the window [{window}] is larger than the padded input {x}")
        return extents

    def within_reach(self, sizes: Sequence[Dim]) -> "Window":
        """The window without first and last taps that lie in the padding wherever it stands; its extents stay.

        Global pooling is often written as a window far larger than what it slides over.
        """
        axes: list[tuple[Dim, tuple[Dim, Dim]]] = []
        for size, k, stride, dilation, (before, after) in zip(
            sizes, self.kernel, self.strides, self.dilations, self.padding, strict=True
        ):
            axes.append((k, (before, after)))
            if not (isinstance(size, int) and isinstance(k, int) and isinstance(before, int)):
                continue
            extent = window_extent(size, k, stride, dilation, before + after)
            if not isinstance(extent, int):
                continue
            travel = (extent - 1) * stride
            first = max(0, -((travel - before) // dilation))
            last = min(k - 1, (before + size - 1) // dilation)
            if first <= last and last - first + 1 < k:
                begin = before - first * dilation
                axes[-1] = last - first + 1, (begin, travel + (last - first) * dilation + 1 - size - begin)
        kernel, padding = zip(*axes, strict=True)
        return Window(kernel, self.strides, self.dilations, padding)

    def places(self, positions: Sequence[Affine], taps: Sequence[Affine]) -> list[Affine]:
        """The place of tap `taps` of the window at `positions` on each spatial axis."""
        return [
            p * stride + tap * dilation - before
            for p, tap, stride, dilation, (before, _) in zip(
                positions, taps, self.strides, self.dilations, self.padding, strict=True
            )
        ]

    def read(
        self,
        s: Stages,
        x: Ref,
        outer: Sequence[Affine],
        positions: Sequence[Affine],
        taps: Sequence[Affine],
        fill: float | int = 0,
    ) -> Load:
        """The element of x at tap `taps` of the window at `positions`; `fill` in the padding."""
        at = self.places(positions, taps)
        if any(n > 0 for around in self.padding for n in around):
            return s.guarded(x, *outer, *at, fill=fill)
        return x.at(*outer, *at)

    def slices(self, x: np.ndarray, fill: float | int = 0) -> Iterator[np.ndarray]:
        """For each tap, in row-major order, what the windows at all positions have there: [N, C, positions...]."""
        source = padded(x, self.padding, fill)
        axes = [
            (stride, dilation, (window_extent(size, k, stride, dilation, 0) - 1) * stride + 1)
            for size, k, stride, dilation in zip(
                source.shape[2:], self.kernel, self.strides, self.dilations, strict=True
            )
        ]
        for taps in np.ndindex(*self.kernel):
            yield source[
                spatially(
                    slice(tap * dilation, tap * dilation + span, stride)
                    for tap, (stride, dilation, span) in zip(taps, axes, strict=True)
                )
            ]

    def windows(self, x: np.ndarray) -> np.ndarray:
        """A view [N, C, taps..., positions...] of x padded with zeros."""
        spatial = x.ndim - 2
        reach = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        view = np.lib.stride_tricks.sliding_window_view(
            padded(x, self.padding), reach, axis=tuple(range(2, x.ndim))
        )
        view = view[spatially(slice(None, None, n) for n in (*self.strides, *self.dilations))]
        return view.transpose(0, 1, *range(2 + spatial, 2 + 2 * spatial), *range(2, 2 + spatial))
