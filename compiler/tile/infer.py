"""Boxes: what part of each dim and buffer is needed inside a tile, inferred backwards from the access maps.

One function serves the tiler (sizes are numpy arrays of candidates), the interpreter (loop variables have values) and
the emitters (loop variables are machine values): a box has a low end that is affine in loop variables and a size.
The idea is Halide's bounds inference, short because all maps are affine boxes.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ...runtime.records import dataclass
from ..diagnostics import VerifyError
from ..ir.dims import Expr as Symbolic
from ..ir.dims import extreme
from .stage import LOCAL, PARALLEL, SCAN, Access, Affine, Kernel, Stage


@dataclass(frozen=True, slots=True)
class Range:
    """Elements low .. low + size - 1. `low` is affine in loop variables; `size` an int (or an array of candidates)."""

    low: Affine
    size: Any


def affine_range(affine: Affine, ranges: Mapping[str, Range]) -> Range:
    """The range of an affine expression whose dims have the given ranges (interval arithmetic)."""
    single = affine.single
    if single is not None:
        return ranges[single]
    terms: list[tuple[str, int]] = []
    const = affine.const
    size: Any = 1
    for name, coefficient in affine.terms:
        inner = ranges[name]
        reach = (inner.size - 1) * abs(coefficient)
        terms += (inner.low * coefficient).terms
        const += inner.low.const * coefficient
        if coefficient < 0:
            const -= int(np.max(reach))  # of candidates the largest: only their sizes are asked for
        size = size + reach
    return Range(Affine.of(terms, const) if terms else Affine((), const), size)


@dataclass(frozen=True, slots=True)
class Span:
    """A looped dim's variables, and by how much their sum may grow."""

    variables: frozenset[str]
    reach: Any


def spans(kernel: Kernel, loops: Mapping[str, Range]) -> dict[str, Span]:
    """The span that each loop variable belongs to."""
    dims = kernel.dims
    return {
        variable: Span(frozenset(range_.low.dims), dims[name].extent - range_.size)
        for name, range_ in loops.items()
        for variable in range_.low.dims
    }


def hull(first: Range, second: Range, looped: Mapping[str, Span]) -> Range:
    """The smallest range that holds both and has a static size.

    Where they move differently with a loop, all that this loop may reach is taken, as if its dim were not looped; so
    boxes under more loops stay inside those under fewer.
    """
    if first.low == second.low and first.size is second.size:
        return first
    difference = second.low - first.low
    while difference.terms:
        span = looped[difference.dims[0]]
        first, second = unlooped(first, span), unlooped(second, span)
        difference = second.low - first.low
    start = min(0, difference.const)
    end = _maximum(first.size, difference.const + second.size)
    return Range(first.low + start, end - start)


def unlooped(range_: Range, span: Span) -> Range:
    """The range for all values of a dim's loop variables."""
    coefficient = max((range_.low.coefficient(name) for name in span.variables), key=abs)
    if not coefficient:
        return range_
    kept = Affine(tuple(term for term in range_.low.terms if term[0] not in span.variables), range_.low.const)
    if coefficient < 0:
        kept = kept + coefficient * int(np.max(span.reach))
    return Range(kept, range_.size + span.reach * abs(coefficient))


def _maximum(a: Any, b: Any) -> Any:
    if isinstance(a, Symbolic) or isinstance(b, Symbolic):
        return extreme("max", a, b)
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else np.maximum(a, b)


def hulls(
    first: tuple[Range, ...], second: tuple[Range, ...], looped: Mapping[str, Span]
) -> tuple[Range, ...]:
    """`hull` for each axis of a box."""
    return tuple(hull(a, b, looped) for a, b in zip(first, second, strict=True))


def access_box(access: Access, ranges: Mapping[str, Range], shape: tuple[int, ...]) -> tuple[Range, ...]:
    """The part of a buffer that an access touches; a gathered axis is touched whole."""
    return tuple(
        [
            affine_range(part, ranges) if isinstance(part, Affine) else Range(Affine(), extent)
            for part, extent in zip(access.index, shape, strict=True)
        ]
    )


@dataclass(frozen=True, slots=True)
class Boxes:
    """For every stage the range of each of its dims, for every local the box that its readers need."""

    stages: dict[str, dict[str, Range]]
    locals: dict[str, tuple[Range, ...]]
    looped: dict[str, Span]

    def buffer(self, kernel: Kernel, name: str) -> tuple[Range, ...]:
        """The hull of what all stages read and write of a buffer."""
        found = self.buffers(kernel, (name,))
        assert found, f"no stage touches buffer {name}"
        return found[name]

    def buffers(self, kernel: Kernel, names: Collection[str]) -> dict[str, tuple[Range, ...]]:
        """The hull of what all stages read and write of each of some buffers, those that none touches left out."""
        shapes = {buffer.name: buffer.shape for buffer in kernel.buffers if buffer.name in names}
        found: dict[str, tuple[Range, ...]] = {}
        for stage in kernel.stages:
            ranges = self.stages[stage.name]
            for access in (*stage.reads, stage.write):
                name = access.buffer
                if name in shapes:
                    box = access_box(access, ranges, shapes[name])  # type: ignore[arg-type]
                    old = found.get(name)
                    found[name] = box if old is None else hulls(old, box, self.looped)
        return found


def infer(kernel: Kernel, loops: Mapping[str, Range]) -> Boxes:
    """Boxes of all stages and locals when the dims in `loops` are confined to the given ranges.

    A stage that writes an output takes ranges from the loops of the same name; one that feeds others takes the hull
    of what they read, inverted through its write map (one dim an axis); reduce dims take their loop, else all.
    Scan dims take their loop too: every step is run, whoever reads it.
    """
    steps = scan_steps(kernel)
    return _infer(kernel, loops, steps, _carried(kernel, steps) if steps else {})


def _infer(
    kernel: Kernel,
    loops: Mapping[str, Range],
    stepped: Mapping[str, tuple["Step", ...]],
    carried: Mapping[str, Mapping[int, Range]],
) -> Boxes:
    stages: dict[str, dict[str, Range]] = {}
    needed: dict[str, tuple[Range, ...]] = {}
    roles = {buffer.name: buffer for buffer in kernel.buffers}
    looped = spans(kernel, loops)
    for stage in reversed(kernel.stages):
        ranges = {dim.name: loops.get(dim.name, Range(Affine(), dim.extent)) for dim in stage.dims}
        target = roles[stage.write.buffer]
        if target.role == LOCAL and target.name in needed:
            box = needed[target.name]
            for axis, range_ in carried.get(target.name, {}).items():
                box = (*box[:axis], hull(box[axis], range_, looped), *box[axis + 1 :])
            ranges.update(_inverted(stage, box))
            ranges.update({d.name: loops.get(d.name, Range(Affine(), d.extent)) for d in stage.kind(SCAN)})
        stages[stage.name] = ranges
        for access in stage.reads:
            buffer = roles[access.buffer]
            if buffer.role != LOCAL:
                continue
            box = access_box(access, ranges, buffer.shape)  # type: ignore[arg-type]
            box = _all_steps(box, stepped.get(buffer.name, ()), buffer.shape, loops, looped)
            old = needed.get(buffer.name)
            needed[buffer.name] = box if old is None else hulls(old, box, looped)
    return Boxes(stages, needed, looped)


@dataclass(frozen=True, slots=True)
class Step:
    """An axis of a local that a scan dim writes, `ahead` of the dim's value."""

    axis: int
    scan: str
    ahead: int

    def is_now(self, range_: Range, loops: Mapping[str, Range]) -> bool:
        """Whether a range along the axis is just what the scan's loop writes now."""
        loop = loops.get(self.scan)
        return (
            loop is not None
            and range_.low == loop.low + self.ahead
            and bool(np.all(range_.size == loop.size))  # sizes may be candidates
        )


def scan_steps(kernel: Kernel) -> dict[str, tuple[Step, ...]]:
    """For each local the axes that scan dims write."""
    found: dict[str, tuple[Step, ...]] = {}
    locals_ = {buffer.name for buffer in kernel.role(LOCAL)}
    for stage in kernel.stages:
        for dim in stage.kind(SCAN) if stage.write.buffer in locals_ else ():
            found[stage.write.buffer] = found.get(stage.write.buffer, ()) + tuple(
                Step(axis, dim.name, part.const)
                for axis, part in enumerate(stage.write.index)
                if isinstance(part, Affine) and dim.name in part.dims
            )
    return found


def _all_steps(
    box: tuple[Range, ...],
    steps: tuple[Step, ...],
    shape: tuple[Any, ...],
    loops: Mapping[str, Range],
    looped: Mapping[str, Span],
) -> tuple[Range, ...]:
    """What a reader needs of any step of a scan, when the scan is at one of its own.

    A read of the step that is just written needs this step's part; another read needs what it needs at any time.
    """
    for step in steps:
        if step.scan in loops and not step.is_now(box[step.axis], loops):
            for variable in loops[step.scan].low.dims:
                box = tuple(unlooped(range_, looped[variable]) for range_ in box)
    for step in steps:
        box = (*box[: step.axis], Range(Affine(), shape[step.axis]), *box[step.axis + 1 :])
    return box


def _carried(kernel: Kernel, steps: Mapping[str, tuple[Step, ...]]) -> dict[str, dict[int, Range]]:
    """For each buffer of a scan the axes of which later steps look at more than other readers ask for, and that part.

    A later step that looks at just the element it stands at asks for no more than is written.
    """
    found: dict[str, dict[int, Range]] = {}
    asked = _infer(kernel, {}, steps, {})
    roles = {buffer.name: buffer.role for buffer in kernel.buffers}
    for position, stage in enumerate(kernel.stages):
        whole = {dim.name: Range(Affine(), dim.extent) for dim in stage.dims}
        free = {dim.name for dim in stage.dims if dim.kind != PARALLEL}
        for access in stage.reads:
            writers = [w for w in kernel.stages[position:] if w.write.buffer == access.buffer]
            if roles[access.buffer] != LOCAL or not writers or access.buffer not in steps:
                continue
            shape = kernel.buffer(access.buffer).shape
            stepping = {step.axis for step in steps[access.buffer]}
            for axis, (read, written) in enumerate(zip(access.index, writers[-1].write.index, strict=True)):
                if axis in stepping or read == written:
                    continue
                known = isinstance(read, Affine) and set(read.dims) <= free
                need = affine_range(read, whole) if known else Range(Affine(), shape[axis])  # type: ignore[arg-type]
                made = affine_range(written, asked.stages[writers[-1].name])  # type: ignore[arg-type]
                total = hull(made, need, {})
                if total != made:
                    found.setdefault(access.buffer, {})[axis] = total
    return found


def _inverted(stage: Stage, box: tuple[Range, ...]) -> dict[str, Range]:
    ranges = {}
    for part, range_ in zip(stage.write.index, box, strict=True):
        if isinstance(part, Affine) and part.terms:
            if (part - part.const).single is None:
                raise VerifyError(
                    f"stage {stage.name} writes a local at {part}; a local takes one plain dim an axis"
                )
            ranges[part.dims[0]] = Range(range_.low - part.const, range_.size)
    return ranges
