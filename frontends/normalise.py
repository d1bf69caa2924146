"""Spellings that several frameworks share, turned into the IR's one: layouts, pads, ceil mode, axes, targets."""

from collections.abc import Sequence

from ..compiler.diagnostics import ModelError, UnsupportedError
from ..compiler.ir.dims import Dim, ceildiv, extreme, floordiv, product
from ..compiler.ir.graph import Value
from .build import shape
from .known import never_negative


def axis_of(axis: int, rank: int, name: str = "axis") -> int:
    """A possibly negative axis as 0 <= axis < rank."""
    if not -rank <= axis < rank:
        raise ModelError(f"'{name}' is {axis}, expected {-rank} to {rank - 1} for rank {rank}")
    return axis % rank


def axes_of(axes: Sequence[int], rank: int, name: str = "axes") -> tuple[int, ...]:
    """Axes as above, each at most once, in the order given."""
    found = tuple(axis_of(axis, rank, name) for axis in axes)
    if len(set(found)) != len(found):
        raise ModelError(f"'{name}' is {list(axes)}, which names an axis twice")
    return found


def same_pads(
    extents: Sequence[Dim],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    upper: bool,
) -> tuple[int, ...]:
    """Pads (begins, then ends) for ceil(extent / stride) windows; `upper` puts the odd one at the end.

    Raises UnsupportedError where a symbolic extent decides the pads.
    """
    begins, ends = [], []
    for extent, k, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
        reach = dilation * (k - 1) + 1
        if stride == 1:
            total: Dim = reach - 1
        else:
            total = extreme("max", (ceildiv(extent, stride) - 1) * stride + reach - extent, 0)
        if not isinstance(total, int):
            raise UnsupportedError(
                f"its padding depends on the extent '{extent}'", hint="fix the dimension with shapes="
            )
        first = total // 2 if upper else total - total // 2
        begins.append(first)
        ends.append(total - first)
    return (*begins, *ends)


def ceil_overhang(
    extents: Sequence[Dim],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> tuple[int, ...]:
    """Extra end pads that make floor division count the windows that rounding up would.

    A last window that would start beyond the input and its begin pad is dropped.
    """
    spatial = len(kernel)
    extra = []
    for n, (extent, k, stride, dilation) in enumerate(zip(extents, kernel, strides, dilations, strict=True)):
        if stride == 1:
            extra.append(0)
            continue
        span = extent + pads[n] + pads[n + spatial] - (dilation * (k - 1) + 1)
        if not isinstance(span, int) or not isinstance(extent, int):
            raise UnsupportedError(
                f"rounding up its output extent depends on '{extent}'", hint="fix the dimension with shapes="
            )
        windows = -(-span // stride) + 1
        if (windows - 1) * stride >= extent + pads[n]:
            windows -= 1
        extra.append(max((windows - 1) * stride - span, 0))
    return tuple(extra)


def reshape_target(shape: Sequence[Dim], target: Sequence[Dim], zero_copies: bool = True) -> tuple[Dim, ...]:
    """A reshape target with its 0 (copy) and -1 (infer) entries resolved. Raises ModelError where it can't fit."""
    out: list[Dim] = []
    for axis, dim in enumerate(target):
        if dim == 0 and zero_copies:
            if axis >= len(shape):
                raise ModelError(
                    f"entry {axis} of the target shape {_list(target)} copies a dimension {_list(shape)} lacks"
                )
            dim = shape[axis]
        out.append(dim)
    unknown = [axis for axis, dim in enumerate(out) if dim == -1]
    if len(unknown) > 1:
        raise ModelError(f"the target shape {_list(target)} has more than one -1")
    total = product(shape)
    if unknown:
        rest = product(dim for dim in out if dim != -1)
        if rest == 0:
            raise ModelError(f"the -1 of the target shape {_list(target)} is not determined")
        if isinstance(total, int) and isinstance(rest, int) and total % rest:
            raise ModelError(f"a tensor of shape {_list(shape)} does not reshape to {_list(target)}")
        out[unknown[0]] = floordiv(total, rest)
    elif isinstance(total, int) and isinstance(product(out), int) and total != product(out):
        raise ModelError(f"a tensor of shape {_list(shape)} does not reshape to {_list(target)}")
    return tuple(out)


FAR = 2**31 - 1
"""Starts and ends at or beyond this mean "to the end" of an extent that is not known."""


def slice_extent(extent: Dim, start: Dim, end: Dim, step: int, least: int = 0) -> tuple[Dim, Dim] | None:
    """Start and size of a slice with numpy's clamping, or None where the sign of a symbolic bound decides.

    A start before the first element is the first, also for negative steps (ONNX, Slice; numpy takes nothing there).
    A bound counted from the end of a symbolic extent is taken to lie inside it: at run time the size is checked.
    Symbols are taken to be at least `least`.
    """
    if step == 0:
        raise ModelError("the step of a slice is 0")
    begin = _clamped(extent, start, step, False, least)
    stop = _clamped(extent, end, step, True, least)
    if begin is None or stop is None:
        return None
    size = ceildiv(stop - begin if step > 0 else begin - stop, abs(step))
    return begin, max(size, 0) if isinstance(size, int) else size


def _clamped(extent: Dim, position: Dim, step: int, is_end: bool, least: int) -> Dim | None:
    low = -1 if step < 0 and is_end else 0
    high = extent if step > 0 else extent - 1
    if isinstance(position, int) and isinstance(extent, int):
        place = position + extent if position < 0 else position
        return min(max(place, low), high)  # type: ignore[type-var]
    if isinstance(position, int) and abs(position) >= FAR:
        return high if position > 0 else low
    if isinstance(position, int) and position < 0:
        return extent + position
    if not never_negative(position, least):
        return None
    if never_negative(high - position, least):
        return position
    return high if never_negative(position - high, least) else extreme("min", position, high)


def _list(shape: Sequence[Dim]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def channels_first(x: Value) -> Value:
    """[N, ..., C] as the IR's [N, C, ...]."""
    rank = x.type.rank
    return shape.transpose(x, perm=(0, rank - 1, *range(1, rank - 1)))


def channels_last(x: Value) -> Value:
    """[N, C, ...] as [N, ..., C]."""
    return shape.transpose(x, perm=(0, *range(2, x.type.rank), 1))
