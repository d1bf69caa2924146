"""TFLite: `.tflite` flatbuffers, float and quantised, read without TensorFlow."""

from pathlib import Path
from typing import Any

from ..files import split_part
from ..source import SourceModel


class TFLiteFrontend:
    """See `frontends.registry.Frontend`. The `tflite` package is loaded at the first read."""

    name = "tflite"
    description = "TFLite, .tflite files"
    packages = ()

    def probe(self, path: Path, head: bytes) -> bool:
        """By the file identifier, which stands behind the root offset; else by suffix."""
        return head[4:8] == b"TFL3" or path.suffix == ".tflite"

    def read(self, source: Any) -> SourceModel:
        """The graph of a file; `path#name` chooses a signature. Raises ModelError with every problem found."""
        from .reader import read_file

        return read_file(*split_part(source))

    @property
    def converters(self):
        """The converter table, families loaded."""
        from .convert import TABLE

        return TABLE


frontend = TFLiteFrontend()
