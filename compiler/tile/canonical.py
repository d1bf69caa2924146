"""A normal form of kernels and schedules in which names carry no meaning: dims d0.., stages s0.., buffers b0...

Two kernels that differ in names and source locations only have one normal form and one key: what is tiled or emitted
for a normal form is shared by all that have it. Buffers keep their order, so arguments are matched by position.
"""

from hashlib import sha256

from ...runtime.records import replace
from ..ir.location import NOWHERE
from .schedule import Loop, Schedule
from .stage import (
    Access,
    Affine,
    Apply,
    Const,
    Expr,
    Held,
    Index,
    Kernel,
    Load,
    Lookup,
    Repair,
    Stage,
    rewrite,
    walk,
)

_KEPT = "_canonical"


def canonical(kernel: Kernel, schedule: Schedule | None = None) -> tuple[Kernel, Schedule | None, str]:
    """The normal form of a kernel and of a schedule of it, and a key: equal exactly when the normal forms are.

    The key covers dtypes, shapes, roles, domains, accesses, bodies, combines, repairs and the schedule; not names,
    not locations. Symbols in extents keep their names, which the caller binds. That of a kernel by itself is found once
    and stays with it.
    """
    if schedule is not None:
        return _canonical(kernel, schedule)
    found = kernel.__dict__.get(_KEPT)
    if found is None:
        found = kernel.__dict__[_KEPT] = _canonical(kernel, None)
    return found


def _canonical(kernel: Kernel, schedule: Schedule | None) -> tuple[Kernel, Schedule | None, str]:
    names = _Names(kernel)
    kernel = names.kernel(kernel)
    if schedule is not None:
        schedule = names.schedule(schedule)
    text = "\n".join(_describe(kernel, schedule))
    return kernel, schedule, sha256(text.encode()).hexdigest()


class _Names:
    """The new name of each dim, stage and buffer, by first appearance."""

    def __init__(self, kernel: Kernel):
        self.buffers = {buffer.name: f"b{n}" for n, buffer in enumerate(kernel.buffers)}
        self.stages = {stage.name: f"s{n}" for n, stage in enumerate(kernel.stages)}
        self.dims = {name: f"d{n}" for n, name in enumerate(kernel.dims)}

    def kernel(self, kernel: Kernel) -> Kernel:
        buffers = tuple(replace(buffer, name=self.buffers[buffer.name]) for buffer in kernel.buffers)
        return Kernel("k", buffers, tuple(map(self.stage, kernel.stages)))

    def stage(self, stage: Stage) -> Stage:
        repair = stage.repair and Repair(self.buffers[stage.repair.of], self.expression(stage.repair.factor))
        return Stage(
            self.stages[stage.name],
            tuple(replace(dim, name=self.dims[dim.name]) for dim in stage.dims),
            self.expression(stage.body),
            self.access(stage.write),
            stage.combine,
            repair,
            NOWHERE,
        )

    def affine(self, affine: Affine) -> Affine:
        return Affine.of([(self.dims[name], c) for name, c in affine.terms], affine.const)

    def access(self, access: Access) -> Access:
        index = tuple(
            Lookup(self.access(part.access)) if isinstance(part, Lookup) else self.affine(part)
            for part in access.index
        )
        return Access(self.buffers[access.buffer], index, access.fill)

    def expression(self, body: Expr) -> Expr:
        def change(expr: Expr) -> Expr | None:
            if isinstance(expr, Load):
                return Load(self.access(expr.access), expr.dtype)
            return Index(self.affine(expr.affine)) if isinstance(expr, Index) else None

        return rewrite(body, change)

    def loop(self, loop: Loop) -> Loop:
        return replace(loop, dim=self.dims[loop.dim])

    def schedule(self, schedule: Schedule) -> Schedule:
        """Order of holds and places carries no meaning, so they are sorted."""
        holds = [
            replace(hold, buffer=self.buffers[hold.buffer], roll=hold.roll and self.dims[hold.roll])
            for hold in schedule.holds
        ]
        places = [
            replace(
                place,
                stage=self.stages[place.stage],
                loops=tuple(map(self.loop, place.loops)),
                bind=tuple((role, tuple(self.dims[name] for name in dims)) for role, dims in place.bind),
            )
            for place in schedule.places
        ]
        return Schedule(
            tuple(map(self.loop, schedule.loops)),
            tuple(sorted(holds, key=lambda hold: (hold.at, int(hold.buffer[1:]), hold.memory))),
            tuple(sorted(places, key=lambda place: int(place.stage[1:]))),
        )


def _describe(kernel: Kernel, schedule: Schedule | None) -> list[str]:
    """Everything that the key covers, as lines of text."""
    lines = [f"{b.name} {b.role} {b.dtype} {list(map(str, b.shape))}" for b in kernel.buffers]
    for stage in kernel.stages:
        dims = [(dim.name, str(dim.extent), dim.kind) for dim in stage.dims]
        lines.append(f"{stage.name} {dims} {_access(stage.write)} {stage.combine}")
        lines.append(_body(stage.body))
        if stage.repair is not None:
            lines.append(f"repair {stage.repair.of} {_body(stage.repair.factor)}")
    return [*lines, repr(schedule)]


def _access(access: Access) -> str:
    index = ", ".join(
        _access(part.access) if isinstance(part, Lookup) else str(part) for part in access.index
    )
    return f"{access.buffer}[{index}]{'' if access.fill is None else repr(access.fill)}"


def _body(body: Expr) -> str:
    """The DAG as numbered nodes, equal nodes once."""
    numbers: dict[Expr, int] = {}
    parts: list[str] = []
    for node in walk(body):
        if node in numbers:
            continue
        numbers[node] = len(numbers)
        match node:
            case Load():
                text = _access(node.access)
            case Const():
                text = repr(node.value)
            case Index():
                text = f"({node.affine})"
            case Held():
                text = node.which
            case Apply():
                text = f"{node.op} {[numbers[argument] for argument in node.arguments]}"
        parts.append(f"{text} {node.dtype}")
    return "; ".join(parts)
