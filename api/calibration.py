"""Sample inputs from `.npz` files, for quantising from the command line."""

from collections.abc import Sequence

import numpy as np

from isthmus.arrays import load_arrays
from isthmus.model import Model
from isthmus.runtime.errors import InputError
from isthmus.runtime.program import Port


def load_samples(files: Sequence[str], model: Model) -> list[dict[str, np.ndarray]]:
    """All samples of all files. An array is one sample of its input, or holds several along its first axis.

    For an input of shape [1, 3, 224, 224] that is [n, 3, 224, 224] or [n, 1, 3, 224, 224].

    Raises:
        InputError: files that can't be read; arrays that fit no input, or hold different numbers of samples.
    """
    ports = tuple(Port(name, name, str(type.dtype), type.shape) for name, type in model.inputs.items())
    samples: list[dict[str, np.ndarray]] = []
    for file in files:
        arrays = load_arrays([file], ports)
        parts = {name: _split(file, port, arrays.get(name)) for name, port in zip(model.inputs, ports)}
        counts = {name: len(part) for name, part in parts.items()}
        if len(set(counts.values())) != 1:
            listed = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
            raise InputError(f"holds different numbers of samples: {listed}", location=file)
        samples += [dict(zip(parts, values)) for values in zip(*parts.values())]
    return samples


def _split(file: str, port: Port, array: np.ndarray | None) -> list[np.ndarray]:
    if array is None:
        raise InputError(f"has no array '{port.name}'", location=file, hint="it needs one for each input")
    shape = tuple(int(dim) for dim in port.shape or ())  # bound, so no dimension is text
    if array.shape == shape:
        return [array]
    if array.shape[1:] == shape:
        return list(array)
    if shape and array.shape[1:] == shape[1:] and array.shape[0] % shape[0] == 0:
        return [part.reshape(shape) for part in np.split(array, array.shape[0] // shape[0])]
    raise InputError(
        f"'{port.name}' is {list(array.shape)}, expected {list(shape)} or several of these along a first axis",
        location=file,
    )
