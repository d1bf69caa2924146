"""ONNX: `.onnx` files with external data, and `onnx.ModelProto` objects; opsets 6 to 28 of the standard domain."""

import os
from pathlib import Path
from typing import Any

from ...compiler.diagnostics import ModelError
from ..source import SourceModel


class OnnxFrontend:
    """See `frontends.registry.Frontend`. The `onnx` package is loaded at the first read."""

    name = "onnx"
    description = "ONNX, .onnx files"
    packages = ("onnx",)

    def probe(self, path: Path, head: bytes) -> bool:
        """By suffix; else by a first field `ir_version` followed by another of ModelProto's fields."""
        if path.suffix == ".onnx":
            return True
        if path.name == "saved_model.pb":  # a format of that fixed name begins with the same fields
            return False
        return (
            len(head) > 2
            and head[0] == 0x08
            and head[1] < 0x40
            and head[2] in (0x12, 0x1A, 0x22, 0x28, 0x3A, 0x42)
        )

    def read(self, source: Any, example_inputs: Any = None) -> SourceModel:
        """The graph of a file, or of a `ModelProto`. Raises ModelError with every problem found."""
        from .reader import read_file, read_object

        if example_inputs is not None:
            raise ModelError("a ModelProto holds its graph and takes no example_inputs=", hint="leave it out")
        return read_file(Path(source)) if isinstance(source, str | os.PathLike) else read_object(source)

    @property
    def converters(self):
        """The converter table, families loaded."""
        from .convert import TABLE

        return TABLE


frontend = OnnxFrontend()
