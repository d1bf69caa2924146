"""Records to columns, all instructions of a class at once, and these to bytes, packed into lanes of 64 bits."""

from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from ..errors import Problem
from .errors import EncodingError
from .fields import HEADER, HEADER_SHIFTS, LANE, MOST_WORDS, Group, Instruction, Layout, Operand, advancing
from .stream import RAW, Block, Columns, Stream

_MASKS = tuple(Operand(name, HEADER[name], "semaphores") for name in ("wait", "signal"))
STEP = Operand("step", 32, "what a loop adds", signed=True)
NUMBER = Operand("number", 32, "raw", signed=True)
_MOST_PROBLEMS = 8


def collect(by_opcode: Mapping[int, type[Instruction]], records: Sequence[Instruction]) -> Stream:
    """See `Isa.collect`."""
    fields = _Fields(by_opcode, records)
    for block in fields.blocks.values():
        block.words[:] = (_lanes(block.kind, block.columns, block.counts, len(block)) + 1) // 2
        fields.check_words(block)
    fields.require_sound()
    return Stream(fields.blocks, len(records))


def encode(
    by_opcode: Mapping[int, type[Instruction]],
    records: Sequence[Instruction],
    steps: Mapping[int, Sequence[int]],
) -> bytes:
    """See `Isa.encode`."""
    encoder = _Encoder(_Fields(by_opcode, records), len(records))
    for block in encoder.fields.blocks.values():
        encoder.add(block, steps)
    return encoder.finish()


class _Fields:
    """The fields of all instructions, a block a class, words not counted yet and without steps; and what is wrong with
    them, by instruction."""

    def __init__(self, by_opcode: Mapping[int, type[Instruction]], records: Sequence[Instruction]):
        self.problems: list[tuple[int, Problem]] = []
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
        self.blocks = {
            kind: self._block(kind, positions, [records[position] for position in positions])
            for kind, positions in members.items()
        }

    def _block(self, kind: type[Instruction], positions: list[int], records: list[Instruction]) -> Block:
        where = np.array(positions, np.int64)
        operands = (*_MASKS, *kind.operands)
        rows = list(map(attrgetter(*(each.name for each in operands)), records))
        columns = self.columns(kind, where, operands, rows)
        counts, items = {}, {}
        for group in kind.groups:
            given = list(map(attrgetter(group.name), records))
            lengths = [(len(each),) for each in given]
            found = self.columns(kind, where, (group.count,), lengths, most=group.most)
            counts[group.name] = found[group.count.name]
            owners = np.repeat(where, counts[group.name])
            items[group.name] = self._items(kind, owners, group, list(chain(*given)))
        none = np.zeros(len(records), np.int64)
        return Block(kind, where, none, columns, counts, items, none.astype(bool), {}, {})

    def _items(self, kind: type[Instruction], owners: np.ndarray, group: Group, items: list[Any]) -> Columns:
        if group.item is None:
            found = self.columns(kind, owners, (NUMBER,), [(item,) for item in items], label=group.name)
            return {RAW: found[NUMBER.name]}
        names = [each.name for each in group.item.operands]
        rows = [item if len(names) > 1 else (item,) for item in map(attrgetter(*names), items)]
        return self.columns(kind, owners, group.item.operands, rows, label=group.name)

    def columns(
        self,
        kind: type[Instruction],
        where: np.ndarray,
        operands: Sequence[Operand],
        rows: Any,
        label: str = "",
        most: int | None = None,
    ) -> Columns:
        """Rows of values as a column a field, after a look at their limits."""
        count = len(operands)
        try:
            table = np.frombuffer(array("q", chain.from_iterable(rows)), np.int64).reshape(-1, count)
        except (TypeError, OverflowError):  # not a whole number of 64 bits
            table = np.array([[_whole(value) for value in row] for row in rows], object).reshape(-1, count)
        columns = np.ascontiguousarray(table.T)
        if len(table):
            least, greatest = table.min(0).tolist(), table.max(0).tolist()
            for field, operand in enumerate(operands):
                low, high = operand.limits
                high = high if most is None else min(high, most)
                if least[field] < low or greatest[field] > high:
                    name, column = ".".join(filter(None, (label, operand.name))), columns[field]
                    for row in np.nonzero((column < low) | (column > high))[0][:_MOST_PROBLEMS].tolist():
                        message = f"{name} is {rows[row][field]}, expected {low} to {high}"
                        self.refuse(kind, int(where[row]), message)
        if columns.dtype == object:
            columns = np.zeros(columns.shape, np.int64)
        return dict(zip((each.name for each in operands), columns))

    def check_words(self, block: Block) -> None:
        """Whether instructions are as short as the header can say."""
        longest = int(np.argmax(block.words))
        if block.words[longest] > MOST_WORDS:
            why = f"takes {block.words[longest]} words, at most {MOST_WORDS}"
            self.refuse(block.kind, int(block.positions[longest]), why)

    def refuse(self, kind: type[Instruction], position: int, message: str) -> None:
        self.problems.append((position, Problem(f"instruction {position}, {kind.mnemonic}", message)))

    def require_sound(self) -> None:
        """EncodingError with the first problems, if there are any."""
        if self.problems:
            problems = [problem for _, problem in sorted(self.problems, key=lambda each: each[0])]
            raise EncodingError("fields out of range", problems=problems[:_MOST_PROBLEMS])


class _Encoder:
    """Lanes of all instructions, class by class, put in order at the end."""

    def __init__(self, fields: _Fields, count: int):
        self.fields = fields
        self.words = np.zeros(count, np.int64)
        self.parts: list[
            tuple[np.ndarray, np.ndarray, np.ndarray]
        ] = []  # instruction, lane within it, its bits

    def add(self, block: Block, steps: Mapping[int, Sequence[int]]) -> None:
        kind, where, count = block.kind, block.positions, len(block)
        lanes = packed(kind.layout, _with_counts(block), count)
        stored = stored_lanes(kind, block.columns, count)
        end = stored.copy()
        for group in kind.groups:
            end = self._items(where, end, group, block.items[group.name], block.counts[group.name])
        if steps:
            block.stepped[:] = [position in steps for position in where.tolist()]
            end = self._steps(block, end, [steps.get(position, ()) for position in where.tolist()])
        block.words[:] = (end + 1) // 2
        self.fields.check_words(block)
        self.words[where] = block.words
        header = {
            "opcode": np.full(count, kind.opcode),
            "words": block.words - 1,
            "stepped": block.stepped,
            "wait": block.columns["wait"],
            "signal": block.columns["signal"],
        }
        for name, value in header.items():
            lanes[:, 0] |= value.astype(np.uint64) << np.uint64(HEADER_SHIFTS[name])
        row, lane = np.nonzero(np.arange(lanes.shape[1]) < stored[:, None])
        self.parts.append((where[row], lane, lanes[row, lane]))

    def finish(self) -> bytes:
        self.fields.require_sound()
        first = 2 * (np.cumsum(self.words) - self.words)
        out = np.zeros(2 * int(self.words.sum()), np.uint64)
        for where, lane, bits in self.parts:
            out[first[where] + lane] = bits
        return out.astype("<u8").tobytes()

    def _items(
        self, where: np.ndarray, begin: np.ndarray, group: Group, items: Columns, counts: np.ndarray
    ) -> np.ndarray:
        """Puts the items of a group from lane `begin` of each instruction on; the lane behind them."""
        if group.item is None:
            return self._halves(where, begin, counts, items[RAW])
        lanes = packed(group.item.layout, items, int(counts.sum()))
        if group.item.size == LANE // 2:
            return self._halves(where, begin, counts, lanes[:, 0].astype(np.int64))
        size, owners = group.item.size // LANE, np.repeat(where, counts)
        within = running(counts)
        for lane in range(size):
            self.parts.append((owners, np.repeat(begin, counts) + within * size + lane, lanes[:, lane]))
        return begin + counts * size

    def _steps(self, block: Block, begin: np.ndarray, steps: list[Sequence[int]]) -> np.ndarray:
        kind, where = block.kind, block.positions
        counts = np.fromiter(map(len, steps), np.int64, len(steps))
        expected = _step_counts(kind, block.counts, len(block))
        wrong = np.nonzero((counts != 0) & (counts != expected))[0]
        if len(wrong):
            row = int(wrong[0])
            self.fields.refuse(kind, int(where[row]), f"has {counts[row]} steps, expected {expected[row]}")
        flat = [(step,) for each in steps for step in each]
        numbers = self.fields.columns(kind, np.repeat(where, counts), (STEP,), flat)
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


def _with_counts(block: Block) -> Columns:
    """The columns of all fixed fields, how many items the groups have among them."""
    return block.columns | {each.count.name: block.counts[each.name] for each in block.kind.groups}


def _lanes(kind: type[Instruction], columns: Columns, counts: Columns, count: int) -> np.ndarray:
    """Lanes of instructions without steps, i64[count]; `counts` says how many items each group has."""
    lanes = stored_lanes(kind, columns, count)
    for group in kind.groups:
        size = LANE // 2 if group.item is None else group.item.size
        lanes = lanes + (counts[group.name] * size + LANE - 1) // LANE
    return lanes


def _step_counts(kind: type[Instruction], counts: Columns, count: int) -> np.ndarray:
    """How many steps an instruction has inside a loop, i64[count]; `counts` says how many items each group has."""
    fixed, items = advancing(kind)
    total = np.full(count, len(fixed), np.int64)
    for name, each in counts.items():
        total = total + len(items[name]) * each
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
        counts = {
            group.name: np.array([len(getattr(record, group.name)) for record in chosen])
            for group in kind.groups
        }
        lanes = _lanes(kind, columns, counts, len(chosen))
        plain[positions] = (lanes + 1) // 2
        stepped[positions] = (lanes + (_step_counts(kind, counts, len(chosen)) + 1) // 2 + 1) // 2
    return plain, stepped
