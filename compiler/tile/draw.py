"""Random inputs and random legal schedules of any kernel: what the tests of interpreters and emitters are fed."""

import numpy as np

from .stage import CONSTANT, INPUT, Affine, Kernel, Lookup


def draw_arrays(kernel: Kernel, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Small values for all inputs and constants; what is looked up stays inside its table."""
    limits: dict[str, int] = {}
    for stage in kernel.stages:
        for access in (*stage.reads, *stage.write.accesses()):
            for part, extent in zip(access.index, kernel.buffer(access.buffer).shape):
                if isinstance(part, Lookup):
                    limits[part.access.buffer] = min(int(extent), limits.get(part.access.buffer, 1 << 30))  # type: ignore[arg-type]
    arrays = {}
    for buffer in kernel.role(INPUT, CONSTANT):
        shape: tuple[int, ...] = buffer.shape  # type: ignore[assignment]
        dtype = buffer.dtype.numpy
        if buffer.name in limits:
            values = random.integers(0, limits[buffer.name], shape)
        elif buffer.dtype.is_integer:
            values = random.integers(0 if buffer.dtype.kind == "uint" else -9, 10, shape)
        elif buffer.dtype.kind == "bool":
            values = random.integers(0, 2, shape)
        else:
            values = random.normal(size=shape)
        arrays[buffer.name] = values.astype(dtype)
    return arrays
