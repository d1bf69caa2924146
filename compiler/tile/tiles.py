"""The tile interpreter's memory: buffers at home, tiles in slots and rings, every element with a valid bit.

What was never computed, or was computed from such, is invalid: it may be copied about, but must not reach an output.
An access outside a tile, or to a tile whose slot was taken over, is an error.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..diagnostics import VerifyError

Ints = tuple[int, ...]


class Cells:
    """Elements somewhere in memory: values, valid bits, and marks of what was written since they were last cleared."""

    def __init__(self, size: Ints, dtype: Any):
        self.values = np.empty(size, dtype)
        self.valid = np.zeros(size, bool)
        self.written = np.zeros(size, bool)
        _poison(self.values)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Everything that a run may change."""
        return (self.values, self.valid, self.written)


def _poison(values: np.ndarray) -> None:
    if values.dtype.kind in "iu":
        values[...] = np.iinfo(values.dtype).max // 3 * 2
    elif values.dtype.kind in "fc" or "float" in values.dtype.name:
        values[...] = np.nan
    else:
        values[...] = np.zeros((), values.dtype)


class Slot:
    """One of the places that the tiles of a hold take in turns."""

    owner: "Tile | None" = None


class Tile:
    """A box of a buffer in cells of its own, addressed by the buffer's coordinates."""

    def __init__(self, name: str, shape: Ints, low: Ints, size: Ints, cells: Cells, slot: Slot | None = None):
        self.name = name
        self.shape = shape
        self.low = low
        self.size = size
        self.cells = cells
        self.slot = slot

    def box(self, low: Ints, size: Ints) -> np.ndarray:
        """Values of a box."""
        return self.cells.values[self._box(low, size)]

    def take(self, index: tuple[np.ndarray, ...]) -> np.ndarray:
        """Values of single elements."""
        return self.cells.values[self._points(index)]

    def valid_box(self, low: Ints, size: Ints) -> np.ndarray:
        return self.cells.valid[self._box(low, size)]

    def valid_take(self, index: tuple[np.ndarray, ...]) -> np.ndarray:
        return self.cells.valid[self._points(index)]

    def store(self, low: Ints, values: np.ndarray, valid: np.ndarray) -> None:
        """Write a dense box."""
        self._write(self._box(low, values.shape), values, valid)

    def put(self, index: tuple[np.ndarray, ...], values: np.ndarray, valid: np.ndarray) -> None:
        """Write single elements."""
        self._write(self._points(index), values, valid)

    def _write(self, where: Any, values: np.ndarray, valid: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            self.cells.values[where] = values
        self.cells.valid[where] = valid
        self.cells.written[where] = True

    def copy(self) -> "Tile":
        """The same contents in cells of their own."""
        cells = Cells(self.size, self.cells.values.dtype)
        cells.values[...] = self.box(self.low, self.size)
        cells.valid[...] = self.valid_box(self.low, self.size)
        return Tile(self.name, self.shape, self.low, self.size, cells)

    def _mine(self) -> None:
        if self.slot is not None and self.slot.owner is not self:
            raise VerifyError(f"a tile of '{self.name}' is used while its slot holds another tile")

    def _box(self, low: Ints, size: Ints) -> Any:
        self._mine()
        for a, n, start, extent in zip(low, size, self.low, self.size):
            if n and not start <= a <= a + n <= start + extent:
                self._refuse(f"{list(size)} elements from {list(low)}")
        return tuple(slice(a - start, a - start + n) for a, n, start in zip(low, size, self.low))

    def _points(self, index: tuple[np.ndarray, ...]) -> Any:
        self._mine()
        for part, start, extent in zip(index, self.low, self.size):
            if part.size and not (part.min() >= start and part.max() < start + extent):
                self._refuse("single elements")
        return tuple(part - start for part, start in zip(index, self.low))

    def _refuse(self, what: str) -> None:
        raise VerifyError(
            f"'{self.name}' is accessed outside its tile: {what}; the tile has {list(self.size)} elements "
            f"from {list(self.low)}"
        )


class Valid:
    """A tile's valid bits, readable in place of its values."""

    def __init__(self, tile: Tile):
        self.tile = tile
        self.shape = tile.shape

    def box(self, low: Ints, size: Ints) -> np.ndarray:
        return self.tile.valid_box(low, size)

    def take(self, index: tuple[np.ndarray, ...]) -> np.ndarray:
        return self.tile.valid_take(index)


class RingCells(Cells):
    """Cells of a tile that slides along one axis: coordinate c lies in row c mod rows until another one takes it."""

    def __init__(self, size: Ints, dtype: Any, axis: int):
        super().__init__(size, dtype)
        self.axis = axis
        self.rows = size[axis]
        self.tags = np.full(self.rows, -1)

    def arrays(self) -> tuple[np.ndarray, ...]:
        return (*super().arrays(), self.tags)

    def claim(self, coordinates: np.ndarray) -> None:
        """Give rows to the coordinates that are about to be written."""
        for coordinate in np.unique(coordinates):
            row = coordinate % self.rows
            if self.tags[row] != coordinate:
                self.tags[row] = coordinate
                self.valid[(slice(None),) * self.axis + (row,)] = False


class RingTile(Tile):
    """One position of a sliding tile; what its cells keep of earlier positions need not be computed again."""

    cells: RingCells

    def _box(self, low: Ints, size: Ints) -> Any:
        inside = super()._box(low, size)
        axes = [np.arange(part.start, part.stop) for part in inside]
        axes[self.cells.axis] = np.arange(low[self.cells.axis], low[self.cells.axis] + size[self.cells.axis])
        return self._wrapped(np.ix_(*axes))

    def _points(self, index: tuple[np.ndarray, ...]) -> Any:
        axis = self.cells.axis
        inside = list(super()._points(index))
        inside[axis] = index[axis]
        return self._wrapped(tuple(inside))

    def _wrapped(self, index: tuple[np.ndarray, ...]) -> Any:
        axis = self.cells.axis
        return (*index[:axis], index[axis] % self.cells.rows, *index[axis + 1 :])

    def valid_box(self, low: Ints, size: Ints) -> np.ndarray:
        axis = self.cells.axis
        rows = np.arange(low[axis], low[axis] + size[axis])
        shape = [1] * len(size)
        shape[axis] = -1
        return super().valid_box(low, size) & (self.cells.tags[rows % self.cells.rows] == rows).reshape(shape)

    def valid_take(self, index: tuple[np.ndarray, ...]) -> np.ndarray:
        rows = index[self.cells.axis]
        return super().valid_take(index) & (self.cells.tags[rows % self.cells.rows] == rows)

    def store(self, low: Ints, values: np.ndarray, valid: np.ndarray) -> None:
        axis = self.cells.axis
        self.cells.claim(np.arange(low[axis], low[axis] + values.shape[axis]))
        super().store(low, values, valid)

    def put(self, index: tuple[np.ndarray, ...], values: np.ndarray, valid: np.ndarray) -> None:
        self.cells.claim(index[self.cells.axis])
        super().put(index, values, valid)


class Merge:
    """Runs iterations on copies of shared cells, one after the other, and joins what they wrote."""

    def __init__(self, cells: Iterable[Cells]):
        self.cells = list({id(cell): cell for cell in cells}.values())
        self.saved: list[list[np.ndarray]] = []
        self.results: list[list[list[np.ndarray]]] = []

    def begin(self) -> None:
        """An iteration starts: it sees what was there before all of them."""
        self.saved = [[array.copy() for array in cell.arrays()] for cell in self.cells]
        for cell in self.cells:
            cell.written[...] = False

    def end(self) -> None:
        """An iteration is over: keep what it did, and undo it."""
        self.results.append([[array.copy() for array in cell.arrays()] for cell in self.cells])
        for cell, saved in zip(self.cells, self.saved):
            for array, old in zip(cell.arrays(), saved):
                array[...] = old

    def finish(self) -> None:
        """Join the iterations. VerifyError when two of them wrote one element."""
        for n, cell in enumerate(self.cells):
            seen = np.zeros_like(cell.written)
            for result in self.results:
                values, valid, written, *tags = result[n]
                if (seen & written).any():
                    raise VerifyError("two iterations of a parallel loop write one element")
                seen |= written
                if isinstance(cell, RingCells):
                    cell.claim(tags[0][tags[0] != self.saved[n][-1]])
                cell.values[written] = values[written]
                cell.valid[written] = valid[written]
            cell.written |= seen
