"""What can be proved of a stream before it runs: tokens, the order of conflicting accesses, reads of what was written.

Instruction a is known to be complete when b starts if a comes before b in b's own queue, or in the queue of an
instruction whose token b, or one before b in b's queue, has taken. Each pair of accesses to common bytes of which one
writes must be ordered so. A semaphore has one queue that signals and one that waits: else which token a wait takes is
a matter of time.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import Problem
from ..records import dataclass
from .access import Access, conflict
from .errors import HazardError
from .fields import SEMAPHORES, Barrier, Instruction

Locate = Callable[[int], str]
"""Where an instruction comes from: the names of its source nodes."""
_MOST_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class _Touch:
    """An access of an instruction, with its place in the queue and its bounds."""

    instruction: int
    place: int
    access: Access
    first: int
    end: int


def check(
    records: Sequence[Instruction],
    queues: Sequence[str],
    queue_depth: int,
    sizes: dict[str, int],
    context: Any = None,
    locate: Locate = str,
) -> None:
    """Prove a stream, loops run out.

    `sizes` are the bytes of the memories that are unwritten when the stream starts; others hold what was there before.
    `context` goes to `Instruction.accesses`, `locate` names source nodes.

    Raises HazardError with all findings, those of tokens first; without sound tokens the rest is not looked at.
    """
    problems = [*token_problems(records, queues, locate)]
    if not problems:
        order = _Order(records, queues, queue_depth)
        problems = order.stuck(locate)
        if not problems:
            accesses = [record.accesses(context) for record in records]
            problems = [*order_problems(records, accesses, order, locate)]
            problems += written_problems(records, accesses, sizes, locate)
    if problems:
        raise HazardError("hazards", problems=problems[:_MOST_FINDINGS])


def token_problems(
    records: Sequence[Instruction], queues: Sequence[str], locate: Locate
) -> Iterable[Problem]:
    """Semaphores whose signals and waits differ in number, or that more than one queue signals or waits for."""
    signals: list[list[int]] = [[] for _ in range(SEMAPHORES)]
    waits: list[list[int]] = [[] for _ in range(SEMAPHORES)]
    for number, record in enumerate(records):
        if record.wait or record.signal:
            for semaphore in range(SEMAPHORES):
                if record.signal >> semaphore & 1:
                    signals[semaphore].append(number)
                if record.wait >> semaphore & 1:
                    waits[semaphore].append(number)
    for semaphore, (given, taken) in enumerate(zip(signals, waits)):
        for verb, numbers in (("signalled", given), ("waited for", taken)):
            by = dict.fromkeys(records[number].queue for number in numbers)
            if len(by) > 1:
                where = locate(numbers[0])
                yield Problem(
                    where, f"semaphore {semaphore} is {verb} by {' and '.join(by)}, expected one queue"
                )
        if len(given) != len(taken):
            last = (given if len(given) > len(taken) else taken)[-1]
            yield Problem(
                locate(last),
                f"semaphore {semaphore} has {len(given)} signals and {len(taken)} waits, expected as many; the last "
                f"one is of instruction {last}, {records[last].mnemonic}",
            )


class _Order:
    """What is known to be complete when each instruction starts: `known`[i][q] counts instructions of queue q."""

    def __init__(self, records: Sequence[Instruction], queues: Sequence[str], queue_depth: int):
        self.records, self.queues = records, queues
        number = {name: n for n, name in enumerate(queues)}
        self.queue = [number.get(record.queue, -1) for record in records]
        self.place = _places(self.queue, len(queues))
        self.known: list[tuple[int, ...]] = [()] * len(records)
        self.done = [False] * len(records)
        self._run(queue_depth)

    def _run(self, depth: int) -> None:
        """Take instructions up as far as tokens and room in the queues allow; time does not matter for which can."""
        waiting: list[deque[int]] = [deque() for _ in self.queues]
        tokens: list[deque[tuple[int, ...]]] = [deque() for _ in range(SEMAPHORES)]
        latest = [(0,) * len(self.queues) for _ in self.queues]
        fence = (0,) * len(self.queues)
        fetched = 0
        going = True
        while going:
            going = False
            while fetched < len(self.records):
                queue = self.queue[fetched]
                if queue < 0:
                    if isinstance(self.records[fetched], Barrier):
                        if any(waiting):
                            break
                        fence = tuple(max(each) for each in zip(*latest))
                        latest = [fence for _ in latest]
                    self.done[fetched] = True
                elif len(waiting[queue]) < depth:
                    waiting[queue].append(fetched)
                else:
                    break
                fetched += 1
                going = True
            for queue, instructions in enumerate(waiting):
                while instructions and self._start(instructions[0], queue, tokens, latest):
                    instructions.popleft()
                    going = True

    def _start(
        self,
        instruction: int,
        queue: int,
        tokens: list[deque[tuple[int, ...]]],
        latest: list[tuple[int, ...]],
    ) -> bool:
        record = self.records[instruction]
        waits = (
            [semaphore for semaphore in range(SEMAPHORES) if record.wait >> semaphore & 1]
            if record.wait
            else []
        )
        if not all(tokens[semaphore] for semaphore in waits):
            return False
        known = latest[queue]
        for semaphore in waits:
            known = tuple(map(max, known, tokens[semaphore].popleft()))
        self.known[instruction] = known
        after = list(known)
        after[queue] = self.place[instruction] + 1
        latest[queue] = tuple(after)
        if record.signal:
            for semaphore in range(SEMAPHORES):
                if record.signal >> semaphore & 1:
                    tokens[semaphore].append(latest[queue])
        self.done[instruction] = True
        return True

    def stuck(self, locate: Locate) -> list[Problem]:
        """The first instruction of each queue that never starts."""
        found: dict[int, int] = {}
        for instruction, done in enumerate(self.done):
            if not done:
                found.setdefault(self.queue[instruction], instruction)
        return [
            Problem(
                locate(instruction),
                f"instruction {instruction}, {self.records[instruction].mnemonic}, never starts: queues are full, or "
                "its tokens depend on itself",
            )
            for instruction in found.values()
        ]


def _places(queues: Sequence[int], count: int) -> list[int]:
    """Each instruction's place in its queue."""
    seen = [0] * count
    places = []
    for queue in queues:
        places.append(seen[queue] if queue >= 0 else -1)
        if queue >= 0:
            seen[queue] += 1
    return places


def order_problems(
    records: Sequence[Instruction], accesses: Sequence[tuple[Access, ...]], order: _Order, locate: Locate
) -> Iterable[Problem]:
    """Conflicting accesses of two queues of which neither is known to be complete when the other starts.

    Only what an instruction does not know to be complete is compared with it, which is little.
    """
    open_: list[dict[str, deque[_Touch]]] = [{} for _ in order.queues]
    for instruction, touched in enumerate(accesses):
        queue = order.queue[instruction]
        if queue < 0:
            continue
        known = order.known[instruction]
        mine = [_Touch(instruction, order.place[instruction], each, each.first, each.end) for each in touched]
        for other, memories in enumerate(open_):
            if other == queue:
                continue
            for touch in mine:
                for before in memories.get(touch.access.memory, ()):
                    if (
                        before.place >= known[other]
                        and before.first < touch.end
                        and touch.first < before.end
                        and conflict(before.access, touch.access)
                        and order.place[instruction] >= order.known[before.instruction][queue]
                    ):
                        yield _unordered(records, before, touch, locate)
                        break
        for touch in mine:
            open_[queue].setdefault(touch.access.memory, deque()).append(touch)
        _forget(open_, order, instruction)


def _forget(open_: list[dict[str, deque[_Touch]]], order: _Order, instruction: int) -> None:
    """Drop what all queues know to be complete: later instructions of a queue know what earlier ones knew."""
    if instruction % 64:
        return
    latest: dict[int, tuple[int, ...]] = {}
    for number in range(instruction, -1, -1):
        queue = order.queue[number]
        if queue >= 0 and queue not in latest:
            latest[queue] = order.known[number]
            if len(latest) == len(order.queues):
                break
    used = [queue for queue in range(len(order.queues)) if queue in latest]
    if len(used) < len(order.queues):
        return
    for queue, memories in enumerate(open_):
        least = min(latest[other][queue] for other in used if other != queue)
        for touches in memories.values():
            while touches and touches[0].place < least:
                touches.popleft()


def _unordered(records: Sequence[Instruction], before: _Touch, after: _Touch, locate: Locate) -> Problem:
    verbs = ["writes" if touch.access.write else "reads" for touch in (before, after)]
    first, second = records[before.instruction], records[after.instruction]
    return Problem(
        locate(after.instruction),
        f"instruction {after.instruction}, {second.mnemonic}, {verbs[1]} bytes of {after.access.memory} from "
        f"{max(before.first, after.first):#x} on that instruction {before.instruction}, {first.mnemonic}, {verbs[0]}, "
        "and no token orders the two",
    )


def written_problems(
    records: Sequence[Instruction],
    accesses: Sequence[tuple[Access, ...]],
    sizes: dict[str, int],
    locate: Locate,
) -> Iterable[Problem]:
    """Reads of bytes that nothing has written, in the order of the program; and results that nobody reads before they
    are overwritten: two values that live in one place."""
    marks = {
        memory: np.zeros(size, np.int32) for memory, size in sizes.items()
    }  # the last writer's number, plus 1
    read = np.zeros(len(records) + 1, bool)
    overwritten = np.zeros(len(records) + 1, np.int32)
    for instruction, touched in enumerate(accesses):
        for access in sorted(touched, key=lambda each: each.write):
            held = marks.get(access.memory)
            if held is None:
                continue
            what = f"instruction {instruction}, {records[instruction].mnemonic},"
            where = f"bytes of {access.memory} between {access.first:#x} and {access.end:#x}"
            if access.first < 0 or access.end > len(held):
                yield Problem(locate(instruction), f"{what} touches {where}, which has {len(held):#x}")
                continue
            box = access.marks(held)
            if access.write:
                overwritten[box] = instruction + 1
                box[...] = instruction + 1
            elif box.min() == 0:
                yield Problem(locate(instruction), f"{what} reads {where} that nothing has written")
            else:
                read[box] = True
    for victim in np.nonzero((overwritten > 0) & ~read)[0].tolist():
        by = int(overwritten[victim]) - 1
        if victim:
            yield Problem(
                locate(by),
                f"instruction {by}, {records[by].mnemonic}, overwrites what instruction {victim - 1}, "
                f"{records[victim - 1].mnemonic}, wrote and nobody has read: two values live in one place",
            )
