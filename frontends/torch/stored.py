"""The weights of an exported program: raw bytes with a table in today's archives, torch.save's files in older ones."""

import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...compiler.diagnostics import ModelError, UnsupportedError
from ...runtime.records import dataclass
from .archive import Archive, following_schema
from .pickles import Tensor, load_saved
from .tensors import EXPORTED, dtype_numbered, storage_bytes, strided


@dataclass(frozen=True)
class StoredTensors:
    """Tensors by their names in the module, loaded when they are asked for."""

    loaders: Mapping[str, Callable[[], np.ndarray]]

    def __contains__(self, name: str) -> bool:
        return name in self.loaders

    def load(self, name: str) -> np.ndarray:
        """The tensor's content. Raises ModelError where its bytes are missing or do not fit its shape."""
        return self.loaders[name]()

    @staticmethod
    def read(archive: Archive, model: str) -> "StoredTensors":
        """The weights and constants of one model of an archive of the layout since torch 2.8."""
        found: dict[str, Callable[[], np.ndarray]] = {}
        for folder in ("weights", "constants"):
            table = f"data/{folder}/{model}_{folder}_config.json"
            if table in archive:
                with following_schema(archive.location, table):
                    entries = json.loads(archive.text(table))["config"].items()
                for name, entry in entries:
                    found[name] = partial(_load_raw, archive, table, name, entry)
        return StoredTensors(found)


def _load_raw(archive: Archive, table: str, name: str, entry: Mapping[str, Any]) -> np.ndarray:
    """A tensor over a member of raw bytes; `path_name` is the member, which tied weights share."""
    with following_schema(archive.location, table):
        if entry.get("use_pickle"):
            raise UnsupportedError(
                f"'{name}' is stored as a pickle, which is not read",
                hint="make it a plain tensor and export again",
            )
        meta = entry["tensor_meta"]
        dtype = dtype_numbered(meta["dtype"], EXPORTED, f"'{name}'")
        sizes, strides = (_numbers(meta[key], name) for key in ("sizes", "strides"))
        (offset,) = _numbers([meta["storage_offset"]], name)
        member = table.rpartition("/")[0] + "/" + entry["path_name"]
        data = archive.read(member, storage_bytes(dtype, sizes, strides, offset))
        return strided(data, dtype, sizes, strides, offset)


def _numbers(entries: list[Mapping[str, Any]], name: str) -> tuple[int, ...]:
    if not all("as_int" in entry for entry in entries):
        raise ModelError(f"the stored tensor '{name}' has a symbolic shape", hint="export it again")
    return tuple(int(entry["as_int"]) for entry in entries)


def legacy_tensors(archive: Archive) -> StoredTensors:
    """The weights of an archive of the layout before torch 2.8: torch.save's archives inside the archive."""
    found: dict[str, Callable[[], np.ndarray]] = {}
    for member in ("serialized_state_dict.pt", "serialized_state_dict.json", "serialized_constants.pt"):
        if member not in archive or not archive.size(member):
            continue
        inner = Archive(io.BytesIO(archive.read(member)), f"{archive.location}:{member}")
        for name, tensor in load_saved(inner).items():
            if isinstance(tensor, Tensor):
                found[name] = tensor.array
    return StoredTensors(found)
