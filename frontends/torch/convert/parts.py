"""Taking tensors apart, replacing parts of them, adding margins."""

import itertools

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim, ceildiv
from ....compiler.ir.graph import Value, constant
from ...build import shape
from ...normalise import axis_of, slice_extent
from ..promotion import cast, tensor
from ..schema import Dims, Ints
from ..table import converter
from .layout import along, cat, expand, stack, unsqueeze

_END = 2**63 - 1


@converter("slice")
def slice_of(self, dim: int = 0, start: Dim | None = None, end: Dim | None = None, step: int = 1):
    axis = axis_of(dim, self.type.rank, "dim")
    found = slice_extent(self.shape[axis], start or 0, _END if end is None else end, step, least=1)
    if found is None:
        raise UnsupportedError(
            f"which part of '{self.shape[axis]}' elements {start}:{end} is depends on a sign",
            hint="fix the dimension with shapes=",
        )
    return along(self, axis, *found, step)


@converter("narrow")
def narrow(self, dim: int, start: Dim, length: Dim):
    return slice_of(self, dim, start, start + length)


@converter("select")
def select(self, dim: int, index: Dim):
    axis = axis_of(dim, self.type.rank, "dim")
    place = index + self.shape[axis] if isinstance(index, int) and index < 0 else index
    rest = tuple(d for n, d in enumerate(self.shape) if n != axis)
    return shape.reshape(along(self, axis, place, 1), shape=rest)


@converter("split", "unsafe_split")
def split(self, split_size: Dims, dim: int = 0):
    """One size for all parts but the last, or a list of sizes."""
    axis = axis_of(dim, self.type.rank, "dim")
    extent = self.shape[axis]
    if len(split_size) == 1 and split_size[0] != extent:
        size = split_size[0]
        count = ceildiv(extent, size)
        if not isinstance(count, int):
            raise UnsupportedError(f"'{extent}' is split into '{count}' parts", hint="fix it with shapes=")
        split_size = (*[size] * (count - 1), extent - size * (count - 1))
    parts: list[Value] = []
    start: Dim = 0
    for size in split_size:
        parts.append(along(self, axis, start, size))
        start = start + size
    return tuple(parts)


@converter("split_with_sizes", "unsafe_split_with_sizes", "split.listed")
def split_with_sizes(self, split_sizes: Dims, dim: int = 0):
    return split(self, split_sizes, dim)


@converter("chunk", "unsafe_chunk")
def chunk(self, chunks: int, dim: int = 0):
    extent = self.shape[axis_of(dim, self.type.rank, "dim")]
    return split(self, (ceildiv(extent, chunks),), dim)


@converter("tensor_split.indices")
def tensor_split_indices(self, indices: Ints, dim: int = 0):
    extent = self.shape[axis_of(dim, self.type.rank, "dim")]
    bounds = (0, *indices, extent)
    return tuple(slice_of(self, dim, a, b) for a, b in itertools.pairwise(bounds))


@converter("tensor_split.sections")
def tensor_split(self, sections: int, dim: int = 0):
    extent = self.shape[axis_of(dim, self.type.rank, "dim")]
    if not isinstance(extent, int):
        raise UnsupportedError(f"how '{extent}' is split evenly is not known", hint="fix it with shapes=")
    longer = extent % sections
    return split(self, tuple(extent // sections + (n < longer) for n in range(sections)), dim)


@converter("unbind")
def unbind(self, dim: int = 0):
    extent = self.shape[axis_of(dim, self.type.rank, "dim")]
    if not isinstance(extent, int):
        raise UnsupportedError(f"it takes '{extent}' slices apart", hint="fix the dimension with shapes=")
    return tuple(select(self, dim, n) for n in range(extent))


_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def padded(x: Value, pads: Ints, mode: str, value) -> Value:
    """x with margins, which are listed from the last axis backwards, begin and end in turn."""
    rank = x.type.rank
    if len(pads) % 2 or len(pads) > 2 * rank:
        raise ModelError(f"'pad' has {len(pads)} entries for {x.type}")
    full = [0] * (2 * rank)
    for n, (begin, end) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        full[rank - 1 - n], full[2 * rank - 1 - n] = begin, end
    filler = tensor(value or 0, x.dtype) if mode == "constant" else None
    return shape.pad(x, filler, pads=tuple(full), mode=_MODES[mode])


@converter("pad")
def pad(self, pad: Ints, mode: str = "constant", value=None):
    return padded(self, pad, mode, value)


@converter("constant_pad_nd")
def constant_pad_nd(self, pad: Ints, value=0):
    return padded(self, pad, "constant", value)


@converter("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
def reflection_pad(self, padding: Ints):
    return padded(self, padding, "reflect", None)


@converter("replication_pad1d", "replication_pad2d", "replication_pad3d")
def replication_pad(self, padding: Ints):
    return padded(self, padding, "replicate", None)


@converter("unfold")
def unfold(self, dimension: int, size: int, step: int):
    """Windows of one axis, along a new last axis."""
    axis = axis_of(dimension, self.type.rank, "dimension")
    count = (self.shape[axis] - size) // step + 1
    if not isinstance(count, int):
        raise UnsupportedError(f"it takes '{count}' windows", hint="fix the dimension with shapes=")
    parts = [along(self, axis, place, count, step) for place in range(size)]
    return stack(tuple(parts), -1)


@converter("select_scatter")
def select_scatter(self, src, dim: int, index: int):
    axis = axis_of(dim, self.type.rank, "dim")
    return slice_scatter(self, unsqueeze(src, axis), axis, index, index + 1 or None)


@converter("slice_scatter")
def slice_scatter(self, src, dim: int = 0, start: Dim | None = None, end: Dim | None = None, step: int = 1):
    """x with a part of one axis replaced."""
    axis = axis_of(dim, self.type.rank, "dim")
    extent = self.shape[axis]
    found = slice_extent(extent, start or 0, _END if end is None else end, step, least=1)
    if found is None:
        raise UnsupportedError(
            f"which part of '{extent}' is replaced is not known", hint="fix it with shapes="
        )
    first, size = found
    src = expand(cast(src, self.dtype), tuple(size if n == axis else d for n, d in enumerate(self.shape)))
    if step == 1:
        after = first + size
        rest = along(self, axis, after, extent - after)
        parts = [along(self, axis, 0, first), src, rest]
        return cat(tuple(part for part in parts if part.shape[axis] != 0), axis)
    if not (isinstance(extent, int) and isinstance(first, int) and isinstance(size, int)):
        raise UnsupportedError(f"a part of '{extent}' in steps is replaced", hint="fix it with shapes=")
    chosen = {first + n * step: n for n in range(size)}
    order = [extent + chosen[n] if n in chosen else n for n in range(extent)]
    return shape.gather(cat((self, src), axis), constant(np.array(order, np.int64)), axis=axis)


@converter("select_scatter", domain="isthmus")
def select_back(src, self, dim: int, index: int):
    return select_scatter(self, src, dim, index)


@converter("slice_scatter", domain="isthmus")
def slice_back(src, self, dim: int = 0, start: Dim | None = None, end: Dim | None = None, step: int = 1):
    return slice_scatter(self, src, dim, start, end, step)
