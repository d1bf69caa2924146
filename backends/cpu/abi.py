"""The contract between the CPU's emitted code and the device that calls it; both sides import these numbers.

    void segment(ptr context, i64 thread)       C calling convention, position independent, hidden visibility

Every thread of a run calls the same segment with its own number, 0 to threads-1. The context is a row of 8-byte fields:

| byte | field | what it points to or holds |
|---|---|---|
| 0 | BUFFERS | table of pointers: [0] constants, [1] arena, [2...] the segment's external arrays in order |
| 8 | COUNTERS | i64 chunk counters, all zero when a segment starts |
| 16 | BARRIER | i64 arrived at byte 0, i64 generation at byte 64; zero at creation, left consistent by every barrier |
| 24 | THREADS | i64 number of threads that run the segment |
| 32 | SYMBOLS | i64 values of the program's symbols, in the program's order |
| 40 | CLOCK | null, or i64 cells: thread 0 stores the cycle counter into cell 0 at entry and into cell 1 + i after step i |
| 48 | YIELD | `void yield()`: gives the core up; for a barrier that has spun long (another process may hold the core) |

`DeviceProgram.meta` of device "cpu" has these keys: `triple` (text), `cpu` (text), `features` (list of LLVM names such as
"avx512f", those that the code needs), `arena` (bytes), `alignment` (64), `entries` (byte offset of each segment in the
code image), `pool` (byte offset of `isthmus_pool_worker` and of `isthmus_pool_run`), `counters` (number of i64),
`image` (the facts that `link.Image.meta` gives), `steps` (per segment: a label for each step, as CLOCK counts them).
"""

BUFFERS, COUNTERS, BARRIER, THREADS, SYMBOLS, CLOCK, YIELD = range(0, 56, 8)
CONTEXT_BYTES = 64

CONSTANTS_BUFFER, ARENA_BUFFER, FIRST_EXTERNAL_BUFFER = 0, 1, 2

LINE_BYTES = 64
BARRIER_ARRIVED, BARRIER_GENERATION = 0, LINE_BYTES
BARRIER_BYTES = 2 * LINE_BYTES

ALIGNMENT = 64
