"""Decoded instructions: a numpy column for each field of each class, and the order between classes kept."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from ..records import dataclass
from .fields import Group, Instruction, advancing

Columns = dict[str, np.ndarray]
RAW = ""
"""The name of the one column of a group of raw numbers."""


@dataclass(slots=True)
class Block:
    """All instructions of one class in a stream.

    `positions` are theirs in the stream, ascending, i64[n]. `columns` hold i64[n] a field, wait and signal included;
    `counts` i64[n] a group, and `items` the columns of all its items, one after another. `steps` and `item_steps` say
    what a loop adds to them, 0 but where `stepped`, bool[n], is set. `words`, i64[n], have 128 bits each.
    """

    kind: type[Instruction]
    positions: np.ndarray
    words: np.ndarray
    columns: Columns
    counts: Columns
    items: dict[str, Columns]
    stepped: np.ndarray
    steps: Columns
    item_steps: dict[str, Columns]

    def __len__(self) -> int:
        return len(self.positions)

    def records(self) -> list[Instruction]:
        """The instructions as records, in order."""
        values: dict[str, list[Any]] = {name: column.tolist() for name, column in self.columns.items()}
        for group in self.kind.groups:
            values[group.name] = self.tuples(group)
        names = list(values)
        return [self.kind(**dict(zip(names, row))) for row in zip(*values.values())]

    def record(self, row: int) -> Instruction:
        """One of them."""
        values: dict[str, Any] = {name: int(column[row]) for name, column in self.columns.items()}
        for group in self.kind.groups:
            begin, count = self.counts[group.name][:row].sum(), self.counts[group.name][row]
            part = {name: column[begin : begin + count] for name, column in self.items[group.name].items()}
            values[group.name] = _items(group, part)
        return self.kind(**values)

    def begins(self, group: str) -> np.ndarray:
        """The place of each instruction's first item of a group, i64[n]."""
        return np.cumsum(self.counts[group]) - self.counts[group]

    def alike(self, besides: Iterable[Hashable] | None = None) -> list[list[int]]:
        """Rows of instructions that differ in nothing but addresses, which are fields that loops drive, and semaphores;
        `besides` has something of each instruction in which they are alike too."""
        driven, items_driven = advancing(self.kind)
        left_out = {"wait", "signal", *(each.name for each in driven)}
        keys: list[Iterable[Hashable]] = [
            column.tolist() for name, column in self.columns.items() if name not in left_out
        ]
        for group in self.kind.groups:
            left_out = {each.name for each in items_driven[group.name]}
            flat = [*zip(*(c.tolist() for name, c in self.items[group.name].items() if name not in left_out))]
            begins, counts = self.begins(group.name).tolist(), self.counts[group.name].tolist()
            keys.append([tuple(flat[begin : begin + count]) for begin, count in zip(begins, counts)])
        found: dict[Hashable, list[int]] = {}
        for row, key in enumerate(zip(*keys, besides or [None] * len(self))):
            found.setdefault(key, []).append(row)
        return list(found.values())

    def tuples(self, group: Group) -> list[tuple[Any, ...]]:
        """The items of a group for each instruction."""
        flat = _items(group, self.items[group.name])
        ends = np.cumsum(self.counts[group.name]).tolist()
        return [flat[begin:end] for begin, end in zip([0, *ends], ends)]

    def flat_steps(self) -> dict[int, tuple[int, ...]]:
        """By position, the steps of each stepped instruction as `Isa.encode` takes them."""
        parts = [_rows(self.steps, len(self))]
        for name, columns in self.item_steps.items():
            flat = _rows(columns, int(self.counts[name].sum()))
            ends = np.cumsum(self.counts[name]).tolist()
            parts.append([[*chain(*flat[begin:end])] for begin, end in zip([0, *ends], ends)])
        return {
            position: tuple(chain(*row))
            for position, row, stepped in zip(self.positions.tolist(), zip(*parts), self.stepped.tolist())
            if stepped
        }


class Stream:
    """Instructions of an entry point: `blocks` by class, `size` of them in all."""

    def __init__(self, blocks: Mapping[type[Instruction], Block], size: int):
        self.blocks = dict(blocks)
        self.size = size

    @cached_property
    def records(self) -> list[Instruction]:
        """All instructions in order."""
        out: list[Any] = [None] * self.size
        for block in self.blocks.values():
            for position, record in zip(block.positions.tolist(), block.records()):
                out[position] = record
        return out

    @property
    def steps(self) -> dict[int, tuple[int, ...]]:
        """By position, the steps of instructions in loops as `Isa.encode` takes them; of a stream as it is stored."""
        found: dict[int, tuple[int, ...]] = {}
        for block in self.blocks.values():
            if block.stepped.any():
                found |= block.flat_steps()
        return found

    def column(self, name: str) -> np.ndarray:
        """One field of all instructions, i64[size]; 0 where an instruction has no such field."""
        out = np.zeros(self.size, np.int64)
        for block in self.blocks.values():
            if name in block.columns:
                out[block.positions] = block.columns[name]
        return out

    @property
    def mnemonics(self) -> list[str]:
        """The name of each instruction."""
        out = np.empty(self.size, object)
        for kind, block in self.blocks.items():
            out[block.positions] = kind.mnemonic
        return out.tolist()

    @property
    def words(self) -> np.ndarray:
        """Words of 128 bits of each instruction, i64[size]."""
        out = np.ones(self.size, np.int64)
        for block in self.blocks.values():
            out[block.positions] = block.words
        return out

    def queues(self, names: Sequence[str]) -> np.ndarray:
        """The number of each instruction's queue among `names`, i64[size]; -1 for the fetch unit."""
        out = np.full(self.size, -1, np.int64)
        for kind, block in self.blocks.items():
            if kind.queue:
                out[block.positions] = names.index(kind.queue)
        return out


def _items(group: Group, columns: Columns) -> tuple[Any, ...]:
    """Columns of a group as items one after another."""
    if group.item is None:
        return tuple(columns[RAW].tolist())
    names = list(columns)
    return tuple(
        group.item(**dict(zip(names, row))) for row in zip(*(column.tolist() for column in columns.values()))
    )


def _rows(columns: Columns, count: int) -> list[list[int]]:
    """Columns of `count` numbers as rows."""
    return np.array([*columns.values()], np.int64).reshape(len(columns), count).T.tolist()
