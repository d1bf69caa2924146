"""Whether outputs are what a graph means: as close as floating point lets the graph's own values be.

How far an element may lie off is measured: the graph is evaluated again with every float result off by its op's
tolerance, at random. What these runs agree on, compiled code must give; where a rounding decides (a tie, the cut of a
floor, a difference of near equals), they do not. (Monte Carlo arithmetic, D. S. Parker, UCLA CSD-970002, 1997.)
"""

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from isthmus.compiler.ir.graph import Graph, Node
from isthmus.compiler.ops.engine import get

RUNS = 6
"""Evaluations with errors; an error that decides an element in half of them goes unseen once in 64 times."""

SPREAD = 4.0
"""An element may lie off by so many times what it moved in these runs."""

_MOVES = "shape."  # the family of ops that change no element

_ILL = ("nn.", "reduce.sum", "reduce.mean")
# Ops that may be far more sensitive than their results show, such as the normalisation of a row of equal elements.
# What a stable algorithm gives is right for operands that are off in their last places.


def differences(graph: Graph, inputs: Sequence[Any], got: Sequence[Any], seed: int = 0) -> list[str]:
    """What is wrong with outputs, a sentence each; inputs and outputs are in the graph's order."""
    want = [np.asarray(value) for value in _evaluate(graph, inputs)]
    with np.errstate(all="ignore"):
        moved = [
            [np.asarray(value) for value in _evaluate(graph, inputs, np.random.default_rng((seed, run)))]
            for run in range(RUNS)
        ]
        found = []
        for name, value, *others in zip(graph.output_names, got, want, *moved, strict=True):
            problem = _difference(np.asarray(value), others[0], others[1:])
            found += [f"{name}: {problem}"] if problem else []
    return found


def _evaluate(graph: Graph, inputs: Sequence[Any], rng: np.random.Generator | None = None) -> list[Any]:
    """The graph's outputs; with `rng` every float result is off by as much as its op tolerates."""
    values: dict[Any, Any] = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        if node.op == "input":
            continue
        if node.op == "constant":
            values[node.result] = node.result.constant
            continue
        operands = [None if v is None else values[v] for v in node.operands]
        if rng is not None and node.op.startswith(_ILL):
            operands = [_shaken(operand, rng) for operand in operands]
        for value, result in zip(
            node.results, get(node.op).evaluate(*operands, **node.attributes), strict=True
        ):
            values[value] = result if rng is None else _disturbed(node, result, rng)
    return [values[output] for output in graph.outputs]


def _shaken(operand: Any, rng: np.random.Generator) -> Any:
    if not isinstance(operand, np.ndarray) or operand.dtype.name not in ("float32", "float64"):
        return operand
    places = 4 * np.finfo(operand.dtype).eps * rng.uniform(-1, 1, operand.shape)
    return (operand + operand * places).astype(operand.dtype)


def _disturbed(node: Node, result: Any, rng: np.random.Generator) -> Any:
    if not isinstance(result, np.ndarray) or not _is_float(result) or node.op.startswith(_MOVES):
        return result
    tolerance = get(node.op).tolerance
    wide = result.astype(np.float64)
    error = _place(result) * _scale(wide) * tolerance.relative / 1e-5 + tolerance.absolute * _fine(result)
    return (wide + error * rng.uniform(-1, 1, wide.shape)).astype(result.dtype)


def _difference(got: np.ndarray, want: np.ndarray, moved: Sequence[np.ndarray]) -> str:
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        return f"{got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}"
    if any(other.shape != want.shape for other in moved):
        return ""  # a shape that a rounding decides
    if not _is_float(want):
        settled = np.logical_and.reduce([other == want for other in moved])
        wrong = settled & (got != want)
    else:
        wide, given = want.astype(np.float64), got.astype(np.float64)
        offs = [np.abs(other.astype(np.float64) - wide) for other in moved]
        settled = np.logical_and.reduce([np.isfinite(wide) == np.isfinite(off) for off in offs])
        allowed = SPREAD * np.maximum.reduce(offs) + _place(want) * _scale(wide) + 1e-6 * _fine(want)
        equal = (given == wide) | (np.isnan(given) & np.isnan(wide)) | (np.abs(given - wide) <= allowed)
        wrong = settled & ~equal
    if not np.any(wrong):
        return ""
    where = tuple(int(n) for n in np.argwhere(wrong)[0])
    count = int(np.sum(wrong))
    return f"{got[where]} instead of {want[where]} at {list(where)}, {count} of {want.size} are wrong"


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" or array.dtype.name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def _place(array: np.ndarray) -> float:
    """The relative error that a result of this dtype is given: f32's is ten times what f32 rounds to and more."""
    return max(1e-5 * _fine(array), float(ml_dtypes.finfo(array.dtype).eps))


def _fine(array: np.ndarray) -> float:
    """How much finer than f32 a dtype is, at most 1."""
    return 1e-6 if array.dtype == np.float64 else 1.0


def _scale(wide: np.ndarray) -> np.ndarray:
    """The magnitude that errors of each element are relative to; sums of all signs err with their terms."""
    finite = np.abs(wide[np.isfinite(wide)])
    mean = min(float(finite.mean()), 1e300) if finite.size else 0.0
    return np.where(np.isfinite(wide), np.abs(wide), 0) + mean
