"""Placed kernels -> instruction streams: tile each distinct kernel once, emit each call, set tokens."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ...runtime.sim.errors import EncodingError
from ...runtime.sim.fields import Halt, Instruction
from ...runtime.sim.isa import Isa
from ...runtime.sim.rolling import roll
from ..diagnostics import UnsupportedError
from ..target.backend import Call, Compiled, External, Joint, KernelReport, KernelsRefused
from ..target.description import Target
from ..tile.access_maps import separate_reads
from ..tile.canonical import canonical
from ..tile.check import check
from ..tile.products import product
from ..tile.stage import Kernel
from ..tile.staged import StagedChoice, stage_tiles
from .ahead import loads_ahead
from .chains import Costs, divide
from .compose import gathers, independent, is_fetch, preparations, product_types
from .emit import Emission, Tile
from .home import Home, aligned
from .instructions import Instructions
from .programs import Pending
from .residents import Part, Step, Use, begins, residents
from .sync import Touched, synchronise


@dataclass(frozen=True)
class _Tiled:
    """A distinct kernel as the chip runs it: composed, in its normal form, with its schedule."""

    kernel: Kernel
    choice: StagedChoice


_Part = tuple[_Tiled, dict[str, str]]
"""With the call's own name of each buffer."""


class _Kernels:
    """Distinct kernels by normal form."""

    def __init__(self, target: Target):
        self.target = target
        self.tiled: dict[str, _Tiled] = {}

    def find(self, call: Call) -> list[_Part]:
        """The tiled kernel of a call; where it has no tiles as a whole, those of its independent parts."""
        try:
            return [self._find(call.kernel)]
        except UnsupportedError:
            parts = independent(call.kernel)
            if len(parts) == 1:
                raise
            return [self._find(part) for part in parts]

    def _find(self, kernel: Kernel) -> _Part:
        normal, _, key = canonical(kernel)
        names = {b.name: own.name for b, own in zip(normal.buffers, kernel.buffers, strict=True)}
        if key not in self.tiled:
            self.tiled[key] = _tile(normal, key, self.target)
        return self.tiled[key], names

    def costs(self, call: Call) -> Costs:
        """What a call is predicted to take; UnsupportedError where it can't be tiled."""
        estimates = [tiled.choice.estimate for tiled, _ in self.find(call)]
        work = {name: sum(each.parts.get(name, 0.0) for each in estimates) for name in self.target.engines}
        return Costs(sum(each.cycles for each in estimates), work)


@dataclass(frozen=True)
class _Group:
    """Calls that are one kernel on the chip: as one call, each, and the position of the first over all segments."""

    call: Call
    members: Sequence[Call]
    first: int

    @property
    def numbers(self) -> range:
        """The members' positions."""
        return range(self.first, self.first + len(self.members))

    def apart(self) -> list["_Group"]:
        """Each member on its own."""
        return [_Group(call, (call,), self.first + n) for n, call in enumerate(self.members)]


_KEPT = 4096
"""Tiled kernels that are kept from one compilation to the next: what was estimated is often compiled then."""
_kept: OrderedDict[tuple[str, str], _Tiled | UnsupportedError] = OrderedDict()


def _tile(normal: Kernel, key: str, target: Target) -> _Tiled:
    """A kernel in its normal form, of that key, as the target runs it; UnsupportedError where it can't."""
    place = (repr(target), key)
    if place not in _kept:
        try:
            _kept[place] = _tile_anew(normal, target)
        except UnsupportedError as error:
            _kept[place] = error
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    found = _kept[place]
    if isinstance(found, UnsupportedError):
        raise UnsupportedError(found.message)
    return found


def _tile_anew(normal: Kernel, target: Target) -> _Tiled:
    first, *others = preparations(normal, target)
    best = _tiled(first, target)
    for other in others:
        with suppress(UnsupportedError):
            best = min(best, _tiled(other, target), key=lambda each: each.choice.estimate.cycles)
    return best


def _tiled(kernel: Kernel, target: Target) -> _Tiled:
    if any(gathers(stage) and not is_fetch(kernel, stage) for stage in kernel.stages):
        raise UnsupportedError("what is looked up is no whole rows of an input")
    choice = stage_tiles(kernel, target)
    problems = check(kernel, choice.schedule, target)
    if problems:
        raise UnsupportedError(problems[0].message)
    return _Tiled(kernel, choice)


def estimate(kernel: Kernel, target: Target) -> float:
    """Predicted cycles of a kernel; UnsupportedError for one that the chip can't run."""
    whole = separate_reads(kernel)[0]
    try:
        return _estimated(whole, target)
    except UnsupportedError:
        parts = independent(whole)
        if len(parts) == 1:
            raise
        return sum(_estimated(part, target) for part in parts)


def _estimated(kernel: Kernel, target: Target) -> float:
    normal, _, key = canonical(kernel)
    return _tile(normal, key, target).choice.estimate.cycles


def joints(calls: Sequence[Call], target: Target) -> list[Joint]:
    """The calls of a segment that become one kernel; none where a call can't be tiled."""
    kernels, found, first = _Kernels(target), [], 0
    try:
        for call, count in divide(calls, kernels.costs):
            if count > 1:
                found.append(Joint(first, count, kernels.costs(call).cycles))
            first += count
    except UnsupportedError:
        return []
    return found


def compile_segments(
    segments: Sequence[Sequence[Call]], arena: int, target: Target, instructions: Instructions
) -> Compiled:
    """The program of a package's part on the chip; see `Backend.compile`."""
    kernels = _Kernels(target)
    reasons = {}
    for number, call in enumerate(call for calls in segments for call in calls):
        try:
            kernels.find(call)
        except UnsupportedError as error:
            reasons[number] = error.message
    if reasons:
        raise KernelsRefused(reasons)
    places = [_externals(calls) for calls in segments]
    page = target.home.page * target.home.channels
    home = Home(arena, max((size for _, size in places), default=0), page)
    program = _Program(kernels, target, instructions, home)
    for calls, (externals, _) in zip(segments, places):
        program.add(calls, externals)
    if program.reasons:
        raise KernelsRefused(program.reasons)
    meta = {
        "chip": target.record(),
        "dram": {"arena": 0, "bytes": arena, "constants": home.constant_base},
        "entries": program.entries,
        "kernels": program.names,
    }
    return Compiled(program.code, home.blob(), meta, (), tuple(program.reports))


def _spans(kernels: Sequence[int]) -> list[list[int]]:
    """First instruction, count and kernel of each run of instructions of one kernel."""
    found: list[list[int]] = []
    for place, kernel in enumerate(kernels):
        if not found or found[-1][2] != kernel:
            found.append([place, 0, kernel])
        found[-1][1] += 1
    return found


class _Program:
    """Code, entry points, kernels' names and reports, segment by segment; what was refused, by position."""

    def __init__(self, kernels: _Kernels, target: Target, instructions: Instructions, home: Home):
        self.kernels, self.target, self.instructions, self.home = kernels, target, instructions, home
        self.code = b""
        self.entries: list[dict[str, Any]] = []
        self.names: list[dict[str, Any]] = []
        self.reports: list[KernelReport] = []
        self.reasons: dict[int, str] = {}
        self.done = 0

    def add(self, calls: Sequence[Call], externals: Mapping[str, tuple[int, int]]) -> None:
        """An entry point that runs the calls of a segment."""
        self.home.externals = {slot: offset for slot, (offset, _) in externals.items()}
        groups: list[_Group] = []
        rest = calls
        for call, count in divide(calls, self.kernels.costs):
            groups.append(_Group(call, rest[:count], self.done + len(calls) - len(rest)))
            rest = rest[count:]
        self.done += len(calls)
        outside = [[self.home.external_base + offset, size] for offset, size in externals.values()]
        for keep in (True, False):  # strides of what stays may reach further than an instruction's fields
            reasons = self._entry(groups, keep, outside)
            if not reasons:
                return
        self.reasons |= reasons

    def _entry(self, groups: Sequence[_Group], keep: bool, externals: list[list[int]]) -> dict[int, str]:
        """An entry point; where there is none, why, by the positions of calls. With `keep` arrays may stay in the
        scratchpad. Calls that can't be emitted together are so apart."""
        isa = self.instructions.isa
        touched = Touched(self.instructions.context(self.target.record()))
        known, first = dict[object, int](), len(self.names)
        written_of: list[list[Instruction]] = []
        steps = [self._step(group) for group in groups]
        near = self.target.memories[self.target.engine("elementwise").writes[0]]
        tiles = residents(steps, near) if keep else {}
        memories = [memory for memory in self.target.memories.values() if not memory.home]
        places = begins(steps, memories, near.name, tiles)
        reasons = {}
        for number, (group, step) in enumerate(zip(groups, steps)):
            try:
                written = _emit(step, number, places[number], tiles)
            except UnsupportedError as error:
                if len(group.members) > 1:
                    return self._entry(
                        [*groups[:number], *group.apart(), *groups[number + 1 :]], keep, externals
                    )
                reasons[group.first] = error.message
                continue
            written_of.append(self.instructions.numbered(written, known))
        if reasons:
            return reasons
        loads = [engine.name for engine in self.target.engines.values() if engine.does == "load"]
        depth = self.target.control.queue_depth
        ordered = loads_ahead(written_of, loads, isa.queues, depth, touched)
        spans = _spans([first + kernel for kernel, _ in ordered])
        records = [record for _, record in ordered]
        synchronise(records, isa.queues, self.target.control.semaphores, touched)
        records.append(Halt())
        if spans:
            spans[-1][1] += 1  # the halt belongs to the last kernel
        start = len(self.code)
        try:
            self.code += isa.encode(*roll(records))
        except EncodingError:
            for kernel, why in _not_encoded(records, spans, isa).items():
                reasons |= dict.fromkeys(groups[kernel - first].numbers, why)
            return reasons
        self.entries.append({"start": start, "end": len(self.code), "externals": externals, "spans": spans})
        for group in groups:
            self.names.append({"name": group.call.name, "sources": list(group.call.location.names)})
            self.reports += _reports(group, [tiled for tiled, _ in self.kernels.find(group.call)])
        return {}

    def _step(self, group: _Group) -> Step:
        """The kernels of a group, not written yet."""
        parts = []
        types = product_types(self.target)
        for tiled, names in self.kernels.find(group.call):
            kernel = tiled.kernel
            products = {stage.name: product(kernel, stage, types) for stage in kernel.stages}
            operands = {
                name: group.call.operands[own] for name, own in names.items() if own in group.call.operands
            }
            writer = self.instructions.writer(kernel, self.target, products, operands, self.home)
            parts.append(Part(Emission(kernel, tiled.choice.schedule, self.target, writer), operands))
        return Step(parts, group.members)


def _emit(
    step: Step, number: int, begins: Mapping[str, int], tiles: Mapping[Use, Tile]
) -> list[Instruction | Pending]:
    """The instructions of a step, whose number is given; `begins` says where its tiles lie, `tiles` has those of
    buffers that stay."""
    written: list[Instruction | Pending] = []
    for place, part in enumerate(step.parts):
        kept = {use.buffer: tile for use, tile in tiles.items() if (use.step, use.part) == (number, place)}
        part.emission.run(begins, kept)
        written += part.emission.writer.instructions()
    return written


def _not_encoded(records: Sequence[Instruction], spans: Sequence[Sequence[int]], isa: Isa) -> dict[int, str]:
    """By kernel, why its instructions can't be encoded: a field that is too small for a number."""
    found = {}
    for begin, count, kernel in spans:
        try:
            isa.encode(records[begin : begin + count])
        except EncodingError as error:
            found[kernel] = str(error.problems[0]) if error.problems else error.message
    return found


def _externals(calls: Sequence[Call]) -> tuple[dict[str, tuple[int, int]], int]:
    """Offset and bytes of a segment's external arrays, in the order of first use, and the bytes of all."""
    found: dict[str, tuple[int, int]] = {}
    total = 0
    for call in calls:
        for buffer in call.kernel.buffers:
            placed = call.operands.get(buffer.name)
            if not isinstance(placed, External) or placed.slot in found:
                continue
            size = buffer.dtype.bytes
            for extent in buffer.static_shape:
                size *= extent
            found[placed.slot] = (total, size)
            total += aligned(size)
    return found, total


def _reports(group: _Group, parts: Sequence[_Tiled]) -> Iterator[KernelReport]:
    """A report for each call, with the kernel and the schedule of the longest part; the first of a group has what all
    take."""
    longest = max(parts, key=lambda part: part.choice.estimate.cycles)
    estimates = [part.choice.estimate for part in parts]
    breakdown: dict[str, float] = {}
    for estimate in estimates:
        for name, cycles in {**estimate.parts, "before and after": estimate.prologue}.items():
            breakdown[name] = breakdown.get(name, 0.0) + cycles
    total = sum(estimate.cycles for estimate in estimates)
    for call in group.members:
        yield KernelReport(
            call.name, call.location, longest.choice.schedule, total, breakdown, longest.kernel
        )
        total, breakdown = 0.0, {f"with {group.members[0].name}": 0.0}
