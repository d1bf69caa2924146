"""Which bursts of DRAM copies take, in the order in which an engine asks for them.

They are told by parts: bursts that follow one another on a channel and lie in one page, or in pages that are short. All
parts of a stream's copies are worked out at once; what becomes of them in time is the affair of `channels.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..records import dataclass
from .dram import Dram

BUFFERED = 63
"""Bursts that a load has asked for and not written at most."""
_FEW = 4
"""Parts of a copy on a channel that are told apart however short they are."""
_BEHIND = 32
"""Bursts' time by which the port has to be slower than DRAM before it is looked at how far behind it is."""
_HELD = 8
"""Bursts of a part then, on all channels."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Arrays over parts, those of a copy in the order of their first bursts, and one without bursts that ends it.

    `channel`; `bursts`; the `page` in which they begin and that in which they end, `leaves`; cycles of a `turn`, pages
    that they open on the way included. [parts, channels] `before`: bursts of the copy on each channel that come before
    the first one, in all `position`, so many of which have to be `written`. `steps`: cycles that asking for those takes
    at least, and `apart`: from one of its own to the next. Cycles at the port until it is the turn of the `first` burst
    and of the `last` one; where it is written, to put together the first one."""

    channel: np.ndarray
    bursts: np.ndarray
    page: np.ndarray
    leaves: np.ndarray
    turn: np.ndarray
    before: np.ndarray
    position: np.ndarray
    written: np.ndarray
    steps: np.ndarray
    apart: np.ndarray
    first: np.ndarray
    last: np.ndarray

    @staticmethod
    def joined(tables: Sequence["Parts"], channels: int) -> "Parts":
        """Those of several classes of copies."""
        none = Parts(*(np.zeros((0, channels) if name == "before" else 0, int) for name in Parts.__slots__))
        columns = ([getattr(each, name) for each in (none, *tables)] for name in Parts.__slots__)
        return Parts(*map(np.concatenate, columns))

    def lists(self) -> list[list[Any]]:
        """The columns, for who looks at one part after another."""
        return [getattr(self, name).tolist() for name in Parts.__slots__]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of copies, those of a copy together in the order in which they are moved, arrays over them: whose they are,
    where they begin in DRAM, bytes, and cycles before each: at the port, for padding, and until it is asked for."""

    copy: np.ndarray
    address: np.ndarray
    size: np.ndarray
    padding: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True, slots=True)
class Copies:
    """What copies of one engine ask of DRAM, arrays over them: the `first` of their `parts`, bytes in whole bursts,
    pages that they open, one a channel, and cycles when they are alone."""

    parts: Parts
    first: np.ndarray
    bytes: np.ndarray
    pages: np.ndarray
    cycles: np.ndarray


def rows_of(
    address: Any, n0: Any, n1: Any, n2: Any, s1: Any, s2: Any, ahead: Any = None, between: Any = None
) -> Rows:
    """n2 planes of n1 rows of n0 bytes at strides s2, s1, arrays over copies; cycles of the port `ahead` of the first
    row, and `between` planes."""
    total, none = n1 * n2, np.zeros(len(n0))
    copy = np.repeat(np.arange(len(total)), total)
    number = np.arange(len(copy)) - np.repeat(np.cumsum(total) - total, total)
    outer, inner = np.divmod(number, n1[copy])
    ahead, between = (none if each is None else each for each in (ahead, between))
    padding = np.where(inner > 0, 0, np.where(outer > 0, between[copy], ahead[copy]))
    return Rows(copy, address[copy] + outer * s2[copy] + inner * s1[copy], n0[copy], padding, none[copy])


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Rows cut where another channel or page begins, arrays over pieces: whose, `channel`, `page`, `bursts`, but for
    one that the row before shares; cycles that asking takes, those of `padding` before it and of the piece at the
    `port`, and its `edge`: its last burst, the first one where it is written, with the cycles `at_edge` of that."""

    copy: np.ndarray
    channel: np.ndarray
    page: np.ndarray
    bursts: np.ndarray
    steps: np.ndarray
    padding: np.ndarray
    port: np.ndarray
    edge: np.ndarray
    at_edge: np.ndarray


def copies(
    dram: Dram, rows: Rows, behind: np.ndarray, port: float, write: bool, opened: np.ndarray | None = None
) -> Copies:
    """Of copies, which a port of so many bytes a cycle moves; `behind`: cycles that padding behind the last row takes
    there; `opened`: pages that each opens behind its first one, where it is not known in which its rows are."""
    count = len(behind)
    held = _held(dram, rows, count, port)
    each = _pieces(dram, rows, held, port, write)
    if opened is not None:
        each = replace(each, page=-2 - each.copy)
    begins = np.searchsorted(each.copy, np.arange(count + 1))
    asked, asked_all = _until(each.steps, each.copy, begins)
    moved, moved_all = _until(each.padding + each.port, each.copy, begins)
    on_channels = each.bursts[:, None] * (each.channel[:, None] == np.arange(dram.channels))
    before, bursts_all = _until(on_channels, each.copy, begins)

    order, opens, new = _cut(dram, each, held)
    part = np.cumsum(new) - 1
    first, last = order[new], order[np.append(new[1:], True)[: len(new)]]

    def summed(values: np.ndarray) -> np.ndarray:
        """Over the pieces of each part, which are in order."""
        return np.bincount(part, values, len(first))

    bursts, pages = summed(each.bursts[order]), summed(opens & ~new)
    if opened is not None:
        pages += (opened / np.maximum(bursts_all.sum(1), 1))[each.copy[first]] * bursts
    some = np.maximum(bursts, 1)
    in_edge = each.edge[order] == each.edge[first if write else last][part]
    at_edge = summed((each.at_edge[order] + np.where(new, 0, each.padding[order])) * in_edge)
    turn_of_first = moved + each.padding
    turn_of_last = at_edge if write else (turn_of_first + each.port)[last] - at_edge

    none, whose = np.zeros(count, int), np.concatenate([each.copy[first], np.arange(count)])
    before = np.concatenate([before[first], bursts_all])
    position = before.sum(1)
    written = np.where(held[whose], position - BUFFERED, np.minimum(position - BUFFERED, 0))
    columns = (
        *((each.channel[first], none), (bursts, none), (each.page[first], none), (each.page[last], none)),
        *((dram.cycles_of_a_burst + dram.page_miss * pages / some, none), (before,), (position,), (written,)),
        *((asked[first], asked_all), (((asked + each.steps)[last] - asked[first]) / some, none)),
        *((turn_of_first[first], moved_all + behind), (turn_of_last, none)),
    )
    turns = np.lexsort((np.concatenate([first, np.full(count, len(each.copy))]), whose))
    parts = Parts(*(np.concatenate(pair)[turns] for pair in columns))
    return Copies(
        parts,
        np.searchsorted(whose[turns], np.arange(count)),
        *_alone(dram, each, bursts_all, asked_all, write, none if opened is None else opened),
    )


def _until(values: np.ndarray, copy: np.ndarray, begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the pieces of a copy that come before each one, and over all of them."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, 0, out=sums[1:])
    return sums[:-1] - sums[begins[copy]], sums[begins[1:]] - sums[begins[:-1]]


def _alone(
    dram: Dram, each: _Pieces, bursts: np.ndarray, asked: np.ndarray, write: bool, more: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of copies bytes in whole bursts, pages that they open, so many `more` than their pieces tell, and cycles."""
    pages = _opened(dram, each, len(bursts)) + more[:, None] / dram.channels
    served = bursts * dram.cycles_of_a_burst + pages * dram.page_miss
    waiting = bursts * dram.slots_free_again(write) / (dram.outstanding or np.inf)
    cycles = np.maximum(np.maximum(served, waiting).max(1), asked)
    return bursts.sum(1) * dram.burst, pages.sum(1), cycles


def _held(dram: Dram, rows: Rows, count: int, port: float) -> np.ndarray:
    """Which copies their port holds back."""
    end = rows.address + rows.size
    at_port = np.bincount(rows.copy, _cycles(rows.address, end, port) + rows.padding, count)
    at_dram = (np.bincount(rows.copy, rows.size, count) + _BEHIND * dram.burst) / dram.bytes_per_cycle
    return (at_port > at_dram) & (dram.latency > 0)


def _cycles(begin: np.ndarray, end: np.ndarray, port: float) -> np.ndarray:
    """Of a port for bytes between two addresses."""
    return (end - 1) // port - begin // port + 1 if np.isfinite(port) else 0.0 * begin


def _pieces(dram: Dram, rows: Rows, held: np.ndarray, port: float, write: bool) -> _Pieces:
    burst, run = dram.burst, dram.bursts_of_a_channel * dram.burst
    longest = (
        np.where(held, min(_HELD * burst, dram.page), dram.page)
        if dram.channels == 1
        else np.full(len(held), run)
    )
    length, end = longest[rows.copy], rows.address + rows.size
    first = rows.address // length
    parts = (end - 1) // length - first + 1
    row = np.repeat(np.arange(len(parts)), parts)
    number = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    copy, length, first = rows.copy[row], length[row], first[row] + number
    begin, end = np.maximum(rows.address[row], first * length), np.minimum(end[row], (first + 1) * length)
    low, high = begin // burst, (end - 1) // burst
    bursts, beats = high - low + 1, _cycles(begin, end, port)
    asking = beats * (dram.latency > 0) if write else bursts / dram.asked_a_cycle
    steps = asking + np.where(number == 0, rows.steps[row], 0)
    bursts[1:] -= (low[1:] == high[:-1]) & (copy[1:] == copy[:-1])
    edge = low if write else high
    at_edge = _cycles(np.maximum(begin, edge * burst), np.minimum(end, (edge + 1) * burst), port)
    at_edge *= burst >= port  # more than one a cycle are there as they are served
    return _Pieces(
        copy,
        low // dram.bursts_of_a_channel % dram.channels,
        begin // (dram.page * dram.channels),
        bursts,
        steps,
        np.where(number == 0, rows.padding[row], 0),
        beats,
        edge,
        at_edge,
    )


def _cut(dram: Dram, each: _Pieces, held: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pieces in the order of copies and their channels, where of these one is in another page than the one before, and
    where a part begins: at another page; or so that none is shorter than a page, where there would be more than thrice
    as many parts and places of bursts under way are plenty; of copies that their port holds back so that its buffer has
    several."""
    lane = each.copy * dram.channels + each.channel
    order = np.argsort(lane, kind="stable")
    copy, bursts, lane = each.copy[order], each.bursts[order], lane[order]
    begins = _changes(lane)
    opens = begins | _changes(each.page[order])
    group = np.cumsum(begins) - 1
    of_all = np.bincount(group, bursts)[group]
    through = np.cumsum(bursts)
    through -= (through - bursts)[begins][group]  # of those of the group, with the piece itself
    parts = np.maximum(of_all // max(1, dram.page // dram.burst), _FEW)
    few = (np.bincount(group, opens)[group] <= 3 * parts) | dram.scarce
    short = np.where(held[copy], max(1, _HELD // dram.channels), np.maximum(of_all / parts, 1))
    number = (through - 1) // short
    whole_pages = few & ~held[copy]
    new = begins | (opens & (few | held[copy])) | (_changes(number) & ~whole_pages)
    return order, opens, new


def _changes(values: np.ndarray) -> np.ndarray:
    """Where one is another than the one before."""
    return np.append(np.ones(len(values[:1]), bool), values[1:] != values[:-1])


def _opened(dram: Dram, each: _Pieces, count: int) -> np.ndarray:
    """Pages that copies open on each channel, [copies, channels]; each one's last stays open for the next."""
    order = np.argsort(each.channel, kind="stable")
    channel = each.channel[order]
    opens = _changes(channel) | _changes(each.page[order])
    found = np.bincount(each.copy[order] * dram.channels + channel, opens, count * dram.channels)
    return found.reshape(count, dram.channels)
