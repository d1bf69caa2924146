"""Runs a plan on the meaning of its kernels, in an arena laid out as planned: what compiled code must equal."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from ..ops.engine import get
from ..ops.interpret import run_graph
from ..tile.stage import CONSTANT, INPUT, REDUCE, Buffer, Kernel, Lookup
from ..tile.untiled import run_untiled
from .accesses import known
from .plan import Array, HostStep, KernelStep, Plan


class Trial:
    """A plan with an arena of its own; a run leaves in it what it leaves, as on a device."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.arena = np.zeros(plan.arena_bytes, np.uint8)

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs for inputs, both in the graph's order."""
        plan = self.plan
        memory: dict[str, Any] = dict(zip(plan.inputs, inputs, strict=True))
        for name, array in plan.arrays.items():
            if array.place == "constant":
                memory[name] = array.content if array.is_static else array.value.constant
            elif array.place == "arena":
                memory[name] = self._view(array)
            elif array.place == "output":
                memory[name] = np.full(array.shape, 1).astype(array.dtype.numpy)
        for step in plan.steps:
            if isinstance(step, HostStep):
                self._host(step, memory)
            else:
                self._kernel(step, memory)
        return [memory[name] for name in plan.outputs]

    def _view(self, array: Array) -> np.ndarray:
        part = self.arena[array.offset : array.offset + array.bytes]
        return part.view(array.dtype.numpy).reshape(array.shape)

    def _host(self, step: HostStep, memory: dict[str, Any]) -> None:
        node = step.node
        regions = [lambda *arguments, region=region: run_graph(region, arguments) for region in node.regions]
        operands = [None if name is None else memory[name] for name in step.operands]
        results = get(node.op).evaluate(*operands, regions=regions, **node.attributes)
        # a result may be a view of an operand, whose memory is used again
        memory.update((name, copy(each)) for name, each in zip(step.results, results, strict=True))

    def _kernel(self, step: KernelStep, memory: Mapping[str, Any]) -> None:
        kernel = step.kernel
        given = {
            buffer.name: np.asarray(memory[step.arrays[buffer.name]]).reshape(buffer.shape)  # type: ignore[arg-type]
            for buffer in kernel.role(INPUT, CONSTANT)
        }
        found = run_untiled(kernel, given)
        for buffer in kernel.role("output"):
            target = memory[step.arrays[buffer.name]].reshape(buffer.shape)
            np.copyto(target, found[buffer.name], where=_written(kernel, buffer))


def _written(kernel: Kernel, buffer: Buffer) -> np.ndarray:
    """Which elements of a buffer the kernel writes: the others keep what they held."""
    shape = tuple(map(known, buffer.shape))
    mask = np.zeros(shape, bool)
    for stage in kernel.writers(buffer.name):
        kept = [each for each in stage.dims if each.kind != REDUCE]
        ranges = [np.arange(known(each.extent)) for each in kept]
        grid = dict(zip((each.name for each in kept), np.meshgrid(*ranges, indexing="ij"), strict=True))
        index = []
        inside = np.ones([len(steps) for steps in ranges], bool)
        for part, extent in zip(stage.write.index, shape, strict=True):
            if isinstance(part, Lookup):
                return np.ones_like(mask)
            place = np.full(inside.shape, part.const)
            for name, step in part.terms:
                place = place + step * grid[name]
            inside &= (place >= 0) & (place < extent)
            index.append(place)
        mask[tuple(place[inside] for place in index)] = True
    return mask
