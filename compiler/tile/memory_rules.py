"""Legality that depends on the machine: register files, static sizes, room in memories.

No values go wrong without these rules in the interpreter, whose memories have no end and begin with the identity of a
sum; emitters rely on them.
"""

from ..ir.dims import Dim as Extent
from .rules import Found, product, rule
from .spine import largest_tile, slide
from .stage import REDUCE, Stage
from .view import View


@rule("a register file can't be indexed: its writers and readers stand together, bound alike, in one block")
def registers_are_not_indexed(view: View) -> Found:
    if view.target is None:
        return
    for hold in view.schedule.holds:
        memory = view.target.memories.get(hold.memory)
        if memory is None or memory.managed != "explicit" or not memory.private:
            continue
        users = [s for s in view.writers(hold.buffer) + view.readers(hold.buffer) if view.at(s) >= hold.at]
        shapes = {(view.at(stage), _binding(view, stage, hold.buffer)) for stage in users}
        if len(shapes) > 1:
            listed = ", ".join(f"'{stage.name}'" for stage in users)
            yield (
                f"stages {listed} use '{hold.buffer}' in {hold.memory} in different ways",
                "hold it in a cache",
            )
        for stage in users:
            ribs = [r.dim for r in view.places[stage.name].loops if stage.dim(r.dim).kind != REDUCE]
            if ribs:
                yield (
                    f"stage '{stage.name}' loops over '{ribs[0]}', while '{hold.buffer}' is in {hold.memory}",
                    "move the loop into the spine",
                )


def _binding(view: View, stage: Stage, buffer: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """How the dims that index a buffer are bound in a stage."""
    dims = {n for a in (*stage.reads, stage.write) if a.buffer == buffer for n in a.dims}
    bound = ((role, tuple(n for n in names if n in dims)) for role, names in view.places[stage.name].bind)
    return tuple(sorted((role, names) for role, names in bound if names))


@rule("blocks and tiles have static sizes: symbolic extents are cut by the spine")
def sizes_are_static(view: View) -> Found:
    for stage in view.kernel.stages:
        ranges = view.boxes(view.at(stage)).stages[stage.name]
        for dim in stage.dims:
            size = ranges[dim.name].size
            for rib in view.places[stage.name].loops:
                if rib.dim == dim.name:
                    size = largest_tile(size, rib)
            if not isinstance(size, int):
                yield f"the block of stage '{stage.name}' has {size} elements of '{dim.name}'", "loop over it"
    for hold in view.schedule.holds:
        for axis, range_ in enumerate(view.hold_box(hold)):
            if not isinstance(range_.size, int):
                yield (
                    f"the tile of '{hold.buffer}' has {range_.size} elements along axis {axis}",
                    "hold it deeper",
                )


@rule("the tiles that live at one time fit into their memories")
def tiles_fit(view: View) -> Found:
    if view.target is None:
        return
    need: dict[str, int] = {}
    for hold in view.schedule.holds:
        memory = view.target.memories.get(hold.memory)
        if memory is None:
            yield f"'{hold.buffer}' is held in '{hold.memory}'", f"{view.target.name} has no such memory"
            continue
        shape = view.buffers[hold.buffer].shape
        sizes = [_smaller(range_.size, extent) for range_, extent in zip(view.hold_box(hold), shape)]
        if hold.roll is not None and all(isinstance(size, int) for size in sizes):
            sliding = slide(view.kernel, view.schedule, hold)
            sizes[sliding.axis] = _smaller(sliding.rows, shape[sliding.axis])
            slots = 1
        else:
            slots = hold.slots
        if all(isinstance(size, int) for size in sizes) and not memory.home:
            bytes_ = product(sizes) * view.buffers[hold.buffer].dtype.bytes * slots
            need[hold.memory] = need.get(hold.memory, 0) + bytes_
    for name, bytes_ in need.items():
        memory = view.target.memories[name]
        room = int(memory.bytes * (memory.usable if memory.managed == "cache" else 1))
        if bytes_ > room:
            yield f"{bytes_} bytes are held in {name}, which has room for {room}", "take smaller tiles"


def _smaller(size: Extent, extent: Extent) -> Extent:
    """The number of elements that a tile really has along an axis."""
    return min(size, extent) if isinstance(size, int) and isinstance(extent, int) else size


@rule("a sum in a memory that software fills begins with its first piece, whole")
def sums_begin_at_once(view: View) -> Found:
    if view.target is None:
        return
    for stage in view.partial:
        name = stage.write.buffer
        memories = [view.target.memories.get(hold.memory) for hold in view.holds(name)[:1]]
        if not any(each is not None and each.managed == "explicit" and not each.private for each in memories):
            continue
        for loop in range(view.begins(name), view.at(stage)):
            if loop not in view.reducing(stage) and not view.is_single(loop):
                yield (
                    f"the loop over '{view.schedule.loops[loop].dim}' begins '{name}' in pieces,"
                    f" to which stage '{stage.name}' adds",
                    "hold the sums inside that loop",
                )
        if view.writers(name)[0] is not stage:
            yield f"stage '{stage.name}' adds to '{name}', which another stage begins", "sum it apart"
