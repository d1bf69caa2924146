"""A run over several devices: each has its own copy of what it reads, and transfers are checked at their end.

The values of a run do not depend on time, so steps are executed in the program's order, input by input. The common
clock then says when each would have happened on devices that work side by side.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import ExecutionError
from .profile import SystemRun
from .program import HostStep, Program, Segment, Transfer, accesses
from .run import Run
from .system import Clock, System

# (link, array) -> the array as it arrives
Carry = Callable[[str, np.ndarray], np.ndarray]


class DistributedRun(Run):
    """The state of one run in a system: `values` are arrays where they were made, `copies` came over a link."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        system = self.executable.program.system
        assert system is not None
        self.system, self.links = system, {link.name: link for link in system.links}
        self.copies: dict[tuple[str, str], Any] = {}

    def transfer(self, step: Transfer) -> None:
        """Take an array over a link. ExecutionError where it is not the same at the other end."""
        link = self.links[step.link]
        sent = self.copies.get((link.source, step.slot))
        sent = self._operand(step.slot) if sent is None else sent
        received = self.executable.carry(step.link, sent)
        if zlib.crc32(_bytes(sent)) != zlib.crc32(_bytes(received)):
            raise ExecutionError(
                f"its checksum has changed on the way from {link.source} to {link.target}",
                location=", ".join(step.sources) or step.slot,
                hint="the link is faulty; run again, or compile without the device",
            )
        self.copies[link.target, step.slot] = received
        if self.timing is not None:
            self.timing.transfer(step)

    def release(self, names: list[str]) -> None:
        """Forget arrays that nothing reads any more, wherever they lie."""
        super().release(names)
        for place in [place for place in self.copies if place[1] in names]:
            del self.copies[place]

    def _buffer(self, name: str, written: bool, device: str) -> np.ndarray:
        place = self.system.memory(device), name
        if place in self.copies:
            return self.copies[place]
        return super()._buffer(name, written, device)

    def _operand(self, name: str) -> Any:
        """What the host sees of a value."""
        place = self.system.memory(self.system.host), name
        return self.copies[place] if place in self.copies else super()._operand(name)


def carry(link: str, array: np.ndarray) -> np.ndarray:
    """A sound link: what arrives is what was sent, in other memory."""
    return array.copy()


def _bytes(array: np.ndarray) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def stages(program: Program) -> list[int]:
    """How many inputs later than the first step each step works on its input when a stream is in full flow: what has
    come over a link is used one round after it was sent."""
    system = program.system
    assert system is not None
    links = {link.name: link for link in system.links}
    at: dict[tuple[str, str], int] = {}
    found = []
    for step in program.steps:
        if isinstance(step, Transfer):
            link = links[step.link]
            number = at.get((link.source, step.slot), 0)
            at[link.target, step.slot] = number + 1
        else:
            memory = system.memory(device_of(step, system))
            reads, writes = accesses(step)
            number = max([0, *(at.get((memory, name), 0) for name in reads)])
            at.update(((memory, name), number) for name in writes)
        found.append(number)
    return found


def device_of(step: Segment | HostStep, system: System) -> str:
    """Where a step runs."""
    return step.device if isinstance(step, Segment) else system.host


def timeline(program: Program, durations: Sequence[Sequence[float]]) -> SystemRun:
    """When each step happens for inputs that come one upon the other, given how long each step takes for each input.

    The order on every device and link is static: in each round all steps are worked on once, later ones for inputs that
    came earlier.
    """
    system = program.system
    assert system is not None
    clock = Clock(system)
    links = {link.name: link for link in system.links}
    count = len(durations)
    placed = stages(program) if count > 1 else [0] * len(program.steps)
    for turn in range(count + max(placed, default=0)):
        for position, step in enumerate(program.steps):
            number = turn - placed[position]
            if not 0 <= number < count:
                continue
            if isinstance(step, Transfer):
                clock.move(links[step.link], step.slot, step.bytes, step.slot, step.sources, number)
                continue
            device = device_of(step, system)
            reads, writes = accesses(step)
            seconds = durations[number][position]
            clock.work(device, seconds, reads, writes, step.name, step.sources, number)
    outputs = [port.slot for port in program.outputs]
    finished = tuple(clock.finish(outputs, number) for number in range(count))
    return SystemRun(tuple(clock.events), finished, dict(system.clocks), max(placed, default=0))
