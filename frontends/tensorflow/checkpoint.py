"""The variables of a SavedModel: the tensor bundle `variables/variables.*`, whose tensors stay in mapped files.

The index is a table of LevelDB's format (https://github.com/google/leveldb/blob/main/doc/table_format.md) from names
to BundleEntryProto; the entry with the empty name is the header. No package reads it without the framework.
"""

import struct
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from ...compiler.diagnostics import ModelError
from ...runtime.records import dataclass
from ..files import map_file
from ..source import Buffer
from .messages import message_class
from .tensors import dtype_of, shape_of, view

_MAGIC = 0xDB4775248B80FB57
_FOOTER, _TRAILER = 48, 5
_AGAIN = "copy or export the model again"


@dataclass(slots=True)
class Checkpoint:
    """The variables that a prefix such as `variables/variables` names, by key."""

    prefix: Path
    index: Buffer
    entries: dict[str, Any]
    shards: int
    mapped: dict[int, Buffer] = field(default_factory=dict)

    @staticmethod
    def open(prefix: Path) -> "Checkpoint":
        """Raises ModelError where the index is missing or damaged."""
        path = prefix.with_name(f"{prefix.name}.index")
        index = map_file(path, f"{prefix.parent.name}/{path.name}")
        location = f"{prefix.parent.name}/{path.name}"
        try:
            items = dict(_table(index))
            header = message_class("BundleHeaderProto").FromString(items.pop(b"", b""))
            entry = message_class("BundleEntryProto")
            entries = {
                key.decode("utf-8", "replace"): entry.FromString(value) for key, value in items.items()
            }
        except (DecodeError, IndexError, struct.error):
            raise ModelError("the index of variables is damaged", location=location, hint=_AGAIN) from None
        except ModelError as error:
            raise ModelError(error.message, location=location, hint=error.hint) from None
        if header.endianness:
            raise ModelError(
                "the variables are big-endian", location=location, hint="export on a little-endian machine"
            )
        return Checkpoint(prefix, index, entries, header.num_shards)

    def array(self, key: str) -> np.ndarray:
        """The value of one variable, a view of the mapped file. Raises ModelError for what is not there."""
        entry = self.entries.get(key)
        if entry is None:
            raise ModelError(f"the variable '{key}' is not in the checkpoint", hint=_AGAIN)
        if entry.slices:
            raise ModelError(f"the variable '{key}' is stored in slices", hint="export it unpartitioned")
        dtype, shape = dtype_of(entry.dtype, f"the variable '{key}'"), shape_of(entry.shape)
        data = self.shard(entry.shard_id)
        if shape is None or not 0 <= entry.offset <= entry.offset + entry.size <= len(data):
            raise ModelError(
                f"the variable '{key}' lies at bytes {entry.offset} to {entry.offset + entry.size} of a file "
                f"of {len(data)} bytes",
                hint=_AGAIN,
            )
        return view(memoryview(data)[entry.offset : entry.offset + entry.size], dtype, shape)

    def shard(self, number: int) -> Buffer:
        """One of the files that hold the data."""
        if number not in self.mapped:
            name = f"{self.prefix.name}.data-{number:05d}-of-{self.shards:05d}"
            self.mapped[number] = map_file(self.prefix.with_name(name), f"{self.prefix.parent.name}/{name}")
        return self.mapped[number]

    def content(self) -> list[Buffer]:
        """The index and the data files opened so far, in order."""
        return [self.index, *(self.mapped[number] for number in sorted(self.mapped))]


def _table(data: Buffer) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table in order."""
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ModelError("not an index of variables: its last bytes are not a table's", hint=_AGAIN)
    footer = data[-_FOOTER:]
    _, position = _handle(footer, 0)
    (offset, size), _ = _handle(footer, position)
    for _, value in _block(data, offset, size):
        (offset, size), _ = _handle(value, 0)
        yield from _block(data, offset, size)


def _block(data: Buffer, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries of one block: keys share a prefix with the key before, restart points follow the entries."""
    block = data[offset : offset + size + _TRAILER]
    if len(block) < size + _TRAILER or size < 4:
        raise ModelError("truncated: a block of the index is cut off", hint=_AGAIN)
    if block[size] != 0:
        raise ModelError(
            "the index of variables is compressed", hint="export with TensorFlow's own checkpoints"
        )
    restarts = struct.unpack_from("<I", block, size - 4)[0]
    position, end, key = 0, size - 4 - 4 * restarts, b""
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return (offset, size), position


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
