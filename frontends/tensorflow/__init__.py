"""TensorFlow: SavedModel folders and frozen graphs (`.pb`), and functions in memory. Files need no TensorFlow."""

import os
from pathlib import Path
from typing import Any

from ..files import split_part
from ..source import SourceModel


class TensorFlowFrontend:
    """See `frontends.registry.Frontend`. protobuf and h5py are loaded at the first read."""

    name = "tensorflow"
    description = "TensorFlow, SavedModel folders and frozen .pb graphs"
    packages = ("tensorflow",)

    def probe(self, path: Path, head: bytes) -> bool:
        """A folder or file of a SavedModel; or `.pb`; or a file that begins with a node: name, then op."""
        if path.name == "saved_model.pb" or path.suffix == ".pb":
            return True
        return not head and path.is_dir() and (path / "saved_model.pb").is_file()

    def read(self, source: Any) -> SourceModel:
        """The graph of a folder (`folder#signature` chooses one), file or function. Raises ModelError."""
        from .reader import read_frozen, read_saved_model

        if not isinstance(source, str | os.PathLike):
            from .objects import read_object

            return read_object(source)
        path, signature = split_part(source)
        if path.name == "saved_model.pb":
            path = path.absolute().parent
        return read_saved_model(path, signature or None) if path.is_dir() else read_frozen(path)

    @property
    def converters(self):
        """The converter table, families loaded."""
        from .convert import TABLE

        return TABLE


frontend = TensorFlowFrontend()
