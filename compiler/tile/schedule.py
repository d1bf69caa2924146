"""Schedules: how a kernel is tiled. A spine of shared loops, buffers held at depths, stages placed at depths.

What each stage computes inside a tile is never written down: `infer.py` derives it backwards from the access maps.
Text form: `text.py`. Legality: `check.py`.
"""

from ...runtime.records import dataclass

SERIAL, PARALLEL_LOOP = "serial", "parallel"


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop over one dim in tiles of `step` elements, cut in balanced parts that are multiples of `unit`.

    `parallel` loops may run their tiles on different cores in any order. A dim may be looped again, with a smaller
    step, inside its own tile.
    """

    dim: str
    step: int
    kind: str = SERIAL
    unit: int = 1


@dataclass(frozen=True, slots=True)
class Hold:
    """The tile of `buffer` that is needed under the first `at` spine loops lives in `memory`.

    `slots` 2 is double buffering (on a managed cache: the next tile is prefetched while this one is used). `layout`
    is the axis order of a packed copy, None for no relayout. `roll` names the dim of the spine loop along which the
    tile slides: a ring, which keeps what the next tile needs again. `panel` cuts a packed tile along its last axis in
    panels of so many elements that lie one behind the other, None for a single one.
    """

    buffer: str
    memory: str
    at: int
    slots: int = 1
    layout: tuple[int, ...] | None = None
    roll: str | None = None
    panel: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The stage runs on `engine` under the first `at` spine loops, its own loops (ribs) below.

    `bind` maps the engine's dims to the stage's: (("m", ("oh", "ow")), ("n", ("co",)), ("k", ("kh", "kw", "ci"))).
    `lag` delays it by that many iterations of the innermost spine loop (software pipelining between engines).
    """

    stage: str
    at: int
    engine: str
    loops: tuple[Loop, ...] = ()
    bind: tuple[tuple[str, tuple[str, ...]], ...] = ()
    lag: int = 0

    def bound(self, role: str) -> tuple[str, ...]:
        """The stage's dims bound to one dim of the engine."""
        return dict(self.bind).get(role, ())


@dataclass(frozen=True, slots=True)
class Schedule:
    """The spine, outermost loop first; holds and places refer to depths in it (0: outside all loops)."""

    loops: tuple[Loop, ...]
    holds: tuple[Hold, ...]
    places: tuple[Place, ...]

    def place(self, stage: str) -> Place:
        return next(place for place in self.places if place.stage == stage)

    def holds_of(self, buffer: str) -> tuple[Hold, ...]:
        """The holds of one buffer, outermost first."""
        return tuple(sorted((hold for hold in self.holds if hold.buffer == buffer), key=lambda hold: hold.at))


@dataclass(frozen=True, slots=True)
class Segment:
    """`count` tiles of `size` elements in a row, the first one at element `start` of what is looped over."""

    start: int
    size: int
    count: int


def segments(extent: int, step: int, unit: int = 1) -> tuple[Segment, ...]:
    """Cut `extent` into the fewest tiles of at most `step` elements, as equal as multiples of `unit` allow.

    49 by 14 is 13, 12, 12, 12; only the last tile may be no multiple of `unit`. At most three segments result.
    """
    if not extent:
        return ()
    units = -(-extent // unit)
    parts = -(-units // max(1, step // unit))
    small, larger = divmod(units, parts)
    sizes = [((small + 1) * unit, larger), (small * unit, parts - larger)]
    out: list[Segment] = []
    start = 0
    for size, count in sizes:
        fitting = min(count, (extent - start) // size) if size else 0
        if fitting:
            out.append(Segment(start, size, fitting))
            start += size * fitting
        if fitting < count:
            out.append(Segment(start, extent - start, 1))
            break
    return tuple(out)


def trips(extent: int, step: int, unit: int = 1) -> int:
    """Number of tiles that `segments` gives."""
    units = -(-extent // unit)
    return -(-units // max(1, step // unit))
