"""Rows that are reduced and read back: a reduction and what it makes of its own rows stay in one kernel.

x / sqrt(sum(x * x)) reads each row twice, but from far memory once, as long as a row stays near in between.
"""

from collections.abc import Mapping
from math import prod

from ...runtime.records import replace
from ..tile.stage import LOCAL, PARALLEL, REDUCE, Access, Affine, Buffer, Dim, Expr, Load, Stage, dim, rewrite
from .accesses import extents_of, is_elementwise, loads_of, looks_up, rename, solve
from .draft import Draft, Drafting


def follow(
    producer: Draft, consumer: Draft, value: str, shape: tuple[int, ...], drafting: Drafting, limit: int
) -> Draft | None:
    """The producer and, after it, the one stage of the consumer, `value` kept between them; None if that can't be.

    The consumer has dims besides those of `value`, and walks with them along a row that the producer reduces; the row
    takes at most `limit` bytes.
    """
    writers = [stage for stage in producer.stages if stage.write.buffer == value]
    if len(writers) != 1 or len(consumer.stages) != 1 or writers[0].write.fill is not None:
        return None
    (writer,), (reader,) = writers, consumer.stages
    loads = loads_of(reader, value)
    if len({load.access for load in loads}) != 1 or looks_up(reader, value) or not is_elementwise(reader):
        return None
    if any(access.buffer == value for stage in producer.stages for access in stage.reads):
        return None
    given = _plain_dims(loads[0].access, writer.write, shape, extents_of(reader, writer))
    if given is None:
        return None
    free = [each for each in reader.dims if each.name not in given]
    found = _along(producer, reader, {each.name for each in free}, given)
    size = prod(extents_of(reader)[each.name] for each in free) * loads[0].dtype.bytes
    if not free or found is None or size > limit:
        return None
    local = drafting.fresh("t")
    buffer = Buffer(local, shape, loads[0].dtype, LOCAL)
    stages = [
        replace(s, write=rename(s.write, {value: local})) if s is writer else s for s in producer.stages
    ]
    names = {**given, **found}
    dims = tuple(Dim(names[each.name], each.extent, PARALLEL) for each in reader.dims)
    moved = reader.substitute({old: dim(new) for old, new in names.items()}, dims)

    def change(expr: Expr) -> Expr | None:
        return Load(rename(expr.access, {value: local}), expr.dtype) if isinstance(expr, Load) else None

    stages.append(replace(moved, body=rewrite(moved.body, change)))
    locals_ = {**producer.locals, **consumer.locals, local: buffer}
    return Draft(tuple(stages), locals_, (*producer.nodes, *consumer.nodes))


def _plain_dims(
    read: Access, write: Access, shape: tuple[int, ...], extents: Mapping[str, int]
) -> dict[str, str] | None:
    """The reader's dims as the writer's, one for one."""
    solution = solve(read.index, write.index, shape, extents)
    if solution is None or solution.splits or read.fill is not None:
        return None
    names = {}
    for name, given in solution.values.items():
        if not isinstance(given, Affine) or given.single is None:
            return None
        names[name] = given.single
    return names if len(set(names.values())) == len(names) else None


def _along(producer: Draft, reader: Stage, free: set[str], given: Mapping[str, str]) -> dict[str, str] | None:
    """The reduced dims that the reader's free dims stand for: both walk along one tensor in the same way."""
    values = {old: dim(new) for old, new in given.items()}
    for stage in producer.stages:
        reduced = {each.name for each in stage.dims if each.kind == REDUCE}
        for theirs in stage.reads if reduced else ():
            for load in loads_of(reader, theirs.buffer):
                mine = load.access.map(lambda part: part.substitute(values))
                found = _matched(mine, theirs, free, reduced)
                extents = extents_of(stage, reader)
                if found is not None and all(extents[a] == extents[b] for a, b in found.items()):
                    return found
    return None


def _matched(mine: Access, theirs: Access, free: set[str], reduced: set[str]) -> dict[str, str] | None:
    """Free dims as reduced ones, all of them, such that both accesses are one."""
    found: dict[str, str] = {}
    for a, b in zip(mine.index, theirs.index, strict=True):
        if a == b:
            continue
        if not isinstance(a, Affine) or not isinstance(b, Affine) or a.single not in free:
            return None
        if b.single not in reduced or b.single is None or a.single is None:
            return None
        if found.setdefault(a.single, b.single) != b.single:
            return None
    return found if found.keys() == free and len(set(found.values())) == len(found) else None
