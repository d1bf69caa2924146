"""Drafts: kernels while they are being formed. Their buffers are values of the graph, their dims are unique.

Dims of extent 1 are gone from the start: an index on an axis of extent 1 is 0. Everything here is decided on access
maps; no op is known by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import prod

from ..ir.graph import Node, Value
from ..ir.location import at
from ..ops.engine import get
from ..ops.shape import refine
from ..tile.stage import (
    LOCAL,
    PARALLEL,
    REDUCE,
    SCAN,
    Access,
    Affine,
    Apply,
    Buffer,
    Const,
    Dim,
    Expr,
    Index,
    Kernel,
    Load,
    Lookup,
    Repair,
    Stage,
    dim,
    rewrite,
    walk,
)

Coordinates = tuple[Affine | Lookup, ...]


@dataclass(frozen=True)
class Draft:
    """Stages over named values and locals, and the nodes that they compute."""

    stages: tuple[Stage, ...]
    locals: Mapping[str, Buffer]
    nodes: tuple[Node, ...]

    def reads(self) -> tuple[str, ...]:
        """The values that are read, in order of first use."""
        names = (access.buffer for stage in self.stages for access in stage.reads)
        return tuple(dict.fromkeys(name for name in names if name not in self.locals))

    def writes(self) -> tuple[str, ...]:
        """The values that are written, in order."""
        names = (stage.write.buffer for stage in self.stages)
        return tuple(dict.fromkeys(name for name in names if name not in self.locals))

    def extents(self) -> dict[str, int]:
        """The extent of every dim."""
        return {d.name: d.extent for stage in self.stages for d in stage.dims}  # type: ignore[misc]


class Drafting:
    """Makes drafts of nodes; hands out the names of dims, locals and stages."""

    def __init__(self, names: dict[Value, str]):
        self.names = names
        self._numbers = count()

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    def drafts(self, node: Node) -> list[Draft]:
        """The node's stages over values, as one draft; none if it is opaque.

        A reshape whose shapes have no common refinement goes through the flat shape, which refines every shape.
        """
        kernel = get(node.op).kernel(node)
        if kernel is not None:
            return [self._draft(node, kernel)]
        if node.op != "shape.reshape":
            return []
        (source,) = node.operands
        with at(node.location):
            flat = get(node.op)(source, shape=(source.type.elements,))
        split = node.with_operands([flat])
        self.names[flat] = self.fresh(f"{self.names[node.result]}_")
        self.names[split.result] = self.names[node.result]
        return [replace(draft, nodes=(node,)) for each in (flat.node, split) for draft in self.drafts(each)]

    def _draft(self, node: Node, kernel: Kernel) -> Draft:
        buffers: dict[str, str] = {}
        for n, value in enumerate(node.operands):
            if value is not None:
                buffers[f"x{n}"] = self.names[value]
        for n, value in enumerate(node.results):
            buffers[f"y{n}"] = self.names[value]
        locals_: dict[str, Buffer] = {}
        for buffer in kernel.role(LOCAL):
            name = buffers[buffer.name] = self.fresh("t")
            locals_[name] = replace(buffer, name=name)
        scalars = {
            self.names[value]: value.constant.flat[0].item()
            for value in node.operands
            if value is not None and value.constant is not None and value.constant.size == 1
        }
        values = {
            name: Affine() if each.extent == 1 and each.kind != SCAN else dim(self.fresh("d"))
            for name, each in kernel.dims.items()
        }
        stages = tuple(self._stage(stage, values, buffers, scalars) for stage in kernel.stages)
        return Draft(stages, locals_, (node,))

    def _stage(
        self,
        stage: Stage,
        values: dict[str, Affine],
        buffers: Mapping[str, str],
        scalars: Mapping[str, object],
    ) -> Stage:
        def access(old: Access) -> Access:
            renamed = old.map(lambda part: part.substitute(values))
            return rename(renamed, buffers)

        def change(expr: Expr) -> Expr | None:
            if isinstance(expr, Load):
                new = access(expr.access)
                if new.buffer in scalars and new.fill is None:
                    return Const(scalars[new.buffer], expr.dtype)  # type: ignore[arg-type]
                return Load(new, expr.dtype)
            return positions(expr, values)

        dims = tuple(
            replace(each, name=values[each.name].dims[0]) for each in stage.dims if values[each.name].terms
        )
        reduced = any(each.kind == REDUCE for each in dims)
        repair = stage.repair and Repair(buffers[stage.repair.of], stage.repair.factor)
        return Stage(
            self.fresh("s"),
            dims,
            rewrite(stage.body, change),
            access(stage.write),
            stage.combine if reduced else None,
            repair if reduced else None,
            stage.location,
        )

    def split(self, draft: Draft, name: str, parts: Sequence[int]) -> tuple[Draft, list[str]] | None:
        """A dim as several, outer first; None where a local's axis follows it in more than one way."""
        pieces = [self.fresh("d") for _ in parts]
        joined = join([(piece, part) for piece, part in zip(pieces, parts, strict=True)])
        values = {name: joined}
        axes: dict[str, int] = {}
        for stage in draft.stages:
            for access in (*stage.reads, stage.write):
                if access.buffer not in draft.locals:
                    continue
                for axis, part in enumerate(access.index):
                    uses = isinstance(part, Affine) and name in part.dims
                    if uses and (part.single is None or axes.setdefault(access.buffer, axis) != axis):  # type: ignore[union-attr]
                        return None
        for stage in draft.stages:
            for access in (*stage.reads, stage.write):
                if access.buffer in axes and access.index[axes[access.buffer]] != dim(name):
                    return None

        def spread(access: Access) -> Access:
            if access.buffer not in axes:
                return access.map(lambda part: part.substitute(values))
            axis = axes[access.buffer]
            index = (*access.index[:axis], *map(dim, pieces), *access.index[axis + 1 :])
            return replace(access, index=index)

        def change(expr: Expr) -> Expr | None:
            return (
                Load(spread(expr.access), expr.dtype) if isinstance(expr, Load) else positions(expr, values)
            )

        stages = []
        for stage in draft.stages:
            if all(each.name != name for each in stage.dims):
                stages.append(stage)
                continue
            dims = [
                new
                for each in stage.dims
                for new in (
                    [Dim(piece, part, each.kind) for piece, part in zip(pieces, parts, strict=True)]
                    if each.name == name
                    else [each]
                )
            ]
            stages.append(
                replace(stage, dims=tuple(dims), body=rewrite(stage.body, change), write=spread(stage.write))
            )
        locals_ = dict(draft.locals)
        for buffer, axis in axes.items():
            shape = locals_[buffer].shape
            locals_[buffer] = replace(locals_[buffer], shape=(*shape[:axis], *parts, *shape[axis + 1 :]))
        return Draft(tuple(stages), locals_, draft.nodes), pieces


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
            if target != given:
                return None
        elif target.single is not None:
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
                        radices = [int(parts[n]) for n in group]  # type: ignore[call-overload]
                        if splits.setdefault(name, radices) != radices:
                            return None
            if not splits:
                found = {a: dim(b) for (a, _), (b, _) in zip(mine, theirs, strict=True)}
        for name, value in found.items():
            if values.setdefault(name, value) != value:
                return None
    return Solution(values, splits)


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


def view_source(draft: Draft) -> str | None:
    """The value that the draft only moves about, or None."""
    if len(draft.stages) != 1:
        return None
    (stage,) = draft.stages
    if not is_elementwise(stage) or stage.write.fill is not None or not isinstance(stage.body, Load):
        return None
    parts = (*stage.body.access.index, *stage.write.index)
    return None if any(isinstance(part, Lookup) for part in parts) else stage.body.access.buffer


def factors(stage: Stage) -> tuple[Load, Load] | None:
    """The two operands of a sum of products, casts left out; None if the stage is no contraction."""
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
    return sides[0], sides[1]


def domain(stage: Stage) -> int:
    """Number of points of the stage's domain."""
    return prod(each.extent for each in stage.dims)  # type: ignore[misc]


def applications(body: Expr) -> Iterator[Apply]:
    """The distinct operations of a body, casts left out."""
    return (node for node in walk(body) if isinstance(node, Apply) and node.op != "cast")
