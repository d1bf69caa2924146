"""The process's thread pool: workers that start with the first run that wants them and live as long as the process.

Its machine code (`pool_ir`) comes from the first package that is loaded, in a mapping that is kept for ever, so
packages come and go freely. One run has the workers at a time; a run that finds them taken goes on alone in its own
thread, which bounds the threads to callers + cores - 1. A forked child has no workers and starts its own.
"""

import ctypes
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import abi, native, pool_ir
from .native import Mapping

SPIN_SECONDS = 200e-6
"""How long a worker, or a caller that waits for workers, spins before it sleeps. To be woken takes a worker some 40
microseconds on a virtual machine, so one run after the other should find it awake, whatever Python does between."""
_PROBE_PAUSES = 2000
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # microseconds of processor time, per period


def cores() -> int:
    """Cores that this process may use: its affinity mask, bounded by its control group's share of processor time."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
        share = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no control group, or "max": no bound
        return available
    return max(1, min(available, share))


def most() -> int:
    """The most threads that a run may ever have here."""
    return os.cpu_count() or 1


_kept: list[Mapping] = []  # workers stay in this code for ever, whatever becomes of the pool


class Pool:
    """Workers, and the memory through which they are told what to do. Use `shared`."""

    def __init__(self, code: Mapping, entries: tuple[int, ...], limit: int):
        """Room for `limit` threads, the caller's included; none is started. `entries` as `CodeFacts.pool` has them."""
        _kept.append(code)
        run, self._worker, pause = (code.base + entry for entry in entries)
        # Releases the interpreter's lock while it runs, as all foreign calls of ctypes.CFUNCTYPE do.
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(
            run
        )
        self.limit = limit
        self._started = 1
        self._busy = threading.Lock()
        # Never freed either: a worker may be looking at it while the interpreter shuts down.
        self._memory = native.allocate(pool_ir.RECORDS + limit * pool_ir.RECORD_BYTES)
        self._store(pool_ir.WAIT, native.function_address("sem_wait"))
        self._store(pool_ir.POST, native.function_address("sem_post"))
        self._store(pool_ir.CORE, native.function_address("sched_getcpu"))
        self._store(pool_ir.SPINS, _spins(ctypes.CFUNCTYPE(None, ctypes.c_int64)(pause)))
        native.libc().sem_init(self._memory + pool_ir.CALLER_SEMAPHORE, 0, 0)

    def run(self, segment: int, context: int, threads: int) -> bool:
        """Call segment(context, i) for each i < threads, or return False at once when another run has the workers.

        `segment` and `context` are addresses; the context's number of threads is set here, lowered to what there is.
        """
        if not self._busy.acquire(blocking=False):
            return False
        try:
            threads = self._start(min(threads, self.limit))
            ctypes.c_int64.from_address(context + abi.THREADS).value = threads
            self._run(self._memory, segment, context, threads)
            return True
        finally:
            self._busy.release()

    def _start(self, threads: int) -> int:
        """Start what lacks to `threads`; how many there are, fewer when the system gives no more."""
        if threads <= self._started:
            return threads
        # Signals are the interpreter's business: workers inherit a mask that blocks them all.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while self._started < threads:
                record = pool_ir.RECORDS + (self._started - 1) * pool_ir.RECORD_BYTES
                self._store(record + pool_ir.RECORD_POOL, self._memory)
                self._store(record + pool_ir.RECORD_THREAD, self._started)
                native.libc().sem_init(self._memory + record + pool_ir.SEMAPHORE, 0, 0)
                handle = ctypes.c_uint64()
                address = self._memory + record
                if native.libc().pthread_create(ctypes.byref(handle), None, self._worker, address):
                    break
                self._started += 1
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return min(threads, self._started)

    def _store(self, offset: int, value: int) -> None:
        ctypes.c_int64.from_address(self._memory + offset).value = value


def _spins(pause: Callable[[int], None]) -> int:
    """How many pauses take SPIN_SECONDS; they last 10 to 140 cycles, by the make of the core."""
    best = math.inf
    for _ in range(3):
        begin = time.perf_counter()
        pause(_PROBE_PAUSES)
        best = min(best, time.perf_counter() - begin)
    return max(1, round(SPIN_SECONDS / best * _PROBE_PAUSES))


_shared: Pool | None = None
_making = threading.Lock()


def shared(code: Mapping, entries: tuple[int, ...]) -> Pool:
    """The process's pool, made with this code if there is none yet."""
    global _shared
    with _making:
        if _shared is None:
            _shared = Pool(code, entries, most())
        return _shared


def _forget() -> None:
    """In a forked child only the forking thread goes on: the pool's workers, and who held its lock, are gone."""
    global _shared, _making
    _shared, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
