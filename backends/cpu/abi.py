"""The contract between the CPU's emitted code and the device that calls it; both sides import these numbers.

    void segment(ptr context, i64 thread)       C calling convention, position independent, hidden visibility

Every thread of a run calls the same segment with its own number, 0 to threads-1. The context is a row of 8-byte
fields:

| byte | field | what it points to or holds |
|---|---|---|
| 0 | BUFFERS | table of pointers: [0] constants, [1] arena, [2...] the segment's external arrays in order |
| 8 | COUNTERS | i64 chunk counters, one a step and thread, COUNTER_BYTES apart, all zero when a segment starts |
| 16 | BARRIER | i64 arrived at byte 0, i64 generation at byte 64; zero at first, consistent after each barrier |
| 24 | THREADS | i64 number of threads that run the segment |
| 32 | SYMBOLS | i64 values of the program's symbols, in the program's order |
| 40 | CLOCK | null, or i64 cells: thread 0 stores its cycle counter in cell 0 at entry, in cell 1 + i after step i |
| 48 | YIELD | `i32 yield()`: gives the core up, for a barrier that has spun long |

`pool_ir.barrier_ir` is a barrier that keeps to this.
"""

from typing import Any

from ...runtime.errors import PackageError
from ...runtime.records import dataclass

BUFFERS, COUNTERS, BARRIER, THREADS, SYMBOLS, CLOCK, YIELD = range(0, 56, 8)
CONTEXT_BYTES = 64

CONSTANTS_BUFFER, ARENA_BUFFER, FIRST_EXTERNAL_BUFFER = 0, 1, 2

LINE_BYTES = 64
BARRIER_ARRIVED, BARRIER_GENERATION = 0, LINE_BYTES
BARRIER_BYTES = 2 * LINE_BYTES
COUNTER_BYTES = LINE_BYTES  # threads that take small chunks would wait for each other's line

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What `DeviceProgram.meta` says about the code of device "cpu"; made by `link.describe`.

    `features` are LLVM's names without sign ("avx512f"), those that the code needs; `arena` is in bytes; `entries` are
    the segments' offsets in the code image, `pool` those of `pool_ir.POOL_EXPORTS` or empty; `counters` is the number
    of chunk counters of a thread; `steps` labels, for each segment, the steps that CLOCK counts. `size`, `writable` and
    `fixups` are the image's (see `link.Image`).
    """

    triple: str
    cpu: str
    features: tuple[str, ...]
    machine: str
    entries: tuple[int, ...]
    pool: tuple[int, ...]
    arena: int
    counters: int
    size: int
    writable: int
    fixups: tuple[tuple[int, int], ...] = ()
    steps: tuple[tuple[str, ...], ...] = ()

    def to_meta(self) -> dict[str, Any]:
        """As a JSON object."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @staticmethod
    def from_meta(meta: dict[str, Any], location: str) -> "CodeFacts":
        """What `to_meta` gave; PackageError naming what is missing or out of range."""
        try:
            facts = CodeFacts(**{key: _tupled(meta[key]) for key in CodeFacts.__dataclass_fields__})
            inside = all(0 <= entry < facts.size for entry in (*facts.entries, *facts.pool))
            patched = all(
                0 <= place <= facts.size - 8 and 0 <= to <= facts.size for place, to in facts.fixups
            )
            if not (
                inside
                and patched
                and 0 <= facts.writable <= facts.size
                and facts.arena >= 0 <= facts.counters
            ):
                raise ValueError("an offset lies outside the image")
        except (KeyError, TypeError, ValueError) as error:
            raise PackageError(
                f"bad facts about the CPU's code: {type(error).__name__}: {error}",
                location=location,
                hint="recompile the model",
            ) from None
        return facts


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list | tuple) else value
