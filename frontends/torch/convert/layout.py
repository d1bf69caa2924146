"""Ops that put the same elements into other places: reshapes, permutations, joins, parts, repetitions."""

import numpy as np

from ....compiler.diagnostics import ModelError, UnsupportedError
from ....compiler.ir.dims import Dim, ceildiv, product
from ....compiler.ir.graph import Value, constant
from ....compiler.ir.types import DType
from ....compiler.ops.rules import broadcast_shapes
from ...build import shape
from ...normalise import axes_of, axis_of, reshape_target, slice_extent
from ..promotion import cast, result_type, tensor
from ..schema import Dims, Ints, Tensors
from ..table import converter


_END = 2**63 - 1


def along(x: Value, axis: int, start: Dim, size: Dim, step: int = 1) -> Value:
    """`size` elements of one axis."""
    starts = tuple(start if n == axis else 0 for n in range(x.type.rank))
    sizes = tuple(size if n == axis else dim for n, dim in enumerate(x.shape))
    if sizes == x.shape and step == 1:
        return x
    steps = tuple(step if n == axis else 1 for n in range(x.type.rank))
    return shape.slice(x, starts=starts, sizes=sizes, steps=steps)


def reshaped(x: Value, target: Dims) -> Value:
    """x under another shape, -1 inferred."""
    full = reshape_target(x.shape, target, zero_copies=False)
    return x if full == x.shape else shape.reshape(x, shape=full)


@converter("alias", "detach", "detach_", "contiguous", "clone", "lift_fresh", "lift_fresh_copy", "positive", "resolve_conj")
def alias(self):
    return self


@converter("resolve_neg", "requires_grad_", "real")
def same(self):
    return self


@converter("view", "_unsafe_view")
def view(self, size: Dims):
    return reshaped(self, size)


@converter("reshape")
def reshape(self, shape: Dims):
    return reshaped(self, shape)


@converter("view_as", "reshape_as")
def view_as(self, other):
    return reshaped(self, other.shape)


@converter("like", domain="isthmus")
def like(self, below):
    """A changed view with the shape of the tensor that it views whole."""
    return reshaped(self, below.shape)


@converter("flatten")
def flatten(self, start_dim: int = 0, end_dim: int = -1):
    if not self.type.rank:
        return reshaped(self, (1,))
    first, last = (axis_of(dim, self.type.rank) for dim in (start_dim, end_dim))
    middle = product(self.shape[first : last + 1])
    return reshaped(self, (*self.shape[:first], middle, *self.shape[last + 1 :]))


@converter("unflatten")
def unflatten(self, dim: int, sizes: Dims):
    axis = axis_of(dim, self.type.rank)
    inner = reshape_target((self.shape[axis],), sizes, zero_copies=False)
    return reshaped(self, (*self.shape[:axis], *inner, *self.shape[axis + 1 :]))


@converter("unsqueeze")
def unsqueeze(self, dim: int):
    axis = axis_of(dim, self.type.rank + 1, "dim")
    return reshaped(self, (*self.shape[:axis], 1, *self.shape[axis:]))


@converter("squeeze")
def squeeze(self, dim: Ints | None = None):
    """Axes named that are not 1 stay, as in torch."""
    rank = self.type.rank
    chosen = range(rank) if dim is None else axes_of(dim, rank) if rank else ()
    return reshaped(self, tuple(d for n, d in enumerate(self.shape) if n not in chosen or d != 1))


@converter("permute")
def permute(self, dims: Ints):
    return shape.transpose(self, perm=axes_of(dims, self.type.rank, "dims"))


@converter("unpermute", domain="isthmus")
def unpermute(self, dims: Ints):
    """The inverse of `permute`."""
    perm = axes_of(dims, self.type.rank, "dims")
    return shape.transpose(self, perm=tuple(map(perm.index, range(len(perm)))))


@converter("transpose", "swapdims")
def transpose(self, dim0: int, dim1: int):
    perm = list(range(self.type.rank))
    a, b = axis_of(dim0, self.type.rank or 1), axis_of(dim1, self.type.rank or 1)
    if a == b:
        return self
    perm[a], perm[b] = perm[b], perm[a]
    return shape.transpose(self, perm=tuple(perm))


@converter("swapaxes")
def swapaxes(self, axis0: int, axis1: int):
    return transpose(self, axis0, axis1)


@converter("t", "numpy_T")
def t(self):
    return self if self.type.rank < 2 else shape.transpose(self, perm=tuple(reversed(range(self.type.rank))))


@converter("mT", "adjoint")
def matrix_transpose(self):
    return transpose(self, -2, -1)


@converter("movedim", "moveaxis")
def movedim(self, source: Ints, destination: Ints):
    rank = self.type.rank
    moved = dict(zip(axes_of(destination, rank), axes_of(source, rank), strict=True))
    rest = iter(axis for axis in range(rank) if axis not in moved.values())
    return shape.transpose(self, perm=tuple(moved[n] if n in moved else next(rest) for n in range(rank)))


@converter("cat", "concat", "concatenate")
def cat(tensors: Tensors, dim: int = 0):
    """Empty vectors are left out, whatever the others' rank: torch allows them."""
    given = [x for x in tensors if x.shape != (0,)] or list(tensors[:1])
    dtype = result_type(*tensors)
    axis = axis_of(dim, given[0].type.rank, "dim")
    return cast(given[0], dtype) if len(given) == 1 else shape.concat(*(cast(x, dtype) for x in given), axis=axis)


@converter("stack")
def stack(tensors: Tensors, dim: int = 0):
    axis = axis_of(dim, tensors[0].type.rank + 1, "dim")
    return cat(tuple(unsqueeze(x, axis) for x in tensors), axis)


@converter("hstack")
def hstack(tensors: Tensors):
    return cat(tensors, 0 if tensors[0].type.rank < 2 else 1)


@converter("vstack")
def vstack(tensors: Tensors):
    return cat(tuple(unsqueeze(x, 0) if x.type.rank == 1 else x for x in tensors), 0)


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
    parts, start = [], 0
    for size in split_size:
        parts.append(along(self, axis, start, size))
        start = start + size
    return tuple(parts)


@converter("split_with_sizes", "split.sizes")
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
    return tuple(slice_of(self, dim, a, b) for a, b in zip(bounds, bounds[1:], strict=False))


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


@converter("expand")
def expand(self, size: Dims):
    given = (*(1,) * (len(size) - self.type.rank), *self.shape)
    target = tuple(old if new == -1 else new for old, new in zip(given, size, strict=True))
    return self if target == self.shape else shape.expand(self, shape=target)


@converter("broadcast_to")
def broadcast_to(self, size: Dims):
    return expand(self, size)


@converter("expand_as")
def expand_as(self, other):
    return expand(self, other.shape)


@converter("broadcast_tensors")
def broadcast_tensors(tensors: Tensors):
    target = broadcast_shapes(*(x.shape for x in tensors))
    return tuple(expand(x, target) for x in tensors)


@converter("meshgrid")
def meshgrid(tensors: Tensors, indexing: str = "ij"):
    """One grid for each vector; "xy" exchanges the first two."""
    lines = [tensors[1], tensors[0], *tensors[2:]] if indexing == "xy" and len(tensors) > 1 else list(tensors)
    extents = tuple(x.type.elements for x in lines)
    grids = [
        expand(reshaped(x, tuple(extents[n] if n == axis else 1 for n in range(len(lines)))), extents)
        for axis, x in enumerate(lines)
    ]
    if indexing != "xy" or len(tensors) < 2:
        return tuple(grids)
    return (grids[1], grids[0], *grids[2:])


@converter("repeat")
def repeat(self, repeats: Dims):
    full = (*(1,) * (self.type.rank - len(repeats)), *repeats)
    x = reshaped(self, (*(1,) * (len(full) - self.type.rank), *self.shape))
    if all(isinstance(n, int) for n in full):
        return x if set(full) <= {1} else shape.tile(x, repeats=full)
    pairs = [(n, 1, d) for n, d in zip(full, x.shape, strict=True)]
    apart = reshaped(x, tuple(part for _, one, d in pairs for part in (one, d)))
    spread = shape.expand(apart, shape=tuple(part for n, _, d in pairs for part in (n, d)))
    return reshaped(spread, tuple(n * d for n, _, d in pairs))


@converter("tile")
def tile(self, dims: Dims):
    return repeat(self, dims)


@converter("repeat_interleave.self_int")
def repeat_interleave(self, repeats: Dim, dim: int | None = None, *, output_size: Dim | None = None):
    x = flatten(self) if dim is None else self
    axis = axis_of(dim or 0, x.type.rank, "dim")
    apart = unsqueeze(x, axis + 1)
    spread = shape.expand(apart, shape=(*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :]))
    return reshaped(spread, (*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]))


@converter("flip")
def flip(self, dims: Ints):
    axes = axes_of(dims, self.type.rank, "dims")
    return shape.slice(
        self,
        starts=tuple(d - 1 if n in axes else 0 for n, d in enumerate(self.shape)),
        sizes=self.shape,
        steps=tuple(-1 if n in axes else 1 for n in range(self.type.rank)),
    )


@converter("roll")
def roll(self, shifts: Ints, dims: Ints = ()):
    if not dims:
        return reshaped(roll(flatten(self), shifts, (0,)), self.shape)
    x = self
    for shift, dim in zip(shifts, dims, strict=True):
        axis = axis_of(dim, x.type.rank, "dims")
        extent = x.shape[axis]
        cut = extent - shift % extent if isinstance(extent, int) else (-shift if shift < 0 else extent - shift)
        if cut != extent and cut != 0:
            x = cat((along(x, axis, cut, extent - cut), along(x, axis, 0, cut)), axis)
    return x


@converter("pixel_shuffle")
def pixel_shuffle(self, upscale_factor: int):
    *batch, c, h, w = self.shape
    r, n = upscale_factor, len(batch)
    cells = reshaped(self, (*batch, c // (r * r), r, r, h, w))
    cells = shape.transpose(cells, perm=(*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return reshaped(cells, (*batch, c // (r * r), h * r, w * r))


@converter("pixel_unshuffle")
def pixel_unshuffle(self, downscale_factor: int):
    *batch, c, h, w = self.shape
    r, n = downscale_factor, len(batch)
    cells = reshaped(self, (*batch, c, h // r, r, w // r, r))
    cells = shape.transpose(cells, perm=(*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return reshaped(cells, (*batch, c * r * r, h // r, w // r))


@converter("channel_shuffle")
def channel_shuffle(self, groups: int):
    n, c, *spatial = self.shape
    return reshaped(transpose(reshaped(self, (n, groups, c // groups, *spatial)), 1, 2), self.shape)


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
        raise UnsupportedError(f"which part of '{extent}' is replaced is not known", hint="fix it with shapes=")
    first, size = found
    src = expand(cast(src, self.dtype), tuple(size if n == axis else d for n, d in enumerate(self.shape)))
    if step == 1:
        after = first + size
        rest = along(self, axis, after, extent - after)
        parts = [along(self, axis, 0, first), src, rest]
        return cat(tuple(part for part in parts if part.shape[axis] != 0), axis)
    if not all(isinstance(n, int) for n in (extent, first, size)):
        raise UnsupportedError(f"a part of '{extent}' in steps is replaced", hint="fix it with shapes=")
    chosen = {first + n * step: n for n in range(size)}
    both, order = cat((self, src), axis), [extent + chosen[n] if n in chosen else n for n in range(extent)]
    return shape.gather(both, constant(np.array(order, np.int64)), axis=axis)


@converter("select_scatter", domain="isthmus")
def select_back(src, self, dim: int, index: int):
    return select_scatter(self, src, dim, index)


@converter("slice_scatter", domain="isthmus")
def slice_back(src, self, dim: int = 0, start: Dim | None = None, end: Dim | None = None, step: int = 1):
    return slice_scatter(self, src, dim, start, end, step)


@converter("view.dtype")
def view_dtype(self, dtype: DType):
    raise UnsupportedError("bits read as another dtype are not supported", hint="use to() for a cast")

