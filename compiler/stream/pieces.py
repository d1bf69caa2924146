"""Boxes of stages in pieces, so that one engine takes up the first while another is still at the last.

Pieces are cut along the rows of the kernel's result, and along what moves with them in the stages before. They change
neither tiles nor values: instructions become shorter and more.
"""

from collections.abc import Iterator, Mapping, Sequence

from ..target.description import Target
from ..tile.infer import Range, infer
from ..tile.products import Product
from ..tile.stage import PARALLEL, Affine, Kernel, Stage, dim
from ..tile.work import lane_dim, product_cycles, vector_cycles

Box = Mapping[str, tuple[int, int]]

LEAST = 60
"""Cycles of a piece; and how many pieces there are at `MOST`."""
MOST = 6

OVERHEAD = 8
"""Cycles that an instruction more costs."""

SLOWER = 1.05
"""By how much pieces may take longer than the whole box on the engine that takes longest."""


class Pieces:
    """How the boxes of a kernel's stages are cut; `parts` are the cycles that each engine takes for the kernel."""

    def __init__(
        self,
        kernel: Kernel,
        target: Target,
        products: Mapping[str, Product | None],
        parts: Mapping[str, float],
    ):
        self.kernel, self.products, self.parts = kernel, products, parts
        self.vector = target.engine("elementwise")
        self.array = next((each for each in target.engines.values() if each.does == "contract"), None)
        self.longest = max(parts[name] for name in target.engines if name in parts)
        self.rows = _rows(kernel)
        self._steps: dict[object, int] = {}

    def of(self, stage: Stage, box: Box) -> Iterator[Box]:
        """The pieces of a box, one or several."""
        sizes = {name: size for name, (_, size) in box.items()}
        key = stage.name, *sizes.values()
        if key not in self._steps:
            self._steps[key] = self._step(stage, sizes)
        step = self._steps[key]
        if not step:
            yield box
            return
        name = self.rows[stage.name]
        low, size = box[name]
        for first in range(0, size, step):
            yield {**box, name: (low + first, min(step, size - first))}

    def _step(self, stage: Stage, sizes: Mapping[str, int]) -> int:
        """Rows of a piece; 0 for a box that stays whole."""
        name = self.rows.get(stage.name)
        found = self.products[stage.name]
        if name is None or (found is not None and name not in found.m):
            return 0
        whole = self._cycles(stage, sizes)
        engine = self.vector if found is None else self.array
        assert engine is not None
        for count in range(min(MOST, sizes[name], int(whole // LEAST)), 1, -1):
            step = -(-sizes[name] // count)
            pieces = [min(step, sizes[name] - first) for first in range(0, sizes[name], step)]
            cycles = sum(self._cycles(stage, {**sizes, name: size}) + OVERHEAD for size in pieces)
            if cycles <= SLOWER * whole or self.parts[engine.name] * cycles / whole <= self.longest:
                return step
        return 0

    def _cycles(self, stage: Stage, sizes: Mapping[str, int]) -> float:
        """What an engine takes for a box of a stage."""
        found = self.products[stage.name]
        if found is None:
            lane = lane_dim(self.kernel, stage, self.vector)
            return float(vector_cycles(self.kernel, stage, self.vector, sizes, lane))
        assert self.array is not None
        cut = {d.name for d in stage.dims if sizes[d.name] < d.size}
        return float(product_cycles(self.array, found, sizes, cut))


def _rows(kernel: Kernel) -> dict[str, str]:
    """By stage the dim that moves with the rows of the last one's result."""
    *outer, _ = _singles(kernel.stages[-1]) or [""]
    row = next((name for name in outer if kernel.dims[name].size > 1), None)
    if row is None:
        return {}
    boxes = infer(kernel, {row: Range(dim("row"), 1)})
    found = {}
    for stage in kernel.stages:
        ranges = boxes.stages[stage.name]
        moving = [d.name for d in stage.kind(PARALLEL) if "row" in ranges[d.name].low.dims]
        if moving:
            found[stage.name] = moving[0]
    return found


def _singles(stage: Stage) -> Sequence[str]:
    """The dims of what a stage writes that are an axis each."""
    return [part.single for part in stage.write.index if isinstance(part, Affine) and part.single is not None]
