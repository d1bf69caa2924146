"""Tokens between queues: wherever two engines touch the same bytes and one of them writes, the second one waits.

Instructions of one queue run in order. From one queue to another goes one counting semaphore: its k-th signal meets
its k-th wait. A wait that other waits imply is left out.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from ...runtime.sim.fields import Instruction
from ..diagnostics import UnsupportedError

Span = tuple[str, bool, int, int]
"""What an access touches: a memory, whether it writes, its lowest address, and one past the highest."""


class _Bytes:
    """Who wrote and read each range of a memory last: sorted boundaries, each with (queue, position) marks."""

    def __init__(self) -> None:
        self.starts: list[int] = [0]
        self.written: list[tuple[int, int] | None] = [None]
        self.read: list[dict[int, int]] = [{}]

    def _cut(self, at: int) -> int:
        place = bisect_right(self.starts, at) - 1
        if self.starts[place] == at:
            return place
        self.starts.insert(place + 1, at)
        self.written.insert(place + 1, self.written[place])
        self.read.insert(place + 1, dict(self.read[place]))
        return place + 1

    def touch(self, span: Span, queue: int, position: int, needed: dict[int, int]) -> None:
        """Note an access, and in `needed` the last position of each other queue that it has to follow."""
        _, writes, begin, end = span
        first = self._cut(begin)
        last = self._cut(end)
        for place in range(first, last):
            writer = self.written[place]
            if writer is not None and writer[0] != queue:
                needed[writer[0]] = max(needed.get(writer[0], -1), writer[1])
            if writes:
                for reader, at in self.read[place].items():
                    if reader != queue:
                        needed[reader] = max(needed.get(reader, -1), at)
            else:
                self.read[place][queue] = position
        if writes:
            del self.starts[first + 1 : last], self.written[first + 1 : last], self.read[first + 1 : last]
            self.written[first] = (queue, position)
            self.read[first] = {}


class Touched:
    """What instructions touch, each asked once; `context` is what `Instruction.accesses` needs."""

    def __init__(self, context: Any):
        self.context = context
        # by identity; instructions are kept, so that it stays one
        self._found: dict[int, tuple[Instruction, tuple[Span, ...]]] = {}

    def by(self, record: Instruction) -> tuple[Span, ...]:
        """The spans that an instruction touches."""
        if id(record) not in self._found:
            accesses = record.accesses(self.context)
            spans = tuple([(each.memory, each.write, each.first, each.end) for each in accesses])
            self._found[id(record)] = record, spans
        return self._found[id(record)][1]


def dependences(
    records: Sequence[Instruction], queues: Sequence[str], touched: Touched
) -> Iterator[dict[int, int]]:
    """For each instruction the last position of each other queue that it has to follow, in fetch order."""
    number = {name: n for n, name in enumerate(queues)}
    memories: dict[str, _Bytes] = {}
    for position, record in enumerate(records):
        needed: dict[int, int] = {}
        if record.queue:
            for span in touched.by(record):
                if span[0] not in memories:
                    memories[span[0]] = _Bytes()
                memories[span[0]].touch(span, number[record.queue], position, needed)
        yield needed


def predecessors(records: Sequence[Instruction], touched: Touched) -> Iterator[list[int]]:
    """For each instruction those that have to be complete before it, whatever order its queue has: the last that wrote
    bytes that it touches, and those that have read since what it writes."""
    memories: dict[str, _Bytes] = {}
    for position, record in enumerate(records):
        needed: dict[int, int] = {}
        for span in touched.by(record):
            if span[0] not in memories:
                memories[span[0]] = _Bytes()
            memories[span[0]].touch(span, position, position, needed)
        yield list(needed)


def synchronise(
    records: Sequence[Instruction], queues: Sequence[str], semaphores: int, touched: Touched
) -> dict[tuple[str, str], int]:
    """Set the wait and signal masks of instructions in fetch order; the semaphore of each pair of queues.

    Raises UnsupportedError when more pairs of queues depend on each other than there are semaphores.
    """
    number = {name: n for n, name in enumerate(queues)}
    known: list[
        list[int]
    ] = []  # for each instruction, the last position of each queue that is complete when it starts
    latest = [-1] * len(queues)
    last_of_queue: dict[int, int] = {}
    semaphore: dict[tuple[int, int], int] = {}
    for position, (record, needed) in enumerate(zip(records, dependences(records, queues, touched))):
        if not record.queue:
            known.append([-1] * len(queues))
            continue
        queue = number[record.queue]
        before = last_of_queue.get(queue)
        seen = list(known[before]) if before is not None else [-1] * len(queues)
        if before is not None:
            seen[queue] = before
        for other, at in sorted(needed.items(), key=lambda entry: -entry[1]):
            if at <= seen[other]:
                continue
            bit = semaphore.setdefault((other, queue), len(semaphore))
            record.wait |= 1 << bit
            records[at].signal |= 1 << bit
            seen[other] = at
            seen = [max(a, b) for a, b in zip(seen, known[at])]
        known.append(seen)
        latest[queue] = position
        last_of_queue[queue] = position
    if len(semaphore) > semaphores:
        raise UnsupportedError(
            f"{len(semaphore)} pairs of engines wait for each other, the chip has {semaphores} semaphores"
        )
    return {(queues[a], queues[b]): bit for (a, b), bit in semaphore.items()}
