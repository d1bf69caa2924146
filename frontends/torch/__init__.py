"""PyTorch: exported programs (`.pt2`), TorchScript (`.pt`), modules and graphs in memory. Files need no torch."""

import os
from pathlib import Path
from typing import Any

from ..source import SourceModel


class TorchFrontend:
    """See `frontends.registry.Frontend`. torch itself is imported for objects in memory only."""

    name = "torch"
    description = "PyTorch, .pt2 and TorchScript .pt files"
    packages = ("torch",)

    def probe(self, path: Path, head: bytes) -> bool:
        """By suffix; else by a zip archive that begins as torch's do, or a bare pickle."""
        from .files import looks_like_torch

        return looks_like_torch(path, head)

    def read(self, source: Any, example_inputs: Any = None) -> SourceModel:
        """The graph of a file or object. Raises ModelError or UnsupportedError with every problem found."""
        if isinstance(source, str | os.PathLike):
            from .files import read_file

            return read_file(Path(source))
        from .objects import read_object

        return read_object(source, example_inputs)

    @property
    def converters(self):
        """The converter table, families loaded."""
        from .convert import TABLE

        return TABLE


frontend = TorchFrontend()
