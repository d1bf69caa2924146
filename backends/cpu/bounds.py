"""Between which numbers the integers of a kernel lie, by interval arithmetic on its stages' expressions.

Constants are asked for their own bounds where these are few numbers; 8-bit ones may be all that their type holds.
"""

from collections.abc import Callable, Mapping
from itertools import product as cartesian
from math import prod

import numpy as np

from ...compiler.ir.types import DType
from ...compiler.tile.stage import LOCAL, REDUCE, SCAN, Apply, Const, Expr, Kernel, Load, Stage

Limits = tuple[int, int]

_STEPS: Mapping[str, Callable[[int, int], int]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "max": max,
    "min": min,
}
"""Operations whose extremes lie where their operands have theirs."""


def limits(kernel: Kernel, expr: Expr, constants: Mapping[str, np.ndarray]) -> Limits:
    """The least and the largest number that an expression of integers may have, what wraps included."""
    whole = expr.dtype.limits
    found = whole
    if isinstance(expr, Const):
        found = int(expr.value), int(expr.value)  # type: ignore[arg-type]
    elif isinstance(expr, Load):
        found = _loaded(kernel, expr, constants)
    elif isinstance(expr, Apply) and expr.op == "cast" and expr.arguments[0].dtype.is_integer:
        found = limits(kernel, expr.arguments[0], constants)
    elif isinstance(expr, Apply) and expr.op in _STEPS:
        found = _combined(_STEPS[expr.op], *(limits(kernel, part, constants) for part in expr.arguments))
    elif isinstance(expr, Apply) and expr.op == "shift_right" and expr.dtype.kind == "int":
        value, places = (limits(kernel, part, constants) for part in expr.arguments)
        if places[0] >= 0 and places[1] < expr.dtype.bits:
            found = _combined(lambda x, n: x >> n, value, places)
    return found if whole[0] <= found[0] and found[1] <= whole[1] else whole


def _combined(step: Callable[[int, int], int], x: Limits, y: Limits) -> Limits:
    ends = [step(*pair) for pair in cartesian(x, y)]
    return min(ends), max(ends)


def _loaded(kernel: Kernel, load: Load, constants: Mapping[str, np.ndarray]) -> Limits:
    name, dtype = load.access.buffer, load.dtype
    array = constants.get(name)
    if dtype.bits > 8 and array is not None and array.size and load.access.fill is None:
        return int(array.min()), int(array.max())
    if kernel.buffer(name).role != LOCAL or load.access.fill is not None:
        return dtype.limits
    parts = [_written(kernel, stage, dtype, constants) for stage in kernel.writers(name)]
    return min(low for low, _ in parts), max(high for _, high in parts)


def _written(kernel: Kernel, stage: Stage, dtype: DType, constants: Mapping[str, np.ndarray]) -> Limits:
    if stage.kind(SCAN) or stage.repair is not None or stage.combine not in (None, "sum"):
        return dtype.limits
    low, high = limits(kernel, stage.body, constants)
    if stage.combine is not None:
        terms = prod(d.size for d in stage.dims if d.kind == REDUCE)
        low, high = low * terms, high * terms
    least, most = dtype.limits
    return (low, high) if least <= low and high <= most else (least, most)
