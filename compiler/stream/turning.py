"""Results that lie across what they come from, as channels last from channels first: a vector engine that steps over
elements along its lanes has its memory's banks read one by one.
"""

from collections.abc import Sequence
from dataclasses import replace

from ...runtime.records import dataclass
from ..target.description import Engine
from ..tile.products import product
from ..tile.stage import LOCAL, Access, Affine, Apply, Buffer, Expr, Kernel, Load, Stage, dim, rewrite, walk
from ..tile.work import lane_dim, lane_factor


@dataclass(frozen=True)
class Crossing:
    """Whether a stage of a kernel pays for crossing the lanes of an engine."""

    engine: Engine

    def __call__(self, kernel: Kernel, stage: Stage) -> bool:
        return lane_factor(kernel, stage, self.engine, lane_dim(kernel, stage, self.engine)) > 1


def lay_as_read(kernel: Kernel, crosses: Crossing, types: Sequence[str]) -> Kernel:
    """The kernel with locals that lie across what they come from laid out in that order, where only products of the
    given types read them, as their rows: an array takes these at any strides. The kernel itself where there are none.
    """
    for stage in kernel.stages:
        name = stage.write.buffer
        order = _order_read(kernel, stage)
        if kernel.buffer(name).role != LOCAL or stage.combine is not None or order is None:
            continue
        found = [product(kernel, reader, types) for reader in kernel.readers(name)]
        if all(each is not None and each.rows.buffer == name for each in found) and crosses(kernel, stage):
            written = [part.single if isinstance(part, Affine) else None for part in stage.write.index]
            kernel = _with_axes(kernel, name, [written.index(each) for each in order])
    return kernel


def _with_axes(kernel: Kernel, name: str, axes: Sequence[int]) -> Kernel:
    """The kernel with the axes of a buffer in another order."""

    def moved(access: Access) -> Access:
        if access.buffer != name:
            return access
        return replace(access, index=tuple(access.index[axis] for axis in axes))

    def change(expr: Expr) -> Expr | None:
        return Load(moved(expr.access), expr.dtype) if isinstance(expr, Load) else None

    stages = tuple(replace(s, body=rewrite(s.body, change), write=moved(s.write)) for s in kernel.stages)
    buffers = tuple(
        replace(b, shape=tuple(b.shape[axis] for axis in axes)) if b.name == name else b
        for b in kernel.buffers
    )
    return Kernel(kernel.name, buffers, stages)


def turn(kernel: Kernel, crosses: Crossing) -> Kernel:
    """The kernel with results that lie across what they come from computed in that order first, then copied: only the
    copy pays for crossing lanes."""
    stages: list[Stage] = []
    buffers = list(kernel.buffers)
    for stage in kernel.stages:
        order = _order_read(kernel, stage)
        long = len([n for n in walk(stage.body) if isinstance(n, Apply) and n.op != "cast"]) > 1
        if stage.combine is not None or order is None or not long or not crosses(kernel, stage):
            stages.append(stage)
            continue
        target = kernel.buffer(stage.write.buffer)
        local = Access(f"{stage.name}.turned", tuple(dim(name) for name in order))
        buffers.append(
            Buffer(local.buffer, tuple(stage.dim(name).extent for name in order), target.dtype, LOCAL)
        )
        stages.append(replace(stage, write=local))
        stages.append(Stage(f"{stage.name}.out", stage.dims, Load(local, target.dtype), stage.write))
    return Kernel(kernel.name, tuple(buffers), tuple(stages))


def _order_read(kernel: Kernel, stage: Stage) -> list[str] | None:
    """The dims of a stage as its largest operand has them, outermost first; None where no operand has them all."""
    names = {d.name for d in stage.dims}
    for access in stage.reads:
        order = [part.single if isinstance(part, Affine) else None for part in access.index]
        if None not in order and set(order) == names and len(order) == len(names):
            return order  # type: ignore[return-value]
    return None
