"""Arrays in files: `.npz` and `.npy` read and written without pickle, written whole or not at all."""

import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isthmus.runtime.dtypes import is_tensor, numpy_dtype
from isthmus.runtime.errors import InputError
from isthmus.runtime.files import replacing
from isthmus.runtime.program import Port


def load_arrays(files: Sequence[str], ports: Sequence[Port]) -> dict[str, Any]:
    """Arrays by input name from `.npz` files, `NAME=FILE.npy`, or one `.npy` for a model with one input.

    Raises:
        InputError: files that are missing, damaged, or hold Python objects, all of them.
    """
    arrays: dict[str, Any] = {}
    for file in files:
        name, equals, path = file.partition("=")
        if not equals or not name or os.path.exists(file):
            name, path = "", file
        loaded = _load(path)
        if isinstance(loaded, np.ndarray):
            if not name and len(ports) != 1:
                raise InputError(
                    "holds one array without a name",
                    location=file,
                    hint=f"write NAME={path}, NAME being one of {', '.join(port.name for port in ports)}",
                )
            loaded = {name or ports[0].name: loaded}
        elif name:
            raise InputError("is an archive of several arrays", location=path, hint=f"leave out '{name}='")
        arrays.update(loaded)
    types = {port.name: port.dtype for port in ports}
    return {name: _typed(array, types.get(name, "")) for name, array in arrays.items()}


def _load(path: str) -> np.ndarray | dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except OSError as error:
        raise InputError(
            f"can't be read: {error.strerror or error}", location=path, hint="check the path"
        ) from None
    except (
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        SyntaxError,
    ) as error:
        raise InputError(
            f"is no .npz or .npy file that can be read ({error})",
            location=path,
            hint="write it with numpy.savez, plain arrays only",
        ) from None


def _typed(array: np.ndarray, dtype: str) -> np.ndarray:
    """Types that numpy does not know are stored as raw bytes; the input says what they are."""
    if array.dtype.kind != "V" or not is_tensor(dtype):
        return array
    wanted = numpy_dtype(dtype)
    return array.view(wanted) if wanted.itemsize == array.dtype.itemsize else array


def save_arrays(path: str, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as `.npz`; the file appears whole or not at all.

    Strings are stored as text of fixed width; the items of a sequence as NAME.0, NAME.1 and so on.

    Raises:
        InputError: the place can't be written.
    """
    try:
        # numpy.savez cannot take every name
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "x") as archive:
            for name, array in flattened(arrays).items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
    except OSError as error:
        raise InputError(
            f"can't be written: {error.strerror or error}",
            location=path,
            hint="choose a folder that exists, is writable and has space",
        ) from None


def flattened(arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Named arrays without sequences, absent optionals and objects."""
    found: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        if isinstance(value, list | tuple):
            found.update(flattened({f"{name}.{number}": item for number, item in enumerate(value)}))
        elif value is not None:
            array = np.asarray(value)
            found[name] = array.astype(str) if array.dtype == object else array
    return found


def random_arrays(ports: Sequence[Port], seed: int = 0) -> dict[str, np.ndarray]:
    """An array for each input with a fixed shape: floats of a normal distribution, integers 0 or 1, which are indices
    into nearly anything.

    Raises:
        InputError: an input that has no fixed shape, or holds strings or sequences.
    """
    random = np.random.default_rng(seed)
    arrays = {}
    for port in ports:
        if (
            port.shape is None
            or not all(isinstance(dim, int) for dim in port.shape)
            or port.dtype == "string"
        ):
            raise InputError(
                f"no random value is known for {port.dtype}",
                location=f"input '{port.name}'",
                hint="give --input",
            )
        dtype = numpy_dtype(port.dtype)
        shape = tuple(int(dim) for dim in port.shape)
        is_float = dtype.kind in "fcV" and port.dtype[0] in "fbc" and port.dtype != "bool"
        arrays[port.name] = (
            random.standard_normal(shape) if is_float else random.integers(0, 2, shape)
        ).astype(dtype)
    return arrays
