"""Drafts: kernels while they are being formed. Their buffers are values of the graph, their dims are unique.

Dims of extent 1 are gone from the start: an index on an axis of extent 1 is 0. Everything here is decided on access
maps; no op is known by name.
"""

from collections.abc import Mapping, Sequence
from itertools import count

from ...runtime.records import dataclass, replace
from ..ir.graph import Node, Value
from ..ir.location import at
from ..ops.engine import get
from ..tile.stage import (
    LOCAL,
    REDUCE,
    SCAN,
    Access,
    Affine,
    Apply,
    Buffer,
    Const,
    Dim,
    Expr,
    Load,
    Lookup,
    Number,
    Repair,
    Stage,
    dim,
    rewrite,
)
from .accesses import (
    domain,
    extents_of,
    is_elementwise,
    join,
    known,
    loads_of,
    looks_up,
    positions,
    rename,
    solve,
    substituted,
)


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
        return extents_of(*self.stages)

    def writer(self, value: str) -> Stage:
        """The first stage that writes a value."""
        return next(stage for stage in self.stages if stage.write.buffer == value)


class Drafting:
    """Makes drafts of nodes; hands out the names of dims, locals and stages."""

    def __init__(self, names: dict[Value, str]):
        self.names = names
        self._numbers = count()

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    def pieces(self, node: Node) -> list[Node]:
        """The node, or nodes that do the same and have stages: a reshape between shapes without common digits goes
        through the flat shape, which has the digits of every shape."""
        if node.op != "shape.reshape" or get(node.op).kernel(node) is not None:
            return [node]
        (source,) = node.operands
        assert source is not None
        with at(node.location):
            flat = get(node.op)(source, shape=(source.type.elements,))
        split = node.with_operands([flat])
        self.names[flat] = self.fresh(f"{self.names[node.result]}_")
        self.names[split.result] = self.names[node.result]
        return [flat.node, split]

    def draft(self, node: Node) -> Draft | None:
        """The node's stages over values; None if it is opaque."""
        kernel = get(node.op).kernel(node)
        if kernel is None:
            return None
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
        stages = tuple(
            replace(self._stage(stage, values, buffers, scalars), location=node.location)
            for stage in kernel.stages
        )
        return composed(Draft(stages, locals_, (node,)))

    def _stage(
        self,
        stage: Stage,
        values: dict[str, Affine],
        buffers: Mapping[str, str],
        scalars: Mapping[str, Number],
    ) -> Stage:
        def access(old: Access) -> Access:
            renamed = old.map(lambda part: part.substitute(values))
            return rename(renamed, buffers)

        def change(expr: Expr) -> Expr | None:
            if isinstance(expr, Load):
                new = access(expr.access)
                if new.buffer in scalars and new.fill is None:
                    return Const(scalars[new.buffer], expr.dtype)
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
        )

    def split(self, draft: Draft, name: str, parts: Sequence[int]) -> tuple[Draft, list[str]] | None:
        """A dim as several, outer first; None where a local's axis follows it in more than one way."""
        pieces = [self.fresh("d") for _ in parts]
        joined = join([(piece, part) for piece, part in zip(pieces, parts, strict=True)])
        values = {name: joined}
        axes = _local_axes(draft, name)
        if axes is None:
            return None

        def spread(access: Access) -> Access:
            index = [
                Lookup(spread(part.access)) if isinstance(part, Lookup) else part.substitute(values)
                for part in access.index
            ]
            if access.buffer in axes:
                axis = axes[access.buffer]
                index[axis : axis + 1] = map(dim, pieces)
            return replace(access, index=tuple(index))

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


def _local_axes(draft: Draft, name: str) -> dict[str, int] | None:
    """The axis of each local that a dim walks along; None unless it does so alone, and in every access."""
    axes: dict[str, int] = {}
    accesses = [
        access
        for stage in draft.stages
        for access in (*stage.reads, stage.write)
        if access.buffer in draft.locals
    ]
    for access in accesses:
        for axis, part in enumerate(access.index):
            if not isinstance(part, Affine) or name not in part.dims:
                continue
            if part.single is None or axes.setdefault(access.buffer, axis) != axis:
                return None
    if any(a.buffer in axes and a.index[axes[a.buffer]] != dim(name) for a in accesses):
        return None
    return axes


def composed(draft: Draft) -> Draft:
    """The draft without locals that one stage makes, element by element, for the same elements of one other."""
    for stage in draft.stages:
        name = stage.write.buffer
        readers = [other for other in draft.stages if any(access.buffer == name for access in other.reads)]
        if name in draft.locals and is_elementwise(stage) and len(readers) == 1:
            body = _inside(stage, readers[0], draft)
            if body is not None:
                into = replace(readers[0], body=body)
                kept = [into if each is readers[0] else each for each in draft.stages if each is not stage]
                locals_ = {key: buffer for key, buffer in draft.locals.items() if key != name}
                return composed(Draft(tuple(kept), locals_, draft.nodes))
    return draft


def _inside(stage: Stage, reader: Stage, draft: Draft) -> Expr | None:
    """The reader's body with the stage's in the place of what it reads of it; None where it would be repeated."""
    name = stage.write.buffer
    loads = loads_of(reader, name)
    if looks_up(reader, name) or len(loads) != 1 or domain(stage) != domain(reader):
        return None
    if loads[0].access.fill is not None or any(s.repair and s.repair.of == name for s in draft.stages):
        return None
    shape = tuple(map(known, draft.locals[name].shape))
    solution = solve(stage.write.index, loads[0].access.index, shape, extents_of(stage, reader))
    if solution is None or solution.splits or any(d.name not in solution.values for d in stage.dims):
        return None
    value = substituted(stage.body, solution.values)
    return None if value is None else rewrite(reader.body, lambda expr: value if expr == loads[0] else None)


def is_widening(draft: Draft) -> bool:
    """Whether the draft only casts numbers to a wider type."""
    if len(draft.stages) != 1 or not is_elementwise(draft.stages[0]):
        return False
    body = draft.stages[0].body
    if not isinstance(body, Apply) or body.op != "cast" or not isinstance(body.arguments[0], Load):
        return False
    return body.arguments[0].dtype.bits < body.dtype.bits


def view_source(draft: Draft) -> str | None:
    """The value that the draft only moves about, or None."""
    if len(draft.stages) != 1:
        return None
    (stage,) = draft.stages
    if not is_elementwise(stage) or stage.write.fill is not None or not isinstance(stage.body, Load):
        return None
    parts = (*stage.body.access.index, *stage.write.index)
    return None if any(isinstance(part, Lookup) for part in parts) else stage.body.access.buffer
