"""LLVM IR of the thread pool's native half, of a barrier and of how work is shared: emitted into every image, so that a
package brings the machine code that its workers need. `pool.py` is the other half: it lays out the memory and starts
the threads.

A worker sleeps in three stages: it spins for some microseconds, because the next run or segment is usually near; it
says that it parks; it waits on its semaphore. Whoever hands out work posts the semaphore only of workers that parked.
One that finds itself on its caller's core parks at once: it is woken on another, while one that never sleeps may share
the core for seconds.
"""

from .abi import BARRIER, BARRIER_GENERATION, COUNTER_BYTES, COUNTERS, THREADS, YIELD

POOL_EXPORTS = ("isthmus_pool_run", "isthmus_pool_worker", "isthmus_pool_pause")

# The pool's memory: the job that is being run, then one record a worker. Fields that different threads write lie on
# lines of their own.
JOB_FUNCTION, JOB_CONTEXT, JOB_CORE, REMAINING, CALLER_PARKED = 0, 8, 16, 64, 128
WAIT, POST, SPINS, CORE, CALLER_SEMAPHORE = 192, 200, 208, 216, 256
RECORDS, RECORD_BYTES = 384, 256
TICKET, PARKED, SEMAPHORE, RECORD_POOL, RECORD_THREAD = 0, 64, 128, 192, 200

_YIELD_AFTER = 256
"""Pauses of a barrier, some microseconds, before it gives the core up: another thread of the run may need it."""

_PAUSE = {
    "x86-64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}


def machine_of(triple: str) -> str:
    """The name in `elf.MACHINES` of a triple's architecture, or the architecture itself when it has none there."""
    architecture = triple.split("-")[0]
    return {"x86_64": "x86-64", "amd64": "x86-64", "arm64": "aarch64"}.get(architecture, architecture)


def _pause(machine: str) -> tuple[str, str]:
    return _PAUSE.get(machine, ("", ""))


def take_ir() -> str:
    """`i64 @isthmus_take(ptr context, i64 thread, i64 step, i64 chunks, ptr owner)`: a chunk that nobody has taken, -1
    when there is none.

    Each thread owns a part of a step's chunks, which lie beside each other, and takes them in order: then it is this
    thread that uses what was prefetched for the chunk after, and finds its part of what the step before has made near.
    A thread that is done takes from the others, one chunk at a time. `owner` is whose part it has reached, counted from
    itself: 0 at first.
    """
    return f"""
define hidden i64 @isthmus_take(ptr %context, i64 %thread, i64 %step, i64 %chunks, ptr %owner) nounwind {{
entry:
  %threads.at = getelementptr i8, ptr %context, i64 {THREADS}
  %threads = load i64, ptr %threads.at, align 8
  %counters.at = getelementptr i8, ptr %context, i64 {COUNTERS}
  %counters = load ptr, ptr %counters.at, align 8
  %first = mul i64 %step, %threads
  %up = sub i64 %threads, 1
  %reached = load i64, ptr %owner, align 8
  br label %look
look:
  %far = phi i64 [ %reached, %entry ], [ %far.next, %next ]
  %some = icmp ult i64 %far, %threads
  br i1 %some, label %take, label %none
take:
  %around = add i64 %thread, %far
  %who = urem i64 %around, %threads
  %low = mul i64 %who, %chunks
  %low.up = add i64 %low, %up
  %begin = udiv i64 %low.up, %threads
  %high.up = add i64 %low.up, %chunks
  %end = udiv i64 %high.up, %threads
  %number = add i64 %first, %who
  %counter = getelementptr [{COUNTER_BYTES} x i8], ptr %counters, i64 %number
  %taken = atomicrmw add ptr %counter, i64 1 monotonic
  %chunk = add i64 %begin, %taken
  %left = icmp ult i64 %chunk, %end
  br i1 %left, label %found, label %next
next:
  %far.next = add i64 %far, 1
  store i64 %far.next, ptr %owner, align 8
  br label %look
found:
  ret i64 %chunk
none:
  ret i64 -1
}}
"""


def barrier_ir(machine: str) -> str:
    """`void @isthmus_barrier(ptr context)`: returns when all threads of the run have called it; see `abi`."""
    declaration, pause = _pause(machine)
    return f"""
{declaration}

define hidden void @isthmus_barrier(ptr %context) nounwind noinline {{
entry:
  %threads.at = getelementptr i8, ptr %context, i64 {THREADS}
  %threads = load i64, ptr %threads.at, align 8
  %alone = icmp eq i64 %threads, 1
  br i1 %alone, label %done, label %arrive
arrive:
  %state.at = getelementptr i8, ptr %context, i64 {BARRIER}
  %state = load ptr, ptr %state.at, align 8
  %generation.at = getelementptr i8, ptr %state, i64 {BARRIER_GENERATION}
  %generation = load atomic i64, ptr %generation.at acquire, align 8
  %before = atomicrmw add ptr %state, i64 1 acq_rel
  %arrived = add i64 %before, 1
  %last = icmp eq i64 %arrived, %threads
  br i1 %last, label %release, label %spin
release:
  store atomic i64 0, ptr %state monotonic, align 8
  %next = add i64 %generation, 1
  store atomic i64 %next, ptr %generation.at release, align 8
  ret void
spin:
  %count = phi i64 [ 0, %arrive ], [ %count.next, %pause ], [ 0, %yield ]
  %now = load atomic i64, ptr %generation.at acquire, align 8
  %open = icmp ne i64 %now, %generation
  br i1 %open, label %done, label %wait
wait:
  %long = icmp uge i64 %count, {_YIELD_AFTER}
  br i1 %long, label %yield, label %pause
pause:
  {pause}
  %count.next = add i64 %count, 1
  br label %spin
yield:
  %yield.at = getelementptr i8, ptr %context, i64 {YIELD}
  %yield.function = load ptr, ptr %yield.at, align 8
  %ignored = call i32 %yield.function()
  br label %spin
done:
  ret void
}}
"""


def pool_ir(machine: str) -> str:
    """The functions of POOL_EXPORTS, for a module that also holds `barrier_ir(machine)`.

    `void isthmus_pool_run(ptr pool, ptr segment, ptr context, i64 threads)` calls segment(context, i) for every i below
    `threads`, i = 0 on the caller, and returns when all have returned; one caller at a time. `ptr
    isthmus_pool_worker(ptr record)` is what a worker thread runs, for ever. `void isthmus_pool_pause(i64 n)` spins for
    n pauses, from which `pool.py` learns how long one takes.
    """
    _, pause = _pause(machine)
    return f"""
define hidden void @isthmus_pool_pause(i64 %n) nounwind {{
entry:
  br label %spin
spin:
  %i = phi i64 [ %n, %entry ], [ %next, %spin ]
  {pause}
  %next = sub i64 %i, 1
  %more = icmp sgt i64 %next, 0
  br i1 %more, label %spin, label %done
done:
  ret void
}}

define internal i64 @isthmus_pool_core(ptr %pool) nounwind {{
  %core.at = getelementptr i8, ptr %pool, i64 {CORE}
  %core.function = load ptr, ptr %core.at, align 8
  %core = call i32 %core.function()
  %wide = sext i32 %core to i64
  ret i64 %wide
}}

define internal void @isthmus_pool_wait(ptr %pool, ptr %cell, i64 %value, i1 %until, ptr %parked, ptr %semaphore,
    i1 %crowded) nounwind {{
entry:
  %spins.at = getelementptr i8, ptr %pool, i64 {SPINS}
  %spins.usual = load i64, ptr %spins.at, align 8
  %spins = select i1 %crowded, i64 0, i64 %spins.usual
  br label %spin
spin:
  %i = phi i64 [ %spins, %entry ], [ %i.next, %pause ]
  %seen = load atomic i64, ptr %cell acquire, align 8
  %equal = icmp eq i64 %seen, %value
  %ready = icmp eq i1 %equal, %until
  br i1 %ready, label %done, label %again
again:
  %tired = icmp sle i64 %i, 0
  br i1 %tired, label %park, label %pause
pause:
  {pause}
  %i.next = sub i64 %i, 1
  br label %spin
park:
  %ignored = atomicrmw xchg ptr %parked, i64 1 seq_cst
  %seen2 = load atomic i64, ptr %cell seq_cst, align 8
  %equal2 = icmp eq i64 %seen2, %value
  %ready2 = icmp eq i1 %equal2, %until
  br i1 %ready2, label %unpark, label %sleep
sleep:
  %wait.at = getelementptr i8, ptr %pool, i64 {WAIT}
  %wait = load ptr, ptr %wait.at, align 8
  %ignored2 = call i32 %wait(ptr %semaphore)
  br label %park
unpark:
  store atomic i64 0, ptr %parked seq_cst, align 8
  br label %done
done:
  ret void
}}

define internal void @isthmus_pool_wake(ptr %pool, ptr %parked, ptr %semaphore) nounwind {{
entry:
  %was = atomicrmw xchg ptr %parked, i64 0 seq_cst
  %asleep = icmp ne i64 %was, 0
  br i1 %asleep, label %post, label %done
post:
  %post.at = getelementptr i8, ptr %pool, i64 {POST}
  %post.function = load ptr, ptr %post.at, align 8
  %ignored = call i32 %post.function(ptr %semaphore)
  br label %done
done:
  ret void
}}

define hidden void @isthmus_pool_run(ptr %pool, ptr %segment, ptr %context, i64 %threads) nounwind {{
entry:
  store ptr %segment, ptr %pool, align 8
  %context.at = getelementptr i8, ptr %pool, i64 {JOB_CONTEXT}
  store ptr %context, ptr %context.at, align 8
  %core = call i64 @isthmus_pool_core(ptr %pool)
  %core.at = getelementptr i8, ptr %pool, i64 {JOB_CORE}
  store i64 %core, ptr %core.at, align 8
  %helpers = sub i64 %threads, 1
  %remaining = getelementptr i8, ptr %pool, i64 {REMAINING}
  store atomic i64 %helpers, ptr %remaining monotonic, align 8
  %some = icmp sgt i64 %helpers, 0
  br i1 %some, label %hand, label %work
hand:
  %i = phi i64 [ 0, %entry ], [ %i.next, %hand ]
  %offset = mul i64 %i, {RECORD_BYTES}
  %offset.record = add i64 %offset, {RECORDS}
  %record = getelementptr i8, ptr %pool, i64 %offset.record
  %ticket = load atomic i64, ptr %record monotonic, align 8
  %ticket.next = add i64 %ticket, 1
  store atomic i64 %ticket.next, ptr %record seq_cst, align 8
  %parked = getelementptr i8, ptr %record, i64 {PARKED}
  %semaphore = getelementptr i8, ptr %record, i64 {SEMAPHORE}
  call void @isthmus_pool_wake(ptr %pool, ptr %parked, ptr %semaphore)
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %helpers
  br i1 %more, label %hand, label %work
work:
  call void %segment(ptr %context, i64 0)
  %caller.parked = getelementptr i8, ptr %pool, i64 {CALLER_PARKED}
  %caller.semaphore = getelementptr i8, ptr %pool, i64 {CALLER_SEMAPHORE}
  call void @isthmus_pool_wait(ptr %pool, ptr %remaining, i64 0, i1 1, ptr %caller.parked, ptr %caller.semaphore,
    i1 0)
  ret void
}}

define hidden ptr @isthmus_pool_worker(ptr %record) nounwind {{
entry:
  %pool.at = getelementptr i8, ptr %record, i64 {RECORD_POOL}
  %pool = load ptr, ptr %pool.at, align 8
  %thread.at = getelementptr i8, ptr %record, i64 {RECORD_THREAD}
  %thread = load i64, ptr %thread.at, align 8
  %parked = getelementptr i8, ptr %record, i64 {PARKED}
  %semaphore = getelementptr i8, ptr %record, i64 {SEMAPHORE}
  %context.at = getelementptr i8, ptr %pool, i64 {JOB_CONTEXT}
  %remaining = getelementptr i8, ptr %pool, i64 {REMAINING}
  %caller.parked = getelementptr i8, ptr %pool, i64 {CALLER_PARKED}
  %caller.semaphore = getelementptr i8, ptr %pool, i64 {CALLER_SEMAPHORE}
  %core.at = getelementptr i8, ptr %pool, i64 {JOB_CORE}
  br label %next
next:
  %ticket = phi i64 [ 0, %entry ], [ %ticket.next, %work ], [ %ticket.next, %report ]
  %crowded = phi i1 [ 0, %entry ], [ %same, %work ], [ %same, %report ]
  call void @isthmus_pool_wait(ptr %pool, ptr %record, i64 %ticket, i1 0, ptr %parked, ptr %semaphore, i1 %crowded)
  %ticket.next = add i64 %ticket, 1
  br label %work
work:
  %segment = load ptr, ptr %pool, align 8
  %context = load ptr, ptr %context.at, align 8
  %callers = load i64, ptr %core.at, align 8
  call void %segment(ptr %context, i64 %thread)
  %core = call i64 @isthmus_pool_core(ptr %pool)
  %same = icmp eq i64 %core, %callers
  %left = atomicrmw sub ptr %remaining, i64 1 seq_cst
  %last = icmp eq i64 %left, 1
  br i1 %last, label %report, label %next
report:
  call void @isthmus_pool_wake(ptr %pool, ptr %caller.parked, ptr %caller.semaphore)
  br label %next
}}
"""
