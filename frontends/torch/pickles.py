"""Pickles of torch as data: nothing that they name is imported or called, beyond what rebuilds tensors and modules.

Python's own unpickler asks `find_class` for every global; here it gets stand-ins from a short list, or the pickle is
refused.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ...compiler.diagnostics import ModelError
from ...compiler.ir.types import DTYPES, DType
from ...runtime.records import dataclass
from .archive import Archive
from .tensors import storage_bytes, strided

_STORAGES = {
    "DoubleStorage": "f64",
    "FloatStorage": "f32",
    "HalfStorage": "f16",
    "BFloat16Storage": "bf16",
    "LongStorage": "i64",
    "IntStorage": "i32",
    "ShortStorage": "i16",
    "CharStorage": "i8",
    "ByteStorage": "u8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "c64",
    "ComplexDoubleStorage": "c128",
}


@dataclass(frozen=True)
class Storage:
    """A member of the archive that holds elements of one type."""

    archive: Archive
    member: str
    dtype: DType


@dataclass(frozen=True)
class Tensor:
    """A strided view of a storage, in elements."""

    storage: Storage
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """The content, a view of the file where that is possible. Raises ModelError where it does not fit."""
        dtype = self.storage.dtype
        needed = storage_bytes(dtype, self.sizes, self.strides, self.offset)
        data = self.storage.archive.read(self.storage.member, needed)
        return strided(data, dtype, self.sizes, self.strides, self.offset)


class Module:
    """An object of a class that the archive's own code declares: its class's name and its attributes."""

    kind = ""
    attributes: Mapping[str, Any] = MappingProxyType({})

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.attributes = dict(state)


def load_saved(archive: Archive) -> Mapping[str, Any]:
    """The dict that torch.save wrote. Raises ModelError for pickles that hold anything but tensors in containers."""
    found = load(archive, "data.pkl", "data/")
    if not isinstance(found, Mapping):
        raise ModelError("its pickle holds no dict of tensors", location=archive.location)
    return found


def load(archive: Archive, member: str, folder: str) -> Any:
    """What a pickle of an archive stands for: plain containers, `Tensor`s and `Module`s.

    Raises ModelError where it names anything else, before anything of it is built.
    """
    data = archive.read(member)
    try:
        return _Inert(archive, folder, data).load()
    except ModelError:
        raise
    except Exception as error:  # a damaged pickle may fail in any way
        raise ModelError(
            f"'{member}' is a damaged pickle: {type(error).__name__}: {error}",
            location=archive.location,
            hint="export it again",
        ) from None


class _Inert(pickle.Unpickler):
    def __init__(self, archive: Archive, folder: str, data: memoryview):
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global, or ModelError: this is the only way by which a pickle reaches code."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("torch._utils", "torch.jit._pickle"):
            stand_in = _BUILDERS.get(name)
            if stand_in is not None:
                return stand_in
        if module == "torch" and name in _STORAGES:
            return name
        if module.split(".")[0] == "__torch__":
            return type(name, (Module,), {"kind": f"{module}.{name}"})
        raise ModelError(
            f"its pickle asks for {module}.{name}, which would run code: it is refused",
            location=self.archive.location,
            hint="export the model with torch.export.save, which writes no pickle",
        )

    def persistent_load(self, key: Any) -> Storage:
        """A storage: ("storage", type, member, device, elements)."""
        kind, storage, name = key[:3]
        if kind != "storage" or storage not in _STORAGES:
            raise ModelError(f"a storage of type {storage!r} is not known", location=self.archive.location)
        return Storage(self.archive, f"{self.folder}{name}", DTYPES[_STORAGES[storage]])


def _tensor(storage: Storage, offset: int, sizes: Any, strides: Any, *_: Any) -> Tensor:
    return Tensor(storage, int(offset), tuple(map(int, sizes)), tuple(map(int, strides)))


def _first(value: Any, *_: Any) -> Any:
    return value


_BUILDERS = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_parameter": _first,
    "build_intlist": _first,
    "build_doublelist": _first,
    "build_boollist": _first,
    "build_tensorlist": _first,
    "restore_type_tag": _first,
}
