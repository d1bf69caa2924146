"""Distinct kernels as a chip runs them: in the stages of its engines, each with its tiles."""

from collections import OrderedDict
from itertools import chain

from ...runtime.records import dataclass
from ..diagnostics import Problem, UnsupportedError
from ..target.backend import Call
from ..target.description import Target
from ..tile.access_maps import separate_reads
from ..tile.assumption import AS_IT_IS, ROOMY, USUAL, Assumption, ladders
from ..tile.canonical import canonical
from ..tile.check import check
from ..tile.schedule import Schedule
from ..tile.stage import INPUT, Kernel
from ..tile.staged import StagedChoice, Staging
from .chains import Costs
from .compose import gathers, independent, is_fetch, preparations


@dataclass(frozen=True)
class Tiled:
    """A distinct kernel as the chip runs it: composed, in its normal form, with its schedule; `way` numbers which of
    its `preparations` this is."""

    kernel: Kernel
    choice: StagedChoice
    way: int = 0


CHEAPER = 0.99
"""What share a way that sees operands in other shapes may be predicted to take at most: it has more instructions."""

TiledPart = tuple[Tiled, dict[str, str]]
"""With the call's own name of each buffer."""


class Kernels:
    """Distinct kernels by normal form, with their tiles `under` an assumption."""

    def __init__(self, target: Target, under: Assumption = AS_IT_IS):
        self.target, self.under = target, under
        self.tiled: dict[str, _Tilings] = {}

    def assuming(self, under: Assumption) -> "Kernels":
        """The same kernels under another assumption."""
        found = Kernels(self.target, under)
        found.tiled = self.tiled
        return found

    def find(self, call: Call) -> list[TiledPart]:
        """The tiled kernel of a call; where it has no tiles as a whole, those of its independent parts."""
        try:
            return [self._find(call.kernel)]
        except UnsupportedError:
            parts = independent(call.kernel)
            if len(parts) == 1:
                raise
            return [self._find(part) for part in parts]

    def _find(self, kernel: Kernel) -> TiledPart:
        normal, _, key = canonical(kernel)
        names = {b.name: own.name for b, own in zip(normal.buffers, kernel.buffers, strict=True)}
        if key not in self.tiled:
            self.tiled[key] = _tilings(normal, key, self.target)
        return self.tiled[key].under(self.under), names

    def costs(self, call: Call) -> Costs:
        """What a call is predicted to take; UnsupportedError where it can't be tiled."""
        estimates = [tiled.choice.estimate for tiled, _ in self.find(call)]
        work = {name: sum(each.parts.get(name, 0.0) for each in estimates) for name in self.target.engines}
        return Costs(sum(each.cycles for each in estimates), work)


class _Tiling:
    """One way of a kernel as the target runs it, with tiles that are looked for, worked out and checked when they are
    asked for."""

    def __init__(self, kernel: Kernel, way: int, target: Target):
        self.kernel, self.way, self.target = kernel, way, target
        self.stagings: dict[tuple[Assumption, ...], Staging] = {}
        self.problems: dict[Schedule, list[Problem]] = {}

    def under(self, assumption: Assumption) -> Tiled | str:
        """The tiles under an assumption, or why there are none."""
        if any(gathers(stage) and not is_fetch(self.kernel, stage) for stage in self.kernel.stages):
            return "what is looked up is no whole rows of an input"
        others = chain.from_iterable(ladders(self.target.home.bandwidth))
        alike = tuple(each for each in others if each.spare == assumption.spare)
        together = next(each for each in (USUAL, ROOMY, alike) if assumption in each)
        try:
            if together not in self.stagings:
                self.stagings[together] = Staging(self.kernel, self.target, together)
            choice = self.stagings[together].choice(assumption)
        except UnsupportedError as error:
            return error.message
        if choice.schedule not in self.problems:
            self.problems[choice.schedule] = check(self.kernel, choice.schedule, self.target)
        wrong = self.problems[choice.schedule]
        return wrong[0].message if wrong else Tiled(self.kernel, choice, self.way)


class _Tilings:
    """A kernel in its normal form in all ways in which the target may run it."""

    def __init__(self, normal: Kernel, target: Target):
        self.ways = [_Tiling(kernel, way, target) for way, kernel in enumerate(preparations(normal, target))]
        self.found: dict[Assumption, Tiled | str] = {}

    def under(self, assumption: Assumption) -> Tiled:
        """The best way under an assumption; UnsupportedError where none has tiles, with why the first one has not."""
        if assumption not in self.found:
            self.found[assumption] = self._best(assumption)
        found = self.found[assumption]
        if isinstance(found, str):
            raise UnsupportedError(found)
        return found

    def _best(self, assumption: Assumption) -> Tiled | str:
        first, *others = self.ways
        best = first.under(assumption)
        for way in others:
            share = 1.0 if way.kernel.role(INPUT) == first.kernel.role(INPUT) else CHEAPER
            tiled = way.under(assumption)
            if _predicted(tiled) < share * _predicted(best):
                best = tiled
        return best


def _predicted(tiled: Tiled | str) -> float:
    return float("inf") if isinstance(tiled, str) else tiled.choice.estimate.cycles


_KEPT = 4096
"""Tiled kernels that are kept from one compilation to the next: what was estimated is often compiled then."""
_kept: OrderedDict[tuple[str, str], _Tilings] = OrderedDict()


def _tilings(normal: Kernel, key: str, target: Target) -> _Tilings:
    """A kernel in its normal form, of that key, as the target runs it."""
    place = repr(target), key
    if place not in _kept:
        _kept[place] = _Tilings(normal, target)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return _kept[place]


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
    return _tilings(normal, key, target).under(AS_IT_IS).choice.estimate.cycles
