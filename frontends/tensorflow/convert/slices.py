"""Taking parts of tensors: slices with numpy's rules, splits, reversals."""

from collections.abc import Sequence

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim
from ....compiler.ir.graph import Value
from ....runtime.records import dataclass
from ...build import shape
from ...known import dims, ints
from ...normalise import axes_of, axis_of
from ...slices import part, ranged, taken
from ..table import converter
from .layout import inserted


@converter("Slice")
def slice_of(x, begin, size):
    starts, sizes = dims(begin), dims(size)
    if starts is None or sizes is None:
        raise UnsupportedError("its begin and size are known only at run time", hint="make them constants")
    for axis, (start, count) in enumerate(zip(starts, sizes, strict=True)):
        x = part(x, axis, start, x.shape[axis] - start if count == -1 else count)
    return x


@dataclass(frozen=True, slots=True)
class _Masks:
    """Which entries of a strided slice are special; bit n speaks of entry n."""

    begin: int
    end: int
    ellipsis: int
    new_axis: int
    shrink: int

    def kind(self, n: int) -> str:
        for name in ("ellipsis", "new_axis", "shrink"):
            if getattr(self, name) >> n & 1:
                return name
        return "slice"


@converter("StridedSlice")
def strided_slice(
    x, begin, end, strides, *, begin_mask=0, end_mask=0, ellipsis_mask=0, new_axis_mask=0, shrink_axis_mask=0
):
    """x[begin:end:stride, ...]: each entry speaks of the next axis, but for `...` and new axes."""
    masks = _Masks(begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask)
    if not isinstance(begin.shape[0], int):
        raise UnsupportedError("how many axes it slices is known only at run time")
    kinds = [masks.kind(n) for n in range(begin.shape[0])]
    steps = ints(strides, "strides")
    starts, stops = dims(begin), dims(end)
    consumed = sum(kind in ("slice", "shrink") for kind in kinds)
    axis = 0
    for n, kind in enumerate(kinds):
        if kind == "ellipsis":
            axis += x.type.rank - axis - sum(k in ("slice", "shrink") for k in kinds[n + 1 :])
        elif kind == "new_axis":
            x = inserted(x, axis)
            axis += 1
        elif axis >= x.type.rank:
            raise ModelError(f"it slices {consumed} axes, its input has fewer: {x.type}")
        elif kind == "shrink":
            x = _picked(x, axis, begin, n) if starts is None else taken(x, axis, starts[n])
        else:
            first, stop = _bound(starts, masks.begin, n), _bound(stops, masks.end, n)
            x = ranged(x, axis, first, stop, steps[n])
            axis += 1
    return x


def _bound(values: Sequence[Dim] | None, mask: int, n: int) -> Dim | None:
    """A bound, or None for an open end."""
    if mask >> n & 1:
        return None
    if values is None:
        raise UnsupportedError(
            "where it slices is known only at run time", hint="make the bounds constants, or fix shapes="
        )
    return values[n]


def _picked(x: Value, axis: int, begin: Value, n: int) -> Value:
    """x without an axis, of which the data decide the element."""
    index = shape.slice(begin, starts=(n,), sizes=(1,), steps=(1,))
    return shape.gather(x, shape.reshape(index, shape=()), axis=axis)


@converter("Split")
def split(axis, x, *, num_split):
    place = axis_of(ints(axis, "split_dim")[0], x.type.rank, "split_dim")
    extent = x.shape[place]
    if isinstance(extent, int) and extent % num_split:
        raise ModelError(f"axis {place} of {x.type} does not split into {num_split}")
    size = extent // num_split
    return tuple(part(x, place, n * size, size) for n in range(num_split))


@converter("SplitV")
def split_v(x, sizes, axis, *, num_split):
    place = axis_of(ints(axis, "split_dim")[0], x.type.rank, "split_dim")
    listed = list(ints(sizes, "size_splits"))
    if -1 in listed:
        at = listed.index(-1)
        listed[at] = x.shape[place] - (sum(listed) + 1)
    parts, start = [], 0
    for size in listed:
        parts.append(part(x, place, start, size))
        start = start + size
    return tuple(parts)


@converter("Unpack")
def unpack(x, *, num, axis=0):
    place = axis_of(axis, x.type.rank)
    return tuple(taken(x, place, n) for n in range(num))


@converter("ReverseV2")
def reverse(x, axes):
    for axis in axes_of(ints(axes, "axis"), x.type.rank):
        x = ranged(x, axis, None, None, -1)
    return x


@converter("Roll")
def roll(x, shift, axis):
    places = axes_of(ints(axis, "axis"), x.type.rank)
    for by, place in zip(ints(shift, "shift"), places, strict=True):
        extent = x.shape[place]
        if not isinstance(extent, int):
            raise UnsupportedError(f"rolling the extent '{extent}'", hint="fix it with shapes=")
        if extent and by % extent:
            start = extent - by % extent
            x = shape.concat(part(x, place, start, extent - start), part(x, place, 0, start), axis=place)
    return x


@converter("ReverseSequence")
def reverse_sequence(x, lengths, *, seq_dim, batch_dim=0):
    return shape.reverse_sequence(x, lengths, batch_axis=batch_dim, time_axis=seq_dim)
