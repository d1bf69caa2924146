"""The two containers of Keras models: a configuration, and the arrays of each layer in the order of their creation.

`.keras` is a zip archive of `config.json` and `model.weights.h5`, whose groups follow the model's structure; the older
`.h5` holds both, its groups named after layers. Nothing that a file refers to outside itself is followed.
"""

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...compiler.diagnostics import ModelError, UnsupportedError
from ...runtime.records import dataclass
from ..files import map_file
from ..source import Buffer

Load = Callable[[], np.ndarray]

MOST_CONFIG = 2**26
"""Bytes of a configuration: structure, no weights."""

MOST_EXPANSION = 1000
"""How many times its stored size an array or member may have: more is a bomb, not compression."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands: its path by classes below the model, the top layer around it, and its own name."""

    path: str
    top: str
    name: str


class Weights(Protocol):
    """The arrays of layers."""

    def of(self, place: Place, parts: Iterable[str]) -> list[Load]:
        """What gives a layer's arrays, part by part ("" for its own ones)."""
        ...


@dataclass(frozen=True, slots=True)
class KerasFile:
    """A model file: configuration, weights and the bytes that it consists of."""

    config: Mapping[str, Any]
    weights: Weights
    content: list[Buffer]


def open_file(path: Path) -> KerasFile:
    """Raises ModelError for damaged files and for those that hold weights only."""
    data = map_file(path, path.name)
    if data[:2] == b"PK":
        return _open_archive(data, path.name)
    return _open_legacy(data, path.name)


def _open_archive(data: Buffer, location: str) -> KerasFile:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            config = _json(_member(archive, "config.json", location, MOST_CONFIG), location)
            weights = _member(archive, "model.weights.h5", location, len(data) * MOST_EXPANSION)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise ModelError(
            f"not a Keras archive, or truncated: {error}",
            location=location,
            hint="copy or save the file again",
        ) from None
    return KerasFile(config, ArchiveWeights(_hdf5(weights, location)), [data])


def _member(archive: zipfile.ZipFile, name: str, location: str, most: int) -> bytes:
    if name not in archive.namelist():
        raise ModelError(
            f"the archive has no '{name}'", location=location, hint="save the model again: model.save()"
        )
    if archive.getinfo(name).file_size > most:
        raise ModelError(f"its member '{name}' is too large", location=location, hint="save the model again")
    return archive.read(name)


def _open_legacy(data: Buffer, location: str) -> KerasFile:
    file = _hdf5(data, location)
    with _reading(location):
        text = file.attrs.get("model_config")
        if text is None or "model_weights" not in file:
            raise ModelError(
                "holds weights only, and no model",
                location=location,
                hint="save the model itself: model.save('model.keras')",
            )
        version = str(file.attrs.get("keras_version", "2"))
        text = text if isinstance(text, bytes) else str(text).encode()
    config = _json(text, location)
    return KerasFile(
        {**config, "keras_version": version}, LegacyWeights(_group(file, "model_weights")), [data]
    )


def _json(data: bytes, location: str) -> Any:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ModelError(
            "its configuration is no JSON", location=location, hint="save the model again"
        ) from None
    if not isinstance(found, dict) or "class_name" not in found or not isinstance(found.get("config"), dict):
        raise ModelError(
            "its configuration describes no model", location=location, hint="save the model again"
        )
    return found


def _hdf5(data: Any, location: str) -> Any:
    try:
        import h5py
    except ImportError:
        raise UnsupportedError(
            "reading Keras files needs the package h5py", location=location, hint="pip install isthmus[keras]"
        ) from None
    with _reading(location):
        return h5py.File(BytesIO(data), "r")


@contextmanager
def _reading(location: str) -> Iterator[None]:
    """HDF5's errors as one of ours."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"not an HDF5 file, or damaged: {str(error).splitlines()[0]:.120}",
            location=location,
            hint="copy or save the file again",
        ) from None


@_reading("")
def _group(parent: Any, path: str) -> Any:
    """A group or dataset below another; None where there is none. Links to elsewhere are refused."""
    import h5py

    for name in filter(None, path.split("/")):
        link = parent.get(name, getlink=True) if isinstance(parent, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ModelError(f"'{path}' is a link in the file's weights", hint="save the model again")
        parent = parent[name]
    return parent


@_reading("")
def _array(dataset: Any) -> np.ndarray:
    """A dataset's content, if it lies in the file itself and is not larger than what is stored makes likely."""
    if dataset.external or dataset.is_virtual:
        raise ModelError(f"the weight '{dataset.name}' lies outside the file", hint="save the model again")
    stored = dataset.id.get_storage_size()
    if dataset.dtype.hasobject or dataset.nbytes > max(stored, 1) * MOST_EXPANSION:
        raise ModelError(
            f"the weight '{dataset.name}' is {dataset.dtype}{list(dataset.shape)} of {stored} bytes"
        )
    return np.asarray(dataset[()])


@dataclass(frozen=True, slots=True)
class ArchiveWeights:
    """`<path>/<part>/vars/0`, 1, ... of a `.keras` archive."""

    root: Any

    @_reading("")
    def of(self, place: Place, parts: Iterable[str]) -> list[Load]:
        """See `Weights`."""
        found = []
        for part in parts:
            group = _group(self.root, f"{place.path}/{part}/vars")
            names = (
                [] if group is None else sorted(group, key=lambda text: int(text) if text.isdigit() else -1)
            )
            found += [_load(self.root, f"{place.path}/{part}/vars/{name}") for name in names]
        return found


@dataclass(frozen=True, slots=True)
class LegacyWeights:
    """The datasets that a layer's group names in order; a nested model's all stand in its own group."""

    root: Any

    @_reading("")
    def of(self, place: Place, parts: Iterable[str]) -> list[Load]:
        """See `Weights`."""
        group = _group(self.root, place.top)
        if group is None:
            return []
        # a list that is too long for one attribute goes on in weight_names0, weight_names1, ...
        keys = ("weight_names", *(f"weight_names{n}" for n in range(1000)))
        names = [_text(name) for key in keys if key in group.attrs for name in group.attrs[key]]
        if place.top != place.name:
            names = [name for name in names if place.name in name.split("/")]
        return [_load(group, name) for name in names]


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _load(root: Any, path: str) -> Load:
    @_reading("")
    def load() -> np.ndarray:
        dataset = _group(root, path)
        if dataset is None or not hasattr(dataset, "nbytes"):
            raise ModelError(f"the weight '{path}' is missing", hint="save the model again")
        return _array(dataset)

    return load
