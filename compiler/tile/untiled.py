"""The meaning of a kernel without any schedule: each stage over its whole domain, one after the other.

Slow and simple on purpose: an op's stages are compared with its numpy meaning here, and every tiled execution
(`interpret.py`, the backends) with this one.
"""

from collections.abc import Mapping

import numpy as np

from ...runtime.records import replace
from ..diagnostics import VerifyError
from ..ir.dims import Dim as Extent
from ..ir.dims import Expr as Symbolic
from ..ir.dims import substitute
from .evaluate import Whole, evaluate, placement, whole_box
from .stage import CONSTANT, INPUT, SCAN, Kernel, Stage


def run_untiled(kernel: Kernel, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs and locals by buffer name, for arrays of all inputs and constants by buffer name.

    Symbolic extents take their values from the arrays' shapes. Elements that no stage writes are zero. VerifyError
    for an access out of range that has no fill.
    """
    kernel = specialise(kernel, arrays)
    storages = {
        buffer.name: Whole(
            np.asarray(arrays[buffer.name])
            if buffer.role in (INPUT, CONSTANT)
            else np.zeros(buffer.shape, buffer.dtype.numpy)  # type: ignore[arg-type]
        )
        for buffer in kernel.buffers
    }
    for group in scan_groups(kernel):
        _run(group, {}, storages)
    return {b.name: storages[b.name].array for b in kernel.buffers if b.role not in (INPUT, CONSTANT)}


def specialise(kernel: Kernel, arrays: Mapping[str, np.ndarray]) -> Kernel:
    """The kernel with its symbolic extents replaced by what the arrays' shapes say; VerifyError where they clash."""
    values: dict[str, Extent] = {}
    for buffer in kernel.role(INPUT, CONSTANT):
        shape = np.shape(arrays[buffer.name])
        if len(shape) != len(buffer.shape):
            raise VerifyError(f"'{buffer.name}' has rank {len(buffer.shape)}, its array rank {len(shape)}")
        for extent, actual in zip(buffer.shape, shape):
            if isinstance(extent, Symbolic) and str(extent) not in values:
                values[str(extent)] = actual
    kernel = replace(
        kernel,
        buffers=tuple(
            replace(buffer, shape=tuple(substitute(extent, values) for extent in buffer.shape))
            for buffer in kernel.buffers
        ),
        stages=tuple(
            replace(stage, dims=tuple(replace(d, extent=substitute(d.extent, values)) for d in stage.dims))
            for stage in kernel.stages
        )
        if values
        else kernel.stages,
    )
    for buffer in kernel.role(INPUT, CONSTANT):
        if buffer.shape != np.shape(arrays[buffer.name]):
            raise VerifyError(
                f"'{buffer.name}' has shape {list(buffer.shape)}, its array {list(np.shape(arrays[buffer.name]))}"
            )
    return kernel


def scan_groups(kernel: Kernel) -> list[list[Stage]]:
    """Stages in order; neighbours that share a scan dim stand together, for they take its steps together."""
    groups: list[list[Stage]] = []
    for stage in kernel.stages:
        scans = {dim.name for dim in stage.kind(SCAN)}
        if scans and groups and scans & {dim.name for dim in groups[-1][-1].kind(SCAN)}:
            groups[-1].append(stage)
        else:
            groups.append([stage])
    return groups


def _run(stages: list[Stage], steps: dict[str, int], storages: Mapping[str, Whole]) -> None:
    """Run a group with the scan dims in `steps` at one step each; the other scan dims are stepped here."""
    scans = [dim for stage in stages for dim in stage.kind(SCAN) if dim.name not in steps]
    if scans:
        for step in range(int(scans[0].extent)):  # type: ignore[arg-type]
            _run(stages, {**steps, scans[0].name: step}, storages)
        return
    for stage in stages:
        box = whole_box(stage)
        box.update({name: (step, 1) for name, step in steps.items() if name in box})
        values = evaluate(stage, box, storages)
        where = placement(stage, box, storages)
        array = storages[stage.write.buffer].array
        values = where.arrange(values)
        with np.errstate(all="ignore"):
            if where.low is None:
                array[where.index] = values
            else:
                array[tuple(slice(a, a + n) for a, n in zip(where.low, values.shape))] = values
