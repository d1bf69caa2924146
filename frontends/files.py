"""The files of a model: mapped into memory, never read whole, and confined to the model's folder."""

import mmap
import os
import stat
from pathlib import Path

from ..compiler.diagnostics import ModelError


def split_part(source: str | os.PathLike[str]) -> tuple[Path, str]:
    """A path, and the part of it that `path#part` names, such as one of several signatures; "" for none."""
    path = Path(source)
    if path.exists() or "#" not in path.name:
        return path, ""
    name, _, part = path.name.rpartition("#")
    return path.with_name(name) if name else path, part if name else ""


def map_file(path: Path, location: str) -> mmap.mmap | bytes:
    """A file's bytes, read-only. Raises ModelError for what is not a regular file that can be read."""
    try:
        # Asked before opening: opening a pipe would wait for its writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ModelError(f"'{path}' is not a regular file", location=location)
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size == 0:
                return b""
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise ModelError(f"the file '{path.name}' is missing", location=location) from None
    except OSError as error:
        raise ModelError(f"'{path}' can't be read: {error.strerror}", location=location) from None


class Folder:
    """Where external data may lie: beside the model, or beside the file that a symbolic link to it names."""

    def __init__(self, model: Path):
        self.base = model.parent
        self.roots = tuple(dict.fromkeys((model.parent.resolve(), model.resolve().parent)))
        self.mapped: dict[Path, mmap.mmap | bytes] = {}

    def open(self, relative: str) -> mmap.mmap | bytes:
        """A file of the folder by its path in the model. Raises ModelError for paths that leave the folder."""
        way_out = "put the file into the model's folder and export with a relative path"
        path = Path(relative)
        if not relative or "\0" in relative:
            raise ModelError(f"external data has no usable path: {relative!r}", hint=way_out)
        if path.is_absolute() or ".." in path.parts or relative.startswith(("\\", "~")):
            raise ModelError(f"external data '{relative}' is outside the model's folder", hint=way_out)
        try:
            resolved = (self.base / path).resolve()
        except (OSError, RuntimeError):
            raise ModelError(f"external data '{relative}' is a link that leads nowhere") from None
        if not any(resolved.is_relative_to(root) for root in self.roots):
            raise ModelError(
                f"external data '{relative}' is a link out of the model's folder, to '{resolved}'",
                hint=way_out,
            )
        if not resolved.exists():
            raise ModelError(
                f"external data file '{relative}' is missing",
                hint=f"copy it into '{self.base}' beside the model",
            )
        if resolved not in self.mapped:
            self.mapped[resolved] = map_file(resolved, "")
        return self.mapped[resolved]

    def content(self) -> list[mmap.mmap | bytes]:
        """The files opened so far, ordered by path."""
        return [self.mapped[path] for path in sorted(self.mapped)]
