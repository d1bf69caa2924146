"""Distinct kernels as a chip runs them: in the stages of its engines, each with its tiles."""

from collections import OrderedDict
from collections.abc import Mapping

from ...runtime.records import dataclass
from ..diagnostics import Problem, UnsupportedError
from ..target.backend import Call
from ..target.description import Target
from ..tile.access_maps import separate_reads
from ..tile.assumption import AS_IT_IS, Assumption
from ..tile.canonical import canonical
from ..tile.check import check
from ..tile.schedule import Schedule
from ..tile.stage import INPUT, Kernel
from ..tile.staged import StagedChoice, stage_tiles_for
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


Tiles = Mapping[Assumption, Tiled | str]
"""A kernel's tiles under each assumption, or why there are none."""


class Kernels:
    """Distinct kernels by normal form, with their tiles under one of some `assumptions`, the first unless told
    otherwise; those under all of them are found together, which takes little longer."""

    def __init__(
        self,
        target: Target,
        assumptions: tuple[Assumption, ...] = (AS_IT_IS,),
        under: Assumption | None = None,
    ):
        self.target, self.assumptions = target, assumptions
        self.under = assumptions[0] if under is None else under
        self.tiled: dict[str, Tiles] = {}

    def assuming(self, under: Assumption) -> "Kernels":
        """The same kernels under another one of the assumptions."""
        found = Kernels(self.target, self.assumptions, under)
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
            self.tiled[key] = _tile(normal, key, self.target, self.assumptions)
        return _sound(self.tiled[key][self.under]), names

    def costs(self, call: Call) -> Costs:
        """What a call is predicted to take; UnsupportedError where it can't be tiled."""
        estimates = [tiled.choice.estimate for tiled, _ in self.find(call)]
        work = {name: sum(each.parts.get(name, 0.0) for each in estimates) for name in self.target.engines}
        return Costs(sum(each.cycles for each in estimates), work)


def _sound(tiled: Tiled | str) -> Tiled:
    if isinstance(tiled, str):
        raise UnsupportedError(tiled)
    return tiled


_KEPT = 4096
"""Tiled kernels that are kept from one compilation to the next: what was estimated is often compiled then."""
_kept: OrderedDict[tuple[str, str, tuple[Assumption, ...]], Tiles] = OrderedDict()


def _tile(normal: Kernel, key: str, target: Target, assumptions: tuple[Assumption, ...]) -> Tiles:
    """A kernel in its normal form, of that key, as the target runs it."""
    place = (repr(target), key, assumptions)
    if place not in _kept:
        _kept[place] = _tile_anew(normal, target, assumptions)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return _kept[place]


def _tile_anew(normal: Kernel, target: Target, assumptions: tuple[Assumption, ...]) -> Tiles:
    """The best of the ways in which a kernel may be prepared; where none has tiles, why the first one has not."""
    first, *others = preparations(normal, target)
    best = dict(_tiled(first, 0, target, assumptions))
    for number, way in enumerate(others, 1):
        share = 1.0 if way.role(INPUT) == first.role(INPUT) else CHEAPER
        for assumption, tiled in _tiled(way, number, target, assumptions).items():
            if _predicted(tiled) < share * _predicted(best[assumption]):
                best[assumption] = tiled
    return best


def _predicted(tiled: Tiled | str) -> float:
    return float("inf") if isinstance(tiled, str) else tiled.choice.estimate.cycles


def _tiled(kernel: Kernel, way: int, target: Target, assumptions: tuple[Assumption, ...]) -> Tiles:
    if any(gathers(stage) and not is_fetch(kernel, stage) for stage in kernel.stages):
        return dict.fromkeys(assumptions, "what is looked up is no whole rows of an input")
    try:
        choices = stage_tiles_for(kernel, target, assumptions)
    except UnsupportedError as error:
        return dict.fromkeys(assumptions, error.message)
    problems: dict[Schedule, list[Problem]] = {}
    found: dict[Assumption, Tiled | str] = {}
    for assumption, choice in zip(assumptions, choices, strict=True):
        if choice is None:
            found[assumption] = f"no tiles of kernel {kernel.name} fit the memories of {target.name}"
            continue
        if choice.schedule not in problems:
            problems[choice.schedule] = check(kernel, choice.schedule, target)
        wrong = problems[choice.schedule]
        found[assumption] = wrong[0].message if wrong else Tiled(kernel, choice, way)
    return found


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
    return _sound(_tile(normal, key, target, (AS_IT_IS,))[AS_IT_IS]).choice.estimate.cycles
