"""Loops run out: the instructions of a stored stream in the order in which the fetch unit hands them on."""

import numpy as np

from .encoding import running
from .errors import EncodingError
from .fields import CONTROL, Loop, Operand
from .stream import Block, Columns, Stream

_MOST_INSTRUCTIONS = 1 << 21


def expand(stored: Stream, location: str) -> Stream:
    """A stream without loops; EncodingError for loops that reach too far, nest, or drive a field beyond its limits."""
    if Loop not in stored.blocks:
        return stored
    origin, turn = _order(stored, location)
    row_of = np.zeros(stored.size, np.int64)
    kind_of = np.zeros(stored.size, np.int64)
    kinds = [kind for kind in stored.blocks if kind is not Loop]
    for number, kind in enumerate(kinds):
        row_of[stored.blocks[kind].positions] = np.arange(len(stored.blocks[kind]))
        kind_of[stored.blocks[kind].positions] = number
    chosen = kind_of[origin]
    blocks = {}
    for number, kind in enumerate(kinds):
        positions = np.nonzero(chosen == number)[0]
        rows = row_of[origin[positions]]
        blocks[kind] = _repeated(stored.blocks[kind], positions, rows, turn[positions], location)
    return Stream(blocks, len(origin))


def _order(stored: Stream, location: str) -> tuple[np.ndarray, np.ndarray]:
    """For every instruction that is fetched, its position in the stored stream, and its loop's iteration."""
    loops = stored.blocks[Loop]
    control = np.zeros(stored.size, bool)
    for kind in CONTROL:
        if kind in stored.blocks:
            control[stored.blocks[kind].positions] = True
    origin: list[np.ndarray] = []
    turn: list[np.ndarray] = []
    begin = 0
    counts, lengths = loops.columns["count"], loops.columns["length"]
    total = stored.size + int((counts * lengths).sum())
    if total > _MOST_INSTRUCTIONS:
        _refuse(f"loops run {total} instructions, expected at most {_MOST_INSTRUCTIONS}", location)
    for position, count, length in zip(loops.positions.tolist(), counts.tolist(), lengths.tolist()):
        first, end = position + 1, position + 1 + length
        if position < begin or end > stored.size or control[first:end].any():
            _refuse(
                f"the loop at instruction {position} holds a control instruction, or less than {length}",
                location,
                sum(map(len, origin)) + max(0, position - begin),
            )
        origin += [np.arange(begin, position), np.tile(np.arange(first, end), count)]
        turn += [np.zeros(position - begin, np.int64), np.repeat(np.arange(count), length)]
        begin = end
    origin.append(np.arange(begin, stored.size))
    turn.append(np.zeros(stored.size - begin, np.int64))
    return np.concatenate(origin), np.concatenate(turn)


def _repeated(
    block: Block, positions: np.ndarray, rows: np.ndarray, turn: np.ndarray, location: str
) -> Block:
    operands = {each.name: each for each in block.kind.operands}
    columns = {
        name: _advanced(
            column[rows], block.steps.get(name), rows, turn, operands.get(name), block, location, positions
        )
        for name, column in block.columns.items()
    }
    counts = {name: column[rows] for name, column in block.counts.items()}
    items: dict[str, Columns] = {}
    for group in block.kind.groups:
        lengths = counts[group.name]
        begins = np.cumsum(block.counts[group.name]) - block.counts[group.name]
        flat = np.repeat(begins[rows], lengths) + running(lengths)
        turns, owners = np.repeat(turn, lengths), np.repeat(positions, lengths)
        fields = {each.name: each for each in group.item.operands} if group.item is not None else {}
        steps = block.item_steps[group.name]
        items[group.name] = {
            name: _advanced(
                column[flat], steps.get(name), flat, turns, fields.get(name), block, location, owners
            )
            for name, column in block.items[group.name].items()
        }
    plain = np.zeros(len(rows), bool)
    return Block(block.kind, positions, block.words[rows], columns, counts, items, plain, {}, {})


def _advanced(
    values: np.ndarray,
    steps: np.ndarray | None,
    rows: np.ndarray,
    turn: np.ndarray,
    operand: Operand | None,
    block: Block,
    location: str,
    numbers: np.ndarray,
) -> np.ndarray:
    if steps is None or operand is None:
        return values
    values = values + steps[rows] * turn
    low, high = operand.limits
    wrong = np.nonzero((values < low) | (values > high))[0]
    if len(wrong):
        _refuse(
            f"a loop drives {operand.name} of {block.kind.mnemonic} to {values[wrong[0]]}, expected {low} to {high}",
            location,
            int(numbers[wrong[0]]),
        )
    return values


def _refuse(message: str, location: str, number: int | None = None) -> None:
    raise EncodingError(message, location=location, hint="recompile the model", instruction=number)
