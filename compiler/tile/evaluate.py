"""What a stage means on a box of its domain, in numpy: the common ground of `untiled.py` and `interpret.py`.

Every affine access becomes a strided view of what it reads, so nothing but the body's own values is materialised.
Where the elements live is the reader's affair: a `Storage` gives dense boxes of a buffer by its own coordinates.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...runtime.records import dataclass
from ..diagnostics import VerifyError
from ..ir.types import DType, boolean, f32
from ..ops.scalar import apply_scalar
from .stage import REDUCE, Access, Affine, Apply, Const, Expr, Held, Index, Load, Number, Stage, walk

Box = Mapping[str, tuple[int, int]]
"""Dim -> (low, size): the part of an iteration domain that is evaluated."""

CHUNK = 1 << 21
"""At most so many points of a domain are evaluated at once."""

_REDUCE: dict[str, np.ufunc] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.logical_and,
    "or": np.logical_or,
}


class Readable(Protocol):
    """Elements of a buffer, addressed by the buffer's own coordinates."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The whole buffer's extents."""

    def box(self, low: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
        """The elements of a box that lies inside the buffer."""

    def take(self, index: tuple[np.ndarray, ...]) -> np.ndarray:
        """Single elements; the index arrays have one shape and lie inside the buffer."""


class Whole:
    """A buffer that is there whole, as one array."""

    def __init__(self, array: np.ndarray):
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def box(self, low: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
        return self.array[tuple(slice(a, a + n) for a, n in zip(low, size))]

    def take(self, index: tuple[np.ndarray, ...]) -> np.ndarray:
        return self.array[index]


Storages = Mapping[str, Readable]


def accumulator(dtype: DType) -> DType:
    """The dtype that sums and products of `dtype` are formed in: narrow floats in f32, all else in itself."""
    return f32 if dtype.is_float and dtype.bits < 32 else dtype


def identity(combine: str, dtype: DType) -> Any:
    """The neutral element of a monoid, as a numpy scalar of `dtype`."""
    if dtype == boolean or combine in ("and", "or"):
        return dtype.numpy.type(combine in ("and", "prod", "min"))
    if combine in ("sum", "prod"):
        return dtype.numpy.type(0 if combine == "sum" else 1)
    if dtype.is_float:
        return dtype.numpy.type(-np.inf if combine == "max" else np.inf)
    limits = np.iinfo(dtype.numpy)
    return dtype.numpy.type(limits.min if combine == "max" else limits.max)


def combined(combine: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two partial results of a monoid as one, in their own dtype."""
    with np.errstate(all="ignore"):
        return _REDUCE[combine](a, b).astype(a.dtype, copy=False)


def whole_box(stage: Stage) -> dict[str, tuple[int, int]]:
    """The stage's whole domain; its extents must be ints."""
    return {dim.name: (0, int(dim.extent)) for dim in stage.dims}  # type: ignore[arg-type]


def evaluate(stage: Stage, box: Box, storages: Storages) -> np.ndarray:
    """The stage's values on a box: one axis for each dim of the stage that is not reduced, in order of `dims`.

    Reductions give the partial result of this box, in the accumulator's dtype; big boxes are cut into chunks.
    """
    kept = [dim for dim in stage.dims if dim.kind != REDUCE]
    axes = tuple(n for n, dim in enumerate(stage.dims) if dim.kind == REDUCE)
    dtype = accumulator(stage.body.dtype) if stage.combine else stage.body.dtype
    shape = tuple(box[dim.name][1] for dim in kept)
    out = np.empty(shape, dtype.numpy)
    if stage.combine:
        out[...] = identity(stage.combine, dtype)
    for part in _chunks(stage, box):
        full = tuple(part[dim.name][1] for dim in stage.dims)
        if 0 in full:
            continue
        values = np.broadcast_to(expression(stage, part, storages), full)
        place = tuple(_slice(part[d.name], box[d.name]) for d in kept)
        if stage.combine is None:
            out[place] = values
        else:
            with np.errstate(all="ignore"):
                partial = _REDUCE[stage.combine].reduce(values, axis=axes, dtype=dtype.numpy)
            out[place] = combined(stage.combine, out[place], partial)
    return out


def _slice(part: tuple[int, int], whole: tuple[int, int]) -> slice:
    start = part[0] - whole[0]
    return slice(start, start + part[1])


def _chunks(stage: Stage, box: Box) -> Iterator[dict[str, tuple[int, int]]]:
    """The box in parts of at most CHUNK points, cut in halves along its longest dim."""
    stack = [dict(box)]
    while stack:
        part = stack.pop()
        points = 1
        for dim in stage.dims:
            points *= part[dim.name][1]
        if points <= CHUNK:
            yield part
            continue
        name = max((dim.name for dim in stage.dims), key=lambda name: part[name][1])
        low, size = part[name]
        half = size // 2
        stack += [{**part, name: (low + half, size - half)}, {**part, name: (low, half)}]


def expression(
    stage: Stage, box: Box, storages: Storages, held: Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """The stage's body on a box, one axis a dim, of extent 1 where the body does not depend on the dim."""
    return scalar_values(stage.body, tuple(dim.name for dim in stage.dims), box, storages, held or {})


def scalar_values(
    body: Expr,
    dims: tuple[str, ...],
    box: Box,
    storages: Storages,
    held: Mapping[str, np.ndarray],
) -> np.ndarray:
    """An expression on a box over `dims`; `held` gives the values of `Held` nodes by their name."""
    values: dict[int, np.ndarray] = {}
    for node in walk(body):
        if isinstance(node, Load):
            value = load(node.access, dims, box, storages).astype(node.dtype.numpy, copy=False)
        elif isinstance(node, Const):
            value = np.full((1,) * len(dims), node.value, node.dtype.numpy)
        elif isinstance(node, Index):
            value = coordinates(node.affine, dims, box)
        elif isinstance(node, Held):
            value = held[node.which]
        else:
            assert isinstance(node, Apply)
            value = apply_scalar(node.op, [values[id(argument)] for argument in node.arguments], node.dtype)
        values[id(node)] = value
    return values[id(body)]


def coordinates(affine: Affine, dims: tuple[str, ...], box: Box) -> np.ndarray:
    """The values of an affine expression on a box, as i64, one axis a dim."""
    total = np.full((1,) * len(dims), affine.const, np.int64)
    for name, coefficient in affine.terms:
        low, size = box[name]
        shape = tuple(size if other == name else 1 for other in dims)
        total = total + (coefficient * np.arange(low, low + size, dtype=np.int64)).reshape(shape)
    return total


def span(affine: Affine, box: Box) -> tuple[int, int]:
    """The least and the greatest value of an affine expression on a box that is not empty."""
    low = high = affine.const
    for name, coefficient in affine.terms:
        first = coefficient * box[name][0]
        last = coefficient * (box[name][0] + box[name][1] - 1)
        low, high = low + min(first, last), high + max(first, last)
    return low, high


def load(
    access: Access, dims: tuple[str, ...], box: Box, storages: Storages, source: Readable | None = None
) -> np.ndarray:
    """What an access reads on a box: one axis a dim, of extent 1 for dims that the access lacks.

    `source`, if given, stands for the access's own buffer; what is looked up still comes from `storages`.
    """
    storage = source or storages[access.buffer]
    parts = [part for part in access.index if isinstance(part, Affine)]
    if len(parts) < len(access.index):
        index = [
            coordinates(part, dims, box)
            if isinstance(part, Affine)
            else load(part.access, dims, box, storages).astype(np.int64)
            for part in access.index
        ]
        return _gather(access, storage, index)
    spans = [span(part, box) for part in parts]
    low = tuple(a for a, _ in spans)
    region = _region(access, storage, low, tuple(b - a + 1 for a, b in spans))
    offset = [0] * len(parts)
    strides = [0] * len(dims)
    for axis, part in enumerate(parts):
        offset[axis] = part.const - low[axis]
        for name, coefficient in part.terms:
            offset[axis] += coefficient * box[name][0]
            strides[dims.index(name)] += coefficient * region.strides[axis]
    first = region[tuple(slice(start, None) for start in offset)]
    used = set(access.dims)
    shape = tuple(box[name][1] if name in used else 1 for name in dims)
    return as_strided(first, shape, strides, writeable=False)


def _region(access: Access, storage: Readable, low: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """A dense box of a buffer, `fill` where it reaches outside."""
    start = tuple(max(0, a) for a in low)
    stop = tuple(min(extent, a + n) for a, n, extent in zip(low, size, storage.shape))
    inside = tuple(max(0, b - a) for a, b in zip(start, stop))
    if inside == size:
        return storage.box(low, size)
    fill = _fill(access, low, size, storage)
    if 0 in inside:
        return np.full(size, fill, storage.box((0,) * len(size), (0,) * len(size)).dtype)
    part = storage.box(start, inside)
    region = np.full(size, fill, part.dtype)
    region[tuple(slice(a - b, a - b + n) for a, b, n in zip(start, low, inside))] = part
    return region


def _fill(access: Access, low: Any, size: Any, storage: Readable) -> Number:
    if access.fill is None:
        raise VerifyError(
            f"'{access.buffer}' of shape {list(storage.shape)} is read outside: {list(size)} elements from "
            f"{list(low)}, and the access has no fill"
        )
    return access.fill


def _gather(access: Access, storage: Readable, index: list[np.ndarray]) -> np.ndarray:
    index = list(np.broadcast_arrays(*index))
    valid = inside(index, storage.shape)
    if valid.all():
        return storage.take(tuple(index))
    if access.fill is None:
        raise VerifyError(
            f"'{access.buffer}' of shape {list(storage.shape)} is looked up outside, and the access has no fill"
        )
    if not all(storage.shape):
        return np.full(valid.shape, access.fill, storage.box((0,) * len(index), (0,) * len(index)).dtype)
    clipped = tuple(np.clip(part, 0, extent - 1) for part, extent in zip(index, storage.shape))
    values = storage.take(clipped)
    return np.where(valid, values, np.asarray(access.fill, values.dtype))


def inside(index: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Where all coordinates lie inside a buffer."""
    valid = np.ones(np.broadcast_shapes(*(part.shape for part in index)), bool)
    for part, extent in zip(index, shape):
        valid &= (part >= 0) & (part < extent)
    return valid


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a stage's values on a box go: a dense box of the target (`low`, axes `order`), or single elements."""

    low: tuple[int, ...] | None
    order: tuple[int, ...] = ()
    index: tuple[np.ndarray, ...] = ()
    mask: np.ndarray | None = None

    def arrange(self, values: np.ndarray) -> np.ndarray:
        """The values in the order of the target; those that are dropped are left out."""
        return values.transpose(self.order) if self.mask is None else values[self.mask]


def placement(stage: Stage, box: Box, storages: Storages) -> Placement:
    """Where the values of a box are written. VerifyError where that is outside and the access has no fill."""
    kept = tuple(dim.name for dim in stage.dims if dim.kind != REDUCE)
    extents = storages[stage.write.buffer].shape
    singles = [part.single if isinstance(part, Affine) else None for part in stage.write.index]
    names = [name for name in singles if name is not None]
    if len(names) == len(singles) and sorted(names) == sorted(kept):
        low = tuple(box[name][0] for name in names)
        if all(a + box[name][1] <= extent for a, name, extent in zip(low, names, extents)):
            return Placement(low, tuple(kept.index(name) for name in names))
    shape = tuple(box[name][1] for name in kept)
    index = [
        coordinates(part, kept, box)
        if isinstance(part, Affine)
        else load(part.access, kept, box, storages).astype(np.int64)
        for part in stage.write.index
    ]
    mask = np.broadcast_to(inside(index, extents), shape)
    if not mask.all() and stage.write.fill is None:
        raise VerifyError(
            f"stage {stage.name} writes '{stage.write.buffer}' of shape {list(extents)} outside, "
            "and the access does not say that such writes are dropped"
        )
    return Placement(None, (), tuple(np.broadcast_to(part, shape)[mask] for part in index), mask)
