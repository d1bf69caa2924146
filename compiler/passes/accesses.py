"""Access maps: indices as mixed-radix numbers, solving one index for the dims of another, what kind of stage it is.

Pure functions on stages; extents are static here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

from ...runtime.records import dataclass
from ..diagnostics import VerifyError
from ..ir.dims import Dim as Extent
from ..ops.shape import refine
from ..tile.stage import (
    PARALLEL,
    REDUCE,
    Access,
    Affine,
    Apply,
    Expr,
    Index,
    Load,
    Lookup,
    Stage,
    dim,
    rewrite,
    walk,
)

Coordinates = tuple[Affine | Lookup, ...]
Values = dict[str, Affine | Lookup]


def known(extent: Extent) -> int:
    """An extent that must be a number."""
    if not isinstance(extent, int):
        raise VerifyError(f"extent {extent} is symbolic, kernels are formed of static shapes")
    return extent


def extents_of(*stages: Stage) -> dict[str, int]:
    """The extent of every dim of some stages."""
    return {each.name: known(each.extent) for stage in stages for each in stage.dims}


def positions(expr: Expr, values: dict[str, Affine]) -> Expr | None:
    """An `Index` expression with dims replaced; None for any other expression."""
    return Index(expr.affine.substitute(values)) if isinstance(expr, Index) else None


def rename(access: Access, buffers: Mapping[str, str]) -> Access:
    """The access with buffers renamed, those inside lookups too."""
    index = tuple(
        Lookup(rename(part.access, buffers)) if isinstance(part, Lookup) else part for part in access.index
    )
    return Access(buffers.get(access.buffer, access.buffer), index, access.fill)


def join(digits: Sequence[tuple[str, int]]) -> Affine:
    """The mixed-radix number of some dims, outer first."""
    total = Affine()
    for name, extent in digits:
        total = total * extent + dim(name)
    return total


def digits(part: Affine | Lookup, extents: Mapping[str, int], whole: int) -> list[tuple[str, int]] | None:
    """The dims of a mixed-radix number that covers 0 .. whole - 1 exactly, outer first; None if it is none."""
    if isinstance(part, Lookup) or part.const:
        return None
    out: list[tuple[str, int]] = []
    radix = 1
    for name, coefficient in sorted(part.terms, key=lambda term: term[1]):
        if coefficient != radix:
            return None
        out.insert(0, (name, extents[name]))
        radix *= extents[name]
    return out if radix == whole else None


@dataclass(frozen=True)
class Solution:
    """What the dims of one access are, given another access to the same element; `splits` must be made first."""

    values: dict[str, Affine | Lookup]
    splits: dict[str, list[int]]


def solve(
    targets: Coordinates, givens: Coordinates, shape: Sequence[int], extents: Mapping[str, int]
) -> Solution | None:
    """The dims in `targets` such that both indices are equal for all values of the dims in `givens`.

    None where that has no affine form. Where both sides are mixed-radix numbers on one axis, dims of either side may
    have to be split to common digits first.
    """
    values: dict[str, Affine | Lookup] = {}
    splits: dict[str, list[int]] = {}
    for target, given, extent in zip(targets, givens, shape, strict=True):
        if isinstance(target, Lookup):
            return None
        found: dict[str, Affine | Lookup] = {}
        if not target.terms:
            if target != given or extent != 1:
                return None
        elif target.single is not None:
            if extents[target.single] != extent:
                return None
            found[target.single] = given
        else:
            mine, theirs = digits(target, extents, extent), digits(given, extents, extent)
            if mine is None or theirs is None:
                return None
            refined = refine([e for _, e in mine], [e for _, e in theirs])
            if refined is None:
                return None
            parts, *groups = refined
            for side, grouped in zip((mine, theirs), groups, strict=True):
                for (name, _), group in zip(side, grouped, strict=True):
                    if len(group) > 1:
                        radices = [known(parts[n]) for n in group]
                        if splits.setdefault(name, radices) != radices:
                            return None
            if not splits:
                found = {a: dim(b) for (a, _), (b, _) in zip(mine, theirs, strict=True)}
        for name, value in found.items():
            if values.setdefault(name, value) != value:
                return None
    return Solution(values, splits)


def substituted_access(access: Access, values: Values) -> Access:
    """The access with dims replaced; a lookup may only stand for a dim that is a whole coordinate."""
    index: list[Affine | Lookup] = []
    for part in access.index:
        if isinstance(part, Lookup):
            index.append(Lookup(substituted_access(part.access, values)))
            continue
        looked = [name for name in part.dims if isinstance(values.get(name), Lookup)]
        if looked and part.single is not None:
            index.append(values[part.single])
        elif looked:
            raise _NoForm
        else:
            index.append(part.substitute(values))  # type: ignore[arg-type]
    return Access(access.buffer, tuple(index), access.fill)


class _NoForm(Exception):
    """A lookup would have to be part of an affine coordinate."""


def substituted(body: Expr, values: Values) -> Expr | None:
    """The body with dims replaced; None where a lookup would have to enter an affine expression."""

    def change(expr: Expr) -> Expr | None:
        if isinstance(expr, Load):
            return Load(substituted_access(expr.access, values), expr.dtype)
        if isinstance(expr, Index):
            if any(isinstance(values.get(name), Lookup) for name in expr.affine.dims):
                raise _NoForm
            return Index(expr.affine.substitute(values))  # type: ignore[arg-type]
        return None

    try:
        return rewrite(body, change)
    except _NoForm:
        return None


def reach(part: Affine, extents: Mapping[str, int]) -> tuple[int, int]:
    """The smallest and largest value of an affine expression."""
    low = high = part.const
    for name, coefficient in part.terms:
        span = (extents[name] - 1) * coefficient
        low, high = (low, high + span) if coefficient > 0 else (low + span, high)
    return low, high


def loads_of(stage: Stage, buffer: str) -> list[Load]:
    """The stage's own loads of a buffer (those inside lookups are not)."""
    return [load for load in stage.loads if load.access.buffer == buffer]


def looks_up(stage: Stage, buffer: str) -> bool:
    """Whether the buffer is read as an index."""
    return any(
        inner.buffer == buffer
        for access in (*(load.access for load in stage.loads), stage.write)
        for inner in access.accesses()
        if inner is not access
    )


def is_elementwise(stage: Stage) -> bool:
    """Whether each element is written once, from single elements, with nothing carried or reduced."""
    return stage.combine is None and all(each.kind == PARALLEL for each in stage.dims)


def factors(stage: Stage) -> tuple[Load, Load] | None:
    """The two operands of a sum of products, casts left out; None if the stage is no contraction.

    Where both have the same dims of the result (a sum of squares) nothing is used twice: that is a plain reduction.
    """
    body = stage.body
    if stage.combine != "sum" or not isinstance(body, Apply) or body.op != "mul":
        return None
    sides = []
    for argument in body.arguments:
        while isinstance(argument, Apply) and argument.op == "cast":
            (argument,) = argument.arguments
        if not isinstance(argument, Load):
            return None
        sides.append(argument)
    kept = {each.name for each in stage.dims if each.kind != REDUCE}
    if kept.intersection(sides[0].access.dims) == kept.intersection(sides[1].access.dims):
        return None
    return sides[0], sides[1]


def domain(stage: Stage) -> int:
    """Number of points of the stage's domain."""
    return prod(extents_of(stage).values())


def applications(body: Expr) -> Iterator[Apply]:
    """The distinct operations of a body, casts left out."""
    return (node for node in walk(body) if isinstance(node, Apply) and node.op != "cast")


def own_dims(stage: Stage, is_constant: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """The dims of a contraction's result that only one operand has: the constant one, if either is constant.

    The second list has those that only the other operand has.
    """
    found = factors(stage)
    assert found is not None, f"stage {stage.name} is no contraction"
    sides = [set(load.access.dims) for load in found]
    kept = [each.name for each in stage.dims if each.kind != REDUCE]
    own = [[name for name in kept if name in sides[n] and name not in sides[1 - n]] for n in (0, 1)]
    for n in (1, 0):
        if is_constant(found[n].access.buffer):
            return own[n], own[1 - n]  # none in a depthwise window: its result follows what it reads
    return [*own[0], *own[1]], []


def innermost(
    stages: Sequence[Stage], write: Access, is_constant: Callable[[str], bool]
) -> tuple[str, int] | None:
    """The dim of a written value along which the last contraction is best stored, and its axis in `write`.

    Phases of a transposed convolution stand between the positions on an axis: another axis is better.
    """
    axes = {
        name: n
        for n, part in enumerate(write.index)
        if isinstance(part, Affine)
        for name, step in part.terms
        if step == 1
    }
    for stage in reversed([stage for stage in stages if factors(stage)]):
        own, others = own_dims(stage, is_constant)
        own = [name for name in own if name in axes]
        if own:
            along = {name: part.dims for name in own if isinstance(part := write.index[axes[name]], Affine)}
            apart = [name for name, dims in along.items() if not {*others} & {*dims}]
            best = max(apart or own, key=lambda name: axes[name])
            return best, axes[best]
    return None
