"""A kernel while it takes its physical form: stages and buffers under change, and the changes that keep its meaning."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from ...runtime.records import dataclass, replace
from ..tile.stage import Access, Affine, Buffer, Expr, Index, Load, Lookup, Stage, dim, rewrite
from .accesses import Coordinates, extents_of, known

Reindex = Callable[[Coordinates], Sequence[Affine | Lookup]]


@dataclass(frozen=True, slots=True)
class Reshape:
    """Another shape for a buffer, and what becomes of an index on it."""

    shape: tuple[int, ...]
    index: Reindex


def accesses(stage: Stage) -> Iterator[Access]:
    """Everything that a stage reads or writes, accesses inside lookups too."""
    yield from stage.reads
    yield from stage.write.accesses()


def dims_in_order(access: Access) -> list[str]:
    """The dims of an access as they step through memory, outermost first."""
    names: dict[str, None] = {}
    for part in access.index:
        if isinstance(part, Affine):
            names.update(dict.fromkeys(n for n, _ in sorted(part.terms, key=lambda term: -abs(term[1]))))
    return list(names)


def _reshaped(access: Access, changes: Mapping[str, Reshape]) -> Access:
    index: Sequence[Affine | Lookup] = tuple(
        [
            Lookup(_reshaped(part.access, changes)) if isinstance(part, Lookup) else part
            for part in access.index
        ]
    )
    if access.buffer in changes:
        index = changes[access.buffer].index(tuple(index))
    return Access(access.buffer, tuple(index), access.fill)


class Shaping:
    """Stages and buffers by name. Extents and shapes are numbers."""

    def __init__(self, stages: Sequence[Stage], buffers: Mapping[str, Buffer]):
        self.stages = list(stages)
        self.buffers = dict(buffers)
        self.extents = extents_of(*stages)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(map(known, self.buffers[name].shape))

    def on(self, name: str) -> list[Access]:
        """All accesses of a buffer."""
        return list(dict.fromkeys(a for stage in self.stages for a in accesses(stage) if a.buffer == name))

    def neighbours(self) -> list[tuple[str, str]]:
        """Pairs of dims that follow each other in some access."""
        found = (pair for s in self.stages for a in accesses(s) for pair in pairwise(dims_in_order(a)))
        return list(dict.fromkeys(found))

    def reshape(self, changes: Mapping[str, Reshape]) -> None:
        """Change the shapes of buffers, and all accesses of them."""

        def change(expr: Expr) -> Expr | None:
            return Load(_reshaped(expr.access, changes), expr.dtype) if isinstance(expr, Load) else None

        for name, new in changes.items():
            self.buffers[name] = replace(self.buffers[name], shape=new.shape)
        for n, stage in enumerate(self.stages):
            if any(access.buffer in changes for access in accesses(stage)):
                self.stages[n] = replace(
                    stage, body=rewrite(stage.body, change), write=_reshaped(stage.write, changes)
                )

    def rename(self, old: str, new: str) -> bool:
        """One dim's name for another's; False where extents differ or some stage has both."""
        if self.extents[old] != self.extents[new]:
            return False
        if any({old, new} <= {each.name for each in stage.dims} for stage in self.stages):
            return False
        for n, stage in enumerate(self.stages):
            dims = [replace(each, name=new) if each.name == old else each for each in stage.dims]
            self.stages[n] = stage.substitute({old: dim(new)}, dims)
        del self.extents[old]
        return True

    def join(self, outer: str, inner: str) -> None:
        """Two dims that occur only as extent(inner) * outer + inner, or a multiple of that, become `outer`."""

        def affine(part: Affine) -> Affine:
            if inner not in part.dims:
                return part
            rest = [(name, step) for name, step in part.terms if name not in (outer, inner)]
            return Affine.of([*rest, (outer, part.coefficient(inner))], part.const)

        def change(expr: Expr) -> Expr | None:
            if isinstance(expr, Load):
                return Load(expr.access.map(affine), expr.dtype)
            return Index(affine(expr.affine)) if isinstance(expr, Index) else None

        extent = self.extents[outer] * self.extents.pop(inner)
        self.extents[outer] = extent
        for n, stage in enumerate(self.stages):
            if all(each.name != inner for each in stage.dims):
                continue
            dims = (
                replace(d, extent=extent) if d.name == outer else d for d in stage.dims if d.name != inner
            )
            self.stages[n] = replace(
                stage, dims=tuple(dims), body=rewrite(stage.body, change), write=stage.write.map(affine)
            )
