"""Keras: `.keras` and `.h5` model files, and models in memory. Files need h5py, and neither Keras nor a backend."""

import os
import zipfile
from pathlib import Path
from typing import Any

from ..source import SourceModel

_HDF5 = b"\x89HDF\r\n\x1a\n"


class KerasFrontend:
    """See `frontends.registry.Frontend`. h5py is loaded at the first read."""

    name = "keras"
    description = "Keras, .keras and .h5 files"
    packages = ("keras",)

    def probe(self, path: Path, head: bytes) -> bool:
        """By suffix and magic; a zip archive of another name by its members."""
        if path.suffix == ".keras" or head.startswith(_HDF5):
            return True
        if not head.startswith(b"PK"):
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                return {"config.json", "model.weights.h5"} <= set(archive.namelist())
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
            return False  # a damaged archive is told by the format that its name or beginning shows

    def read(self, source: Any) -> SourceModel:
        """The layers of a file or of a model in memory. Raises ModelError with every problem found."""
        from .reader import read_file

        if isinstance(source, str | os.PathLike):
            return read_file(Path(source))
        from .objects import read_object

        return read_object(source)

    @property
    def converters(self):
        """The converter table, families loaded."""
        from .convert import TABLE

        return TABLE


frontend = KerasFrontend()
