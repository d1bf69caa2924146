"""Runs a program that computes a few indices of a batch at a time for a batch of any extent: block by block."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import dims
from .program import Block, Port, Program

Run = Callable[[dict[str, Any]], dict[str, Any]]
"""Outputs by name for arrays by slot, all of one block."""


def run_blocks(
    program: Program, block: Block, values: Mapping[str, Any], symbols: Mapping[str, int], run: Run
) -> dict[str, Any]:
    """Outputs by name for a whole batch. What the last block has too many is zeros, and cut off again.

    Args:
        program: its ports say where the batch lies.
        values: the inputs' arrays by slot.
        symbols: their values, the batch's among them.
    """
    extent = symbols[block.symbol]
    outputs: dict[str, Any] = {}
    for start in range(0, max(extent, 1), block.extent):
        count = min(block.extent, extent - start)
        part = {
            port.slot: _taken(values[port.slot], _axis(port, block), start, count, block.extent)
            for port in program.inputs
        }
        found = run(part)
        for port in program.outputs:
            axis, value = _axis(port, block), found[port.name]
            if axis is None:
                outputs[port.name] = value
                continue
            if port.name not in outputs:
                outputs[port.name] = np.empty(dims.evaluate_shape(port.shape or (), symbols), value.dtype)
            outputs[port.name][_slice(axis, start, count)] = value[_slice(axis, 0, count)]
    return outputs


def _axis(port: Port, block: Block) -> int | None:
    return next((axis for axis, dim in enumerate(port.shape or ()) if dim == block.symbol), None)


def _slice(axis: int, start: int, count: int) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(start, start + count))


def _taken(array: np.ndarray, axis: int | None, start: int, count: int, wanted: int) -> np.ndarray:
    """Indices of the batch from `start` on, dense, with zeros after the last one."""
    if axis is None:
        return array
    part = array[_slice(axis, start, count)]
    if count == wanted:
        return np.ascontiguousarray(part)
    padded = np.zeros((*array.shape[:axis], wanted, *array.shape[axis + 1 :]), array.dtype)
    padded[_slice(axis, 0, count)] = part
    return padded
