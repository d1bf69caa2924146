"""Kernels in the stages that the engines of a chip run.

Elementwise stages go into their readers: a vector engine evaluates a whole body on one pass over its operands. A small
table that is looked up at a computed index becomes `lookup(index, table element)`, whose index is any expression; rows
of a large one are fetched from home by a stage of their own. Sums leave the accumulators by a copy.
"""

from collections.abc import Collection
from dataclasses import replace
from math import prod

from ..target.description import Target
from ..tile.products import product
from ..tile.stage import (
    LOCAL,
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
    dim,
    rewrite,
    walk,
)
from ..tile.work import SPECIAL
from .sampling import sampled
from .turning import Crossing, lay_as_read, turn

MOST_OPERATIONS = 24
"""Operations of a body beyond which a stage is no longer put into its readers."""


def product_types(target: Target) -> tuple[str, ...]:
    """The products that the chip's array does; none without an array."""
    return next((engine.types for engine in target.engines.values() if engine.does == "contract"), ())


def preparations(kernel: Kernel, target: Target) -> list[Kernel]:
    """The kernel in the stages that the engines run: bodies composed, rows fetched, results turned, sums drained; in
    one or some ways, of which the cheapest one is to be taken."""
    types = product_types(target)
    composed = fetch(compose(unrepaired(kernel)))
    crosses = Crossing(target.engine("elementwise"))
    forms = dict.fromkeys((composed, lay_as_read(composed, crosses, types), sampled(composed)))
    across = [form for form in forms if not _leaves_across(form, crosses)]
    ways = dict.fromkeys((*(turn(form, crosses) for form in forms), *across))
    return [drain(way, [s.name for s in way.stages if product(way, s, types) is not None]) for way in ways]


def _leaves_across(kernel: Kernel, crosses: Crossing) -> bool:
    """Whether what lies across its operands leaves the kernel: the engine that stores it would wait for it."""
    crossing = (stage for stage in kernel.stages if crosses(kernel, stage))
    return any(kernel.buffer(stage.write.buffer).role != LOCAL for stage in crossing)


def independent(kernel: Kernel) -> list[Kernel]:
    """The kernel as kernels of the stages that hang together by locals, or by one reading what another one writes."""
    groups: list[list[Stage]] = []
    for stage in kernel.stages:
        touched = {access.buffer for access in stage.reads} | {stage.write.buffer}
        mine, others = [stage], []
        for group in groups:
            written = {each.write.buffer for each in group}
            local = {name for name in written if kernel.buffer(name).role == LOCAL}
            read = {access.buffer for each in group for access in each.reads}
            joined = (
                touched & local or written & {a.buffer for a in stage.reads} or stage.write.buffer in read
            )
            if joined:
                mine = [*group, *mine]
            else:
                others.append(group)
        groups = [*others, mine]
    return [_part(kernel, group, number) for number, group in enumerate(groups)]


def _part(kernel: Kernel, stages: list[Stage], number: int) -> Kernel:
    used = {
        name for stage in stages for name in (stage.write.buffer, *(access.buffer for access in stage.reads))
    }
    buffers = tuple(buffer for buffer in kernel.buffers if buffer.name in used)
    return Kernel(f"{kernel.name}.{number}", buffers, tuple(stages))


def unrepaired(kernel: Kernel) -> Kernel:
    """The kernel without repairs of sums: rows are held as a whole, so that what they are relative to does not move."""
    return replace(kernel, stages=tuple(replace(stage, repair=None) for stage in kernel.stages))


def compose(kernel: Kernel) -> Kernel:
    """The kernel with every elementwise local computed where it is read, as far as bodies stay short."""
    changed = True
    while changed:
        changed = False
        for stage in kernel.stages:
            new = _without(kernel, stage)
            if new is not None:
                kernel, changed = new, True
                break
    return kernel


def operations(body: Expr) -> int:
    """Operations of a body, casts left out."""
    return sum(isinstance(node, Apply) and node.op != "cast" for node in walk(body))


def _without(kernel: Kernel, stage: Stage) -> Kernel | None:
    """The kernel without a stage, its body in all its readers; None where it has to stay."""
    name = stage.write.buffer
    if kernel.buffer(name).role != LOCAL or stage.combine is not None or len(kernel.writers(name)) > 1:
        return None
    axes = [part.single if isinstance(part, Affine) else None for part in stage.write.index]
    readers = kernel.readers(name)
    if None in axes or len(set(axes)) < len(axes) or len(axes) != len(stage.dims):
        return None
    if any(reader.repair is not None or reader is stage for reader in readers):
        return None
    if len(readers) > 1 and operations(stage.body) > 4:
        return None
    if _is_dear(stage) and any(_points(reader) > 4 * _points(stage) for reader in readers):
        return None  # once a row, not once an element
    new: dict[str, Stage] = {}
    for reader in readers:
        body = _inlined(reader, stage, axes)  # type: ignore[arg-type]
        if body is None or operations(body) > MOST_OPERATIONS:
            return None
        if reader.combine is not None and operations(stage.body) > (0 if _multiplies(reader) else 2):
            return None  # a sum's terms stay short: they run at the rate of products
        new[reader.name] = replace(reader, body=body)
    stages = tuple(new.get(each.name, each) for each in kernel.stages if each is not stage)
    buffers = tuple(buffer for buffer in kernel.buffers if buffer.name != name)
    return Kernel(kernel.name, buffers, stages)


def _is_dear(stage: Stage) -> bool:
    """Whether a body takes more than one operation of a vector engine."""
    found = [node.op for node in walk(stage.body) if isinstance(node, Apply) and node.op != "cast"]
    return len(found) > 1 or any(op in SPECIAL for op in found)


def _points(stage: Stage) -> int:
    """How often a stage's body is evaluated."""
    return prod(d.size for d in stage.dims)


def _multiplies(stage: Stage) -> bool:
    """Whether a stage sums products, of which each factor is used again and again."""
    return stage.combine == "sum" and isinstance(stage.body, Apply) and stage.body.op == "mul"


def _inlined(reader: Stage, stage: Stage, axes: list[str]) -> Expr | None:
    name = stage.write.buffer
    possible = True

    def at(index: tuple[Affine | Lookup, ...]) -> Expr:
        values = {axis: part for axis, part in zip(axes, index) if isinstance(part, Affine)}
        return stage.substitute(values, ()).body

    def change(expr: Expr) -> Expr | None:
        nonlocal possible
        if not isinstance(expr, Load):
            return None
        access = expr.access
        if access.buffer == name:
            if access.fill is not None or any(isinstance(part, Lookup) for part in access.index):
                possible = False
                return None
            return at(access.index).cast(expr.dtype)
        inner = [part for part in access.index if isinstance(part, Lookup) and part.access.buffer == name]
        if not inner:
            return None
        if len(access.index) > 1 or any(isinstance(part, Lookup) for part in inner[0].access.index):
            possible = False
            return None
        index = at(inner[0].access.index)
        source = next((node for node in walk(index) if isinstance(node, Load)), None)
        if source is None:
            possible = False
            return None
        element = Load(Access(access.buffer, (Lookup(source.access),)), expr.dtype)
        return Apply("lookup", (index, element), expr.dtype)

    body = rewrite(reader.body, change)
    return body if possible else None


def drain(kernel: Kernel, products: Collection[str]) -> Kernel:
    """The kernel with a copy behind each product that writes a result: another engine moves sums out."""
    for stage in kernel.stages:
        target = kernel.buffer(stage.write.buffer)
        if stage.name not in products or target.role == LOCAL:
            continue
        kept = [d for d in stage.dims if d.kind != REDUCE]
        name = f"{target.name}.sum"
        local = Access(name, tuple(dim(d.name) for d in kept))
        sums = replace(stage, write=local)
        copy = Stage(
            f"{stage.name}.out", tuple(kept), Load(local, stage.body.dtype).cast(target.dtype), stage.write
        )
        stages = tuple(new for old in kernel.stages for new in ((sums, copy) if old is stage else (old,)))
        buffer = Buffer(name, tuple(d.extent for d in kept), stage.body.dtype, LOCAL)
        kernel = Kernel(kernel.name, (*kernel.buffers, buffer), stages)
    return kernel


def fetch(kernel: Kernel) -> Kernel:
    """The kernel with a stage of its own for each load at looked-up rows, which copies them from home into a local."""
    for stage in kernel.stages:
        for load in gathers(stage):
            inner = [
                name for part in load.access.index if isinstance(part, Lookup) for name in part.access.dims
            ]
            names = [d for d in stage.dims if d.name in load.access.dims]
            if is_fetch(kernel, stage) or any(d.kind == REDUCE for d in names) or not inner:
                continue
            taken = len(kernel.role(LOCAL))
            name = f"{stage.name}.rows{taken}"
            local = Access(name, tuple(dim(d.name) for d in names))
            rows = Stage(name, tuple(names), load, local)
            read = Load(local, load.dtype)

            def change(expr: Expr, load: Load = load, read: Load = read) -> Expr | None:
                return read if expr == load else None

            reader = replace(stage, body=rewrite(stage.body, change))
            stages = tuple(
                new for old in kernel.stages for new in ((rows, reader) if old is stage else (old,))
            )
            buffer = Buffer(name, tuple(d.extent for d in names), load.dtype, LOCAL)
            new = Kernel(kernel.name, (*kernel.buffers, buffer), stages)
            if is_fetch(new, rows):
                return fetch(new)
    return kernel


def gathers(stage: Stage) -> list[Load]:
    """Loads at looked-up coordinates, tables of single elements left out."""
    tables = {
        node.arguments[1] for node in walk(stage.body) if isinstance(node, Apply) and node.op == "lookup"
    }
    return [
        load
        for load in stage.loads
        if load not in tables and any(isinstance(part, Lookup) for part in load.access.index)
    ]


def is_fetch(kernel: Kernel, stage: Stage) -> bool:
    """Whether a stage only copies looked-up rows from home into a local: one coordinate is looked up, by an index of
    its own elements, and all inside of it are whole runs."""
    load = stage.body
    if (
        not isinstance(load, Load)
        or stage.combine is not None
        or kernel.buffer(stage.write.buffer).role != LOCAL
    ):
        return False
    axes = [axis for axis, part in enumerate(load.access.index) if isinstance(part, Lookup)]
    if len(axes) != 1 or kernel.buffer(load.access.buffer).role == LOCAL or load.access.fill is not None:
        return False
    lookup = load.access.index[axes[0]]
    assert isinstance(lookup, Lookup)
    outer, inner = load.access.index[: axes[0]], load.access.index[axes[0] + 1 :]
    written = [part.single if isinstance(part, Affine) else None for part in stage.write.index]
    run = [part.single if isinstance(part, Affine) else None for part in inner]
    indices = [part.single if isinstance(part, Affine) else None for part in lookup.access.index]
    plain = None not in (*written, *run, *indices) and lookup.access.fill is None
    return plain and not outer and written == [*indices, *run]
