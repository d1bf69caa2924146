"""The samples of all ops as kernels with their arrays."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

import isthmus.compiler.ops  # noqa: F401
from isthmus.compiler.ir import TensorType, constant, dtype_of, graph_input
from isthmus.compiler.ir.graph import Node
from isthmus.compiler.ops.engine import REGISTRY, Op, sample_arrays
from isthmus.compiler.tile.stage import LOCAL, OUTPUT, REDUCE, Kernel

from .running import Work


@dataclass(frozen=True, eq=False)
class Case:
    """A sample as a node, with its operands."""

    label: str
    op: Op
    node: Node
    arrays: tuple[np.ndarray | None, ...]

    def want(self) -> list[np.ndarray]:
        """What the op's meaning gives."""
        return [np.asarray(array) for array in self.op.evaluate(*self.arrays, **self.node.attributes)]


def cases(constants: bool) -> list[Case]:
    """All samples of tensors; operands after the first are constants on demand, as weights are."""
    out = []
    for op in REGISTRY.values():
        for number, sample in enumerate(op.samples):
            arrays = sample_arrays(sample)
            if any(isinstance(array, list) for array in arrays) or op.regions:
                continue
            values: list[Any] = [
                None
                if a is None
                else constant(a)
                if constants and n
                else graph_input(f"x{n}", TensorType(dtype_of(a.dtype), a.shape))
                for n, a in enumerate(arrays)
            ]
            result = op(*values, **sample.attributes)
            node = (result[0] if isinstance(result, tuple) else result).node
            out.append(Case(f"{op.name} {number}", op, node, tuple(arrays)))
    return out


def work_of(case: Case) -> Work:
    """The case's kernel and its arrays."""
    kernel = case.op.kernel(case.node)
    assert kernel is not None
    inputs = [b for b in kernel.buffers if b.role not in (LOCAL, OUTPUT)]
    return Work(kernel, {b.name: np.asarray(case.arrays[int(b.name[1:])]) for b in inputs})


def turns(kernel: Kernel) -> int:
    """Values that go into one result."""
    return max(prod(int(d.extent) for d in stage.kind(REDUCE)) for stage in kernel.stages)  # type: ignore[arg-type]
