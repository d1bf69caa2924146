"""The tiler: a kernel and a target in, the schedule with the least predicted cost out. No chip or op names.

Two shapes of kernel are told apart by access maps alone, see `nest.py` and `rows.py`; `cost.py` ranks candidates.
"""

from ..diagnostics import UnsupportedError
from ..target.description import Target
from .choice import Choice, uneven
from .grouped import grouped
from .nest import Nest
from .rows import Rows, Steps
from .stage import PARALLEL, SCAN, Kernel

__all__ = ["Choice", "is_sequential", "tile"]


def tile(kernel: Kernel, target: Target, keep: int = 1) -> list[Choice]:
    """The `keep` cheapest schedules, best first. UnsupportedError when the kernel has no schedule on the target."""
    if is_sequential(kernel):
        return Steps(kernel, target).choices(keep)
    if not _is_nest(kernel):
        choices = Rows(kernel, target).choices(keep)
    else:
        found = [choice for plan in grouped(kernel, target) for choice in plan.choices(keep)]
        extents = {name: d.size for name, d in kernel.dims.items()}
        found.sort(key=lambda each: each.estimate.cycles * uneven(each.schedule.loops, extents))
        choices = found[:keep] or Nest(kernel, target).choices(keep)
    if not choices:
        raise UnsupportedError(f"no schedule of kernel {kernel.name} fits target {target.name}")
    return choices


def is_sequential(kernel: Kernel) -> bool:
    """Whether a kernel goes step by step along some dim."""
    return any(d.kind == SCAN for s in kernel.stages for d in s.dims)


def _is_nest(kernel: Kernel) -> bool:
    shapes = [frozenset(d.name for d in s.kind(PARALLEL)) for s in kernel.stages]
    reducing = [n for n, s in enumerate(kernel.stages) if s.combine is not None]
    return len(set(shapes)) == 1 and (not reducing or reducing == [0])
