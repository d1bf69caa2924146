"""Ops that put the same elements into other places: reshapes, permutations, joins, repetitions."""

from ....compiler.diagnostics import UnsupportedError
from ....compiler.ir.dims import Dim, product
from ....compiler.ir.graph import Value
from ....compiler.ir.types import DType
from ....compiler.ops.rules import broadcast_shapes
from ...build import shape
from ...normalise import axes_of, axis_of, reshape_target
from ..promotion import cast, result_type
from ..schema import Dims, Ints, Tensors
from ..table import converter


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


@converter(
    "alias",
    "detach",
    "detach_",
    "contiguous",
    "clone",
    "lift_fresh",
    "lift_fresh_copy",
    "positive",
    "resolve_conj",
)
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


@converter("ravel")
def ravel(self):
    return reshaped(self, (-1,))


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
    return (
        cast(given[0], dtype)
        if len(given) == 1
        else shape.concat(*(cast(x, dtype) for x in given), axis=axis)
    )


@converter("stack")
def stack(tensors: Tensors, dim: int = 0):
    axis = axis_of(dim, tensors[0].type.rank + 1, "dim")
    return cat(tuple(unsqueeze(x, axis) for x in tensors), axis)


@converter("hstack")
def hstack(tensors: Tensors):
    return cat(tensors, 0 if tensors[0].type.rank < 2 else 1)


@converter("column_stack")
def column_stack(tensors: Tensors):
    return cat(tuple(unsqueeze(x, 1) if x.type.rank == 1 else x for x in tensors), 1)


@converter("vstack", "row_stack")
def vstack(tensors: Tensors):
    return cat(tuple(unsqueeze(x, 0) if x.type.rank == 1 else x for x in tensors), 0)


@converter("dstack")
def dstack(tensors: Tensors):
    deep = (reshaped(x, (1, *x.shape, 1)[x.type.rank // 2 :]) if x.type.rank < 3 else x for x in tensors)
    return cat(tuple(deep), 2)


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


@converter("fliplr")
def fliplr(self):
    return flip(self, (1,))


@converter("flipud")
def flipud(self):
    return flip(self, (0,))


@converter("rot90")
def rot90(self, k: int = 1, dims: Ints = (0, 1)):
    """Quarter turns from the first axis to the second."""
    first, second = dims
    if k % 4 == 2:
        return flip(self, dims)
    turned = transpose(self, first, second) if k % 2 else self
    return turned if k % 4 == 0 else flip(turned, (first,) if k % 4 == 1 else (second,))


@converter("roll")
def roll(self, shifts: Ints, dims: Ints = ()):
    if not dims:
        return reshaped(roll(flatten(self), shifts, (0,)), self.shape)
    x = self
    for shift, dim in zip(shifts, dims, strict=True):
        axis = axis_of(dim, x.type.rank, "dims")
        extent = x.shape[axis]
        cut = (
            extent - shift % extent if isinstance(extent, int) else (-shift if shift < 0 else extent - shift)
        )
        if cut != extent and cut != 0:
            x = cat((along(x, axis, cut, extent - cut), along(x, axis, 0, cut)), axis)
    return x


def _centred(x: Value, dim: Ints | None, backwards: bool) -> Value:
    """Rolled by half of each extent, rounded up where the roll undoes the other."""
    axes = tuple(range(x.type.rank)) if dim is None else dim
    return roll(x, tuple((x.shape[axis] + backwards) // 2 for axis in axes), axes)


@converter("fft_fftshift")
def fft_fftshift(self, dim: Ints | None = None):
    return _centred(self, dim, False)


@converter("fft_ifftshift")
def fft_ifftshift(self, dim: Ints | None = None):
    return _centred(self, dim, True)


@converter("block_diag")
def block_diag(tensors: Tensors):
    """Numbers and rows are matrices of one row."""
    blocks = [reshaped(x, (1,) * (2 - x.type.rank) + tuple(x.shape)) for x in tensors]
    widths = [x.shape[1] for x in blocks]
    margins = ((0, sum(widths[:n]), 0, sum(widths[n + 1 :])) for n in range(len(blocks)))
    return cat(tuple(shape.pad(x, pads=pads) for x, pads in zip(blocks, margins)), 0)


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


@converter("view.dtype")
def view_dtype(self, dtype: DType):
    raise UnsupportedError("bits read as another dtype are not supported", hint="use to() for a cast")
