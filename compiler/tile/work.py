"""What the engines of a chip take for a box of a stage: products on an array, all other work on a vector engine."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import reduce
from math import ceil, prod
from operator import mul
from typing import Any

import numpy as np

from ...runtime.sim.formula import formula
from ..ir.types import DTYPES
from ..target.description import Engine, figures
from .access_maps import strides
from .products import Product
from .stage import Affine, Apply, Expr, Kernel, Stage, dim, walk

SPECIAL = frozenset(("exp", "tanh", "erf", "div", "sqrt", "log", "lookup", "reciprocal"))
"""Scalar operations that a vector engine does at its special rate."""


def vector_cycles(
    kernel: Kernel, stage: Stage, engine: Engine, sizes: Mapping[str, Any], lane: str | None
) -> Any:
    """Cycles of a vector engine for a box of a stage; `lane` is the dim along its lanes."""
    return vector_count(stage, engine, sizes, lane) * vector_cost(kernel, stage, engine, lane)


def vector_cost(kernel: Kernel, stage: Stage, engine: Engine, lane: str | None) -> float:
    """Cycles of a vector: its operations, beside which operands come and results go, if slowly across lanes; a window
    waits for them."""
    factor, cost = lane_factor(kernel, stage, engine, lane), body_cost(stage, engine)
    return max(factor, cost) if cost >= 1 else factor * cost


def vector_count(stage: Stage, engine: Engine, sizes: Mapping[str, Any], lane: str | None) -> Any:
    """Vectors of a box of a stage; `lane` is the dim along them."""
    vectors: Any = 1
    if lane is not None:
        next_ = next((name for name in _inwards(stage) if name != lane), None)
        size, other = sizes[lane], sizes[next_] if next_ is not None else 1
        lines = np.ceil(size * engine.pixels / engine.lanes) * np.ceil(other / engine.pixels)
        vectors = np.minimum(np.ceil(size / engine.lanes) * other, lines)
        sizes = {name: each for name, each in sizes.items() if name not in (lane, next_)}
    for size in sizes.values():
        vectors = vectors * size
    return vectors


def _inwards(stage: Stage) -> Iterator[str]:
    """The dims of what a stage writes, innermost first."""
    for part in reversed(stage.write.index):
        yield from part.dims if isinstance(part, Affine) else ()


def merged_operations(body: Expr) -> list[Apply]:
    """Operations of a body: a product of integers goes with the sum that it is added to, a sum with its rescaling."""
    operations = [node for node in walk(body) if isinstance(node, Apply) and node.op != "cast"]
    merged: set[int] = set()
    for node in operations:
        inner = [a for a in node.arguments if isinstance(a, Apply) and a.dtype.is_integer]
        if node.op == "add":
            products = [a for a in inner if a.op == "mul"]
            merged.update(id(a) for a in products[: 1 if len(products) == len(node.arguments) else 2])
        elif node.op == "requantize" and sum(not is_product(term) for term in terms(node.arguments[0])) > 1:
            merged.add(id(node.arguments[0]))
    return [node for node in operations if id(node) not in merged]


def terms(expr: Expr) -> list[Expr]:
    """The terms of a sum of sums, of one dtype."""
    if isinstance(expr, Apply) and expr.op == "add":
        return [term for argument in expr.arguments for term in terms(argument)]
    return [expr]


def is_product(expr: Expr) -> bool:
    """Whether an expression is one multiplication."""
    return isinstance(expr, Apply) and expr.op == "mul"


def body_cost(stage: Stage, engine: Engine) -> float:
    """Cycles that one vector of a stage's domain takes; see `merged_operations`. Windows of integers alone run at
    `mac_per_cycle`."""
    operations = merged_operations(stage.body)
    special = sum(node.op in SPECIAL for node in operations)
    plain = len(operations) - special
    if stage.combine is not None and not special and plain <= 1 and stage.body.dtype.is_integer:
        return engine.lanes / max(engine.mac_per_cycle, engine.lanes)
    plain += stage.combine is not None
    return max(1.0, plain) + special * engine.lanes / engine.special_per_cycle


def array_cycles(
    array: Engine, found: Product, m0: Any, m1: Any, n: Any, k: Any, k_tiles: Any, runs: Any = 1
) -> Any:
    """Cycles of one macro product by the best of an array's mappings; see `mapping_costs`."""
    costs = mapping_costs(array, found, m0, m1, n, k, k_tiles, runs)
    return reduce(np.minimum, costs)


def product_cycles(array: Engine, found: Product, sizes: Mapping[str, Any], cut: Collection[str]) -> Any:
    """Cycles of an array for a box of a product; `cut` are dims that tiles may not have as a whole."""
    run = sum_run(found, {name for name in found.k if name in cut})
    inner, outer = (_product(sizes[name] for name in found.k if (name in run) == inside) for inside in (1, 0))
    m = _product(sizes[name] for name in found.m)
    others = _product(sizes[name] for name in (*found.batch, *found.n) if name != found.lane)
    rows = line(found, sizes)
    tiles = np.ceil(inner / array.rows) * outer
    return others * array_cycles(array, found, rows, m / rows, sizes[found.lane], inner * outer, tiles, outer)


def _product(sizes: Iterable[Any]) -> Any:
    return reduce(mul, sizes, 1)


def mapping_costs(
    array: Engine,
    found: Product,
    m0: Any,
    m1: Any,
    n: Any,
    k: Any,
    k_tiles: Any,
    runs: Any = 1,
    what: str = "cycles",
) -> list[Any]:
    """For each mapping the cycles that a macro product keeps the array busy: m1 lines of m0 rows, `runs` runs a sum. Or
    another of a mapping's formulas."""
    size = DTYPES[found.type.partition("*")[0]].bytes
    names = figures(array) | {"m": m0 * m1, "n": n, "k": k, "k_tiles": k_tiles, "runs": runs, "size": size}
    names |= {"m0": m0, "m1": m1}
    names["n_tiles"] = np.ceil(n / array.cols)
    return [formula(getattr(each, what))(**names) for each in array.mapping.values()]


def sum_run(found: Product, cut: Collection[str]) -> tuple[str, ...]:
    """The dims of a sum that lie side by side in a tile of the rows operand, outermost first: the array takes them as
    one run. Beyond the innermost axis a dim joins where the axes inside it are whole; `cut` names those that are not.
    """
    run: list[str] = []
    for part in reversed(found.rows.index):
        if not isinstance(part, Affine):
            break
        inside = [name for name, coefficient in part.terms if name in found.k and coefficient == 1]
        if len(inside) != 1:
            break
        run.insert(0, inside[0])
        if len(part.terms) > 1 or part.const or inside[0] in cut:
            break
    return tuple(run)


def line(found: Product, sizes: Mapping[str, Any]) -> Any:
    """Rows that follow one another at one stride in a tile: those of the innermost dim, and of dims around it as long
    as no window or stride lies between."""
    total: Any = 1
    for name in reversed(found.m):
        total = total * sizes[name]
        plain = (isinstance(part, Affine) and part == dim(name) for part in found.rows.index)
        if not any(plain):
            break
    return total


def lane_dim(
    kernel: Kernel, stage: Stage, engine: Engine, sizes: Mapping[str, int] | None = None
) -> str | None:
    """The dim that a stage is best cut along into vectors: long, and contiguous in what is written and read."""
    extents = sizes or {d.name: d.size for d in stage.dims}
    best: tuple[float, int, str] | None = None
    points = prod(extents.values())
    for position, name in enumerate(reversed(list(extents))):
        if extents[name] == 1 and len(extents) > 1:
            continue
        vectors = points // max(1, extents[name]) * ceil(extents[name] * engine.pixels / engine.lanes)
        cost = float(vectors * lane_factor(kernel, stage, engine, name))
        if best is None or (cost, position) < best[:2]:
            best = (cost, position, name)
    return None if best is None else best[2]


def lane_factor(kernel: Kernel, stage: Stage, engine: Engine, lane: str | None) -> int:
    """How much longer a stage takes because something is not contiguous along its lanes."""
    if lane is None:
        return 1
    across = any(abs(strides(kernel, access, lane)) > 1 for access in (*stage.reads, stage.write))
    return engine.transpose_factor if across else 1
