"""Bytes to instructions: headers are walked once, then the fields of a class are taken out of all its lanes at once."""

from collections.abc import Mapping

import numpy as np

from .encoding import running
from .errors import EncodingError
from .fields import (
    HEADER,
    HEADER_BITS,
    HEADER_SHIFTS,
    LANE,
    Group,
    Instruction,
    Layout,
    Loop,
    Operand,
    advancing,
)
from .stream import RAW, Block, Columns, Stream

_WORD_BYTES = 16


class Decoder:
    """One piece of code, u8[n], and where it is from."""

    def __init__(self, by_opcode: Mapping[int, type[Instruction]], code: bytes | np.ndarray, location: str):
        data = np.frombuffer(code, np.uint8)
        self.by_opcode, self.location = by_opcode, location
        if data.size % _WORD_BYTES:
            self._refuse(f"its code has {data.size} bytes, expected a multiple of {_WORD_BYTES}")
        self.lanes = data.view("<u8").astype(np.uint64)

    def decode(self) -> Stream:
        """The instructions as they are stored; of those that are none, the first is what the error is about."""
        starts, refused = self._starts()
        heads = self.lanes[2 * starts]
        opcodes = self._header(heads, "opcode")
        blocks: dict[type[Instruction], Block] = {}
        for opcode in np.unique(opcodes).tolist():
            positions = np.nonzero(opcodes == opcode)[0]
            try:
                kind = self.by_opcode.get(opcode)
                if kind is None:
                    raise _Refused(positions[0], f" has opcode {opcode}, which is none")
                blocks[kind] = self._block(kind, positions, 2 * starts[positions])
            except _Refused as problem:
                refused.append(problem)
        if refused:
            first = min(refused, key=lambda each: each.position)
            loops = opcodes[: first.position] == Loop.opcode
            number = self._run_out(first.position, np.nonzero(loops)[0], starts)
            self._refuse(f"instruction {first.position}{first.message}", number)
        return Stream(blocks, len(starts))

    def _run_out(self, position: int, loops: np.ndarray, starts: np.ndarray) -> int:
        """The number of a stored instruction when the loops before it are run out."""
        number = position - len(loops)
        if len(loops):
            found = self._block(Loop, loops, 2 * starts[loops]).columns
            whole = loops + found["length"] < position
            number += int(((found["count"] - 1) * found["length"])[whole].sum())
        return number

    def _starts(self) -> "tuple[np.ndarray, list[_Refused]]":
        """The first word of every instruction; one that ends behind the code is left out, and refused."""
        lengths = (self._header(self.lanes[::2], "words") + 1).tolist()
        starts, word = [], 0
        while word < len(lengths):
            starts.append(word)
            word += lengths[word]
        if word == len(lengths):
            return np.array(starts, np.int64), []
        problem = _Refused(len(starts) - 1, f" ends {word - len(lengths)} words behind the code")
        return np.array(starts[:-1], np.int64), [problem]

    def _block(self, kind: type[Instruction], positions: np.ndarray, first: np.ndarray) -> Block:
        heads = self.lanes[first]
        ends = first + 2 * (self._header(heads, "words") + 1)
        stepped = self._header(heads, "stepped") != 0
        columns = {name: self._header(heads, name) for name in ("wait", "signal")}
        fixed_steps, item_steps = advancing(kind)
        limit = ends - stepped * 2 * ((len(fixed_steps) + 3) // 4) if not kind.groups else ends
        stored = np.minimum(2 * kind.layout.words, limit - first)
        lanes = self._gathered(first, stored, 2 * kind.layout.words)
        columns |= self._fields(kind.layout, lanes, stored, HEADER_BITS, kind, positions)
        cursor = first + stored
        counts: Columns = {}
        items: dict[str, Columns] = {}
        for group in kind.groups:
            counts[group.name] = columns.pop(group.count.name)
            self._within(kind, positions, group.count, counts[group.name], group.most)
            items[group.name], cursor = self._items(kind, positions, group, counts[group.name], cursor, ends)
        step_count = np.full(len(positions), len(fixed_steps))
        for name, each in item_steps.items():
            step_count = step_count + len(each) * counts[name]
        step_count = step_count * stepped
        flat, cursor = self._halves(kind, positions, step_count, cursor, ends)
        self._used_up(kind, positions, cursor, ends)
        steps, steps_of_items = _split(kind, flat, stepped, step_count, counts)
        return Block(
            kind, positions, (ends - first) // 2, columns, counts, items, stepped, steps, steps_of_items
        )

    def _items(
        self,
        kind: type[Instruction],
        positions: np.ndarray,
        group: Group,
        counts: np.ndarray,
        cursor: np.ndarray,
        ends: np.ndarray,
    ) -> tuple[Columns, np.ndarray]:
        size = 32 if group.item is None else group.item.size
        if size == LANE // 2:
            numbers, cursor = self._halves(kind, positions, counts, cursor, ends)
            if group.item is None:
                return {RAW: numbers}, cursor
            lanes = (numbers & 0xFFFFFFFF).astype(np.uint64)[:, None]
        else:
            width = size // LANE
            self._fits(kind, positions, cursor + counts * width, ends)
            begins = np.repeat(cursor, counts) + running(counts) * width
            lanes = self._gathered(begins, np.full(len(begins), width), width)
            cursor = cursor + counts * width
        stored = np.full(len(lanes), lanes.shape[1])
        owners = np.repeat(positions, counts)
        assert group.item is not None
        return self._fields(group.item.layout, lanes, stored, 0, kind, owners), cursor

    def _halves(
        self,
        kind: type[Instruction],
        positions: np.ndarray,
        counts: np.ndarray,
        cursor: np.ndarray,
        ends: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Signed 32-bit numbers, two to a lane, from lane `cursor` of each instruction on, and the lane behind them."""
        taken = (counts + 1) // 2
        self._fits(kind, positions, cursor + taken, ends)
        within = running(counts)
        lanes = self.lanes[np.repeat(cursor, counts) + within // 2]
        bits = (lanes >> ((within % 2) * 32).astype(np.uint64)).astype(np.uint32)
        return bits.view(np.int32).astype(np.int64), cursor + taken

    def _gathered(self, begins: np.ndarray, stored: np.ndarray, width: int) -> np.ndarray:
        """u64[n, width]: lanes from each beginning on, 0 from `stored` on."""
        offsets = np.arange(width)
        index = np.minimum(begins[:, None] + offsets, len(self.lanes) - 1)
        return np.where(offsets < stored[:, None], self.lanes[index], np.uint64(0))

    def _fields(
        self,
        layout: Layout,
        lanes: np.ndarray,
        stored: np.ndarray,
        reserved: int,
        kind: type[Instruction],
        positions: np.ndarray,
    ) -> Columns:
        """A column a field; bits that belong to none must be 0."""
        rest = lanes.copy()
        if reserved:
            rest[:, 0] &= ~np.uint64((1 << reserved) - 1)
        columns = {}
        for place in layout.places:
            each = place.operand
            mask = np.uint64((1 << each.bits) - 1)
            bits = (lanes[:, place.lane] >> np.uint64(place.shift)) & mask
            rest[:, place.lane] &= ~(mask << np.uint64(place.shift))
            values = bits.astype(np.int64)
            if each.signed:
                values -= (values >> (each.bits - 1)) << each.bits
            values = np.where(place.lane < stored, values, each.default or 0)
            self._within(kind, positions, each, values)
            columns[each.name] = values
        stray = np.nonzero(rest.any(axis=1))[0]
        if len(stray):
            raise _Refused(positions[stray[0]], f", {kind.mnemonic}, has bits that belong to no field")
        return columns

    def _within(
        self,
        kind: type[Instruction],
        positions: np.ndarray,
        operand: Operand,
        values: np.ndarray,
        most: int | None = None,
    ) -> None:
        low, high = operand.limits
        high = high if most is None else min(high, most)
        wrong = np.nonzero((values < low) | (values > high))[0]
        if len(wrong):
            why = f"{operand.name} is {values[wrong[0]]}, expected {low} to {high}"
            raise _Refused(positions[wrong[0]], f", {kind.mnemonic}: {why}")

    def _fits(
        self, kind: type[Instruction], positions: np.ndarray, cursor: np.ndarray, ends: np.ndarray
    ) -> None:
        beyond = np.nonzero(cursor > ends)[0]
        if len(beyond):
            raise _Refused(positions[beyond[0]], f", {kind.mnemonic}, has fewer words than its fields take")

    def _used_up(
        self, kind: type[Instruction], positions: np.ndarray, cursor: np.ndarray, ends: np.ndarray
    ) -> None:
        wrong = np.nonzero(ends - cursor > 1)[0]
        if len(wrong):
            raise _Refused(positions[wrong[0]], f", {kind.mnemonic}, has more words than its fields take")

    @staticmethod
    def _header(heads: np.ndarray, name: str) -> np.ndarray:
        mask = np.uint64((1 << HEADER[name]) - 1)
        return ((heads >> np.uint64(HEADER_SHIFTS[name])) & mask).astype(np.int64)

    def _refuse(self, message: str, number: int | None = None) -> None:
        raise EncodingError(message, location=self.location, hint="recompile the model", instruction=number)


class _Refused(Exception):
    """What is wrong with a stored instruction."""

    def __init__(self, position: int, message: str):
        super().__init__(message)
        self.position, self.message = int(position), message


def _split(
    kind: type[Instruction], flat: np.ndarray, stepped: np.ndarray, lengths: np.ndarray, counts: Columns
) -> tuple[Columns, dict[str, Columns]]:
    """Steps one after another, to a column a field that advances."""
    fixed, items = advancing(kind)
    begins = np.cumsum(lengths) - lengths
    padded = np.append(flat, 0)
    steps = {
        each.name: np.where(stepped, padded[np.where(stepped, begins + n, len(flat))], 0)
        for n, each in enumerate(fixed)
    }
    cursor = begins + len(fixed)
    steps_of_items: dict[str, Columns] = {}
    for name, fields in items.items():
        owners_stepped = np.repeat(stepped, counts[name])
        first = np.repeat(cursor, counts[name]) + running(counts[name]) * len(fields)
        steps_of_items[name] = {
            each.name: np.where(owners_stepped, padded[np.where(owners_stepped, first + n, len(flat))], 0)
            for n, each in enumerate(fields)
        }
        cursor = cursor + len(fields) * counts[name]
    return steps, steps_of_items
