"""Finding loops: instructions that repeat, fields that advance by constant steps, written once.

The cheapest cover of a sequence by loops and single instructions is found from its end, in words; of the loops that
could begin at an instruction, only the one with the most iterations is looked at for each length of its body.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from .encoding import word_counts
from .fields import Instruction, Loop, advancing

MOST_LENGTH = 96
"""Instructions of the longest body that is looked for."""
_MOST_COUNT = (1 << 20) - 1
_STEP_LIMIT = 1 << 31


def roll(
    records: Sequence[Instruction], longest: int = MOST_LENGTH
) -> tuple[list[Instruction], dict[int, tuple[int, ...]]]:
    """Instructions with loops, and steps by position as `Isa.encode` takes them: the same once they are run out."""
    if len(records) < 2:
        return list(records), {}
    forms, places = _forms(records)
    plain, stepped = word_counts(records)
    lengths = range(1, min(longest, len(records) // 2) + 1)
    repeats = np.array([_repeats(forms, places, length) for length in lengths])
    costs = np.array([_body_costs(places, plain, stepped, length) for length in lengths])
    choice = _cover(plain, repeats, costs)
    return _written(records, places, repeats, choice)


def _forms(records: Sequence[Instruction]) -> tuple[np.ndarray, np.ndarray]:
    """A number of all that a loop can't change, i64[n], unique for control, and what it can change, i64[n, most]."""
    forms = np.empty(len(records), np.int64)
    rows: list[tuple[int, ...]] = []
    known: dict[Any, int] = {}
    readers: dict[type[Instruction], _Reader] = {}
    for number, record in enumerate(records):
        kind = type(record)
        if kind not in readers:
            readers[kind] = _Reader(kind)
        fixed, row = readers[kind].read(record)
        forms[number] = known.setdefault((kind, fixed) if kind.queue else number, len(known))
        rows.append(row)
    places = np.zeros((len(records), max(map(len, rows), default=0)), np.int64)
    for number, row in enumerate(rows):
        places[number, : len(row)] = row
    return forms, places


class _Reader:
    """Reads one class: what stays in a loop, and what advances, in the order of its steps."""

    def __init__(self, kind: type[Instruction]):
        moving, items = advancing(kind)
        names = {each.name for each in moving}
        self.fixed = _getter(
            ["wait", "signal", *(each.name for each in kind.operands if each.name not in names)]
        )
        self.moving = _getter([each.name for each in moving])
        self.groups = []
        for group in kind.groups:
            fields = group.item.operands if group.item is not None else ()
            inside = [each.name for each in items[group.name]]
            still = _getter([each.name for each in fields if each.name not in inside])
            self.groups.append((group.name, still if fields else None, _getter(inside)))

    def read(self, record: Instruction) -> tuple[Any, tuple[int, ...]]:
        fixed, moving = [self.fixed(record)], self.moving(record)
        for name, still, inside in self.groups:
            values = getattr(record, name)
            fixed.append(values if still is None else tuple(map(still, values)))
            for item in values if still is not None else ():
                moving += inside(item)
        return tuple(fixed), moving


def _getter(names: list[str]) -> Any:
    """A function from a record to the tuple of these fields."""
    if not names:
        return lambda record: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda record: (get(record),)


def _run_lengths(true: np.ndarray) -> np.ndarray:
    """From each position on, how many are true before the next that is not."""
    ends = np.where(true, len(true), np.arange(len(true)))
    return np.minimum.accumulate(ends[::-1])[::-1] - np.arange(len(true))


def _repeats(forms: np.ndarray, places: np.ndarray, length: int) -> np.ndarray:
    """How often the `length` instructions from each position on can be run as a loop, i64[n], 1 for not."""
    count = len(forms)
    same = np.zeros(count, bool)
    steps = places[length:] - places[:-length]
    same[: count - length] = (forms[:-length] == forms[length:]) & (abs(steps) < _STEP_LIMIT).all(axis=1)
    steady = np.zeros(count, bool)
    inside = max(0, count - 2 * length)
    steady[:inside] = same[:inside] & same[length : length + inside]
    steady[:inside] &= (steps[:inside] == steps[length : length + inside]).all(axis=1)
    turns = np.where(_run_lengths(same) >= length, 2 + _run_lengths(steady) // length, 1)
    return np.minimum(turns, _MOST_COUNT)


def _body_costs(places: np.ndarray, plain: np.ndarray, stepped: np.ndarray, length: int) -> np.ndarray:
    """Words of a loop over the `length` instructions from each position on, its own included, i64[n]."""
    moved = np.zeros(len(plain), bool)
    moved[: len(plain) - length] = (places[length:] != places[:-length]).any(axis=1)
    sums = np.concatenate([[0], np.cumsum(np.where(moved, stepped, plain))])
    ends = np.minimum(np.arange(len(plain)) + length, len(plain))
    return 1 + sums[ends] - sums[:-1]


def _cover(plain: np.ndarray, repeats: np.ndarray, costs: np.ndarray) -> list[int]:
    """For each position the length of the body of the loop that begins there in the cheapest cover, 0 for none."""
    count = len(plain)
    best = np.zeros(count + 1, np.int64)
    choice = [0] * count
    lengths = np.arange(1, len(repeats) + 1)
    possible = np.any(repeats > 1, axis=0)
    for position in range(count - 1, -1, -1):
        best[position] = plain[position] + best[position + 1]
        if possible[position]:
            turns = repeats[:, position]
            totals = costs[:, position] + best[position + turns * lengths * (turns > 1)]
            totals[turns < 2] = np.iinfo(np.int64).max
            least = int(totals.argmin())
            if totals[least] < best[position]:
                best[position] = totals[least]
                choice[position] = least + 1
    return choice


def _written(
    records: Sequence[Instruction], places: np.ndarray, repeats: np.ndarray, choice: list[int]
) -> tuple[list[Instruction], dict[int, tuple[int, ...]]]:
    out: list[Instruction] = []
    steps: dict[int, tuple[int, ...]] = {}
    widths: dict[type[Instruction], _Reader] = {}
    position = 0
    while position < len(records):
        length = choice[position]
        if not length:
            out.append(records[position])
            position += 1
            continue
        turns = int(repeats[length - 1, position])
        out.append(Loop(count=turns, length=length))
        for each in range(position, position + length):
            moved = places[each + length] - places[each]
            if moved.any():
                reader = widths.setdefault(type(records[each]), _Reader(type(records[each])))
                steps[len(out)] = tuple(moved[: len(reader.read(records[each])[1])].tolist())
            out.append(records[each])
        position += length * turns
    return out, steps
