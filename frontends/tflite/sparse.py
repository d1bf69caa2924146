"""Constants that are stored sparse: levels of dimensions in an order of their own, each dense or compressed.

The format is that of the schema's SparsityParameters (Kjolstad et al., The Tensor Algebra Compiler, 2017). Dimensions
from the tensor's rank on are places inside blocks.
"""

from math import prod
from typing import Any

import numpy as np
import tflite

from ...compiler.diagnostics import ModelError
from ...runtime.records import dataclass

_VECTORS = {
    tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
    tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
    tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
}


@dataclass(frozen=True, slots=True)
class Level:
    """One dimension: its extent, or (i64[parents + 1], i64[n]) where the children of each parent begin, and which
    places they have."""

    dimension: int
    extent: int
    compressed: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True, slots=True)
class Sparsity:
    """How the values of a constant are placed. `blocked` has the dimension that each dimension of blocks divides."""

    levels: tuple[Level, ...]
    blocked: tuple[int, ...]

    def dense(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The elements [*shape] of which `values` are given, the others 0. Raises ModelError where they do not fit."""
        rank, most = len(shape), prod(shape)
        strides = [prod(shape[axis + 1 :]) for axis in range(rank)]
        sizes = {
            axis: level.extent for level in self.levels if (axis := self.divided(level, rank)) is not None
        }
        places = np.zeros(1, np.int64)
        for level in self.levels:
            inside = self.divided(level, rank)
            axis = level.dimension if inside is None else inside
            size = sizes.get(axis, 1)
            if inside is None and (not size or shape[axis] % size):
                raise ModelError(f"blocks of {size} do not divide its shape {list(shape)}")
            parents, extent = len(places), shape[axis] // size if inside is None else size
            if level.compressed is None:
                if parents * extent > most:
                    raise ModelError("its sparse form has more places than its shape")
                counts, own = np.full(parents, extent), np.tile(np.arange(extent), parents)
            else:
                starts, own = level.compressed
                counts = np.diff(starts)
                if len(counts) != parents or (counts < 0).any() or starts[0] or starts[-1] != len(own):
                    raise ModelError("the segments of its sparse form do not fit its indices")
                if len(own) and not 0 <= own.min() <= own.max() < extent:
                    raise ModelError("an index of its sparse form lies outside of its shape")
            places = np.repeat(places, counts) + own * (strides[axis] * (size if inside is None else 1))
        if len(places) != len(values):
            raise ModelError(f"its sparse form has {len(places)} places for {len(values)} values")
        found = np.zeros(most, values.dtype)
        found[places] = values
        return found.reshape(shape)

    def divided(self, level: Level, rank: int) -> int | None:
        """The dimension of the tensor in whose blocks a level's places are; None for a dimension of the tensor."""
        return self.blocked[level.dimension - rank] if level.dimension >= rank else None


def sparsity(file: Any, table: Any, rank: int) -> Sparsity | None:
    """The sparse form that a tensor's table states, if it does. `file` is the schema's File.

    Raises ModelError where its dimensions are not those of a tensor of that rank.
    """
    if table is None:
        return None
    order, blocked = file.numbers(table, "TraversalOrder"), file.numbers(table, "BlockMap")
    levels = tuple(
        Level(dimension, entry.DenseSize(), _compressed(file, entry))
        for dimension, entry in zip(order, file.entries(table, "DimMetadata"), strict=False)
    )
    numbers = range(rank + len(blocked))
    if sorted(level.dimension for level in levels) != [*numbers] or any(
        n not in range(rank) for n in blocked
    ):
        raise ModelError("the dimensions of its sparse form are not its own", hint="convert the model again")
    return Sparsity(levels, blocked)


def _compressed(file: Any, entry: Any) -> tuple[np.ndarray, np.ndarray] | None:
    if entry.Format() == tflite.DimensionType.DENSE:
        return None
    parts = (
        (entry.ArraySegmentsType(), entry.ArraySegments()),
        (entry.ArrayIndicesType(), entry.ArrayIndices()),
    )
    starts, places = (_vector(file, kind, table) for kind, table in parts)
    return starts, places


def _vector(file: Any, kind: int, table: Any) -> np.ndarray:
    if kind not in _VECTORS or table is None:
        raise ModelError("its sparse form lacks a vector of indices", hint="convert the model again")
    vector = _VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    return file.array(vector, "Values").astype(np.int64)
