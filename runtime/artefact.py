"""The `.isth` container: a zip of stored entries, equal bytes for equal contents, large entries at page boundaries.

`manifest.json` comes first, `program.json` second, the rest by name. Load checks structure, sizes, manifest, and the
hash of everything that is executed; weights are checked at the first run (CRC-32, the zip's own) or by `verify`
(SHA-256 of every entry).
"""

import mmap
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from io import FileIO
from pathlib import Path

import numpy as np

from .content import Buffer, Content
from .errors import PackageError
from .files import replacing
from .manifest import Entry, Manifest
from .program import Program

MANIFEST, PROGRAM = "manifest.json", "program.json"
PAGE, LINE = 4096, 64
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that zip can express
_PADDING = 0xD935  # the extra field that Android's zipalign registered for padding
_DAMAGED = "the file is damaged or cut short; copy it again or recompile the model"


class Artefact:
    """A package's contents, in memory or mapped from a file; immutable."""

    def __init__(self, manifest: Manifest, program: Program, entries: Mapping[str, Buffer | Content]):
        """A package from its parts; sizes and hashes are filled into the manifest. Aligned entries are not copied."""
        self.program = program
        self.location = manifest.model or "package"
        self._entries = {name: Content.of(entries[name]) for name in sorted(entries)}
        self._entries[PROGRAM] = Content.of(program.to_json().encode())
        self._check_references()
        self._manifest = manifest
        self._crc: dict[str, int] = {}
        self._lock = threading.Lock()

    def with_program(self, program: Program) -> "Artefact":
        """The same code and constants under another program; nothing is copied."""
        return Artefact(self._manifest, program, {k: v for k, v in self._entries.items() if k != PROGRAM})

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Artefact":
        """Map a file; PackageError in one line for what is no sound package, VersionError for a newer format."""
        self = cls.__new__(cls)
        self.location = str(path)
        self._lock = threading.Lock()
        self._entries, self._crc = _map(Path(path))
        if MANIFEST not in self._entries:
            raise PackageError(
                f"no {MANIFEST} in it", location=self.location, hint="expected an .isth package"
            )
        self.verify_once([MANIFEST])
        self._manifest = Manifest.from_json(
            self._entries.pop(MANIFEST).joined.tobytes(), f"{path}:{MANIFEST}"
        )
        self._check_sizes()
        if PROGRAM not in self._entries:
            raise PackageError(f"no {PROGRAM} in it", location=self.location, hint=_DAMAGED)
        self._check_hashes([PROGRAM])
        self.program = Program.from_json(self._entries[PROGRAM].joined.tobytes(), f"{path}:{PROGRAM}")
        self._check_references()
        self._check_hashes([device.code for device in self.program.devices if device.code])
        return self

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest with the size and hash of every entry."""
        if self._manifest.entries:
            return self._manifest
        return self._listing({name: content.sha256 for name, content in self._entries.items()})

    def _listing(self, digests: Mapping[str, str]) -> Manifest:
        """The manifest with the size and the given hash of every entry."""
        sizes = {name: content.size for name, content in self._entries.items()}
        return replace(self._manifest, entries={n: Entry(sizes[n], digest) for n, digest in digests.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all entries but the manifest."""
        return tuple(self._entries)

    def entry(self, name: str) -> np.ndarray:
        """The bytes of an entry, u8[size], read-only where they are mapped; PackageError when there is none."""
        if name not in self._entries:
            raise PackageError(
                f"no entry '{name}'", location=self.location, hint=f"it has {', '.join(self._entries)}"
            )
        return self._entries[name].joined

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the package; the file appears whole or not at all. PackageError when it can't be written."""
        try:
            with replacing(path) as temporary, open(temporary, "xb", buffering=0) as file:
                self._write(file)
        except OSError as error:
            raise PackageError(
                f"can't be written: {error.strerror or error}",
                location=str(path),
                hint="choose a folder that exists, is writable and has space",
            ) from None

    def _write(self, file: FileIO) -> None:
        """Entries are written while their checksums are found, which stand before them: their sizes are known."""
        for content in self._entries.values():
            content.sum_ahead()
        blank = self._listing(dict.fromkeys(self._entries, "0" * 64))
        others = {name: self._entries[name] for name in sorted(self._entries.keys() - {PROGRAM})}
        contents = {PROGRAM: self._entries[PROGRAM], **others}
        places, end = _places({MANIFEST: len(blank.to_json()), **{n: c.size for n, c in contents.items()}})
        for name, content in contents.items():
            _put(file, places[name][1], content)
        text = self.manifest.to_json().encode()
        _write_at(file, text, places[MANIFEST][1])
        sums = {MANIFEST: zlib.crc32(text), **{name: content.crc32 for name, content in contents.items()}}
        with zipfile.ZipFile(file, "w") as archive:
            for name, (info, start) in places.items():
                info.CRC = sums[name]
                header = info.FileHeader(_is_large(info))
                _write_at(file, header, start - len(header))
                archive.filelist.append(info)
                archive.NameToInfo[name] = info
            archive.start_dir = end
            archive.comment = b""  # has the directory written

    def verify(self) -> None:
        """Compare every entry with its SHA-256; PackageError names each that differs. About a second a gigabyte."""
        self._check_hashes(list(self._entries))

    def verify_once(self, names: list[str]) -> None:
        """Compare entries that were mapped from a file with their CRC-32, each the first time it is asked for."""
        with self._lock:
            for name in names:
                expected = self._crc.get(name)
                if expected is not None and self._entries[name].crc32 != expected:
                    raise PackageError(
                        "its bytes changed since it was made", location=self._at(name), hint=_DAMAGED
                    )
                self._crc.pop(name, None)

    def _at(self, name: str) -> str:
        return f"{self.location}:{name}"

    def _check_sizes(self) -> None:
        listed, found = self.manifest.entries, self._entries
        for name in listed.keys() | found.keys():
            if name not in found:
                raise PackageError("the entry is missing", location=self._at(name), hint=_DAMAGED)
            if name not in listed:
                raise PackageError("the manifest does not list it", location=self._at(name), hint=_DAMAGED)
            if listed[name].size != found[name].size:
                raise PackageError(
                    f"{found[name].size} bytes, expected {listed[name].size}",
                    location=self._at(name),
                    hint=_DAMAGED,
                )

    def _check_hashes(self, names: list[str]) -> None:
        wrong = [name for name in names if self._entries[name].sha256 != self.manifest.entries[name].sha256]
        if wrong:
            raise PackageError(
                "its SHA-256 differs from the manifest's", location=self._at(", ".join(wrong)), hint=_DAMAGED
            )

    def _check_references(self) -> None:
        """Every entry that the program names must be there, and every constant inside it."""
        wanted = [name for device in self.program.devices for name in (device.code, device.constants)]
        wanted += [slot.entry for slot in self.program.slots if slot.place == "constant" and not slot.device]
        absent = [name for name in dict.fromkeys(wanted) if name and name not in self._entries]
        if absent:
            raise PackageError(
                f"the program needs {', '.join(absent)}", location=self.location, hint=_DAMAGED
            )


def _map(path: Path) -> tuple[dict[str, Content], dict[str, int]]:
    """Entries of a zip as views of the mapped file, and their CRCs."""
    location = str(path)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            content = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except FileNotFoundError:
        raise PackageError(
            "no such file", location=location, hint="give the path of an .isth package"
        ) from None
    except OSError as error:
        raise PackageError(f"can't be read: {error.strerror or error}", location=location) from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError, EOFError) as error:
        raise PackageError(
            f"not a package, or a damaged one ({error})", location=location, hint=_DAMAGED
        ) from None
    entries: dict[str, Content] = {}
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.filename in entries:
            raise PackageError(
                "entry is compressed, encrypted or double",
                location=f"{location}:{info.filename}",
                hint=_DAMAGED,
            )
        start = _data_offset(content, info.header_offset)
        if start is None or start + info.file_size > content.size or info.compress_size != info.file_size:
            raise PackageError(
                "the entry is cut short", location=f"{location}:{info.filename}", hint=_DAMAGED
            )
        entries[info.filename] = Content.of(content[start : start + info.file_size])
    return entries, {info.filename: info.CRC for info in infos}


def _data_offset(content: np.ndarray, header: int) -> int | None:
    """Where an entry's bytes start: its local header's name and extra field may differ from the directory's."""
    if not 0 <= header <= content.size - _LOCAL_HEADER.size:
        return None
    magic, name, extra = _LOCAL_HEADER.unpack_from(content.data, header)
    return header + _LOCAL_HEADER.size + name + extra if magic == b"PK\x03\x04" else None


def _places(sizes: Mapping[str, int]) -> tuple[dict[str, tuple[zipfile.ZipInfo, int]], int]:
    """For each entry its record and where its bytes start, large ones at pages; and where the last one ends."""
    places, end = {}, 0
    for name, size in sizes.items():
        info = zipfile.ZipInfo(name, _STAMP)
        info.create_system, info.external_attr = 3, 0o644 << 16  # Unix, whatever the machine
        info.file_size = info.compress_size = size
        info.header_offset = end
        end += 30 + len(name.encode()) + (20 if _is_large(info) else 0)
        padding = -(end + 4) % (PAGE if size >= PAGE else LINE)
        info.extra = _PADDING.to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
        end += len(info.extra)
        places[name] = info, end
        end += size
    return places, end


def _is_large(info: zipfile.ZipInfo) -> bool:
    """Whether a size takes 64 bits, by zipfile's own rule."""
    return info.file_size * 1.05 > zipfile.ZIP64_LIMIT


def _put(file: FileIO, start: int, content: Content) -> None:
    for offset, part in content.parts():
        _write_at(file, part.data, start + offset)


def _write_at(file: FileIO, data: bytes | memoryview, position: int) -> None:
    """Write all of it: the system may take less at once."""
    left = memoryview(data)
    while left:
        done = os.pwrite(file.fileno(), left, position)
        left, position = left[done:], position + done
