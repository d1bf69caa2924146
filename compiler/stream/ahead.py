"""Loads at the head of a kernel, begun while the kernel before it runs.

A fetch unit hands on instructions in their order, so what a kernel loads first would wait behind all of the last one's
work. Such loads move up to where their own queue is free, as long as nothing that they pass touches the same bytes.
"""

from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Any

from ...runtime.sim.access import Access
from ...runtime.sim.fields import Instruction


def loads_ahead(
    kernels: Sequence[Sequence[Instruction]], loads: Collection[str], context: Any
) -> list[tuple[int, Instruction]]:
    """The instructions of kernels that follow one another, each with the number of its kernel; `loads` are the queues
    of loads, `context` is what `Instruction.accesses` needs."""
    out: list[tuple[int, Instruction]] = []
    known: dict[int, tuple[Access, ...]] = {}

    def touched(record: Instruction) -> tuple[Access, ...]:
        if id(record) not in known:
            known[id(record)] = record.accesses(context)
        return known[id(record)]

    for number, records in enumerate(kernels):
        head = list(takewhile(lambda record: record.queue in loads, records))
        for record in head:
            place = len(out)
            while place and _passes(out[place - 1][1], record, touched):
                place -= 1
            out.insert(place, (number, record))
        out += ((number, record) for record in records[len(head) :])
    return out


def _passes(before: Instruction, record: Instruction, touched: Any) -> bool:
    """Whether a load may go before an instruction: another queue's, that shares no bytes with it where one writes."""
    if not before.queue or before.queue == record.queue:
        return False
    return not any(
        (mine.write or other.write)
        and mine.memory == other.memory
        and mine.first < other.end
        and other.first < mine.end
        for mine in touched(record)
        for other in touched(before)
    )
