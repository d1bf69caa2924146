"""Effects of all instructions of a class: those that differ in addresses alone share what is worked out of the others.

A network's code is loops of tiles that are run out, so that thousands of instructions are some tens of these.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from .copies import Move
from .memories import Prepared
from .microcode import Microcode
from .products import Multiply
from .stream import Block
from .vectors import Step, Sweep


class Places(Protocol):
    """What an entry point knows of home memory; see `device.Entry.resolved`."""

    def resolved(self, addresses: Any) -> list[tuple[int, int]]:
        """Each address as a region and an offset in it."""
        ...


def shared(
    block: Block,
    common: Callable[[int], Callable[..., None]],
    addresses: Sequence[tuple[Any, ...]],
    besides: Iterable[Hashable] | None = None,
) -> list[Prepared]:
    """For every instruction what `common` gives of the first one like it, by its row, at its own `addresses`."""
    found: list[Any] = [None] * len(block)
    for rows in block.alike(besides):
        run = common(rows[0])
        for row in rows:
            found[row] = partial(run, *addresses[row])
    return found


def moves(entry: Places, block: Block, near: str, of: Callable[[Any], Move]) -> list[Prepared]:
    """Of copies between "dram" and the address in a scratchpad that the field `near` is."""
    places, near_places = entry.resolved(block.columns["dram"]), block.columns[near].tolist()
    addresses = [(*place, address) for place, address in zip(places, near_places)]
    return shared(block, lambda row: of(block.record(row)), addresses)


def products(block: Block, of: Callable[[Any], Multiply], unit: int = 1) -> list[Prepared]:
    """Of products of what begins at "a" and "w", onto "c", which counts in `unit` bytes."""
    columns = (block.columns["a"], block.columns["w"], unit * block.columns["c"])
    addresses = list(zip(*(column.tolist() for column in columns)))
    return shared(block, lambda row: of(block.record(row)), addresses)


Defined = tuple[Sequence[Step], Sequence[int]]
"""A program and its immediates."""


def sweeps(
    code: Microcode[Any, Any],
    block: Block,
    group: str,
    program: Callable[[int, Any], Defined],
    how: Callable[[Any], tuple[str, bool]],
    besides: Iterable[Hashable] | None = None,
) -> list[Prepared]:
    """Of programs over the streams that the field `group` holds: `program` of a row and its record, `how` its results
    are combined, and whether anew."""
    bases = code.bases(block.items[group])
    begins, counts = block.begins(group).tolist(), block.counts[group].tolist()
    addresses = [(bases[begin : begin + count],) for begin, count in zip(begins, counts)]

    def common(row: int) -> Callable[..., None]:
        record: Any = block.record(row)
        extents = (record.n4, record.n3, record.n2, record.n1, record.n0)
        streams = [code.stream(view, extents) for view in getattr(record, group)]
        return Sweep(*program(row, record), streams, *how(record)).run

    return shared(block, common, addresses, besides)
