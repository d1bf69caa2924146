"""Segments of calls as entry points: which calls are one kernel, what stays, code and reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from ...runtime.records import dataclass
from ...runtime.sim.errors import EncodingError
from ...runtime.sim.fields import Halt, Instruction
from ...runtime.sim.isa import Isa
from ...runtime.sim.rolling import roll
from ..diagnostics import UnsupportedError
from ..target.backend import Call, KernelReport, Placed
from ..target.description import Target
from ..tile.assumption import ROOMY, USUAL, Assumption, ladders
from ..tile.products import product
from .borders import bordered
from .chains import divide
from .compose import product_types
from .emit import Emission, Tile
from .home import Home
from .instructions import Instructions
from .orders import MOST, Ordered, Orders
from .pieces import Pieces
from .programs import Pending
from .residents import Part, Step, Use, begins, residents
from .tiled import Kernels, Tiled
from .writer import StreamWriter

FAR = 1.05
"""How much slower than the quickest of the same bandwidth tiles may be behind which those for still less room are not
looked at."""

MARGIN = 1.01
"""How much quicker tiles for another chip have to be than those for the chip as it is."""

ROOM = MOST
"""Instructions that are looked at for one entry point, tiled in some ways. Of one with more than a quarter of that,
tiles for other chips are not looked at, nor of a single call, which no other one waits for."""


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


def _spans(kernels: Sequence[int]) -> list[list[int]]:
    """First instruction, count and kernel of each run of instructions of one kernel."""
    found: list[list[int]] = []
    for place, kernel in enumerate(kernels):
        if not found or found[-1][2] != kernel:
            found.append([place, 0, kernel])
        found[-1][1] += 1
    return found


@dataclass(frozen=True)
class _Entry:
    """An entry point of a segment: its calls in groups, each with its tiled parts, and their instructions; or by
    positions of calls the `reasons` why there is none. `home` is what lies there with it."""

    home: Home
    groups: Sequence[_Group]
    parts: Sequence[Sequence[Tiled]] = ()
    ordered: Ordered | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)

    @property
    def cycles(self) -> float:
        """What the clock says; infinite where it was not asked."""
        return float("inf") if self.ordered is None else self.ordered.cycles


class Program:
    """Code, entry points and their cycles, kernels' names and reports, segment by segment; what was refused, by
    position. Cycles are None where the clock was not asked."""

    def __init__(self, kernels: Kernels, target: Target, instructions: Instructions, home: Home):
        self.target, self.instructions, self.home = target, instructions, home
        self.near = target.memories[target.engine("elementwise").writes[0]]
        self.kernels = kernels
        self.known: dict[int, tuple[Tiled, Emission, StreamWriter]] = {}
        self.code = b""
        self.entries: list[dict[str, Any]] = []
        self.cycles: list[float | None] = []
        self.names: list[dict[str, Any]] = []
        self.reports: list[KernelReport] = []
        self.reasons: dict[int, str] = {}
        self.done = 0

    def add(self, calls: Sequence[Call], externals: Mapping[str, tuple[int, int]]) -> None:
        """An entry point that runs the calls of a segment: with the quickest tiles where the clock is asked."""
        self.home.externals = {slot: offset for slot, (offset, _) in externals.items()}
        self.orders = Orders(self.instructions, self.target)
        entry = self._quickest(calls)
        self.done += len(calls)
        self.reasons |= entry.reasons
        if entry.ordered is None:
            return
        outside = [[self.home.external_base + offset, size] for offset, size in externals.values()]
        spans = _spans([len(self.names) + kernel for kernel in entry.ordered.kernels])
        if spans:
            spans[-1][1] += 1  # the halt belongs to the last kernel
        start = len(self.code)
        self.code += self.instructions.isa.encode(*roll([*entry.ordered.records, Halt()]))
        self.home = entry.home
        self.cycles.append(entry.cycles if entry.cycles < float("inf") else None)
        self.entries.append({"start": start, "end": len(self.code), "externals": outside, "spans": spans})
        for group, parts in zip(entry.groups, entry.parts):
            self.names.append({"name": group.call.name, "sources": list(group.call.location.names)})
            self.reports += _reports(group, parts)

    def _quickest(self, calls: Sequence[Call]) -> _Entry:
        """The entry point with the tiles that are predicted to be the best; where the clock is asked, with those for
        interleaved kernels or with spare places if they are quicker."""
        trials = _Trials(self, calls)
        first = trials.entry(self.kernels)
        if first.cycles == float("inf") or not self.instructions.interleaved:
            return first
        is_short = len(calls) > 1 and trials.looked_at <= ROOM // 4
        own = trials.quickest_under(*USUAL, *ROOMY)
        return self._quickest_of_any(trials, own) if is_short else own

    def _quickest_of_any(self, trials: "_Trials", own: _Entry) -> _Entry:
        """That with tiles for the chip as it is, or another one where they are quicker by more than `MARGIN`."""
        for ladder in ladders(self.target.home.bandwidth):
            least = float("inf")
            for assumption in ladder:
                if trials.looked_at > ROOM:
                    break
                try:
                    entry = trials.entry(self.kernels.assuming(assumption))
                except UnsupportedError:  # tiles for less room need not fit
                    break
                if entry.cycles > FAR * least:
                    break
                least = min(least, entry.cycles)
        return trials.quickest if MARGIN * trials.quickest.cycles < own.cycles else own

    def entry(self, groups: Sequence[_Group], kernels: Kernels) -> _Entry:
        """The entry point of groups of calls."""
        entry = self._written(groups, kernels, True)
        if entry.reasons:  # strides of what stays may reach further than an instruction's fields
            entry = self._written(groups, kernels, False)
        return entry

    def _written(self, groups: Sequence[_Group], kernels: Kernels, keep: bool) -> _Entry:
        """An entry point; with `keep` arrays may stay in the scratchpad. Calls that can't be emitted together are so
        apart."""
        home = self.home.copy()
        steps = [self._step(group, kernels, home) for group in groups]
        tiles = residents(steps, self.near) if keep else {}
        memories = [memory for memory in self.target.memories.values() if not memory.home]
        places = begins(steps, memories, self.near.name, tiles)
        written: list[list[Instruction | Pending]] = []
        reasons = {}
        for number, (group, step) in enumerate(zip(groups, steps)):
            try:
                written.append(_emit(step, number, places[number], tiles))
            except UnsupportedError as error:
                if len(group.members) > 1:
                    apart = [*groups[:number], *group.apart(), *groups[number + 1 :]]
                    return self._written(apart, kernels, keep)
                reasons[group.first] = error.message
        if reasons:
            return _Entry(home, groups, reasons=reasons)
        ordered = self.orders.best(written)
        if ordered.cycles == float("inf"):  # the clock was asked of nothing that can't be encoded
            for kernel, why in _not_encoded(ordered, self.instructions.isa).items():
                reasons |= dict.fromkeys(groups[kernel].numbers, why)
        if reasons:
            return _Entry(home, groups, reasons=reasons)
        parts = [[tiled for tiled, _ in kernels.find(group.call)] for group in groups]
        return _Entry(home, groups, parts, ordered)

    def _step(self, group: _Group, kernels: Kernels, home: Home) -> Step:
        """The kernels of a group, not written yet."""
        parts = []
        for tiled, names in kernels.find(group.call):
            operands = {
                name: group.call.operands[own] for name, own in names.items() if own in group.call.operands
            }
            if id(tiled) not in self.known:
                self.known[id(tiled)] = tiled, *self._begun(tiled, kernels.under.interleaved, operands, home)
            _, emission, writer = self.known[id(tiled)]
            parts.append(Part(emission.again(writer.again(operands, home)), operands))
        return Step(parts, group.members)

    def _begun(
        self, tiled: Tiled, interleaved: bool, operands: Mapping[str, Placed], home: Home
    ) -> tuple[Emission, StreamWriter]:
        """A kernel that is about to be written, in pieces where kernels are interleaved."""
        kernel, types = tiled.kernel, product_types(self.target)
        products = {stage.name: product(kernel, stage, types) for stage in kernel.stages}
        writer = self.instructions.writer(kernel, self.target, products, operands, home)
        parts = tiled.choice.estimate.parts
        pieces = Pieces(kernel, self.target, products, parts) if interleaved else None
        return Emission(kernel, tiled.choice.schedule, self.target, writer, pieces), writer


class _Trials:
    """Entry points for the calls of a segment with tiles for several chips, each way to tile them once; `borders` says
    whether results are `bordered`, once that has been looked at."""

    def __init__(self, program: Program, calls: Sequence[Call]):
        self.program, self.calls = program, calls
        self.joints: dict[tuple[int, int], Call | None] = {}
        self.tried: dict[object, _Entry] = {}
        self.borders: bool | None = None

    def entry(self, kernels: Kernels) -> _Entry:
        """That with these tiles. UnsupportedError where some fit nowhere."""
        groups: list[_Group] = []
        rest = self.calls
        for call, count in divide(self.calls, kernels.costs, self.joints):
            groups.append(_Group(call, rest[:count], self.program.done + len(self.calls) - len(rest)))
            rest = rest[count:]
        if self.borders is None:
            self.borders = self._gain_by_borders(groups, kernels)
        return self._entry(self._bordered(groups) if self.borders else groups, kernels)

    def _gain_by_borders(self, groups: Sequence[_Group], kernels: Kernels) -> bool:
        """Whether results are better written as who reads past their edges sees them: where the clock is asked, it
        decides."""
        try:
            within = self._entry(self._bordered(groups), kernels)
        except UnsupportedError:
            return False
        if within.ordered is None or within.cycles == float("inf"):
            return within.ordered is not None
        return within.cycles <= self._entry(groups, kernels).cycles

    def _bordered(self, groups: Sequence[_Group]) -> list[_Group]:
        calls = bordered([group.call for group in groups], self.program.near)
        return [replace(group, call=call) for group, call in zip(groups, calls)]

    def _entry(self, groups: Sequence[_Group], kernels: Kernels) -> _Entry:
        tiled = ([(each.way, each.choice.schedule) for each, _ in kernels.find(g.call)] for g in groups)
        tiles = kernels.under.interleaved, *((len(g.members), *each) for g, each in zip(groups, tiled))
        if tiles not in self.tried:
            self.tried[tiles] = self.program.entry(groups, kernels)
        return self.tried[tiles]

    def quickest_under(self, *assumptions: Assumption) -> _Entry:
        """Of those with tiles for these the quickest, of equal ones the first; tiles for the last ones need not fit."""
        found = []
        for assumption in assumptions:
            try:
                found.append(self.entry(self.program.kernels.assuming(assumption)))
            except UnsupportedError:
                if not found:
                    raise
        return min(found, key=lambda each: each.cycles)

    @property
    def quickest(self) -> _Entry:
        return min(self.tried.values(), key=lambda each: each.cycles)

    @property
    def looked_at(self) -> int:
        """Instructions of all entry points."""
        return sum(len(each.ordered.records) for each in self.tried.values() if each.ordered is not None)


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


def _not_encoded(ordered: Ordered, isa: Isa) -> dict[int, str]:
    """By kernel, why its instructions can't be encoded: a field that is too small for a number."""
    found: dict[int, str] = {}
    try:
        isa.collect(ordered.records)
    except EncodingError:
        for begin, count, kernel in _spans(ordered.kernels):
            try:
                isa.collect(ordered.records[begin : begin + count])
            except EncodingError as error:
                found[kernel] = str(error.problems[0]) if error.problems else error.message
    return found


def _reports(group: _Group, parts: Sequence[Tiled]) -> Iterator[KernelReport]:
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
