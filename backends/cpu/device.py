"""The CPU as a device: maps a package's code image, keeps arenas and counters, calls segments. Needs no llvmlite."""

import ctypes
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime import memory
from ...runtime.device import Call
from ...runtime.errors import DeviceError, PackageError
from ...runtime.program import DeviceProgram
from . import abi, cpuinfo, native, pool
from .abi import CodeFacts

_SEGMENT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_WORD = 8


class CpuDevice:
    """The cores of this machine."""

    name = "cpu"

    def threads(self) -> int:
        """Cores that this process may use."""
        return pool.cores()

    def load(
        self, program: DeviceProgram, code: np.ndarray, constants: np.ndarray, location: str
    ) -> "CpuCode":
        """Map the image of a package; DeviceError for another architecture or missing CPU features."""
        facts = CodeFacts.from_meta(program.meta, location)
        cpuinfo.check(facts.triple, facts.features, location)
        if code.size > facts.size:
            raise PackageError(
                f"its code has {code.size} bytes, expected at most {facts.size}",
                location=location,
                hint="recompile the model",
            )
        return CpuCode(facts, code, constants, location)


class CpuCode:
    """A mapped image; unmapped when neither it nor any of its contexts is in use."""

    def __init__(self, facts: CodeFacts, code: np.ndarray, constants: np.ndarray, location: str):
        self.facts = facts
        self.constants = constants
        self.mapping = native.Mapping(code, facts.size, facts.writable, facts.fixups, location)
        self.segments = [_SEGMENT(self.mapping.base + entry) for entry in facts.entries]

    def context(self) -> "CpuContext":
        """An arena of zeros, counters, and the fields of `abi`."""
        return CpuContext(self)


class CpuContext:
    """Memory for one run at a time."""

    def __init__(self, code: CpuCode):
        self._code = code
        facts = code.facts
        self.arena = memory.zeros(facts.arena)
        self._counters = memory.zeros(abi.COUNTER_BYTES * facts.counters * pool.most())
        self._barrier = memory.zeros(abi.BARRIER_BYTES)
        self._block = memory.zeros(abi.CONTEXT_BYTES)
        self._address = memory.address(self._block)
        self._fields = (ctypes.c_int64 * (abi.CONTEXT_BYTES // _WORD)).from_address(self._address)
        self._bases = memory.address(code.constants), memory.address(self.arena)
        self._tables: dict[int, Any] = {}  # by field; each run fills them anew
        self._set(abi.COUNTERS, memory.address(self._counters))
        self._set(abi.BARRIER, memory.address(self._barrier))
        self._set(abi.YIELD, native.function_address("sched_yield"))

    def run(self, call: Call) -> None:
        """Call a segment on up to `call.threads` threads; alone when another run has the workers."""
        facts = self._code.facts
        if not 0 <= call.entry < len(facts.entries):
            raise DeviceError(
                f"segment {call.entry} does not exist; there are {len(facts.entries)}",
                location="cpu",
                hint="recompile the model",
            )
        labels = facts.steps[call.entry] if call.timed and call.entry < len(facts.steps) else ()
        self._point(abi.BUFFERS, [*self._bases, *map(memory.address, call.buffers)])
        self._point(abi.SYMBOLS, call.symbols)
        self._point(abi.CLOCK, [0] * (len(labels) + 1) if labels else ())
        self._counters[: abi.COUNTER_BYTES * facts.counters * call.threads].fill(0)
        begin = time.perf_counter()
        address = self._code.mapping.base + facts.entries[call.entry]
        if (
            call.threads == 1
            or not facts.pool
            or not self._shared().run(address, self._address, call.threads)
        ):
            self._set(abi.THREADS, 1)
            self._code.segments[call.entry](self._address, 0)
        if labels:
            clock = self._tables[abi.CLOCK][: len(labels) + 1]
            call.steps.extend(_intervals(labels, clock, time.perf_counter() - begin))

    def _shared(self) -> pool.Pool:
        return pool.shared(self._code.mapping, self._code.facts.pool)

    def _point(self, field: int, words: Sequence[int]) -> None:
        """Have a field of the context point to a table of these words, or hold null where there are none."""
        if not words:
            self._set(field, 0)
            return
        if len(self._tables.get(field, ())) < len(words):
            self._tables[field] = (ctypes.c_int64 * len(words))()
        table = self._tables[field]
        table[: len(words)] = words
        self._set(field, ctypes.addressof(table))

    def _set(self, field: int, value: int) -> None:
        self._fields[field // _WORD] = value


def _intervals(labels: Sequence[str], clock: Sequence[int], seconds: float) -> list[tuple[str, float, float]]:
    """Label, start and end of each step. The counter's frequency is unknown: its last reading is the call's end."""
    scale = seconds / max(1, clock[-1] - clock[0])
    times = [(ticks - clock[0]) * scale for ticks in clock]
    return [(label, times[i], times[i + 1]) for i, label in enumerate(labels)]


def device() -> CpuDevice:
    """What the entry point `isthmus.devices` names."""
    return CpuDevice()
