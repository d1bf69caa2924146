"""The columns of products as arrays of multipliers read them: packed [products, column tiles, outer sums, run, cols].

The run of a sum (the dims that lie side by side in the rows operand) takes whole heights of the array in a tile; at
home it is not filled up.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product as cartesian
from math import prod

import numpy as np

from ..diagnostics import UnsupportedError
from ..target.description import Engine
from ..tile.products import Product
from ..tile.stage import REDUCE, Access, Affine, Kernel
from ..tile.work import sum_run
from .copies import Copy
from .emit import Ints, Tile
from .places import by_dim, offset, shape_of, steps_at_home


class Columns:
    """How the columns of a product lie in a tile, or of several, by batch; `extents` are the tile's by dim."""

    def __init__(self, kernel: Kernel, found: Product, array: Engine, extents: Mapping[str, int]):
        self.found, self.array, self.extents = found, array, extents
        whole = {d.name: d.size for stage in kernel.stages for d in stage.kind(REDUCE)}
        self.run = sum_run(found, {name for name in found.k if extents[name] < whole[name]})
        self.outer = [name for name in found.k if name not in self.run]
        self.others = [name for name in extents if name not in (*found.k, found.lane)]

    @staticmethod
    def of(kernel: Kernel, found: Product, array: Engine, size: Ints) -> "Columns":
        """Those of a tile of the columns operand."""
        return Columns(kernel, found, array, by_dim(found.columns, size))

    @property
    def length(self) -> int:
        """Terms of a run."""
        return prod(self.extents[name] for name in self.run)

    @property
    def depth(self) -> int:
        """Rows that a run takes: whole heights of the array."""
        return -(-self.length // self.array.rows) * self.array.rows

    @property
    def sums(self) -> int:
        """Runs of a sum."""
        return prod(self.extents[name] for name in self.outer)

    @property
    def pitch(self) -> int:
        """Elements from one tile of columns to the next."""
        return self.sums * self.depth * self.array.cols

    @property
    def product(self) -> int:
        """Elements from one product's columns to the next one's."""
        return -(-self.extents[self.found.lane] // self.array.cols) * self.pitch

    @property
    def elements(self) -> int:
        """Elements that the packed tile takes."""
        return prod(self.extents[name] for name in self.others) * self.product

    def steps(self) -> dict[str, int]:
        """Elements between the columns of products, by dim."""
        steps, step = {}, self.product
        for name in reversed(self.others):
            steps[name] = step
            step *= self.extents[name]
        return steps

    @property
    def is_plain(self) -> bool:
        """Whether a packed tile lies as the tile does that an engine writes: row by row, one tile of columns wide."""
        n = self.found.lane
        order = [name for name in self.extents if self.extents[name] > 1 or name == n]
        packed = [name for name in (*self.others, *self.outer, *self.run, n) if name in order]
        whole = self.sums == 1 or self.length == self.depth
        return order == packed and whole and self.extents[n] == self.array.cols

    def packed(self, array: np.ndarray, low: Ints) -> np.ndarray:
        """The part of a constant that begins at `low`, packed as it is stored."""
        lows = by_dim(self.found.columns, low)
        n, cols = self.found.lane, self.array.cols
        parts = self.others, self.outer, self.run, [n]
        return pack(array, self.found.columns, lows, self.extents, parts, cols)

    def runs(self, tile: Tile, home: int) -> Copy:
        """A packed constant at `home` into a tile, each run to its place."""
        line = self.array.cols * tile.buffer.dtype.bytes
        run, pitch = self.length * line, self.depth * line
        count = self.elements // (self.depth * self.array.cols)
        if run == pitch or count == 1:
            return Copy(home, tile.address, count * run)
        return Copy(home, tile.address, run, count, s1=run, d1=pitch)

    def copies(self, tile: Tile, home: int, dims: int = 2) -> Iterator[Copy]:
        """A tile packed from a row-major array at `home`, by instructions with `dims` strided dims (1 or 2).

        UnsupportedError where the columns do not lie side by side.
        """
        bytes_, cols = tile.buffer.dtype.bytes, self.array.cols
        shape = shape_of(tile)
        steps = steps_at_home(self.found.columns, shape, self.extents)
        n = self.found.lane
        if steps[n] != 1 or len(self.run) > 1:
            raise UnsupportedError("the columns of a product do not lie side by side")
        source = home + offset(tile.low, shape) * bytes_
        pitch = steps[self.run[-1]] if self.run else 0
        whole, rest = divmod(self.extents[n], cols)
        names = (*self.others, *self.outer)
        for number, places in enumerate(cartesian(*(range(self.extents[name]) for name in names))):
            product, sum_ = divmod(number, self.sums)
            at = source + sum(p * steps[name] for p, name in zip(places, names)) * bytes_
            near = tile.address + (product * self.product + sum_ * self.depth * cols) * bytes_
            for first, count, width in ((0, whole, cols), (whole, 1, rest)):
                if not (count and width):
                    continue
                together = count if dims == 2 else 1
                for piece in range(first, first + count, together):
                    yield Copy(
                        home=at + piece * cols * bytes_,
                        near=near + piece * self.pitch * bytes_,
                        n0=width * bytes_,
                        n1=self.length,
                        n2=together,
                        s1=pitch * bytes_,
                        s2=cols * bytes_,
                        d1=cols * bytes_,
                        d2=self.pitch * bytes_,
                    )


def pack(
    array: np.ndarray,
    access: Access,
    lows: Mapping[str, int],
    extents: Mapping[str, int],
    parts: Sequence[Sequence[str]],
    cols: int,
) -> np.ndarray:
    """Columns as the array reads them: [products, column tiles, outer sums, run, cols], zeros behind the last column.

    `parts`: the dims of products, of outer sums, of the run, and of columns.
    """
    order = [name for part in parts for name in part]
    grids = np.ix_(*(np.arange(extents[name]) + lows[name] for name in order))
    where = dict(zip(order, grids))
    index = tuple(
        part.const + sum(c * where.get(name, np.int64(lows.get(name, 0))) for name, c in part.terms)
        for part in access.index
        if isinstance(part, Affine)
    )
    values = np.broadcast_to(array[index], tuple(extents[name] for name in order))
    products, sums, depth, n = (prod(extents[name] for name in part) for part in parts)
    values = values.reshape(products, sums, depth, n)
    tiles = -(-n // cols)
    out = np.zeros((products, sums, depth, tiles * cols), array.dtype)
    out[..., :n] = values
    return np.ascontiguousarray(out.reshape(products, sums, depth, tiles, cols).transpose(0, 3, 1, 2, 4))
