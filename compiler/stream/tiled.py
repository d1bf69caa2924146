"""Distinct kernels as a chip runs them: in the stages of its engines, each with its tiles."""

from collections import OrderedDict
from contextlib import suppress

from ...runtime.records import dataclass
from ..diagnostics import UnsupportedError
from ..target.backend import Call
from ..target.description import Target
from ..tile.access_maps import separate_reads
from ..tile.canonical import canonical
from ..tile.check import check
from ..tile.stage import Kernel
from ..tile.staged import StagedChoice, stage_tiles
from .chains import Costs
from .compose import gathers, independent, is_fetch, preparations


@dataclass(frozen=True)
class Tiled:
    """A distinct kernel as the chip runs it: composed, in its normal form, with its schedule."""

    kernel: Kernel
    choice: StagedChoice


TiledPart = tuple[Tiled, dict[str, str]]
"""With the call's own name of each buffer."""


class Kernels:
    """Distinct kernels by normal form; with tiles for kernels that are `interleaved` or follow one another."""

    def __init__(self, target: Target, interleaved: bool = False):
        self.target, self.interleaved = target, interleaved
        self.tiled: dict[str, Tiled] = {}

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
            self.tiled[key] = _tile(normal, key, self.target, self.interleaved)
        return self.tiled[key], names

    def costs(self, call: Call) -> Costs:
        """What a call is predicted to take; UnsupportedError where it can't be tiled."""
        estimates = [tiled.choice.estimate for tiled, _ in self.find(call)]
        work = {name: sum(each.parts.get(name, 0.0) for each in estimates) for name in self.target.engines}
        return Costs(sum(each.cycles for each in estimates), work)


_KEPT = 4096
"""Tiled kernels that are kept from one compilation to the next: what was estimated is often compiled then."""
_kept: OrderedDict[tuple[str, str, bool], Tiled | UnsupportedError] = OrderedDict()


def _tile(normal: Kernel, key: str, target: Target, interleaved: bool = False) -> Tiled:
    """A kernel in its normal form, of that key, as the target runs it; UnsupportedError where it can't."""
    place = (repr(target), key, interleaved)
    if place not in _kept:
        try:
            _kept[place] = _tile_anew(normal, target, interleaved)
        except UnsupportedError as error:
            _kept[place] = error
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    found = _kept[place]
    if isinstance(found, UnsupportedError):
        raise UnsupportedError(found.message)
    return found


def _tile_anew(normal: Kernel, target: Target, interleaved: bool) -> Tiled:
    first, *others = preparations(normal, target)
    best = _tiled(first, target, interleaved)
    for other in others:
        with suppress(UnsupportedError):
            best = min(best, _tiled(other, target, interleaved), key=lambda each: each.choice.estimate.cycles)
    return best


def _tiled(kernel: Kernel, target: Target, interleaved: bool) -> Tiled:
    if any(gathers(stage) and not is_fetch(kernel, stage) for stage in kernel.stages):
        raise UnsupportedError("what is looked up is no whole rows of an input")
    choice = stage_tiles(kernel, target, interleaved)
    problems = check(kernel, choice.schedule, target)
    if problems:
        raise UnsupportedError(problems[0].message)
    return Tiled(kernel, choice)


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
