"""Which values are read past their edges as zeros, and how far."""

from collections.abc import Iterable, Mapping
from math import prod

from ..tile.stage import Access, Affine, Load, Lookup, walk
from .accesses import domain, extents_of, reach
from .draft import Draft

GROWTH = 2.0
"""A halo may make a value at most so many times larger..."""

OFTEN = 64
"""... or twice as many where each of its elements, zeros too, is read so often, as those of small maps by products."""

REUSE = 2
"""A halo pays for a value whose elements are read so many times."""

Halo = tuple[tuple[int, int], ...]


def halos(drafts: Iterable[Draft], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Halo]:
    """The halo that would serve all guarded readers of each value, where zeros serve them and a halo pays."""
    found: dict[str, list[tuple[int, int]]] = {}
    refused: set[str] = set()
    reads: dict[str, int] = {}
    for draft in drafts:
        for stage in draft.stages:
            if stage.write.fill is not None or _looks_up(stage.write):
                refused.add(stage.write.buffer)
            extents = extents_of(stage)
            for load in (node for node in walk(stage.body) if isinstance(node, Load)):
                access = load.access
                refused.update(inner.buffer for inner in access.accesses() if inner is not access)
                if _looks_up(access):  # an index out of memory does not know of the zeros before the elements
                    refused.add(access.buffer)
                    continue
                if access.fill is None or access.buffer not in shapes:
                    continue
                index = [part for part in access.index if isinstance(part, Affine)]
                if access.fill != 0:
                    refused.add(access.buffer)
                    continue
                reads[access.buffer] = reads.get(access.buffer, 0) + domain(stage)
                shape = shapes[access.buffer]
                wanted = found.setdefault(access.buffer, [(0, 0)] * len(shape))
                for axis, (part, extent) in enumerate(zip(index, shape, strict=True)):
                    low, high = reach(part, extents)
                    before, after = wanted[axis]
                    wanted[axis] = (max(before, -low), max(after, high - extent + 1))
    out = {}
    for name, halo in found.items():
        grown = prod(extent + sum(around) for extent, around in zip(shapes[name], halo, strict=True))
        size = prod(shapes[name])
        pays = reads[name] >= REUSE * size and any(map(any, halo))
        growth = GROWTH * (2 if reads[name] >= OFTEN * grown else 1)
        if name not in refused and pays and grown <= growth * size:
            out[name] = tuple(halo)
    return out


def _looks_up(access: Access) -> bool:
    return any(isinstance(part, Lookup) for part in access.index)
