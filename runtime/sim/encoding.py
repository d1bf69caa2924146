"""Records to bytes: all instructions of a class at once, as columns packed into lanes of 64 bits."""

from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from ..errors import Problem
from .errors import EncodingError
from .fields import HEADER, HEADER_SHIFTS, LANE, MOST_WORDS, Group, Instruction, Layout, Operand, advancing

_MASKS = tuple(Operand(name, HEADER[name], "semaphores") for name in ("wait", "signal"))
STEP = Operand("step", 32, "what a loop adds", signed=True)
NUMBER = Operand("number", 32, "raw", signed=True)
_MOST_PROBLEMS = 8


def encode(
    by_opcode: Mapping[int, type[Instruction]],
    records: Sequence[Instruction],
    steps: Mapping[int, Sequence[int]],
) -> bytes:
    """See `Isa.encode`."""
    members: dict[type[Instruction], list[int]] = {}
    for position, record in enumerate(records):
        members.setdefault(type(record), []).append(position)
    foreign = [
        Problem(f"instruction {positions[0]}", f"{kind.__name__} is none of this instruction set")
        for kind, positions in members.items()
        if by_opcode.get(kind.opcode) is not kind
    ]
    if foreign:
        raise EncodingError("foreign instructions", problems=foreign)
    encoder = _Encoder(len(records))
    for kind, positions in members.items():
        encoder.add(kind, positions, [records[position] for position in positions], steps)
    return encoder.finish()


class _Encoder:
    """Lanes of all instructions, class by class, put in order at the end."""

    def __init__(self, count: int):
        self.words = np.zeros(count, np.int64)
        self.parts: list[
            tuple[np.ndarray, np.ndarray, np.ndarray]
        ] = []  # instruction, lane within it, its bits
        self.problems: list[tuple[int, Problem]] = []

    def add(
        self,
        kind: type[Instruction],
        positions: list[int],
        records: list[Instruction],
        steps: Mapping[int, Sequence[int]],
    ) -> None:
        where = np.array(positions, np.int64)
        operands = (*_MASKS, *kind.operands)
        rows = list(map(attrgetter(*(each.name for each in operands)), records))
        columns = self._columns(kind, where, operands, rows)
        for group in kind.groups:
            lengths = np.fromiter(
                (len(getattr(record, group.name)) for record in records), np.int64, len(records)
            )
            columns |= self._columns(kind, where, (group.count,), lengths[:, None].tolist(), most=group.most)
        lanes = packed(kind.layout, columns, len(records))
        stored = stored_lanes(kind, columns, len(records))
        end = stored.copy()
        for group in kind.groups:
            items = [each for record in records for each in getattr(record, group.name)]
            end = self._items(kind, where, end, group, items, columns[group.count.name])
        stepped = np.zeros(len(positions), np.int64)
        if steps:
            stepped[:] = [position in steps for position in positions]
            end = self._steps(kind, where, end, columns, [steps.get(position, ()) for position in positions])
        self.words[where] = (end + 1) // 2
        if int(self.words[where].max()) > MOST_WORDS:
            self._refuse(
                kind, positions[int(np.argmax(end))], f"takes {end.max() // 2} words, at most {MOST_WORDS}"
            )
        header = {
            "opcode": np.full(len(records), kind.opcode),
            "words": self.words[where] - 1,
            "stepped": stepped,
        }
        for name, value in {**header, "wait": columns["wait"], "signal": columns["signal"]}.items():
            lanes[:, 0] |= value.astype(np.uint64) << np.uint64(HEADER_SHIFTS[name])
        row, lane = np.nonzero(np.arange(lanes.shape[1]) < stored[:, None])
        self.parts.append((where[row], lane, lanes[row, lane]))

    def finish(self) -> bytes:
        if self.problems:
            problems = [problem for _, problem in sorted(self.problems, key=lambda each: each[0])]
            raise EncodingError("fields out of range", problems=problems[:_MOST_PROBLEMS])
        first = 2 * (np.cumsum(self.words) - self.words)
        out = np.zeros(2 * int(self.words.sum()), np.uint64)
        for where, lane, bits in self.parts:
            out[first[where] + lane] = bits
        return out.astype("<u8").tobytes()

    def _items(
        self,
        kind: type[Instruction],
        where: np.ndarray,
        begin: np.ndarray,
        group: Group,
        items: list[Any],
        counts: np.ndarray,
    ) -> np.ndarray:
        """Puts the items of a group from lane `begin` of each instruction on; the lane behind them."""
        owners = np.repeat(where, counts)
        if group.item is None:
            numbers = self._columns(kind, owners, (NUMBER,), [(item,) for item in items], label=group.name)
            return self._halves(where, begin, counts, numbers[NUMBER.name])
        names = [each.name for each in group.item.operands]
        rows = [item if len(names) > 1 else (item,) for item in map(attrgetter(*names), items)]
        columns = self._columns(kind, owners, group.item.operands, rows, label=group.name)
        lanes = packed(group.item.layout, columns, len(items))
        if group.item.size == LANE // 2:
            return self._halves(where, begin, counts, lanes[:, 0].astype(np.int64))
        size = group.item.size // LANE
        within = running(counts)
        for lane in range(size):
            self.parts.append((owners, np.repeat(begin, counts) + within * size + lane, lanes[:, lane]))
        return begin + counts * size

    def _steps(
        self,
        kind: type[Instruction],
        where: np.ndarray,
        begin: np.ndarray,
        columns: Mapping[str, np.ndarray],
        steps: list[Sequence[int]],
    ) -> np.ndarray:
        counts = np.fromiter(map(len, steps), np.int64, len(steps))
        expected = step_counts(kind, columns, len(steps))
        wrong = np.nonzero((counts != 0) & (counts != expected))[0]
        if len(wrong):
            row = int(wrong[0])
            self._refuse(kind, int(where[row]), f"has {counts[row]} steps, expected {expected[row]}")
        flat = [(step,) for each in steps for step in each]
        numbers = self._columns(kind, np.repeat(where, counts), (STEP,), flat)
        return self._halves(where, begin, counts, numbers[STEP.name])

    def _halves(
        self, where: np.ndarray, begin: np.ndarray, counts: np.ndarray, numbers: np.ndarray
    ) -> np.ndarray:
        """Puts 32-bit numbers two to a lane; the lane behind them."""
        taken = (counts + 1) // 2
        halves = np.zeros(2 * int(taken.sum()), np.uint32)
        halves[np.repeat(2 * (np.cumsum(taken) - taken), counts) + running(counts)] = numbers.astype(
            np.uint32
        )
        lanes = np.repeat(begin, taken) + running(taken)
        self.parts.append(
            (np.repeat(where, taken), lanes, halves.astype("<u4").view("<u8").astype(np.uint64))
        )
        return begin + taken

    def _columns(
        self,
        kind: type[Instruction],
        where: np.ndarray,
        operands: Sequence[Operand],
        rows: Any,
        label: str = "",
        most: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Rows of values as a column a field, after a look at their limits."""
        count = len(operands)
        try:
            table = np.frombuffer(array("q", chain.from_iterable(rows)), np.int64).reshape(-1, count)
        except (TypeError, OverflowError):  # not a whole number of 64 bits
            table = np.array([[_whole(value) for value in row] for row in rows], object).reshape(-1, count)
        columns = np.ascontiguousarray(table.T)
        for operand, column, field in zip(operands, columns, range(count)):
            low, high = operand.limits
            high = high if most is None else min(high, most)
            if len(column) and (column.min() < low or column.max() > high):
                name = ".".join(filter(None, (label, operand.name)))
                for row in np.nonzero((column < low) | (column > high))[0][:_MOST_PROBLEMS].tolist():
                    message = f"{name} is {rows[row][field]}, expected {low} to {high}"
                    self._refuse(kind, int(where[row]), message)
        if columns.dtype == object:
            columns = np.zeros(columns.shape, np.int64)
        return dict(zip((each.name for each in operands), columns))

    def _refuse(self, kind: type[Instruction], position: int, message: str) -> None:
        self.problems.append((position, Problem(f"instruction {position}, {kind.mnemonic}", message)))


def _whole(value: Any) -> int:
    """A whole number as Python's; what is none as one that fits no field."""
    try:
        return int(value) if int(value) == value else 1 << LANE
    except (TypeError, ValueError, OverflowError):
        return 1 << LANE


def running(counts: np.ndarray) -> np.ndarray:
    """0, 1, ... for each count in turn, i64[sum of counts]."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)


def packed(layout: Layout, columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Columns of values in lanes, u64[count, lanes], whole words."""
    lanes = np.zeros((count, layout.words * 2), np.uint64)
    for place in layout.places:
        mask = np.uint64((1 << place.operand.bits) - 1)
        bits = columns[place.operand.name].astype(np.uint64) & mask
        lanes[:, place.lane] |= bits << np.uint64(place.shift)
    return lanes


def stored_lanes(kind: type[Instruction], columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Lanes of fixed fields that are stored, i64[count]: whole words, those at the end with defaults only left out.

    With groups all are stored, since their items begin behind them.
    """
    if kind.groups:
        return np.full(count, kind.layout.words * 2, np.int64)
    words = np.ones(count, np.int64)
    for place in kind.layout.places:
        wanted = columns[place.operand.name] != (place.operand.default or 0)
        words = np.where(wanted, np.maximum(words, place.lane // 2 + 1), words)
    return words * 2


def step_counts(kind: type[Instruction], columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """How many steps an instruction has inside a loop, i64[count]."""
    fixed, items = advancing(kind)
    total = np.full(count, len(fixed), np.int64)
    for group in kind.groups:
        total = total + len(items[group.name]) * columns[group.count.name]
    return total


def word_counts(records: Sequence[Instruction]) -> tuple[np.ndarray, np.ndarray]:
    """Words of each instruction as it stands, and with steps, i64[n] each. Fields must be within their limits."""
    plain, stepped = np.zeros(len(records), np.int64), np.zeros(len(records), np.int64)
    members: dict[type[Instruction], list[int]] = {}
    for position, record in enumerate(records):
        members.setdefault(type(record), []).append(position)
    for kind, positions in members.items():
        chosen = [records[position] for position in positions]
        names = [each.name for each in kind.operands]
        columns = {name: np.array([getattr(record, name) for record in chosen], np.int64) for name in names}
        for group in kind.groups:
            columns[group.count.name] = np.array([len(getattr(record, group.name)) for record in chosen])
        lanes = stored_lanes(kind, columns, len(chosen))
        for group in kind.groups:
            size = 32 if group.item is None else group.item.size
            lanes = lanes + (columns[group.count.name] * size + LANE - 1) // LANE
        plain[positions] = (lanes + 1) // 2
        stepped[positions] = (lanes + (step_counts(kind, columns, len(chosen)) + 1) // 2 + 1) // 2
    return plain, stepped
