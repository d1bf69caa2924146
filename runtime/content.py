"""The bytes of a package's entry: arrays one after another, joined only where they are read as one.

Their checksums are found once, ahead of their use where that is known to come.
"""

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from .background import Background
from .memory import ALIGNMENT, aligned, zeros

Buffer = bytes | bytearray | memoryview | np.ndarray

_TOGETHER = 1 << 20
"""Bytes up to which neighbours are hashed as one: each turn may have to wait for the interpreter."""


class Content:
    """Immutable bytes in parts, each on a multiple of 64 bytes, zeros between them."""

    def __init__(self, parts: Sequence[np.ndarray]):
        """`parts` are dense arrays of any numeric dtype; they are not copied."""
        found: list[tuple[int, np.ndarray]] = []
        self.size = 0
        for part in parts:
            found.append((self.size, _bytes(part)))
            self.size += -(-part.nbytes // ALIGNMENT) * ALIGNMENT
        self._parts = tuple(found)
        self._ahead: Background[tuple[str, int]] | None = None

    @classmethod
    def of(cls, data: "Buffer | Content") -> "Content":
        """One buffer as it is, on a multiple of 64 bytes in memory; it is copied only if it is not on one."""
        if isinstance(data, Content):
            return data
        self = cls(())
        array = aligned(_bytes(data))
        self._parts, self.size = ((0, array),), array.size
        return self

    @cached_property
    def joined(self) -> np.ndarray:
        """All bytes as one array, u8[size]."""
        if len(self._parts) == 1 and self._parts[0][1].size == self.size:
            return self._parts[0][1]
        whole = zeros(self.size)
        for start, part in self._parts:
            whole[start : start + part.size] = part
        return whole

    def parts(self) -> Iterator[tuple[int, np.ndarray]]:
        """What is not known to be zero: where each part starts, and its bytes."""
        return iter(self._parts)

    def sum_ahead(self) -> None:
        """Begin to find the checksums beside other work, unless that was done before.

        Both in one thread: with two the other work would have less than a core of two for itself.
        """
        if self._ahead is None:
            self._ahead = Background(self._sums)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of all bytes, as hex."""
        return self._sha256() if self._ahead is None else self._ahead.result()[0]

    @cached_property
    def crc32(self) -> int:
        """The CRC-32 of all bytes, as zip has it."""
        return self._crc32() if self._ahead is None else self._ahead.result()[1]

    def _sums(self) -> tuple[str, int]:
        """SHA-256 and CRC-32."""
        state, value = hashlib.sha256(), 0
        for piece in self._pieces():
            state.update(piece.data)
            value = zlib.crc32(piece.data, value)
        return state.hexdigest(), value

    def _sha256(self) -> str:
        state = hashlib.sha256()
        for piece in self._pieces():
            state.update(piece.data)
        return state.hexdigest()

    def _crc32(self) -> int:
        value = 0
        for piece in self._pieces():
            value = zlib.crc32(piece.data, value)
        return value

    def _pieces(self) -> Iterator[np.ndarray]:
        """All bytes in order, padding included; small neighbours joined."""
        waiting: list[np.ndarray] = []
        position = held = 0
        for start, part in (*self._parts, (self.size, np.empty(0, np.uint8))):
            waiting.append(np.zeros(start - position, np.uint8))
            position = start + part.size
            if part.size < _TOGETHER:
                waiting.append(part)
                held += part.size
            if part.size >= _TOGETHER or held >= _TOGETHER or start == self.size:
                yield np.concatenate(waiting)
                waiting, held = [], 0
            if part.size >= _TOGETHER:
                yield part


def _bytes(data: Buffer) -> np.ndarray:
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return np.frombuffer(data, np.uint8)
