"""Steps that run on the host by an op's reference meaning. The ops are imported only when a program has such steps."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import dims, dtypes
from .errors import ExecutionError, IsthmusError
from .program import HostStep, Slot

# (operands, extents of the program's symbols) -> results; operands are arrays, None where absent, lists for sequences
Meaning = Callable[[Sequence[Any], Mapping[str, int]], Sequence[Any]]
# (op name, attributes as the program's text) -> the op with its attributes bound
Resolver = Callable[[str, str], Meaning]


def reference(op: str, attributes: str) -> Meaning:
    """The meaning that the compiler's op declares; ExecutionError where the compiler is not installed."""
    root = __name__.rpartition(".runtime.")[0]
    try:
        resolve: Resolver = importlib.import_module(f"{root}.compiler.ops.host").prepare
    except ImportError as error:
        raise ExecutionError(
            f"'{op}' runs by its reference meaning, which can't be imported ({error})",
            location="runtime",
            hint="install isthmus with its compiler, or recompile the model without fallbacks",
        ) from error
    return resolve(op, attributes)


def call(
    meaning: Meaning, step: HostStep, operands: Sequence[Any], symbols: Mapping[str, int]
) -> Sequence[Any]:
    """The step's results; ExecutionError with its location when the meaning fails or their number is wrong."""
    where = step.name or step.op
    try:
        results = meaning(operands, symbols)
    except IsthmusError:
        raise
    except Exception as error:  # an op's meaning is any numpy code: what it raises depends on the data
        raise ExecutionError(
            f"{step.op} failed: {type(error).__name__}: {error}",
            location=where,
            hint="check that the inputs' values are ones the model takes",
        ) from error
    if len(results) != len(step.results):
        raise ExecutionError(
            f"{step.op} gave {len(results)} results, expected {len(step.results)}",
            location=where,
            hint="recompile the model with this version",
        )
    return results


def conform(value: Any, slot: Slot, symbols: dict[str, int], where: str) -> Any:
    """A result as a dense array of the slot's type; ExecutionError when dtype or shape differ.

    An extent that only the data decide is new to `symbols`, and bound there to what came out.
    """
    if not dtypes.is_tensor(slot.dtype):
        return value
    array = np.asarray(value, order="C")
    fits = slot.shape is None or (
        array.ndim == len(slot.shape)
        and all(
            _extent(dim, extent, symbols) == extent
            for dim, extent in zip(slot.shape, array.shape, strict=True)
        )
    )
    if not dtypes.matches(array, slot.dtype) or not fits:
        shape = "" if slot.shape is None else f"[{', '.join(map(str, slot.shape))}]"
        raise ExecutionError(
            f"result '{slot.name}' is {array.dtype}{list(array.shape)}, expected {slot.dtype}{shape}",
            location=where,
            hint="recompile the model with this version",
        )
    return array


def _extent(dim: dims.Dim, found: int, symbols: dict[str, int]) -> int:
    """What the array must have on an axis: what it has, where nothing is known."""
    try:
        return dims.evaluate(dim, symbols)
    except KeyError:
        if isinstance(dim, str) and dim.isidentifier():
            symbols[dim] = found
        return found
