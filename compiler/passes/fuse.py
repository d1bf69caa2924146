"""Fusing two drafts where one reads what the other writes: a producer is inlined, or a consumer absorbed.

Each function says by its result whether it can be done; whether it should be is decided in `form`.
"""

from collections.abc import Collection

from ...runtime.records import replace
from ..tile.stage import (
    LOCAL,
    Access,
    Affine,
    Buffer,
    Dim,
    Expr,
    Index,
    Load,
    Lookup,
    Stage,
    dim,
    rewrite,
)
from .accesses import (
    Values,
    extents_of,
    is_elementwise,
    loads_of,
    looks_up,
    reach,
    solve,
    substituted,
    substituted_access,
)
from .draft import Draft, Drafting


class Fusion:
    """Fuses drafts; `shapes` gives the shape of every value."""

    def __init__(self, drafting: Drafting, shapes: dict[str, tuple[int, ...]]):
        self.drafting = drafting
        self.shapes = shapes

    def inline(self, producer: Draft, consumer: Draft, value: str) -> Draft | None:
        """The consumer computing the elements of `value` where it reads them, or None.

        The producer's last stage writes the value element by element; stages before it are taken along.
        """
        last = producer.stages[-1]
        if last.write.fill is not None or not is_elementwise(last) or producer.writes() != (value,):
            return None
        if sum(stage.write.buffer == value for stage in producer.stages) != 1:
            return None
        if any(looks_up(stage, value) for stage in consumer.stages):
            return None
        fitting = self._fitting(producer, consumer, value, inline=True)
        if fitting is None:
            return None
        producer, consumer = fitting
        *before, last = producer.stages
        extents = {**producer.extents(), **consumer.extents()}
        bodies: dict[Access, Expr] = {}
        for stage in consumer.stages:
            for load in loads_of(stage, value):
                solution = solve(last.write.index, load.access.index, self.shapes[value], extents)
                if solution is None or solution.splits:
                    return None
                body = self._evaluated(last, load.access, solution.values, extents, value)
                if body is None:
                    return None
                bodies[load.access] = body

        def change(expr: Expr) -> Expr | None:
            if isinstance(expr, Load) and expr.access.buffer == value:
                return bodies[expr.access]
            return None

        stages = tuple(
            replace(stage, body=rewrite(stage.body, change)) if loads_of(stage, value) else stage
            for stage in consumer.stages
        )
        return Draft(
            (*before, *stages), {**producer.locals, **consumer.locals}, (*producer.nodes, *consumer.nodes)
        )

    def _fitting(
        self, producer: Draft, consumer: Draft, value: str, inline: bool
    ) -> tuple[Draft, Draft] | None:
        """Both drafts with the dims split that common digits of their indices on `value` ask for.

        `inline`: the producer's dims are to follow from the consumer's, else the other way round.
        """
        for _ in range(4):
            extents = {**producer.extents(), **consumer.extents()}
            wanted: dict[str, list[int]] = {}
            for writer in producer.stages:
                if writer.write.buffer != value:
                    continue
                for stage in consumer.stages:
                    for load in loads_of(stage, value):
                        sides = (writer.write.index, load.access.index)
                        solution = solve(*(sides if inline else sides[::-1]), self.shapes[value], extents)
                        if solution is None:
                            return None
                        wanted.update(solution.splits)
            if not wanted:
                return producer, consumer
            for name, parts in wanted.items():
                if any(name in (each.name for each in stage.dims) for stage in producer.stages):
                    split = self.drafting.split(producer, name, parts)
                    producer = split[0] if split else producer
                else:
                    split = self.drafting.split(consumer, name, parts)
                    consumer = split[0] if split else consumer
                if split is None:
                    return None
        return None

    def _evaluated(
        self, stage: Stage, access: Access, values: Values, extents: dict[str, int], value: str
    ) -> Expr | None:
        """The stage's body at the element that an access reads; None where it has no form there."""
        if any(each.name not in values for each in stage.dims):
            return None
        if access.fill is not None:
            return self._filled(stage, access, values, extents, value)
        return substituted(stage.body, values)

    def _filled(
        self, stage: Stage, access: Access, values: Values, extents: dict[str, int], value: str
    ) -> Expr | None:
        """A read with a fill goes through a pure load whose index leaves its buffer whenever it left the value."""
        body = stage.body
        if not isinstance(body, Load) or body.access.fill not in (None, access.fill):
            return None
        source = body.access
        shape = self.shapes.get(source.buffer)
        if shape is None:
            return None
        for written, read, extent in zip(stage.write.index, access.index, self.shapes[value], strict=True):
            if isinstance(read, Lookup):
                return None
            low, high = reach(read, extents)
            if low >= 0 and high < extent:
                continue
            name = written.single if isinstance(written, Affine) else None
            axes = [
                n for n, part in enumerate(source.index) if isinstance(part, Affine) and name in part.dims
            ]
            if name is None or len(axes) != 1:
                return None
            moved = source.index[axes[0]] - dim(name)  # type: ignore[operator]
            if moved.terms or moved.const > 0 or extent + moved.const < shape[axes[0]]:
                return None
        loaded = substituted(body, values)
        assert isinstance(loaded, Load)
        return Load(replace(loaded.access, fill=access.fill), loaded.dtype)

    def absorb(
        self, producer: Draft, consumer: Draft, value: str, whole: Collection[str] = ()
    ) -> Draft | None:
        """The producer going on to compute what the consumer makes of each element of `value`, or None.

        Dims in `whole` must not be split for that. All other stages of the consumer come first.
        """
        if any(access.buffer == value for stage in producer.stages for access in stage.reads):
            return None
        readers = [stage for stage in consumer.stages if any(a.buffer == value for a in stage.reads)]
        if len(readers) != 1 or not is_elementwise(readers[0]) or looks_up(readers[0], value):
            return None
        if len({load.access for load in loads_of(readers[0], value)}) != 1:
            return None
        fitting = self._fitting(producer, consumer, value, inline=False)
        if fitting is None or not fitting[0].extents().keys() >= set(whole):
            return None
        producer, consumer = fitting
        (reader,) = (stage for stage in consumer.stages if loads_of(stage, value))
        pieces = sum(stage.write.buffer == value for stage in producer.stages)
        if pieces > 1 and any(len(part.dims) > 1 for part in reader.write.index if isinstance(part, Affine)):
            return None  # pieces stay apart on one axis only where no other axis is joined to it
        locals_ = {**producer.locals, **consumer.locals}
        stages = [stage for stage in consumer.stages if stage is not reader]
        if stages and consumer.stages[-1] is not reader:
            return None
        for stage in producer.stages:
            if stage.write.buffer != value:
                stages.append(stage)
                continue
            new = self._absorbed(stage, reader, value, locals_)
            if new is None:
                return None
            stages += new
        return Draft(tuple(stages), locals_, (*producer.nodes, *consumer.nodes))

    def _absorbed(
        self, writer: Stage, reader: Stage, value: str, locals_: dict[str, Buffer]
    ) -> list[Stage] | None:
        """The writer and what the reader computes from it, as one stage or, for a reduction, as two."""
        access = loads_of(reader, value)[0].access
        extents = extents_of(writer, reader)
        solution = solve(access.index, writer.write.index, self.shapes[value], extents)
        if solution is None or access.fill is not None:
            return None
        values = solution.values
        if any(each.name not in values for each in reader.dims):
            return None
        guarded = writer.write.fill is not None
        if guarded and (reader.write.index != access.index or reader.write.fill is not None):
            return None
        if any(each.kind not in ("parallel", "reduce") for each in writer.dims):
            return None
        stages = []
        body = writer.body
        if writer.combine is not None:
            kept = tuple(each for each in writer.dims if each.kind == "parallel")
            name = self.drafting.fresh("t")
            dtype = loads_of(reader, value)[0].dtype
            locals_[name] = Buffer(name, tuple(each.extent for each in kept), dtype, LOCAL)
            element = Access(name, tuple(dim(each.name) for each in kept))
            stages.append(replace(writer, write=element))
            body = Load(element, dtype)
            dims: tuple[Dim, ...] = kept
        else:
            dims = writer.dims

        def change(expr: Expr) -> Expr | None:
            if not isinstance(expr, Load) or expr.access.buffer == value:
                return None
            moved = substituted_access(expr.access, values)
            if guarded and moved.fill is None:
                # where the write is dropped, what is read must only be harmless
                moved = replace(moved, fill=0)
            return Load(moved, expr.dtype)

        def compose(expr: Expr) -> Expr | None:
            if isinstance(expr, Load) and expr.access.buffer == value:
                return body
            if isinstance(expr, Index):
                return substituted(expr, values)
            return change(expr)

        if any(isinstance(given, Lookup) for given in values.values()):
            return None
        write = substituted_access(reader.write, values)
        if guarded:
            write = replace(write, fill=writer.write.fill)
        stages.append(
            replace(
                reader,
                name=self.drafting.fresh("s"),
                dims=dims,
                body=rewrite(reader.body, compose),
                write=write,
                location=writer.location.merge(reader.location),
            )
        )
        return stages
