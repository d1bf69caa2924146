"""The frontend protocol, and the choice of the frontend that reads a file or an object.

Which frontends exist is the caller's affair: the API hands in those that registered themselves.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..compiler.diagnostics import ModelError
from ..compiler.ir.graph import Graph
from .driver import Converters, convert
from .files import split_part
from .source import SourceModel

HEAD = 4096
"""Bytes of a file's beginning that `probe` is shown."""


class Frontend(Protocol):
    """What a format provides. `packages` are the Python packages whose objects it reads without a file."""

    name: str
    description: str
    packages: tuple[str, ...]
    converters: Converters

    def probe(self, path: Path, head: bytes) -> bool:
        """Whether a file (or folder, then `head` is empty) is of this format, from its name and first bytes."""
        ...

    def read(self, source: Any, example_inputs: Any = None) -> SourceModel:
        """The framework's graph of a path or an object. Raises ModelError with every problem at once.

        `example_inputs` are what an object that has no graph yet is called with; others refuse them.
        """
        ...


def choose(source: Any, frontends: Sequence[Frontend]) -> Frontend:
    """The frontend for a path or object. Raises ModelError when there is none, listing the known formats."""
    known = "; ".join(f"{frontend.name}: {frontend.description}" for frontend in frontends) or "none"
    if not isinstance(source, str | os.PathLike):
        # a class of the user's own is known by the classes that it extends, a dict of weights by what it holds
        held = next(iter(source.values()), None) if isinstance(source, Mapping) else None
        classes = (*type(source).__mro__, *type(held).__mro__)
        for package in (cls.__module__.partition(".")[0] for cls in classes):
            for frontend in frontends:
                if package in frontend.packages:
                    return frontend
        raise ModelError(
            f"objects of type {type(source).__module__}.{type(source).__qualname__} are not models",
            hint=f"give a file or an object of one of these formats: {known}",
        )
    path, _ = split_part(source)
    head = _head(path)
    for frontend in frontends:
        if frontend.probe(path, head):
            return frontend
    raise ModelError("not a model in any known format", location=path.name, hint=f"known formats are {known}")


def _head(path: Path) -> bytes:
    try:
        if path.is_dir():
            return b""
        if path.exists() and not path.is_file():
            raise ModelError("is neither a file nor a folder", location=str(path), hint="give a model file")
        with open(path, "rb") as stream:
            return stream.read(HEAD)
    except FileNotFoundError:
        raise ModelError("no such file", location=str(path), hint="check the path") from None
    except OSError as error:
        raise ModelError(f"can't be read: {error.strerror}", location=str(path)) from None


def load(
    source: Any, frontends: Sequence[Frontend], example_inputs: Any = None
) -> tuple[Frontend, SourceModel]:
    """The frontend that knows a source, and the framework's own graph that it reads there."""
    frontend = choose(source, frontends)
    if example_inputs is None:
        return frontend, frontend.read(source)
    if isinstance(source, str | os.PathLike):
        raise ModelError(
            "example_inputs= is for objects that are traced; a file holds its graph",
            location=Path(source).name,
            hint="leave it out, or bind dimensions with shapes=",
        )
    return frontend, frontend.read(source, example_inputs)


Shape = Sequence[int | str | None]


def read(
    source: Any,
    frontends: Sequence[Frontend],
    shapes: Mapping[str, Shape] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Graph:
    """The graph of a model file or object.

    `shapes` binds dimensions of inputs, by input name: an int fixes a dimension, a string names it, None leaves it.
    `constants` fixes inputs to arrays; they are inputs no more. Raises ModelError (unreadable, inconsistent or unsafe)
    or UnsupportedError (all nodes that can't be converted).
    """
    frontend, model = load(source, frontends)
    return convert(model, frontend.converters, shapes or {}, constants or {})
