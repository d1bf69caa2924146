"""What transfers ask of DRAM: how long what they touch takes by itself, see `touched.py`, and on which channels."""

from typing import Any

import numpy as np

from ..records import dataclass
from .dram import Dram
from .touched import Channels, latest, touched_bursts, touched_channels

_QUEUED = 8
"""Bursts of an engine that wait at a channel at most."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What transfers ask, arrays over them: active cycles when alone, which are those in which their busiest channel is
    occupied, `served`, or those in which it is `held` because so many bursts are under way; cycles when `following` on
    the transfer before at once; for which part of its cycles it is `on` each channel, [transfers, channels], but for
    differences that queues bridge; the cycles of a `turn`, a burst on its channel; the part of the bursts that `opens`
    a page; bytes in whole bursts, and pages opened, one a channel; `opening`: cycles to open a page that the first row
    finds closed, and `before`: the part of all bursts that comes before it; `touches` and `keeps`: masks of channels,
    of all that it touches, and of those that transfers before left open for it, which a refresh closes; `first` and
    `last`: bytes of its first and last burst."""

    cycles: np.ndarray
    following: np.ndarray
    served: np.ndarray
    held: np.ndarray
    on: np.ndarray
    turn: np.ndarray
    opens: np.ndarray
    burst_bytes: np.ndarray
    pages: np.ndarray
    opening: np.ndarray
    before: np.ndarray
    touches: np.ndarray
    keeps: np.ndarray
    first: np.ndarray
    last: np.ndarray


def demand(
    dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any, write: bool = False
) -> Demand:
    """Of the transfers of one stream in order: n2 planes of n1 rows of n0 bytes at strides s2, s1; i64 arrays,
    n1 * n2 = 0 for none. All of them `write` or read.

    Bursts are those of the rows themselves; planes are taken to lie to the bursts as the first one does.
    """
    some = n1 * n2 > 0
    rows = (address, *_joined(n0, n1, n2, np.abs(s1), np.abs(s2)))
    total, steps = touched_bursts(dram.burst, *rows)
    channels = touched_channels(dram, *rows)
    kept = _kept_open(channels, some)
    bursts = total[:, None] * channels.bursts / np.maximum(channels.bursts.sum(1, keepdims=True), 1)
    pages = np.maximum(channels.pages - kept, 0)
    served, held = dram.served(bursts, pages), dram.held(bursts, pages, write)
    strided = (pages > 1) & (rows[2] > 1)[:, None]
    waiting = served + dram.gap(write) * channels.windows * bursts
    loads = np.where(strided, waiting, np.maximum(served, held))
    asking = steps / dram.asked_a_cycle * (not write)
    cycles, number = np.maximum(loads.max(1), asking), np.maximum(total, 1)
    before = np.minimum(np.where(kept, channels.crossing[:, None], channels.before).min(1), total)
    bit = 1 << np.arange(dram.channels)
    found = {
        "cycles": cycles,
        "following": np.maximum(_following(loads, dram.cycles_of_a_burst), asking),
        "served": served.max(1),
        "held": np.minimum(held.max(1), cycles),
        "on": _evened(loads, dram.cycles_of_a_burst) / np.where(cycles > 0, cycles, 1)[:, None],
        "turn": loads.sum(1) / number,
        "opens": np.minimum(pages.sum(1) / number, 1),
        "burst_bytes": total * dram.burst,
        "pages": pages.sum(1),
        "opening": (before < total) * dram.page_miss,
        "before": before / number,
        "touches": (bursts > 0) @ bit,
        "keeps": kept @ bit,
        **_ends(dram.burst, *rows),
    }
    return Demand(**{name: np.where(some, each.T, 0).T for name, each in found.items()})


def _following(loads: np.ndarray, a_burst: float) -> np.ndarray:
    """Cycles of each transfer from the end of the one before, of which another channel than the busiest one was through
    earlier and has gone on with this one's bursts, as many as its queue holds. `loads`: of each channel, [transfers,
    channels]."""
    if loads.shape[1] == 1:
        return loads[:, 0]
    found, most = [], _QUEUED * a_burst
    through = [0.0] * loads.shape[1]  # how much earlier each channel was
    for each in loads.tolist():
        left = [max(0.0, load - earlier) for load, earlier in zip(each, through)]
        found.append(max(1.0, *left))
        through = [min(found[-1] - load, most) for load in left]
    return np.array(found)


def _evened(loads: np.ndarray, a_burst: float) -> np.ndarray:
    """Loads of each channel, [transfers, channels], where one may be ahead of another by a queue: neighbouring
    transfers make up for that."""
    mean = loads.mean(1, keepdims=True)
    apart = loads - mean
    most = np.abs(apart).max(1, keepdims=True)
    return mean + apart * np.maximum(most - _QUEUED / 2 * a_burst, 0) / np.where(most > 0, most, 1)


def _joined(n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> tuple[np.ndarray, ...]:
    """Rows that follow one another become one; so do planes."""
    joined = (s1 == n0) & (n1 > 1)
    n0, n1 = np.where(joined, n0 * n1, n0), np.where(joined, 1, n1)
    single = n1 == 1
    n1, s1, n2 = np.where(single, n2, n1), np.where(single, s2, s1), np.where(single, 1, n2)
    joined = (s1 == n0) & (n1 > 1)
    n0, n1 = np.where(joined, n0 * n1, n0), np.where(joined, 1, n1)
    return n0, n1, n2, s1, s2


def _ends(burst: int, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> dict[str, np.ndarray]:
    """Bytes of the first row in its first burst, and of the last one in its last."""
    end = address + (n2 - 1) * s2 + (n1 - 1) * s1 + n0
    return {
        "first": np.minimum(n0, burst - address % burst),
        "last": np.minimum(n0, (end - 1) % burst + 1),
    }


def _kept_open(channels: Channels, some: np.ndarray) -> np.ndarray:
    """Whether the first page that a transfer touches on a channel is the one that those before it left open."""
    last = np.where(some[:, None], channels.last, -1)
    before = np.concatenate([np.full((1, last.shape[1]), -1), latest(last[None])[0, :-1]])
    return (channels.first >= 0) & (channels.first == before)
