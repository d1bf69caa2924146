"""What transfers ask of DRAM: bursts and pages of each channel, and how long those take by themselves."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..records import dataclass
from .dram import Dram

_SAMPLED_ROWS = 64
"""Rows of a transfer of which it is looked at which bursts they touch."""
_SPREAD_ROWS = 32
"""And at which channels and pages."""
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
    total = _bursts(dram.burst, *rows)
    channels = _channels(dram, *rows)
    kept = _kept_open(channels, some)
    bursts = total[:, None] * channels.bursts / np.maximum(channels.bursts.sum(1, keepdims=True), 1)
    pages = np.maximum(channels.pages - kept, 0)
    served, held = dram.served(bursts, pages), dram.held(bursts, pages, write)
    strided = (pages > 1) & (rows[2] > 1)[:, None]
    waiting = served + dram.gap(write) * channels.windows * bursts
    loads = np.where(strided, waiting, np.maximum(served, held))
    cycles, number = loads.max(1), np.maximum(total, 1)
    before = np.minimum(np.where(kept, channels.crossing[:, None], channels.before).min(1), total)
    bit = 1 << np.arange(dram.channels)
    found = {
        "cycles": cycles,
        "following": _following(loads, dram.cycles_of_a_burst),
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


def _by_rows(
    needed: np.ndarray, rows: Sequence[np.ndarray], of: Callable[..., Sequence[np.ndarray]]
) -> list[np.ndarray]:
    """Arrays over transfers, of which `of` works out those at once of which as many rows are looked at."""
    found: list[np.ndarray] = []
    for count in np.unique(needed).tolist() or [1]:
        chosen = needed == count
        parts = of(max(count, 1), *(each[chosen] for each in rows))
        found = found or [np.zeros((len(needed), *part.shape[1:]), part.dtype) for part in parts]
        for whole, part in zip(found, parts):
            whole[chosen] = part
    return found


def _bursts(burst: int, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> np.ndarray:
    """Bursts that the rows touch, one that two successive rows share once. The pattern of the first rows repeats, or
    that of the first planes where they have few rows."""
    few = n1 <= _SAMPLED_ROWS // 2
    planes = np.where(few, _SAMPLED_ROWS // np.maximum(n1, 1), 1)
    rows, repeated = np.where(few, planes * n1, _SAMPLED_ROWS), np.where(few, planes * s2, _SAMPLED_ROWS * s1)
    total = np.where(few, n1 * n2, n1)
    columns = (few, rows, repeated, total, address, n0, n1, s1, s2)
    (counted,) = _by_rows(np.minimum(rows, total), columns, lambda *each: (_of_pattern(burst, *each),))
    return np.where(few, counted, counted * n2)


def _of_pattern(
    burst: int,
    looked_at: int,
    few: Any,
    rows: Any,
    repeated: Any,
    total: Any,
    address: Any,
    n0: Any,
    n1: Any,
    s1: Any,
    s2: Any,
) -> np.ndarray:
    """Bursts of `total` rows of which the first `rows` are a pattern, after `repeated` bytes the next one."""
    number = np.arange(looked_at)
    inner = np.where(few[:, None], number % np.maximum(n1, 1)[:, None], number)
    outer = np.where(few[:, None], number // np.maximum(n1, 1)[:, None], 0)
    start = address[:, None] + inner * s1[:, None] + outer * s2[:, None]
    first, last = start // burst, (start + n0[:, None] - 1) // burst
    each = last - first + 1
    each[:, 1:] -= first[:, 1:] == last[:, :-1]
    sums, again = np.cumsum(each, axis=1), np.arange(len(n1))
    patterns, rest = np.divmod(total, np.maximum(rows, 1))
    end = np.minimum(rows, looked_at) - 1
    seam = (address + repeated) // burst == last[again, end]
    partial = np.where(rest > 0, sums[again, rest - 1], 0)
    return patterns * sums[again, end] + partial - seam * np.maximum((total - 1) // np.maximum(rows, 1), 0)


def _ends(burst: int, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> dict[str, np.ndarray]:
    """Bytes of the first row in its first burst, and of the last one in its last."""
    end = address + (n2 - 1) * s2 + (n1 - 1) * s1 + n0
    return {
        "first": np.minimum(n0, burst - address % burst),
        "last": np.minimum(n0, (end - 1) % burst + 1),
    }


@dataclass(frozen=True, slots=True)
class _Channels:
    """What transfers touch of each channel, [transfers, channels]: bursts of the rows that were looked at, pages opened
    by all, the first and the last page, -1 for none; `windows`: how often as many bursts as may be
    `outstanding` lie between a page that is opened and the next one, by bursts; `before`: bursts of others from the
    first one on. [transfers]: `crossing`, bursts from the first one to the end of its page."""

    bursts: np.ndarray
    pages: np.ndarray
    windows: np.ndarray
    first: np.ndarray
    last: np.ndarray
    before: np.ndarray
    crossing: np.ndarray


def _channels(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> _Channels:
    """Row by row; of more rows than `_SPREAD_ROWS` the others are taken to be like the first ones."""
    needed = np.minimum(n1 * n2, _SPREAD_ROWS)
    return _Channels(*_by_rows(needed, (address, n0, n1, n2, s1, s2), lambda *each: _spread(dram, *each)))


def _spread(
    dram: Dram, looked_at: int, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any
) -> tuple[np.ndarray, ...]:
    """The fields of `_Channels`, by the first rows."""
    total = n1 * n2
    row = np.minimum(np.arange(looked_at), np.maximum(total - 1, 0)[:, None])
    inner = np.maximum(n1, 1)[:, None]
    start = address[:, None] + row % inner * s1[:, None] + row // inner * s2[:, None]
    first, end = start // dram.burst, (start + n0[:, None] - 1) // dram.burst + 1
    first[:, 1:] += first[:, 1:] == end[:, :-1] - 1  # a burst that two successive rows share is read once
    end[:, 1:] = np.where(row[:, 1:] == row[:, :-1], first[:, 1:], end[:, 1:])  # no row
    size = dram.page * dram.channels // dram.burst
    before, after = dram.on_channels(first), dram.on_channels(end)
    page = first // size, np.maximum(end - 1, first) // size
    of_first = dram.on_channels(np.minimum(end, (page[0] + 1) * size)) - before
    of_last = (page[1] > page[0])[..., None] * (after - dram.on_channels(page[1] * size))
    in_first, in_last = of_first > 0, of_last > 0
    between = np.maximum(page[1] - page[0] - 1, 0)[..., None]
    latest = _latest(np.where(in_last, page[1][..., None], np.where(in_first, page[0][..., None], -1)))
    opens = in_first.copy()
    opens[:, 1:] &= page[0][:, 1:, None] != latest[:, :-1]
    pages = opens.sum(1) + in_last.sum(1) + between.sum(1)

    of_any = 1 + (page[1] - page[0]).sum(1) + (page[0][:, 1:] != page[1][:, :-1]).sum(1)
    more = (total > looked_at)[:, None]
    behind = (address + (n2 - 1) * s2 + (n1 - 1) * s1 + n0 - 1) // (dram.page * dram.channels)
    return (
        (after - before).sum(1),
        np.where(more, _pages_of_all(dram, pages, of_any, looked_at, address, n0, n1, n2, s1, s2), pages),
        _windows(dram, opens, of_first, in_last, of_last, between, more),
        np.where(in_first[:, 0], page[0][:, :1], -1),
        np.where(more, behind[:, None], latest[:, -1]),
        _reached(dram, first[:, 0]),
        (page[0][:, 0] + 1) * size - first[:, 0],
    )


def _windows(
    dram: Dram, opens: Any, of_first: Any, in_last: Any, of_last: Any, between: Any, more: Any
) -> np.ndarray:
    """See `_Channels`: of rows that open a page or go on in it, with bursts of that one, and end in another one, with
    bursts of that. It is not known how many are whole behind what is opened last where there are `more` rows."""
    most = dram.outstanding or np.inf
    shape = len(opens), 2 * opens.shape[1], dram.channels
    opened = np.stack((opens, in_last), 2).reshape(shape)
    bursts = np.stack((of_first, of_last), 2).reshape(shape)
    after = np.cumsum(bursts, axis=1)
    since = after - np.maximum.accumulate(opened * (after - bursts), axis=1)
    ended = (opened[:, 1:] * (since[:, :-1] // most)).sum(1)
    last = np.where(more, since[:, -1] / most, since[:, -1] // most)
    a_page = dram.page // dram.burst
    whole = ended + last + (between * (a_page // most)).sum(1)
    return whole / np.maximum(after[:, -1] + a_page * between.sum(1), 1)


def _pages_of_all(
    dram: Dram,
    some: np.ndarray,
    of_any: np.ndarray,
    looked_at: int,
    address: Any,
    n0: Any,
    n1: Any,
    n2: Any,
    s1: Any,
    s2: Any,
) -> np.ndarray:
    """Pages that all rows open on each channel where the first ones open `some`, and `of_any` of them: those from the
    first row to the last one, plane by plane where planes are apart or go back; fewer where rows are so far apart that
    they pass over some channels."""
    whole, span = dram.page * dram.channels, (n1 - 1) * s1 + n0
    in_all = (address % whole + (n2 - 1) * s2 + span + whole - 1) // whole
    onwards = (s2 <= whole) & ((s2 >= span) | (n2 == 1))
    in_planes = _of_planes(looked_at, address, span, n2, s2, whole)
    passed = np.where(onwards | (in_all == 1), in_all, in_planes)[:, None]
    like = np.maximum(some - 1, 0) * ((n1 * n2 - 1) / max(looked_at - 1, 1))[:, None] + 1
    apart = np.maximum(s1 - n0, np.where(n2 > 1, s2 - span, 0))
    over = (apart > dram.interleave * (dram.channels - 1)) & (dram.channels > 1)
    found = np.where(over[:, None], passed * np.minimum(some / of_any[:, None], 1), passed)
    return np.where(some > 0, np.where((s1 > whole)[:, None], like, found), 0)


def _of_planes(looked_at: int, address: Any, span: Any, n2: Any, s2: Any, whole: int) -> np.ndarray:
    """Pages of planes of `span` bytes, one that two successive planes share once. Of more planes than are looked at the
    others are taken to be like the first ones."""
    plane = address[:, None] + np.minimum(np.arange(looked_at), n2[:, None] - 1) * s2[:, None]
    first, last = plane // whole, (plane + span[:, None] - 1) // whole
    new = last - first + 1
    new[:, 1:] -= first[:, 1:] == last[:, :-1]
    new[:, 1:] *= plane[:, 1:] != plane[:, :-1]
    return new[:, 0] + new[:, 1:].sum(1) * np.maximum((n2 - 1) / max(looked_at - 1, 1), 1)


def _reached(dram: Dram, first: np.ndarray) -> np.ndarray:
    """Bursts from the first one of a row to the first one of each channel."""
    run = dram.bursts_of_a_channel
    behind = (np.arange(dram.channels) - (first // run)[:, None]) % dram.channels
    return np.where(behind > 0, behind * run - (first % run)[:, None], 0)


def _latest(pages: np.ndarray) -> np.ndarray:
    """Along axis 1 the last one that is not -1."""
    number = np.where(pages >= 0, np.arange(pages.shape[1])[:, None], 0)
    return np.take_along_axis(pages, np.maximum.accumulate(number, axis=1), axis=1)


def _kept_open(channels: _Channels, some: np.ndarray) -> np.ndarray:
    """Whether the first page that a transfer touches on a channel is the one that those before it left open."""
    last = np.where(some[:, None], channels.last, -1)
    before = np.concatenate([np.full((1, last.shape[1]), -1), _latest(last[None])[0, :-1]])
    return (channels.first >= 0) & (channels.first == before)
