"""The thread pool: every thread called once, sleep and wake, forks, exits, several users."""

import ctypes
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from isthmus.backends.cpu import abi, link, native, pool, pool_ir

# Counts its calls in cell 1 + thread, ends with a barrier after which thread 0 sums the cells into cell 0.
COUNTING = """
define hidden void @count(ptr %context, i64 %thread) nounwind {
entry:
  %table = load ptr, ptr %context
  %cells = load ptr, ptr %table
  %number = add i64 %thread, 1
  %cell = getelementptr i64, ptr %cells, i64 %number
  %old = load i64, ptr %cell
  %new = add i64 %old, 1
  store i64 %new, ptr %cell
  call void @isthmus_barrier(ptr %context)
  %first = icmp eq i64 %thread, 0
  br i1 %first, label %sum, label %done
sum:
  %threads.at = getelementptr i8, ptr %context, i64 24
  %threads = load i64, ptr %threads.at
  br label %loop
loop:
  %i = phi i64 [ 1, %sum ], [ %i.next, %loop ]
  %total = phi i64 [ 0, %sum ], [ %total.next, %loop ]
  %at = getelementptr i64, ptr %cells, i64 %i
  %v = load i64, ptr %at
  %total.next = add i64 %total, %v
  %i.next = add i64 %i, 1
  %more = icmp sle i64 %i.next, %threads
  br i1 %more, label %loop, label %store
store:
  store i64 %total.next, ptr %cells
  br label %done
done:
  ret void
}
"""


class Job:
    """A context whose table points to cells."""

    def __init__(self, mapping: native.Mapping, entry: int):
        self.mapping = mapping
        self.function = mapping.base + entry
        self.cells = np.zeros(64, np.int64)
        self.table = np.array([self.cells.ctypes.data], np.int64)
        self.barrier = np.zeros(abi.BARRIER_BYTES, np.uint8)
        self.fields = np.zeros(abi.CONTEXT_BYTES // 8, np.int64)
        self.fields[abi.BUFFERS // 8] = self.table.ctypes.data
        self.fields[abi.BARRIER // 8] = self.barrier.ctypes.data
        self.fields[abi.YIELD // 8] = native.function_address("sched_yield")
        self.context = self.fields.ctypes.data


@pytest.fixture(scope="module")
def image(compile_ir):
    text = pool_ir.take_ir() + pool_ir.barrier_ir("x86-64") + pool_ir.pool_ir("x86-64") + COUNTING
    return link.link([compile_ir(text)], [*pool_ir.POOL_EXPORTS, "count", "isthmus_take"])


@pytest.fixture
def mapping(image):
    return native.Mapping(np.frombuffer(image.code, np.uint8), image.size, image.writable, image.fixups, "t")


@pytest.fixture
def make(image, mapping):
    entries = tuple(image.entries[name] for name in pool_ir.POOL_EXPORTS)
    return lambda limit: pool.Pool(mapping, entries, limit)


@pytest.fixture
def job(image, mapping):
    return Job(mapping, image.entries["count"])


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_each_thread_is_called_once_a_run(make, job, threads):
    workers = make(5)
    for turn in range(1, 201):
        assert workers.run(job.function, job.context, threads)
        assert job.cells[0] == turn * threads
    assert job.cells[1 : threads + 2].tolist() == [200] * threads + [0]


def test_a_worker_on_its_callers_core_sleeps_at_once(make, job):
    """So that it is woken on another one; however long it would spin elsewhere."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # which the worker inherits
    try:
        workers = make(2)
        workers._store(pool_ir.SPINS, 1 << 40)
        for turn in (1, 2):
            assert workers.run(job.function, job.context, 2)
            parked = ctypes.c_int64.from_address(workers._memory + pool_ir.RECORDS + pool_ir.PARKED)
            end = time.monotonic() + 10
            while not parked.value and time.monotonic() < end:
                time.sleep(0.001)
            assert parked.value
            assert job.cells[0] == 2 * turn
    finally:
        os.sched_setaffinity(0, cores)


def test_threads_may_change_from_run_to_run(make, job):
    workers = make(4)
    for turn in range(400):
        workers.run(job.function, job.context, 1 + turn % 4)
    assert job.cells[1:6].tolist() == [400, 300, 200, 100, 0]


@pytest.mark.parametrize(("threads", "chunks"), [(1, 5), (2, 1), (2, 9), (3, 8), (4, 3), (5, 0)])
def test_threads_take_their_own_chunks_first_then_those_of_others(image, mapping, threads, chunks):
    """Whatever the turns of threads, each chunk is taken once, and a part from its front."""
    address = mapping.base + image.entries["isthmus_take"]
    numbers = (ctypes.c_int64,) * 3
    take = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, *numbers, ctypes.c_void_p)(address)
    for slow in range(threads):
        counters = np.zeros((3 * threads, abi.COUNTER_BYTES // 8), np.int64)
        fields = np.zeros(abi.CONTEXT_BYTES // 8, np.int64)
        fields[abi.COUNTERS // 8], fields[abi.THREADS // 8] = counters.ctypes.data, threads
        owners, taken = np.zeros(threads, np.int64), [[] for _ in range(threads)]
        waiting = [thread for thread in range(threads) if thread != slow] or [slow]
        while waiting:
            thread = waiting.pop(0)
            owner = owners.ctypes.data + 8 * thread
            chunk = take(fields.ctypes.data, thread, 2, chunks, owner)
            if chunk >= 0:
                taken[thread].append(chunk)
                waiting.append(thread)
        assert sorted(chunk for each in taken for chunk in each) == list(range(chunks))
        assert not counters[: 2 * threads].any()  # those of other steps
        assert not counters[:, 1:].any()  # what keeps threads off each other's lines
        parts = [-(-number * chunks // threads) for number in range(threads + 1)]
        for thread in set(range(threads)) - {slow}:
            own = parts[thread + 1] - parts[thread]
            assert taken[thread][:own] == list(range(parts[thread], parts[thread + 1]))


def test_workers_outlive_their_pool(make, job):
    """Who still waits when a pool is dropped must not lose the code that it waits in."""
    for _ in range(20):
        make(4).run(job.function, job.context, 4)
    time.sleep(0.01)
    assert job.cells[1] == 20


def test_workers_wake_after_they_slept(make, job):
    workers = make(3)
    for pause in (0, 1e-5, 1e-4, 1e-3, 2e-2) * 8:
        time.sleep(pause)
        workers.run(job.function, job.context, 3)
    assert job.cells[1:4].tolist() == [40, 40, 40]


def test_sleeping_workers_take_no_processor_time(make, job):
    workers = make(3)
    workers.run(job.function, job.context, 3)
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.05


def test_limit_bounds_the_threads(make, job):
    workers = make(2)
    assert workers.run(job.function, job.context, 9)
    assert job.cells[0] == 2
    assert job.fields[abi.THREADS // 8] == 2


def test_taken_workers_are_refused_at_once(make, job):
    workers = make(2)
    with workers._busy:
        assert not workers.run(job.function, job.context, 2)
    assert workers.run(job.function, job.context, 2)
    assert job.cells[0] == 2


def test_runs_from_many_threads(make, image, mapping):
    workers = make(2)
    jobs = [Job(mapping, image.entries["count"]) for _ in range(4)]
    accepted = [0] * 4

    def work(number: int) -> None:
        job = jobs[number]
        for _ in range(300):
            accepted[number] += workers.run(job.function, job.context, 2)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(accepted) > 0
    for job, count in zip(jobs, accepted, strict=True):
        assert job.cells[1:4].tolist() == [count, count, 0]


def test_there_is_one_pool_and_it_outlives_its_first_package(image, monkeypatch):
    monkeypatch.setattr(pool, "_shared", None)
    entries = tuple(image.entries[name] for name in pool_ir.POOL_EXPORTS)
    first = native.Mapping(np.frombuffer(image.code, np.uint8), image.size, image.writable, image.fixups, "t")
    job = Job(first, image.entries["count"])
    shared = pool.shared(first, entries)
    assert shared.run(job.function, job.context, 2)
    second = native.Mapping(
        np.frombuffer(image.code, np.uint8), image.size, image.writable, image.fixups, "t"
    )
    assert pool.shared(second, entries) is shared
    job = Job(second, image.entries["count"])
    del first
    time.sleep(0.001)
    assert shared.run(job.function, job.context, 2)
    assert job.cells[0] == min(2, shared.limit)


def test_cores_are_bounded_by_affinity():
    script = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    script += "from isthmus.backends.cpu import pool; print(pool.cores())"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout == b"1\n"


def test_cores_are_bounded_by_the_control_group(monkeypatch, tmp_path):
    for text, expected in (("150000 100000", 2), ("10000 100000", 1), ("max 100000", 8), ("", 8)):
        (tmp_path / "cpu.max").write_text(text)
        monkeypatch.setattr(pool, "_QUOTA", tmp_path / "cpu.max")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
        assert pool.cores() == expected


SCRIPT = """
import os, sys, threading, time
import numpy as np
from isthmus.backends.cpu.device import device
from isthmus.runtime import load
package = load("sample.isth", {"cpu": device()}, threads=2)
x = np.load("x.npy")
expected = package.run([x])["y"]
def same():
    return all(np.array_equal(package.run([x])["y"], expected) for _ in range(100))
"""


def script(sample_artefact, folder, x, text: str) -> None:
    sample_artefact().save(folder / "sample.isth")
    np.save(folder / "x.npy", x)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", SCRIPT + text],
        cwd=folder,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_forked_children_run_with_workers_of_their_own(sample_artefact, tmp_path, x):
    text = """
children = []
for _ in range(3):
    assert same()
    child = os.fork()
    if child == 0:
        os._exit(0 if same() else 1)
    children.append(child)
assert same()
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""
    script(sample_artefact, tmp_path, x, text)


def test_fork_during_a_run(sample_artefact, tmp_path, x):
    text = """
stop = threading.Event()
def work():
    while not stop.is_set():
        package.run([x])
thread = threading.Thread(target=work)
thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        os._exit(0 if same() else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
thread.join()
"""
    script(sample_artefact, tmp_path, x, text)


@pytest.mark.parametrize(
    "text",
    [
        "assert same()  # and exit while the worker still spins",
        "assert same(); time.sleep(0.01)  # and exit while it sleeps",
        "assert same(); sys.exit(0)",
        "threading.Thread(target=lambda: [package.run([x]) for _ in range(10**6)], daemon=True).start(); same()",
        "assert same(); del package",
    ],
)
def test_the_interpreter_exits_cleanly(sample_artefact, tmp_path, x, text):
    script(sample_artefact, tmp_path, x, text)


def test_workers_block_signals(sample_artefact, tmp_path, x):
    """Python handles signals in the main thread; a worker that took one could delay it."""
    text = """
import signal
assert same()
masks = []
for task in os.listdir("/proc/self/task"):
    if int(task) != os.getpid():
        status = open(f"/proc/self/task/{task}/status").read()
        masks.append(int(status.split("SigBlk:")[1].split()[0], 16))
if len(os.sched_getaffinity(0)) > 1:
    assert any(mask >> (signal.SIGINT - 1) & 1 for mask in masks), masks
"""
    script(sample_artefact, tmp_path, x, text)


def test_records_do_not_overlap():
    assert ctypes.sizeof(ctypes.c_void_p) == 8
    assert pool_ir.SEMAPHORE + 32 <= pool_ir.RECORD_POOL < pool_ir.RECORD_THREAD < pool_ir.RECORD_BYTES
    assert pool_ir.CALLER_SEMAPHORE + 32 <= pool_ir.RECORDS
