"""What access maps say about a stage: strides, which dim to vectorise, whether it is a contraction and of what."""

from collections.abc import Sequence
from math import prod

from ...runtime.records import dataclass, replace
from ..ir.types import DType
from .stage import (
    CONSTANT,
    INPUT,
    PARALLEL,
    REDUCE,
    Access,
    Affine,
    Apply,
    Buffer,
    Expr,
    Kernel,
    Load,
    Lookup,
    Stage,
    rewrite,
    walk,
)

WOVEN = (2, 4)
"""Distances of neighbours that a step or two of shuffles between whole vectors overcome."""

WIDE = 1 << 18
"""Bytes that a copy near the core may have for being in a wider type than what is copied."""


def strides(kernel: Kernel, access: Access, dim: str) -> int:
    """Elements between neighbours along `dim` in the accessed buffer; a huge number through a lookup."""
    shape = kernel.buffer(access.buffer).static_shape
    total = 0
    for axis, part in enumerate(access.index):
        step = prod(shape[axis + 1 :])
        if isinstance(part, Lookup):
            total += 1 << 30 if dim in part.access.dims else 0
        else:
            total += part.coefficient(dim) * step
    return total


@dataclass(frozen=True)
class Contraction:
    """A sum of a product of two loads, widened or not, and the dims that only one of them has: rows (m) and columns
    (n)."""

    rows_operand: Access
    columns_operand: Access
    batch: tuple[str, ...]
    m: tuple[str, ...]
    n: tuple[str, ...]


def contraction(stage: Stage, vector: str | None) -> Contraction | None:
    """The stage as a contraction whose columns include `vector`, or None."""
    body = stage.body
    if stage.combine != "sum" or not isinstance(body, Apply) or body.op != "mul" or vector is None:
        return None
    factors = [factor(argument) for argument in body.arguments]
    if None in factors:
        return None
    first, second = (each.access for each in factors if each is not None)
    if vector in first.dims:
        first, second = second, first
    if vector in first.dims or vector not in second.dims:
        return None
    a, b = set(first.dims), set(second.dims)
    names = [d.name for d in stage.kind(PARALLEL)]
    return Contraction(
        first,
        second,
        tuple(n for n in names if n in a and n in b),
        tuple(n for n in names if n in a and n not in b),
        tuple(n for n in names if n not in a),
    )


def factor(expr: Expr) -> Load | None:
    """The load behind a factor, a widening cast allowed."""
    if isinstance(expr, Apply) and expr.op == "cast":
        expr = expr.arguments[0]
    return expr if isinstance(expr, Load) else None


def wide_dtype(kernel: Kernel, buffer: str) -> DType:
    """The float type to which all who read a buffer of floats cast it, else its own."""
    own = kernel.buffer(buffer).dtype
    wanted = set()
    for stage in kernel.readers(buffer):
        above = [(node, part) for node in walk(stage.body) for part in node.arguments]
        users = [node for node, part in above if isinstance(part, Load) and part.access.buffer == buffer]
        casts = [node.dtype for node in users if isinstance(node, Apply) and node.op == "cast"]
        wanted.update(casts if len(casts) == len(users) > 0 else [own])
    wide = wanted.pop() if len(wanted) == 1 else own
    return wide if own.is_float and wide.is_float else own


def woven(kernel: Kernel, stage: Stage, access: Access, lane: str) -> str | None:
    """The dim that fills the gaps between neighbours along `lane` in memory, if those are of 2 or 4 elements: whole
    vectors of it are woven into what lies there, or taken apart."""
    step = strides(kernel, access, lane)
    if step not in WOVEN or access.fill is not None:
        return None
    names = (d.name for d in stage.kind(PARALLEL) if d.extent == step and d.name != lane)
    return next((name for name in names if strides(kernel, access, name) == 1), None)


def vector_dim(kernel: Kernel, stage: Stage, lanes: int, without: Sequence[str] = ()) -> str | None:
    """The dim to vectorise: contiguous in what is written and read, wide enough; best a parallel one."""
    best: tuple[float, str] | None = None
    packable = {b.name for b in kernel.buffers if b.role == CONSTANT}
    for position, dim in enumerate(stage.dims):
        if dim.extent == 1 or not isinstance(dim.extent, int) or dim.name in without:
            continue
        written = strides(kernel, stage.write, dim.name)
        penalty = 0.0
        if dim.kind == PARALLEL and written not in (1, 0):
            penalty = 4.0 if woven(kernel, stage, stage.write, dim.name) is None else 0.5
        if dim.kind == REDUCE:
            penalty += 1.0
        for access in stage.reads:
            step = strides(kernel, access, dim.name)
            if step not in (0, 1) and access.buffer not in packable:
                penalty += 2.0 if woven(kernel, stage, access, dim.name) is None else 0.5
        penalty += 2.0 * max(0.0, 1 - dim.extent / lanes)
        rank = (penalty - 0.01 * position, dim.name)
        if best is None or rank < best:
            best = rank
    return None if best is None else best[1]


def is_plain(access: Access) -> bool:
    """Every coordinate is one dim (or 0), each dim once."""
    singles = [part.single for part in access.index if isinstance(part, Affine) and part.terms]
    affine = all(isinstance(part, Affine) and (part.terms or not part.const) for part in access.index)
    return affine and access.fill is None and None not in singles and len(set(singles)) == len(singles)


def axes_below(access: Access, spine: Sequence[str]) -> dict[str, int] | None:
    """The axis that each dim below the spine moves along, alone and by single steps; None if some dim does not."""
    where: dict[str, int] = {}
    for axis, part in enumerate(access.index):
        if not isinstance(part, Affine) or access.fill is not None:
            return None
        inner = [(name, c) for name, c in part.terms if name not in spine]
        if len(inner) > 1 or any(c != 1 or name in where for name, c in inner):
            return None
        where.update({name: axis for name, _ in inner})
    return where


def separate_reads(kernel: Kernel) -> tuple[Kernel, dict[str, str]]:
    """A buffer of its own for every way in which an operand is read, so that each can be held in a layout of its own.

    Returns the kernel and for each of its buffers the one that it was.
    """
    origins = {b.name: b.name for b in kernel.buffers}
    names: dict[Access, str] = {}
    extra: dict[str, list[Buffer]] = {}
    readable = {b.name: b for b in kernel.buffers if b.role in (INPUT, CONSTANT)}
    for stage in kernel.stages:
        for access in stage.reads:
            if (
                access.buffer not in readable
                or access in names
                or any(isinstance(p, Lookup) for p in access.index)
            ):
                continue
            ways = sum(other.buffer == access.buffer for other in names)
            name = f"{access.buffer}.{ways}" if ways else access.buffer
            names[access] = name
            if ways:
                origins[name] = access.buffer
                extra.setdefault(access.buffer, []).append(replace(readable[access.buffer], name=name))
    if not extra:
        return kernel, origins

    def change(expr: Expr) -> Expr | None:
        if not isinstance(expr, Load) or names.get(expr.access, expr.access.buffer) == expr.access.buffer:
            return None
        return Load(replace(expr.access, buffer=names[expr.access]), expr.dtype)

    stages = tuple(replace(stage, body=rewrite(stage.body, change)) for stage in kernel.stages)
    buffers = tuple(b for buffer in kernel.buffers for b in (buffer, *extra.get(buffer.name, ())))
    return Kernel(kernel.name, buffers, stages), origins
