"""The zip archives that torch writes: members by name, mapped where they are stored, checked before they are used."""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ...compiler.diagnostics import ModelError
from ..files import map_file
from ..source import Buffer

LARGEST_TEXT = 1 << 30
"""Bytes of JSON or code that are read; weights are bounded by their shapes instead."""

WAY_OUT = "export it again: torch.export.save(torch.export.export(model.eval(), inputs), 'model.pt2')"

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")  # PKWARE APPNOTE.TXT, 4.3.7


class Archive:
    """An archive's members, without the folder that torch puts them all into."""

    def __init__(self, source: Path | IO[bytes], location: str):
        self.location = location
        self.data: Buffer = map_file(source, location) if isinstance(source, Path) else source.read()
        try:
            with zipfile.ZipFile(source if isinstance(source, Path) else _rewound(source)) as file:
                entries = file.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ModelError(
                f"the archive is damaged or cut short: {error}",
                location=location,
                hint="copy or export it again",
            ) from None
        self.folder = _common_folder([entry.filename for entry in entries])
        self._entries = {entry.filename[len(self.folder) :]: entry for entry in entries}

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> tuple[str, ...]:
        """The members' names in the archive's order."""
        return tuple(self._entries)

    def size(self, name: str) -> int:
        """Bytes of a member once unpacked."""
        return self._entry(name).file_size

    def text(self, name: str) -> str:
        """A member that holds text. Raises ModelError where it is missing, damaged or too large."""
        if self.size(name) > LARGEST_TEXT:
            raise ModelError(f"'{name}' has {self.size(name)} bytes", location=self.location)
        try:
            return bytes(self.read(name)).decode("utf-8")
        except UnicodeDecodeError:
            raise self._damaged(name, "it is no text") from None

    def read(self, name: str, expected: int | None = None) -> memoryview:
        """A member's bytes, a view of the file where they are stored. Fewer than `expected` are refused unread."""
        entry = self._entry(name)
        if expected is not None and entry.file_size < expected:
            raise self._damaged(name, f"it has {entry.file_size} bytes, its tensors need {expected}")
        start = entry.header_offset
        header = self.data[start : start + _LOCAL_HEADER.size]
        if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise self._damaged(name, "its header is not there")
        fields = _LOCAL_HEADER.unpack(header)
        start += _LOCAL_HEADER.size + fields[-2] + fields[-1]
        packed = memoryview(self.data)[start : start + entry.compress_size]
        if len(packed) < entry.compress_size:
            raise self._damaged(name, "it is cut short")
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            try:
                packed = memoryview(zlib.decompressobj(-15).decompress(packed, entry.file_size + 1))
            except zlib.error as error:
                raise self._damaged(name, str(error)) from None
        elif entry.compress_type != zipfile.ZIP_STORED:
            raise self._damaged(name, f"compression {entry.compress_type} is not known")
        if len(packed) != entry.file_size or zlib.crc32(packed) != entry.CRC:
            raise self._damaged(name, "its bytes do not fit its checksum")
        return packed

    def content(self) -> Iterable[Buffer]:
        """The bytes that the model's hash covers."""
        return [self.data]

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise ModelError(
                f"the archive has no '{name}'", location=self.location, hint="export it again, in one piece"
            )
        return self._entries[name]

    def _damaged(self, name: str, reason: str) -> ModelError:
        return ModelError(
            f"'{name}' in the archive is damaged: {reason}",
            location=self.location,
            hint="copy or export it again",
        )


@contextmanager
def following_schema(location: str, member: str) -> Iterator[None]:
    """A place where JSON is taken as torch's schema has it: what does not fit is a ModelError that names the member."""
    try:
        yield
    except (json.JSONDecodeError, RecursionError) as error:
        raise ModelError(f"'{member}' is no JSON: {error}", location=location, hint=WAY_OUT) from None
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise ModelError(
            f"'{member}' does not fit torch's schema: {type(error).__name__}: {error}",
            location=location,
            hint=WAY_OUT,
        ) from None


def _rewound(source: IO[bytes]) -> IO[bytes]:
    source.seek(0)
    return source


def _common_folder(names: list[str]) -> str:
    """`name/` where all members lie in one folder, else ""."""
    tops = {name.partition("/")[0] for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in name for name in names) else ""
