"""Which bytes an instruction touches: a box of strided runs in a memory. Synchronising and checking both read these."""

from typing import NamedTuple

import numpy as np


class Access(NamedTuple):
    """`bytes` contiguous bytes from `base` (a byte address in `memory`), repeated over (count, stride in bytes) pairs.

    `write` is false for a read. Strides may be negative or 0, counts are at least 1.
    """

    memory: str
    write: bool
    base: int
    bytes: int
    dims: tuple[tuple[int, int], ...] = ()

    @property
    def first(self) -> int:
        """The lowest address."""
        first = self.base
        for count, stride in self.dims:
            if stride < 0:
                first += (count - 1) * stride
        return first

    @property
    def end(self) -> int:
        """One past the highest address."""
        end = self.base + self.bytes
        for count, stride in self.dims:
            if stride > 0:
                end += (count - 1) * stride
        return end

    @property
    def size(self) -> int:
        """Bytes moved, those touched several times counted each time."""
        size = self.bytes
        for count, _ in self.dims:
            size *= count
        return size

    def simplified(self) -> "Access":
        """The same bytes with positive strides, repeats left out, and runs that follow one another joined."""
        bytes, base, kept = self.bytes, self.first, []
        for count, stride in sorted(
            (count, abs(stride)) for count, stride in self.dims if count > 1 and stride
        ):
            kept.append((stride, count))
        dims: list[tuple[int, int]] = []
        for stride, count in sorted(kept):
            if not dims and stride <= bytes:
                bytes = stride * (count - 1) + bytes
            else:
                dims.append((count, stride))
        return Access(self.memory, self.write, base, bytes, tuple(dims))

    def marks(self, of_bytes: np.ndarray) -> np.ndarray:
        """A view of an array that has one element a byte of the memory: those of the bytes touched, each once."""
        simple, size = self.simplified(), of_bytes.itemsize
        counts = [count for count, _ in simple.dims][::-1]
        strides = [size * stride for _, stride in simple.dims][::-1]
        shape = (*counts, simple.bytes)
        return np.ndarray(shape, of_bytes.dtype, of_bytes, size * simple.base, (*strides, size))

    def starts(self) -> np.ndarray:
        """The address of every run, i64[runs], unordered."""
        starts = np.array([self.base], np.int64)
        for count, stride in self.dims:
            starts = np.add.outer(np.arange(count, dtype=np.int64) * stride, starts).ravel()
        return starts

    def overlaps(self, other: "Access") -> bool:
        """Whether the two share a byte: exact, after a look at their bounds."""
        if self.memory != other.memory or self.first >= other.end or other.first >= self.end:
            return False
        mine, others = self.simplified(), other.simplified()
        if not mine.dims and not others.dims:
            return True
        left, right = np.sort(mine.starts()), np.sort(others.starts())
        # A run of the right starting at or before a left run's end overlaps it if it also ends behind its start.
        nearest = np.searchsorted(right, left + mine.bytes) - 1
        return bool(np.any((nearest >= 0) & (right[np.maximum(nearest, 0)] + others.bytes > left)))


def conflict(one: Access, other: Access) -> bool:
    """Whether the order of two accesses matters: they share a byte and one of them writes."""
    return (one.write or other.write) and one.overlaps(other)
