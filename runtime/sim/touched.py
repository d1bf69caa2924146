"""Which bursts, channels and pages of DRAM rows touch, by the first of them where there are many.

Rows are n2 planes of n1 rows of n0 bytes from `address` on, s1 and s2 bytes from one to the next: arrays over
transfers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..records import dataclass
from .dram import Dram

_SAMPLED_ROWS = 64
"""Rows of a transfer of which it is looked at which bursts they touch."""
_SPREAD_ROWS = 32
"""And at which channels and pages."""


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


def touched_bursts(
    burst: int, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Bursts that the rows touch, one that two successive rows share once, and those that each row touches. The pattern
    of the first rows repeats, or that of the first planes where they have few rows."""
    few = n1 <= _SAMPLED_ROWS // 2
    planes = np.where(few, _SAMPLED_ROWS // np.maximum(n1, 1), 1)
    rows, repeated = np.where(few, planes * n1, _SAMPLED_ROWS), np.where(few, planes * s2, _SAMPLED_ROWS * s1)
    total = np.where(few, n1 * n2, n1)
    columns = (few, rows, repeated, total, address, n0, n1, s1, s2)
    counted = _by_rows(np.minimum(rows, total), columns, lambda *each: _of_pattern(burst, *each))
    shared, each_row = (np.where(few, every, every * n2) for every in counted)
    return shared, each_row


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
) -> tuple[np.ndarray, np.ndarray]:
    """Bursts of `total` rows, those that two share once and not, of which the first `rows` are a pattern, after
    `repeated` bytes the next one."""
    number = np.arange(looked_at)
    inner = np.where(few[:, None], number % np.maximum(n1, 1)[:, None], number)
    outer = np.where(few[:, None], number // np.maximum(n1, 1)[:, None], 0)
    start = address[:, None] + inner * s1[:, None] + outer * s2[:, None]
    first, last = start // burst, (start + n0[:, None] - 1) // burst
    each, again = last - first + 1, np.arange(len(n1))
    patterns, rest = np.divmod(total, np.maximum(rows, 1))
    end = np.minimum(rows, looked_at) - 1

    def summed(each: np.ndarray) -> np.ndarray:
        sums = np.cumsum(each, axis=1)
        return patterns * sums[again, end] + np.where(rest > 0, sums[again, rest - 1], 0)

    each_row = summed(each)
    each[:, 1:] -= first[:, 1:] == last[:, :-1]
    seam = (address + repeated) // burst == last[again, end]
    return summed(each) - seam * np.maximum((total - 1) // np.maximum(rows, 1), 0), each_row


@dataclass(frozen=True, slots=True)
class Channels:
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


def touched_channels(dram: Dram, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any) -> Channels:
    """Row by row; of more rows than `_SPREAD_ROWS` the others are taken to be like the first ones."""
    needed = np.minimum(n1 * n2, _SPREAD_ROWS)
    return Channels(*_by_rows(needed, (address, n0, n1, n2, s1, s2), lambda *each: _spread(dram, *each)))


def _spread(
    dram: Dram, looked_at: int, address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any
) -> tuple[np.ndarray, ...]:
    """The fields of `Channels`, by the first rows."""
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
    touched = latest(np.where(in_last, page[1][..., None], np.where(in_first, page[0][..., None], -1)))
    opens = in_first.copy()
    opens[:, 1:] &= page[0][:, 1:, None] != touched[:, :-1]
    pages = opens.sum(1) + in_last.sum(1) + between.sum(1)

    of_any = 1 + (page[1] - page[0]).sum(1) + (page[0][:, 1:] != page[1][:, :-1]).sum(1)
    more = (total > looked_at)[:, None]
    behind = (address + (n2 - 1) * s2 + (n1 - 1) * s1 + n0 - 1) // (dram.page * dram.channels)
    return (
        np.where(
            more,
            _bursts_of_all(dram, (after - before).sum(1), (address, n0, n1, n2, s1, s2)),
            (after - before).sum(1),
        ),
        np.where(more, _pages_of_all(dram, pages, of_any, looked_at, (address, n0, n1, n2, s1, s2)), pages),
        _windows(dram, opens, of_first, in_last, of_last, between, more),
        np.where(in_first[:, 0], page[0][:, :1], -1),
        np.where(more, behind[:, None], touched[:, -1]),
        _reached(dram, first[:, 0]),
        (page[0][:, 0] + 1) * size - first[:, 0],
    )


def _windows(
    dram: Dram, opens: Any, of_first: Any, in_last: Any, of_last: Any, between: Any, more: Any
) -> np.ndarray:
    """See `Channels`: of rows that open a page or go on in it, with bursts of that one, and end in another one, with
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


def _bursts_of_all(dram: Dram, some: np.ndarray, rows: Sequence[Any]) -> np.ndarray:
    """In their proportion, bursts of all rows on each channel where the first ones have `some`: rows that pass over no
    channel touch alike all that lies between the first and the last one, which the first few are too short to show."""
    address, n0, n1, n2, s1, s2 = rows
    span = (n1 - 1) * s1 + n0
    dense = (s1 <= dram.interleave) & ((n2 == 1) | (s2 - span <= dram.interleave))
    first, last = address // dram.burst, (address + (n2 - 1) * s2 + span - 1) // dram.burst
    between = dram.on_channels(np.maximum(last, first) + 1) - dram.on_channels(first)
    return np.where(dense[:, None], between, some)


def _pages_of_all(
    dram: Dram, some: np.ndarray, of_any: np.ndarray, looked_at: int, rows: Sequence[Any]
) -> np.ndarray:
    """Pages that all rows open on each channel where the first ones open `some`, and `of_any` of them: those from the
    first row to the last one, plane by plane where planes are apart or go back; fewer where rows are so far apart that
    they pass over some channels."""
    address, n0, n1, n2, s1, s2 = rows
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


def latest(pages: np.ndarray) -> np.ndarray:
    """Along axis 1 the last one that is not -1."""
    number = np.where(pages >= 0, np.arange(pages.shape[1])[:, None], 0)
    return np.take_along_axis(pages, np.maximum.accumulate(number, axis=1), axis=1)
